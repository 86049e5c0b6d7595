/* http1_test.c: every head is scanned whole, cut at every position, and byte by byte, with the same result;
 * each limit is met on both sides. */
#include "wire/http1.h"
#include "wire_test.h"
#include <stdlib.h>

/* Scans p[0..n) in pieces that end at `cut`; 0: whole; n + 1: byte by byte. *end: how many bytes were looked
 * at when the answer came. */
static enum http1_result scan(const uint8_t *p, size_t n, size_t cut, size_t *end)
{
    struct http1_scan s = {0};
    enum http1_result r = HTTP1_MORE;
    size_t at = 0;
    while (r == HTTP1_MORE && at < n) {
        size_t piece = cut > n ? 1 : at < cut ? cut - at : n - at, used = 0;
        const char *why = NULL;
        uint8_t *copy = guard_copy(p + at, piece);
        r = http1_scan(&s, copy, piece, &used, &why);
        assert_true(used <= piece && (r == HTTP1_DONE || used == piece));
        if (r != HTTP1_MORE && r != HTTP1_DONE)
            assert_true(why && strlen(why) > 10);
        at += used;
        if (r != HTTP1_MORE) { /* the answer stays */
            why = NULL;
            assert_int_equal(http1_scan(&s, copy, piece, &used, &why), r);
            assert_true(r == HTTP1_DONE ? used == 0 : why != NULL);
        }
        guard_free(copy, piece);
    }
    *end = at;
    return r;
}

/* All cuts. Returns the result; *end: where it came, byte by byte. */
static enum http1_result scan_all(const char *text, size_t n, size_t *end)
{
    const uint8_t *p = (const uint8_t *)text;
    enum http1_result r = scan(p, n, n + 1, end);
    for (size_t cut = 0; cut <= n; cut++) {
        size_t here;
        assert_int_equal(scan(p, n, cut, &here), r);
        assert_true(r == HTTP1_DONE ? here == *end : here >= *end);
    }
    return r;
}

static void expect_scan(const char *text, enum http1_result want, size_t want_end)
{
    size_t end;
    enum http1_result r = scan_all(text, strlen(text), &end);
    if (r != want || end != want_end)
        fail_msg("%s: %d at %zu, want %d at %zu", text, r, end, want, want_end);
}

static void test_scan_good(void **state)
{
    (void)state;
    static const char *const good[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET /chat?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade:websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nA:\r\nB: \t \r\nC: x y\tz \xff\r\n\r\n",
        "HTTP/1.1 101\r\n\r\n",
        "HTTP/1.1 404 Pas trouv\xc3\xa9\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        char more[200];
        size_t n = strlen(good[i]), end;
        expect_scan(good[i], HTTP1_DONE, n);
        snprintf(more, sizeof more, "%s\x81\x05Hello\r\n\r\n", good[i]); /* what follows is not the head's */
        expect_scan(more, HTTP1_DONE, n);
        for (size_t k = 0; k < n; k++) /* no beginning of it is whole, or wrong */
            assert_int_equal(scan((const uint8_t *)good[i], k, 0, &end), HTTP1_MORE);
    }
}

