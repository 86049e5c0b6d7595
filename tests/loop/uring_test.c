/* Twin of src/loop/uring.c and the files beside it: what all backends do, then what only this one does. How
 * it all ends is in uring_end_test.c. */
#include "uring_lib.h"

#ifdef THRUM_URING
#    include "poller_checks.h"

#    include <liburing.h>
#    include <sys/resource.h>
#    include <sys/time.h>

enum { STREAMS = 24, STREAM_BYTES = 200 * 1000, LARGE = 3 * 1000 * 1000, RUSH = 100 };

/* ---- receiving ---- */
static void received_as_it_comes(void **state)
{
    (void)state;
    assert_true(poller_reads(p));
    assert_int_equal(poller_receive(p, -1, &one), EBADF);
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    silence();
    say("Hello");
    data_is(&one, "Hello");
    silence();
    const long before = fault_live_blocks();
    for (int i = 0; i < 3000; i++) { /* far more often than there are buffers: they come back */
        say("again");
        data_is(&one, "again");
    }
    assert_int_equal(fault_live_blocks(), before); /* ... and the few of the beginning are enough */
    assert_int_equal(poller_receive(p, a[0], &two), 0);
    say("for another");
    data_is(&two, "for another");
    say("the last");
    close(a[1]);
    a[1] = -1;
    data_is(&two, "the last");
    assert_int_equal(news(POLLER_DATA, &two)->n, 0);
    silence();
    assert_int_equal(poller_receive(p, a[0], &one), 0); /* asked again, it is told again */
    assert_int_equal(news(POLLER_DATA, &one)->n, 0);
    silence();
}

static void armed_beside(void **state)
{
    (void)state;
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &two), 0);
    (void)news(POLLER_OUT, &two);
    say("x");
    data_is(&two, "x"); /* what was given last is all events' */
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT | POLLER_STAY, &two), 0);
    (void)news(POLLER_OUT, &two);
    say("y");
    int n = 0;
    for (bool came = false; !came; n++) {
        int k = poller_wait(p, e, 8, LONG_MS);
        assert_in_range(k, 1, 2);
        for (int i = 0; i < k; i++)
            came |= e[i].what == POLLER_DATA;
    }
    assert_int_equal(poller_arm(p, a[0], 0, NULL), 0);
    silence();
}

static void no_socket(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(poller_receive(p, fds[0], &one), 0);
    assert_int_equal(news(POLLER_DATA, &one)->n, -ENOTSOCK);
    silence();
    assert_int_equal(poller_accept(p, a[0], &two), 0); /* and none that listens */
    assert_true(news(POLLER_ACCEPTED, &two)->n < 0);
    silence();
    close(fds[0]);
    assert_int_equal(poller_arm(p, fds[0], POLLER_IN, &one), 0); /* none at all */
    (void)news(POLLER_END, &one);
    close(fds[1]);
}

static void a_reset_is_told(void **state)
{
    (void)state;
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    silence();
    peer_reset(&peer);
    assert_int_equal(news(POLLER_DATA, &one)->n, -ECONNRESET);
    silence();
}

static void stopped(void **state)
{
    (void)state;
    poller_receive_stop(p, a[0]); /* never begun */
    poller_receive_stop(p, 100000);
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    poller_receive_stop(p, a[0]); /* before the kernel heard of it */
    say("1");
    silence();
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    data_is(&one, "1");
    say("2");
    poller_flush(p); /* the kernel reads it */
    poller_receive_stop(p, a[0]);
    data_is(&one, "2");
    silence();
    say("3");
    silence();
    /* Stopped and begun again in one turn, with data on the way: nothing is lost, the order is kept. */
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    data_is(&one, "3");
    say("4");
    poller_flush(p);
    poller_receive_stop(p, a[0]);
    poller_flush(p);
    assert_int_equal(poller_receive(p, a[0], &two), 0);
    data_is(&two, "4");
    say("5");
    data_is(&two, "5");
    poller_receive_stop(p, a[0]);
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    say("6");
    data_is(&one, "6");
}

