/* route_test.c: tables of patterns and paths, good and bad; each byte encoded; limits on both sides. */
#include "event/route.h"
#include "event_test.h"

static struct routes *make(const char *const *patterns)
{
    thrum_route list[16] = {{0}};
    struct routes *r = NULL;
    thrum_error err;
    for (size_t i = 0; patterns[i]; i++)
        list[i].path = patterns[i];
    if (routes_new(&r, list, &err) != THRUM_OK)
        fail_msg("%s", err.text);
    return r;
}

/* One pattern against one target; name NULL: the route has no parameters. */
static void expect(const char *pattern, const char *target, enum route_answer want, const char *name,
                   const char *value)
{
    struct routes *r = make((const char *const[]){pattern, NULL});
    size_t index = 77;
    char *params = (char *)r;
    enum route_answer got = route_find(r, target, &index, &params);
    if (got != want)
        fail_msg("%s against %s: %d", target, pattern, (int)got);
    if (got == ROUTE_FOUND) {
        assert_int_equal(index, 0);
        assert_int_equal(params == NULL, name == NULL);
        assert_null(route_param(r, index, params, "none"));
        assert_null(route_param(r, index, params, ""));
        if (name)
            assert_string_equal(route_param(r, index, params, name), value);
        mem_free(params);
    } else {
        assert_true(index == 77 && params == (char *)r);
    }
    routes_free(r);
}

static void test_one_pattern(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *target;
        enum route_answer want;
        const char *name, *value;
    } v[] = {
        {"/", "/", ROUTE_FOUND, NULL, NULL},
        {"/", "/?x=/y", ROUTE_FOUND, NULL, NULL},
        {"/", "//", ROUTE_NONE, NULL, NULL},
        {"/", "/a", ROUTE_NONE, NULL, NULL},
        {"/", "", ROUTE_BAD, NULL, NULL},
        {"/", "?x", ROUTE_BAD, NULL, NULL},
        {"/*", "a/b", ROUTE_BAD, NULL, NULL},
        {"/*", "*", ROUTE_BAD, NULL, NULL},
        {"/*", "http://a/b", ROUTE_BAD, NULL, NULL},
        {"/chat", "/chat", ROUTE_FOUND, NULL, NULL},
        {"/chat", "/chat?", ROUTE_FOUND, NULL, NULL},
        {"/chat", "/chat/", ROUTE_NONE, NULL, NULL},
        {"/chat", "/cha", ROUTE_NONE, NULL, NULL},
        {"/chat", "/chats", ROUTE_NONE, NULL, NULL},
        {"/chat", "/Chat", ROUTE_NONE, NULL, NULL},
        {"/chat", "/ch%61t", ROUTE_FOUND, NULL, NULL},
        {"/chat/", "/chat/", ROUTE_FOUND, NULL, NULL},
        {"/chat/", "/chat", ROUTE_NONE, NULL, NULL},
        {"/chat/", "/chat//", ROUTE_NONE, NULL, NULL},
        {"/a//b", "/a//b", ROUTE_FOUND, NULL, NULL},
        {"/a//b", "/a/b", ROUTE_NONE, NULL, NULL},
        {"/a/b", "/a%2fb", ROUTE_NONE, NULL, NULL},
        {"/a/b", "/a/../a/b", ROUTE_NONE, NULL, NULL},
        {"/a/../b", "/a/%2e./b", ROUTE_FOUND, NULL, NULL},
        {"/caf\xc3\xa9", "/caf%C3%a9", ROUTE_FOUND, NULL, NULL},
        {"/caf\xc3\xa9", "/cafe", ROUTE_NONE, NULL, NULL},
        {"/100%", "/100%25", ROUTE_FOUND, NULL, NULL},
        {"/a:b", "/a:b", ROUTE_FOUND, NULL, NULL},
        {"/chat/:room", "/chat/blue", ROUTE_FOUND, "room", "blue"},
        {"/chat/:room", "/chat/blue?room=red", ROUTE_FOUND, "room", "blue"},
        {"/chat/:room", "/chat/a%2Fb%3fc", ROUTE_FOUND, "room", "a/b?c"},
        {"/chat/:room", "/chat/a+b%20c", ROUTE_FOUND, "room", "a+b c"},
        {"/chat/:room", "/chat/%25%32%35", ROUTE_FOUND, "room", "%25"},
        {"/chat/:room", "/chat/%ff", ROUTE_FOUND, "room", "\xff"},
        {"/chat/:room", "/chat/..", ROUTE_FOUND, "room", ".."},
        {"/chat/:room", "/chat/", ROUTE_NONE, NULL, NULL},
        {"/chat/:room", "/chat", ROUTE_NONE, NULL, NULL},
        {"/chat/:room", "/chat/a/", ROUTE_NONE, NULL, NULL},
        {"/chat/:room", "/chat/a/b", ROUTE_NONE, NULL, NULL},
        {"/:a/:ab", "/x/y", ROUTE_FOUND, "a", "x"},
        {"/:a/:ab", "/x/y", ROUTE_FOUND, "ab", "y"},
        {"/:a/:ab", "//y", ROUTE_NONE, NULL, NULL},
        {"/::", "/x", ROUTE_FOUND, ":", "x"},
        {"/:a/x/:b/*", "/1/x/2/3/4", ROUTE_FOUND, "a", "1"},
        {"/:a/x/:b/*", "/1/x/2/3/4", ROUTE_FOUND, "b", "2"},
        {"/:a/x/:b/*", "/1/x/2/3/4", ROUTE_FOUND, "*", "3/4"},
        {"/:a/x/:b/*", "/1/x/2/", ROUTE_FOUND, "*", ""},
        {"/:a/x/:b/*", "/1/x/2", ROUTE_NONE, NULL, NULL},
        {"/:a/x/:b/*", "/1/y/2/3", ROUTE_NONE, NULL, NULL},
        {"/*", "/", ROUTE_FOUND, "*", ""},
        {"/*", "/?a", ROUTE_FOUND, "*", ""},
        {"/*", "/a/%2f//b/", ROUTE_FOUND, "*", "a////b/"},
        {"/*", "/a%00b", ROUTE_BAD, NULL, NULL},
        {"/*", "/a%", ROUTE_BAD, NULL, NULL},
        {"/*", "/a%4", ROUTE_BAD, NULL, NULL},
        {"/*", "/a%4?1", ROUTE_BAD, NULL, NULL},
        {"/*", "/a%g1", ROUTE_BAD, NULL, NULL},
        {"/*", "/a%1G", ROUTE_BAD, NULL, NULL},
        {"/*", "/a?%", ROUTE_FOUND, "*", "a"},
        {"/other", "/a%00b", ROUTE_BAD, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(v); i++)
        expect(v[i].pattern, v[i].target, v[i].want, v[i].name, v[i].value);
}

