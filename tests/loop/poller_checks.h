/* poller_checks.h: what every backend must do; epoll_test.c, poll_test.c and uring_test.c run the same
 * checks. The including file says which: #define BACKEND "epoll"; its main runs COMMON_CHECKS. */
#include "poller_lib.h"

enum { MANY = 300 };

static void reported_once_until_armed_again(void **state)
{
    (void)state;
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    nothing();
    put();
    event(&one, POLLER_IN);
    nothing(); /* though the byte is still there */
    put();
    nothing(); /* nor for a new one */
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &two), 0);
    event(&two, POLLER_IN);
    nothing();
}

static void reported_for_as_long_as_it_is_so(void **state)
{
    char c;
    (void)state;
    assert_int_equal(poller_arm(p, a[0], POLLER_IN | POLLER_STAY, &one), 0);
    nothing();
    put();
    event(&one, POLLER_IN);
    event(&one, POLLER_IN);
    assert_int_equal(read(a[0], &c, 1), 1);
    nothing();
    put();
    event(&one, POLLER_IN);
    /* The last to arm says for how long, and for what. */
    assert_int_equal(poller_arm(p, a[0], POLLER_IN | POLLER_OUT | POLLER_STAY, &two), 0);
    event(&two, POLLER_IN | POLLER_OUT);
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT | POLLER_STAY, &two), 0);
    event(&two, POLLER_OUT);
    event(&two, POLLER_OUT);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &two), 0);
    event(&two, POLLER_IN);
    nothing();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN | POLLER_STAY, &one), 0);
    event(&one, POLLER_IN);
    assert_int_equal(poller_arm(p, a[0], POLLER_STAY, &one), 0); /* with nothing: silent */
    nothing();
    assert_int_equal(poller_arm(p, a[0], POLLER_END | POLLER_STAY, &two), 0);
    nothing();
    close(a[1]);
    a[1] = -1;
    event(&two, POLLER_END);
    event(&two, POLLER_END);
    poller_forget(p, a[0]);
    nothing();
}

/* Once for what has come, and again when asked anew; a backend may tell more often. */
static void told_of_what_has_come(void **state)
{
    enum { EDGE = POLLER_IN | POLLER_STAY | POLLER_EDGE };
    char c;
    (void)state;
    assert_int_equal(poller_arm(p, a[0], EDGE, &one), 0);
    nothing();
    for (int i = 0; i < 3; i++) {
        put();
        event(&one, POLLER_IN);
        if (i == 1) {
            assert_int_equal(poller_arm(p, a[0], EDGE, &one), 0);
            event(&one, POLLER_IN);
        }
        assert_int_equal(read(a[0], &c, 1), 1);
        nothing();
    }
    put();
    close(a[1]);
    a[1] = -1;
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 1);
    assert_true(e[0].what & POLLER_IN);
    bool end_told = e[0].what & POLLER_END;
    assert_int_equal(read(a[0], &c, 1), 1);
    if (end_told)
        assert_int_equal(poller_arm(p, a[0], EDGE, &one), 0);
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 1); /* without END it is told of the end by itself */
    assert_true(e[0].what & (POLLER_IN | POLLER_END));
    poller_forget(p, a[0]);
    nothing();
}

static void only_what_was_asked_for(void **state)
{
    (void)state;
    put();
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, NULL), 0);
    event(NULL, POLLER_OUT);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN | POLLER_OUT, NULL), 0);
    event(NULL, POLLER_IN | POLLER_OUT);
    /* The last to arm says what is wanted. */
    assert_int_equal(poller_arm(p, a[0], POLLER_IN | POLLER_OUT, &one), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &two), 0);
    event(&two, POLLER_IN);
}

/* What has become ready is told of what is armed now, and not of what was. */
static void armed_otherwise_with_news_on_the_way(void **state)
{
    (void)state;
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    poller_flush(p);
    put();
    poller_flush(p);
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &two), 0);
    event(&two, POLLER_OUT);
    nothing();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    poller_flush(p);
    assert_int_equal(poller_arm(p, a[0], 0, &one), 0);
    poller_flush(p);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &two), 0);
    event(&two, POLLER_IN);
    nothing();
}

