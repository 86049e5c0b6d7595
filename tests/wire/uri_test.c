/* uri_test.c: tables of good and bad, and every character in every part. */
#include "wire/uri.h"
#include "wire_test.h"

static bool parse(struct uri *u, thrum_slice s, bool listening)
{
    const char *why = NULL;
    bool ok = uri_parse(u, s, listening, &why);
    assert_true(ok || (why && strlen(why) > 5));
    return ok;
}

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *text, *user, *password, *host;
        int port;
        const char *target, *header;
        bool tls, ipv6, port_given;
    } v[] = {
        {"ws://a", NULL, NULL, "a", 80, "", "a", 0, 0, 0},
        {"wss://a", NULL, NULL, "a", 443, "", "a", 1, 0, 0},
        {"WSS://Example.COM:443/", NULL, NULL, "Example.COM", 443, "/", "Example.COM", 1, 0, 1},
        {"ws://a:443/x", NULL, NULL, "a", 443, "/x", "a:443", 0, 0, 1},
        {"wss://a:80", NULL, NULL, "a", 80, "", "a:80", 1, 0, 1},
        {"ws://a:65535/?q", NULL, NULL, "a", 65535, "/?q", "a:65535", 0, 0, 1},
        {"ws://a:/x", NULL, NULL, "a", 80, "/x", "a", 0, 0, 0},
        {"ws://a:00080/x", NULL, NULL, "a", 80, "/x", "a", 0, 0, 1},
        {"ws://a?x=1&y=/?", NULL, NULL, "a", 80, "?x=1&y=/?", "a", 0, 0, 0},
        {"ws://u@a/", "u", NULL, "a", 80, "/", "a", 0, 0, 0},
        {"ws://u:p@a/", "u", "p", "a", 80, "/", "a", 0, 0, 0},
        {"ws://u:@a/", "u", "", "a", 80, "/", "a", 0, 0, 0},
        {"ws://:p:q@a/", "", "p:q", "a", 80, "/", "a", 0, 0, 0},
        {"ws://u%40x:p%3a@a:8080/", "u%40x", "p%3a", "a", 8080, "/", "a:8080", 0, 0, 1},
        {"ws://127.0.0.1:9/", NULL, NULL, "127.0.0.1", 9, "/", "127.0.0.1:9", 0, 0, 1},
        {"ws://[::1]", NULL, NULL, "::1", 80, "", "[::1]", 0, 1, 0},
        {"ws://[::]:9001/x", NULL, NULL, "::", 9001, "/x", "[::]:9001", 0, 1, 1},
        {"ws://[2001:DB8::1]:9001", NULL, NULL, "2001:DB8::1", 9001, "", "[2001:DB8::1]:9001", 0, 1, 1},
        {"ws://[::ffff:1.2.3.4]/", NULL, NULL, "::ffff:1.2.3.4", 80, "/", "[::ffff:1.2.3.4]", 0, 1, 0},
        {"ws://a/b//c/%20;x=(1)!$&'*+,:@-._~?%ff#", NULL, NULL, NULL, 0, NULL, NULL, 0, 0, 0}, /* has a '#' */
        {"ws://a/b//c/%20;x=(1)!$&'*+,:@-._~?%ff", NULL, NULL, "a", 80, "/b//c/%20;x=(1)!$&'*+,:@-._~?%ff",
         "a", 0, 0, 0},
        {"ws://xn--bcher-kva.example/", NULL, NULL, "xn--bcher-kva.example", 80, "/", "xn--bcher-kva.example",
         0, 0, 0},
    };
    for (size_t i = 0; i < COUNT(v); i++) {
        struct uri u;
        char header[64];
        thrum_slice s = guarded(v[i].text);
        bool ok = parse(&u, s, false);
        if (ok != (v[i].host != NULL))
            fail_msg("%s", v[i].text);
        if (ok) {
            assert_true(is_text(u.user, v[i].user) && is_text(u.password, v[i].password));
            assert_true(is_text(u.host, v[i].host) && is_text(u.target, v[i].target));
            assert_int_equal(u.port, v[i].port);
            assert_int_equal(u.tls | u.ipv6 << 1 | u.port_given << 2,
                             v[i].tls | v[i].ipv6 << 1 | v[i].port_given << 2);
            assert_true(!u.local && u.path.n == 0);
            assert_int_equal(uri_host(&u, header, sizeof header), strlen(v[i].header));
            assert_string_equal(header, v[i].header);
        }
        unguard(s);
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "ws",
        "ws:",
        "ws:/",
        "ws://",
        "ws:a",
        "ws:///x",
        "http://a",
        "//a",
        "a",
        "wsx://a",
        " ws://a",
        "ws://a ",
        "ws://a/ b",
        "ws://a/#",
        "ws://a#x",
        "ws://a/\n",
        "ws://a\r\nb",
        "ws://a/\x7f",
        "ws://\xc3\xa9/",
        "ws://a/\xc3\xa9",
        "ws://a:x",
        "ws://a:-1",
        "ws://a:+1",
        "ws://a:65536",
        "ws://a:99999999999999999999",
        "ws://a:1x",
        "ws://a:0",
        "ws://a:8:9",
        "ws://:80",
        "ws://u@",
        "ws://u@:80",
        "ws://*:80/",
        "ws://*",
        "ws://a%",
        "ws://a/%",
        "ws://a/%1",
        "ws://a/%1g",
        "ws://a/?%zz",
        "ws://u%@a/",
        "ws://a%2",
        "ws://a/\"",
        "ws://a/<>",
        "ws://a/\\",
        "ws://a\\b/",
        "ws://a/^",
        "ws://a/`",
        "ws://a/{|}",
        "ws://a/[",
        "ws://a/?[]",
        "ws://u@v@a/",
        "ws://u[@a/",
        "ws://a b/",
        "ws://a\"/",
        "ws://[::1",
        "ws://[]",
        "ws://[]:80",
        "ws://[::1]x",
        "ws://[::1]:x",
        "ws://[1]",
        "ws://[1:2:3:4:5:6:7]",
        "ws://[1:2:3:4:5:6:7:8:9]",
        "ws://[::1::]",
        "ws://[:1]",
        "ws://[1:]",
        "ws://[:::]",
        "ws://[12345::]",
        "ws://[::g]",
        "ws://[1::2:3:4:5:6:7:8]",
        "ws://[::1.2.3]",
        "ws://[::1.2.3.256]",
        "ws://[::1.2.3.04]",
        "ws://[1.2.3.4]",
        "ws://[::1.2.3.4:5]",
        "ws://[1:2:3:4:5:6:7:1.2.3.4]",
        "ws://[fe80::1%25eth0]",
        "ws://[v1.x]",
        "ws://::1/",
        "ws://[::1.2.3.4.5]",
        "ws://[::1.2..3]",
        "ws://[[::1]]",
        "ws+unix:",
        "ws+unix:/",
        "ws+unix:a",
        "ws+unix:/a:",
        "ws+unix:/a:b",
        "ws+unix:/a:?x",
        "ws+unix:/a#",
        "ws+unix:/a b",
        "ws+unix:/a%",
        "ws+unix:/a:/%",
        "ws+unix:/a:/\"",
        "ws+unix:/a?\"",
        "wss+unix:/a",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct uri u;
        thrum_slice s = guarded(bad[i]);
        if (parse(&u, s, false))
            fail_msg("taken: %s", bad[i]);
        unguard(s);
    }
    struct uri u;
    assert_false(parse(&u, (thrum_slice){0}, false));
    assert_false(parse(&u, (thrum_slice){(const uint8_t *)"ws://a\0b", 8}, false));
    assert_false(parse(&u, (thrum_slice){(const uint8_t *)"ws://a/\0", 8}, false));
    assert_false(parse(&u, (thrum_slice){(const uint8_t *)"w\0s://a", 7}, false));
}

