/* control_test.c: control frames, keepalive, the closing handshake; time is a number. */
#include "proto_test.h"

static char out[4096];

static void pass(int64_t ms, thrum_proto *p)
{
    now += ms * MS;
    thrum_proto_tick(p, now);
}

static void closing_of(thrum_proto *p, thrum_closing *c)
{
    *c = (thrum_closing){.size = sizeof *c};
    assert_status(thrum_proto_closing(p, c), THRUM_OK);
}

static void test_we_close_first(void **state)
{
    thrum_closing c;
    (void)state;
    thrum_proto *p = open_server(NULL);
    assert_status(thrum_proto_close(p, 3000, (thrum_slice){(const uint8_t *)"so", 2}, now), THRUM_OK);
    assert_status(thrum_proto_close(p, 1000, (thrum_slice){NULL, 0}, now), THRUM_OK); /* again: nothing */
    assert_int_equal(take_out(p, out, sizeof out), 6);
    assert_memory_equal(out, "\x88\x04\x0b\xb8so", 6);
    assert_int_equal(thrum_proto_state(p), THRUM_CLOSING);
    assert_false(thrum_proto_flags(p) & THRUM_MAY_SEND);
    assert_status(thrum_proto_send(p, THRUM_TEXT, (thrum_slice){NULL, 0}, true), THRUM_E_CLOSED);
    say(p, 0x81, "late", 4); /* the peer may still send until its Close */
    say(p, 0x88, "\x0b\xb8", 2);
    say(p, 0x81, "after", 5); /* nothing counts behind it */
    assert_true(thrum_proto_flags(p) & THRUM_SHUT_OUT);
    assert_false(thrum_proto_flags(p) & THRUM_ENDED);
    (void)thrum_proto_in_end(p, 0, now);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    expect_error(p, THRUM_E_CLOSED, 3000);
    closing_of(p, &c);
    assert_int_equal(c.clean, 1);
    assert_int_equal(c.by_peer, 0);
    assert_string_equal(c.sent_reason, "so");
    thrum_event e;
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    assert_string_equal((const char *)e.message.data, "late");
    thrum_message_release(&e.message);
    assert_false(next_of(p, THRUM_EVENT_MESSAGE, &e));
    thrum_proto_free(p);
}

static void test_the_peer_closes_first(void **state)
{
    thrum_closing c;
    (void)state;
    thrum_proto *p = open_client(NULL);
    feed(p,
         "\x88\x05\x03\xe9"
         "bye",
         7);
    size_t n = take_out(p, out, sizeof out);
    assert_int_equal(n, 8);                              /* masked, the code alone */
    assert_false(thrum_proto_flags(p) & THRUM_SHUT_OUT); /* a client waits for the server's end */
    (void)thrum_proto_in_end(p, 0, now);
    expect_error(p, THRUM_E_CLOSED, 1001);
    closing_of(p, &c);
    assert_int_equal(c.by_peer, 1);
    assert_int_equal(c.sent_code, 1001);
    assert_string_equal(c.recv_reason, "bye");
    assert_string_equal(c.sent_reason, "");
    thrum_proto_free(p);
}

static void test_R26_close_payloads(void **state)
{
    static const uint16_t good[] = {1000, 1003, 1007, 1014, 3000, 4999},
                          bad[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000};
    (void)state;
    for (size_t i = 0; i < sizeof good / 2 + sizeof bad / 2; i++) {
        bool fine = i < sizeof good / 2;
        uint16_t code = fine ? good[i] : bad[i - sizeof good / 2];
        thrum_proto *p = open_server(NULL);
        say(p, 0x88, (uint8_t[]){(uint8_t)(code >> 8), (uint8_t)code}, 2);
        take_out(p, out, sizeof out);
        assert_int_equal((uint8_t)out[2] << 8 | (uint8_t)out[3], fine ? code : 1002);
        (void)thrum_proto_in_end(p, 0, now);
        expect_error(p, fine ? THRUM_E_CLOSED : THRUM_E_PROTOCOL, fine ? code : 1002);
        thrum_proto_free(p);
    }
    thrum_proto *p = open_server(NULL);
    say(p, 0x88, "\x03", 1);
    expect_error(p, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(p);
    p = open_server(NULL);
    say(p, 0x88, "\x03\xe8\xff", 3);
    expect_error(p, THRUM_E_UTF8, 1007);
    thrum_proto_free(p);
    p = open_server(NULL);
    say(p, 0x88, "", 0);
    assert_int_equal(take_out(p, out, sizeof out), 2); /* answered in kind */
    thrum_proto_free(p);
}

static void test_close_before_the_handshake(void **state)
{
    (void)state;
    thrum_proto *p = new_client(NULL, NULL);
    assert_status(thrum_proto_close(p, 1000, (thrum_slice){NULL, 0}, now), THRUM_OK);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    expect_error(p, THRUM_E_CANCELLED, 1006);
    thrum_proto_free(p);
}

static void test_R27_unanswered_close(void **state)
{
    (void)state;
    thrum_proto *p = open_client(THRUM_CLIENT(.close_timeout = 100, .ping_interval = THRUM_FOREVER));
    assert_int_equal(thrum_proto_deadline(p), INT64_MAX);
    assert_status(thrum_proto_close(p, 1000, (thrum_slice){NULL, 0}, now), THRUM_OK);
    assert_int_equal(thrum_proto_deadline(p), now + 100 * MS);
    pass(99, p);
    assert_int_equal(thrum_proto_state(p), THRUM_CLOSING);
    pass(1, p);
    expect_error(p, THRUM_E_UNCLEAN, 1006);
    thrum_proto_free(p);
}

static void test_stream_ends_without_close(void **state)
{
    (void)state;
    thrum_proto *p = open_client(NULL), *q = open_client(NULL);
    (void)thrum_proto_in_end(p, 0, now);
    expect_error(p, THRUM_E_UNCLEAN, 1006);
    (void)thrum_proto_in_end(q, 104, now); /* ECONNRESET */
    expect_error(q, THRUM_E_RESET, 1006);
    thrum_proto_free(p);
    thrum_proto_free(q);
}

static void test_keepalive(void **state)
{
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.ping_interval = 100, .ping_timeout = 50));
    pass(99, p);
    assert_int_equal(take_out(p, out, sizeof out), 0);
    pass(1, p);
    assert_int_equal(take_out(p, out, sizeof out), 10);
    assert_int_equal((uint8_t)out[0], 0x89);
    pass(49, p);
    say(p, 0x01, "any byte will do", 4); /* "heard anything" is a sign of life */
    pass(60, p);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    pass(40, p);
    assert_int_equal(take_out(p, out, sizeof out), 10);
    pass(50, p);
    expect_error(p, THRUM_E_UNCLEAN, 1011);
    take_out(p, out, sizeof out);
    assert_int_equal((uint8_t)out[2] << 8 | (uint8_t)out[3], 1011);
    pass(1000, p); /* a dead peer is not waited for as a living one */
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    thrum_proto_free(p);
}

