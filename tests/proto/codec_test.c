/* codec_test.c: what both codecs write is read back by zlib itself, which is told the window and so refuses
 * any reference that goes back farther; the stock and its counting. */
#include "proto/codec.h"
#include "proto_test.h"
#include <zlib.h>

enum { TEXT = 200000 };
static uint8_t text[TEXT], back[TEXT];

/* Text that refers back all the time, near and far. */
static void write_text(void)
{
    size_t n = 0;
    uint32_t r = 7;
    while (n + 100 < TEXT) {
        r = r * 1664525u + 1013904223u;
        n += (size_t)snprintf((char *)text + n, 100, "{\"id\":%u,\"side\":\"%s\",\"price\":%u.5}", r >> 20,
                              r & 4096 ? "buy" : "sell", r >> 12);
    }
}

static int prepare(void **state)
{
    (void)state;
    write_text();
    return 0;
}

/* zlib's inflate, a byte of output at a time: so it has its window alone to refer to. */
static void expect_text(int bits, thrum_slice dict, thrum_slice small, thrum_slice want)
{
    z_stream z = {0};
    size_t n = 0;
    assert_int_equal(inflateInit2(&z, -bits), Z_OK);
    if (dict.n > 0)
        assert_int_equal(inflateSetDictionary(&z, dict.p, (unsigned)dict.n), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)small.p;
    z.avail_in = (unsigned)small.n;
    for (int r = Z_OK; r == Z_OK;) {
        assert_true(n < TEXT);
        z.next_out = back + n;
        z.avail_out = 1;
        r = inflate(&z, Z_SYNC_FLUSH);
        assert_true(r == Z_OK || r == Z_BUF_ERROR);
        n += 1 - z.avail_out;
    }
    assert_int_equal(n, want.n);
    assert_memory_equal(back, want.p, want.n);
    inflateEnd(&z);
}

static void round_trip(struct deflate_how how, size_t with_dict, size_t n, size_t pieces)
{
    thrum_slice v[4], small, dict = {text, with_dict}, whole = {text + with_dict, n};
    struct deflater *d = deflater_take(how);
    assert_non_null(d);
    for (size_t i = 0; i < pieces; i++)
        v[i] = (thrum_slice){whole.p + n * i / pieces, n * (i + 1) / pieces - n * i / pieces};
    assert_true(deflater_run(d, dict, v, pieces, &small));
    assert_true(small.n >= 5 && memcmp(small.p + small.n - 4, "\0\0\377\377", 4) == 0);
    if (n >= 4096)
        assert_true(small.n < n);
    expect_text(how.bits, dict, small, whole);
    deflater_give(d);
}

static void test_R12_no_reference_behind_the_window(void **state)
{
    static const struct deflate_how hows[] = {{.level = 1},
                                              {.level = 1, .fixed = true},
                                              {.level = 3},
                                              {.level = 3, .fixed = true},
                                              {.level = 1, .memory = 1},
                                              {.level = 1, .memory = 9},
                                              {.level = 6},
                                              {.level = 9, .memory = 9}};
    static const size_t sizes[] = {1, 7, 300, 5000, 70000};
    (void)state;
    for (size_t h = 0; h < sizeof hows / sizeof *hows; h++)
        for (uint8_t bits = 8; bits <= 15; bits++)
            for (size_t s = 0; s < 5; s++) {
                struct deflate_how how = hows[h];
                how.bits = bits;
                round_trip(how, 0, sizes[s], 1 + s % 4);
                round_trip(how, (size_t)1 << bits, sizes[s], 1);
                round_trip(how, 100, sizes[s], 3);
            }
}

/* The first block's kind (RFC 1951 section 3.2.3): 1 is one with fixed codes, 2 one with its own. */
static int block_kind(struct deflater *d, size_t dict, size_t n)
{
    thrum_slice v = {text + dict, n}, small;
    assert_true(deflater_run(d, (thrum_slice){text, dict}, &v, 1, &small));
    expect_text(d->how.bits, (thrum_slice){text, dict}, small, v);
    return small.p[0] >> 1 & 3;
}