static void test_the_first_wins(void **state)
{
    (void)state;
    struct routes *r =
        make((const char *const[]){"/a/b", "/a/:x", "/:x/b", "/a/b", "/a/*", "/", "/:y", NULL});
    static const struct {
        const char *target;
        size_t index;
    } v[] = {{"/a/b", 0}, {"/a/%62", 0}, {"/a/c", 1}, {"/c/b", 2},
             {"/a/", 4},  {"/a/b/c", 4}, {"/", 5},    {"/a", 6}};
    assert_int_equal(routes_count(r), 7);
    for (size_t i = 0; i < COUNT(v); i++) {
        size_t index = 77;
        char *params = NULL;
        assert_int_equal(route_find(r, v[i].target, &index, &params), ROUTE_FOUND);
        assert_int_equal(index, v[i].index);
        mem_free(params);
    }
    size_t index = 77;
    char *params = NULL;
    assert_int_equal(route_find(r, "/x/y", &index, &params), ROUTE_NONE);
    assert_int_equal(index, 77);
    routes_free(r);
    routes_free(NULL);
    r = make((const char *const[]){NULL});
    assert_int_equal(routes_count(r), 0);
    assert_int_equal(route_find(r, "/", &index, &params), ROUTE_NONE);
    routes_free(r);
}

static void test_bad_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *says;
    } v[] = {
        {"", "begin"},          {"a", "begin"},      {"*", "begin"},     {"a/b", "begin"},
        {":a", "begin"},        {"/:", "name"},      {"/a/:/b", "name"}, {"/:a/:a", "two"},
        {"/:a/b/:c/:a", "two"}, {"/*/", "last"},     {"/*/a", "last"},   {"/a*", "last"},
        {"/**", "last"},        {"/:*", "last"},     {"/:a*/*", "last"}, {"/a*b/c", "last"},
        {"/a?b", "query"},      {"/a/:b?", "query"},
    };
    for (size_t i = 0; i < COUNT(v); i++) {
        const thrum_route list[] = {{.path = "/good/:a/*"}, {.path = v[i].pattern}, {0}};
        struct routes *r = NULL;
        thrum_error err;
        assert_int_equal(routes_new(&r, list, &err), THRUM_E_ARGUMENT);
        assert_int_equal(err.status, THRUM_E_ARGUMENT);
        assert_null(r);
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\"", v[i].pattern);
        if (!strstr(err.text, v[i].says) || !strstr(err.text, quoted))
            fail_msg("%s: %s", v[i].pattern, err.text);
        assert_int_equal(routes_new(&r, list, NULL), THRUM_E_ARGUMENT);
    }
    static const char *const fine[] = {"/:a/:b/:aa", "/a:/b", "/:a/a/:A", "/a//", "/:a/*", "/ "};
    for (size_t i = 0; i < COUNT(fine); i++)
        routes_free(make((const char *const[]){fine[i], NULL}));
}

