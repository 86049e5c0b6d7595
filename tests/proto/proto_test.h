/* proto_test.h: protos without I/O for tests: a clock that is a number, randomness that repeats, peers made
 * of bytes. */
#ifndef TESTS_PROTO_TEST_H
#define TESTS_PROTO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/base64.h"
#include "base/mem.h"
#include "base/sha1.h"
#include "proto/proto.h"

#define MS INT64_C(1000000)
static int64_t now = 1000 * MS;
static int random_fails;
static uint32_t random_state = 1;

static inline int test_random(void *ctx, uint8_t *p, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        random_state = random_state * 1664525u + 1013904223u;
        p[i] = (uint8_t)(random_state >> 16);
    }
    return random_fails;
}

static const thrum_host test_host = {.size = sizeof test_host, .random = test_random, .peer = "test"};

#define assert_status(call, want)                                                                            \
    do {                                                                                                     \
        thrum_status got_ = (call);                                                                          \
        if (got_ != (want))                                                                                  \
            fail_msg("%s: %s, not %s", #call, thrum_status_name(got_), thrum_status_name(want));             \
    } while (0)

static const char good_request[] =
    "GET /t?q HTTP/1.1\r\nHost: h.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

static inline void feed(thrum_proto *p, const void *d, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1); /* exactly n bytes: one too many is seen by a sanitizer */
    memcpy(copy, d, n);
    (void)thrum_proto_feed(p, copy, n, now);
    free(copy);
}

static inline void feed_text(thrum_proto *p, const char *s)
{
    feed(p, s, strlen(s));
}

/* All of door 2, into out (NUL behind it); the length. */
static inline size_t take_out(thrum_proto *p, char *out, size_t cap)
{
    thrum_slice v[3];
    size_t n = 0;
    for (size_t k; (k = thrum_proto_out(p, v, 3)) > 0;) {
        size_t bytes = 0;
        for (size_t i = 0; i < k; i++) {
            assert_true(n + v[i].n < cap);
            memcpy(out + n, v[i].p, v[i].n);
            n += v[i].n;
            bytes += v[i].n;
        }
        thrum_proto_out_done(p, bytes, now);
    }
    out[n] = 0;
    return n;
}