static void armed_with_nothing_is_silent(void **state)
{
    (void)state;
    assert_int_equal(poller_arm(p, a[0], 0, &one), 0); /* never seen before */
    put();
    nothing();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    assert_int_equal(poller_arm(p, a[0], 0, &one), 0);
    nothing();
    close(a[1]); /* not even the end */
    a[1] = -1;
    nothing();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    event(&one, POLLER_IN | POLLER_END);
}

static void the_end_is_always_told(void **state)
{
    (void)state;
    assert_int_equal(shutdown(a[0], SHUT_RDWR), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &one), 0);
    event(&one, POLLER_OUT | POLLER_END);
    nothing();
    assert_int_equal(poller_arm(p, a[0], POLLER_END, &one), 0);
    event(&one, POLLER_END);
}

static void forgotten_is_gone(void **state)
{
    (void)state;
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    put();
    poller_forget(p, a[0]);
    nothing();
    poller_forget(p, a[0]); /* again, and one never seen: fine */
    poller_forget(p, a[1]);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &two), 0); /* and it may come back */
    event(&two, POLLER_IN);
}

/* A number that was closed, without forgetting it while it was silent, and taken by another file. */
static void a_number_may_be_another_file(void **state)
{
    (void)state;
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    put();
    event(&one, POLLER_IN);
    int other[2];
    assert_int_equal(pipe2(other, O_CLOEXEC), 0);
    assert_int_equal(dup2(other[0], a[0]), a[0]);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &two), 0);
    assert_int_equal(write(other[1], "x", 1), 1);
    event(&two, POLLER_IN);
    close(other[0]);
    close(other[1]);
}

static void errors_of_arming(void **state)
{
    (void)state;
    assert_int_equal(poller_arm(p, -1, POLLER_IN, NULL), EBADF);
    assert_int_equal(poller_wait(p, e, 0, 0), -EINVAL);
}

static void arm_it(void)
{
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
}

static void armed_from_another_thread_during_the_wait(void **state)
{
    (void)state;
    put();
    assert_int_equal(during_a_wait(arm_it), 1);
    assert_ptr_equal(e[0].data, &one);
    nothing();
}

static void forget_then_wake(void)
{
    poller_forget(p, a[0]);
    put();
    poller_wake(p);
}

static void forgotten_during_the_wait(void **state)
{
    (void)state;
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    assert_int_equal(during_a_wait(forget_then_wake), 0);
    nothing();
}

static void rearm_then_wake(void)
{
    assert_int_equal(poller_arm(p, a[0], 0, &one), 0);
    put();
    poller_wake(p);
}

static void silenced_during_the_wait(void **state)
{
    (void)state;
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    assert_int_equal(during_a_wait(rearm_then_wake), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    event(&one, POLLER_IN);
}

static int changed_after_poll(struct pollfd *q, nfds_t n, int ms)
{
    put();
    int r = sys_real.poll(q, n, ms);
    sys.poll = sys_real.poll;
    assert_int_equal(poller_arm(p, a[0], POLLER_END, &two), 0);
    poller_wake(p);
    return r;
}

/* An answer to what was asked before is none to what is asked now. (With epoll the kernel sees to that.) */
static void armed_anew_between_readiness_and_report(void **state)
{
    (void)state;
    if (strcmp(BACKEND, "poll") != 0)
        skip();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    sys.poll = changed_after_poll;
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    event(&one, POLLER_IN);
}

static void wake(void)
{
    poller_wake(p);
}

static atomic_int writes;
static ssize_t counted_write(int fd, const void *b, size_t n)
{
    atomic_fetch_add(&writes, 1);
    return sys_real.write(fd, b, n);
}

static void woken(void **state)
{
    (void)state;
    assert_int_equal(during_a_wait(wake), 0);
    poller_wake(p); /* before the wait: not lost */
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    /* Many are one, and cost one write. */
    atomic_store(&writes, 0);
    sys.write = counted_write;
    for (int i = 0; i < 1000; i++)
        poller_wake(p);
    assert_int_equal(atomic_load(&writes), 1);
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    poller_wake(p);
    assert_int_equal(atomic_load(&writes), 2);
    /* A wake does not hide an event. */
    put();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    event(&one, POLLER_IN);
}

static void wake_in_handler(int sig)
{
    (void)sig;
    poller_wake(p);
}

static void woken_from_a_signal_handler(void **state)
{
    struct sigaction act = {.sa_handler = wake_in_handler}, old;
    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &act, &old), 0);
    errno = 77;
    raise(SIGUSR1);
    assert_int_equal(errno, 77);
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    sigaction(SIGUSR1, &old, NULL);
}

