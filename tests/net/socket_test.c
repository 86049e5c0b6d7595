/* Twin of src/net/socket.c: each test runs over IPv4, IPv6 (where the machine has it) and a Unix pair. */
#include "net/stream.h"
#include "net_test.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
struct pair {
    struct stream *s;
    struct peer peer;
    struct leaks before;
};

static bool pair_open(struct pair *p, int family)
{
    int fd;
    if (family == AF_INET6 && !peer_has_ipv6())
        return false;
    p->before = leaks_before();
    assert_true(peer_pair(&p->peer, family, &fd));
    assert_int_equal(fcntl(fd, F_SETFD, 0), 0); /* as a careless giver leaves it */
    assert_int_equal(stream_socket(&p->s, fd), 0);
    return true;
}

static void pair_close(struct pair *p)
{
    p->s->ops->free(p->s);
    peer_close(&p->peer);
    leaks_none(p->before);
}

#define EACH_FAMILY(p)                                                                                       \
    for (size_t f_ = 0; f_ < 3; f_++)                                                                        \
        if (pair_open(p, families[f_]))

static ssize_t read_some(struct stream *s, void *b, size_t n)
{
    struct iovec v = {.iov_base = b, .iov_len = n};
    return s->ops->read(s, &v, 1);
}

static ssize_t write_some(struct stream *s, const char *b, size_t n)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)b, .iov_len = n};
    return s->ops->write(s, &v, 1);
}

static short poll_for(struct stream *s, short what)
{
    struct pollfd p = {.fd = s->ops->fd(s), .events = what};
    return poll(&p, 1, PEER_MS) == 1 ? p.revents : 0;
}

static void the_descriptor_is_made_fit(void **state)
{
    struct pair p;
    (void)state;
    EACH_FAMILY(&p)
    {
        int fd = p.s->ops->fd(p.s), on = 0;
        socklen_t n = sizeof on;
        assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        if (families[f_] != AF_UNIX) {
            assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
            assert_true(on);
        }
        pair_close(&p);
    }
}

static void bytes_go_both_ways(void **state)
{
    struct pair p;
    char b[16];
    (void)state;
    EACH_FAMILY(&p)
    {
        assert_int_equal(read_some(p.s, b, sizeof b), -EAGAIN);
        assert_true(peer_puts(&p.peer, "abc"));
        assert_true((poll_for(p.s, POLLIN) & POLLIN) != 0);
        assert_int_equal(read_some(p.s, b, sizeof b), 3);
        assert_memory_equal(b, "abc", 3);
        assert_int_equal(write_some(p.s, "xyz", 3), 3);
        assert_true(peer_read(&p.peer, b, 3));
        assert_memory_equal(b, "xyz", 3);
        pair_close(&p);
    }
}

static void slices_are_gathered_and_scattered(void **state)
{
    struct pair p;
    char all[8], a[2], b[4];
    char one[] = "he", two[] = "llo!";
    struct iovec out[3] = {{one, 2}, {one, 0}, {two, 4}}, in[2] = {{a, 2}, {b, 4}};
    (void)state;
    EACH_FAMILY(&p)
    {
        assert_int_equal(p.s->ops->read(p.s, in, 2), -EAGAIN);
        assert_int_equal(p.s->ops->write(p.s, out, 3), 6);
        assert_true(peer_read(&p.peer, all, 6));
        assert_memory_equal(all, "hello!", 6);
        assert_true(peer_puts(&p.peer, "worlds"));
        assert_true((poll_for(p.s, POLLIN) & POLLIN) != 0);
        assert_int_equal(p.s->ops->read(p.s, in, 2), 6);
        assert_memory_equal(a, "wo", 2);
        assert_memory_equal(b, "rlds", 4);
        assert_int_equal(p.s->ops->read(p.s, in, 0), -EINVAL);
        assert_int_equal(p.s->ops->write(p.s, out, 0), -EINVAL);
        pair_close(&p);
    }
}

