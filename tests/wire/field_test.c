/* field_test.c: the grammars, each set of characters in full, and lists that are all separators. */
#include "wire/field.h"
#include "wire_test.h"
#include <stdlib.h>

static void test_characters(void **state)
{
    (void)state;
    static const char token[] =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int c = 0; c < 256; c++) {
        uint8_t one = (uint8_t)c, mid[3] = {'a', one, 'b'};
        bool t = c != 0 && strchr(token, c), v = (c >= 0x20 && c != 0x7f) || c == '\t';
        assert_int_equal(field_is_token((thrum_slice){&one, 1}), t);
        assert_int_equal(field_is_token((thrum_slice){mid, 3}), t);
        assert_int_equal(field_is_value((thrum_slice){mid, 3}), v);
        assert_int_equal(field_is_value((thrum_slice){&one, 1}), v && c != ' ' && c != '\t');
        assert_int_equal(field_is_value((thrum_slice){mid, 2}), v && c != ' ' && c != '\t');
        assert_int_equal(field_is_value((thrum_slice){mid + 1, 2}), v && c != ' ' && c != '\t');
    }
    assert_false(field_is_token(field_text("")));
    assert_false(field_is_token(field_text(NULL)));
    assert_true(field_is_value(field_text("")));
}

static void test_equal(void **state)
{
    (void)state;
    assert_true(field_equal(field_text("ab"), "ab"));
    assert_false(field_equal(field_text("ab"), "aB"));
    assert_false(field_equal(field_text("ab"), "abc"));
    assert_false(field_equal(field_text("abc"), "ab"));
    assert_true(field_equal(field_text(NULL), ""));
    assert_true(field_equal_case(field_text("UpGrade"), "uPgRADE"));
    assert_false(field_equal_case(field_text("upgrade"), "upgrad"));
    assert_false(field_equal_case(field_text("upgrad"), "upgrade"));
    assert_true(field_equal_case(field_text(NULL), ""));
    /* Only letters have two cases: '[' and '{', '@' and '`' differ by the same bit. */
    assert_false(field_equal_case(field_text("@["), "`{"));
    assert_false(field_equal_case(field_text("\xc1"), "\xe1"));
}

static void test_trim(void **state)
{
    (void)state;
    static const char *const v[][2] = {{"", ""},       {" \t ", ""}, {"a", "a"},     {" a b\t", "a b"},
                                       {"\t\ta", "a"}, {"a  ", "a"}, {"\na ", "\na"}};
    for (size_t i = 0; i < COUNT(v); i++) {
        thrum_slice s = guarded(v[i][0]);
        assert_true(is_text(field_trim(s), v[i][1]));
        unguard(s);
    }
}

/* want: the members with '|' between them. */
static void expect_list(const char *list, const char *want)
{
    thrum_slice s = guarded(list), rest = s, item;
    char got[200] = "";
    while (field_list_next(&rest, &item)) {
        assert_true(item.n > 0 && item.p >= s.p && item.p + item.n <= s.p + s.n);
        if (got[0])
            strcat(got, "|");
        strncat(got, (const char *)item.p, item.n);
    }
    assert_int_equal(rest.n, 0);
    assert_false(field_list_next(&rest, &item));
    assert_string_equal(got, want);
    unguard(s);
}

static void test_lists(void **state)
{
    (void)state;
    expect_list("", "");
    expect_list(" ", "");
    expect_list("a", "a");
    expect_list("a,b", "a|b");
    expect_list(" a , b\t,\tc d ", "a|b|c d");
    expect_list(",,a,,b, ,", "a|b");
    expect_list("a;x=\"1,2\",b", "a;x=\"1,2\"|b");
    expect_list("\"a,\\\",b\",c", "\"a,\\\",b\"|c");
    expect_list("\"a\\\\\",c", "\"a\\\\\"|c"); /* the backslash is escaped, not the quote */
    expect_list("a\\,b", "a\\|b");             /* outside quotes it is a character like others */
    expect_list("\"a,b", "\"a,b");             /* no end of quotes: to the end */
    expect_list("\"a\\", "\"a\\");
    expect_list("a\"b,c\"d,e", "a\"b,c\"d|e");
}