static void test_paused_by_us_is_not_the_peers_silence(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.recv_high = 10, .ping_interval = 100, .ping_timeout = 50));
    say(p, 0x82, "0123456789", 10);
    assert_false(thrum_proto_flags(p) & THRUM_WANT_IN);
    for (int i = 0; i < 10; i++) {
        pass(100, p);
        assert_int_equal(take_out(p, out, sizeof out), 2); /* an unasked pong: we live */
        assert_int_equal((uint8_t)out[0], 0x8a);
    }
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    thrum_message_release(&e.message);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN);
    pass(10, p);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    thrum_proto_free(p);
}

static void test_R29_pongs_do_not_pile_up(void **state)
{
    (void)state;
    thrum_proto *p = open_server(NULL);
    for (int i = 0; i < 10000; i++)
        say(p, 0x89, &(uint8_t){(uint8_t)i}, 1);
    assert_int_equal(proto_pending(p), 3);
    assert_int_equal(take_out(p, out, sizeof out), 3);
    assert_int_equal((uint8_t)out[2], (uint8_t)9999); /* the latest */
    thrum_proto_free(p);
}

static void test_pings_of_ours(void **state)
{
    uint64_t a, b, c;
    (void)state;
    thrum_proto *p = open_server(NULL);
    assert_status(thrum_proto_ping(p, (thrum_slice){(const uint8_t *)"a", 1}, now, &a), THRUM_OK);
    assert_status(thrum_proto_ping(p, (thrum_slice){(const uint8_t *)"b", 1}, now, &b), THRUM_OK);
    assert_status(thrum_proto_ping(p, (thrum_slice){(const uint8_t *)"c", 1}, now, &c), THRUM_OK);
    say(p, 0x8a, "unasked", 7);
    assert_true(thrum_proto_ponged(p) < a);
    now += 5 * MS;
    say(p, 0x8a, "b", 1); /* answers the one before it, too */
    assert_int_equal(thrum_proto_ponged(p), b);
    assert_int_equal(proto_latency(p), 5 * MS);
    for (int i = 0; i < 63; i++)
        assert_status(thrum_proto_ping(p, (thrum_slice){NULL, 0}, now, NULL), THRUM_OK);
    assert_status(thrum_proto_ping(p, (thrum_slice){NULL, 0}, now, NULL), THRUM_E_FULL);
    thrum_proto_free(p);
}

static void test_handshake_deadline(void **state)
{
    (void)state;
    thrum_proto *p = new_server(THRUM_SERVER(.open_timeout = 100));
    pass(100, p);
    expect_error(p, THRUM_E_TIMEOUT, 0);
    thrum_proto_free(p);
    p = new_server(THRUM_SERVER(.open_timeout = 100, .close_timeout = 10));
    feed_text(p, "GET / HT");
    pass(100, p);
    take_out(p, out, sizeof out);
    assert_memory_equal(out, "HTTP/1.1 408 ", 13);
    pass(10, p);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    thrum_proto_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_we_close_first),
        cmocka_unit_test(test_the_peer_closes_first),
        cmocka_unit_test(test_R26_close_payloads),
        cmocka_unit_test(test_close_before_the_handshake),
        cmocka_unit_test(test_R27_unanswered_close),
        cmocka_unit_test(test_stream_ends_without_close),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_paused_by_us_is_not_the_peers_silence),
        cmocka_unit_test(test_R29_pongs_do_not_pile_up),
        cmocka_unit_test(test_pings_of_ours),
        cmocka_unit_test(test_handshake_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