struct stream {
    int fds[2];
    size_t written, seen;
    bool ended;
};

static void write_stream(struct stream *s, int which, size_t total)
{
    uint8_t b[5000];
    while (s->written < total) {
        size_t n = total - s->written < sizeof b ? total - s->written : sizeof b;
        for (size_t i = 0; i < n; i++)
            b[i] = byte_at(which, s->written + i);
        ssize_t put = send(s->fds[1], b, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0)
            return;
        s->written += (size_t)put;
    }
    if (s->fds[1] >= 0)
        close(s->fds[1]);
    s->fds[1] = -1;
}

/* More on the way than there are buffers, and few events at a time: all of it comes, in order. */
static void more_data_than_buffers(void **state)
{
    static struct stream s[STREAMS];
    int left = STREAMS;
    (void)state;
    memset(s, 0, sizeof s);
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s[i].fds), 0);
        assert_int_equal(poller_receive(p, s[i].fds[0], &s[i]), 0);
    }
    while (left > 0) {
        for (int i = 0; i < STREAMS; i++)
            write_stream(&s[i], i, STREAM_BYTES * (size_t)(i + 1) / 4);
        int n = poller_wait(p, e, 1 + left % 8, LONG_MS);
        assert_in_range(n, 1, 8);
        for (int k = 0; k < n; k++) {
            struct stream *x = e[k].data;
            assert_int_equal(e[k].what, POLLER_DATA);
            assert_true(e[k].n >= 0 && !x->ended);
            for (ssize_t i = 0; i < e[k].n; i++)
                if (e[k].bytes[i] != byte_at((int)(x - s), x->seen + (size_t)i))
                    fail_msg("byte %zu", x->seen + (size_t)i);
            x->seen += (size_t)e[k].n;
            if (e[k].n == 0) {
                assert_int_equal(x->seen, STREAM_BYTES * (size_t)(x - s + 1) / 4);
                x->ended = true;
                poller_forget(p, x->fds[0]);
                close(x->fds[0]);
                left--;
            } else {
                memset(e[k].bytes, 0, (size_t)e[k].n + 1);
            }
        }
    }
    silence();
}

/* With all buffers in the user's hands or full, a foreign loop is told to come by, as that frees some. */
static void a_foreign_loop_and_no_buffers(void **state)
{
    int fd = poller_fd(p);
    size_t seen = 0;
    struct stream s = {.fds = {a[0], a[1]}};
    (void)state;
    a[1] = -1;
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    for (bool ended = false; !ended;) {
        write_stream(&s, 0, LARGE);
        poller_flush(p);
        assert_true(readable(fd, LONG_MS));
        int n = poller_wait(p, e, 8, 0);
        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
            ended |= e[i].n == 0;
            seen += (size_t)e[i].n;
        }
    }
    assert_int_equal(seen, LARGE);
}

static void hear(int left)
{
    while (left > 0) {
        int n = poller_wait(p, e, left < 8 ? left : 8, LONG_MS);
        assert_in_range(n, 0, 8);
        left -= n;
        for (int i = 0; i < n; i++) {
            assert_int_equal(e[i].n, 4);
            assert_memory_equal(e[i].bytes, "rush", 4);
        }
    }
}

/* Many speak at once, so that there are more buffers than at first. All that was said is still to be reported
 * when this returns, but for `taken` events. */
static void a_rush(int fds[RUSH][2], int taken)
{
    for (int i = 0; i < RUSH; i++)
        assert_int_equal(write(fds[i][1], "rush", 4), 4);
    hear(taken);
}

static void rush_up(int fds[RUSH][2])
{
    for (int i = 0; i < RUSH; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds[i]), 0);
        assert_int_equal(poller_receive(p, fds[i][0], fds[i]), 0);
    }
    silence();
}

