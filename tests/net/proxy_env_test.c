/* proxy_env_test.c: curl's rules for the environment. */
#include "net/proxy.h"
#include "net_test.h"
#include <stdio.h>

static const char *const names[] = {"ws_proxy",   "WS_PROXY",    "wss_proxy",   "WSS_PROXY",   "http_proxy",
                                    "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "socks_proxy", "SOCKS_PROXY",
                                    "all_proxy",  "ALL_PROXY",   "no_proxy",    "NO_PROXY"};

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    return 0;
}

/* "host:port" that is chosen, "" none */
static const char *chosen(const char *host, bool tls)
{
    static char text[300];
    struct proxy p;
    thrum_error err;
    struct uri u = uri_tcp(host, tls ? 443 : 80);
    u.tls = tls;
    thrum_status s = proxy_from_environment(&p, &u, &err);
    if (s != THRUM_OK)
        return thrum_status_name(s);
    if (p.kind == PROXY_NONE)
        return "";
    snprintf(text, sizeof text, "%s:%u", p.host, (unsigned)p.port);
    return text;
}

static void test_variables(void **state)
{
    (void)state;
    assert_string_equal(chosen("h", false), "");
    setenv("HTTP_PROXY", "http://cgi:1", 1); /* the Proxy field of a request to a CGI program */
    assert_string_equal(chosen("h", false), "");
    setenv("ALL_PROXY", "socks5://all:2", 1);
    assert_string_equal(chosen("h", false), "all:2");
    setenv("all_proxy", "socks5://lower:2", 1);
    assert_string_equal(chosen("h", true), "lower:2");
    setenv("socks_proxy", "socks.test:3", 1);
    assert_string_equal(chosen("h", true), "socks.test:3");
    setenv("http_proxy", "plain:4", 1);
    setenv("HTTPS_PROXY", "secure:5", 1);
    assert_string_equal(chosen("h", false), "plain:4");
    assert_string_equal(chosen("h", true), "secure:5");
    setenv("ws_proxy", "w:6", 1);
    setenv("wss_proxy", "", 1); /* as good as none */
    assert_string_equal(chosen("h", false), "w:6");
    assert_string_equal(chosen("h", true), "secure:5");
    setenv("wss_proxy", "ftp://x", 1);
    assert_string_equal(chosen("h", true), "ARGUMENT");
}

static void test_no_proxy(void **state)
{
    static const struct {
        const char *list, *host;
        bool direct;
    } t[] = {
        {"*", "h", true},
        {"example.org", "example.org", true},
        {"example.org", "EXAMPLE.org.", true},
        {"example.org", "www.example.org", true},
        {".example.org", "www.example.org", true},
        {".example.org", "example.org", true},
        {"example.org.", "www.example.org", true},
        {"example.org", "notexample.org", false},
        {"example.org", "example.org.evil.test", false},
        {"a, b\tc", "b", true},
        {"a,,b,", "c", false},
        {"", "c", false},
        {",", "c", false},
        {".", "c", false},
        {"h:80", "h", true},
        {"h:443", "h", false},
        {":80", "h", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.11", false},
        {"192.0.2.0/24", "192.0.2.200", true},
        {"192.0.2.0/25", "192.0.2.200", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"192.0.2.0/33", "192.0.2.0", false},
        {"192.0.2.0/x", "192.0.2.0", false},
        {"192.0.2.0/24", "name.test", false},
        {"2001:db8::/32", "2001:db8:1::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"[2001:db8::1]", "2001:db8::1", true},
        {"2001:db8::1", "2001:db8::1", true},
        {"[2001:db8::1]:80", "2001:db8::1", true},
        {"[2001:db8::1]:81", "2001:db8::1", false},
        {"2.1", "192.0.2.1", false}, /* an address has no domain */
    };
    (void)state;
    setenv("all_proxy", "p:1", 1);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        setenv("NO_PROXY", t[i].list, 1);
        const char *got = chosen(t[i].host, false);
        if ((*got == '\0') != t[i].direct)
            fail_msg("no_proxy \"%s\", host %s: %s", t[i].list, t[i].host, got);
    }
    setenv("NO_PROXY", "*", 1);
    setenv("no_proxy", "other.test", 1); /* goes before the capitals */
    assert_string_equal(chosen("h", false), "p:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_variables, clear, clear),
        cmocka_unit_test_setup_teardown(test_no_proxy, clear, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