static void each_half_ends_by_itself(void **state)
{
    struct pair p;
    char b[4];
    (void)state;
    EACH_FAMILY(&p)
    {
        assert_int_equal(p.s->ops->shut_out(p.s), 0);
        assert_int_equal(peer_drain(&p.peer, NULL), 0);
        assert_true(peer_puts(&p.peer, "late"));
        peer_half_close(&p.peer);
        assert_true((poll_for(p.s, POLLIN) & POLLIN) != 0);
        assert_int_equal(read_some(p.s, b, 4), 4);
        assert_true((poll_for(p.s, POLLIN) & POLLIN) != 0);
        assert_int_equal(read_some(p.s, b, 4), 0);
        pair_close(&p);
    }
}

static void *wait_readable(void *arg)
{
    return (void *)(uintptr_t)poll_for(arg, POLLIN);
}

static void cut_wakes_who_polls(void **state)
{
    struct pair p;
    pthread_t t;
    void *what;
    char b[4];
    (void)state;
    EACH_FAMILY(&p)
    {
        assert_int_equal(pthread_create(&t, NULL, wait_readable, p.s), 0);
        p.s->ops->cut(p.s);
        pthread_join(t, &what);
        assert_true(((uintptr_t)what & POLLIN) != 0);
        assert_int_equal(read_some(p.s, b, 4), 0);
        assert_int_equal(write_some(p.s, "x", 1), -EPIPE); /* and no signal, or we would be dead */
        p.s->ops->cut(p.s);                                /* again: fine */
        pair_close(&p);
    }
}

static void a_reset_is_an_error(void **state)
{
    struct pair p;
    char b[4];
    (void)state;
    EACH_FAMILY(&p)
    {
        if (families[f_] != AF_UNIX) {
            peer_reset(&p.peer);
            assert_true(poll_for(p.s, POLLIN) != 0);
            assert_int_equal(read_some(p.s, b, 4), -ECONNRESET);
            assert_int_equal(write_some(p.s, "x", 1), -EPIPE);
            assert_int_equal(p.s->ops->shut_out(p.s), -ENOTCONN);
        }
        pair_close(&p);
    }
}

static void a_full_socket_says_so(void **state)
{
    static char block[65536];
    struct pair p;
    (void)state;
    EACH_FAMILY(&p)
    {
        ssize_t r, sum = 0;
        size_t n = 0;
        assert_true(peer_small_buffers(p.s->ops->fd(p.s)));
        while ((r = write_some(p.s, block, sizeof block)) > 0)
            sum += r;
        assert_int_equal(r, -EAGAIN);
        assert_int_equal(p.s->ops->shut_out(p.s), 0);
        assert_int_equal(peer_drain(&p.peer, &n), 0);
        assert_int_equal(n, sum); /* what was taken arrives */
        pair_close(&p);
    }
}

static void peers_are_named(void **state)
{
    struct pair p;
    char text[160], expected[64], tiny[5];
    (void)state;
    EACH_FAMILY(&p)
    {
        snprintf(expected, sizeof expected, families[f_] == AF_INET6 ? "[::1]:%u" : "127.0.0.1:%u",
                 (unsigned)p.peer.port);
        p.s->ops->describe(p.s, text, sizeof text);
        assert_string_equal(text, families[f_] == AF_UNIX ? "unix" : expected);
        p.s->ops->describe(p.s, tiny, sizeof tiny);
        assert_int_equal(strlen(tiny), 4);
        peer_reset(&p.peer); /* known still when it has gone */
        p.s->ops->describe(p.s, text, sizeof text);
        assert_string_equal(text, families[f_] == AF_UNIX ? "unix" : expected);
        pair_close(&p);
    }
}

static void refused(int fd, int error)
{
    struct stream *s = (struct stream *)&error;
    assert_int_equal(stream_socket(&s, fd), error);
    assert_null(s);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
}