static void rush_down(int fds[RUSH][2])
{
    for (int i = 0; i < RUSH; i++) {
        poller_forget(p, fds[i][0]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

static void what_a_rush_took_is_given_back(void **state)
{
    static int fds[RUSH][2];
    (void)state;
    rush_up(fds);
    const long few = fault_live_blocks();
    poller_trim(p); /* nothing to give */
    a_rush(fds, RUSH);
    assert_true(fault_live_blocks() > few);
    poller_trim(p);
    silence();
    assert_int_equal(fault_live_blocks(), few);
    a_rush(fds, RUSH);
    assert_true(fault_live_blocks() > few);
    /* What has been read already, and not reported, is still to be. */
    a_rush(fds, 1);
    poller_flush(p);
    poller_trim(p);
    poller_trim(p);
    hear(RUSH - 1);
    silence();
    assert_int_equal(fault_live_blocks(), few);
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    say("x");
    data_is(&one, "x");
    rush_down(fds);
}

static int none_until;
static int no_register(unsigned fd, unsigned op, const void *arg, unsigned n)
{
    return op == IORING_REGISTER_PBUF_RING && none_until-- > 0 ? -ENOMEM
                                                               : sys_real.uring_register(fd, op, arg, n);
}

/* The kernel has no memory for the ring of buffers when it is to have it again. */
static void no_memory_to_read_on(void **state)
{
    static int fds[RUSH][2];
    (void)state;
    rush_up(fds);
    a_rush(fds, RUSH);
    sys.uring_register = no_register;
    none_until = 5;
    poller_trim(p);
    poller_flush(p);
    assert_true(readable(poller_fd(p), LONG_MS)); /* a foreign loop is to come by */
    a_rush(fds, RUSH);
    assert_true(none_until <= 0);
    silence();
    rush_down(fds);
}

/* ---- accepting ---- */
static void accepted_as_they_come(void **state)
{
    struct sockaddr_in at = {0};
    int l = listener(&at), got = 0, fds[20], callers[20];
    (void)state;
    assert_int_equal(poller_accept(p, -1, &one), EBADF);
    assert_int_equal(poller_accept(p, l, &one), 0);
    silence();
    for (int i = 0; i < 20; i++)
        callers[i] = caller(&at);
    while (got < 20) {
        int n = poller_wait(p, e, 8, LONG_MS);
        assert_in_range(n, 1, 8);
        for (int i = 0; i < n; i++) {
            assert_ptr_equal(e[i].data, &one);
            assert_int_equal(e[i].what, POLLER_ACCEPTED);
            assert_true(e[i].n >= 0);
            fds[got++] = (int)e[i].n;
        }
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(fcntl(fds[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        close(fds[i]);
        closed_for(callers[i]);
        close(callers[i]);
    }
    poller_forget(p, l);
    close(l);
}

static void a_forgotten_listener(void **state)
{
    struct sockaddr_in at = {0};
    int l = listener(&at);
    (void)state;
    assert_int_equal(poller_accept(p, l, &one), 0);
    silence();
    int c = caller(&at);
    poller_flush(p); /* the kernel accepts */
    poller_forget(p, l);
    close(l);
    l = listener(&at); /* no wait was needed for the port to be free */
    silence();
    closed_for(c); /* accepted for nobody */
    close(c);
    c = caller(&at);
    silence();
    assert_int_equal(poller_accept(p, l, &two), 0);
    const int fd = (int)news(POLLER_ACCEPTED, &two)->n;
    assert_true(fd >= 0);
    close(fd);
    close(c);
    /* What has been accepted when the poller goes is closed with it: tear_down counts. */
    c = caller(&at);
    poller_flush(p);
    close(l);
    poller_free(p);
    p = NULL;
    closed_for(c);
    close(c);
}

static void no_descriptors_left(void **state)
{
    struct sockaddr_in at = {0};
    struct rlimit old, low;
    int l = listener(&at), c = caller(&at);
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    assert_int_equal(poller_accept(p, l, &one), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int n = poller_wait(p, e, 8, LONG_MS), again = poller_wait(p, e + 1, 7, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(n, 1);
    assert_int_equal(again, 0);
    assert_int_equal(e[0].what, POLLER_ACCEPTED);
    assert_int_equal(e[0].n, -EMFILE);
    silence(); /* until it is called again */
    assert_int_equal(poller_accept(p, l, &two), 0);
    const int fd = (int)news(POLLER_ACCEPTED, &two)->n;
    assert_true(fd >= 0);
    close(fd);
    poller_forget(p, l);
    close(l);
    close(c);
}

/* ---- when the kernel is short of something ---- */
static int refuse, entered;
static int refused(unsigned fd, unsigned submit, unsigned n, unsigned flags, sigset_t *arg, size_t sz)
{
    entered++;
    if (refuse != 0 && submit > 0 && entered % 3 != 0)
        return -refuse;
    return sys_real.uring_enter(fd, submit, n, flags, arg, sz);
}

static void it_takes_nothing_now(void **state)
{
    static const int errors[] = {EAGAIN, EBUSY, ENOMEM, EINTR};
    (void)state;
    sys.uring_enter = refused;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        refuse = errors[i];
        entered = 0;
        assert_int_equal(poller_receive(p, a[0], &one), 0);
        assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &one), 0);
        say("x");
        for (int got = 0; got < 2;) {
            int n = poller_wait(p, e, 8, LONG_MS);
            assert_in_range(n, 0, 2);
            got += n;
        }
        /* Asked for, not taken, and forgotten: the next file with the number has nothing to do with it. */
        int other[2];
        char b[3];
        entered = 0;
        assert_int_equal(poller_receive(p, a[0], &one), 0);
        silence();
        poller_forget(p, a[0]);
        another_file_at(a[0], other);
        close(a[1]);
        a[1] = other[1];
        say("new");
        silence();
        assert_int_equal(read(a[0], b, 3), 3);
    }
}

static int waits;
static int counted_wait(unsigned fd, unsigned submit, unsigned n, unsigned flags, sigset_t *arg, size_t sz)
{
    waits += n > 0;
    return waits > 1 ? -EINTR : sys_real.uring_enter(fd, submit, n, flags, arg, sz);
}

/* The kernel does not tell of a signal when it has taken something before. */
static void a_signal_behind_a_submission(void **state)
{
    const struct itimerval often = {.it_interval = {.tv_usec = 10000}, .it_value = {.tv_usec = 10000}};
    const struct itimerval never = {0};
    struct sigaction act = {.sa_handler = quietly}, old;
    (void)state;
    assert_int_equal(sigaction(SIGALRM, &act, &old), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    sys.uring_enter = counted_wait;
    waits = 0;
    setitimer(ITIMER_REAL, &often, NULL);
    int n = poller_wait(p, e, 8, LONG_MS);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    assert_int_equal(n, 0);
    assert_int_equal(waits, 1);
}

static int all_refused(unsigned fd, unsigned submit, unsigned n, unsigned flags, sigset_t *arg, size_t sz)
{
    (void)fd;
    (void)submit;
    (void)n;
    (void)flags;
    (void)arg;
    (void)sz;
    return -refuse;
}

static void it_refuses_for_good(void **state)
{
    (void)state;
    sys.uring_enter = all_refused;
    refuse = ENOMEM;
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &one), 0);
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), -ENOMEM);
    refuse = EBADF;
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), -EBADF);
    poller_forget(p, a[0]);
    sys = sys_real;
    silence();
}

