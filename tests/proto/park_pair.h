/* park_pair.h: a client and a server that have met, as a front makes them: with settings that outlive them,
 * so that both can be parked. */
#ifndef TESTS_PROTO_PARK_PAIR_H
#define TESTS_PROTO_PARK_PAIR_H

#include "proto/deflate.h"
#include "proto/park.h"
#include "proto_test.h"

static uint8_t words[80000]; /* compressible */
static uint8_t noise[3000];  /* not */
static char out[200000];

static const thrum_slice none = {NULL, 0};

static inline thrum_slice piece(size_t from, size_t n)
{
    return (thrum_slice){words + from, n};
}

struct pair {
    struct settings cs, ss;
    thrum_proto *c, *s;
};

static inline void drop_events(thrum_proto *p)
{
    thrum_event e;
    while (thrum_proto_event(p, &e))
        thrum_message_release(&e.message);
}

/* As a front makes them: with settings that outlive them. */
static inline void meet(struct pair *x)
{
    thrum_error e;
    assert_status(proto_new_client(&x->c, "ws://h.test/t", &x->cs, &test_host, now, &e), THRUM_OK);
    assert_status(proto_new_server(&x->s, &x->ss, &test_host, false, now, &e), THRUM_OK);
    pump(x->c, x->s);
    drop_events(x->c);
    drop_events(x->s);
    assert_int_equal(thrum_proto_state(x->c), THRUM_OPEN);
    assert_int_equal(thrum_proto_state(x->s), THRUM_OPEN);
}

static inline void set_up(struct pair *x, const thrum_client_options *co, const thrum_server_options *so)
{
    assert_status(settings_client(&x->cs, co, NULL), THRUM_OK);
    assert_status(settings_server(&x->ss, so, NULL), THRUM_OK);
    meet(x);
}

static inline void part(struct pair *x)
{
    thrum_proto_free(x->c);
    thrum_proto_free(x->s);
    settings_free(&x->cs);
    settings_free(&x->ss);
    codec_trim();
}

#define PLAIN .compression = THRUM_OFF

static inline void rest(thrum_proto **p, bool server, const struct settings *s)
{
    struct parked k;
    assert_true(proto_rests(*p));
    proto_park(*p, &k);
    *p = proto_unpark(&k, server, s, &test_host, now);
    assert_non_null(*p);
    assert_null(k.deflate); /* that is the proto's again */
}

/* n bytes of door 2. */
static inline void write_some(thrum_proto *p, size_t n)
{
    thrum_slice v;
    for (; n > 0; n -= v.n) {
        assert_int_equal(thrum_proto_out(p, &v, 1), 1);
        v.n = v.n < n ? v.n : n;
        thrum_proto_out_done(p, v.n, now);
    }
}

static inline thrum_stats stats_of(const thrum_proto *p)
{
    thrum_stats s = {.size = sizeof s};
    proto_stats(p, &s);
    return s;
}

/* One message and how it stood on the wire; *n its size. */
static inline void carry(thrum_proto *from, thrum_proto *to, thrum_slice s, thrum_switch how, char *wire,
                         size_t *n)
{
    thrum_event e;
    assert_status(proto_send_copy(from, THRUM_BINARY, &s, 1, true, how), THRUM_OK);
    *n = take_out(from, wire, sizeof out);
    feed(to, wire, *n);
    assert_true(next_of(to, THRUM_EVENT_MESSAGE, &e));
    assert_int_equal(e.message.len, s.n);
    assert_memory_equal(e.message.data, s.p, s.n);
    thrum_message_release(&e.message);
}

static inline void expect_out(thrum_proto *p, const char *want, size_t n)
{
    assert_int_equal(proto_pending(p), n);
    assert_int_equal(take_out(p, out, sizeof out), n);
    assert_memory_equal(out, want, n);
    assert_int_equal(proto_pending(p), 0);
}

static inline int prepare(void **state)
{
    (void)state;
    for (size_t i = 0, n = 0; n + 80 < sizeof words; i++)
        n += (size_t)snprintf((char *)words + n, 80, "{\"n\":%zu,\"word\":\"%s\",\"square\":%zu}", i,
                              i % 3 ? "warp" : "weft", i * i);
    return test_random(NULL, noise, sizeof noise);
}

#endif
