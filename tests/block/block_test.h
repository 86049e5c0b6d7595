/* block_test.h: what the tests of the blocking front share: pairs of connections, hand-made peers, waiting
 * for a state of another thread by looking at it under the lock that guards it. */
#ifndef TESTS_BLOCK_TEST_H
#define TESTS_BLOCK_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <thrum/server.h>
#include <thrum/stats.h>
#include <thrum/thrum.h>
#include <time.h>
#include <unistd.h>
#include "base/base64.h"
#include "base/clock.h"
#include "base/sha1.h"
#include "base/thread.h"
#include "block/block.h"
#include "lib/fault.h"
#include "lib/peer.h"
#include "lib/rest.h"

#define assert_status(call, want)                                                                            \
    do {                                                                                                     \
        thrum_status got_ = (call);                                                                          \
        if (got_ != (want))                                                                                  \
            fail_msg("%s: %s, not %s", #call, thrum_status_name(got_), thrum_status_name(want));             \
    } while (0)

/* Spins, giving the processor away, until a condition holds; the test's own time limit bounds it. */
#define await(cond)                                                                                          \
    do {                                                                                                     \
        while (!(cond))                                                                                      \
            sched_yield();                                                                                   \
    } while (0)

/* For a group's end: what a thread of the library has of OpenSSL's would look like a leak if the process
 * ended while it does. */
static inline int all_threads_end(void **state)
{
    (void)state;
    return thread_library_settle(0, clock_after(clock_now(), PEER_MS)) ? 0 : -1;
}

/* ThreadSanitizer does not follow a thread that unwinds: it takes the locks of its clean-up for not taken. */
static inline void cancels_in_a_wait(void)
{
#ifdef __SANITIZE_THREAD__
    skip();
#endif
}

struct look {
    int reader;
    bool turn;
    unsigned prompt;
};

static inline struct look look_at(thrum_conn *c)
{
    lock_take(&c->lock);
    struct look now = {(int)block_of(c)->reader, block_of(c)->turn, block_of(c)->prompt};
    lock_give(&c->lock);
    return now;
}

/* Is a call waiting in its poll for this, or for anything (want 0)? */
static inline int waiting(thrum_conn *c, unsigned want)
{
    int found = 0;
    lock_take(&c->lock);
    list_each (l, &block_of(c)->waiters) {
        struct call *k = list_of(l, struct call, link);
        found += want == 0 || k->want == want;
    }
    lock_give(&c->lock);
    return found;
}

static inline bool is_waiting(thrum_conn *c, unsigned want)
{
    return waiting(c, want) > 0;
}

/* Small, but not the least that TCP takes: under that, its segments over loopback do not fit and are dropped,
 * and every message waits for a retransmission. */
static inline bool small_buffers(int fd, int family)
{
    int n = 32 * 1024;
    if (family == AF_UNIX)
        return peer_small_buffers(fd);
    return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof n) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n) == 0;
}

struct pair {
    thrum_conn *client, *server;
};
struct pair_job {
    int fd;
    const thrum_server_options *o;
    thrum_conn *c;
    thrum_status status;
};
static inline void *pair_serve(void *arg)
{
    struct pair_job *j = arg;
    j->status = thrum_accept_fd(&j->c, j->fd, j->o, NULL);
    return NULL;
}
/* Two connections joined by a socket pair (AF_UNIX) or TCP over loopback, with the least buffers if small. */
static inline void pair_open(struct pair *p, int family, bool small, const thrum_client_options *co,
                             const thrum_server_options *so)
{
    struct peer other;
    int ours;
    assert_true(peer_pair(&other, family, &ours));
    if (small)
        assert_true(small_buffers(ours, family) && small_buffers(other.fd, family));
    struct pair_job j = {.fd = other.fd, .o = so};
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, pair_serve, &j), 0);
    thrum_error err;
    thrum_status s = thrum_connect_fd(&p->client, ours, "ws://pair.test/here?q=1", co, &err);
    pthread_join(t, NULL);
    if (s != THRUM_OK)
        fail_msg("connect: %s", err.text);
    assert_status(j.status, THRUM_OK);
    p->server = j.c;
}
static inline void pair_free(struct pair *p)
{
    thrum_conn_free(p->client);
    thrum_conn_free(p->server);
}

/* ---- hand-made peers ---- */
static inline void accept_value(char out[29], const char *key, size_t n)
{
    char text[128];
    uint8_t digest[20];
    int len = snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)n, key);
    sha1(digest, text, (size_t)len);
    base64_encode(out, digest, sizeof digest);
}
/* As a server: reads the request, answers 101. */
static inline void raw_answer(struct peer *p)
{
    char head[4096], value[29], answer[256];
    assert_true(peer_read_until(p, head, sizeof head, "\r\n\r\n") > 0);
    const char *key = strstr(head, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    key += strlen("Sec-WebSocket-Key: ");
    accept_value(value, key, strcspn(key, "\r"));
    snprintf(answer, sizeof answer,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n",
             value);
    assert_true(peer_puts(p, answer));
}
static inline void *raw_answer_main(void *arg)
{
    raw_answer(arg);
    return NULL;
}
/* A client of thrum joined to a hand-made server. */
static inline thrum_conn *raw_client(struct peer *p, int family, bool small, const thrum_client_options *o)
{
    int ours;
    pthread_t t;
    thrum_conn *c = NULL;
    thrum_error err;
    assert_true(peer_pair(p, family, &ours));
    if (small)
        assert_true(small_buffers(ours, family) && small_buffers(p->fd, family));
    assert_int_equal(pthread_create(&t, NULL, raw_answer_main, p), 0);
    thrum_status s = thrum_connect_fd(&c, ours, "ws://raw.test/", o, &err);
    pthread_join(t, NULL);
    if (s != THRUM_OK)
        fail_msg("connect: %s", err.text);
    return c;
}
/* The peer's next frame: opcode with FIN bit, payload unmasked into out (cap bytes); returns the payload's
 * length. */
static inline size_t raw_frame(struct peer *p, uint8_t *first, uint8_t *out, size_t cap)
{
    uint8_t h[2], ext[8], key[4] = {0};
    assert_true(peer_read(p, h, 2));
    *first = h[0];
    uint64_t n = h[1] & 0x7f;
    size_t more = n == 126 ? 2 : n == 127 ? 8 : 0;
    if (more) {
        assert_true(peer_read(p, ext, more));
        n = 0;
        for (size_t i = 0; i < more; i++)
            n = n << 8 | ext[i];
    }
    if (h[1] & 0x80)
        assert_true(peer_read(p, key, 4));
    assert_true(n <= cap);
    assert_true(peer_read(p, out, (size_t)n));
    for (size_t i = 0; i < n; i++)
        out[i] ^= key[i % 4];
    return (size_t)n;
}
static inline uint64_t stat_of(const thrum_conn *c, size_t offset)
{
    thrum_stats s = {.size = sizeof s};
    assert_status(thrum_conn_stats(c, &s), THRUM_OK);
    uint64_t v;
    memcpy(&v, (const char *)&s + offset, sizeof v);
    return v;
}

/* The end of a child of fork. By exit, so that coverage counts what it ran; a leak checker would look at what
 * the parent's other threads had in their hands, so not under one. */
static inline void child_exit(int status)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    _exit(status);
#else
    exit(status);
#endif
}
#define counter(c, field) stat_of(c, offsetof(thrum_stats, field))

#endif
