/* proto_test.c: the whole core: split invariance with a seeded generator, and every allocation failing in
 * turn. */
#include "base/mem.h"
#include "proto/codec.h"
#include "proto_test.h"

/* ---- any split of the input gives the same ---- */
static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* Frames that are mostly right and now and then are not; returns the length. */
static size_t make_stream(uint8_t *to, size_t cap, bool masked)
{
    static uint8_t payload[70000];
    static const uint8_t firsts[] = {0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x81, 0x82};
    size_t n = 0;
    int frames = 1 + (int)draw(8);
    for (int i = 0; i < frames && n + 70014 < cap; i++) {
        uint8_t first = draw(12) == 0 ? (uint8_t)draw(256) : firsts[draw(sizeof firsts)];
        static const size_t sizes[] = {0, 1, 5, 125, 126, 1000, 5000, 65535, 65536};
        size_t len = (first & 8) ? draw(126) : sizes[draw(9)];
        if (draw(30) == 0)
            first = 0x88;
        for (size_t k = 0; k < len; k++)
            payload[k] = draw(400) == 0 ? (uint8_t)draw(256) : (uint8_t)('a' + k % 26);
        n += frame(to + n, first, payload, len, draw(40) == 0 ? !masked : masked);
    }
    return n;
}

static void trace(thrum_proto *p, char *text, size_t cap)
{
    thrum_event e;
    thrum_error err;
    thrum_closing c = {.size = sizeof c};
    char skip[200000];
    size_t n = 0;
    (void)thrum_proto_in_end(p, 0, now);
    while (thrum_proto_event(p, &e)) {
        unsigned long sum = 5381;
        for (size_t i = 0; i < e.message.len; i++)
            sum = sum * 33 + e.message.data[i];
        if (e.what == THRUM_EVENT_MESSAGE || e.what == THRUM_EVENT_CLOSE)
            n += (size_t)snprintf(text + n, cap - n, "%d %u %lx;", (int)e.what, (unsigned)e.code, sum);
        thrum_message_release(&e.message);
    }
    take_out(p, skip, sizeof skip);
    thrum_proto_error(p, &err);
    assert_status(thrum_proto_closing(p, &c), THRUM_OK);
    snprintf(text + n, cap - n, "%d %u %s / %u %u", (int)err.status, (unsigned)err.close_code, err.text,
             (unsigned)c.sent_code, (unsigned)c.recv_code);
    thrum_proto_free(p);
}

static void test_R8_split_invariance(void **state)
{
    static uint8_t stream[600000];
    static char whole[4096], cut[4096];
    const char *given = getenv("THRUM_SEED");
    uint32_t first = given ? (uint32_t)strtoul(given, NULL, 0) : 20261123;
    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        seed = first + round;
        bool server = draw(2);
        size_t n = make_stream(stream, sizeof stream, server), room;
        thrum_proto *a = server ? open_server(NULL) : open_client(NULL),
                    *b = server ? open_server(NULL) : open_client(NULL);
        feed(a, stream, n);
        for (size_t at = 0; at < n;) {
            size_t take = 1 + (draw(4) ? draw(9) : draw(20000));
            uint8_t *in = draw(2) ? thrum_proto_in(b, &room) : NULL;
            take = take < n - at ? take : n - at;
            if (in) {
                take = take < room ? take : room;
                memcpy(in, stream + at, take);
                (void)thrum_proto_in_done(b, take, now);
            } else {
                feed(b, stream + at, take);
            }
            at += take;
        }
        trace(a, whole, sizeof whole);
        trace(b, cut, sizeof cut);
        if (strcmp(whole, cut) != 0)
            fail_msg("THRUM_SEED=%u:\nwhole: %s\ncut:   %s", first + round, whole, cut);
    }
}

/* ---- memory ---- */
static long fail_at, allocations, live;

static void *failing_alloc(void *ctx, size_t n)
{
    (void)ctx;
    if (fail_at && ++allocations >= fail_at)
        return NULL;
    live++;
    return malloc(n);
}