static void test_scan_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t end; /* looked at, the bad byte included */
    } bad[] = {
        {"\x16\x03\x01\x02", 1}, /* a TLS hello */
        {"\r\nGET / HTTP/1.1\r\n\r\n", 1},
        {"\nGET", 1},
        {" GET / HTTP/1.1\r\n", 1},
        {"\x80", 1},
        {"{\"a\":1}", 1},
        {"SSH-2.0-x\r\n", 10},
        {"GET\r\n", 4},
        {"GET\t/ HTTP/1.1\r\n", 4},
        {"HTTP/1.1\r\n", 9},
        {"ABC/1", 4},
        {"ABCDE/1", 6},
        {"GET / HTTP/1.1\n", 15},
        {"GET / HTTP/1.1\rX", 16},
        {"GET /\x01 HTTP/1.1", 6},
        {"GET /\x7f", 6},
        {"GET / HTTP/1.1\r\n Host: a", 17}, /* folded */
        {"GET / HTTP/1.1\r\n\tHost: a", 17},
        {"GET / HTTP/1.1\r\n: a\r\n", 17},
        {"GET / HTTP/1.1\r\n\n", 17},
        {"GET / HTTP/1.1\r\nHost : a", 21},
        {"GET / HTTP/1.1\r\nHost\t: a", 21},
        {"GET / HTTP/1.1\r\nHost\r\n", 21},
        {"GET / HTTP/1.1\r\nHo\xc3st:", 19},
        {"GET / HTTP/1.1\r\nHost: a\n", 24},
        {"GET / HTTP/1.1\r\nHost: a\rb", 25},
        {"GET / HTTP/1.1\r\nHost: a\x01", 24},
        {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n", 26},
        {"GET / HTTP/1.1\r\nHost: a\r\n\rX", 27},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\r", 27},
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_scan(bad[i].text, HTTP1_BAD, bad[i].end);
    size_t end; /* NUL, which a C string cannot hold */
    assert_int_equal(scan_all("GET /\0 HTTP/1.1\r\n\r\n", 19, &end), HTTP1_BAD);
    assert_int_equal(end, 6);
    assert_int_equal(scan_all("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24, &end), HTTP1_BAD);
    assert_int_equal(end, 20);
}

/* ---- limits ----------------------------------------------------------------------------------------------
 */

struct text {
    char *p;
    size_t n;
};

static void add(struct text *t, const char *s)
{
    memcpy(t->p + t->n, s, strlen(s));
    t->n += strlen(s);
}

static void fill(struct text *t, char c, size_t n)
{
    memset(t->p + t->n, c, n);
    t->n += n;
}

/* A first line, the given number of fields (each line of field_size bytes without CR LF, at least 2), the
 * last filled up so that the whole has `total` bytes where that is not 0. */
static struct text head(size_t first_size, size_t fields, size_t field_size, size_t total)
{
    struct text t = {malloc(200000), 0};
    assert_non_null(t.p);
    add(&t, "GET /");
    fill(&t, 'x', first_size - strlen("GET / HTTP/1.1"));
    add(&t, " HTTP/1.1\r\n");
    for (size_t i = 0; i < fields; i++) {
        size_t size = i + 1 == fields && total ? total - t.n - 4 : field_size;
        add(&t, "a:");
        fill(&t, 'b', size - 2);
        add(&t, "\r\n");
    }
    add(&t, "\r\n");
    assert_true(total == 0 || t.n == total);
    return t;
}

static void expect_limit(struct text t, enum http1_result want, int want_status)
{
    size_t end;
    struct http1_head *h = malloc(sizeof *h);
    const char *why = NULL;
    assert_non_null(h);
    assert_int_equal(scan((const uint8_t *)t.p, t.n, 0, &end), want);
    assert_int_equal(scan((const uint8_t *)t.p, t.n, 1, &end), want);
    assert_int_equal(scan((const uint8_t *)t.p, t.n, t.n - 1, &end), want);
    struct http1_scan s = {0}; /* byte by byte, without a page for each */
    enum http1_result r = HTTP1_MORE;
    for (size_t i = 0, used; i < t.n && r == HTTP1_MORE; i++)
        r = http1_scan(&s, (const uint8_t *)t.p + i, 1, &used, &why);
    assert_int_equal(r, want);
    assert_int_equal(http1_parse_request(h, (const uint8_t *)t.p, t.n, &why), want_status);
    free(h);
    free(t.p);
}

static void test_limits(void **state)
{
    (void)state;
    expect_limit(head(HTTP1_LINE_MAX, 1, 10, 0), HTTP1_DONE, 0);
    expect_limit(head(HTTP1_LINE_MAX + 1, 1, 10, 0), HTTP1_LONG_TARGET, 414);
    expect_limit(head(20, 2, HTTP1_LINE_MAX, 0), HTTP1_DONE, 0);
    expect_limit(head(20, 2, HTTP1_LINE_MAX + 1, 0), HTTP1_LONG_HEAD, 431);
    expect_limit(head(20, HTTP1_FIELDS_MAX, 4, 0), HTTP1_DONE, 0);
    expect_limit(head(20, HTTP1_FIELDS_MAX + 1, 4, 0), HTTP1_LONG_HEAD, 431);
    expect_limit(head(20, 10, 7000, HTTP1_HEAD_MAX), HTTP1_DONE, 0);
    expect_limit(head(20, 10, 7000, HTTP1_HEAD_MAX + 1), HTTP1_LONG_HEAD, 431);
}

static void test_limits_fail_at_once(void **state)
{
    (void)state;
    size_t end;
    struct text t = head(HTTP1_LINE_MAX + 500, 0, 0, 0);
    assert_int_equal(scan((const uint8_t *)t.p, HTTP1_LINE_MAX, 0, &end), HTTP1_MORE);
    assert_int_equal(scan((const uint8_t *)t.p, HTTP1_LINE_MAX + 1, 0, &end), HTTP1_LONG_TARGET);
    free(t.p);
    t = head(20, 1, HTTP1_LINE_MAX + 500, 0);
    assert_int_equal(scan((const uint8_t *)t.p, 22 + HTTP1_LINE_MAX, 0, &end), HTTP1_MORE);
    assert_int_equal(scan((const uint8_t *)t.p, 22 + HTTP1_LINE_MAX + 1, 0, &end), HTTP1_LONG_HEAD);
    free(t.p);
    t = head(20, HTTP1_FIELDS_MAX + 5, 2, 0); /* lines of 4 bytes */
    assert_int_equal(scan((const uint8_t *)t.p, 22 + 4 * HTTP1_FIELDS_MAX, 0, &end), HTTP1_MORE);
    assert_int_equal(scan((const uint8_t *)t.p, 22 + 4 * HTTP1_FIELDS_MAX + 1, 0, &end), HTTP1_LONG_HEAD);
    free(t.p);
    /* A method without end counts as a long first line, too. */
    char *method = malloc(9000);
    assert_non_null(method);
    memset(method, 'A', 9000);
    assert_int_equal(scan((const uint8_t *)method, 9000, 0, &end), HTTP1_LONG_TARGET);
    free(method);
}

/* ---- parse -----------------------------------------------------------------------------------------------
 */

static struct http1_head h;

static int request(const char *text)
{
    const char *why = NULL;
    thrum_slice s = guarded(text);
    int r = http1_parse_request(&h, s.p, s.n, &why);
    assert_true(r == 0 || (why && strlen(why) > 10));
    unguard(s);
    return r;
}

static int response(const char *text)
{
    const char *why = NULL;
    thrum_slice s = guarded(text);
    int r = http1_parse_response(&h, s.p, s.n, &why);
    assert_true(r == 0 || (why && strlen(why) > 10));
    unguard(s);
    return r;
}

static void test_request(void **state)
{
    (void)state;
    const char *why;
    thrum_slice s = guarded("GET /chat?a=b HTTP/1.1\r\nHost: example.com:80\r\nX:\r\nx: \t two words \t\r\n"
                            "Sec-WebSocket-Key:a==\r\nX: \"q, r\"\r\n\r\n");
    assert_int_equal(http1_parse_request(&h, s.p, s.n, &why), 0);
    assert_true(is_text(h.method, "GET"));
    assert_true(is_text(h.target, "/chat?a=b"));
    assert_int_equal(h.major * 10 + h.minor, 11);
    assert_int_equal(h.n, 5);
    assert_true(is_text(h.fields[0].name, "Host"));
    assert_true(is_text(http1_get(&h, "HOST", 0), "example.com:80"));
    assert_true(is_text(http1_get(&h, "host", 1), NULL));
    assert_int_equal(http1_count(&h, "x"), 3);
    assert_true(is_text(http1_get(&h, "X", 0), ""));
    assert_true(is_text(http1_get(&h, "X", 1), "two words"));
    assert_true(is_text(http1_get(&h, "X", 2), "\"q, r\""));
    assert_true(is_text(http1_get(&h, "X", 3), NULL));
    assert_true(is_text(http1_get(&h, "sec-websocket-key", 0), "a=="));
    assert_int_equal(http1_count(&h, "Sec-WebSocket"), 0);
    assert_true(is_text(http1_get(&h, "nothing", 0), NULL));
    unguard(s);
}

static void test_request_line(void **state)
{
    (void)state;
    assert_int_equal(request("OPTIONS * HTTP/1.0\r\n\r\n"), 0);
    assert_int_equal(h.minor, 0);
    assert_int_equal(request("GET http://a/b?c#d HTTP/1.9\r\n\r\n"), 0); /* its form is judged above */
    assert_int_equal(request("M-SEARCH x HTTP/1.1\r\n\r\n"), 0);
    assert_int_equal(request("GET / HTTP/2.0\r\n\r\n"), 505);
    assert_int_equal(request("GET / HTTP/0.9\r\n\r\n"), 505);
    assert_int_equal(request("PRI * HTTP/2.0\r\n\r\n"), 505);
    static const char *const bad[] = {
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /  HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET / a HTTP/1.1\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET / HTTP/1.\r\n\r\n",
        "GET / HTTP/11\r\n\r\n",
        "GET / HTTP/1.10\r\n\r\n",
        "GET / HTTP/x.1\r\n\r\n",
        "GET / HTTP/1,1\r\n\r\n",
        "GET /\t HTTP/1.1\r\n\r\n",
        "GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
        "GET HTTP/1.1\r\n\r\n",
        "HTTP/1.1 101 x\r\n\r\n",
        "GET  HTTP/1.1\r\n\r\n",
        "",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n\r\nx",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\n\n",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        if (request(bad[i]) != 400)
            fail_msg("taken: %s", bad[i]);
}

static void test_response(void **state)
{
    (void)state;
    const char *why;
    thrum_slice s = guarded("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    assert_int_equal(http1_parse_response(&h, s.p, s.n, &why), 0);
    assert_int_equal(h.status, 101);
    assert_true(is_text(h.reason, "Switching Protocols"));
    assert_int_equal(h.n, 1);
    assert_true(is_text(http1_get(&h, "upgrade", 0), "websocket"));
    unguard(s);
    assert_int_equal(response("HTTP/1.1 599 \r\n\r\n"), 0);
    assert_int_equal(h.status, 599);
    assert_int_equal(h.reason.n, 0);
    assert_int_equal(response("HTTP/1.0 100\r\n\r\n"), 0);
    assert_int_equal(h.status, 100);
    assert_int_equal(h.reason.n, 0);
    assert_int_equal(response("HTTP/1.1 200 \xe2\x9c\x93 \tok\r\n\r\n"), 0);
    assert_int_equal(response("HTTP/2.0 200 OK\r\n\r\n"), 505);
    static const char *const bad[] = {
        "HTTP/1.1 099 x\r\n\r\n",  "HTTP/1.1 600 x\r\n\r\n",  "HTTP/1.1 20 x\r\n\r\n",
        "HTTP/1.1 2000 x\r\n\r\n", "HTTP/1.1  200 x\r\n\r\n", "HTTP/1.1 200\tx\r\n\r\n",
        "HTTP/1.1 2x0 x\r\n\r\n",  "HTTP/1.1 \r\n\r\n",       "HTTP/1.12 200 x\r\n\r\n",
        "http/1.1 200 x\r\n\r\n",  "GET / HTTP/1.1\r\n\r\n",  "HTTP/1.1 +10 x\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        if (response(bad[i]) != 400)
            fail_msg("taken: %s", bad[i]);
}

static void test_reasons(void **state)
{
    (void)state;
    static const int known[] = {101, 400, 403, 404, 405, 414, 426, 431, 500, 503, 505};
    for (size_t i = 0; i < COUNT(known); i++)
        assert_true(strlen(http1_reason(known[i])) > 0);
    assert_string_equal(http1_reason(404), "Not Found");
    assert_string_equal(http1_reason(0), "");
    assert_string_equal(http1_reason(599), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_good), cmocka_unit_test(test_scan_bad),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_limits_fail_at_once),
        cmocka_unit_test(test_request),   cmocka_unit_test(test_request_line),
        cmocka_unit_test(test_response),  cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
