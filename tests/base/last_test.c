/* last_test.c: when threads are counted, and what comes of it. Time is a number that the test says. Where
 * only a real end will do, main leaves by pthread_exit in a process of its own, and a library thread judges,
 * which is not counted, as the warden is not. */
#include "base/last.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/fork.h"
#include "base/sys.h"
#include "base/thread.h"
#include "base_test.h"
#include "lib/main_leaves.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

enum { QUICK = 7 };
static const int64_t start_at = INT64_C(5000) * CLOCK_MS;
static sem_t begun, go;
static _Atomic int reads;      /* of the system's lists of threads */
static _Atomic bool held_back; /* who reads them waits */
static sem_t release;

static ssize_t counting_read(int fd, void *p, size_t n)
{
    atomic_fetch_add(&reads, 1);
    if (atomic_load(&held_back))
        sem_wait(&release);
    return sys_real.read(fd, p, n);
}

/* Looks at this time; *counted says whether threads were counted. */
static bool look_at(struct last *l, int64_t now, bool *counted)
{
    int before = atomic_load(&reads);
    bool last = last_look(l, now);
    *counted = atomic_load(&reads) != before;
    return last;
}

static void expect_count(struct last *l, int64_t at)
{
    bool counted;
    assert_true(last_next(l) <= at);
    assert_false(look_at(l, at - 1, &counted) || counted); /* not before its time */
    assert_false(look_at(l, at, &counted));
    assert_true(counted);
}

static void expect_rest(struct last *l)
{
    bool counted;
    assert_true(last_next(l) == CLOCK_NEVER);
    assert_false(last_must(l, 0));
    assert_false(look_at(l, INT64_MAX, &counted) || counted);
}

/* ---- other threads ------------------------------------------------------------------------------------- */

static void *enter_and_wait(void *arg)
{
    if (arg)
        CHILD_CHECK(thread_self());
    sem_post(&begun);
    sem_wait(&go);
    return NULL;
}

/* What never comes to its end in a child ends by its alarm; but the library's threads block all signals. */
static void let_alarm_in(void)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGALRM);
    CHILD_CHECK(pthread_sigmask(SIG_UNBLOCK, &s, NULL) == 0);
}

static void library_waits(void *arg)
{
    let_alarm_in();
    sem_post(&begun);
    sem_wait(arg);
}

static void settle(int n)
{
    if (!thread_library_settle(n, clock_after(clock_now(), 30000)))
        abort();
}

/* More than what comes of an announcement: then it is looked for from time to time. */
enum { MANY = 24 };

static void wait_for_reads(int more)
{
    int before = atomic_load(&reads);
    while (atomic_load(&reads) < before + more)
        sched_yield();
}

/* ---- when it counts ------------------------------------------------------------------------------------ */

/* Main has not entered the library, nobody has: an end would be announced by nobody. (First of all tests.) */
static void test_nobody_would_announce_it(void **state)
{
    struct last l = {0};
    sem_t leave;
    (void)state;
    assert_int_equal(thread_count().entered, 0);
    last_begin(&l);
    assert_true(last_must(&l, 1));
    expect_count(&l, 0);
    assert_true(l.slow);
    int64_t at = last_next(&l);
    assert_false(last_must(&l, 0)); /* the kernel sees the end by itself */
    for (int i = 0; i < 3; i++, at += 100 * CLOCK_MS) {
        assert_int_equal(last_next(&l), at);
        expect_count(&l, at);
    }
    /* A library thread would keep the process: somebody must look, unless it is there for just that. */
    assert_int_equal(sem_init(&leave, 0, 0), 0);
    assert_int_equal(thread_start(library_waits, &leave, "one", 0), 0);
    sem_wait(&begun);
    assert_true(last_must(&l, 0));
    assert_false(last_must(&l, 1));
    assert_int_equal(thread_start(library_waits, &leave, "two", 0), 0);
    sem_wait(&begun);
    assert_true(last_must(&l, 1));
    assert_false(last_must(&l, 2));
    sem_post(&leave);
    sem_post(&leave);
    settle(0);
    assert_false(last_must(&l, 0));
    /* So does the thread that is there for just that: it goes when the others have gone. */
    assert_int_equal(thread_start(library_waits, &leave, "lives", 0), 0);
    sem_wait(&begun);
    last_watch();
    wait_for_reads(MANY);
    assert_int_equal(thread_library_count(), 2);
    sem_post(&leave);
    settle(0);
    assert_int_equal(thread_count().entered, 0);
    assert_non_null(thread_self()); /* now main's end will be announced */
    expect_count(&l, at);
    assert_false(l.slow);
    expect_rest(&l);
    sem_destroy(&leave);
}