/* More answers at once than its ring has room for. */
static void too_many_answers(void **state)
{
    enum { READERS = 5000 };
    struct rlimit old, high;
    static int fds[READERS], seen[READERS];
    int end[2], left = READERS;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    high = (struct rlimit){.rlim_cur = old.rlim_max, .rlim_max = old.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &high) != 0 || high.rlim_cur < READERS + 100)
        skip();
    memset(seen, 0, sizeof seen);
    assert_int_equal(pipe2(end, O_CLOEXEC), 0);
    for (int i = 0; i < READERS; i++) {
        fds[i] = fcntl(end[0], F_DUPFD_CLOEXEC, 0);
        assert_int_equal(poller_arm(p, fds[i], POLLER_IN, &seen[i]), 0);
    }
    silence();
    assert_int_equal(write(end[1], "x", 1), 1);
    while (left > 0) {
        int n = poller_wait(p, e, 8, LONG_MS);
        assert_in_range(n, 1, 8);
        for (int i = 0; i < n; i++)
            left -= ++*(int *)e[i].data == 1;
    }
    silence();
    for (int i = 0; i < READERS; i++) {
        poller_forget(p, fds[i]);
        close(fds[i]);
    }
    close(end[0]);
    close(end[1]);
    setrlimit(RLIMIT_NOFILE, &old);
}

