/* utf8_test.c: the judge is made the other way round than the validator: every code point that there is gets
 * encoded, and the set of all beginnings of these encodings says, for any bytes, whether they can still
 * become UTF-8. */
#include "base/cpu.h"
#include "wire/utf8.h"
#include "wire_test.h"
#include <stdlib.h>

enum { LAST = 0x10ffff };
/* Which sequences of one, two and three bytes begin (or are) a character's encoding; which are one, whole. */
static uint8_t begins1[256], begins2[65536], is1[256], is2[65536];
static uint8_t *begins3, *is3; /* a bit each */

static size_t encode(uint8_t out[4], uint32_t c)
{
    if (c < 0x80)
        return out[0] = (uint8_t)c, 1;
    if (c < 0x800)
        return out[0] = (uint8_t)(192 + c / 64), out[1] = (uint8_t)(128 + c % 64), 2;
    if (c < 0x10000)
        return out[0] = (uint8_t)(224 + c / 4096), out[1] = (uint8_t)(128 + c / 64 % 64),
               out[2] = (uint8_t)(128 + c % 64), 3;
    return out[0] = (uint8_t)(240 + c / 262144), out[1] = (uint8_t)(128 + c / 4096 % 64),
           out[2] = (uint8_t)(128 + c / 64 % 64), out[3] = (uint8_t)(128 + c % 64), 4;
}

static bool is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c < 0xe000;
}

static void set(uint8_t *bits, size_t i)
{
    bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << i % 8);
}

static bool get(const uint8_t *bits, size_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}

static int make_sets(void **state)
{
    (void)state;
    begins3 = calloc(1, 1 << 21);
    is3 = calloc(1, 1 << 21);
    if (!begins3 || !is3)
        return -1;
    for (uint32_t c = 0; c <= LAST; c++) {
        uint8_t b[4];
        size_t n = is_surrogate(c) ? 0 : encode(b, c);
        if (n == 0)
            continue;
        begins1[b[0]] = 1;
        is1[b[0]] |= n == 1;
        if (n >= 2) {
            begins2[b[0] << 8 | b[1]] = 1;
            is2[b[0] << 8 | b[1]] |= n == 2;
        }
        if (n >= 3) {
            set(begins3, (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2]);
            if (n == 3)
                set(is3, (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2]);
        }
    }
    return 0;
}

static int free_sets(void **state)
{
    (void)state;
    free(begins3);
    free(is3);
    return 0;
}

static void test_all_code_points(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= LAST; c++) {
        uint8_t b[4];
        size_t n = encode(b, c);
        if (utf8_valid(b, n) == is_surrogate(c))
            fail_msg("U+%04X", c);
        struct utf8 u = {0};
        for (size_t i = 0; i + 1 < n && !is_surrogate(c); i++) {
            assert_true(utf8_feed(&u, b + i, 1));
            assert_false(utf8_done(&u));
        }
    }
    for (uint32_t c = LAST + 1; c < 0x200000;
         c += 97) { /* over the last: what the pattern could still write */
        uint8_t b[4];
        assert_false(utf8_valid(b, encode(b, c)));
    }
}

/* At which byte of n it fails; n: not at all. */
static size_t fails_at(const uint8_t *p, size_t n)
{
    struct utf8 u = {0};
    for (size_t i = 0; i < n; i++)
        if (!utf8_feed(&u, p + i, 1)) {
            assert_false(utf8_feed(&u, p, 0)); /* for good */
            assert_false(utf8_feed(&u, (const uint8_t *)"a", 1));
            assert_false(utf8_done(&u));
            return i;
        }
    return n;
}

/* The judge's answer for a character at the beginning of up to three bytes. */
static size_t judge(const uint8_t *p, bool *whole)
{
    size_t two = (size_t)p[0] << 8 | p[1], three = two << 8 | p[2];
    *whole = false;
    if (!begins1[p[0]])
        return 0;
    if (is1[p[0]]) { /* a new one begins behind it: the same for the two that are left */
        if (!begins1[p[1]])
            return 1;
        if (is1[p[1]])
            return *whole = is1[p[2]], begins1[p[2]] ? 3 : 2;
        size_t rest = (size_t)p[1] << 8 | p[2];
        return *whole = is2[rest], begins2[rest] ? 3 : 2;
    }
    if (!begins2[two])
        return 1;
    if (is2[two])
        return *whole = is1[p[2]], begins1[p[2]] ? 3 : 2;
    return *whole = get(is3, three), get(begins3, three) ? 3 : 2;
}

