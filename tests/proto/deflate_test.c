/* deflate_test.c: permessage-deflate between two protos, and against bytes made by hand (RFC 7692 sections 6
 * and 7.2). */
#include "lib/guard.h"
#include "proto/codec.h"
#include "proto/inflate_whole.h"
#include "proto/proto_int.h"
#include "proto_test.h"
#include <zlib.h>

enum { BIG = 300000 };
static uint8_t big[BIG];
static char out[BIG * 2];

static struct {
    thrum_proto *c, *s;
} two;

static void shake_hands(const thrum_client_options *co, const thrum_server_options *so)
{
    thrum_error e;
    thrum_event ev;
    assert_status(thrum_proto_client(&two.c, "ws://h.test/", co, &test_host, now, &e), THRUM_OK);
    two.s = new_server(so);
    pump(two.c, two.s);
    assert_true(next_of(two.c, THRUM_EVENT_OPEN, &ev) && next_of(two.s, THRUM_EVENT_OPEN, &ev));
    assert_non_null(thrum_proto_extensions(two.c));
    assert_string_equal(thrum_proto_extensions(two.c), thrum_proto_extensions(two.s));
}

static void part(void)
{
    thrum_proto_free(two.c);
    thrum_proto_free(two.s);
    codec_trim();
}

static int prepare(void **state)
{
    (void)state;
    for (size_t i = 0, n = 0; n + 80 < BIG; i++)
        n += (size_t)snprintf((char *)big + n, 80, "{\"n\":%zu,\"word\":\"%s\",\"square\":%zu}", i,
                              i % 3 ? "warp" : "weft", i * i);
    return 0;
}

static void carry(thrum_proto *from, thrum_proto *to, thrum_kind k, thrum_slice s, thrum_switch compress)
{
    thrum_event e;
    assert_status(thrum_proto_send_with(from, k, s, true, compress), THRUM_OK);
    pump(from, to);
    if (!next_of(to, THRUM_EVENT_MESSAGE, &e)) {
        thrum_error err;
        thrum_proto_error(to, &err);
        fail_msg("no message of %zu bytes: %s", s.n, err.text);
    }
    assert_int_equal(e.message.kind, k);
    assert_int_equal(e.message.len, s.n);
    assert_memory_equal(e.message.data, s.p, s.n);
    assert_int_equal(e.message.data[s.n], 0);
    thrum_message_release(&e.message);
}

static thrum_slice piece(size_t from, size_t n)
{
    return (thrum_slice){big + from, n};
}

/* Every setting, both ways, sizes from nothing up, compressed and not in turn. */
static void test_every_setting(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8 * 8; i++) {
        uint32_t bits = 8 + i % 8, other = 15 - i % 8;
        thrum_switch a = i & 8 ? THRUM_ON : THRUM_OFF, b = i & 16 ? THRUM_ON : THRUM_OFF;
        uint32_t level = i & 32 ? 6 : 1;
        shake_hands(THRUM_CLIENT(.client_max_window_bits = bits, .server_no_context_takeover = a,
                                 .compress_level = level),
                    THRUM_SERVER(.server_max_window_bits = other, .client_no_context_takeover = b,
                                 .compress_level = level));
        for (size_t n = 0, at = 0; n < 40000; n = n * 3 + 1, at += 1000) {
            carry(two.c, two.s, THRUM_TEXT, piece(at, n), THRUM_ON);
            carry(two.s, two.c, THRUM_BINARY, piece(at, n), n % 2 ? THRUM_ON : THRUM_OFF);
            carry(two.s, two.c, THRUM_TEXT, piece(at + 500, n), THRUM_DEFAULT);
        }
        part();
    }
}

static size_t wire_of(thrum_proto *from, thrum_proto *to, thrum_slice s, thrum_switch compress)
{
    thrum_stats a = {.size = sizeof a}, b = a;
    proto_stats(from, &a);
    carry(from, to, THRUM_TEXT, s, compress);
    proto_stats(from, &b);
    return (size_t)(b.wire_out - a.wire_out);
}

