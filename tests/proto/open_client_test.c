/* open_client_test.c: the client's handshake: what it sends, and each way in which an answer may be wrong
 * (R19). */
#include "proto_test.h"

static char out[8192];

static void test_request(void **state)
{
    const char *const headers[] = {"X-A", "1", NULL};
    thrum_proto *p;
    thrum_error e;
    (void)state;
    assert_status(thrum_proto_client(&p, "ws://h.test:8080?x=1",
                                     THRUM_CLIENT(.origin = "http://o", .subprotocols = "a,b",
                                                  .headers = headers, .user_agent = ""),
                                     &test_host, now, &e),
                  THRUM_OK);
    take_out(p, out, sizeof out);
    assert_memory_equal(out, "GET /?x=1 HTTP/1.1\r\nHost: h.test:8080\r\n", 39);
    assert_non_null(strstr(out, "Upgrade: websocket\r\nConnection: Upgrade\r\n"));
    assert_non_null(strstr(out, "Sec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(out, "Origin: http://o\r\n"));
    assert_non_null(strstr(out, "Sec-WebSocket-Protocol: a, b\r\n"));
    assert_non_null(strstr(out, "X-A: 1\r\n"));
    assert_null(strstr(out, "User-Agent"));
    assert_string_equal(out + strlen(out) - 4, "\r\n\r\n");
    assert_string_equal(thrum_proto_target(p), "/?x=1");
    thrum_proto_free(p);
    random_fails = 1;
    assert_status(thrum_proto_client(&p, "ws://h/", NULL, &test_host, now, &e), THRUM_E_SYSTEM);
    random_fails = 0;
    assert_status(thrum_proto_client(&p, "ws://u:p@h/", NULL, &test_host, now, &e), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_client(&p, "nothing", NULL, &test_host, now, &e), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_client(&p, "ws://h/", NULL, NULL, now, &e), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_client(NULL, "ws://h/", NULL, &test_host, now, &e), THRUM_E_ARGUMENT);
}

/* %s is the right value of Sec-WebSocket-Accept. */
static void answered(const char *format, thrum_status want, int http, const char *says)
{
    char accept[29], answer[2000];
    thrum_error e;
    for (int cut = 0; cut < 2; cut++) {
        thrum_proto *p = new_client(THRUM_CLIENT(.subprotocols = "a, b"), accept);
        snprintf(answer, sizeof answer, format, accept);
        if (cut)
            for (char *c = answer; *c; c++)
                feed(p, c, 1);
        else
            feed_text(p, answer);
        if (want != THRUM_OK)
            (void)thrum_proto_in_end(p, 0, now);
        thrum_proto_error(p, &e);
        if (e.status != want || e.http_status != http || !strstr(e.text, says))
            fail_msg("%s\n-> %s %d \"%s\"", answer, thrum_status_name(e.status), e.http_status, e.text);
        assert_int_equal(thrum_proto_state(p), want == THRUM_OK ? THRUM_OPEN : THRUM_CLOSED);
        thrum_proto_free(p);
    }
}

#define UP   "Upgrade: websocket\r\n"
#define CON  "Connection: Upgrade\r\n"
#define ACC  "Sec-WebSocket-Accept: %s\r\n"
#define S101 "HTTP/1.1 101 Switching Protocols\r\n"

static void test_R19_answers(void **state)
{
    (void)state;
    answered(S101 UP CON ACC "\r\n", THRUM_OK, 0, "");
    answered("HTTP/1.1 101\r\n" UP "Connection: keep-alive, upgrade\r\n" ACC "\r\n", THRUM_OK, 0, "");
    answered("HTTP/1.1 100 Continue\r\n\r\n" S101 UP CON ACC "\r\n", THRUM_OK, 0, "");
    answered(S101 UP CON ACC "Sec-WebSocket-Protocol: b\r\n\r\n", THRUM_OK, 0, "");
    answered("HTTP/1.0 101 S\r\n" UP CON ACC "\r\n", THRUM_E_HANDSHAKE, 101, "1.0");
    answered(S101 CON ACC "\r\n", THRUM_E_HANDSHAKE, 101, "Upgrade");
    answered(S101 "Upgrade: h2c\r\n" CON ACC "\r\n", THRUM_E_HANDSHAKE, 101, "Upgrade");
    answered(S101 UP UP CON ACC "\r\n", THRUM_E_HANDSHAKE, 101, "Upgrade");
    answered(S101 UP ACC "\r\n", THRUM_E_HANDSHAKE, 101, "Connection");
    answered(S101 UP CON "\r\n", THRUM_E_HANDSHAKE, 101, "Accept");
    answered(S101 UP CON ACC "Sec-WebSocket-Accept: x\r\n\r\n", THRUM_E_HANDSHAKE, 101, "Accept");
    answered(S101 UP CON "Sec-WebSocket-Accept: x%s\r\n\r\n", THRUM_E_HANDSHAKE, 101, "Accept");
    answered(S101 UP CON ACC "Sec-WebSocket-Protocol: c\r\n\r\n", THRUM_E_HANDSHAKE, 101, "subprotocol");
    answered(S101 UP CON ACC "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n\r\n",
             THRUM_E_HANDSHAKE, 101, "two");
    answered(S101 UP CON ACC "Sec-WebSocket-Extensions: x-other\r\n\r\n", THRUM_E_HANDSHAKE, 101,
             "extension");
    answered(S101 UP CON ACC "Sec-WebSocket-Extensions: ;\r\n\r\n", THRUM_E_HANDSHAKE, 101, "malformed");
    answered("ICY 200 OK\r\n\r\n", THRUM_E_HANDSHAKE, 0, "HTTP");
    answered("HTTP/1.1 101 S\n\n", THRUM_E_HANDSHAKE, 0, "LF");
    answered("", THRUM_E_UNCLEAN, 0, "handshake");
}

static void test_refusals_can_be_read(void **state)
{
    (void)state;
    answered("HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nwho?\nsays", THRUM_E_REFUSED, 401,
             "401 Unauthorized: who?");
    answered("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", THRUM_E_REFUSED, 302,
             "302 Found");
    answered("HTTP/1.1 500 Oops\r\n\r\nto the end", THRUM_E_REFUSED, 500, "to the end");
    answered("HTTP/1.1 403 F\r\n\r\n\x1b[31mred", THRUM_E_REFUSED, 403, "\\x1b[31mred");
    answered("HTTP/1.1 204 N\r\n\r\n", THRUM_E_REFUSED, 204, "204");
}

static void test_interim_answers_end(void **state)
{
    thrum_proto *p = new_client(NULL, NULL);
    (void)state;
    for (int i = 0; i < 9; i++)
        feed_text(p, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    expect_error(p, THRUM_E_HANDSHAKE, 0);
    thrum_proto_free(p);
}

static void test_R17_frames_in_the_same_packet(void **state)
{
    char accept[29], answer[400];
    thrum_event e;
    thrum_proto *p = new_client(NULL, accept);
    (void)state;
    snprintf(answer, sizeof answer, S101 UP CON ACC "\r\n\x81\x02ok", accept);
    feed_text(p, answer);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    assert_string_equal((const char *)e.message.data, "ok");
    thrum_message_release(&e.message);
    thrum_proto_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_R19_answers),
        cmocka_unit_test(test_refusals_can_be_read),
        cmocka_unit_test(test_interim_answers_end),
        cmocka_unit_test(test_R17_frames_in_the_same_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