static void test_at_rest(void **state)
{
    struct last l = {0};
    (void)state;
    assert_non_null(thread_self());
    expect_rest(&l);
}

static void test_begin(void **state)
{
    struct last l = {.at = INT64_MAX};
    (void)state;
    last_begin(&l);
    assert_true(last_must(&l, 0) && last_must(&l, 99));
    expect_count(&l, 0); /* at once */
    expect_rest(&l);
}

/* After an announcement some times, farther and farther apart; each announcement begins anew. */
static void test_announced(void **state)
{
    struct last l = {0};
    int64_t at = start_at;
    (void)state;
    last_announced(&l, at);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(last_next(&l), at);
        expect_count(&l, at);
        at += CLOCK_MS << i;
    }
    last_announced(&l, at);
    for (int i = 0; i < QUICK; i++) {
        assert_int_equal(last_next(&l), at);
        assert_true(last_must(&l, 0) && last_must(&l, 99));
        expect_count(&l, at);
        at += CLOCK_MS << i;
    }
    expect_rest(&l);
    last_announced(&l, at); /* the gaps are from when one looks, also from when that is late */
    assert_false(last_look(&l, at + 70 * CLOCK_MS));
    assert_int_equal(last_next(&l), at + 71 * CLOCK_MS);
    last_announced(&l, INT64_MAX - 5); /* and the end of time is no past */
    expect_count(&l, INT64_MAX - 5);
    assert_true(l.at == CLOCK_NEVER);
}

/* One in the background keeps the process, too. */
static void test_background(void **state)
{
    struct last l = {0};
    int64_t at = start_at;
    assert_non_null(thread_self());
    assert_int_equal(pthread_create(*state, NULL, enter_and_wait, NULL), 0);
    sem_wait(&begun);
    thread_self()->background = true; /* the one left has not entered */
    last_announced(&l, at);
    expect_count(&l, at);
    assert_true(l.slow);
    assert_int_equal(l.background, 1);
    for (int i = 1; i < QUICK; i++) {
        assert_true(last_must(&l, 99));
        expect_count(&l, last_next(&l));
    }
    assert_true(last_must(&l, 99));
    at = last_next(&l);
    expect_count(&l, at);
    assert_int_equal(last_next(&l), at + 100 * CLOCK_MS);
    thread_self()->background = false;
    expect_count(&l, last_next(&l));
    expect_rest(&l);
}

static int have_helper(void **state)
{
    static pthread_t helper;
    *state = &helper;
    return 0;
}

/* However the test went: the ones behind it want main alone. */
static int join_helper(void **state)
{
    thread_self()->background = false;
    sem_post(&go);
    return pthread_join(*(pthread_t *)*state, NULL);
}

/* What cannot be known changes nothing: it goes on as it was. */
static void test_without_memory(void **state)
{
    struct last l = {.slow = true, .background = 3, .at = start_at}, quick = {0};
    (void)state;
    assert_non_null(thread_self());
    counter.refuse_from = 0;
    counter_on();
    last_announced(&quick, start_at);
    bool said = last_look(&l, start_at) || last_look(&quick, start_at);
    counter.refuse_from = -1;
    mem_force_hook(NULL);
    assert_false(said);
    assert_true(l.slow);
    assert_int_equal(l.background, 3);
    assert_int_equal(last_next(&l), start_at + 100 * CLOCK_MS);
    assert_false(quick.slow);
    assert_int_equal(quick.background, 0);
    assert_int_equal(last_next(&quick), start_at + CLOCK_MS);
    expect_count(&l, start_at + 100 * CLOCK_MS); /* with memory it is seen again */
    expect_rest(&l);
}