static void test_all_of_three_bytes(void **state)
{
    (void)state;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        uint8_t p[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        bool whole;
        struct utf8 u = {0};
        size_t want = judge(p, &whole);
        bool ok = utf8_feed(&u, p, 3);
        if (ok != (want == 3) || (ok && utf8_done(&u) != whole))
            fail_msg("%02x %02x %02x", p[0], p[1], p[2]);
        /* The exact place, for the second bytes' neighbours of every bound and for a sample of the rest. */
        if ((p[2] == 0x80 || p[2] == 0xbf || p[2] == 0x7f || p[2] == 0xc0 || v % 251 == 0) &&
            fails_at(p, 3) != want)
            fail_msg("%02x %02x %02x fails elsewhere", p[0], p[1], p[2]);
    }
}

static void test_fourth_bytes(void **state)
{
    (void)state;
    for (unsigned a = 0xf0; a < 0x100; a++)
        for (unsigned b = 0; b < 256; b++)
            for (unsigned c = 0; c < 256; c++)
                for (unsigned d = 0x7f; d <= 0xc0; d += d == 0x7f || d == 0xbf ? 1 : 0x3f) {
                    uint8_t p[4] = {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d};
                    bool begun = get(begins3, (size_t)a << 16 | (size_t)b << 8 | c);
                    if (utf8_valid(p, 4) != (begun && d >= 0x80 && d <= 0xbf))
                        fail_msg("%02x %02x %02x %02x", a, b, c, d);
                }
}

static void test_first_bad_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } v[] = {{"\xe0\x80\x80", 1},
             {"\xed\xa0\x80", 1},
             {"\xf4\x90\x80\x80", 1},
             {"\xf0\x8f\xbf\xbf", 1},
             {"\xc0\x80", 0},
             {"\xc1\xbf", 0},
             {"\xf5\x80\x80\x80", 0},
             {"\xff", 0},
             {"\x80", 0},
             {"a\x80", 1},
             {"\xc3\xc3", 1},
             {"\xe2\x82z", 2},
             {"\xf0\x9f\x98z", 3},
             {"abcdefgh\xff", 8},
             {"\xc3\xa9\xbf", 2},
             {"\xce\xba\xe1\xbd\xb9\xf4\x90", 6}};
    for (size_t i = 0; i < COUNT(v); i++)
        assert_int_equal(fails_at((const uint8_t *)v[i].text, strlen(v[i].text)), v[i].at);
}

/* A text that is valid or not, cut at every pair of places, behind 0 to 100 ASCII bytes: the answer is that
 * of one piece. */
static void test_every_split(void **state)
{
    (void)state;
    static const char *const texts[] = {"\xc2\x80\xdf\xbf\xe0\xa0\x80",
                                        "\xed\x9f\xbf\xee\x80\x80-",
                                        "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
                                        "ab\xe2\x82\xac-cdefghijklmno\xc3\xa9",
                                        "\xe2\x82",
                                        "\xf0\x9f\x98",
                                        "\xed\xa0\x80",
                                        "\xc3\xa9\xff",
                                        "x\xe2\x82\xe2\x82\xac"};
    for (size_t t = 0; t < COUNT(texts); t++) {
        for (size_t lead = 0; lead <= 100; lead += lead < 10 ? 1 : lead < 40 ? 3 : 15) {
            uint8_t text[140];
            memset(text, 'a', lead);
            size_t n = lead + strlen(texts[t]);
            memcpy(text + lead, texts[t], strlen(texts[t]));
            uint8_t *p = guard_copy(text, n);
            struct utf8 whole = {0};
            bool ok = utf8_feed(&whole, p, n), done = utf8_done(&whole);
            assert_int_equal(utf8_valid(p, n), ok && done);
            assert_int_equal(ok, t < 6);
            assert_int_equal(ok && done, t < 4);
            for (size_t a = 0; a <= n; a++)
                for (size_t b = a; b <= n; b++) {
                    struct utf8 u = {0};
                    bool r =
                        utf8_feed(&u, p, a) && utf8_feed(&u, p + a, b - a) && utf8_feed(&u, p + b, n - b);
                    assert_int_equal(r, ok);
                    assert_int_equal(utf8_done(&u), done);
                }
            guard_free(p, n);
        }
    }
    assert_true(utf8_valid(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_code_points),
        cmocka_unit_test(test_all_of_three_bytes),
        cmocka_unit_test(test_fourth_bytes),
        cmocka_unit_test(test_first_bad_byte),
    };
    const struct CMUnitTest of_each[] = {cmocka_unit_test(test_every_split)}; /* kernels want more bytes */
    int failed = cmocka_run_group_tests(tests, make_sets, free_sets);
    for (enum cpu_level level = CPU_PORTABLE; level < CPU_LEVELS; level++)
        if (cpu_use(level))
            failed += cmocka_run_group_tests_name(cpu_name(level), of_each, NULL, NULL);
    return failed;
}