static void what_is_no_connected_stream_socket(void **state)
{
    struct leaks before = leaks_before();
    struct stream *s;
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    refused(fds[0], -ENOTSOCK);
    close(fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    refused(fds[0], -EPROTOTYPE);
    close(fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    refused(fds[0], -EPROTOTYPE);
    close(fds[1]);
    refused(socket(AF_INET, SOCK_STREAM, 0), -ENOTCONN);
    assert_int_equal(stream_socket(&s, -1), -EBADF);
    assert_int_equal(stream_socket(&s, 9999), -EBADF);
    leaks_none(before);
}

static void a_linger_time_would_wait(void **state)
{
    const struct linger wait = {1, 30}, abort_it = {1, 0};
    struct linger l;
    socklen_t n = sizeof l;
    struct stream *s;
    struct peer peer;
    int fd;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_true(peer_pair(&peer, AF_INET, &fd));
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, i ? &abort_it : &wait, sizeof wait), 0);
        assert_int_equal(stream_socket(&s, fd), 0);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &n), 0);
        assert_int_equal(l.l_onoff, i); /* an abort is the giver's wish, and waits for nothing */
        s->ops->free(s);
        peer_close(&peer);
    }
}

static int interruptions;
static ssize_t recv_interrupted(int fd, void *p, size_t n, int flags)
{
    if (interruptions-- <= 0)
        return sys_real.recv(fd, p, n, flags);
    errno = EINTR;
    return -1;
}
static ssize_t sendmsg_interrupted(int fd, const struct msghdr *m, int flags)
{
    if (interruptions-- <= 0)
        return sys_real.sendmsg(fd, m, flags);
    errno = EINTR;
    return -1;
}

static void signals_do_not_show(void **state)
{
    struct pair p;
    char b[4] = "abc";
    struct iovec v[2] = {{b, 1}, {b + 1, 2}};
    (void)state;
    sys.recv = recv_interrupted;
    sys.sendmsg = sendmsg_interrupted;
    EACH_FAMILY(&p)
    {
        interruptions = 3;
        assert_int_equal(p.s->ops->write(p.s, v, 2), 3);
        assert_true(interruptions < 0);
        assert_true(peer_puts(&p.peer, "z"));
        assert_true((poll_for(p.s, POLLIN) & POLLIN) != 0);
        interruptions = 3;
        assert_int_equal(read_some(p.s, b, 4), 1);
        assert_true(interruptions < 0);
        pair_close(&p);
    }
    sys = sys_real;
}

/* Takes a socket, sends and receives a byte over it, lets go. */
static void give_and_use(struct fault_report *r, void *arg)
{
    struct peer peer;
    struct stream *s = NULL;
    char b = 'x';
    int fd;
    if (!fault_check(r, peer_pair(&peer, *(const int *)arg, &fd), "no pair"))
        return;
    int e = stream_socket(&s, fd);
    fault_check(r, e <= 0 && (e == 0) == (s != NULL), "result and stream do not agree");
    fault_check(r, e == 0 || !r->harmless, "it failed");
    if (s != NULL) {
        ssize_t n = write_some(s, "x", 1);
        fault_check(r, n == 1 || (n < 0 && !r->harmless), "write");
        fault_check(r, n != 1 || (peer_read(&peer, &b, 1) && b == 'x'), "what was written did not come");
        n = read_some(s, &b, 1);
        fault_check(r, n == -EAGAIN || !r->harmless, "read");
        s->ops->shut_out(s);
        s->ops->cut(s);
        s->ops->free(s);
    }
    peer_close(&peer);
}

static void every_failure(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        if (families[i] != AF_INET6 || peer_has_ipv6())
            assert_true(fault_run("socket", give_and_use, (void *)(uintptr_t)&families[i], NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_descriptor_is_made_fit),
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(slices_are_gathered_and_scattered),
        cmocka_unit_test(each_half_ends_by_itself),
        cmocka_unit_test(cut_wakes_who_polls),
        cmocka_unit_test(a_reset_is_an_error),
        cmocka_unit_test(a_full_socket_says_so),
        cmocka_unit_test(peers_are_named),
        cmocka_unit_test(what_is_no_connected_stream_socket),
        cmocka_unit_test(a_linger_time_would_wait),
        cmocka_unit_test(signals_do_not_show),
        cmocka_unit_test(every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
