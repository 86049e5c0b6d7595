/* fuzz_proto.h: a proto driven by a fuzzer's bytes: what it says is kept as text, so that two ways of feeding
 * the same bytes can be compared. */
#ifndef TESTS_FUZZ_PROTO_H
#define TESTS_FUZZ_PROTO_H

#include "base/base64.h"
#include "base/sha1.h"
#include "proto/proto.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/proto.h>

enum { TRACE_MAX = 1 << 16 };

struct driven {
    thrum_proto *p;
    char *trace;
    size_t n;
    int64_t now;
};

static inline int zero_random(void *ctx, uint8_t *p, size_t n)
{
    (void)ctx;
    memset(p, 0, n); /* a fuzzer wants the same every time */
    return 0;
}

static inline void note(struct driven *d, const char *what, unsigned long a, unsigned long b, unsigned long c)
{
    if (d->n + 80 < TRACE_MAX)
        d->n += (size_t)snprintf(d->trace + d->n, 80, "%s %lu %lu %lx\n", what, a, b, c);
}

static inline unsigned long sum_of(const uint8_t *p, size_t n)
{
    unsigned long h = 5381;
    for (size_t i = 0; i < n; i++)
        h = h * 33 + p[i];
    return h;
}

/* Doors 2 and 3, emptied. */
static inline void drain(struct driven *d)
{
    thrum_slice v[4];
    thrum_event e;
    for (size_t k; (k = thrum_proto_out(d->p, v, 4)) > 0;) {
        size_t bytes = 0;
        for (size_t i = 0; i < k; i++)
            bytes += v[i].n;
        thrum_proto_out_done(d->p, bytes, d->now);
    }
    while (thrum_proto_event(d->p, &e)) {
        note(d, "event", (unsigned long)e.what, e.code, sum_of(e.message.data, e.message.len));
        thrum_message_release(&e.message);
    }
}

static inline void start(struct driven *d, bool server)
{
    /* Pings are counted, not traced: of their events, and of the answers, only the latest are kept, and how
     * many that are depends on how often they are taken. */
    const thrum_host h = {.size = sizeof h,
                          .random = zero_random,
                          .events = 1u << THRUM_EVENT_OPEN | 1u << THRUM_EVENT_MESSAGE |
                                    1u << THRUM_EVENT_CLOSE | 1u << THRUM_EVENT_ENDED};
    *d = (struct driven){.trace = malloc(TRACE_MAX), .now = 1};
    thrum_status s = server ? thrum_proto_server(&d->p, THRUM_SERVER(.max_message = 100000), &h, d->now, NULL)
                            : thrum_proto_client(&d->p, "ws://fuzz.test/",
                                                 THRUM_CLIENT(.max_message = 100000, .subprotocols = "a, b"),
                                                 &h, d->now, NULL);
    if (s != THRUM_OK || !d->trace)
        abort();
    d->trace[0] = '\0';
}

/* One piece; where the core offers a window, every second one goes there. */
static inline void feed(struct driven *d, const uint8_t *p, size_t n, bool window)
{
    while (n > 0) {
        size_t room = 0;
        uint8_t *in = window ? thrum_proto_in(d->p, &room) : NULL;
        size_t take = in && room < n ? room : n;
        if (in) {
            memcpy(in, p, take);
            (void)thrum_proto_in_done(d->p, take, d->now);
        } else {
            uint8_t *copy = malloc(take); /* exactly so many bytes, for a sanitizer to see one too many */
            memcpy(copy, p, take);
            (void)thrum_proto_feed(d->p, copy, take, d->now);
            free(copy);
        }
        drain(d);
        p += take;
        n -= take;
    }
}

static inline void finish(struct driven *d)
{
    thrum_error e;
    thrum_closing c = {.size = sizeof c};
    (void)thrum_proto_in_end(d->p, 0, d->now);
    drain(d);
    thrum_proto_error(d->p, &e);
    if (thrum_proto_closing(d->p, &c) != THRUM_OK)
        abort();
    note(d, "end", (unsigned long)-e.status, e.close_code, sum_of((const uint8_t *)e.text, strlen(e.text)));
    thrum_stats stats = {.size = sizeof stats};
    proto_stats(d->p, &stats);
    note(d, "close", c.sent_code, c.recv_code, sum_of((const uint8_t *)c.recv_reason, strlen(c.recv_reason)));
    note(d, "count", stats.messages_in, stats.pings_in, 0);
    thrum_proto_free(d->p);
}

static inline void compare(struct driven *a, struct driven *b)
{
    if (a->n != b->n || memcmp(a->trace, b->trace, a->n) != 0) {
        fprintf(stderr, "whole:\n%s\nin pieces:\n%s\n", a->trace, b->trace);
        abort();
    }
    free(a->trace);
    free(b->trace);
}

/* The bytes whole, and cut by `seed`: the same must come of both. */
static inline void whole_and_cut(bool server, const char *before, const uint8_t *p, size_t n, uint32_t seed)
{
    struct driven a, b;
    start(&a, server);
    start(&b, server);
    feed(&a, (const uint8_t *)before, strlen(before), false);
    feed(&b, (const uint8_t *)before, strlen(before), false);
    feed(&a, p, n, false);
    for (size_t at = 0; at < n;) {
        seed = seed * 1664525u + 1013904223u;
        size_t take = 1 + (seed >> 16) % ((seed & 3) == 0 ? 5000 : 7);
        take = take < n - at ? take : n - at;
        feed(&b, p + at, take, (seed & 4) != 0);
        at += take;
    }
    finish(&a);
    finish(&b);
    compare(&a, &b);
}

/* The handshakes before the frames; a client's key is sixteen zero bytes here. */
static const char request[] =
    "GET / HTTP/1.1\r\nHost: fuzz.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";
static inline const char *answer(void)
{
    static char text[200];
    uint8_t digest[20];
    char value[BASE64_SIZE(20) + 1];
    static const char key[] = "AAAAAAAAAAAAAAAAAAAAAA==258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    sha1(digest, key, sizeof key - 1);
    base64_encode(value, digest, sizeof digest);
    snprintf(text, sizeof text,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n",
             value);
    return text;
}

#endif
