/* frame_test.c: the examples of RFC 6455 section 5.7, all first bytes, every length on both sides of each
 * form, and each header cut at every position. */
#include "wire/frame.h"
#include "wire_test.h"

static uint8_t *room; /* FRAME_HEAD_MAX bytes, and nothing behind them */

static int make_room(void **state)
{
    (void)state;
    room = guard_copy(NULL, FRAME_HEAD_MAX);
    return 0;
}

static int free_room(void **state)
{
    (void)state;
    guard_free(room, FRAME_HEAD_MAX);
    return 0;
}

/* Decodes p[0..n) and every beginning of it. Returns what the whole gives; *at is the length at which the
 * answer was first other than "more". */
static int decode(struct frame_head *h, const uint8_t *p, size_t n, size_t *at)
{
    int r = 0;
    *at = 0;
    for (size_t cut = 0; cut <= n; cut++) {
        uint8_t *copy = room + FRAME_HEAD_MAX - cut;
        memcpy(copy, p, cut);
        const char *why = NULL;
        int now = frame_decode(h, copy, cut, &why);
        if (now == -1)
            assert_true(why && strlen(why) > 10);
        if (r != 0)
            assert_int_equal(now, r); /* it stays what it was */
        else if (now != 0)
            *at = cut;
        r = now;
        if (cut >= 2 && r >= 0) { /* the caller can judge these from the second byte on */
            assert_int_equal(h->masked, p[1] >> 7);
            assert_int_equal(h->rsv1 << 2 | h->rsv2 << 1 | h->rsv3, p[0] >> 4 & 7);
            assert_int_equal(h->fin, p[0] >> 7);
            assert_int_equal(h->opcode, p[0] & 15);
        }
    }
    return r;
}

static void test_rfc_examples(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[14];
        int size;
        struct frame_head head;
    } v[] = {
        {{0x81, 0x05}, 2, {.opcode = FRAME_TEXT, .fin = true, .len = 5}},
        {{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d},
         6,
         {.opcode = FRAME_TEXT, .fin = true, .masked = true, .key = {0x37, 0xfa, 0x21, 0x3d}, .len = 5}},
        {{0x01, 0x03}, 2, {.opcode = FRAME_TEXT, .len = 3}},
        {{0x80, 0x02}, 2, {.opcode = FRAME_CONTINUATION, .fin = true, .len = 2}},
        {{0x89, 0x05}, 2, {.opcode = FRAME_PING, .fin = true, .len = 5}},
        {{0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d},
         6,
         {.opcode = FRAME_PONG, .fin = true, .masked = true, .key = {0x37, 0xfa, 0x21, 0x3d}, .len = 5}},
        {{0x82, 0x7e, 0x01, 0x00}, 4, {.opcode = FRAME_BINARY, .fin = true, .len = 256}},
        {{0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0}, 10, {.opcode = FRAME_BINARY, .fin = true, .len = 65536}},
    };
    for (size_t i = 0; i < COUNT(v); i++) {
        struct frame_head h;
        uint8_t out[FRAME_HEAD_MAX];
        size_t at;
        assert_int_equal(decode(&h, v[i].bytes, (size_t)v[i].size, &at), v[i].size);
        assert_int_equal(at, v[i].size);
        assert_int_equal(h.len, v[i].head.len);
        assert_memory_equal(h.key, v[i].head.key, 4);
        assert_int_equal(frame_encode(out, &v[i].head), v[i].size);
        assert_memory_equal(out, v[i].bytes, (size_t)v[i].size);
    }
}

static void test_all_first_bytes(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        for (unsigned l = 0; l < 256; l++) {
            uint8_t p[14] = {(uint8_t)b, (uint8_t)l, 1, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9};
            if ((l & 127) == 127)
                memcpy(p + 2, (uint8_t[]){0, 0, 0, 0, 0, 1, 0, 0}, 8);
            unsigned opcode = b & 15, len = l & 127;
            bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10), control = opcode >= 8;
            struct frame_head h;
            size_t at;
            int r = decode(&h, p, sizeof p, &at);
            if (!known || (control && b < 128)) {
                assert_int_equal(r, -1);
                assert_int_equal(at, 1); /* as soon as the byte is there */
            } else if (control && len > 125) {
                assert_int_equal(r, -1);
                assert_int_equal(at, 2);
            } else {
                int size = 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (l >= 128 ? 4 : 0);
                assert_int_equal(r, size);
                assert_int_equal(at, size);
                assert_int_equal(h.len, len == 126 ? 256 : len == 127 ? 65536 : len);
            }
        }
    }
}

static void there_and_back(uint64_t len, bool masked)
{
    struct frame_head h = {.opcode = FRAME_BINARY, .fin = true, .rsv2 = true, .masked = masked, .len = len},
                      back;
    uint8_t out[FRAME_HEAD_MAX];
    size_t at, want = 2 + (len < 126 ? 0u : len < 65536 ? 2u : 8u) + (masked ? 4u : 0u);
    if (masked)
        memcpy(h.key, "\x01\x80\xff\x00", 4);
    size_t n = frame_encode(out, &h);
    assert_int_equal(n, want);
    assert_int_equal(decode(&back, out, n, &at), n);
    assert_int_equal(at, n);
    assert_true(back.len == len);
    assert_memory_equal(back.key, h.key, 4);
    assert_int_equal(back.masked, masked);
    assert_true(back.rsv2 && !back.rsv1 && !back.rsv3);
}

static void test_lengths(void **state)
{
    (void)state;
    for (uint64_t len = 0; len <= 130; len++)
        there_and_back(len, len & 1);
    for (int k = 7; k < 64; k++) {
        uint64_t p = UINT64_C(1) << k;
        for (int m = 0; m < 2; m++) {
            there_and_back(p - 1, m); /* of k 63: 2^63 - 1, the greatest there is */
            if (k < 63) {
                there_and_back(p, m);
                there_and_back(p + 1, m);
            }
        }
    }
}

static void expect_bad(const char *bytes, size_t n, size_t want_at)
{
    struct frame_head h;
    size_t at;
    assert_int_equal(decode(&h, (const uint8_t *)bytes, n, &at), -1);
    assert_int_equal(at, want_at);
}

static void test_bad_lengths(void **state)
{
    (void)state;
    expect_bad("\x82\x7e\x00\x00", 4, 4);
    expect_bad("\x82\x7e\x00\x7d", 4, 4); /* 125 in 16 bits; 126 is the first that may */
    expect_bad("\x82\xfe\x00\x7d\1\1\1\1", 8, 4);
    expect_bad("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 10, 8); /* 65535 in 64 bits: six zeros tell */
    expect_bad("\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x00", 10, 8);
    expect_bad("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 10, 3); /* 2^63 */
    expect_bad("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10, 3);
    struct frame_head h;
    size_t at;
    assert_int_equal(decode(&h, (const uint8_t *)"\x82\x7e\x00\x7e", 4, &at), 4);
    assert_int_equal(h.len, 126);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const names[16] = {"CONTINUATION", "TEXT", "BINARY", "?", "?", "?", "?", "?",
                                          "CLOSE",        "PING", "PONG",   "?", "?", "?", "?", "?"};
    for (uint8_t i = 0; i < 16; i++) {
        assert_string_equal(frame_opcode_name(i), names[i]);
        assert_int_equal(frame_is_control(i), i >= 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_examples), cmocka_unit_test(test_all_first_bytes),
        cmocka_unit_test(test_lengths),      cmocka_unit_test(test_bad_lengths),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, make_room, free_room);
}