static void test_R12_takeover_is_as_agreed(void **state)
{
    (void)state;
    shake_hands(NULL, NULL);
    size_t first = wire_of(two.s, two.c, piece(0, 2000), THRUM_ON);
    size_t again = wire_of(two.s, two.c, piece(0, 2000), THRUM_ON);
    assert_true(first < 1000 && again * 4 < first);
    part();
    shake_hands(THRUM_CLIENT(.server_no_context_takeover = THRUM_ON), NULL);
    first = wire_of(two.s, two.c, piece(0, 2000), THRUM_ON);
    assert_int_equal(wire_of(two.s, two.c, piece(0, 2000), THRUM_ON), first);
    part();
}

/* The size decides, unless the send does; what would grow goes as it is. */
static void test_choice(void **state)
{
    uint8_t noise[3000];
    (void)state;
    test_random(NULL, noise, sizeof noise);
    shake_hands(NULL, THRUM_SERVER(.compress_min = 500));
    assert_int_equal(wire_of(two.s, two.c, piece(0, 499), THRUM_DEFAULT), 499 + 4);
    assert_true(wire_of(two.s, two.c, piece(0, 500), THRUM_DEFAULT) < 400);
    assert_true(wire_of(two.s, two.c, piece(0, 499), THRUM_ON) < 400);
    assert_int_equal(wire_of(two.s, two.c, piece(0, 5000), THRUM_OFF), 5004);
    assert_status(thrum_proto_send(two.s, THRUM_BINARY, (thrum_slice){noise, sizeof noise}, true), THRUM_OK);
    size_t n = take_out(two.s, out, sizeof out);
    assert_int_equal(n, sizeof noise + 4);
    assert_int_equal((uint8_t)out[0], 0x82);
    part();
}

static thrum_slice slice(const char *s, size_t n)
{
    return (thrum_slice){(const uint8_t *)s, n};
}

static void send_parts(thrum_proto *from, thrum_proto *to, thrum_switch compress, int bare_first)
{
    thrum_event e;
    thrum_slice none = {NULL, 0};
    assert_status(thrum_proto_send_with(from, THRUM_TEXT, bare_first ? none : piece(0, 700), false, compress),
                  THRUM_OK);
    assert_status(thrum_proto_ping(from, slice("p", 1), now, NULL), THRUM_OK);
    assert_status(thrum_proto_send_with(from, THRUM_TEXT, piece(700, 900), false, THRUM_OFF), THRUM_OK);
    assert_status(thrum_proto_send_with(from, THRUM_TEXT, none, false, THRUM_ON), THRUM_OK);
    assert_status(thrum_proto_send_with(from, THRUM_TEXT, piece(1600, 1), false, THRUM_DEFAULT), THRUM_OK);
    assert_status(thrum_proto_send(from, THRUM_TEXT, none, true), THRUM_OK);
    pump(from, to);
    assert_true(next_of(to, THRUM_EVENT_MESSAGE, &e));
    size_t skipped = bare_first ? 700 : 0;
    assert_int_equal(e.message.len, 1601 - skipped);
    assert_memory_equal(e.message.data, big + skipped, e.message.len);
    thrum_message_release(&e.message);
}

static void test_messages_in_parts(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        shake_hands(THRUM_CLIENT(.client_no_context_takeover = i & 1 ? THRUM_ON : THRUM_OFF,
                                 .compress_level = i & 2 ? 6 : 1),
                    NULL);
        thrum_switch how = i & 4 ? THRUM_ON : THRUM_OFF;
        for (int k = 0; k < 3; k++) {
            send_parts(two.c, two.s, how, i & 8);
            carry(two.c, two.s, THRUM_BINARY, piece(100, 3000), THRUM_ON);
        }
        part();
    }
}