static void test_ipv6(void **state)
{
    (void)state;
    static const char *const good[] = {"::",
                                       "::1",
                                       "1::",
                                       "1:2:3:4:5:6:7:8",
                                       "1:2:3:4:5:6:7::",
                                       "::2:3:4:5:6:7:8",
                                       "1::3:4:5:6:7:8",
                                       "a:B:c:D:e:F:0:ffff",
                                       "::1.2.3.4",
                                       "1:2:3:4:5:6:1.2.3.4",
                                       "1:2:3:4::0.0.0.0",
                                       "::5:255.255.255.255",
                                       "1::6:1.2.3.4"};
    for (size_t i = 0; i < COUNT(good); i++) {
        char text[80];
        struct uri u;
        snprintf(text, sizeof text, "ws://[%s]/", good[i]);
        thrum_slice s = guarded(text);
        if (!parse(&u, s, false) || !u.ipv6 || !is_text(u.host, good[i]))
            fail_msg("refused: %s", text);
        unguard(s);
    }
}

static void test_local(void **state)
{
    (void)state;
    static const char *const v[][3] = {
        {"ws+unix:/run/a.sock", "/run/a.sock", ""}, {"WS+UNIX:/a:/b?c", "/a", "/b?c"},
        {"ws+unix:/a?c=d:e", "/a", "?c=d:e"},       {"ws+unix:/a%20b:/", "/a%20b", "/"},
        {"ws+unix:///a/b", "///a/b", ""},           {"ws+unix:/a:/b:c", "/a", "/b:c"}};
    for (size_t i = 0; i < COUNT(v); i++) {
        struct uri u;
        char header[16];
        thrum_slice s = guarded(v[i][0]);
        assert_true(parse(&u, s, i & 1));
        assert_true(u.local && !u.tls && u.host.n == 0);
        assert_true(is_text(u.path, v[i][1]) && is_text(u.target, v[i][2]));
        assert_int_equal(uri_host(&u, header, sizeof header), 9);
        assert_string_equal(header, "localhost");
        unguard(s);
    }
}

