/* thread_test.c: records live as long as their threads and no longer, whichever way these end; library
 * threads are counted, block signals, and are gone when the count says so; a child of fork begins with what
 * it has. */
#include "base/clock.h"
#include "base/exit.h"
#include "base/fork.h"
#include "base/sys.h"
#include "base/thread.h"
#include "base_test.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>

static _Atomic int ended; /* calls of the hook */

static void on_end(void)
{
    atomic_fetch_add(&ended, 1);
}

static void run(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, fn, arg), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
}

static void settle(void)
{
    assert_true(thread_library_settle(0, clock_after(clock_now(), 30000)));
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* ---- records ---------------------------------------------------------------------------------------------
 */

static void *use_record(void *arg)
{
    struct thread *t = thread_self();
    int *fd = arg;
    assert_non_null(t);
    assert_ptr_equal(thread_self(), t);
    assert_int_equal(t->tid, gettid());
    assert_false(t->library || t->background);
    assert_int_equal(t->wake, -1);
    thread_wake(t); /* no descriptor yet: nothing to do */
    thread_unwake(t);
    *fd = thread_wake_fd(t);
    assert_true(*fd >= 0);
    assert_int_equal(thread_wake_fd(t), *fd);
    assert_int_equal(fcntl(*fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(*fd, F_GETFL) & O_NONBLOCK);
    assert_false(is_readable(*fd));
    errno = ERANGE;
    thread_wake(t);
    thread_wake(t);
    assert_true(is_readable(*fd));
    thread_unwake(t);
    assert_false(is_readable(*fd));
    thread_unwake(t);
    assert_int_equal(errno, ERANGE); /* a wake-up is no error of the caller's */
    uint8_t *s = thread_scratch(t);
    assert_non_null(s);
    memset(s, 1, THREAD_SCRATCH);
    assert_ptr_equal(thread_scratch(t), s);
    return NULL;
}

static void test_record(void **state)
{
    (void)state;
    int fd = -1, before = atomic_load(&ended);
    long live = atomic_load(&counter.live);
    run(use_record, &fd);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed with the thread */
    assert_int_equal(counter.live, live);
    assert_int_equal(ended, before + 1);
}

static void *never_enter(void *arg)
{
    return arg;
}

static void *leave_by_exit(void *arg)
{
    (void)arg;
    assert_non_null(thread_self());
    pthread_exit(NULL);
}

static void test_the_hook_is_for_threads_that_entered(void **state)
{
    (void)state;
    int before = atomic_load(&ended);
    run(never_enter, NULL);
    assert_int_equal(ended, before);
    run(leave_by_exit, NULL);
    assert_int_equal(ended, before + 1);
}

static int refuse_eventfd(unsigned value, int flags)
{
    (void)value, (void)flags;
    errno = EMFILE;
    return -1;
}

static void *without_means(void *arg)
{
    (void)arg;
    counter.refuse_from = 0;
    assert_null(thread_self());
    counter.refuse_from = -1;
    struct thread *t = thread_self();
    assert_non_null(t);
    counter.refuse_from = 0;
    assert_null(thread_scratch(t));
    counter.refuse_from = -1;
    assert_non_null(thread_scratch(t));
    sys.eventfd = refuse_eventfd;
    assert_int_equal(thread_wake_fd(t), -1);
    assert_int_equal(errno, EMFILE);
    sys.eventfd = sys_real.eventfd;
    assert_true(thread_wake_fd(t) >= 0);
    return NULL;
}

static void test_failures(void **state)
{
    (void)state;
    long live = atomic_load(&counter.live);
    run(without_means, NULL);
    assert_int_equal(counter.live, live);
}

/* An application's destructor that calls the library, in every round that it gets. Keys made before and after
 * ours: C libraries run them in the order of their numbers. */
#if defined(__SANITIZE_THREAD__)
#    define SANITIZED 1
#elif defined(__has_feature)
#    define SANITIZED __has_feature(thread_sanitizer)
#else
#    define SANITIZED 0
#endif
/* ThreadSanitizer takes its own record of a thread away in the last round; code of ours in it would crash. */
enum { CALLER_ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - SANITIZED };
static pthread_key_t early, late;
static _Atomic int calls, records;

static void enter_again(void *v)
{
    pthread_key_t *k = v;
    calls++;
    struct thread *t = thread_self();
    if (t) {
        records++;
        if (t->tid != gettid() || thread_wake_fd(t) < 0)
            abort();
    }
    if (calls <= 2 * (CALLER_ROUNDS - 1))
        pthread_setspecific(*k, k);
}

static void *set_keys(void *arg)
{
    (void)arg;
    pthread_setspecific(early, &early);
    pthread_setspecific(late, &late);
    assert_non_null(thread_self());
    return NULL;
}

static void test_destructors_that_enter(void **state)
{
    (void)state;
    long live = atomic_load(&counter.live);
    int before = atomic_load(&ended), probe = dup(0);
    close(probe);
    run(set_keys, NULL);
    assert_int_equal(calls, 2 * CALLER_ROUNDS);
    assert_true(records >= 2);            /* they got records */
    assert_int_equal(counter.live, live); /* and all are gone */
    assert_true(ended > before);
    int again = dup(0);
    assert_int_equal(again, probe); /* their descriptors, too */
    close(again);
}

/* ---- library threads -------------------------------------------------------------------------------------
 */

struct job {
    sem_t begun, go;
    bool library, all_blocked, own_record;
    pid_t tid;
    int count, detached;
    char name[20];
    bool leave_by_exit;
};

static void work(void *arg)
{
    struct job *j = arg;
    sigset_t mask;
    pthread_attr_t a;
    struct thread *t = thread_self();
    j->own_record = t && t->tid == gettid() && t == thread_self();
    j->library = t && t->library;
    j->tid = gettid();
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    j->all_blocked = true;
    for (int s = 1; s < 32; s++)
        if (s != SIGKILL && s != SIGSTOP && !sigismember(&mask, s))
            j->all_blocked = false;
    pthread_getattr_np(pthread_self(), &a);
    pthread_attr_getdetachstate(&a, &j->detached);
    pthread_attr_destroy(&a);
    pthread_getname_np(pthread_self(), j->name, sizeof j->name);
    j->count = thread_library_count();
    thread_wake_fd(t);
    thread_scratch(t);
    sem_post(&j->begun);
    sem_wait(&j->go);
    if (j->leave_by_exit)
        pthread_exit(NULL);
}

static void run_job(struct job *j, const char *name, size_t stack)
{
    sigset_t before, after;
    long live = atomic_load(&counter.live);
    int hooks = atomic_load(&ended);
    sem_init(&j->begun, 0, 0);
    sem_init(&j->go, 0, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(thread_start(work, j, name, stack), 0);
    assert_int_equal(thread_library_count(), 1);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int s = 1; s < 32; s++)
        assert_int_equal(sigismember(&before, s), sigismember(&after, s));
    sem_wait(&j->begun);
    assert_false(thread_library_settle(0, 0)); /* it is there until it goes */
    assert_false(thread_library_settle(0, clock_after(clock_now(), 1)));
    assert_true(thread_library_settle(1, 0));
    sem_post(&j->go);
    settle();
    assert_int_equal(thread_library_count(), 0);
    assert_int_equal(counter.live, live); /* all is given back before the count falls */
    assert_int_equal(ended, hooks);       /* the hook is not for the library's own */
    sem_destroy(&j->begun);
    sem_destroy(&j->go);
}

static void test_library_thread(void **state)
{
    (void)state;
    struct job j = {0};
    run_job(&j, "work", 0);
    assert_true(j.library && j.own_record && j.all_blocked);
    assert_int_equal(j.detached, PTHREAD_CREATE_DETACHED);
    assert_int_equal(j.count, 1);
    assert_int_not_equal(j.tid, gettid());
    assert_string_equal(j.name, "thrum-work");
    run_job(&j, "of-a-long-name", 256 * 1024);
    assert_string_equal(j.name, "thrum-of-a-long");
    j.leave_by_exit = true; /* a handler of the user's may do that */
    run_job(&j, "exit", 0);
}

static void nothing(void *arg)
{
    sem_post(arg);
}

static _Atomic int left, counted_then;
static void on_library_end(void)
{
    counted_then = thread_library_count();
    atomic_fetch_add(&left, 1);
}

/* What it gives back is given back when the count says that the thread is gone. */
static void test_the_end_of_a_library_thread(void **state)
{
    sem_t done;
    (void)state;
    assert_int_equal(sem_init(&done, 0, 0), 0);
    thread_on_library_end(on_library_end);
    assert_int_equal(thread_start(nothing, &done, "end", 0), 0);
    settle();
    assert_int_equal(left, 1);
    assert_int_equal(counted_then, 1);
    thread_on_library_end(NULL);
    assert_int_equal(thread_start(nothing, &done, "end", 0), 0);
    settle();
    assert_int_equal(left, 1);
    sem_destroy(&done);
}

static void test_tiny_stack_is_raised(void **state)
{
    (void)state;
    sem_t done;
    sem_init(&done, 0, 0);
    /* As much as the system asks for; a sanitizer's frames may not fit, so the thread does next to nothing.
     */
    assert_int_equal(thread_start(nothing, &done, "tiny", 1), 0);
    sem_wait(&done);
    settle();
    sem_destroy(&done);
}

static int refuse_thread(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)t, (void)a, (void)fn, (void)arg;
    return EAGAIN;
}

static void test_start_failures(void **state)
{
    (void)state;
    long live = atomic_load(&counter.live);
    struct job j = {0};
    sys.thread_create = refuse_thread;
    assert_int_equal(thread_start(work, &j, "x", 0), EAGAIN);
    sys.thread_create = sys_real.thread_create;
    assert_int_equal(thread_library_count(), 0);
    counter.refuse_from = 0;
    assert_int_equal(thread_start(work, &j, "x", 0), ENOMEM);
    counter.refuse_from = -1;
    atomic_store(&exit_begun, true);
    assert_int_equal(thread_start(work, &j, "x", 0), ECANCELED);
    atomic_store(&exit_begun, false);
    assert_int_equal(thread_library_count(), 0);
    assert_int_equal(counter.live, live);
}

static void begin_and_end(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void test_many(void **state)
{
    (void)state;
    enum { MANY = 200 };
    _Atomic int ran = 0;
    long live = atomic_load(&counter.live);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(thread_start(begin_and_end, &ran, "many", 0), 0);
        if (i % 8 == 7)
            assert_true(thread_library_settle(4, CLOCK_NEVER));
    }
    settle();
    assert_int_equal(ran, MANY);
    assert_int_equal(counter.live, live);
}

/* Wakers and a waiter: each wake ends a wait, and none is lost. */
static void *wake_often(void *arg)
{
    for (int i = 0; i < 1000; i++)
        thread_wake(arg);
    return NULL;
}

static void test_wake_from_another(void **state)
{
    (void)state;
    pthread_t t;
    struct thread *me = thread_self();
    struct pollfd p = {.fd = thread_wake_fd(me), .events = POLLIN};
    assert_int_equal(pthread_create(&t, NULL, wake_often, me), 0);
    assert_int_equal(poll(&p, 1, 30000), 1);
    thread_unwake(me);
    pthread_join(t, NULL);
    thread_unwake(me);
    thread_wake(me);
    assert_int_equal(poll(&p, 1, 30000), 1);
    thread_unwake(me);
    assert_int_equal(poll(&p, 1, 0), 0);
}

/* ---- fork ------------------------------------------------------------------------------------------------
 */

static struct job other;
static int other_fd, my_fd;
static long others_blocks;

static void begin_in_child(void)
{
    struct thread *t = thread_self();
    CHILD_CHECK(t && t->tid == gettid() && t->wake == -1);
    CHILD_CHECK(fcntl(my_fd, F_GETFD) == -1 && fcntl(other_fd, F_GETFD) == -1);
    CHILD_CHECK(thread_library_count() == 0);
    CHILD_CHECK(atomic_load(&counter.live) == others_blocks); /* the other's record and scratch are gone */
    CHILD_CHECK(thread_library_settle(0, 0));
    CHILD_CHECK(thread_wake_fd(t) >= 0);
    thread_wake(t);
    CHILD_CHECK(is_readable(t->wake));
}

static void *watch_fd(void *arg)
{
    struct job *j = arg;
    other_fd = thread_wake_fd(thread_self());
    sem_post(&j->begun);
    sem_wait(&j->go);
    return NULL;
}

static void test_fork(void **state)
{
    (void)state;
    pthread_t t;
    my_fd = thread_wake_fd(thread_self());
    others_blocks = atomic_load(&counter.live);
    sem_init(&other.begun, 0, 0);
    sem_init(&other.go, 0, 0);
    assert_int_equal(pthread_create(&t, NULL, watch_fd, &other), 0);
    sem_wait(&other.begun);
    assert_int_equal(thread_start(work, &other, "fork", 0), 0);
    sem_wait(&other.begun);
    assert_int_equal(in_child(begin_in_child), 0);
    assert_int_equal(thread_library_count(), 1); /* the parent notices nothing */
    assert_int_equal(thread_self()->wake, my_fd);
    thread_wake(thread_self());
    assert_true(is_readable(my_fd));
    thread_unwake(thread_self());
    sem_post(&other.go);
    sem_post(&other.go);
    pthread_join(t, NULL);
    settle();
    assert_int_equal(counter.live, others_blocks);
}

static void fork_here(void *arg)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(thread_library_count() == 1 && thread_self()->library && thread_self()->tid == gettid() ? 0
                                                                                                      : 1);
    waitpid(pid, arg, 0);
}

static void test_fork_of_a_library_thread(void **state)
{
    (void)state;
    int status = -1;
    assert_int_equal(thread_start(fork_here, &status, "forks", 0), 0);
    settle();
    assert_int_equal(status, 0);
}

static int set_up(void **state)
{
    (void)state;
    counter_on();
    pthread_key_create(&early, enter_again);
    thread_self(); /* makes our key */
    pthread_key_create(&late, enter_again);
    thread_on_end(on_end);
    return fork_watch(thread_fork_lock, thread_fork_unlock, thread_forked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_the_hook_is_for_threads_that_entered),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_destructors_that_enter),
        cmocka_unit_test(test_library_thread),
        cmocka_unit_test(test_the_end_of_a_library_thread),
        cmocka_unit_test(test_tiny_stack_is_raised),
        cmocka_unit_test(test_start_failures),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_wake_from_another),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_of_a_library_thread),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
