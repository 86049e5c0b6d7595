/* open_server_test.c: the server's handshake: a request for each status, and what may not be smuggled past
 * it. It covers answer.c, negotiate.c and request.c too, which have no life without a handshake
 * (tools/twins-exceptions.txt). */
#include "proto_test.h"

#define TOP "GET /t HTTP/1.1\r\nHost: h.test\r\n"
#define WS  "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define END "\r\n"

static char out[70000];

static void asked(const thrum_server_options *o, const char *request, int status, const char *says)
{
    /* Whole, and byte by byte: the same answer. */
    static char other[70000];
    thrum_proto *p = new_server(o), *q = new_server(o);
    feed_text(p, request);
    for (const char *c = request; *c; c++)
        feed(q, c, 1);
    take_out(p, out, sizeof out);
    take_out(q, other, sizeof other);
    if (atoi(out + 9) != status || !strstr(out, says))
        fail_msg("%.200s\n-> %.300s", request, out);
    assert_string_equal(out, other);
    if (status != 101) {
        assert_non_null(strstr(out, "Connection: close\r\n"));
        assert_true(thrum_proto_flags(p) & THRUM_SHUT_OUT);
        feed_text(p, TOP WS KEY END); /* never read as another request */
        assert_int_equal(take_out(p, other, sizeof other), 0);
        (void)thrum_proto_in_end(p, 0, now);
        assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    }
    thrum_proto_free(p);
    thrum_proto_free(q);
}