static void test_listening(void **state)
{
    (void)state;
    static const char *const good[] = {"ws://*:0", "ws://a:0/", "ws://*", "ws://[::]:0", "ws://a"};
    static const char *const bad[] = {"ws://:0", "ws://", "ws://a:65536", "ws://a:x"};
    struct uri u;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(parse(&u, (thrum_slice){(const uint8_t *)good[i], strlen(good[i])}, true));
    assert_true(parse(&u, (thrum_slice){(const uint8_t *)"ws://*:0", 8}, true));
    assert_true(u.port == 0 && u.port_given && is_text(u.host, "*"));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(parse(&u, (thrum_slice){(const uint8_t *)bad[i], strlen(bad[i])}, true));
}

/* Each byte in the midst of each part. */
static void test_every_byte(void **state)
{
    (void)state;
    static const char unreserved[] = "-._~!$&'()*+,;=";
    for (int c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool plain = alnum || (c != 0 && strchr(unreserved, c));
        struct {
            const char *before;
            const char *more; /* what this part may have beside `plain` */
        } parts[] = {{"ws://a/x", ":@/?"}, {"ws://a/?x", ":@/?"}, {"ws://h", "/?:"}};
        for (size_t i = 0; i < COUNT(parts); i++) {
            char text[32];
            struct uri u;
            size_t n = (size_t)snprintf(text, sizeof text, "%s", parts[i].before);
            text[n++] = (char)c;
            bool want = plain || (c != 0 && strchr(parts[i].more, c));
            if (parse(&u, (thrum_slice){(const uint8_t *)text, n}, false) != want)
                fail_msg("%s and %02x", parts[i].before, c);
        }
        uint8_t target[2] = {'/', (uint8_t)c};
        bool want = plain || (c != 0 && strchr(":@/?", c));
        assert_int_equal(uri_is_target((thrum_slice){target, 2}), want);
    }
}

static void test_host_header_that_does_not_fit(void **state)
{
    (void)state;
    struct uri u;
    const char *text = "ws://[::1]:65535/";
    assert_true(parse(&u, (thrum_slice){(const uint8_t *)text, strlen(text)}, false));
    for (size_t cap = 0; cap <= 14; cap++) { /* [::1]:65535 and a NUL */
        char *out = (char *)guard_copy(NULL, cap);
        size_t n = uri_host(&u, out, cap);
        assert_int_equal(n, cap >= 12 ? 11 : 0);
        if (n)
            assert_string_equal(out, "[::1]:65535");
        guard_free((uint8_t *)out, cap);
    }
}

