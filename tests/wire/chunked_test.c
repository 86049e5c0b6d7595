/* The chunked coding: what it carries, however it is cut, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/chunked.h"
#include <cmocka.h>
#include <string.h>

/* Feeds text in pieces of `step`; the body in `body`. */
static enum chunked_result decode(const char *text, size_t n, size_t step, char *body, size_t cap,
                                  size_t *rest)
{
    struct chunked c = {0};
    thrum_slice in, data;
    size_t len = 0;
    enum chunked_result r = CHUNKED_MORE;
    for (size_t at = 0; at < n; at += step) {
        in = (thrum_slice){(const uint8_t *)text + at, n - at < step ? n - at : step};
        while ((r = chunked_next(&c, &in, &data)) == CHUNKED_DATA) {
            assert_true(len + data.n < cap);
            memcpy(body + len, data.p, data.n);
            len += data.n;
        }
        if (r != CHUNKED_MORE) {
            *rest = n - at - (n - at < step ? n - at : step) + in.n;
            break;
        }
    }
    body[len] = '\0';
    return r;
}

static void test_bodies(void **state)
{
    static const struct {
        const char *text, *body;
        size_t rest;
    } cases[] = {
        {"0\r\n\r\n", "", 0},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"5;a=b\r\nhello\r\n6 \r\n world\r\n00\r\nX: y\r\nZ: w\r\n\r\nNEXT", "hello world", 4},
        {"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", 0},
    };
    char body[64];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t step = 1; step <= strlen(cases[i].text); step++) {
            size_t rest = 99;
            assert_int_equal(decode(cases[i].text, strlen(cases[i].text), step, body, sizeof body, &rest),
                             CHUNKED_END);
            assert_string_equal(body, cases[i].body);
            assert_int_equal(rest, cases[i].rest);
        }
}

static void test_none(void **state)
{
    static const char *const cases[] = {
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "5\nhello",
        "5\r\nhelloX",
        "5\r\nhello\rX",
        "5;a\nb",
        "fffffffffffffff\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\n\rX",
        "0\r\nX\rY",
    };
    char body[64];
    size_t rest;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t step = 1; step <= strlen(cases[i]); step++)
            assert_int_equal(decode(cases[i], strlen(cases[i]), step, body, sizeof body, &rest), CHUNKED_BAD);
    assert_int_equal(decode("5\r\nhel", 6, 1, body, sizeof body, &rest), CHUNKED_MORE);
}

/* A line without end is not read for ever. */
static void test_long_line(void **state)
{
    struct chunked c = {0};
    uint8_t x = 'x';
    thrum_slice in, data;
    size_t n = 0;
    (void)state;
    in = (thrum_slice){(const uint8_t *)"1;", 2};
    assert_int_equal(chunked_next(&c, &in, &data), CHUNKED_MORE);
    enum chunked_result r;
    do {
        in = (thrum_slice){&x, 1};
        r = chunked_next(&c, &in, &data);
    } while (r == CHUNKED_MORE && ++n < 100000);
    assert_int_equal(r, CHUNKED_BAD);
    assert_true(n < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_long_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