static int poll_eintr(struct pollfd *q, nfds_t n, int ms)
{
    (void)q;
    (void)n;
    (void)ms;
    errno = EINTR;
    return -1;
}
static int epoll_eintr(int fd, struct epoll_event *q, int n, int ms)
{
    (void)fd;
    (void)q;
    (void)n;
    (void)ms;
    errno = EINTR;
    return -1;
}

#ifdef THRUM_URING
static int uring_eintr(unsigned fd, unsigned submit, unsigned n, unsigned flags, sigset_t *arg, size_t sz)
{
    (void)fd;
    (void)submit;
    (void)n;
    (void)flags;
    (void)arg;
    (void)sz;
    return -EINTR;
}
#endif

static void a_signal_ends_the_wait_quietly(void **state)
{
    (void)state;
    put();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    sys.poll = poll_eintr;
    sys.epoll_wait = epoll_eintr;
#ifdef THRUM_URING
    sys.uring_enter = uring_eintr;
#endif
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    sys = sys_real;
    event(&one, POLLER_IN); /* nothing was lost by it */
}

static void quietly(int sig)
{
    (void)sig;
}

static pthread_t waiter;
static void signal_it(void)
{
    /* It may not sleep yet: a signal before that is no reason to come back. */
    struct timespec t = {.tv_nsec = 1000000};
    for (int i = 0; i < 50; i++, nanosleep(&t, NULL))
        pthread_kill(waiter, SIGUSR1);
}

static void *note_and_wait(void *arg)
{
    waiter = pthread_self();
    return wait_for_event(arg);
}

static void a_real_signal_does_too(void **state)
{
    struct sigaction act = {.sa_handler = quietly}, old; /* SA_RESTART makes no difference to a wait */
    void *n;
    pthread_t t;
    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &act, &old), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    sem_init(&inside, 0, 0);
    sys.poll = announced_poll;
    sys.epoll_wait = announced_epoll;
#ifdef THRUM_URING
    sys.uring_enter = announced_uring;
#endif
    assert_int_equal(pthread_create(&t, NULL, note_and_wait, e), 0);
    while (sem_wait(&inside) != 0)
        continue;
    signal_it();
    pthread_join(t, &n);
    assert_null(n);
    sigaction(SIGUSR1, &old, NULL);
}

static void the_time_is_kept(void **state)
{
    int64_t before = clock_now();
    (void)state;
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    assert_int_equal(poller_wait(p, e, 8, 30), 0);
    assert_true(clock_now() - before >= 29 * CLOCK_MS); /* epoll counts in whole milliseconds */
}