static void test_long_names(void **state)
{
    (void)state;
    char pattern[1001] = "/:";
    memset(pattern + 2, 'x', 498);
    pattern[500] = '/';
    memcpy(pattern + 501, pattern + 1, 499);
    struct routes *r = NULL;
    thrum_error err;
    assert_int_equal(routes_new(&r, (thrum_route[]){{.path = pattern}, {0}}, &err), THRUM_E_ARGUMENT);
    pattern[999] = 0; /* one less than the first */
    assert_int_equal(routes_new(&r, (thrum_route[]){{.path = pattern}, {0}}, &err), THRUM_OK);
    routes_free(r);
}

static void test_how_many(void **state)
{
    (void)state;
    thrum_route *list = calloc(ROUTES_MAX + 2, sizeof *list);
    struct routes *r = NULL;
    thrum_error err;
    size_t index;
    char *params;
    assert_non_null(list);
    for (size_t i = 0; i < ROUTES_MAX; i++)
        list[i].path = i + 1 < ROUTES_MAX ? "/x" : "/last";
    assert_int_equal(routes_new(&r, list, &err), THRUM_OK);
    assert_int_equal(routes_count(r), ROUTES_MAX);
    assert_int_equal(route_find(r, "/last", &index, &params), ROUTE_FOUND);
    assert_int_equal(index, ROUTES_MAX - 1);
    routes_free(r);
    list[ROUTES_MAX].path = "/x";
    assert_int_equal(routes_new(&r, list, &err), THRUM_E_ARGUMENT);
    assert_non_null(strstr(err.text, "4096"));
    free(list);
}

/* Each byte as it is, and encoded with small and with capital letters. */
static void test_every_byte(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        char value[2] = {(char)c, 0}, target[16];
        for (int capital = 0; capital < 2; capital++) {
            snprintf(target, sizeof target, capital ? "/%%%02X" : "/%%%02x", c);
            expect("/:x", target, ROUTE_FOUND, "x", value);
            expect("/*", target, ROUTE_FOUND, "*", value);
        }
        target[1] = (char)c;
        target[2] = 0;
        if (c == '%')
            expect("/:x", target, ROUTE_BAD, NULL, NULL);
        else if (c == '/' || c == '?')
            expect("/:x", target, ROUTE_NONE, NULL, NULL);
        else
            expect("/:x", target, ROUTE_FOUND, "x", value);
        /* As one of the two digits. */
        for (int place = 2; place < 4; place++) {
            bool digit = strchr("0123456789abcdefABCDEF", c) != NULL;
            strcpy(target, "/%11");
            target[place] = (char)c;
            expect("/nothing", target, digit ? ROUTE_NONE : ROUTE_BAD, NULL, NULL);
        }
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    const thrum_route list[] = {{.path = "/a"}, {.path = "/:x/:y"}, {0}};
    struct routes *r = NULL;
    size_t index = 77;
    char *params = NULL;
    thrum_error err;
    counter_on();
    counter.refuse_from = 0;
    assert_int_equal(routes_new(&r, list, &err), THRUM_E_MEMORY);
    assert_int_equal(err.status, THRUM_E_MEMORY);
    counter.refuse_from = 1;
    assert_int_equal(routes_new(&r, list, &err), THRUM_OK);
    assert_int_equal(route_find(r, "/1/2", &index, &params), ROUTE_NO_MEMORY);
    assert_true(index == 77 && params == NULL);
    assert_int_equal(route_find(r, "/a", &index, &params), ROUTE_FOUND); /* needs none */
    counter.refuse_from = -1;
    assert_int_equal(route_find(r, "/1/2", &index, &params), ROUTE_FOUND);
    assert_int_equal(counter.live, 2);
    mem_free(params);
    routes_free(r);
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_pattern),  cmocka_unit_test(test_the_first_wins),
        cmocka_unit_test(test_bad_patterns), cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_how_many),     cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
