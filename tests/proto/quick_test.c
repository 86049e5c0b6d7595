/* quick_test.c: the short cut against the proto. What it takes a proto would have given just so, what it
 * leaves is as it was, and what it could take it does take. THRUM_SEED=n repeats a run. */
#include "lib/guard.h"
#include "proto/park.h"
#include "proto/quick.h"
#include "proto_test.h"

enum { LARGE = 70000, FRAMES = 20000 };

static struct settings usual;
static uint8_t text[LARGE], wire[LARGE + 64];
static uint32_t rng = 1;

static uint32_t rnd(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 17;
    rng ^= rng << 5;
    return rng % n;
}

/* ---- frames, right and wrong --------------------------------------------------------------------------- */

struct shape {
    uint8_t first;
    bool masked;
    size_t wide; /* bytes of the extended length: 0, 2 or 8 */
};

static size_t shortest(uint64_t len)
{
    return len < 126 ? 0 : len < 65536 ? 2 : 8;
}

/* The head alone, and with it the key, which is behind it in the result; its size. */
static size_t put_head(uint8_t *to, struct shape how, uint64_t len)
{
    size_t n = 2;
    to[0] = how.first;
    to[1] = (uint8_t)((how.masked ? 0x80 : 0) | (how.wide == 8 ? 127 : how.wide == 2 ? 126 : len));
    for (size_t i = how.wide; i-- > 0;)
        to[n++] = (uint8_t)(len >> (8 * i));
    for (int i = 0; how.masked && i < 4; i++)
        to[n++] = (uint8_t)rnd(256);
    return n;
}

static size_t put_frame(uint8_t *to, struct shape how, const uint8_t *payload, size_t len)
{
    size_t at = put_head(to, how, len);
    for (size_t i = 0; i < len; i++)
        to[at + i] = payload[i] ^ (how.masked ? to[at - 4 + i % 4] : 0);
    return at + len;
}

/* Text of that many bytes, in characters of every size. */
static uint8_t *some_text(size_t len)
{
    static const char piece[] = "a\xc3\xa9z\xe2\x82\xac.\xf0\x9f\x98\x80";
    for (size_t i = 0; i < len; i++)
        text[i] = (uint8_t)(i < len - len % 12 ? piece[i % 12] : 'x');
    return text;
}

/* One as a peer of this role sends it. */
static size_t good_frame(uint8_t *to, thrum_kind k, bool server, size_t len)
{
    return put_frame(to, (struct shape){(uint8_t)(0x80 | k), server, shortest(len)}, some_text(len), len);
}

/* ---- the judge ----------------------------------------------------------------------------------------- */

struct answer {
    thrum_message m; /* of the first frame alone, where that is a whole message */
    size_t used;     /* 0: it is none */
    thrum_status status;
};

static thrum_proto *at_rest(const struct settings *s, bool server)
{
    struct parked none = {.latency = -1};
    thrum_proto *p = proto_unpark(&none, server, s, &test_host, now);
    assert_non_null(p);
    return p;
}

/* What a proto at rest says of these bytes, up to the first message or failure. */
static struct answer ask(const struct settings *s, bool server, const uint8_t *d, size_t n)
{
    struct answer a = {.used = 0};
    thrum_event e = {.what = THRUM_EVENT_NONE};
    thrum_proto *p = at_rest(s, server);
    size_t at = 0;
    while (at < n && proto_status(p) == THRUM_OK && !thrum_proto_event(p, &e)) {
        size_t next = proto_next(p), take = n - at < next ? n - at : next;
        feed(p, d + at, take);
        at += take;
    }
    a.status = proto_status(p);
    bool one_frame = n > 0 && (d[0] == 0x81 || d[0] == 0x82);
    if (one_frame && (e.what != THRUM_EVENT_NONE || thrum_proto_event(p, &e))) {
        thrum_stats st = {.size = sizeof st};
        proto_stats(p, &st);
        assert_int_equal(e.what, THRUM_EVENT_MESSAGE);
        /* What the quick way counts by itself, the proto counted so. */
        assert_int_equal(st.messages_in, 1);
        assert_int_equal(st.bytes_in, e.message.len);
        assert_int_equal(st.wire_in, at);
        assert_true(proto_rests(p));
        a.m = e.message;
        a.used = at;
    } else {
        thrum_message_release(&e.message);
    }
    thrum_proto_free(p);
    return a;
}