/* A compressed frame that is taken back before it began leaves both ends with the same text to refer to. */
static void test_taken_back(void **state)
{
    thrum_slice v = piece(0, 3000);
    (void)state;
    shake_hands(NULL, NULL);
    carry(two.c, two.s, THRUM_TEXT, piece(5000, 3000), THRUM_ON);
    assert_status(proto_send_borrow(two.c, THRUM_TEXT, &v, 1, true, THRUM_ON), THRUM_OK);
    assert_int_equal(proto_settle(two.c), PROTO_BORROW_FRESH);
    carry(two.c, two.s, THRUM_TEXT, piece(0, 3000), THRUM_ON);
    /* the first part of a message, and a later one */
    assert_status(proto_send_borrow(two.c, THRUM_TEXT, &v, 1, false, THRUM_ON), THRUM_OK);
    assert_int_equal(proto_settle(two.c), PROTO_BORROW_FRESH);
    carry(two.c, two.s, THRUM_BINARY, piece(0, 300), THRUM_OFF);
    assert_status(proto_send_borrow(two.c, THRUM_TEXT, &v, 1, false, THRUM_ON), THRUM_OK);
    pump(two.c, two.s);
    proto_settle(two.c);
    assert_status(proto_send_borrow(two.c, THRUM_TEXT, &v, 1, false, THRUM_ON), THRUM_OK);
    assert_int_equal(proto_settle(two.c), PROTO_BORROW_FRESH);
    assert_status(proto_send_borrow(two.c, THRUM_TEXT, &v, 1, true, THRUM_ON), THRUM_OK);
    pump(two.c, two.s);
    proto_settle(two.c);
    thrum_event e;
    assert_true(next_of(two.s, THRUM_EVENT_MESSAGE, &e));
    assert_int_equal(e.message.len, 6000);
    assert_memory_equal(e.message.data, big, 3000);
    assert_memory_equal(e.message.data + 3000, big, 3000);
    thrum_message_release(&e.message);
    carry(two.c, two.s, THRUM_TEXT, piece(0, 3000), THRUM_ON);
    part();
}

/* Broadcasts, compressed once, between messages that refer back. */
static void test_broadcasts_between(void **state)
{
    uint8_t noise[300];
    (void)state;
    test_random(NULL, noise, sizeof noise);
    for (int no_takeover = 0; no_takeover < 2; no_takeover++) {
        shake_hands(NULL, THRUM_SERVER(.server_no_context_takeover = no_takeover ? THRUM_ON : THRUM_OFF));
        for (int i = 0; i < 4; i++) {
            struct shared *s = shared_new(THRUM_TEXT, piece(2000, 3000)),
                          *t = shared_new(THRUM_BINARY, (thrum_slice){noise, 300});
            carry(two.s, two.c, THRUM_TEXT, piece(0, 3000), THRUM_ON);
            assert_status(proto_send_shared(two.s, s), THRUM_OK);
            assert_status(proto_send_shared(two.s, s), THRUM_OK);
            assert_status(proto_send_shared(two.s, t), THRUM_OK);
            shared_drop(s);
            shared_drop(t);
            size_t n = take_out(two.s, out, sizeof out);
            assert_true(n < 3000 + 300);
            feed(two.c, out, n);
            for (int k = 0; k < 3; k++) {
                thrum_event e;
                assert_true(next_of(two.c, THRUM_EVENT_MESSAGE, &e));
                assert_memory_equal(e.message.data, k < 2 ? big + 2000 : noise, e.message.len);
                thrum_message_release(&e.message);
            }
            carry(two.s, two.c, THRUM_TEXT, piece(2500, 3000), THRUM_ON);
        }
        part();
    }
}

/* ---- bytes made by hand ---- */

static const char hello[] = "\xf2\x48\xcd\xc9\xc9\x07\x00";

static thrum_proto *deflating_server(const thrum_server_options *o)
{
    char request[1024];
    thrum_event e;
    thrum_proto *p = new_server(o);
    snprintf(request, sizeof request, "%.*sSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
             (int)(strlen(good_request) - 2), good_request);
    feed_text(p, request);
    take_out(p, out, sizeof out);
    assert_true(next_of(p, THRUM_EVENT_OPEN, &e));
    return p;
}