static void *failing_resize(void *ctx, void *p, size_t n)
{
    (void)ctx;
    if (fail_at && ++allocations >= fail_at)
        return NULL;
    live += p == NULL;
    return realloc(p, n);
}

static void failing_release(void *ctx, void *p)
{
    (void)ctx;
    live -= p != NULL;
    free(p);
}

/* Two protos talk until both have ended, or one could not be made. */
static void talk(void)
{
    static char out[8192];
    static const char long_text[3000] = {[0 ... 2998] = 'x'};
    thrum_proto *c = NULL, *s = NULL;
    thrum_error e;
    thrum_event ev;
    thrum_status a =
        thrum_proto_client(&c, "ws://h.test/", THRUM_CLIENT(.subprotocols = "a"), &test_host, now, &e);
    thrum_status b =
        a == THRUM_OK ? thrum_proto_server(&s, THRUM_SERVER(.subprotocols = "a"), &test_host, now, &e) : a;
    if (b != THRUM_OK)
        assert_true(b == THRUM_E_MEMORY && e.text[0]);
    for (int turn = 0; b == THRUM_OK && turn < 8; turn++) {
        feed(s, out, take_out(c, out, sizeof out));
        if (turn == 1)
            (void)!thrum_proto_send(s, THRUM_TEXT, (thrum_slice){(const uint8_t *)long_text, 2999}, true);
        if (turn == 2)
            (void)thrum_proto_ping(c, (thrum_slice){NULL, 0}, now, NULL);
        if (turn == 3)
            (void)thrum_proto_close(c, 1000, (thrum_slice){NULL, 0}, now);
        feed(c, out, take_out(s, out, sizeof out));
        while (thrum_proto_event(c, &ev) || thrum_proto_event(s, &ev))
            thrum_message_release(&ev.message);
    }
    if (b == THRUM_OK && !fail_at) {
        (void)thrum_proto_in_end(s, 0, now);
        expect_error(s, THRUM_E_CLOSED, 1000);
    }
    thrum_proto_free(c);
    thrum_proto_free(s);
    codec_trim();
}

static void test_every_allocation_fails(void **state)
{
    static const struct mem_hook hook = {NULL, failing_alloc, failing_resize, failing_release};
    (void)state;
    mem_force_hook(&hook);
    talk();
    assert_int_equal(live, 0);
    bool reached = true;
    for (fail_at = 1; reached && fail_at < 500; fail_at++) {
        allocations = 0;
        talk(); /* from the nth on all fail */
        assert_int_equal(live, 0);
        reached = allocations >= fail_at;
    }
    assert_true(fail_at > 20 && fail_at < 500);
    fail_at = 0;
    mem_force_hook(NULL);
}

static void test_flags_and_cut(void **state)
{
    thrum_proto *p = new_server(NULL);
    (void)state;
    assert_int_equal(thrum_proto_flags(p), THRUM_WANT_IN);
    assert_status(thrum_proto_send(p, THRUM_TEXT, (thrum_slice){NULL, 0}, true), THRUM_E_STATE);
    assert_status(thrum_proto_ping(p, (thrum_slice){NULL, 0}, now, NULL), THRUM_E_STATE);
    thrum_proto_free(p);
    p = open_server(NULL);
    assert_int_equal(thrum_proto_flags(p), THRUM_WANT_IN | THRUM_MAY_SEND);
    assert_status(thrum_proto_send(p, THRUM_TEXT, (thrum_slice){NULL, 0}, true), THRUM_OK);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_OUT);
    proto_cut(p, THRUM_E_RESET, 32, "it broke", now);
    assert_int_equal(thrum_proto_flags(p) & ~(unsigned)THRUM_HAS_EVENT, THRUM_ENDED);
    expect_error(p, THRUM_E_RESET, 1006);
    proto_cut(p, THRUM_E_CLOSED, 0, "again", now); /* the first reason stands */
    expect_error(p, THRUM_E_RESET, 1006);
    thrum_proto_free(p);
    thrum_proto_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R8_split_invariance),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_flags_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