static void compare(const struct answer *want, const thrum_message *m, const uint8_t *now_there,
                    const uint8_t *before, size_t n)
{
    size_t head = want->used - want->m.len;
    assert_int_equal(m->kind, want->m.kind);
    assert_int_equal(m->part, THRUM_PART_WHOLE);
    assert_int_equal(m->len, want->m.len);
    assert_null(m->hold);
    assert_ptr_equal(m->data, now_there + head);
    assert_memory_equal(m->data, want->m.data, m->len);
    assert_memory_equal(now_there, before, head);
    assert_memory_equal(now_there + want->used, before + want->used, n - want->used);
}

/* Shows n bytes to both. The bytes end where memory ends, so that one that is read too far is found. */
static struct answer judge(const struct settings *s, bool server, const uint8_t *d, size_t n)
{
    static const thrum_message none = {.part = 77};
    struct answer want = ask(s, server, d, n);
    uint8_t *mine = guard_copy(d, n);
    thrum_message m = none;
    size_t used = quick_take(s, server, mine, n, &m);
    if (used != want.used)
        fail_msg("%zu bytes, %02x %02x, a %s: %zu were taken, a proto takes %zu (%s)", n, n ? d[0] : 0,
                 n > 1 ? d[1] : 0, server ? "server" : "client", used, want.used,
                 thrum_status_name(want.status));
    if (used > 0) {
        compare(&want, &m, mine, d, n);
    } else {
        assert_memory_equal(mine, d, n);
        assert_memory_equal(&m, &none, sizeof m);
    }
    guard_free(mine, n);
    thrum_message_release(&want.m);
    return want;
}

/* ---- what is taken ------------------------------------------------------------------------------------- */

/* Each length of a head's byte and of what masks in words, cut everywhere, with another frame behind it. */
static void test_every_length_and_cut(void **state)
{
    static const size_t lengths[] = {0,  1,  2,  3,  4,  5,  7,  8,   9,   15,  16,  17,  31,
                                     32, 33, 63, 64, 65, 90, 95, 124, 125, 126, 127, 128, 200};
    (void)state;
    for (size_t i = 0; i < 4 * (sizeof lengths / sizeof lengths[0]); i++) {
        bool server = i & 1;
        thrum_kind k = i & 2 ? THRUM_TEXT : THRUM_BINARY;
        size_t size = good_frame(wire, k, server, lengths[i / 4]);
        size_t n = size + good_frame(wire + size, THRUM_BINARY, server, 1);
        for (size_t cut = 0; cut <= n; cut++)
            assert_int_equal(judge(&usual, server, wire, cut).used, cut < size ? 0 : size);
    }
}

static void test_large(void **state)
{
    static const size_t lengths[] = {65534, 65535, 65536, 65537, LARGE};
    (void)state;
    for (size_t i = 0; i < 4 * (sizeof lengths / sizeof lengths[0]); i++) {
        bool server = i & 1;
        size_t size = good_frame(wire, i & 2 ? THRUM_TEXT : THRUM_BINARY, server, lengths[i / 4]);
        for (size_t cut = 0; cut <= 15; cut++)
            assert_int_equal(judge(&usual, server, wire, cut).used, 0);
        for (size_t cut = size - 1; cut <= size + 1; cut++)
            assert_int_equal(judge(&usual, server, wire, cut).used, cut < size ? 0 : size);
    }
}

/* ---- what is left to a proto --------------------------------------------------------------------------- */

