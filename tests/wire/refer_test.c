/* Where a Location leads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/field.h"
#include "wire/refer.h"
#include <cmocka.h>
#include <string.h>

static struct uri parsed(const char *s)
{
    struct uri u;
    const char *why = NULL;
    assert_true(uri_parse(&u, field_text(s), false, &why));
    return u;
}

/* RFC 3986 section 5.4, in a scheme of ours. */
static void test_references(void **state)
{
    static const char base[] = "ws://a/b/c/d;p?q", unix_base[] = "ws+unix:/run/x:/b/c?q";
    static const struct {
        const char *base, *ref, *want;
    } cases[] = {
        {base, "http://h/x", "ws://h/x"},
        {base, "HTTPS://h:1/x?y", "wss://h:1/x?y"},
        {base, "wss://h", "wss://h"},
        {base, "g", "ws://a/b/c/g"},
        {base, "./g", "ws://a/b/c/g"},
        {base, "g/", "ws://a/b/c/g/"},
        {base, "/g", "ws://a/g"},
        {base, "//g", "ws://g"},
        {base, "?y", "ws://a/b/c/d;p?y"},
        {base, "g?y", "ws://a/b/c/g?y"},
        {base, "g#s", "ws://a/b/c/g"},
        {base, "", "ws://a/b/c/d;p"},
        {base, ".", "ws://a/b/c/"},
        {base, "./", "ws://a/b/c/"},
        {base, "..", "ws://a/b/"},
        {base, "../g", "ws://a/b/g"},
        {base, "../..", "ws://a/"},
        {base, "../../../g", "ws://a/g"},
        {base, "/./g/../h", "ws://a/h"},
        {base, "g;x=1/../y", "ws://a/b/c/y"},
        {base, "..g", "ws://a/b/c/..g"},
        {"ws://a:81", "x", "ws://a:81/x"},
        {"ws://a?q", "?r", "ws://a/?r"},
        {"wss://[::1]:8/x", "/y", "wss://[::1]:8/y"},
        {unix_base, "/y", "ws+unix:/run/x:/y"},
        {unix_base, "d?z", "ws+unix:/run/x:/b/d?z"},
    };
    char out[200];
    const char *why = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct uri u = parsed(cases[i].base);
        assert_true(refer_resolve(out, sizeof out, &u, field_text(cases[i].ref), &why));
        assert_string_equal(out, cases[i].want);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *base, *ref;
    } cases[] = {
        {"ws://a/", "ftp://h/"},
        {"ws://a/", "javascript:alert(1)"},
        {"ws://a/", "ws+unix:/run/docker.sock"},
        {"ws+unix:/run/x:/b", "http://h/"},
        {"ws+unix:/run/x:/b", "//h/"},
        {"ws://a/", "/0123456789012345678901234567890123456789"},
    };
    char out[40];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct uri u = parsed(cases[i].base);
        const char *why = NULL;
        assert_false(refer_resolve(out, sizeof out, &u, field_text(cases[i].ref), &why));
        assert_non_null(why);
    }
}

static void test_origins(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"ws://a/x", "ws://A:80/y", true},
        {"wss://a", "wss://a:443", true},
        {"ws://a", "wss://a", false},
        {"ws://a", "ws://a:81", false},
        {"ws://a", "ws://b", false},
        {"ws+unix:/a:/x", "ws+unix:/a:/y", true},
        {"ws+unix:/a:/x", "ws+unix:/b:/x", false},
        {"ws+unix:/a", "ws://localhost", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct uri a = parsed(cases[i].a), b = parsed(cases[i].b);
        assert_int_equal(refer_same_origin(&a, &b), cases[i].same);
        assert_int_equal(refer_same_origin(&b, &a), cases[i].same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
