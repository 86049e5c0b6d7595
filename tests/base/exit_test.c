/* exit_test.c: the hook runs once for each way out that runs handlers, after the flag is up; _exit runs none.
 */
#include "base/exit.h"
#include "base_test.h"
#include <pthread.h>
#include <string.h>

static int out = -1;

static void hook(void)
{
    char c = atomic_load(&exit_begun) && exit_is_here() ? 'B' : 'b';
    if (write(out, &c, 1) != 1)
        _exit(9);
}

static void never(void)
{
    if (write(out, "!", 1) != 1)
        _exit(9);
}

/* What the hook has written in a child that leaves by `leave`. */
static void expect(void (*leave)(int), const char *want)
{
    int p[2], status;
    char got[8] = "";
    assert_int_equal(pipe(p), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        out = p[1];
        if (exit_watch(hook) != 0 || exit_watch(hook) != 0 || exit_watch(never) != 0 ||
            atomic_load(&exit_begun))
            _exit(8);
        leave(7);
    }
    close(p[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    ssize_t n = read(p[0], got, sizeof got - 1);
    assert_true(n >= 0);
    assert_string_equal(got, want);
    close(p[0]);
}

/* Registered once more: the handler runs twice in the thread that ends, the hook once, and neither waits. */
static void exit_again(int status)
{
    if (exit_is_here() || exit_watch_again() != 0)
        _exit(8);
    exit(status);
}

static void test_ways_out(void **state)
{
    (void)state;
    expect(exit, "B");
    expect(exit_again, "B");
    expect(quick_exit, "B");
    expect(_exit, "");
    assert_false(atomic_load(&exit_begun));
}

/* ---- two threads at once ---- */
static void slow_hook(void)
{
    usleep(100000);
    if (!exit_is_here() || atomic_load(&exit_over) || write(out, "B", 1) != 1)
        _exit(9);
}

static void others(void)
{
    if (!atomic_load(&exit_over) || write(out, "o", 1) != 1)
        _exit(9);
}

static void *leave_too(void *arg)
{
    while (!atomic_load(&exit_begun))
        usleep(1000);
    exit(7);
    return arg;
}

/* As with OpenSSL, whose handler is there before ours, which is then registered once more. */
static void leave_twice(int status)
{
    pthread_t t;
    if (atexit(others) != 0 || exit_watch(slow_hook) != 0 || exit_watch_again() != 0 ||
        pthread_create(&t, NULL, leave_too, NULL) != 0)
        _exit(8);
    exit(status);
}

static void test_two_at_once(void **state)
{
    int p[2], status;
    char got[8] = "";
    (void)state;
    assert_int_equal(pipe(p), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        out = p[1];
        leave_twice(7);
    }
    close(p[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_true(read(p[0], got, sizeof got - 1) >= 0);
    assert_string_equal(got, "Bo");
    close(p[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ways_out), cmocka_unit_test(test_two_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
