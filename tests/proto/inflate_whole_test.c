/* inflate_whole_test.c: what it says is a text is what zlib says, but for two faults that it lets pass; and
 * it does say so of what the usual compressors write. Inputs end at an unmapped page. */
#include "proto/inflate_whole.h"
#include "lib/guard.h"
#include "proto/codec.h"
#include "proto_test.h"
#include <zlib.h>

enum { TEXT = 300000, WIRE = 400000, DICT = 32768 };
static uint8_t text[DICT + TEXT], wire[WIRE], back[DICT + TEXT];
static const uint8_t tail[] = {0, 0, 0xff, 0xff};

static int prepare(void **state)
{
    (void)state;
    size_t n = 0;
    for (uint32_t r = 7; n + 100 < sizeof text;) {
        r = r * 1664525u + 1013904223u;
        n += (size_t)snprintf((char *)text + n, 100, "{\"id\":%u,\"side\":\"%s\",\"price\":%u.5}", r >> 20,
                              r & 4096 ? "buy" : "sell", r >> 12);
    }
    return 0;
}

/* Raw deflate as permessage-deflate has it, without its tail, in `wire`. */
static size_t compress_text(int level, int strategy, int flush_within, thrum_slice dict, thrum_slice s)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)s.p, .next_out = wire, .avail_out = WIRE};
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, -15, 8, strategy), Z_OK);
    if (dict.n > 0)
        assert_int_equal(deflateSetDictionary(&z, dict.p, (unsigned)dict.n), Z_OK);
    if (flush_within != Z_NO_FLUSH && s.n > 1) {
        z.avail_in = (unsigned)(s.n / 2);
        assert_int_equal(deflate(&z, flush_within), Z_OK);
    }
    z.avail_in += (unsigned)(s.p + s.n - z.next_in);
    assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    assert_true(z.avail_out > 0);
    size_t n = WIRE - z.avail_out;
    deflateEnd(&z);
    assert_memory_equal(wire + n - sizeof tail, tail, sizeof tail);
    return n - sizeof tail;
}

/* What zlib says: SIZE_MAX where it is no message, or the length of its text, which is in `back`. */
static size_t by_zlib(thrum_slice dict, thrum_slice in, size_t limit)
{
    thrum_slice end = {tail, sizeof tail};
    size_t room = limit, none = 1;
    struct inflater *i = inflater_take(dict);
    enum inflated r = INFLATE_ROOM;
    while (r == INFLATE_ROOM && room > 0)
        r = inflater_run(i, &in, back + limit - room, &room);
    bool good = i != NULL && r == INFLATE_OK;
    if (good && !inflater_is_final(i))
        good = inflater_run(i, &end, back + sizeof back - 1, &none) == INFLATE_OK && inflater_is_between(i);
    inflater_give(i);
    return good ? limit - room : SIZE_MAX;
}

/* libdeflate lets pass symbols 286 and 287 of the fixed code, for which it has a length, and a repeat of no
 * length at all. No compressor writes either. */
static bool is_let_pass(thrum_slice dict, thrum_slice in)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (unsigned)in.n};
    assert_int_equal(inflateInit2(&z, -15), Z_OK);
    if (dict.n > 0)
        assert_int_equal(inflateSetDictionary(&z, dict.p, (unsigned)dict.n), Z_OK);
    z.next_out = back;
    z.avail_out = sizeof back;
    bool passes =
        inflate(&z, Z_SYNC_FLUSH) == Z_DATA_ERROR && (strcmp(z.msg, "invalid literal/length code") == 0 ||
                                                      strcmp(z.msg, "invalid bit length repeat") == 0);
    inflateEnd(&z);
    return passes;
}

/* The two must not differ. True: the fast one took it. */
static bool compare(struct whole *w, thrum_slice dict, thrum_slice in, size_t limit)
{
    uint8_t kept[300];
    thrum_slice got;
    uint8_t *guarded = guard_copy(in.p, in.n);
    bool taken = whole_inflate(w, dict, (thrum_slice){guarded, in.n}, limit, &got);
    guard_free(guarded, in.n);
    if (!taken)
        return false;
    assert_true(got.n <= limit);
    size_t theirs = by_zlib(dict, in, got.n + 1);
    if (theirs == SIZE_MAX && is_let_pass(dict, in))
        return true;
    assert_int_equal(got.n, theirs);
    assert_memory_equal(got.p, back, got.n);
    size_t all = dict.n + got.n, n = whole_dict(w, kept, sizeof kept);
    assert_int_equal(n, all < sizeof kept ? all : sizeof kept);
    for (size_t k = 1; k <= n; k++)
        assert_int_equal(kept[n - k], k <= got.n ? got.p[got.n - k] : dict.p[dict.n - (k - got.n)]);
    return true;
}

