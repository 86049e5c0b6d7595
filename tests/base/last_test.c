/* last_test.c: who sees the last application thread's end, and when nobody need look any more. What ends a
 * process is tried in children. */
#include "base/last.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/thread.h"
#include "base_test.h"
#include <pthread.h>
#include <stdatomic.h>

static _Atomic bool over;

static void live_on(void *arg)
{
    (void)arg;
    while (!over)
        usleep(1000);
}

static void *enter(void *arg)
{
    (void)thread_self();
    return arg;
}

static void *stay(void *arg)
{
    (void)thread_self();
    usleep(150000);
    (void)!write(*(int *)arg, "s", 1);
    return arg;
}

static void test_counts(void **state)
{
    (void)state;
    struct last l = {0};
    int64_t now = clock_now();
    assert_non_null(thread_self()); /* so that its end would be announced */
    assert_true(last_next(&l) == CLOCK_NEVER && !last_must(&l, 0));
    assert_false(last_look(&l, now)); /* at rest it does not even count */
    last_announced(&l, now);
    int looks = 0;
    for (; last_must(&l, 0); looks++) {
        assert_false(last_look(&l, now)); /* this thread is one of the application */
        assert_true(last_next(&l) > now);
        now = last_next(&l) == CLOCK_NEVER ? now : last_next(&l);
    }
    assert_true(looks > 3);
    assert_true(last_next(&l) == CLOCK_NEVER);
}

static void test_it_goes_when_it_is_not_needed(void **state)
{
    (void)state;
    pthread_t t;
    thread_on_end(last_watch);
    last_watch(); /* no thread of the library, none for this */
    assert_int_equal(thread_library_count(), 0);
    assert_int_equal(thread_start(live_on, NULL, "test", 0), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&t, NULL, enter, NULL), 0);
        pthread_join(t, NULL);
        assert_int_equal(thread_library_count(), 2);
        assert_true(thread_library_settle(1, clock_after(clock_now(), 10000)));
    }
    over = true;
    assert_true(thread_library_settle(0, clock_after(clock_now(), 10000)));
}

static int report;

static void at_exit(void)
{
    (void)!write(report, "x", 1);
}

/* What a child writes that leaves main by pthread_exit while a thread of the library lives on. */
static void expect(bool with_another, const char *want)
{
    int p[2], status;
    char got[8] = "";
    assert_int_equal(pipe(p), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        alarm(20);
        over = false;
        report = p[1];
        last_forked();
        if (!thread_self() || exit_watch(at_exit) != 0 || thread_start(live_on, NULL, "test", 0) != 0)
            _exit(8);
        if (with_another && pthread_create(&t, NULL, stay, &report) != 0)
            _exit(7);
        pthread_exit(NULL);
    }
    close(p[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(read(p[0], got, sizeof got - 1) >= 0);
    assert_string_equal(got, want);
    close(p[0]);
}

static void test_it_ends_the_process(void **state)
{
    (void)state;
    expect(false, "x");
    expect(true, "sx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_it_goes_when_it_is_not_needed),
        cmocka_unit_test(test_it_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