/* Nobody but the background is left: it is said, and said again as long as one asks. */
static void test_it_has_ended(void **state)
{
    struct last l = {0};
    bool counted;
    (void)state;
    assert_non_null(thread_self());
    while (thread_count().application != 1) /* a thread that was joined may still be listed */
        sched_yield();
    last_announced(&l, start_at);
    expect_count(&l, start_at);
    thread_self()->background = true;
    assert_false(look_at(&l, last_next(&l) - 1, &counted) || counted);
    bool first = look_at(&l, last_next(&l), &counted), again = look_at(&l, last_next(&l), &counted);
    thread_self()->background = false;
    assert_true(first && again);
}

/* ---- real ends ----------------------------------------------------------------------------------------- */

static void start(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    CHILD_CHECK(pthread_create(&t, NULL, fn, arg) == 0);
    pthread_detach(t);
    sem_wait(&begun);
}

static sem_t announced;

static void on_end(void)
{
    sem_post(&announced);
}

/* Under ThreadSanitizer a thread that is just ending can look like one of the sanitizer's. */
static void wait_main_gone(void)
{
    while (!thread_count().main_gone)
        sched_yield();
}

/* Looks on, whenever it is time, and until it is said. */
static void look_until_last(struct last *l)
{
    while (!last_look(l, last_next(l))) {
        CHILD_CHECK(last_next(l) != CLOCK_NEVER);
        sched_yield();
    }
}

static void judge_main_first(void *arg)
{
    struct last l = {0};
    (void)arg;
    let_alarm_in();
    sem_wait(&announced); /* main's */
    wait_main_gone();
    last_announced(&l, start_at);
    for (int i = 0; i < 50; i++)
        CHILD_CHECK(!last_look(&l, last_next(&l))); /* two live */
    CHILD_CHECK(l.slow && l.counts == 0);           /* it goes on with that, now that main has gone */
    CHILD_CHECK(!last_must(&l, 1) && last_must(&l, 0));
    sem_post(&go);
    sem_post(&go);
    look_until_last(&l);
    _exit(0);
}

static void main_ends_first(void)
{
    thread_on_end(on_end);
    CHILD_CHECK(thread_self());
    start(enter_and_wait, NULL);
    start(enter_and_wait, &go); /* one that has entered */
    CHILD_CHECK(thread_start(judge_main_first, NULL, "judge", 0) == 0);
    pthread_exit(NULL);
}

#ifndef __SANITIZE_THREAD__ /* it has threads of its own, which cannot always be told from ours */
static void test_main_ends_first(void **state)
{
    (void)state;
    assert_int_equal(in_child(main_ends_first), 0);
}
#endif

/* Main is the last; one in the background, which entered, stays and does not count. */
static void *background_and_wait(void *arg)
{
    CHILD_CHECK(thread_self());
    thread_self()->background = true;
    return enter_and_wait(arg);
}

static void judge_main_last(void *arg)
{
    struct last l = {0};
    let_alarm_in();
    last_begin(&l);
    CHILD_CHECK(!last_look(&l, 0));
    CHILD_CHECK(!l.slow && l.background == 1 && last_next(&l) == CLOCK_NEVER && !last_must(&l, 0));
    sem_post(arg);
    sem_wait(&announced);
    last_announced(&l, start_at);
    CHILD_CHECK(last_must(&l, 1));
    wait_main_gone();
    look_until_last(&l);
    _exit(0);
}

static void main_ends_last(void)
{
    static sem_t seen;
    thread_on_end(on_end);
    CHILD_CHECK(thread_self());
    start(background_and_wait, &go);
    CHILD_CHECK(sem_init(&seen, 0, 0) == 0);
    CHILD_CHECK(thread_start(judge_main_last, &seen, "judge", 0) == 0);
    sem_wait(&seen);
    pthread_exit(NULL);
}