static void expect_taken(struct whole *w, thrum_slice dict, size_t n, thrum_slice want)
{
    thrum_slice got, in = {wire, n};
    assert_true(compare(w, dict, in, TEXT));
    assert_true(whole_inflate(w, dict, in, want.n, &got)); /* the limit, to the byte */
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.p, want.p, want.n);
    if (want.n > 0)
        assert_false(whole_inflate(w, dict, in, want.n - 1, &got));
}

static void test_what_zlib_writes(void **state)
{
    static const int ways[][3] = {{1, 0, 0},
                                  {6, 0, 0},
                                  {9, 0, 0},
                                  {6, Z_FIXED, 0},
                                  {6, Z_HUFFMAN_ONLY, 0},
                                  {6, Z_RLE, 0},
                                  {0, 0, 0},
                                  {6, 0, Z_SYNC_FLUSH},
                                  {6, 0, Z_FULL_FLUSH},
                                  {6, 0, Z_PARTIAL_FLUSH},
                                  {6, 0, Z_BLOCK}};
    static const size_t sizes[] = {1, 2, 3, 10, 100, 1000, 4096, 10000, 30000, 40000, WHOLE_MOST};
    static const size_t dicts[] = {0, 1, 300, 4096, DICT};
    struct whole *w = whole_take();
    (void)state;
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t d = 0; d < sizeof dicts / sizeof *dicts; d++) {
                thrum_slice dict = {text, dicts[d]}, whole = {text + dicts[d], sizes[s]};
                size_t n = compress_text(ways[k][0], ways[k][1], ways[k][2], dict, whole);
                if (n <= WHOLE_IN_MOST)
                    expect_taken(w, dict, n, whole);
                else
                    assert_false(compare(w, dict, (thrum_slice){wire, n}, TEXT));
            }
    whole_give(w);
}

static void test_nothing_and_too_much(void **state)
{
    thrum_slice got, none = {NULL, 0};
    struct whole *w = whole_take();
    (void)state;
    assert_true(whole_inflate(w, none, (thrum_slice){(const uint8_t *)"", 1}, 0, &got));
    assert_int_equal(got.n, 0);
    assert_false(whole_inflate(w, none, none, 100, &got)); /* not one byte is no stream */
    for (size_t over = 1; WHOLE_MOST + over <= sizeof text; over *= 4) {
        size_t n = compress_text(6, 0, 0, none, (thrum_slice){text, WHOLE_MOST + over});
        assert_false(whole_inflate(w, none, (thrum_slice){wire, n}, SIZE_MAX, &got));
        assert_false(whole_inflate(w, none, (thrum_slice){wire, n}, 10, &got));
    }
    static const uint8_t zeros[16 * WHOLE_MOST];
    size_t n = compress_text(6, 0, 0, none, (thrum_slice){zeros, sizeof zeros});
    assert_false(whole_inflate(w, none, (thrum_slice){wire, n}, SIZE_MAX, &got));
    assert_false(whole_inflate(w, (thrum_slice){text, DICT + 1}, (thrum_slice){wire, n}, 100, &got));
    whole_give(w);
}

/* Runs and short periods, whose copies overlap themselves. */
static void test_periods(void **state)
{
    static uint8_t s[WHOLE_MOST];
    struct whole *w = whole_take();
    (void)state;
    for (size_t period = 1; period < 40; period++) {
        for (size_t i = 0; i < sizeof s; i++)
            s[i] = i < period ? (uint8_t)(i * 37) : s[i - period];
        thrum_slice whole = {s, sizeof s - period * 7};
        expect_taken(w, (thrum_slice){NULL, 0}, compress_text(6, 0, 0, (thrum_slice){NULL, 0}, whole), whole);
        whole.n = period + 300;
        expect_taken(w, (thrum_slice){NULL, 0}, compress_text(6, 0, 0, (thrum_slice){NULL, 0}, whole), whole);
    }
    whole_give(w);
}

/* Each byte half as often as the one before: codes of 15 bits. */
static void test_long_codes(void **state)
{
    static uint8_t s[32768];
    struct whole *w = whole_take();
    (void)state;
    size_t n = 0;
    for (unsigned b = 0; b < 15; b++)
        for (size_t k = 0; k < 1u << (14 - b); k++)
            s[n++] = (uint8_t)b;
    for (size_t i = n - 1; i > 0; i--) {
        uint8_t r[4];
        test_random(NULL, r, sizeof r);
        size_t k = (r[0] | (size_t)r[1] << 8 | (size_t)r[2] << 16) % (i + 1);
        uint8_t x = s[i];
        s[i] = s[k];
        s[k] = x;
    }
    for (int strategy = 0; strategy <= Z_HUFFMAN_ONLY; strategy += Z_HUFFMAN_ONLY) {
        size_t len = compress_text(6, strategy, 0, (thrum_slice){NULL, 0}, (thrum_slice){s, n});
        expect_taken(w, (thrum_slice){NULL, 0}, len, (thrum_slice){s, n});
    }
    whole_give(w);
}