static void test_is_host(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        int port;
    } v[] = {{"a", "a", 0},
             {"a:80", "a", 80},
             {"a:", "a", 0},
             {"[::1]:9", "::1", 9},
             {"[::1]", "::1", 0},
             {"1.2.3.4:1", "1.2.3.4", 1},
             {"A-b.C_d", "A-b.C_d", 0},
             {"a%2e", "a%2e", 0},
             {"", NULL, 0},
             {":80", NULL, 0},
             {"a:0", NULL, 0},
             {"a:65536", NULL, 0},
             {"a:b", NULL, 0},
             {"a b", NULL, 0},
             {"a/b", NULL, 0},
             {"u@a", NULL, 0},
             {"a?b", NULL, 0},
             {"a#b", NULL, 0},
             {"[::1", NULL, 0},
             {"[x]", NULL, 0},
             {"a,b", "a,b", 0},
             {"a:80:80", NULL, 0},
             {"\xc3\xa9", NULL, 0},
             {"a%", NULL, 0},
             {"a\\b", NULL, 0},
             {"ws://a", NULL, 0},
             {"::1", NULL, 0}};
    for (size_t i = 0; i < COUNT(v); i++) {
        thrum_slice s = guarded(v[i].text), host = {0};
        uint16_t port = 7;
        if (uri_is_host(s, &host, &port) != (v[i].host != NULL))
            fail_msg("%s", v[i].text);
        if (v[i].host) {
            assert_true(is_text(host, v[i].host));
            assert_int_equal(port, v[i].port);
        }
        assert_int_equal(uri_is_host(s, NULL, NULL), v[i].host != NULL);
        unguard(s);
    }
    assert_false(uri_is_host((thrum_slice){0}, NULL, NULL));
}

static void test_is_origin(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme, *host;
        int port;
    } v[] = {{"http://a", "http", "a", 0},
             {"https://a.b:8443", "https", "a.b", 8443},
             {"http://[::1]:80", "http", "::1", 80},
             {"chrome-extension://abc", "chrome-extension", "abc", 0},
             {"a+b.c-1://x", "a+b.c-1", "x", 0},
             {"null", NULL, NULL, 0},
             {"", NULL, NULL, 0},
             {"http", NULL, NULL, 0},
             {"http:", NULL, NULL, 0},
             {"http:/", NULL, NULL, 0},
             {"http://", NULL, NULL, 0},
             {"file:///", NULL, NULL, 0},
             {"http://a/", NULL, NULL, 0},
             {"http://a b", NULL, NULL, 0},
             {"http://u@a", NULL, NULL, 0},
             {"http://a http://b", NULL, NULL, 0},
             {"1http://a", NULL, NULL, 0},
             {"ht_tp://a", NULL, NULL, 0},
             {"://a", NULL, NULL, 0},
             {"http//a", NULL, NULL, 0},
             {"http://a:0", NULL, NULL, 0},
             {"http://a#", NULL, NULL, 0}};
    for (size_t i = 0; i < COUNT(v); i++) {
        thrum_slice s = guarded(v[i].text), scheme = {0}, host = {0};
        uint16_t port = 7;
        if (uri_is_origin(s, &scheme, &host, &port) != (v[i].host != NULL))
            fail_msg("%s", v[i].text);
        if (v[i].host) {
            assert_true(is_text(scheme, v[i].scheme) && is_text(host, v[i].host));
            assert_int_equal(port, v[i].port);
        }
        assert_int_equal(uri_is_origin(s, NULL, NULL, NULL), v[i].host != NULL);
        unguard(s);
    }
    assert_false(uri_is_origin((thrum_slice){0}, NULL, NULL, NULL));
    assert_false(uri_is_origin((thrum_slice){(const uint8_t *)"a\0b://x", 7}, NULL, NULL, NULL));
}

static void test_is_target(void **state)
{
    (void)state;
    static const char *const good[] = {"/", "/a/b?c=d", "//", "/%20", "/?", "/a:b@c"};
    static const char *const bad[] = {"",    "a",         "*",         "?a",    "/ ", "/a#b",
                                      "/%2", "/\xc3\xa9", "http://a/", "/a\tb", "/[", "/?["};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(uri_is_target((thrum_slice){(const uint8_t *)good[i], strlen(good[i])}));
    for (size_t i = 0; i < COUNT(bad); i++) {
        thrum_slice s = guarded(bad[i]);
        assert_false(uri_is_target(s));
        unguard(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_bad),
        cmocka_unit_test(test_ipv6),      cmocka_unit_test(test_local),
        cmocka_unit_test(test_listening), cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_is_host),   cmocka_unit_test(test_host_header_that_does_not_fit),
        cmocka_unit_test(test_is_origin), cmocka_unit_test(test_is_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