/* Every first byte, masked and not, at both ends: two of them are ours. */
static void test_every_first_byte(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256 * 4; i++) {
        bool server = i & 1, masked = i & 2;
        uint8_t first = (uint8_t)(i / 4);
        size_t n = put_frame(wire, (struct shape){first, masked, 0}, some_text(3), 3);
        bool ours = (first == 0x81 || first == 0x82) && masked == server;
        assert_int_equal(judge(&usual, server, wire, n).used, ours ? n : 0);
    }
}

static void with_limits(uint64_t max_frame, uint64_t max_message, uint64_t least)
{
    struct settings s;
    assert_status(settings_server(&s, THRUM_SERVER(.max_frame = max_frame, .max_message = max_message), NULL),
                  THRUM_OK);
    for (int server = 0; server < 2; server++)
        for (uint64_t len = least - 1; len <= least + 1; len++) {
            size_t n = good_frame(wire, THRUM_BINARY, server, (size_t)len);
            struct answer a = judge(&s, server, wire, n);
            assert_int_equal(a.used, len <= least ? n : 0);
            assert_status(a.status, len <= least ? THRUM_OK : THRUM_E_TOO_BIG);
        }
    settings_free(&s);
}

static void test_limits(void **state)
{
    struct settings s;
    (void)state;
    with_limits(100, 1000, 100);
    with_limits(1000, 100, 100);
    with_limits(126, 126, 126);
    with_limits(THRUM_NO_LIMIT, 65536, 65536);
    with_limits(65535, THRUM_NO_LIMIT, 65535);
    assert_status(
        settings_server(&s, THRUM_SERVER(.max_frame = THRUM_NO_LIMIT, .max_message = THRUM_NO_LIMIT), NULL),
        THRUM_OK);
    size_t n = good_frame(wire, THRUM_TEXT, true, LARGE);
    assert_int_equal(judge(&s, true, wire, n).used, n);
    settings_free(&s);
}

/* The same length in each form: only the shortest is one. */
static void test_not_the_shortest_form(void **state)
{
    static const size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536};
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof lengths / sizeof lengths[0]); i++) {
        size_t len = lengths[i / 2];
        for (size_t wide = len < 126 ? 0 : len < 65536 ? 2 : 8; wide <= 8; wide = wide ? wide * 4 : 2) {
            size_t n = put_frame(wire, (struct shape){0x82, i & 1, wide}, some_text(len), len);
            struct answer a = judge(&usual, i & 1, wire, n);
            assert_int_equal(a.used, wide == shortest(len) ? n : 0);
            assert_status(a.status, wide == shortest(len) ? THRUM_OK : THRUM_E_PROTOCOL);
        }
    }
}

/* Lengths that nobody has bytes for: the sums must not come round. */
static void test_lengths_beyond_memory(void **state)
{
    static const uint64_t lengths[] = {UINT64_MAX,
                                       UINT64_MAX - 13,
                                       UINT64_MAX - 5,
                                       UINT64_C(1) << 63,
                                       INT64_MAX,
                                       UINT64_C(1) << 32,
                                       (UINT64_C(1) << 32) + 3,
                                       (UINT64_C(1) << 63) + 3,
                                       UINT32_MAX - 7,
                                       UINT64_C(0xffff0000f),
                                       1 << 20};
    struct settings s;
    (void)state;
    assert_status(
        settings_server(&s, THRUM_SERVER(.max_frame = THRUM_NO_LIMIT, .max_message = THRUM_NO_LIMIT), NULL),
        THRUM_OK);
    for (size_t i = 0; i < 4 * (sizeof lengths / sizeof lengths[0]); i++) {
        size_t n = put_head(wire, (struct shape){i & 2 ? 0x81 : 0x82, i & 1, 8}, lengths[i / 4]);
        memcpy(wire + n, some_text(40), 40);
        assert_int_equal(judge(&s, i & 1, wire, n + 40).used, 0);
    }
    settings_free(&s);
}

/* ---- text ---------------------------------------------------------------------------------------------- */

