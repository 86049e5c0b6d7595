/* conn_test.h: a connection on a stream of the test's own: what it reads is a script, what it writes is kept,
 * and time is a number that the test says. No front, no thread, no socket. */
#ifndef TESTS_CONN_TEST_H
#define TESTS_CONN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sha1.h"
#include "conn/conn.h"
#include "lib/fault.h"

#define assert_status(call, want)                                                                            \
    do {                                                                                                     \
        thrum_status got_ = (call);                                                                          \
        if (got_ != (want))                                                                                  \
            fail_msg("%s: %s, not %s", #call, thrum_status_name(got_), thrum_status_name(want));             \
    } while (0)

enum { FAKE_MAX = 1 << 21 };
struct fake {
    struct stream s;
    uint8_t *in, *out;
    size_t in_n, in_at, out_n;
    size_t step;  /* bytes of one read at the most */
    ssize_t end;  /* what a read answers when `in` is used up: -EAGAIN, 0 or another errno */
    size_t room;  /* bytes that a write still takes */
    ssize_t full; /* what a write answers without room */
    int shut_outs, cuts, frees, reads, last_slices;
};

static inline struct fake *fake_of(struct stream *s)
{
    return (struct fake *)(void *)s;
}
static inline ssize_t fake_read(struct stream *s, const struct iovec *v, int n)
{
    struct fake *f = fake_of(s);
    size_t got = 0;
    f->reads++;
    f->last_slices = n;
    for (int i = 0; i < n; i++) {
        size_t take = f->in_n - f->in_at;
        take = take < v[i].iov_len ? take : v[i].iov_len;
        take = take < f->step - got ? take : f->step - got;
        memcpy(v[i].iov_base, f->in + f->in_at, take);
        f->in_at += take;
        got += take;
    }
    return got > 0 ? (ssize_t)got : f->end;
}
static inline ssize_t fake_write(struct stream *s, const struct iovec *v, int n)
{
    struct fake *f = fake_of(s);
    size_t put = 0;
    for (int i = 0; i < n; i++) {
        size_t take = v[i].iov_len < f->room ? v[i].iov_len : f->room;
        assert_true(f->out_n + take <= FAKE_MAX);
        memcpy(f->out + f->out_n, v[i].iov_base, take);
        f->out_n += take;
        f->room -= take;
        put += take;
    }
    return put > 0 ? (ssize_t)put : f->full;
}
static inline int fake_shut_out(struct stream *s)
{
    fake_of(s)->shut_outs++;
    return 0;
}
static inline void fake_cut(struct stream *s)
{
    fake_of(s)->cuts++;
}
static inline int fake_fd(const struct stream *s)
{
    (void)s;
    return -1;
}
static inline void fake_describe(const struct stream *s, char *out, size_t cap)
{
    (void)s;
    snprintf(out, cap, "fake");
}
static inline void fake_free(struct stream *s)
{
    fake_of(s)->frees++;
}
static inline void fake_init(struct fake *f)
{
    static const struct stream_ops ops = {.read = fake_read,
                                          .write = fake_write,
                                          .shut_out = fake_shut_out,
                                          .cut = fake_cut,
                                          .fd = fake_fd,
                                          .describe = fake_describe,
                                          .free = fake_free};
    *f = (struct fake){.s = {.ops = &ops},
                       .in = malloc(FAKE_MAX),
                       .out = malloc(FAKE_MAX),
                       .step = SIZE_MAX,
                       .end = -EAGAIN,
                       .room = SIZE_MAX,
                       .full = -EAGAIN};
    assert_non_null(f->in);
    assert_non_null(f->out);
}
static inline void fake_done(struct fake *f)
{
    free(f->in);
    free(f->out);
}
static inline void fake_say(struct fake *f, const void *p, size_t n)
{
    assert_true(f->in_n + n <= FAKE_MAX);
    memcpy(f->in + f->in_n, p, n);
    f->in_n += n;
}

static int destroyed; /* how often the front was asked to destroy */
static inline void count_destroy(struct thrum_conn *c)
{
    (void)c;
    destroyed++;
}

static uint8_t scratch[64 * 1024];

#define NO_MORE (&(const struct client_more){NULL, false})

static inline void conn_on(struct thrum_conn *c, struct stream *s, const thrum_client_options *co,
                           const thrum_server_options *so)
{
    struct shared_settings *ss = settings_share();
    assert_non_null(ss);
    assert_status(co ? settings_client(&ss->s, co, NULL) : settings_server(&ss->s, so, NULL), THRUM_OK);
    memset(c, 0, sizeof *c);
    assert_status(conn_init(c, s, ss, count_destroy, NULL), THRUM_OK);
    assert_status(co ? conn_client(c, "ws://fake.test/x?y", NO_MORE, 1, NULL) : conn_server(c, 1, NULL),
                  THRUM_OK);
}

static inline void read_all(struct thrum_conn *c, int64_t now)
{
    while (conn_read(c, scratch, sizeof scratch, now))
        ;
}

#define REQUEST                                                                                              \
    "GET /x?y HTTP/1.1\r\nHost: fake.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                  \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-One: 1\r\nX-One: 2\r\n"   \
    "Sec-WebSocket-Protocol: b, a\r\n\r\n"

/* A server's connection, open; whatever comes of the handshake is taken out of f->out. */
static inline void open_server(struct thrum_conn *c, struct fake *f, const thrum_server_options *o)
{
    struct decision d;
    fake_init(f);
    conn_on(c, &f->s, NULL, o);
    fake_say(f, REQUEST, sizeof REQUEST - 1);
    read_all(c, 1);
    const thrum_request *r = proto_asks(c->proto);
    assert_non_null(r);
    assert_status(proto_decide(r, proto_settings(c->proto), &d), THRUM_OK);
    assert_status(proto_answer(c->proto, &d, 1), THRUM_OK);
    decision_free(&d);
    conn_write(c, 1);
    assert_memory_equal(f->out, "HTTP/1.1 101 ", 13);
    assert_int_equal(thrum_proto_state(c->proto), THRUM_OPEN);
    f->out_n = 0;
}

static inline void say_101(struct fake *f)
{
    char text[128], value[BASE64_SIZE(20) + 1], answer[256];
    uint8_t digest[20];
    f->out[f->out_n] = 0;
    const char *key = strstr((const char *)f->out, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    int n = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    sha1(digest, text, (size_t)n);
    base64_encode(value, digest, sizeof digest);
    n = snprintf(answer, sizeof answer,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\nX-Srv: yes\r\n\r\n",
                 value);
    fake_say(f, answer, (size_t)n);
}

static inline void open_client(struct thrum_conn *c, struct fake *f, const thrum_client_options *o)
{
    fake_init(f);
    conn_on(c, &f->s, o, NULL);
    conn_write(c, 1);
    say_101(f);
    read_all(c, 1);
    assert_int_equal(thrum_proto_state(c->proto), THRUM_OPEN);
    f->out_n = 0;
}

static inline void end_conn(struct thrum_conn *c, struct fake *f)
{
    conn_done(c);
    fake_done(f);
}

#endif