static void test_list_has(void **state)
{
    (void)state;
    assert_true(field_list_has(field_text("keep-alive, Upgrade"), "upgrade"));
    assert_true(field_list_has(field_text("upgrade"), "Upgrade"));
    assert_false(field_list_has(field_text("upgraded, xupgrade, up grade"), "upgrade"));
    assert_false(field_list_has(field_text("\"x, upgrade\""), "upgrade"));
    assert_false(field_list_has(field_text(NULL), "upgrade"));
}

/* Whatever fills 64 KiB: the members are cut out in one walk; no call moves back, and together they go once
 * over it. */
static void test_lists_are_walked_once(void **state)
{
    (void)state;
    enum { N = 65536 };
    static const char *const fill[] = {" ", ",", "\"", ", ", "\",", "\\\"", "a,", "\t,\"\\", "a", " a"};
    char *text = malloc(N + 1);
    assert_non_null(text);
    for (size_t f = 0; f < COUNT(fill); f++) {
        size_t len = strlen(fill[f]), calls = 0, walked = 0, took = 0;
        for (size_t i = 0; i < N; i++)
            text[i] = fill[f][i % len];
        thrum_slice s = {guard_copy(text, N), N}, rest = s, item;
        for (thrum_slice before = rest; field_list_next(&rest, &item); before = rest) {
            assert_true(rest.p > before.p && rest.p == before.p + (before.n - rest.n));
            assert_true(item.p >= before.p && item.p + item.n <= rest.p);
            walked += before.n - rest.n;
            took += item.n;
            calls++;
        }
        assert_true(calls <= N / 2 + 1 && walked <= N && took <= walked);
        assert_int_equal(rest.n, 0);
        unguard(s);
    }
    free(text);
}

/* want: "name", "name=value" with '|' between, and '!' at the end where the grammar is broken. */
static void expect_params(const char *member, const char *want)
{
    thrum_slice s = guarded(member), rest = s;
    struct field_param p;
    char got[200] = "";
    int r;
    while ((r = field_param_next(&rest, &p)) == 1) {
        if (got[0])
            strcat(got, "|");
        strncat(got, (const char *)p.name.p, p.name.n);
        assert_int_equal(p.has_value, p.value.n > 0);
        if (p.has_value) {
            strcat(got, "=");
            strncat(got, (const char *)p.value.p, p.value.n);
        }
    }
    if (r == -1)
        strcat(got, "!");
    if (strcmp(got, want) != 0)
        fail_msg("%s: got %s, want %s", member, got, want);
    unguard(s);
}

static void test_params(void **state)
{
    (void)state;
    expect_params("", "");
    expect_params(" ", "");
    expect_params("foo", "foo");
    expect_params(" foo ", "foo");
    expect_params("foo; a=1;b ; c=\"2\"", "foo|a=1|b|c=2");
    expect_params("permessage-deflate;server_max_window_bits=10",
                  "permessage-deflate|server_max_window_bits=10");
    expect_params("foo;a=\"b\";c", "foo|a=b|c");
    expect_params("foo\t;\ta", "foo|a");
    static const char *const bad[] = {";",
                                      ";a",
                                      "foo;",
                                      "foo; ",
                                      "foo;;a",
                                      "foo a",
                                      "foo;a=",
                                      "foo;a= 1",
                                      "foo;a =1",
                                      "foo;a=\"",
                                      "foo;a=\"\"",
                                      "foo;a=\"b",
                                      "foo;a=\"b c\"",
                                      "foo;a=\"b\\c\"",
                                      "foo;a=\"b\"c",
                                      "foo;=1",
                                      "foo;a=1 2",
                                      "=",
                                      "\"foo\"",
                                      "foo;a=1;",
                                      "f(o",
                                      "foo;a=(",
                                      "foo,a",
                                      "foo\r;a"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        thrum_slice s = guarded(bad[i]), rest = s;
        struct field_param p;
        int r, calls = 0;
        while ((r = field_param_next(&rest, &p)) == 1)
            assert_true(++calls < 10);
        if (r != -1)
            fail_msg("taken: %s", bad[i]);
        unguard(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters), cmocka_unit_test(test_equal),
        cmocka_unit_test(test_trim),       cmocka_unit_test(test_lists),
        cmocka_unit_test(test_list_has),   cmocka_unit_test(test_lists_are_walked_once),
        cmocka_unit_test(test_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