/* ---- every failure of all this ---- */
struct door {
    struct sockaddr_in at;
    int l;
};

static void read_and_accept_once(struct fault_report *r, void *arg)
{
    struct poller *q = NULL;
    struct poller_event ev[4];
    const struct door *d = arg;
    int b[2], l = d->l, c = -1, room = 0, came = 0, taken = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, b) != 0)
        return;
    if (poller_new_loop(&q, BACKEND) != 0) {
        fault_check(r, !r->harmless, "no poller");
        close(b[0]);
        close(b[1]);
        return;
    }
    bool ok = poller_receive(q, b[0], &one) == 0;
    ok &= poller_arm(q, b[0], POLLER_OUT, &one) == 0 && poller_accept(q, l, q) == 0;
    ok &= write(b[1], "x", 1) == 1;
    c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)!connect(c, (const struct sockaddr *)&d->at, sizeof d->at);
    for (int i = 0; i < 8 && (came < 1 || room < 1 || taken < 0); i++) {
        int n = poller_wait(q, ev, 4, ok ? 200 : 0);
        for (int k = 0; k < n; k++) {
            room += (ev[k].what & POLLER_OUT) != 0;
            came += (ev[k].what & POLLER_DATA) != 0;
            if (ev[k].what & POLLER_ACCEPTED && ev[k].n >= 0)
                taken = (int)ev[k].n;
        }
    }
    fault_check(r, (came == 1 && room == 1 && taken >= 0) || !r->harmless, "something did not come");
    poller_forget(q, b[0]);
    poller_forget(q, l);
    fault_check(r, room <= 1 && came <= 1, "something came twice");
    if (taken >= 0)
        close(taken);
    poller_free(q);
    close(c);
    close(b[0]);
    close(b[1]);
    /* Who was not accepted would be the next run's. */
    while ((c = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        close(c);
}

static void every_failure_of_reading_and_accepting(void **state)
{
    struct door x = {0};
    (void)state;
    x.l = listener(&x.at);
    assert_true(fault_run("uring reads", read_and_accept_once, &x, NULL) > 0);
    close(x.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COMMON_CHECKS,
        TEST(received_as_it_comes),
        TEST(armed_beside),
        TEST(no_socket),
        TCP(a_reset_is_told),
        TEST(stopped),
        TEST(more_data_than_buffers),
        TEST(a_foreign_loop_and_no_buffers),
        TEST(what_a_rush_took_is_given_back),
        TEST(no_memory_to_read_on),
        TEST(accepted_as_they_come),
        TEST(a_forgotten_listener),
        TEST(no_descriptors_left),
        TEST(it_takes_nothing_now),
        TEST(it_refuses_for_good),
        TEST(a_signal_behind_a_submission),
        TEST(too_many_answers),
        TEST(every_failure_of_reading_and_accepting),
    };
    return is_to_be_had() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
#else
int main(void)
{
    return is_to_be_had() ? 1 : 77;
}
#endif
