/* target_test.c: where credentials go, and where they do not. connect_test.c sees the same on the wire. */
#include "conn/target.h"

#include "conn_test.h"

static thrum_error err;
static struct target t;
static struct shared_settings *ss;

static void begin(const char *url, const thrum_client_options *o)
{
    ss = settings_share();
    assert_non_null(ss);
    assert_status(settings_client(&ss->s, o, &err), THRUM_OK);
    t = (struct target){0};
    if (target_first(&t, url, ss, &err) != THRUM_OK)
        fail_msg("%s: %s", url, err.text);
}
static void end(void)
{
    target_free(&t);
    settings_unshare(ss);
}

static const char *field(const char *name)
{
    const char *v[TARGET_FIELDS];
    for (const char *const *f = target_fields(&t, ss, v); *f; f += 2)
        if (strcmp(f[0], name) == 0)
            return f[1];
    return NULL;
}

static void test_unasked(void **state)
{
    static const struct {
        const char *url;
        bool shows;
    } all[] = {
        {"ws://u:p@127.0.0.1/", true}, {"ws://u:p@localhost:8080/", true}, {"ws://u:p@[::1]/", true},
        {"wss://u:p@h.test/", true},   {"ws://u:p@h.test/", false}, /* anybody could listen: the server must
                                                                       ask */
        {"ws://h.test/", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        begin(all[i].url, NULL);
        if ((field("Authorization") != NULL) != all[i].shows)
            fail_msg("%s", all[i].url);
        assert_null(strchr(t.url, '@'));
        end();
    }
    begin("ws://h.test/", THRUM_CLIENT(.bearer = "abc")); /* it is all there is, so it is meant */
    assert_string_equal(field("Authorization"), "Bearer abc");
    end();
    begin("ws://from:url@127.0.0.1/", THRUM_CLIENT(.user = "option", .password = "x"));
    assert_string_equal(t.user, "from");
    end();
}

static void test_refused_urls(void **state)
{
    static const char *const bad[] = {
        "", "http://h/", "ws://u%0a@h/", "ws://u%00@h/", "ws://a%3Ab:p@127.0.0.1/", "ws://\xff/"};
    (void)state;
    ss = settings_share();
    assert_status(settings_client(&ss->s, NULL, &err), THRUM_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        t = (struct target){0};
        assert_status(target_first(&t, bad[i], ss, &err), THRUM_E_ARGUMENT);
        assert_true(err.text[0] != '\0');
        target_free(&t);
    }
    settings_unshare(ss);
}

static void test_R21_origins(void **state)
{
    static const struct {
        const char *from, *location;
        bool same;
    } all[] = {
        {"ws://h.test/a", "/b", true},
        {"ws://h.test/a", "http://H.TEST:80/b", true},
        {"ws://h.test/a", "ws://h.test:81/", false},
        {"ws://h.test/a", "wss://h.test/", false}, /* another scheme is another origin */
        {"wss://h.test/a", "https://h.test:443/", true},
        {"ws://h.test/a", "//other.test/", false},
        {"ws://h.test/a", "http://h.test.evil.test/", false},
        {"ws://h.test/a", "http://u:p@h.test/", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        begin(all[i].from, THRUM_CLIENT(.bearer = "t", .cookie = "c=1"));
        if (target_redirect(&t, all[i].location, 302, &err) != THRUM_OK)
            fail_msg("%s", err.text);
        if ((field("Authorization") != NULL) != all[i].same || (field("Cookie") != NULL) != all[i].same ||
            t.foreign == all[i].same)
            fail_msg("%s to %s", all[i].from, all[i].location);
        assert_null(strchr(t.url, '@'));
        if (!all[i].same) { /* and coming back does not bring them back */
            assert_status(
                target_redirect(&t, all[i].from[2] == 's' ? "wss://h.test/" : "ws://h.test/", 302, &err),
                t.uri.tls && all[i].from[2] != 's' ? THRUM_E_REFUSED : THRUM_OK);
            assert_null(field("Authorization"));
        }
        end();
    }
}

static void test_R21_no_way_down(void **state)
{
    static const char *const bad[] = {"ws://h.test/",       "http://h.test/", "ws+unix:/tmp/s", "unix:/tmp/s",
                                      "file:///etc/passwd", "ftp://h/",       "javascript:1",   "wss://",
                                      "wss://h:0x1/"};
    (void)state;
    begin("wss://h.test/", NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (target_redirect(&t, bad[i], 301, &err) != THRUM_E_REFUSED)
            fail_msg("%s was followed", bad[i]);
        assert_int_equal(err.http_status, 301);
        assert_string_equal(t.url, "wss://h.test/");
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unasked),
        cmocka_unit_test(test_refused_urls),
        cmocka_unit_test(test_R21_origins),
        cmocka_unit_test(test_R21_no_way_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