/* More ready than fit: the rest comes with the next calls, each once. */
static void many_at_once(void **state)
{
    int fds[MANY][2], seen[MANY] = {0}, left = MANY;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(pipe2(fds[i], O_CLOEXEC), 0);
        assert_int_equal(write(fds[i][1], "x", 1), 1);
        assert_int_equal(poller_arm(p, fds[i][0], POLLER_IN, &seen[i]), 0);
    }
    while (left > 0) {
        int n = poller_wait(p, e, 8, LONG_MS);
        assert_in_range(n, 1, 8);
        for (int i = 0; i < n; i++)
            ++*(int *)e[i].data;
        left -= n;
    }
    nothing();
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(seen[i], 1);
        poller_forget(p, fds[i][0]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

/* More stay ready than fit: each has its turn. */
static void many_that_stay(void **state)
{
    int fds[2], copies[MANY], seen[MANY] = {0}, left = MANY;
    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    for (int i = 0; i < MANY; i++) {
        copies[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        assert_int_equal(poller_arm(p, copies[i], POLLER_IN | POLLER_STAY, &seen[i]), 0);
    }
    for (int waits = 0; left > 0; waits++) {
        assert_true(waits < 4 * MANY / 8);
        int n = poller_wait(p, e, 8, LONG_MS);
        assert_in_range(n, 1, 8);
        for (int i = 0; i < n; i++)
            left -= ++*(int *)e[i].data == 1;
    }
    for (int i = 0; i < MANY; i++) {
        poller_forget(p, copies[i]);
        close(copies[i]);
    }
    nothing();
    close(fds[0]);
    close(fds[1]);
}

/* One call gives as many as the caller has room for. */
static void a_large_batch(void **state)
{
    static struct poller_event many[MANY + 1];
    int fds[2], copies[MANY], seen[MANY] = {0};
    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    for (int i = 0; i < MANY; i++) {
        copies[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        assert_int_equal(poller_arm(p, copies[i], POLLER_IN, &seen[i]), 0);
    }
    poller_wake(p); /* takes a place of the kernel's, none of the caller's */
    int got = 0;
    for (int n = 1; n > 0; got += n) {
        n = poller_wait(p, many + got, MANY + 1 - got, got < MANY ? LONG_MS : 0);
        assert_true(n >= 0);
    }
    assert_int_equal(got, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(many[i].what, POLLER_IN);
        ++*(int *)many[i].data;
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(seen[i], 1);
        poller_forget(p, copies[i]);
        close(copies[i]);
    }
    close(fds[0]);
    close(fds[1]);
}

/* ---- for a foreign loop ---- */
static void a_descriptor_to_wait_for(void **state)
{
    int fd = poller_fd(p);
    (void)state;
    if (fd < 0)
        skip();
    nothing();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN | POLLER_STAY, &one), 0);
    poller_flush(p);
    assert_false(readable(fd, 0));
    put();
    assert_true(readable(fd, LONG_MS));
    assert_int_equal(poller_wait(p, e, 8, 0), 1);
    poller_flush(p);
    assert_true(readable(fd, LONG_MS)); /* it stays */
    assert_int_equal(poller_arm(p, a[0], 0, &one), 0);
    nothing();
    poller_flush(p);
    assert_false(readable(fd, 0));
    poller_wake(p);
    assert_true(readable(fd, LONG_MS));
    nothing();
    poller_flush(p);
    assert_false(readable(fd, 0));
}

static int settimes;
static int counted_settime(int fd, int flags, const struct itimerspec *t, struct itimerspec *old)
{
    settimes++;
    return sys_real.timerfd_settime(fd, flags, t, old);
}

static void an_alarm(void **state)
{
    int fd = poller_fd(p);
    const int64_t far = clock_now() + LONG_MS * CLOCK_MS;
    (void)state;
    if (fd < 0) {
        assert_int_equal(poller_alarm(p, far), ENOSYS);
        skip();
    }
    sys.timerfd_settime = counted_settime;
    settimes = 0;
    for (int i = 0; i < 10; i++)
        assert_int_equal(poller_alarm(p, far), 0);
    assert_int_equal(settimes, 1);
    nothing();
    poller_flush(p);
    assert_false(readable(fd, 0));
    assert_int_equal(poller_alarm(p, clock_now() + 20 * CLOCK_MS), 0);
    assert_true(readable(fd, LONG_MS));
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    poller_flush(p);
    assert_false(readable(fd, 0));            /* once */
    assert_int_equal(poller_alarm(p, -5), 0); /* gone by */
    assert_true(readable(fd, LONG_MS));
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    assert_int_equal(poller_alarm(p, clock_now()), 0);
    assert_true(readable(fd, LONG_MS));
    assert_int_equal(poller_alarm(p, CLOCK_NEVER), 0);
    nothing();
    poller_flush(p);
    assert_false(readable(fd, 0));
    assert_int_equal(poller_alarm(p, clock_now() + 20 * CLOCK_MS), 0);
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0); /* it ends a wait, too */
}