static void test_examples_of_the_rfc(void **state)
{
    (void)state;
    thrum_proto *p = deflating_server(NULL);
    say(p, 0xc1, hello, 7); /* 7.2.3.1 */
    expect_message(p, "Hello");
    say(p, 0x41, hello, 3); /* the same in two fragments */
    say(p, 0x80, hello + 3, 4);
    expect_message(p, "Hello");
    say(p, 0xc1, "\xf2\x00\x11\x00\x00", 5); /* 7.2.3.2, by reference */
    expect_message(p, "Hello");
    say(p, 0xc1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11);
    expect_message(p, "Hello");
    say(p, 0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8); /* 7.2.3.4, a final block */
    expect_message(p, "Hello");
    say(p, 0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00", 7); /* and nothing behind it */
    expect_message(p, "Hello");
    say(p, 0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13);
    expect_message(p, "Hello");
    say(p, 0xc1, "\x00", 1);
    expect_message(p, "");
    say(p, 0x81, "plain", 5);
    expect_message(p, "plain");
    thrum_proto_free(p);
}

/* What has come may be a whole message by itself, and yet there is more of it. */
static void test_more_than_it_seems(void **state)
{
    static const char twice[] = "\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\xf2\x48\xcd\xc9\xc9\x07\x00";
    enum { TWO = sizeof twice - 1 };
    uint8_t wire[64];
    (void)state;
    size_t n = frame(wire, 0xc1, twice, TWO, true);
    for (size_t cut = 1; cut < n; cut++) { /* in one frame that comes in two pieces */
        thrum_proto *p = deflating_server(NULL);
        feed(p, wire, cut);
        feed(p, wire + cut, n - cut);
        expect_message(p, "HelloHello");
        thrum_proto_free(p);
    }
    for (size_t cut = 0; cut <= TWO; cut++) { /* in two frames */
        thrum_proto *p = deflating_server(NULL);
        say(p, 0x41, twice, cut);
        say(p, 0x80, twice + cut, TWO - cut);
        expect_message(p, "HelloHello");
        say(p, 0xc1, hello, 7);
        expect_message(p, "Hello");
        thrum_proto_free(p);
    }
}

/* A message that is too long for one go costs one try, and not each that follows it another. */
static void test_too_long_for_one_go(void **state)
{
    (void)state;
    shake_hands(NULL, NULL);
    carry(two.c, two.s, THRUM_TEXT, piece(0, 1000), THRUM_ON);
    assert_false(two.s->deflate->longer);
    carry(two.c, two.s, THRUM_TEXT, piece(0, WHOLE_MOST + 1), THRUM_ON);
    assert_true(two.s->deflate->longer);
    carry(two.c, two.s, THRUM_TEXT, piece(5, WHOLE_MOST), THRUM_ON);
    assert_false(two.s->deflate->longer);
    carry(two.c, two.s, THRUM_TEXT, piece(9, 1000), THRUM_ON);
    part();
}

static void fails(const char *bytes, size_t n, uint8_t first, thrum_status s, int code)
{
    thrum_proto *p = deflating_server(NULL);
    say(p, first, bytes, n);
    expect_error(p, s, code);
    thrum_proto_free(p);
}

static void test_R5_rsv1_in_wrong_places(void **state)
{
    (void)state;
    fails("", 0, 0xc9, THRUM_E_PROTOCOL, 1002);  /* ping */
    fails("", 0, 0xca, THRUM_E_PROTOCOL, 1002);  /* pong */
    fails("", 0, 0xc8, THRUM_E_PROTOCOL, 1002);  /* close */
    fails("x", 1, 0xa1, THRUM_E_PROTOCOL, 1002); /* rsv2 */
    fails("x", 1, 0xd1, THRUM_E_PROTOCOL, 1002); /* rsv1 and rsv3 */
    fails("x", 1, 0xc0, THRUM_E_PROTOCOL, 1002); /* a continuation of nothing */
    thrum_proto *p = deflating_server(NULL);
    say(p, 0x41, hello, 3);
    say(p, 0xc0, hello + 3, 4); /* a continuation */
    expect_error(p, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(p);
    p = open_server(NULL); /* not agreed on */
    say(p, 0xc1, hello, 7);
    expect_error(p, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(p);
}

static void test_corrupt_and_cut_off(void **state)
{
    (void)state;
    fails("\x07", 1, 0xc1, THRUM_E_PROTOCOL, 1007);
    fails("", 0, 0xc1, THRUM_E_PROTOCOL, 1007);
    fails(hello, 6, 0xc1, THRUM_E_PROTOCOL, 1007);
    for (size_t n = 1; n < 5; n++)
        fails(hello, n, 0xc2, THRUM_E_PROTOCOL, 1007);
    fails("\xf2\x00\x11\x00\x00", 5, 0xc2, THRUM_E_PROTOCOL, 1007); /* a reference to nothing */
    /* not UTF-8, once it is inflated: a stored block with ff */
    fails("\x00\x01\x00\xfe\xff\xff\x00", 7, 0xc1, THRUM_E_UTF8, 1007);
    fails("\x00\x01\x00\xfe\xff\xc3\x00", 7, 0xc1, THRUM_E_UTF8, 1007); /* ends inside a character */
}

static void two_faults(const char *bytes, size_t n, thrum_status s, int code)
{
    uint8_t wire[64];
    size_t len = frame(wire, 0xc1, bytes, n, true);
    for (size_t step = 1; step <= len; step++) {
        thrum_proto *p = deflating_server(THRUM_SERVER(.max_message = 5));
        for (size_t at = 0; at < len; at += step)
            feed(p, wire + at, step < len - at ? step : len - at);
        expect_error(p, s, code);
        thrum_proto_free(p);
    }
}

/* The first one is told, however they are cut. */
static void test_two_faults(void **state)
{
    (void)state;
    /* a stored block with ff, then one of a type that is none */
    two_faults("\x00\x02\x00\xfd\xff"
               "a\xff"
               "\x07",
               8, THRUM_E_UTF8, 1007);
    two_faults("\x00\x06\x00\xf9\xff"
               "abcdef"
               "\x07",
               12, THRUM_E_TOO_BIG, 1009);
    two_faults("\x00\x06\x00\xf9\xff"
               "abc\xff"
               "ef",
               11, THRUM_E_UTF8, 1007);
    two_faults("\x00\x07\x00\xf8\xff"
               "abcdef\xff",
               12, THRUM_E_TOO_BIG, 1009);
    two_faults("\x00\x02\x00\xfd\xff"
               "ab"
               "\x07\xff",
               9, THRUM_E_PROTOCOL, 1007);
}

/* n zeros as raw deflate without its tail. */
static size_t bomb(uint8_t *to, size_t cap, size_t n)
{
    static const uint8_t zeros[65536];
    z_stream z = {.next_out = to, .avail_out = (unsigned)cap};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    for (; n > 0; n -= n < sizeof zeros ? n : sizeof zeros) {
        z.next_in = (Bytef *)(uintptr_t)zeros;
        z.avail_in = (unsigned)(n < sizeof zeros ? n : sizeof zeros);
        assert_int_equal(deflate(&z, n <= sizeof zeros ? Z_SYNC_FLUSH : Z_NO_FLUSH), Z_OK);
    }
    size_t made = cap - z.avail_out;
    assert_true(z.avail_out > 0);
    deflateEnd(&z);
    return made - 4;
}

/* A gigabyte in a megabyte of deflate, a limit of a megabyte: under 2 MiB are ever held. */
static void test_R9_bomb(void **state)
{
    enum { WIRE = 2 << 20 };
    uint8_t *wire = malloc(WIRE), *f = malloc(WIRE + 14);
    (void)state;
    size_t n = bomb(wire, WIRE, (size_t)1 << 30);
    codec_trim();
    count_memory(SIZE_MAX, SIZE_MAX);
    thrum_proto *p = deflating_server(THRUM_SERVER(.max_frame = 4 << 20));
    n = frame(f, 0xc2, wire, n, true);
    size_t fed = 0;
    for (; fed < n && !proto_status(p); fed += 4096)
        (void)thrum_proto_feed(p, f + fed, n - fed < 4096 ? n - fed : 4096, now);
    expect_error(p, THRUM_E_TOO_BIG, 1009);
    assert_true(fed < 16384); /* nothing was inflated that could not be taken */
    assert_true(most < 2 << 20);
    thrum_proto_free(p);
    codec_trim();
    stop_counting();
    free(wire);
    free(f);
}

/* The tail that a receiver puts back (RFC 7692 section 7.2.2) is not written, nor read, behind what came. */
static void test_R11_no_byte_behind_the_input(void **state)
{
    uint8_t f[64];
    (void)state;
    thrum_proto *p = deflating_server(NULL);
    size_t n = frame(f, 0xc1, hello, 7, true);
    uint8_t *guarded = guard_copy(f, n);
    (void)thrum_proto_feed(p, guarded, n, now);
    expect_message(p, "Hello");
    guard_free(guarded, n);
    thrum_proto_free(p);
}

#ifdef THRUM_ISAL
/* Are the codes of what this text is sent as the fixed ones? RFC 1951 section 3.2.3. */
static bool sent_fixed(struct deflate *d, const uint8_t *p, size_t n)
{
    const thrum_slice v = {p, n};
    struct deflater *with;
    thrum_slice small;
    assert_status(deflate_send(d, &v, 1, true, &with, &small), THRUM_OK);
    deflate_sent(d, &v, 1, true);
    const int kind = small.p[0] >> 1 & 3;
    deflater_give(with);
    assert_in_range(kind, 1, 2);
    return kind == 1;
}

/* Of each sixteen one is sent with its own codes, one with the fixed ones, the rest by what these came to. */
static void test_codes(void **state)
{
    struct deflate d = {.out = {12, true}, .level = 1};
    uint8_t letters[4000];
    (void)state;
    test_random(NULL, letters, sizeof letters);
    for (size_t i = 0; i < sizeof letters; i++)
        letters[i] = (uint8_t)('a' + letters[i] % 16);
    for (int i = 0; i <= 32; i++) { /* the first has nothing to refer to, all others are the same again */
        const bool fixed = sent_fixed(&d, letters, sizeof letters);
        if (i == 0 || i % 16 != 1) /* of which ISA-L itself may find that the fixed codes are shorter */
            assert_int_equal(fixed, i > 0);
    }
    for (int i = 1; i <= 32; i++) {
        deflate_forget(&d);
        deflate_was_told(&d, (thrum_slice){(const uint8_t *)"weft", 4});
        assert_int_equal(sent_fixed(&d, letters, sizeof letters), i % 16 == 2);
    }
    assert_false(sent_fixed(&d, big, 10000)); /* what is long has a use for its own */
    assert_true(sent_fixed(&d, big + 10000, 100));
    deflate_drop(&d);
    deflate_forget(&d);
    codec_trim();
}
#endif

/* What one connection sent cannot be told from the size of what another one sends. */
static void test_R13_connections_share_no_history(void **state)
{
    (void)state;
    for (uint32_t level = 1; level <= 6; level += 5) {
        size_t size[3], next[3]; /* the next has a history of its own, and so other codes */
        for (int i = 0; i < 3; i++) {
            shake_hands(NULL, THRUM_SERVER(.compress_level = level));
            if (i == 1) { /* another's, from the same states */
                thrum_proto *c = two.c, *s = two.s;
                shake_hands(NULL, THRUM_SERVER(.compress_level = level));
                carry(two.s, two.c, THRUM_TEXT, piece(0, 2000), THRUM_ON);
                carry(two.s, two.c, THRUM_TEXT, piece(5000, 2000), THRUM_ON);
                thrum_proto_free(two.c);
                thrum_proto_free(two.s);
                two.c = c;
                two.s = s;
            }
            size[i] = wire_of(two.s, two.c, piece(0, 2000), THRUM_ON);
            next[i] = wire_of(two.s, two.c, piece(5000, 2000), THRUM_ON);
            thrum_proto_free(two.c);
            thrum_proto_free(two.s);
        }
        for (int i = 1; i < 3; i++) {
            assert_int_equal(size[0], size[i]);
            assert_int_equal(next[0], next[i]);
        }
        codec_trim();
    }
    shake_hands(NULL, NULL); /* and a message can be kept out of it */
    carry(two.s, two.c, THRUM_TEXT, piece(0, 2000), THRUM_OFF);
    size_t alone = wire_of(two.s, two.c, piece(0, 2000), THRUM_ON);
    part();
    shake_hands(NULL, NULL);
    assert_int_equal(wire_of(two.s, two.c, piece(0, 2000), THRUM_ON), alone);
    part();
}

static void test_limits_to_the_byte(void **state)
{
    uint8_t wire[4096];
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        thrum_proto *p = deflating_server(THRUM_SERVER(.max_message = 5000));
        thrum_event e;
        say(p, 0xc2, wire, bomb(wire, sizeof wire, 5000 + over));
        assert_int_equal(next_of(p, THRUM_EVENT_MESSAGE, &e), !over);
        if (over) {
            expect_error(p, THRUM_E_TOO_BIG, 1009);
        } else {
            assert_int_equal(e.message.len, 5000);
            thrum_message_release(&e.message);
        }
        thrum_proto_free(p);
    }
    thrum_proto *p = deflating_server(THRUM_SERVER(.max_message = THRUM_NO_LIMIT));
    thrum_event e;
    say(p, 0xc2, wire, bomb(wire, sizeof wire, 2000000));
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    assert_int_equal(e.message.len, 2000000);
    thrum_message_release(&e.message);
    thrum_proto_free(p);
    p = deflating_server(
        THRUM_SERVER(.max_frame = 1000)); /* a frame's limit is one of the wire's, with a little slack */
    say(p, 0x42, big, 1064);
    assert_true(proto_status(p) != THRUM_E_TOO_BIG);
    thrum_proto_free(p);
    p = deflating_server(THRUM_SERVER(.max_frame = 1000));
    uint8_t head[14];
    feed(p, head, frame(head, 0x42, NULL, 0, true));
    say(p, 0x00, big, 1065);
    expect_error(p, THRUM_E_TOO_BIG, 1009);
    thrum_proto_free(p);
}

/* Any cut of the input gives the same. */
static void test_split_invariance(void **state)
{
    uint8_t wire[9000];
    (void)state;
    shake_hands(NULL, NULL);
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_status(thrum_proto_send_with(two.c, THRUM_TEXT, piece(i * 700, 2500), i != 1, THRUM_ON),
                      THRUM_OK);
        n += take_out(two.c, (char *)wire + n, sizeof wire - n);
    }
    for (size_t cut = 1; cut < 40; cut++) {
        thrum_proto *p = deflating_server(NULL);
        thrum_event e;
        for (size_t at = 0; at < n; at += cut)
            feed(p, wire + at, n - at < cut ? n - at : cut);
        assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
        assert_int_equal(e.message.len, 2500);
        thrum_message_release(&e.message);
        assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
        assert_int_equal(e.message.len, 5000);
        assert_memory_equal(e.message.data, big + 700, 2500);
        assert_memory_equal(e.message.data + 2500, big + 1400, 2500);
        thrum_message_release(&e.message);
        thrum_proto_free(p);
    }
    part();
}

/* ---- memory and time ---- */

static uint64_t held_by(const thrum_proto *p)
{
    thrum_stats s = {.size = sizeof s};
    proto_stats(p, &s);
    return s.compress_held;
}

static void test_history_is_given_up_when_idle(void **state)
{
    (void)state;
    shake_hands(NULL, THRUM_SERVER(.compress_idle = 5000, .ping_interval = THRUM_FOREVER));
    assert_int_equal(held_by(two.s), 0); /* nothing before the first message */
    assert_int_equal(thrum_proto_deadline(two.s), INT64_MAX);
    carry(two.s, two.c, THRUM_TEXT, piece(0, 9000), THRUM_ON);
    assert_int_equal(held_by(two.s), 4096);
    assert_int_equal(held_by(two.c), 4096);
    assert_int_equal(thrum_proto_deadline(two.s), now + 5000 * MS);
    now += 4999 * MS;
    thrum_proto_tick(two.s, now);
    assert_int_equal(held_by(two.s), 4096);
    assert_status(thrum_proto_ping(two.s, slice("p", 1), now, NULL), THRUM_OK); /* no message */
    pump(two.s, two.c);
    now += MS;
    thrum_proto_tick(two.s, now);
    assert_int_equal(held_by(two.s), 0);
    assert_int_equal(thrum_proto_deadline(two.s), INT64_MAX);
    carry(two.s, two.c, THRUM_TEXT, piece(0, 9000), THRUM_ON);
    part();
    shake_hands(NULL,
                THRUM_SERVER(.server_no_context_takeover = THRUM_ON, .client_no_context_takeover = THRUM_ON));
    carry(two.s, two.c, THRUM_TEXT, piece(0, 9000), THRUM_ON);
    carry(two.c, two.s, THRUM_TEXT, piece(0, 9000), THRUM_ON);
    assert_int_equal(held_by(two.s), 0);
    assert_int_equal(held_by(two.c), 0);
    part();
}

/* An unfinished message holds an inflater; the connection's end gives it back. */
static void test_unfinished_message_is_dropped(void **state)
{
    (void)state;
    codec_trim();
    count_memory(SIZE_MAX, SIZE_MAX);
    thrum_proto *p = deflating_server(NULL);
    say(p, 0x41, hello, 3);
    assert_true(codec_held() > 0);
    thrum_proto_free(p);
    codec_trim();
    assert_int_equal(codec_held(), 0);
    stop_counting();
}

static bool talk(void)
{
    thrum_error e;
    thrum_event ev;
    bool got = false;
    if (thrum_proto_client(&two.c, "ws://h.test/", NULL, &test_host, now, &e) != THRUM_OK)
        return false;
    if (thrum_proto_server(&two.s, NULL, &test_host, now, &e) == THRUM_OK) {
        pump(two.c, two.s);
        for (int i = 0; i < 2; i++) {
            (void)!thrum_proto_send_with(two.s, THRUM_TEXT, piece(0, 5000), false, THRUM_ON);
            (void)!thrum_proto_send_with(two.s, THRUM_TEXT, piece(5000, 5000), true, THRUM_ON);
            pump(two.s, two.c);
            got = next_of(two.c, THRUM_EVENT_MESSAGE, &ev);
            if (got) {
                assert_int_equal(ev.message.len % 5000, 0);
                assert_memory_equal(ev.message.data, ev.message.len == 10000 ? big : ev.message.data,
                                    ev.message.len);
                thrum_message_release(&ev.message);
            }
        }
        thrum_proto_free(two.s);
    }
    thrum_proto_free(two.c);
    codec_trim();
    return got;
}

/* One allocation fails: a message is lost or its connection, nothing else. */
static void test_no_memory(void **state)
{
    (void)state;
    codec_trim();
    for (size_t i = 0;; i++) {
        count_memory(i, i + 1);
        (void)talk();
        bool done = asked_for <= i;
        stop_counting();
        if (done)
            break;
        assert_true(i < 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_setting),
        cmocka_unit_test(test_R12_takeover_is_as_agreed),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_messages_in_parts),
        cmocka_unit_test(test_taken_back),
        cmocka_unit_test(test_broadcasts_between),
#ifdef THRUM_ISAL
        cmocka_unit_test(test_codes),
#endif
        cmocka_unit_test(test_examples_of_the_rfc),
        cmocka_unit_test(test_more_than_it_seems),
        cmocka_unit_test(test_too_long_for_one_go),
        cmocka_unit_test(test_R5_rsv1_in_wrong_places),
        cmocka_unit_test(test_corrupt_and_cut_off),
        cmocka_unit_test(test_two_faults),
        cmocka_unit_test(test_R9_bomb),
        cmocka_unit_test(test_R11_no_byte_behind_the_input),
        cmocka_unit_test(test_R13_connections_share_no_history),
        cmocka_unit_test(test_limits_to_the_byte),
        cmocka_unit_test(test_split_invariance),
        cmocka_unit_test(test_history_is_given_up_when_idle),
        cmocka_unit_test(test_unfinished_message_is_dropped),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
