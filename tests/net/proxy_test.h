/* proxy_test.h: a proxy that says what it is told, byte by byte, over a socket pair; all in one thread. */
#ifndef TESTS_NET_PROXY_TEST_H
#define TESTS_NET_PROXY_TEST_H

#include "net/proxy.h"
#include "net_test.h"
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    struct stream *s;
    int peer;
    thrum_error err;
} way;

static inline struct stream *below_on(int fd)
{
    struct stream *s;
    assert_int_equal(stream_socket(&s, fd), 0);
    return s;
}

static inline thrum_status way_open(const char *proxy_url, const char *host, uint16_t port)
{
    struct proxy p;
    const char *why;
    int fds[2];
    if (!proxy_parse(&p, proxy_url, &why))
        fail_msg("%s: %s", proxy_url, why);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    way.peer = fds[1];
    return stream_proxy(&way.s, below_on(fds[0]), &p, slice(host), port, &way.err);
}
static inline void way_close(void)
{
    if (way.s)
        way.s->ops->free(way.s);
    way.s = NULL;
    if (way.peer >= 0)
        close(way.peer);
    way.peer = -1;
}

static inline ssize_t way_read(void *p, size_t n)
{
    const struct iovec v = {p, n};
    return way.s->ops->read(way.s, &v, 1);
}
static inline ssize_t way_write(const char *text)
{
    const struct iovec v = {(void *)(uintptr_t)text, strlen(text)};
    return way.s->ops->write(way.s, &v, 1);
}
/* What the library has said by now. */
static inline size_t heard(void *out, size_t cap)
{
    ssize_t n = recv(way.peer, out, cap - 1, MSG_DONTWAIT);
    n = n < 0 ? 0 : n;
    ((char *)out)[n] = '\0';
    return (size_t)n;
}
static inline void say(const void *p, size_t n)
{
    assert_int_equal(send(way.peer, p, n, MSG_NOSIGNAL), n);
}
/* Byte by byte, the library looking after each: what its last look gave. */
static inline ssize_t say_slowly(const void *p, size_t n)
{
    ssize_t r = -EAGAIN;
    char c;
    for (size_t i = 0; i < n && r == -EAGAIN; i++) {
        say((const uint8_t *)p + i, 1);
        r = way_read(&c, 0);
    }
    return r;
}
/* Both directions carry what they should. */
static inline void assert_open(void)
{
    char got[512];
    ssize_t n;
    say("from there", 10);
    while ((n = way_read(got, sizeof got)) == -EAGAIN)
        ;
    assert_int_equal(n, 10);
    assert_memory_equal(got, "from there", 10);
    assert_int_equal(way_write("to there"), 8);
    assert_int_equal(heard(got, sizeof got), 8);
    assert_string_equal(got, "to there");
}
static inline void assert_broken(thrum_status want, int http, const char *says)
{
    thrum_error e;
    char c;
    assert_int_equal(way_read(&c, 1), -EPROTO);
    assert_int_equal(way_write("x"), -EPROTO);
    assert_true(stream_failed(way.s, &e));
    if (e.status != want || e.http_status != http || !strstr(e.text, says))
        fail_msg("%s, %d: %s", thrum_status_name(e.status), e.http_status, e.text);
}

#endif
