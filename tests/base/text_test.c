/* text_test.c: every capacity for every text: always a NUL, never half a character, and an escape that no
 * terminal can be fooled by. */
#include "base/text.h"
#include "base_test.h"
#include "lib/guard.h"
#include <errno.h>
#include <string.h>
#include <thrum/status.h>

/* Independent of text.c: does s end in mid-character? Looks at bit patterns from the front. */
static bool is_whole(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint8_t b = (uint8_t)s[i];
        i += b < 0x80 ? 1 : (b & 0xe0) == 0xc0 ? 2 : (b & 0xf0) == 0xe0 ? 3 : 4;
    }
    return i == n;
}

static void test_format_cuts_at_characters(void **state)
{
    (void)state;
    const char *text = "a\xc3\xa9z\xe2\x82\xac-\xf0\x9f\x98\x80!\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    size_t full = strlen(text);
    for (size_t cap = 1; cap <= full + 2; cap++) {
        uint8_t *out = guard_copy(NULL, cap);
        size_t n = text_format((char *)out, cap, "%s", text);
        assert_int_equal(n, strlen((char *)out));
        assert_true(n < cap && n + 4 >= (cap <= full ? cap : full + 1));
        assert_memory_equal(out, text, n);
        assert_true(is_whole((char *)out, n));
        assert_true(cap <= full || n == full);
        guard_free(out, cap);
    }
    assert_int_equal(text_format(NULL, 0, "%s", "x"), 0);
    char out[4];
    assert_int_equal(text_format(out, sizeof out, "%d%%", 42), 3);
    assert_string_equal(out, "42%");
}

static void expect_escape(const char *in, size_t n, const char *want)
{
    char out[200];
    uint8_t *p = guard_copy(in, n);
    size_t len = text_escape(out, sizeof out, p, n);
    assert_string_equal(out, want);
    assert_int_equal(len, strlen(want));
    guard_free(p, n);
}

static void test_escape(void **state)
{
    (void)state;
#define ESCAPE(in, want) expect_escape(in, sizeof in - 1, want)
    ESCAPE("", "");
    ESCAPE("plain ~", "plain ~");
    ESCAPE("\"\\", "\\\"\\\\");
    ESCAPE("\r\n\t", "\\r\\n\\t");
    ESCAPE("\0\x01\x1b[2J\x7f", "\\x00\\x01\\x1b[2J\\x7f");
    ESCAPE("\xc2\x80\xc2\x9b\xc2\x9f", "\\xc2\\x80\\xc2\\x9b\\xc2\\x9f"); /* C1 */
    ESCAPE("\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    ESCAPE("\xff\xfe", "\\xff\\xfe");
    ESCAPE("\xc3", "\\xc3"); /* cut off at the end: the byte behind is not read */
    ESCAPE("\xe2\x82", "\\xe2\\x82");
    ESCAPE("\xf0\x9f\x98", "\\xf0\\x9f\\x98");
    ESCAPE("\xc3(", "\\xc3(");
    ESCAPE("\xc0\xaf\xc1\xbf", "\\xc0\\xaf\\xc1\\xbf"); /* overlong */
    ESCAPE("\xe0\x9f\xbf\xe0\xa0\x80", "\\xe0\\x9f\\xbf\xe0\xa0\x80");
    ESCAPE("\xed\xa0\x80\xed\x9f\xbf", "\\xed\\xa0\\x80\xed\x9f\xbf"); /* surrogate; the last before them */
    ESCAPE("\xf0\x8f\xbf\xbf\xf0\x90\x80\x80", "\\xf0\\x8f\\xbf\\xbf\xf0\x90\x80\x80");
    ESCAPE("\xf4\x90\x80\x80\xf4\x8f\xbf\xbf", "\\xf4\\x90\\x80\\x80\xf4\x8f\xbf\xbf");
    ESCAPE("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
    ESCAPE("\xe2\x82(\xe2(\xac", "\\xe2\\x82(\\xe2(\\xac");
#undef ESCAPE
}

static void test_escape_at_every_capacity(void **state)
{
    (void)state;
    static const char in[] = "ab\x01\n\xe2\x82\xac\"\xff"
                             "c\xf0\x9f\x98\x80zz\xc3\xa9";
    char whole[200];
    size_t full = text_escape(whole, sizeof whole, in, sizeof in - 1);
    for (size_t cap = 1; cap <= full + 2; cap++) {
        char *out = (char *)guard_copy(NULL, cap);
        size_t n = text_escape(out, cap, in, sizeof in - 1);
        assert_int_equal(n, strlen(out));
        assert_true(n < cap);
        assert_true(is_whole(out, n));
        if (cap > full) {
            assert_string_equal(out, whole);
        } else if (cap >= 4) {
            assert_string_equal(out + n - 3, "...");
            assert_memory_equal(out, whole, n - 3);
            assert_true(n + 4 >= cap - 1); /* no more than a character's place is lost */
        } else {
            assert_int_equal(strspn(out, "."), n);
            assert_int_equal(n, cap - 1);
        }
        guard_free((uint8_t *)out, cap);
    }
    assert_int_equal(text_escape(NULL, 0, "x", 1), 0);
}

static void test_error(void **state)
{
    (void)state;
    thrum_error e;
    assert_int_equal(sizeof e, 320);
    memset(&e, 0xff, sizeof e);
    assert_int_equal(error_set(&e, THRUM_E_TIMEOUT, "after %d ms", 5), THRUM_E_TIMEOUT);
    thrum_error want = {.status = THRUM_E_TIMEOUT, .text = "after 5 ms"};
    assert_memory_equal(&e, &want, sizeof e);
    assert_int_equal(error_set(&e, THRUM_E_CLOSED, "again: %s", e.text), THRUM_E_CLOSED);
    assert_string_equal(e.text, "again: after 5 ms");
    assert_int_equal(error_os(&e, THRUM_E_CONNECT, ECONNREFUSED, "connecting to %s", "x"), THRUM_E_CONNECT);
    assert_int_equal(e.os_errno, ECONNREFUSED);
    assert_string_equal(e.text, "connecting to x: Connection refused");
    assert_int_equal(error_set(NULL, THRUM_E_STATE, "%d", 1), THRUM_E_STATE);
    assert_int_equal(error_os(NULL, THRUM_E_STATE, EINTR, "%d", 1), THRUM_E_STATE);
    char text[400];
    memset(text, 'x', sizeof text);
    text[399] = 0;
    error_os(&e, THRUM_E_STATE, EINTR, "%s", text);
    assert_int_equal(strlen(e.text), 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_cuts_at_characters),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_at_every_capacity),
        cmocka_unit_test(test_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