static inline thrum_proto *new_server(const thrum_server_options *o)
{
    thrum_proto *p;
    thrum_error e;
    if (thrum_proto_server(&p, o, &test_host, now, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return p;
}

static inline thrum_proto *open_server(const thrum_server_options *o)
{
    char out[1024];
    thrum_event e;
    thrum_proto *p = new_server(o);
    feed_text(p, good_request);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    take_out(p, out, sizeof out);
    assert_true(thrum_proto_event(p, &e));
    assert_int_equal(e.what, THRUM_EVENT_OPEN);
    thrum_message_release(&e.message);
    return p;
}

static inline void accept_value(char out[29], const char *request)
{
    char text[128];
    uint8_t digest[20];
    const char *key = strstr(request, "Sec-WebSocket-Key: ") + 19;
    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(digest, text, strlen(text));
    base64_encode(out, digest, 20);
}

static inline thrum_proto *new_client(const thrum_client_options *o, char *accept)
{
    char out[4096], value[29];
    thrum_proto *p;
    thrum_error e;
    if (thrum_proto_client(&p, "ws://h.test/t", o, &test_host, now, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    take_out(p, out, sizeof out);
    accept_value(value, out);
    if (accept)
        strcpy(accept, value);
    return p;
}

static inline thrum_proto *open_client(const thrum_client_options *o)
{
    char accept[29], answer[256];
    thrum_event e;
    thrum_proto *p = new_client(o, accept);
    snprintf(
        answer, sizeof answer,
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
        accept);
    feed_text(p, answer);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    assert_true(thrum_proto_event(p, &e));
    thrum_message_release(&e.message);
    return p;
}

/* A frame with any first byte; masked with 1 2 3 4 for a server. Returns its size. */
static inline size_t frame(uint8_t *out, uint8_t first, const void *payload, size_t n, bool masked)
{
    size_t k = 0;
    const uint8_t *d = payload;
    uint8_t bit = masked ? 0x80 : 0;
    out[k++] = first;
    if (n < 126) {
        out[k++] = (uint8_t)(bit | n);
    } else if (n < 65536) {
        out[k++] = bit | 126;
        out[k++] = (uint8_t)(n >> 8);
        out[k++] = (uint8_t)n;
    } else {
        out[k++] = bit | 127;
        for (int i = 7; i >= 0; i--)
            out[k++] = (uint8_t)((uint64_t)n >> (8 * i));
    }
    for (int i = 1; masked && i <= 4; i++)
        out[k++] = (uint8_t)i;
    for (size_t i = 0; i < n; i++)
        out[k++] = masked ? (uint8_t)(d[i] ^ (i % 4 + 1)) : d[i];
    return k;
}

static inline void say(thrum_proto *server, uint8_t first, const void *payload, size_t n)
{
    uint8_t *f = malloc(n + 14);
    feed(server, f, frame(f, first, payload, n, true));
    free(f);
}

static inline void expect_error(thrum_proto *p, thrum_status s, int close_code)
{
    thrum_error e;
    thrum_proto_error(p, &e);
    if (e.status != s || e.close_code != close_code || !e.text[0])
        fail_msg("%s %d \"%s\", not %s %d", thrum_status_name(e.status), e.close_code, e.text,
                 thrum_status_name(s), close_code);
}

static inline bool next_of(thrum_proto *p, thrum_event_kind what, thrum_event *e)
{
    while (thrum_proto_event(p, e)) {
        if (e->what == what)
            return true;
        thrum_message_release(&e->message);
    }
    return false;
}

/* Takes the next event, which must be this message. */
static inline void expect_message(thrum_proto *p, const char *text)
{
    thrum_event e;
    if (!next_of(p, THRUM_EVENT_MESSAGE, &e))
        fail_msg("no message, not \"%s\"", text);
    assert_int_equal(e.message.part, THRUM_PART_WHOLE);
    assert_int_equal(e.message.len, strlen(text));
    assert_string_equal((const char *)e.message.data, text);
    thrum_message_release(&e.message);
}

static inline thrum_slice slice_of(const char *s)
{
    return (thrum_slice){(const uint8_t *)s, strlen(s)};
}

/* What stands in the first frame of b: its first byte, its payload (unmasked in place) and its size on the
 * wire. */
struct seen {
    uint8_t first;
    bool masked;
    uint8_t *p;
    size_t n, size;
};

static inline struct seen see(uint8_t *b, size_t size)
{
    struct seen f = {.first = b[0], .masked = b[1] & 0x80, .n = b[1] & 0x7f};
    size_t k = 2;
    assert_true(size >= 2);
    if (f.n >= 126) {
        size_t more = f.n == 126 ? 2 : 8;
        for (f.n = 0; more-- > 0;)
            f.n = f.n << 8 | b[k++];
    }
    const uint8_t *key = b + k;
    k += f.masked ? 4 : 0;
    assert_true(k + f.n <= size);
    for (size_t i = 0; f.masked && i < f.n; i++)
        b[k + i] ^= key[i % 4];
    f.p = b + k;
    f.size = k + f.n;
    return f;
}

/* Carries bytes both ways until neither side has any. */
static inline void pump(thrum_proto *a, thrum_proto *b)
{
    thrum_proto *const side[] = {a, b};
    for (int idle = 0, i = 0; idle < 2; i = !i) {
        thrum_slice v;
        idle++;
        while (thrum_proto_out(side[i], &v, 1) == 1) {
            idle = 0;
            feed(side[!i], v.p, v.n);
            thrum_proto_out_done(side[i], v.n, now);
        }
    }
}

/* ---- memory that is counted, and fails when told to ---- */

static size_t held, most, asked_for;         /* bytes now; the most at once; calls */
static size_t fail_from = SIZE_MAX, fail_to; /* the calls with these numbers get nothing */

static inline void *counted_alloc(void *ctx, size_t n)
{
    (void)ctx;
    size_t call = asked_for++;
    size_t *p = call >= fail_from && call < fail_to ? NULL : malloc(n + 16);
    if (!p)
        return NULL;
    *p = n;
    held += n;
    most = held > most ? held : most;
    return p + 2;
}

static inline void counted_release(void *ctx, void *v)
{
    (void)ctx;
    if (!v)
        return;
    size_t *p = (size_t *)v - 2;
    held -= *p;
    free(p);
}

static inline void *counted_resize(void *ctx, void *v, size_t n)
{
    void *p = counted_alloc(ctx, n);
    if (p && v) {
        size_t old = *((size_t *)v - 2);
        memcpy(p, v, old < n ? old : n);
        counted_release(ctx, v);
    }
    return p;
}

static const struct mem_hook counted = {NULL, counted_alloc, counted_resize, counted_release};

static inline void count_memory(size_t from, size_t to)
{
    held = most = asked_for = 0;
    fail_from = from;
    fail_to = to;
    mem_force_hook(&counted);
}

static inline void stop_counting(void)
{
    assert_int_equal(held, 0);
    mem_force_hook(NULL);
}

#endif
