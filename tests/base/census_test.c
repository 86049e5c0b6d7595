/* census_test.c: thread_count in processes of their own, as main leaves by pthread_exit there. The judge is a
 * library thread: like the warden, it is not counted. */
#include "base/clock.h"
#include "base/sys.h"
#include "base/thread.h"
#include "base_test.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>

static sem_t begun, go;
static _Atomic int ended, blind; /* hooks run; stat files that read as gone */

static void on_end(void)
{
    atomic_fetch_add(&ended, 1);
}

static void *enter_and_wait(void *arg)
{
    if (arg)
        CHILD_CHECK(thread_self());
    sem_post(&begun);
    sem_wait(&go);
    return NULL;
}

static void *background_and_wait(void *arg)
{
    CHILD_CHECK(thread_self());
    thread_self()->background = true;
    return enter_and_wait(arg);
}

static void start(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    CHILD_CHECK(pthread_create(&t, NULL, fn, arg) == 0);
    pthread_detach(t);
    sem_wait(&begun);
}

/* Until the census says what is to come; a wrong one would never, and the child's alarm ends it. */
static struct thread_census wait_for(int application)
{
    struct thread_census c;
    do {
        sched_yield();
        c = thread_count();
        CHILD_CHECK(c.known && c.application >= application);
    } while (c.application != application);
    return c;
}

/* ---- counting --------------------------------------------------------------------------------------------
 */

/* Under ThreadSanitizer a thread that is just ending can look like one of the sanitizer's. */
static void wait_main_gone(void)
{
    while (!thread_count().main_gone)
        sched_yield();
}

static void judge_story(void *arg)
{
    (void)arg;
    wait_main_gone();
    struct thread_census c = wait_for(2);
    CHILD_CHECK(c.entered == 1);
    CHILD_CHECK(atomic_load(&ended) == 1); /* main's */
    sem_post(&go);
    sem_post(&go);
    sem_post(&go);
    c = wait_for(0);
    CHILD_CHECK(c.main_gone && c.entered == 0);
    CHILD_CHECK(thread_library_count() == 1);
    _exit(0);
}

static void story(void)
{
    CHILD_CHECK(thread_self());
    struct thread_census c = thread_count();
    CHILD_CHECK(c.known && c.application == 1 && c.entered == 1 && !c.main_gone);
    start(enter_and_wait, &go);
    start(enter_and_wait, NULL); /* one that never enters the library */
    start(background_and_wait, &go);
    c = thread_count();
    CHILD_CHECK(c.application == 3 && c.entered == 2 && !c.main_gone);
    CHILD_CHECK(thread_start(judge_story, NULL, "judge", 0) == 0);
    c = wait_for(3); /* the judge counts until it has noted its number, and then no more */
    CHILD_CHECK(c.entered == 2);
    pthread_exit(NULL);
}

static void test_story(void **state)
{
    (void)state;
    assert_int_equal(in_child(story), 0);
}

/* The background thread outlives all others and does not count. */
static void judge_background(void *arg)
{
    (void)arg;
    wait_main_gone();
    struct thread_census c = wait_for(0);
    CHILD_CHECK(c.main_gone && c.entered == 0);
    _exit(0);
}

static void background_stays(void)
{
    start(background_and_wait, &go);
    CHILD_CHECK(thread_start(judge_background, NULL, "judge", 0) == 0);
    pthread_exit(NULL);
}

static void test_background(void **state)
{
    (void)state;
    assert_int_equal(in_child(background_stays), 0);
}

/* ---- never nought while one lives
 * -------------------------------------------------------------------------- */

/* A relay: each thread starts the next and ends. At every moment an application thread lives. */
static _Atomic bool stop;

static void *runner(void *arg)
{
    pthread_t t;
    while (!atomic_load(&stop)) {
        if (pthread_create(&t, NULL, runner, NULL) == 0) {
            pthread_detach(t);
            return arg;
        }
        sched_yield(); /* no thread to be had just now */
    }
    return arg;
}

static void come_and_go(void *arg)
{
    (void)arg;
}

static void judge_relay(void *arg)
{
    (void)arg;
    enum { LOOKS = 400 };
    struct thread_census c;
    do
        c = thread_count();
    while (!c.main_gone);
    for (int i = 0; i < LOOKS; i++) {
        CHILD_CHECK(thread_start(come_and_go, NULL, "goes", 0) ==
                    0); /* the list may end early at one of these */
        c = thread_count();
        CHILD_CHECK(c.known && c.application > 0);
    }
    atomic_store(&stop, true);
    wait_for(0);
    _exit(0);
}

static void relay(void)
{
    pthread_t t;
    CHILD_CHECK(pthread_create(&t, NULL, runner, NULL) == 0);
    pthread_detach(t);
    CHILD_CHECK(thread_start(judge_relay, NULL, "judge", 0) == 0);
    pthread_exit(NULL);
}

static void test_relay(void **state)
{
    (void)state;
    assert_int_equal(in_child(relay), 0);
}

/* ---- failures --------------------------------------------------------------------------------------------
 */

static ssize_t gone(int fd, void *p, size_t n)
{
    if (atomic_load(&blind) > 0) {
        atomic_fetch_sub(&blind, 1);
        errno = ESRCH; /* what a read of a thread's file says once the thread has ended */
        return -1;
    }
    return read(fd, p, n);
}

static void unreadable(void)
{
    CHILD_CHECK(thread_self());
    sys.read = gone;
    atomic_store(&blind, 1000000); /* no state of any thread can be had: never nought */
    struct thread_census c = thread_count();
    CHILD_CHECK(c.known && c.application == 1);
    atomic_store(&blind, 1); /* once: it looks again */
    c = thread_count();
    CHILD_CHECK(c.known && c.application == 1 && c.entered == 1);
    sys.read = sys_real.read;
    counter_on();
    counter.refuse_from = 0;
    c = thread_count();
    CHILD_CHECK(!c.known && c.application == 0 && c.entered == 0 && !c.main_gone);
    counter.refuse_from = -1;
    CHILD_CHECK(thread_count().application == 1);
    CHILD_CHECK(atomic_load(&counter.live) == 0);
}

static void test_failures(void **state)
{
    (void)state;
    assert_int_equal(in_child(unreadable), 0);
}

static int set_up(void **state)
{
    (void)state;
    thread_on_end(on_end);
    return sem_init(&begun, 0, 0) + sem_init(&go, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_THREAD__ /* it has threads of its own, which cannot always be told from ours */
        cmocka_unit_test(test_story),
#endif
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