/* One state goes from the one to the other, for whoever it is lent to. */
static void test_fixed_codes_as_asked(void **state)
{
#ifdef THRUM_ISAL
    struct deflate_how how = {.bits = 12, .level = 1};
    (void)state;
    for (int i = 0; i < 6; i++) {
        how.fixed = i % 2;
        struct deflater *d = deflater_take(how);
        assert_int_equal(block_kind(d, i < 3 ? 4096 : 0, 20000), how.fixed ? 1 : 2);
        deflater_give(d);
    }
#else
    (void)state;
    skip();
#endif
}

static void test_nothing_is_a_stored_block(void **state)
{
    thrum_slice v[2] = {{NULL, 0}, {NULL, 0}}, small;
    struct deflater *d = deflater_take((struct deflate_how){.bits = 15, .level = 1});
    (void)state;
    assert_true(deflater_run(d, (thrum_slice){NULL, 0}, v, 2, &small));
    assert_int_equal(small.n, 5);
    assert_memory_equal(small.p, "\0\0\0\377\377", 5);
    assert_true(deflater_run(d, (thrum_slice){NULL, 0}, NULL, 0, &small));
    assert_int_equal(small.n, 5);
    deflater_give(d);
}

static void test_states_are_lent_again(void **state)
{
    struct deflate_how how = {.bits = 12, .level = 1, .memory = 1},
                       other = {.bits = 13, .level = 1, .memory = 1};
    struct deflater *many[6];
    (void)state;
    codec_trim();
    count_memory(SIZE_MAX, SIZE_MAX);
    struct deflater *d = deflater_take(how);
    deflater_give(d);
    assert_ptr_equal(deflater_take(how), d);
    deflater_give(d);
    struct deflater *e = deflater_take(other);
    assert_true(e != d);
    deflater_give(e);
    assert_ptr_equal(deflater_take(other), e);
    deflater_give(e);
    for (size_t i = 0; i < 6; i++)
        many[i] = deflater_take(how);
    size_t six = codec_held();
    for (size_t i = 0; i < 6; i++)
        deflater_give(many[i]);
    assert_true(codec_held() < six); /* the stock keeps a few only */
    codec_trim();
    assert_int_equal(codec_held(), 0);
    stop_counting();
}

static void test_large_results_are_not_kept(void **state)
{
    thrum_slice v = {text, TEXT}, small;
    struct deflater *d = deflater_take((struct deflate_how){.bits = 15, .level = 1});
    (void)state;
    assert_true(deflater_run(d, (thrum_slice){NULL, 0}, &v, 1, &small));
    size_t before = codec_held();
    deflater_give(d);
    assert_true(codec_held() + 64 * 1024 < before);
}

/* Every allocation fails in turn: an answer, and nothing lost. */
static void test_no_memory(void **state)
{
    static const struct deflate_how hows[] = {{.bits = 12, .level = 1}, {.bits = 12, .level = 6}};
    (void)state;
    codec_trim();
    for (size_t h = 0; h < 2; h++) {
        bool done = false;
        for (size_t i = 0; !done; i++) {
            assert_true(i < 20);
            count_memory(i, i + 1);
            thrum_slice v = {text, 50000}, small;
            struct deflater *d = deflater_take(hows[h]);
            done = d && deflater_run(d, (thrum_slice){NULL, 0}, &v, 1, &small);
            if (d)
                deflater_give(d);
            codec_trim();
            stop_counting();
        }
    }
}

static void test_budget(void **state)
{
    (void)state;
    codec_trim();
    size_t before = codec_set_budget(1000);
    assert_int_equal(codec_load(), CODEC_FINE);
    void *p = codec_alloc(1001);
    assert_int_equal(codec_held(), 1001);
    assert_int_equal(codec_load(), CODEC_TIGHT);
    void *q = codec_alloc(1001);
    assert_int_equal(codec_load(), CODEC_FULL);
    codec_free(q, 1001);
    codec_free(p, 1001);
    codec_free(NULL, 7);
    assert_int_equal(codec_load(), CODEC_FINE);
    assert_int_equal(codec_set_budget(before), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R12_no_reference_behind_the_window),
        cmocka_unit_test(test_fixed_codes_as_asked),
        cmocka_unit_test(test_nothing_is_a_stored_block),
        cmocka_unit_test(test_states_are_lent_again),
        cmocka_unit_test(test_large_results_are_not_kept),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