/* What none but io_uring does. */
static void reading_is_the_users(void **state)
{
    (void)state;
    if (poller_reads(p))
        skip();
    assert_int_equal(poller_receive(p, a[0], &one), ENOSYS);
    poller_receive_stop(p, a[0]);
    assert_int_equal(poller_accept(p, a[0], &one), ENOSYS);
    poller_flush(p);
    nothing();
}

/* Threads arm at the same time, first calls for their descriptors and for a shared one; nothing gets lost. */
static int ring[4][2];
static void *arm_often(void *arg)
{
    int *mine = arg;
    intptr_t bad = 0;
    for (int i = 0; i < 500; i++) {
        bad += poller_arm(p, mine[0], POLLER_IN, mine) != 0;
        bad += poller_arm(p, a[0], POLLER_IN, &one) != 0;
        if (i % 50 == 0)
            poller_forget(p, mine[0]);
    }
    bad += poller_arm(p, mine[0], POLLER_IN, mine) != 0;
    bad += write(mine[1], "x", 1) != 1;
    poller_wake(p);
    return (void *)bad;
}

static void armed_by_many_threads(void **state)
{
    pthread_t t[4];
    int left = 4;
    void *bad;
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pipe2(ring[i], O_CLOEXEC), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, arm_often, ring[i]), 0);
    while (left > 0) {
        int n = poller_wait(p, e, 8, LONG_MS);
        assert_true(n >= 0);
        for (int i = 0; i < n; i++)
            left -= e[i].data != &one;
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &bad);
        assert_null(bad);
        close(ring[i][0]);
        close(ring[i][1]);
        poller_forget(p, ring[i][0]);
    }
}

static void poll_once(struct fault_report *r, void *arg)
{
    struct poller *q = NULL;
    struct poller_event ev[2];
    (void)arg;
    int k = poller_new_loop(&q, BACKEND);
    fault_check(r, k >= 0 && (k == 0) == (q != NULL), "result and poller do not agree");
    fault_check(r, k == 0 || !r->harmless, "no poller");
    if (q == NULL)
        return;
    k = poller_arm(q, a[0], POLLER_OUT | POLLER_STAY, &one);
    for (int i = 0; i < 2; i++) {
        int n = k == 0 ? poller_wait(q, ev, 2, 1000) : 0;
        fault_check(r, (k == 0 && n == 1 && ev[0].data == &one) || !r->harmless, "no event");
    }
    poller_forget(q, a[0]);
    poller_wake(q);
    poller_wait(q, ev, 2, 0);
    k = poller_fd(q) < 0 ? 0 : poller_alarm(q, clock_now() + CLOCK_MS);
    if (k == 0)
        poller_wait(q, ev, 2, 100);
    fault_check(r, k == 0 || !r->harmless, "no alarm");
    poller_flush(q);
    poller_free(q);
}

static void every_failure(void **state)
{
    (void)state;
    assert_true(fault_run("poller " BACKEND, poll_once, NULL, NULL) > 0);
}

#define COMMON_CHECKS                                                                                        \
    CHECK(reported_once_until_armed_again), CHECK(reported_for_as_long_as_it_is_so),                         \
        CHECK(told_of_what_has_come), CHECK(only_what_was_asked_for),                                        \
        CHECK(armed_otherwise_with_news_on_the_way), CHECK(armed_with_nothing_is_silent),                    \
        CHECK(the_end_is_always_told), CHECK(forgotten_is_gone), CHECK(a_number_may_be_another_file),        \
        CHECK(errors_of_arming), CHECK(armed_from_another_thread_during_the_wait),                           \
        CHECK(forgotten_during_the_wait), CHECK(silenced_during_the_wait),                                   \
        CHECK(armed_anew_between_readiness_and_report), CHECK(woken), CHECK(woken_from_a_signal_handler),    \
        CHECK(a_signal_ends_the_wait_quietly), CHECK(a_real_signal_does_too), CHECK(the_time_is_kept),       \
        CHECK(many_at_once), CHECK(many_that_stay), CHECK(a_large_batch), CHECK(a_descriptor_to_wait_for),   \
        CHECK(an_alarm), CHECK(reading_is_the_users), CHECK(armed_by_many_threads), CHECK(every_failure)
