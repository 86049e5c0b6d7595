/* proxy_http_test.c: CONNECT, by a proxy that says what it is told. */
#include "proxy_test.h"
#include <thrum/version.h>

static char got[8192];

static void ask(const char *proxy)
{
    char c;
    assert_int_equal(way_open(proxy, "server.test", 443), THRUM_OK);
    assert_int_equal(way_read(&c, 1), -EAGAIN);
    heard(got, sizeof got);
}
static ssize_t say_all(const char *text)
{
    say(text, strlen(text));
    return way_read(NULL, 0);
}

static void test_request(void **state)
{
    (void)state;
    ask("http://p:3128");
    assert_string_equal(
        got, "CONNECT server.test:443 HTTP/1.1\r\nHost: server.test:443\r\nUser-Agent: thrum/" THRUM_VERSION
             "\r\n\r\n");
    way_close();
    ask("http://Aladdin:open%20sesame@p:3128");
    assert_non_null(strstr(got, "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"));
    way_close();
    char c;
    assert_int_equal(way_open("http://p", "2001:db8::1", 80), THRUM_OK);
    assert_int_equal(way_read(&c, 1), -EAGAIN);
    heard(got, sizeof got);
    assert_memory_equal(got, "CONNECT [2001:db8::1]:80 HTTP/1.1\r\n", 35);
    way_close();
    assert_int_equal(way_open("http://a%3Ab:c@p", "h", 80), THRUM_E_ARGUMENT);
    way_close();
}

static void test_open(void **state)
{
    static const char ok[] = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
    char rest[16];
    (void)state;
    ask("http://p");
    assert_int_equal(say_slowly(ok, sizeof ok - 1), -EAGAIN);
    assert_open();
    way_close();
    ask("http://p"); /* what comes with the answer is the server's; a length in a 2xx to CONNECT means nothing
                      */
    static const char no_body[] = "HTTP/1.0 204 \r\nContent-Length: 3\r\n\r\nfrom";
    say(no_body, sizeof no_body - 1);
    assert_int_equal(way_read(rest, 2), 2);
    assert_memory_equal(rest, "fr", 2);
    assert_true(stream_buffered(way.s));
    assert_int_equal(way_read(rest, sizeof rest), 2);
    assert_memory_equal(rest, "om", 2);
    assert_false(stream_buffered(way.s));
    assert_open();
    way_close();
    ask("http://p");
    assert_int_equal(say_all("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), -EAGAIN);
    assert_open();
    way_close();
}

static void refused(const char *proxy, const char *text, bool end, int http, const char *says)
{
    ask(proxy);
    say(text, strlen(text));
    if (end)
        (void)shutdown(way.peer, SHUT_WR);
    assert_broken(THRUM_E_PROXY, http, says);
    way_close();
}

static void test_refusals(void **state)
{
    (void)state;
    refused("http://p", "HTTP/1.1 403 Forbidden\r\nContent-Length: 14\r\n\r\nno way\nno more", false, 403,
            "403 Forbidden: no way");
    refused("http://p",
            "HTTP/1.1 503 Later\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsoon \r\n4\r\nbe b\r\n0\r\n\r\n",
            false, 503, "503 Later: soon be b");
    refused(
        "http://p",
        "HTTP/1.1 502 Bad Gateway\r\n\r\n<!DOCTYPE html>\n<html><head>\n<title>ERROR: no  such\thost</title>",
        false, 502, "Gateway: ERROR: no such host");
    refused("http://p", "HTTP/1.1 400 \x1b[31m\r\nContent-Length: 5\r\n\r\n\x1b[31m", false, 0, "HTTP");
    refused("http://p", "HTTP/1.1 400 x\r\nContent-Length: 5\r\n\r\n\x1b[31m", false, 400, "\\x1b[31m");
    refused("http://p", "HTTP/1.1 500 x\r\nContent-Length: 500\r\n\r\ncut", true, 500, "cut");
    refused("http://p", "HTTP/1.1 500 x\r\nContent-Length: 99999999\r\n\r\nhuge", false, 500, "huge");
    refused("http://p", "HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n", false, 407, "asks for a user");
    refused("http://u:p@p",
            "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n", false,
            407, "user \"u\"");
    refused("http://u:p@p",
            "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Digest realm=\"x\", nonce=\"n\"\r\nConnection: "
            "close\r\nContent-Length: "
            "0\r\n\r\n",
            false, 407, "user \"u\"");
    refused("http://p", "SSH-2.0-OpenSSH\r\n", false, 0, "does not answer in HTTP");
    refused("http://p", "HTTP/1.1 200 O", true, 0, "closed the connection");
    refused("http://p", "", true, 0, "closed the connection");
}

static void test_endless_head(void **state)
{
    char line[1000];
    ssize_t r = -EAGAIN;
    (void)state;
    ask("http://p");
    say("HTTP/1.1 200 OK\r\n", 17);
    memset(line, 'x', sizeof line);
    memcpy(line, "A: ", 3);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    for (int i = 0; i < 100 && r == -EAGAIN; i++) {
        say(line, sizeof line);
        r = way_read(NULL, 0);
    }
    assert_int_equal(r, -EPROTO);
    assert_broken(THRUM_E_PROXY, 0, "head");
    way_close();
}

/* Basic is refused, Digest asked for: it is shown on the same connection, once. */
static void test_digest(void **state)
{
    static const char challenge[] =
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", "
        "algorithm=SHA-256\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\r\n";
    (void)state;
    ask("http://u:p@p");
    assert_non_null(strstr(got, "Proxy-Authorization: Basic"));
    assert_int_equal(say_slowly(challenge, sizeof challenge - 1), -EAGAIN);
    heard(got, sizeof got);
    assert_memory_equal(got, "CONNECT server.test:443 HTTP/1.1\r\n", 34);
    assert_non_null(strstr(
        got,
        "Proxy-Authorization: Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"server.test:443\""));
    assert_int_equal(say_all("HTTP/1.1 200 OK\r\n\r\n"), -EAGAIN);
    assert_open();
    way_close();
    ask("http://u:p@p");
    assert_int_equal(say_slowly(challenge, sizeof challenge - 1), -EAGAIN);
    assert_int_equal(say_all(challenge), -EPROTO);
    assert_broken(THRUM_E_PROXY, 407, "user \"u\"");
    way_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),      cmocka_unit_test(test_open),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_endless_head), cmocka_unit_test(test_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
