/* base64_test.c: RFC 4648 section 10, everything there and back, and each way in which a text is not base64.
 */
#include "base/base64.h"
#include "base_test.h"
#include "lib/guard.h"
#include <string.h>

static void test_examples(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[16];
        uint8_t back[16];
        size_t n = strlen(pairs[i][0]);
        base64_encode(text, (const uint8_t *)pairs[i][0], n);
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(strlen(text), BASE64_SIZE(n));
        assert_int_equal(base64_decode(back, sizeof back, text, strlen(text)), n);
        assert_memory_equal(back, pairs[i][0], n);
    }
}

static void test_there_and_back(void **state)
{
    (void)state;
    uint8_t in[64], back[64];
    for (unsigned seed = 0; seed < 256; seed++) {
        for (size_t n = 0; n <= 64; n++) {
            for (size_t i = 0; i < n; i++)
                in[i] = (uint8_t)(seed * 7 + i * 31 + (i * seed >> 3));
            uint8_t *p = guard_copy(in, n);
            char *text = (char *)guard_copy(NULL, BASE64_SIZE(n) + 1);
            base64_encode(text, p, n);
            assert_int_equal(strlen(text), BASE64_SIZE(n));
            assert_int_equal(base64_decode(back, n, text, BASE64_SIZE(n)), n);
            assert_memory_equal(back, in, n);
            if (n > 0)
                assert_int_equal(base64_decode(back, n - 1, text, BASE64_SIZE(n)), -1);
            guard_free((uint8_t *)text, BASE64_SIZE(n) + 1);
            guard_free(p, n);
        }
    }
}

static void test_every_character(void **state)
{
    (void)state;
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t out[3];
    for (int c = 0; c < 256; c++) {
        for (int at = 0; at < 4; at++) {
            char text[4] = {'A', 'A', 'A', 'A'};
            text[at] = (char)c;
            bool ok = (c != 0 && strchr(good, c)) || (c == '=' && at == 3);
            assert_int_equal(base64_decode(out, 3, text, 4), !ok ? -1 : c == '=' ? 2 : 3);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",     "AA",       "AAA",      "AAAAA",      "====", "A===", "AA=A", "=AAA",
        "A=AA",  "AA==AAAA", "AAA=AAAA", "AAAA====",   "AB==", "AAB=", "/x==", "AA==\n",
        "AAA A", " AAA",     "AAAA\r\n", "Zm9v\nZg==", "AA-_", "AAAA="};
    uint8_t out[16];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t n = strlen(bad[i]);
        uint8_t *p = guard_copy(bad[i], n);
        if (base64_decode(out, sizeof out, (char *)p, n) != -1)
            fail_msg("taken: %s", bad[i]);
        guard_free(p, n);
    }
    /* The unused bits: of 64 last characters, 4 leave them zero before "==", and 16 before "=". */
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int two = 0, one = 0;
    for (int i = 0; i < 64; i++) {
        char a[4] = {'A', abc[i], '=', '='}, b[4] = {'A', 'A', abc[i], '='};
        two += base64_decode(out, 3, a, 4) == 1;
        one += base64_decode(out, 3, b, 4) == 2;
    }
    assert_int_equal(two, 4);
    assert_int_equal(one, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