/* One wrong byte anywhere: a server has unmasked all of it before it sees that, and masks it again. */
static void test_bad_text_is_put_back(void **state)
{
    static const size_t lengths[] = {1, 2, 5, 16, 31, 64, 125, 126, 127, 129, 300};
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof lengths / sizeof lengths[0]); i++) {
        size_t len = lengths[i / 2];
        for (size_t bad = 0; bad < len; bad++) {
            uint8_t copy[300];
            memset(copy, 'a', sizeof copy);
            copy[bad] = bad % 2 ? 0xff : 0xc3; /* in no text; the first half of a character */
            size_t n = put_frame(wire, (struct shape){0x81, i & 1, shortest(len)}, copy, len);
            struct answer a = judge(&usual, i & 1, wire, n);
            assert_int_equal(a.used, 0);
            assert_status(a.status, THRUM_E_UTF8);
            wire[0] = 0x82; /* the same bytes are good enough for no text */
            assert_int_equal(judge(&usual, i & 1, wire, n).used, n);
        }
    }
}

/* Characters at every edge of what is valid, whole and cut. */
static void test_characters(void **state)
{
    static const struct {
        const char *s;
        bool good;
    } all[] = {{"", true},
               {"\x7f", true},
               {"\xc2\x80", true},
               {"\xc1\xbf", false},
               {"\xe0\xa0\x80", true},
               {"\xe0\x9f\xbf", false},
               {"\xed\x9f\xbf", true},
               {"\xed\xa0\x80", false},
               {"\xef\xbf\xbf", true},
               {"\xf0\x90\x80\x80", true},
               {"\xf0\x8f\xbf\xbf", false},
               {"\xf4\x8f\xbf\xbf", true},
               {"\xf4\x90\x80\x80", false},
               {"\xc3", false},
               {"\xe2\x82", false},
               {"\xf0\x9f\x98", false},
               {"\x80", false}};
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof all / sizeof all[0]); i++)
        for (size_t before = 0; before < 140; before += before < 40 ? 1 : 33) {
            uint8_t copy[160];
            size_t len = before + strlen(all[i / 2].s);
            memset(copy, 'b', before);
            memcpy(copy + before, all[i / 2].s, len - before);
            size_t n = put_frame(wire, (struct shape){0x81, i & 1, shortest(len)}, copy, len);
            assert_int_equal(judge(&usual, i & 1, wire, n).used, all[i / 2].good ? n : 0);
        }
}

/* ---- anything ------------------------------------------------------------------------------------------ */

static size_t some_length(void)
{
    switch (rnd(40)) {
    case 0: return 65530 + rnd(12);
    case 1: return rnd(5000);
    case 2:
    case 3:
    case 4: return 120 + rnd(12);
    default: return rnd(60);
    }
}

/* Some bytes as a peer, or nobody in his right mind, sends them; how many. */
static size_t some_bytes(bool server)
{
    static const uint8_t firsts[] = {0x81, 0x82, 0x82, 0x81, 0x81, 0x82, 0x01, 0x80, 0x89, 0xc1};
    size_t len = some_length(), n;
    struct shape how = {firsts[rnd(rnd(3) ? 6 : 10)], rnd(12) ? server : !server, shortest(len)};
    if (rnd(20) == 0)
        how.first = (uint8_t)rnd(256);
    if (rnd(12) == 0 && len < 65536)
        how.wide = len < 126 && rnd(2) ? 2 : 8;
    uint8_t *payload = some_text(len);
    if (rnd(8) == 0 && len > 0)
        payload[rnd((uint32_t)len)] = (uint8_t)rnd(256);
    n = put_frame(wire, how, payload, len);
    if (rnd(10) == 0)
        wire[rnd(n < 14 ? (uint32_t)n : 14)] ^= (uint8_t)(1 << rnd(8));
    if (rnd(3) == 0)
        return rnd((uint32_t)n + 1);
    for (uint32_t more = rnd(4) ? 0 : rnd(20); more > 0; more--)
        wire[n++] = (uint8_t)rnd(256);
    return n;
}