static void test_R19_statuses(void **state)
{
    (void)state;
    asked(NULL, TOP WS KEY END, 101, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    asked(NULL, TOP END, 426, "Upgrade: websocket\r\n");
    asked(NULL, "POST /t HTTP/1.1\r\nHost: h\r\n" WS KEY END, 405, "Allow: GET\r\n");
    asked(NULL, "GET /t HTTP/1.0\r\nHost: h\r\n" WS KEY END, 505, "");
    asked(NULL, "GET /t HTTP/2.0\r\nHost: h\r\n" WS KEY END, 505, "");
    asked(NULL, "GET t HTTP/1.1\r\nHost: h\r\n" WS KEY END, 400, "target");
    asked(NULL, "GET http://h/ HTTP/1.1\r\nHost: h\r\n" WS KEY END, 400, "target");
    asked(NULL, "GET /t HTTP/1.1\r\n" WS KEY END, 400, "Host");
    asked(NULL, TOP "Host: b\r\n" WS KEY END, 400, "Host");
    asked(NULL, "GET /t HTTP/1.1\r\nHost: a b\r\n" WS KEY END, 400, "Host");
    asked(NULL, TOP "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" KEY END, 400, "Connection");
    asked(NULL, TOP "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" KEY END, 426, "");
    asked(NULL, TOP "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n" KEY END, 426,
          "Sec-WebSocket-Version: 13\r\n");
    asked(NULL, TOP "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY END, 426, "");
    asked(NULL, TOP WS END, 400, "Key");
    asked(NULL, TOP WS KEY KEY END, 400, "Key");
    asked(NULL, TOP WS "Sec-WebSocket-Key: c2hvcnQ=\r\n" END, 400, "Key");
    asked(NULL, TOP WS KEY "Sec-WebSocket-Protocol: a b\r\n" END, 400, "Protocol");
    asked(NULL, TOP WS KEY "Sec-WebSocket-Extensions: x; =\r\n" END, 400, "Extensions");
    asked(NULL,
          TOP WS KEY
          "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x;y=\"1\"\r\n" END,
          101,
          "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12; "
          "client_max_window_bits=12\r\n");
    asked(NULL, TOP WS KEY "Sec-WebSocket-Extensions: x-other\r\n" END, 101, "");
    assert_null(strstr(out, "Sec-WebSocket-Extensions"));
}

static void test_R16_smuggling(void **state)
{
    (void)state;
    asked(NULL, "GET /t HTTP/1.1\nHost: h\n" WS KEY END, 400, "LF");
    asked(NULL, TOP "A: b\rc\r\n" WS KEY END, 400, "CR");
    asked(NULL, TOP "A: b\r\n c\r\n" WS KEY END, 400, "folded");
    asked(NULL, TOP "A : b\r\n" WS KEY END, 400, "colon");
    asked(NULL, TOP "Content-Length: 5\r\n" WS KEY END, 400, "body");
    asked(NULL, TOP "Content-Length: 0\r\nContent-Length: 1\r\n" WS KEY END, 400, "body");
    asked(NULL, TOP "Transfer-Encoding: chunked\r\n" WS KEY END, 400, "body");
    asked(NULL, "\r\n" TOP WS KEY END, 400, "");
    asked(NULL, "\x16\x03\x01", 400, "");
}

static void test_R14_limits(void **state)
{
    static char long_head[80000];
    (void)state;
    strcpy(long_head, "GET /");
    memset(long_head + 5, 'a', 9000);
    asked(NULL, long_head, 414, "");
    strcpy(long_head, TOP "A: ");
    memset(long_head + strlen(long_head), 'a', 9000);
    long_head[9040] = 0;
    asked(NULL, long_head, 431, "");
    strcpy(long_head, TOP);
    for (int i = 0; i < 130; i++)
        strcat(long_head, "A: b\r\n");
    asked(NULL, long_head, 431, "");
}

static void test_R20_origins(void **state)
{
    static const struct {
        const char *origin, *host;
        bool fine;
    } own[] = {
        {"http://h.test", "h.test", true},
        {"https://h.test", "h.test", true},
        {"http://H.TEST", "h.test", true},
        {"http://h.test:8080", "h.test:8080", true},
        {"http://h.test", "h.test:8080", false},
        {"http://h.test:81", "h.test", false},
        {"null", "h.test", false},
        {"http://evil.h.test", "h.test", false},
        {"http://h.test.evil", "h.test", false},
        {"http://h.test@evil", "h.test", false},
        {"h.test", "h.test", false},
        {"", "h.test", false},
        {"https://h.test:443", "h.test:443", true},
        {"http://[::1]:9", "[::1]:9", true},
    };
    const char *const list[] = {"https://a.test", "null", NULL}, *const any[] = {"*", NULL};
    char request[600];
    (void)state;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        snprintf(request, sizeof request, "GET /t HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\n" WS KEY END,
                 own[i].host, own[i].origin);
        asked(NULL, request, own[i].fine ? 101 : 403, "");
    }
    asked(THRUM_SERVER(.origins = list), TOP "Origin: https://a.test\r\n" WS KEY END, 101, "");
    asked(THRUM_SERVER(.origins = list), TOP "Origin: null\r\n" WS KEY END, 101, "");
    asked(THRUM_SERVER(.origins = list), TOP "Origin: http://a.test\r\n" WS KEY END, 403, "Origin");
    asked(THRUM_SERVER(.origins = list), TOP WS KEY END, 101, "");
    asked(THRUM_SERVER(.origins = any), TOP "Origin: http://x\r\n" WS KEY END, 101, "");
    asked(THRUM_SERVER(.origins = any), TOP "Origin: http://x\r\nOrigin: http://x\r\n" WS KEY END, 403, "");
}

static void test_hosts(void **state)
{
    const char *const hosts[] = {"h.test", "p.test:8080", NULL};
    (void)state;
    asked(THRUM_SERVER(.hosts = hosts), TOP WS KEY END, 101, "");
    asked(THRUM_SERVER(.hosts = hosts), "GET / HTTP/1.1\r\nHost: H.Test:99\r\n" WS KEY END, 101, "");
    asked(THRUM_SERVER(.hosts = hosts), "GET / HTTP/1.1\r\nHost: p.test:8080\r\n" WS KEY END, 101, "");
    asked(THRUM_SERVER(.hosts = hosts), "GET / HTTP/1.1\r\nHost: p.test\r\n" WS KEY END, 403, "Host");
    asked(THRUM_SERVER(.hosts = hosts), "GET / HTTP/1.1\r\nHost: evil\r\n" WS KEY END, 403, "Host");
}

static int decide(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)arg;
    assert_string_equal(thrum_request_peer(r), "test");
    assert_null(thrum_request_header(r, "None", 0));
    assert_status(thrum_reply_header(a, "X-Method", thrum_request_method(r)), THRUM_OK);
    static const char *const bad[][2] = {
        {"a b", "c"},       {"A", "b\r\nC: d"},      {"A", "\n"},
        {"Upgrade", "x"},   {"Content-Length", "1"}, {"sec-websocket-accept", "x"},
        {"Connection", "x"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_status(thrum_reply_header(a, bad[i][0], bad[i][1]), THRUM_E_ARGUMENT);
    if (strcmp(thrum_request_target(r), "/many") == 0) {
        for (int i = 1; i < 64; i++)
            assert_status(thrum_reply_header(a, "X", "y"), THRUM_OK);
        assert_status(thrum_reply_header(a, "X", "y"), THRUM_E_FULL);
    }
    if (strcmp(thrum_request_target(r), "/bad-status") == 0)
        return 42;
    if (strcmp(thrum_request_target(r), "/t") == 0)
        return 0;
    assert_status(thrum_reply_body(a, "te\nxt", "x", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_reply_body(a, "text/html", "<p>", 3), THRUM_OK);
    return 200;
}

static void test_R18_on_request(void **state)
{
    const thrum_server_options *o = THRUM_SERVER(.on_request = decide);
    (void)state;
    asked(o, TOP WS KEY END, 101, "X-Method: GET\r\n");
    asked(o, TOP END, 426, "");
    asked(o, "GET /page HTTP/1.1\r\nHost: h\r\n\r\n", 200,
          "Content-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>");
    asked(o, "HEAD /page HTTP/1.1\r\nHost: h\r\n\r\n", 200, "Content-Length: 3\r\n\r\n");
    assert_null(strstr(out, "<p>"));
    asked(o, "GET /many HTTP/1.1\r\nHost: h\r\n\r\n", 200, "X: y");
    asked(o, "GET /bad-status HTTP/1.1\r\nHost: h\r\n\r\n", 500, "");
    asked(THRUM_SERVER(.server_name = ""), TOP END, 426, "");
    assert_null(strstr(out, "Server:"));
}

static int choose(const thrum_request *r, const char *const *offered, size_t n, void *arg)
{
    (void)r;
    for (size_t i = 0; i < n; i++)
        if (strcmp(offered[i], arg) == 0)
            return (int)i;
    return strcmp(arg, "refuse") == 0 ? -2 : -1;
}

static void test_subprotocols(void **state)
{
    const char *offer = TOP WS KEY "Sec-WebSocket-Protocol: c, a\r\nSec-WebSocket-Protocol: b\r\n" END;
    (void)state;
    asked(THRUM_SERVER(.subprotocols = "a, b"), offer, 101, "Sec-WebSocket-Protocol: a\r\n");
    asked(THRUM_SERVER(.subprotocols = "b, a"), offer, 101, "Sec-WebSocket-Protocol: b\r\n");
    asked(THRUM_SERVER(.subprotocols = "z"), offer, 101, "");
    assert_null(strstr(out, "Protocol:"));
    asked(THRUM_SERVER(.on_subprotocol = choose, .arg = (void *)(uintptr_t) "b"), offer, 101,
          "Sec-WebSocket-Protocol: b\r\n");
    asked(THRUM_SERVER(.on_subprotocol = choose, .arg = (void *)(uintptr_t) "none"), offer, 101, "");
    asked(THRUM_SERVER(.on_subprotocol = choose, .arg = (void *)(uintptr_t) "refuse"), offer, 400,
          "subprotocol");
}

/* conn runs the callbacks itself, without a lock: what comes behind the request waits. */
static void test_R17_deferred_with_frames_behind(void **state)
{
    struct settings s;
    struct decision d;
    thrum_proto *p;
    thrum_event e;
    uint8_t f[64];
    (void)state;
    assert_status(settings_server(&s, NULL, NULL), THRUM_OK);
    assert_status(proto_new_server(&p, &s, &test_host, true, now, NULL), THRUM_OK);
    feed_text(p, TOP WS KEY END);
    assert_non_null(proto_asks(p));
    feed(p, f, frame(f, 0x81, "early", 5, true));
    assert_int_equal(take_out(p, out, sizeof out), 0);
    assert_status(proto_decide(proto_asks(p), &s, &d), THRUM_OK);
    assert_status(proto_answer(p, &d, now), THRUM_OK);
    assert_status(proto_answer(p, &d, now), THRUM_E_STATE);
    decision_free(&d);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    assert_string_equal((const char *)e.message.data, "early");
    thrum_message_release(&e.message);
    assert_status(proto_refuse(p, 503, now), THRUM_E_STATE);
    thrum_proto_free(p);
    assert_status(proto_new_server(&p, &s, &test_host, true, now, NULL), THRUM_OK);
    feed_text(p, "GET / HT");
    assert_status(proto_refuse(p, 503, now), THRUM_OK);
    take_out(p, out, sizeof out);
    assert_memory_equal(out, "HTTP/1.1 503 ", 13);
    thrum_proto_free(p);
    settings_free(&s);
}

/* A name of any length: the answer's head stays whole. */
static void test_long_server_name(void **state)
{
    static char name[2001], want[2100];
    (void)state;
    memset(name, 'n', 2000);
    snprintf(want, sizeof want, "\r\nServer: %s\r\n", name);
    asked(THRUM_SERVER(.server_name = name), TOP END, 426, want);
    assert_non_null(strstr(out, "\r\nContent-Length: "));
    asked(THRUM_SERVER(.server_name = name), TOP WS KEY END, 101, want);
}

static int no_body(const thrum_request *r, thrum_reply *a, void *arg)
{
    static char type[1000];
    memset(type, 't', sizeof type - 1);
    const int *status = arg;
    assert_status(thrum_reply_header(a, "X-Seen", thrum_request_header(r, "HOST", 0)), THRUM_OK);
    assert_status(thrum_reply_body(a, type, "text", *status == 500 ? 4 : 0), THRUM_OK);
    return *status;
}

static void test_statuses_without_a_body(void **state)
{
    static int status[] = {204, 304, 404, 200, 500, 599};
    static const int refused[] = {-1, 1, 100, 199, 600};
    (void)state;
    for (size_t i = 0; i < sizeof status / sizeof status[0]; i++) {
        asked(THRUM_SERVER(.on_request = no_body, .arg = &status[i]), TOP END, status[i],
              "X-Seen: h.test\r\n");
        assert_int_equal(strstr(out, "Content-Length") == NULL, i < 2);
        assert_int_equal(strstr(out, "Content-Type: ttt") == NULL, i < 2);
        assert_string_equal(strstr(out, "\r\n\r\n") + 4, status[i] == 500 ? "text" : "");
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        status[0] = refused[i];
        asked(THRUM_SERVER(.on_request = no_body, .arg = &status[0]), TOP END, 500, "");
    }
}

static int greedy(const thrum_request *r, thrum_reply *a, void *arg)
{
    static char value[8001];
    static const uint8_t body[1];
    thrum_status s = THRUM_OK;
    int n = 0;
    (void)arg;
    memset(value, 'v', sizeof value - 1);
    while (s == THRUM_OK && n < 64)
        n += (s = thrum_reply_header(a, "X", value)) == THRUM_OK;
    assert_int_equal(s, THRUM_E_FULL); /* over 64 KiB, long before 64 fields */
    assert_int_equal(n, 8);
    assert_status(thrum_reply_header(a, "Y", "a short one fits"), THRUM_OK);
    assert_status(thrum_reply_header(NULL, "Y", "y"), THRUM_E_ARGUMENT);
    assert_status(thrum_reply_header(a, NULL, "y"), THRUM_E_ARGUMENT);
    assert_status(thrum_reply_header(a, "Y", NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_reply_header(a, "", "y"), THRUM_E_ARGUMENT);
    assert_status(thrum_reply_body(NULL, NULL, "", 0), THRUM_E_ARGUMENT);
    assert_status(thrum_reply_body(a, NULL, NULL, 1), THRUM_E_ARGUMENT);
    assert_status(thrum_reply_body(a, NULL, body, (16u << 20) + 1), THRUM_E_ARGUMENT); /* not read */
    assert_status(thrum_reply_body(a, NULL, NULL, 0), THRUM_OK);
    assert_status(thrum_reply_body(a, "", "twice", 5), THRUM_OK);
    assert_string_equal(thrum_request_header(r, "x-two", 0), "1");
    assert_string_equal(thrum_request_header(r, "X-Two", 1), "2");
    assert_null(thrum_request_header(r, "X-Two", 2));
    assert_null(thrum_request_header(r, NULL, 0));
    assert_null(thrum_request_header(NULL, "X", 0));
    assert_string_equal(thrum_request_method(NULL), "");
    assert_string_equal(thrum_request_target(NULL), "");
    assert_string_equal(thrum_request_peer(NULL), "");
    return 200;
}

static void test_reply_limits(void **state)
{
    (void)state;
    asked(THRUM_SERVER(.on_request = greedy), TOP "X-Two: 1\r\nA: b\r\nx-two: 2\r\n" END, 200,
          "Y: a short one fits\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\ntwice");
}

/* R14 on the allowed side: a head of 128 fields, of 64 KiB, a line of 8 KiB. */
static void test_R14_what_is_allowed(void **state)
{
    static char head[70000];
    (void)state;
    size_t n = (size_t)snprintf(head, sizeof head, TOP WS KEY);
    for (int i = 5; i < 128; i++)
        n += (size_t)snprintf(head + n, sizeof head - n, "A: b\r\n");
    memcpy(head + n, END, 3);
    asked(NULL, head, 101, "");
    memcpy(head + n, "A: b\r\n\r\n", 9);
    asked(NULL, head, 431, "");
    n = (size_t)snprintf(head, sizeof head, "GET /%08000d HTTP/1.1\r\nHost: h.test\r\n" WS KEY END, 0);
    asked(NULL, head, 101, "");
}

/* R15: lists that are nothing but separators are read in one pass, and mean nothing. */
static void test_R15_lists_of_nothing(void **state)
{
    static char head[70000];
    static const char fill[] = ", \t,\"";
    (void)state;
    for (size_t k = 0; k < sizeof fill - 1; k++) {
        size_t n = (size_t)snprintf(head, sizeof head, TOP WS KEY "Sec-WebSocket-Protocol: a");
        memset(head + n, fill[k], 7000);
        memcpy(head + n + 7000, ",b" END END, 7);
        asked(THRUM_SERVER(.subprotocols = "b"), head, fill[k] == '"' ? 400 : 101, "");
        n = (size_t)snprintf(head, sizeof head, TOP WS KEY "Sec-WebSocket-Extensions: a");
        memset(head + n, fill[k], 7000);
        memcpy(head + n + 7000, "" END END, 5);
        asked(NULL, head, fill[k] == '"' ? 400 : 101, "");
    }
}

/* R17, R28: what comes while the request is decided is kept up to 64 KiB, and no more. */
static void test_R28_bytes_behind_are_bounded(void **state)
{
    static uint8_t d[65536 + 1];
    struct settings s;
    struct decision dec;
    (void)state;
    assert_status(settings_server(&s, NULL, NULL), THRUM_OK);
    for (size_t over = 0; over < 2; over++) {
        thrum_proto *p;
        assert_status(proto_new_server(&p, &s, &test_host, true, now, NULL), THRUM_OK);
        feed_text(p, TOP WS KEY END);
        for (size_t at = 0; at < 65536; at += 4096)
            feed(p, d + at, 4096);
        assert_non_null(proto_asks(p));
        feed(p, d, over);
        if (over) {
            assert_null(proto_asks(p));
            expect_error(p, THRUM_E_HANDSHAKE, 1006);
            assert_true(thrum_proto_flags(p) & THRUM_ENDED);
        } else {
            assert_status(proto_decide(proto_asks(p), &s, &dec), THRUM_OK);
            assert_status(proto_answer(p, &dec, now), THRUM_OK);
            decision_free(&dec);
            expect_error(p, THRUM_E_PROTOCOL, 1002); /* zeroes are no frames of a client's */
        }
        thrum_proto_free(p);
    }
    settings_free(&s);
}

/* The client ends its stream while its request is being decided: it is answered all the same, then it is
 * over. A stream that breaks ends it at once. */
static void test_end_while_deciding(void **state)
{
    static int status = 404;
    struct settings s;
    struct decision d;
    thrum_proto *p;
    (void)state;
    for (int how = 0; how < 3; how++) {
        const thrum_server_options *o = how == 1 ? THRUM_SERVER(.on_request = no_body, .arg = &status) : NULL;
        assert_status(settings_server(&s, o, NULL), THRUM_OK);
        assert_status(proto_new_server(&p, &s, &test_host, true, now, NULL), THRUM_OK);
        feed_text(p, TOP WS KEY END);
        assert_status(proto_decide(proto_asks(p), &s, &d), THRUM_OK);
        (void)thrum_proto_in_end(p, how == 2 ? 104 : 0, now);
        assert_status(proto_answer(p, &d, now), how == 2 ? THRUM_E_STATE : THRUM_OK);
        decision_free(&d);
        assert_null(proto_asks(p));
        size_t n = take_out(p, out, sizeof out);
        assert_int_equal(n > 0, how == 1);
        assert_true(thrum_proto_flags(p) & THRUM_ENDED);
        expect_error(p,
                     how == 0   ? THRUM_E_UNCLEAN
                     : how == 1 ? THRUM_E_REFUSED
                                : THRUM_E_RESET,
                     how == 1 ? 0 : 1006);
        thrum_proto_free(p);
        settings_free(&s);
    }
}

/* R14: the number of subprotocols offered, on both sides of its limit. */
static void test_R14_offers_are_counted(void **state)
{
    char request[1200];
    (void)state;
    for (int n = 128; n <= 129; n++) {
        size_t at = (size_t)snprintf(request, sizeof request, TOP WS KEY);
        for (int i = 0; i < n; i++)
            at += (size_t)snprintf(request + at, sizeof request - at, "%s%d",
                                   i % 64 ? ","
                                   : i    ? "\r\nSec-WebSocket-Protocol: "
                                          : "Sec-WebSocket-Protocol: ",
                                   i);
        snprintf(request + at, sizeof request - at, "\r\n" END);
        asked(THRUM_SERVER(.subprotocols = "127"), request, n == 128 ? 101 : 400,
              n == 128 ? "Sec-WebSocket-Protocol: 127\r\n" : "128");
    }
}

static void test_refuse(void **state)
{
    thrum_error e;
    (void)state;
    thrum_proto *p = new_server(NULL);
    assert_status(proto_refuse(p, 503, now), THRUM_OK);
    assert_status(proto_refuse(p, 503, now), THRUM_E_STATE); /* once */
    thrum_proto_error(p, &e);
    assert_int_equal(e.status, THRUM_E_REFUSED);
    assert_int_equal(e.http_status, 503);
    (void)thrum_proto_in_end(p, 0, now); /* the answer is still written */
    assert_false(thrum_proto_flags(p) & THRUM_ENDED);
    take_out(p, out, sizeof out);
    assert_memory_equal(out, "HTTP/1.1 503 Service Unavailable\r\n", 34);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    assert_status(proto_refuse(p, 503, now), THRUM_E_STATE);
    thrum_proto_free(p);
    p = new_client(NULL, NULL);
    assert_status(proto_refuse(p, 503, now), THRUM_E_STATE);
    thrum_proto_free(p);
    p = open_server(NULL);
    assert_status(proto_refuse(p, 500, now), THRUM_E_STATE);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    thrum_proto_free(p);
}

/* A client that is refused and holds the stream open is not waited for longer than close_timeout. */
static void test_R27_refused_and_not_ended(void **state)
{
    (void)state;
    thrum_proto *p = new_server(THRUM_SERVER(.close_timeout = 100));
    feed_text(p, TOP END);
    take_out(p, out, sizeof out);
    assert_int_equal(thrum_proto_deadline(p), now + 100 * MS);
    feed_text(p, "more");
    now += 100 * MS;
    thrum_proto_tick(p, now);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    thrum_proto_free(p);
    p = new_server(THRUM_SERVER(.close_timeout = THRUM_FOREVER));
    feed_text(p, TOP END);
    assert_int_equal(thrum_proto_deadline(p), INT64_MAX);
    thrum_proto_free(p);
}

/* Origins and hosts whose names only look alike; ports that are the default ones. */
static void test_R20_ports_and_likenesses(void **state)
{
    static const struct {
        const char *host, *origin;
        int status;
    } own[] = {
        {"h.test:80", "http://h.test", 101},
        {"h.test:443", "https://h.test", 101},
        {"h.test:443", "http://h.test", 403},
        {"h.test:80", "https://h.test", 403},
        {"h.test", "http://h.test:80", 101},
        {"h.test", "https://h.test:443", 101},
        {"h.test", "http://h.test:443", 403},
        {"h.test", "http://xh.test", 403},
        {"h.test", "http://h.tes", 403},
        {"h.test", "http://h.test/", 403},
        {"h.test", "http://h.test/path", 403},
        {"h.test", "http://h.test.", 403},
        {"h.test", "NULL", 403},
        {"h.test", "file://", 403},
        {"127.0.0.1:9", "http://localhost:9", 403},
        {"[::1]:9", "http://[::2]:9", 403},
        {"h.test:8080", "http://h.test:80801", 403},
        {"h.test:8080", "http://H.test:8080", 101},
    };
    static const char *const hosts[] = {"h.test:80", "[::1]", NULL};
    char request[600];
    (void)state;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        snprintf(request, sizeof request, "GET /t HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\n" WS KEY END,
                 own[i].host, own[i].origin);
        asked(NULL, request, own[i].status, "");
    }
    asked(THRUM_SERVER(.hosts = hosts), TOP WS KEY END, 101, "");
    asked(THRUM_SERVER(.hosts = hosts), "GET / HTTP/1.1\r\nHost: h.test:81\r\n" WS KEY END, 403, "Host");
    asked(THRUM_SERVER(.hosts = hosts), "GET / HTTP/1.1\r\nHost: [::1]:7\r\n" WS KEY END, 101, "");
    asked(THRUM_SERVER(.hosts = hosts), "GET / HTTP/1.1\r\nHost: h.test.evil\r\n" WS KEY END, 403, "Host");
    /* The Host is judged for every request, also one that a callback would answer. */
    asked(THRUM_SERVER(.hosts = hosts, .on_request = decide), "GET /page HTTP/1.1\r\nHost: evil\r\n" END, 403,
          "Host");
    snprintf(request, sizeof request, "GET /t HTTP/1.1\r\nHost: %0300d\r\n" WS KEY END, 0);
    asked(THRUM_SERVER(.hosts = hosts), request, 403, "Host");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R19_statuses),
        cmocka_unit_test(test_R16_smuggling),
        cmocka_unit_test(test_R14_limits),
        cmocka_unit_test(test_R20_origins),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_R18_on_request),
        cmocka_unit_test(test_subprotocols),
        cmocka_unit_test(test_R17_deferred_with_frames_behind),
        cmocka_unit_test(test_long_server_name),
        cmocka_unit_test(test_statuses_without_a_body),
        cmocka_unit_test(test_reply_limits),
        cmocka_unit_test(test_R14_what_is_allowed),
        cmocka_unit_test(test_R15_lists_of_nothing),
        cmocka_unit_test(test_R28_bytes_behind_are_bounded),
        cmocka_unit_test(test_end_while_deciding),
        cmocka_unit_test(test_R14_offers_are_counted),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_R27_refused_and_not_ended),
        cmocka_unit_test(test_R20_ports_and_likenesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