static void test_main_ends_last(void **state)
{
    (void)state;
    assert_int_equal(in_child(main_ends_last), 0);
}

/* ---- the thread for it --------------------------------------------------------------------------------- */

static _Atomic int made;

static int counting_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    atomic_fetch_add(&made, 1);
    return sys_real.thread_create(t, a, fn, arg);
}

static int refuse_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)t, (void)a, (void)fn, (void)arg;
    return EAGAIN;
}

static int pretend_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)t, (void)a, (void)fn, (void)arg;
    return 0;
}

/* Where no thread of the library lives the kernel sees the end; at the program's end nobody looks any more.
 */
static void test_no_thread_where_none_is_needed(void **state)
{
    sem_t leave;
    (void)state;
    assert_non_null(thread_self());
    last_watch();
    assert_int_equal(thread_library_count(), 0);
    assert_int_equal(sem_init(&leave, 0, 0), 0);
    assert_int_equal(thread_start(library_waits, &leave, "lives", 0), 0);
    sem_wait(&begun);
    sys.thread_create = counting_create;
    atomic_store(&exit_begun, true);
    last_watch();
    atomic_store(&exit_begun, false);
    assert_int_equal(made, 0);
    sys.thread_create = refuse_create;
    last_watch(); /* it cannot be helped; the next one tries again */
    sys.thread_create = counting_create;
    for (int round = 1; round <= 2; round++) {
        atomic_store(&held_back, true);
        for (int i = 0; i < 5; i++) {
            last_watch(); /* one is enough, however often there is something to look for */
            assert_int_equal(made, round);
            assert_int_equal(thread_library_count(), 2);
        }
        atomic_store(&held_back, false);
        sem_post(&release);
        settle(1); /* main lives, and its end will be announced */
    }
    sem_post(&leave);
    settle(0);
    sys.thread_create = sys_real.thread_create;
    sem_destroy(&leave);
}

/* One in the background keeps the process as one of the library's does: as long as it lives somebody looks.
 */
static void test_the_thread_stays(void **state)
{
    sem_t leave;
    assert_non_null(thread_self());
    assert_int_equal(sem_init(&leave, 0, 0), 0);
    assert_int_equal(thread_start(library_waits, &leave, "lives", 0), 0);
    assert_int_equal(pthread_create(*state, NULL, enter_and_wait, NULL), 0);
    sem_wait(&begun);
    sem_wait(&begun);
    thread_self()->background = true; /* the application is one that has not entered */
    last_watch();
    sem_post(&leave);
    wait_for_reads(MANY);
    settle(1);
    wait_for_reads(MANY); /* it does not need the library's */
    assert_int_equal(thread_library_count(), 1);
    thread_self()->background = false;
    settle(0);
    sem_destroy(&leave);
}

static int report;

static void say_exit(void)
{
    (void)!write(report, "x", 1);
}

/* Has not entered, so its end is announced by nobody; outlives main by many a count. */
static void *outlive_main(void *arg)
{
    sem_post(&begun);
    sem_wait(&announced); /* main's end */
    wait_for_reads(MANY);
    CHILD_CHECK(write(report, "s", 1) == 1);
    return arg;
}

/* Main leaves, and a thread of the library lives on for ever. */
static void leave_main(void)
{
    static sem_t never;
    last_forked(); /* as the fork handlers of those who use it */
    CHILD_CHECK(exit_watch(say_exit) == 0 && sem_init(&never, 0, 0) == 0);
    thread_on_end(last_watch);
    thread_on_end(on_end);
    CHILD_CHECK(thread_self());
    CHILD_CHECK(thread_start(library_waits, &never, "lives", 0) == 0);
    sem_wait(&begun);
    pthread_exit(NULL);
}

static void leave_another(void)
{
    start(outlive_main, NULL);
    leave_main();
}

