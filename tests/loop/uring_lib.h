/* uring_lib.h: for the tests of what only io_uring does. */
#ifndef TESTS_LOOP_URING_LIB_H
#define TESTS_LOOP_URING_LIB_H

#define BACKEND "uring"
#include "poller_lib.h"

#include <arpa/inet.h>
#include <stdio.h>

static struct peer peer; /* of tests that need TCP */

/* One event after the other, as the order of a batch is of no interest here. */
static int batch, used;

static inline const struct poller_event *news(unsigned what, const void *data)
{
    if (used == batch) {
        memset(e, 0, sizeof e);
        used = 0;
        batch = poller_wait(p, e, 8, LONG_MS);
        assert_in_range(batch, 1, 8);
    }
    const struct poller_event *x = &e[used++];
    assert_int_equal(x->what, what);
    assert_ptr_equal(x->data, data);
    return x;
}

static inline void silence(void)
{
    assert_int_equal(used, batch);
    nothing();
}

static inline int begin_test(void **state)
{
    batch = used = 0;
    return set_up(state);
}

static inline int set_up_tcp(void **state)
{
    int fd;
    int r = begin_test(state);
    if (r != 0 || !peer_pair(&peer, AF_INET, &fd))
        return -1;
    close(a[0]);
    a[0] = fd;
    close(peer.listening);
    peer.listening = -1;
    return fcntl(fd, F_SETFL, O_NONBLOCK);
}

static inline int tear_down_tcp(void **state)
{
    peer_close(&peer);
    return tear_down(state);
}

static inline void data_is(const void *data, const char *text)
{
    const struct poller_event *x = news(POLLER_DATA, data);
    assert_int_equal(x->n, strlen(text));
    assert_memory_equal(x->bytes, text, strlen(text));
    x->bytes[x->n] = '\0'; /* the spare byte */
    assert_string_equal(x->bytes, text);
    memset(x->bytes, 'z', (size_t)x->n + 1);
}

static inline void say(const char *text)
{
    assert_int_equal(write(a[1], text, strlen(text)), strlen(text));
}

/* What the system holds of it has gone: the other side sees the end. */
static inline void closed_for(int other)
{
    char c;
    assert_true(readable(other, LONG_MS));
    ssize_t n = recv(other, &c, 1, 0);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET)); /* the latter where something was not read */
}

static inline uint8_t byte_at(int stream, size_t at)
{
    return (uint8_t)(at * 31 + at / 251 + (size_t)stream * 7);
}

static inline int listener(struct sockaddr_in *at)
{
    socklen_t n = sizeof *at;
    const int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes),
                     0); /* but none that listens */
    if (at->sin_family == 0)
        *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)at, n), 0);
    assert_int_equal(listen(fd, 100), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &n), 0);
    return fd;
}

static inline int caller(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof *at), 0);
    return fd;
}

static inline void another_file_at(int fd, int other[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, other), 0);
    close(fd);
    assert_int_equal(fcntl(other[0], F_DUPFD_CLOEXEC, fd), fd);
    close(other[0]);
    other[0] = fd;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, tear_down)
#define TCP(f)  cmocka_unit_test_setup_teardown(f, set_up_tcp, tear_down_tcp)

static inline bool is_to_be_had(void)
{
    struct poller *q;
    int r = poller_new_loop(&q, BACKEND);
    if (r == ENOSYS)
        printf("skipped: the build, the kernel or the sandbox has no io_uring\n");
    if (r == 0)
        poller_free(q);
    return r != ENOSYS;
}

#endif