/* Whatever a bit is turned into, and wherever it is cut: zlib says the same, or the fast one says nothing. */
static void test_faults(void **state)
{
    static uint8_t broken[WIRE];
    static const size_t sizes[] = {20, 200, 1500};
    struct whole *w = whole_take();
    (void)state;
    unsigned taken = 0, left = 0;
    for (size_t k = 0; k < 9; k++) {
        thrum_slice dict = {text, k % 2 ? 500 : 0}, s = {text + 3000 * k, sizes[k % 3]};
        size_t n = compress_text(k < 3 ? 6 : 1, k < 6 ? 0 : Z_FIXED, k == 4 ? Z_SYNC_FLUSH : 0, dict, s);
        memcpy(broken, wire, n);
        for (size_t cut = 0; cut < n; cut++)
            *(compare(w, dict, (thrum_slice){broken, cut}, 5000) ? &taken : &left) += 1;
        for (size_t bit = 0; bit < 8 * n; bit++) {
            broken[bit / 8] ^= (uint8_t)(1u << bit % 8);
            *(compare(w, dict, (thrum_slice){broken, n}, 5000) ? &taken : &left) += 1;
            broken[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t i = 0; i < 3000; i++) { /* and noise behind a good beginning */
            uint8_t r[8];
            test_random(NULL, r, sizeof r);
            size_t at = (r[0] | (size_t)r[1] << 8) % n;
            memcpy(broken + at, r + 2, n - at < 6 ? n - at : 6);
            *(compare(w, dict, (thrum_slice){broken, n}, 5000) ? &taken : &left) += 1;
            memcpy(broken + at, wire + at, n - at < 6 ? n - at : 6);
        }
    }
    assert_true(taken > 1000 && left > 1000);
    whole_give(w);
}

/* What is left to zlib: it may take these, or must not. */
static void test_left_to_zlib(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        bool good;
    } cases[] = {
        {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, true}, /* a final block */
        {"\xf2\x48\xcd\xc9\xc9\x07", 6, false},        /* no end of the block */
        {"\x00\x04\x00\xfb\xff", 5, false},            /* a stored block made of the tail */
        {"\x00\x02\x00\xfd\xff\x61", 6, false},        /* one that reaches into it */
        {"\x07", 1, false},                            /* a type that is none */
        {"\xf2\x00\x11\x00\x00", 5, false},            /* a reference to nothing */
        {"\x00\x05\x00\xfb\xff\x48\x65\x6c\x6c\x6f\x00", 11,
         false}, /* a length that is not its complement's */
    };
    struct whole *w = whole_take();
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        thrum_slice got, none = {NULL, 0}, in = {(const uint8_t *)cases[k].bytes, cases[k].n};
        assert_false(whole_inflate(w, none, in, 100, &got));
        assert_int_equal(by_zlib(none, in, 100) != SIZE_MAX, cases[k].good);
    }
    whole_give(w);
}

static void test_stock_and_memory(void **state)
{
    struct whole *many[6];
    (void)state;
    codec_trim();
    count_memory(SIZE_MAX, SIZE_MAX);
    struct whole *w = whole_take();
    whole_give(w);
    assert_ptr_equal(whole_take(), w);
    whole_give(w);
    for (size_t i = 0; i < 6; i++)
        assert_non_null(many[i] = whole_take());
    size_t six = codec_held();
    for (size_t i = 0; i < 6; i++)
        whole_give(many[i]);
    whole_give(NULL);
    assert_true(codec_held() < six);
    codec_trim();
    assert_int_equal(codec_held(), 0);
    stop_counting();
    count_memory(0, 1);
    assert_null(whole_take());
    stop_counting();
}

int main(void)
{
#ifndef THRUM_LIBDEFLATE
    return 77; /* skipped: all is zlib's */
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_zlib_writes), cmocka_unit_test(test_nothing_and_too_much),
        cmocka_unit_test(test_periods),          cmocka_unit_test(test_long_codes),
        cmocka_unit_test(test_faults),           cmocka_unit_test(test_left_to_zlib),
        cmocka_unit_test(test_stock_and_memory),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