static void test_whatever_comes(void **state)
{
    static const uint64_t limits[] = {0, 40, 125, 126, 5000, THRUM_NO_LIMIT};
    const char *given = getenv("THRUM_SEED");
    unsigned taken = 0, wrong = 0, text_wrong = 0, big = 0;
    (void)state;
    rng = given ? (uint32_t)strtoul(given, NULL, 0) | 1 : 20261125u;
    print_message("THRUM_SEED=%u\n", rng);
    for (int i = 0; i < FRAMES; i++) {
        struct settings s;
        bool server = rnd(2);
        uint64_t whole = limits[rnd(6)], one = limits[rnd(6)];
        assert_status(settings_server(&s, THRUM_SERVER(.max_message = whole, .max_frame = one), NULL),
                      THRUM_OK);
        struct answer a = judge(&s, server, wire, some_bytes(server));
        taken += a.used > 0;
        wrong += a.status == THRUM_E_PROTOCOL;
        text_wrong += a.status == THRUM_E_UTF8;
        big += a.status == THRUM_E_TOO_BIG;
        settings_free(&s);
    }
    /* It is worth its time only if all of these are among them. */
    print_message("%u taken, %u against the protocol, %u no text, %u over a limit\n", taken, wrong,
                  text_wrong, big);
    assert_true(taken > FRAMES / 5 && wrong > FRAMES / 20 && text_wrong > FRAMES / 100 && big > FRAMES / 50);
}

/* ---- heads --------------------------------------------------------------------------------------------- */

static void test_head(void **state)
{
    static const uint64_t lengths[] = {0,     1,     125,   126,        127,        255,      256,
                                       65534, 65535, 65536, UINT32_MAX, 1ULL << 40, INT64_MAX};
    static const uint8_t key[4] = {0xaa, 0, 0xff, 0x17};
    (void)state;
    for (size_t i = 0; i < 4 * (sizeof lengths / sizeof lengths[0]); i++) {
        thrum_kind k = i & 1 ? THRUM_TEXT : THRUM_BINARY;
        uint8_t got[FRAME_HEAD_MAX + 2], want[sizeof got];
        struct frame_head h = {.opcode = (uint8_t)k, .fin = true, .masked = i & 2, .len = lengths[i / 4]};
        if (h.masked)
            memcpy(h.key, key, 4);
        memset(got, 0x5a, sizeof got);
        memset(want, 0x5a, sizeof want);
        size_t n = frame_encode(want, &h);
        assert_int_equal(quick_head(got, k, lengths[i / 4], h.masked ? key : NULL), n);
        assert_memory_equal(got, want, sizeof got);
    }
    uint8_t b[FRAME_HEAD_MAX]; /* and as the RFC has them */
    assert_int_equal(quick_head(b, THRUM_TEXT, 5, NULL), 2);
    assert_memory_equal(b, "\x81\x05", 2);
    assert_int_equal(quick_head(b, THRUM_BINARY, 256, NULL), 4);
    assert_memory_equal(b, "\x82\x7e\x01\x00", 4);
    assert_int_equal(quick_head(b, THRUM_TEXT, 5, (const uint8_t *)"\x37\xfa\x21\x3d"), 6);
    assert_memory_equal(b, "\x81\x85\x37\xfa\x21\x3d", 6);
}

static int prepare(void **state)
{
    (void)state;
    return settings_server(&usual, NULL, NULL);
}

static int finish(void **state)
{
    (void)state;
    settings_free(&usual);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_and_cut),  cmocka_unit_test(test_large),
        cmocka_unit_test(test_every_first_byte),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_not_the_shortest_form), cmocka_unit_test(test_lengths_beyond_memory),
        cmocka_unit_test(test_bad_text_is_put_back),  cmocka_unit_test(test_characters),
        cmocka_unit_test(test_whatever_comes),        cmocka_unit_test(test_head),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}