/* The process ends well, with the handlers of exit run, and not before its time. */
static void expect_end(void (*fn)(void), const char *want)
{
    char got[8] = "";
    int p[2];
    assert_int_equal(pipe(p), 0);
    report = p[1];
    assert_int_equal(in_child(fn), 0);
    close(p[1]);
    assert_true(read(p[0], got, sizeof got - 1) >= 0);
    close(p[0]);
    assert_string_equal(got, want);
}

static void test_it_ends_the_process(void **state)
{
    (void)state;
    expect_end(leave_main, "x");
#ifndef __SANITIZE_THREAD__
    expect_end(leave_another, "sx");
#endif
}

/* A child of fork has not got the parent's thread: it needs one of its own. */
static sem_t in_grandchild;

static void watch_in_child(void)
{
    last_forked();
    CHILD_CHECK(thread_library_count() == 0);
    CHILD_CHECK(thread_start(library_waits, &in_grandchild, "lives", 0) == 0);
    sem_wait(&begun);
    sys.thread_create = counting_create;
    last_watch();
    CHILD_CHECK(made == 1);
}

static void watch_and_fork(void)
{
    CHILD_CHECK(thread_self() && sem_init(&in_grandchild, 0, 0) == 0);
    CHILD_CHECK(thread_start(library_waits, &in_grandchild, "lives", 0) == 0);
    sem_wait(&begun);
    made = 0;
    sys.thread_create =
        pretend_create; /* one that runs, and yet is not in the midst of anything at the fork */
    last_watch();
    sys.thread_create = counting_create;
    last_watch();
    CHILD_CHECK(made == 0);
    sys.thread_create = sys_real.thread_create;
    CHILD_CHECK(in_child(watch_in_child) == 0);
}

/* Another one is starting the thread at the fork, and will never be done with it in the child. */
static int halt_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)t, (void)a, (void)fn, (void)arg;
    sem_post(&begun);
    sem_wait(&in_grandchild);
    return EAGAIN;
}

static void *watch_and_halt(void *arg)
{
    last_watch();
    return arg;
}

static void fork_in_the_midst(void)
{
    CHILD_CHECK(thread_self() && sem_init(&in_grandchild, 0, 0) == 0);
    CHILD_CHECK(thread_start(library_waits, &in_grandchild, "lives", 0) == 0);
    sem_wait(&begun);
    sys.thread_create = halt_create;
    start(watch_and_halt, NULL);
    sys.thread_create = sys_real.thread_create;
    made = 0;
    CHILD_CHECK(in_child(watch_in_child) == 0);
}

static void test_fork(void **state)
{
    (void)state;
    assert_int_equal(in_child(watch_and_fork), 0);
    assert_int_equal(in_child(fork_in_the_midst), 0);
}

static int set_up(void **state)
{
    (void)state;
    sys.read = counting_read;
    if (sem_init(&begun, 0, 0) != 0 || sem_init(&go, 0, 0) != 0 || sem_init(&announced, 0, 0) != 0 ||
        sem_init(&release, 0, 0) != 0)
        return -1;
    return fork_watch(thread_fork_lock, thread_fork_unlock, thread_forked);
}

/* A thread that ended this process too early would do it with 0, as if all were well. */
static _Atomic bool finished;
static pid_t first;

static void say_too_early(void)
{
    static const char text[] = "the process was ended in mid-test\n";
    if (finished || getpid() != first)
        return;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_would_announce_it),
        cmocka_unit_test(test_at_rest),
        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_announced),
        cmocka_unit_test_setup_teardown(test_background, have_helper, join_helper),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_it_has_ended),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(test_main_ends_first),
#endif
        cmocka_unit_test(test_main_ends_last),
        cmocka_unit_test(test_no_thread_where_none_is_needed),
        cmocka_unit_test_setup_teardown(test_the_thread_stays, have_helper, join_helper),
        cmocka_unit_test(test_it_ends_the_process),
        cmocka_unit_test(test_fork),
    };
    first = getpid();
    if (atexit(say_too_early) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, set_up, NULL);
    finished = true;
    return failed;
}
