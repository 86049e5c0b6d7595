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
    assert_int_equal(proto_pending(p), 16 * 3);
    assert_int_equal(take_out(p, out, sizeof out), 16 * 3);
    for (int i = 0; i < 16; i++) /* the latest, in order */
        assert_int_equal((uint8_t)out[i * 3 + 2], (uint8_t)(9984 + i));
    for (int i = 0; i < 16; i++)
        say(p, 0x89, &(uint8_t){(uint8_t)i}, 1);
    assert_int_equal(take_out(p, out, sizeof out), 16 * 3); /* so many are all answered */
    assert_int_equal((uint8_t)out[2], 0);
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

static const thrum_slice none = {NULL, 0};

/* Both Closes cross on the wire: each side says its own, none answers again. */
static void test_closes_cross(void **state)
{
    (void)state;
    thrum_proto *a = open_client(NULL), *b = open_server(NULL);
    assert_status(thrum_proto_close(a, 3000, slice_of("from a"), now), THRUM_OK);
    assert_status(thrum_proto_close(b, 4000, slice_of("from b"), now), THRUM_OK);
    pump(a, b);
    assert_int_equal(thrum_proto_flags(a) & THRUM_SHUT_OUT, 0);
    assert_int_equal(thrum_proto_flags(b) & THRUM_SHUT_OUT, THRUM_SHUT_OUT);
    (void)thrum_proto_in_end(a, 0, now);
    (void)thrum_proto_in_end(b, 0, now);
    expect_error(a, THRUM_E_CLOSED, 4000);
    expect_error(b, THRUM_E_CLOSED, 3000);
    thrum_closing c;
    closing_of(a, &c);
    assert_int_equal(c.sent_code, 3000);
    assert_int_equal(c.recv_code, 4000);
    assert_string_equal(c.sent_reason, "from a");
    assert_string_equal(c.recv_reason, "from b");
    assert_true(c.clean);
    thrum_stats s = {.size = sizeof s};
    proto_stats(a, &s);
    assert_int_equal(s.queued_out, 0);
    thrum_proto_free(a);
    thrum_proto_free(b);
}

static void test_close_without_a_code(void **state)
{
    thrum_closing c;
    (void)state;
    thrum_proto *a = open_client(NULL), *b = open_server(NULL);
    assert_status(thrum_proto_close(a, 0, none, now), THRUM_OK);
    pump(a, b);
    (void)thrum_proto_in_end(a, 0, now);
    expect_error(a, THRUM_E_CLOSED, 1005);
    closing_of(a, &c);
    assert_int_equal(c.sent_code, 1005);
    assert_int_equal(c.recv_code, 1005);
    closing_of(b, &c);
    assert_int_equal(c.by_peer, 1);
    c.size = sizeof c - 8;
    assert_status(thrum_proto_closing(b, &c), THRUM_E_ARGUMENT);
    thrum_proto_free(a);
    thrum_proto_free(b);
}

static void test_R26_what_close_refuses(void **state)
{
    static const uint16_t bad[] = {1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535};
    char reason[125];
    (void)state;
    memset(reason, 'r', sizeof reason);
    thrum_proto *p = open_server(NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_status(thrum_proto_close(p, bad[i], none, now), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_close(p, 1000, (thrum_slice){(uint8_t *)reason, 124}, now), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_close(p, 1000, slice_of("\xff"), now), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_close(p, 1000, slice_of("cut \xc3"), now), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_close(p, 1000, (thrum_slice){NULL, 1}, now), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_close(p, 0, slice_of("why"), now), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_close(NULL, 1000, none, now), THRUM_E_ARGUMENT);
    assert_int_equal(take_out(p, out, sizeof out), 0); /* nothing of it was sent */
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    assert_status(thrum_proto_close(p, 4999, (thrum_slice){(uint8_t *)reason, 123}, now), THRUM_OK);
    assert_int_equal(take_out(p, out, sizeof out), 127);
    thrum_closing c;
    closing_of(p, &c);
    assert_int_equal(strlen(c.sent_reason), 123);
    thrum_proto_free(p);
}

/* A reason of the greatest length, from the peer. */
static void test_R26_longest_reason(void **state)
{
    uint8_t d[125];
    thrum_closing c;
    thrum_event e;
    (void)state;
    memset(d, 'q', sizeof d);
    d[0] = 0x0f;
    d[1] = 0xa0;
    thrum_proto *p = open_server(NULL);
    say(p, 0x88, d, sizeof d);
    closing_of(p, &c);
    assert_int_equal(c.recv_code, 4000);
    assert_int_equal(strlen(c.recv_reason), 123);
    assert_true(next_of(p, THRUM_EVENT_CLOSE, &e));
    assert_int_equal(e.code, 4000);
    assert_int_equal(e.message.len, 123);
    thrum_message_release(&e.message);
    thrum_proto_free(p);
}

/* The peer's Close drops our data that has not begun, and ends a frame that has before ours is said. */
static void test_the_peers_close_and_our_queue(void **state)
{
    (void)state;
    thrum_proto *p = open_server(NULL);
    thrum_slice v;
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("begun"), true), THRUM_OK);
    assert_int_equal(thrum_proto_out(p, &v, 1), 1);
    thrum_proto_out_done(p, 1, now);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("fresh"), true), THRUM_OK);
    say(p, 0x88, "\x03\xe8", 2);
    (void)thrum_proto_in_end(p, 0, now); /* the answer is on its way still */
    assert_false(thrum_proto_flags(p) & THRUM_ENDED);
    assert_false(thrum_proto_flags(p) & THRUM_SHUT_OUT);
    assert_int_equal(take_out(p, out, sizeof out), 6 + 4);
    assert_memory_equal(out,
                        "\x05"
                        "begun\x88\x02\x03\xe8",
                        10);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    expect_error(p, THRUM_E_CLOSED, 1000);
    thrum_proto_free(p);
}

static void test_nothing_passes_a_close(void **state)
{
    (void)state;
    thrum_proto *p = open_server(NULL);
    assert_status(thrum_proto_close(p, 1000, none, now), THRUM_OK);
    assert_status(thrum_proto_ping(p, none, now, NULL), THRUM_E_CLOSED);
    assert_status(thrum_proto_pong(p, none), THRUM_E_CLOSED);
    say(p, 0x89, "not answered", 12);
    assert_int_equal(take_out(p, out, sizeof out), 4);
    thrum_event e;
    assert_true(next_of(p, THRUM_EVENT_PING, &e));
    thrum_message_release(&e.message);
    thrum_proto_free(p);
}

static void test_broken_stream_in_closing(void **state)
{
    (void)state;
    thrum_proto *p = open_client(NULL), *q = open_client(NULL), *r = open_client(NULL);
    assert_status(thrum_proto_close(p, 1000, none, now), THRUM_OK);
    (void)thrum_proto_in_end(p, 0, now); /* our Close was not answered */
    expect_error(p, THRUM_E_UNCLEAN, 1006);
    feed(q, "\x88\x02\x0f\xa0", 4);
    (void)thrum_proto_in_end(q, 104, now); /* both are known: a reset changes nothing */
    expect_error(q, THRUM_E_CLOSED, 4000);
    assert_true(thrum_proto_flags(q) & THRUM_ENDED);
    feed(r, "\x88\x02\x0f\xa0", 4);
    proto_out_end(r, 32, now); /* it did not wait for our answer */
    expect_error(r, THRUM_E_CLOSED, 4000);
    thrum_proto_free(p);
    thrum_proto_free(q);
    thrum_proto_free(r);
    p = open_client(NULL);
    proto_out_end(p, 32, now);
    expect_error(p, THRUM_E_RESET, 1006);
    thrum_error e;
    thrum_proto_error(p, &e);
    assert_int_equal(e.os_errno, 32);
    thrum_proto_free(p);
}

/* A peer that has said Close and then holds the stream open. */
static void test_R27_stream_that_does_not_end(void **state)
{
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.close_timeout = 100));
    say(p, 0x88, "\x03\xe8", 2);
    take_out(p, out, sizeof out);
    assert_int_equal(thrum_proto_deadline(p), now + 100 * MS);
    pass(99, p);
    assert_false(thrum_proto_flags(p) & THRUM_ENDED);
    pass(1, p);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    expect_error(p, THRUM_E_CLOSED, 1000);
    assert_int_equal(thrum_proto_deadline(p), INT64_MAX);
    pass(1000, p); /* nothing more */
    thrum_proto_free(p);
}

/* After an error of the peer's our Close is written, then it has close_timeout to end the stream. */
static void test_R27_failed_and_not_ended(void **state)
{
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.close_timeout = 100));
    say(p, 0x83, "", 0);
    assert_int_equal(take_out(p, out, sizeof out) > 4, 1);
    assert_true(thrum_proto_flags(p) & THRUM_SHUT_OUT);
    say(p, 0x81, "not read", 8);
    pass(100, p);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    expect_error(p, THRUM_E_PROTOCOL, 1002); /* the first error stays */
    thrum_proto_free(p);
}

static void test_ping_refusals(void **state)
{
    static const uint8_t d[126];
    uint64_t seq = 7;
    (void)state;
    thrum_proto *p = new_server(NULL);
    assert_status(thrum_proto_ping(p, none, now, &seq), THRUM_E_STATE);
    assert_status(thrum_proto_pong(p, none), THRUM_E_STATE);
    thrum_proto_free(p);
    p = open_client(NULL);
    assert_status(thrum_proto_ping(p, (thrum_slice){d, 126}, now, &seq), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_ping(p, (thrum_slice){NULL, 1}, now, &seq), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_pong(p, (thrum_slice){d, 126}), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_pong(p, (thrum_slice){NULL, 1}), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_ping(NULL, none, now, &seq), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_pong(NULL, none), THRUM_E_ARGUMENT);
    random_fails = 1;
    assert_status(thrum_proto_ping(p, slice_of("x"), now, &seq), THRUM_E_SYSTEM); /* no mask */
    assert_status(thrum_proto_ping(p, none, now, &seq), THRUM_E_SYSTEM);          /* no payload */
    random_fails = 0;
    assert_int_equal(seq, 7);
    assert_int_equal(take_out(p, out, sizeof out), 0);
    assert_status(thrum_proto_ping(p, (thrum_slice){d, 125}, now, &seq), THRUM_OK);
    assert_int_equal(seq, 1);
    assert_status(thrum_proto_pong(p, (thrum_slice){d, 125}), THRUM_OK);
    assert_int_equal(take_out(p, out, sizeof out), 2 * (6 + 125));
    thrum_proto_free(p);
}

/* Two pings of the same payload: the answer is to the later one, and so to both. */
static void test_equal_pings(void **state)
{
    uint64_t a, b;
    (void)state;
    thrum_proto *p = open_server(NULL), *q = open_client(NULL);
    assert_int_equal(proto_latency(p), -1);
    assert_status(thrum_proto_ping(p, slice_of("same"), now, &a), THRUM_OK);
    now += 3 * MS;
    assert_status(thrum_proto_ping(p, slice_of("same"), now, &b), THRUM_OK);
    now += 4 * MS;
    pump(p, q);
    assert_int_equal(thrum_proto_ponged(p), b);
    assert_int_equal(proto_latency(p), 4 * MS);
    assert_status(thrum_proto_ping(p, (thrum_slice){(const uint8_t *)"", 0}, now, &a), THRUM_OK);
    pump(p, q);
    assert_int_equal(thrum_proto_ponged(p), a); /* an empty payload is one, too */
    thrum_proto_free(p);
    thrum_proto_free(q);
}

/* 64 at once, and again after an answer to the 63rd. */
static void test_64_pings(void **state)
{
    uint64_t seq = 0;
    (void)state;
    thrum_proto *p = open_server(NULL);
    for (uint8_t i = 0; i < 64; i++)
        assert_status(thrum_proto_ping(p, (thrum_slice){&i, 1}, now, &seq), THRUM_OK);
    assert_int_equal(seq, 64);
    assert_status(thrum_proto_ping(p, none, now, &seq), THRUM_E_FULL);
    say(p, 0x8a, &(uint8_t){62}, 1);
    assert_int_equal(thrum_proto_ponged(p), 63);
    for (uint8_t i = 0; i < 63; i++)
        assert_status(thrum_proto_ping(p, (thrum_slice){&i, 1}, now, &seq), THRUM_OK);
    assert_status(thrum_proto_ping(p, none, now, &seq), THRUM_E_FULL);
    say(p, 0x8a, &(uint8_t){63}, 1); /* the one that was left over is still known */
    assert_int_equal(thrum_proto_ponged(p), 64);
    thrum_proto_free(p);
}

/* R29: the pong that has begun stays, behind it only the latest wait. */
static void test_R29_begun_pong_is_finished(void **state)
{
    thrum_slice v;
    thrum_stats s = {.size = sizeof s};
    (void)state;
    thrum_proto *p = open_server(NULL);
    say(p, 0x89, "first", 5);
    assert_int_equal(thrum_proto_out(p, &v, 1), 1);
    thrum_proto_out_done(p, 1, now);
    for (int i = 0; i < 100; i++)
        say(p, 0x89, "next", 4);
    say(p, 0x89, "last", 4);
    assert_int_equal(take_out(p, out, sizeof out), 6 + 16 * 6);
    assert_memory_equal(out,
                        "\x05"
                        "first\x8a\x04"
                        "next",
                        12);
    assert_memory_equal(out + 6 + 15 * 6, "\x8a\x04last", 6);
    proto_stats(p, &s);
    assert_int_equal(s.pings_in, 102);
    assert_int_equal(s.pongs_out, 17); /* what was dropped was not sent */
    thrum_proto_free(p);
}

static void test_ping_out_when_reading_pauses(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.recv_high = 10, .ping_interval = 100, .ping_timeout = 50));
    pass(100, p);
    assert_int_equal(take_out(p, out, sizeof out), 10); /* the ping */
    now += 10 * MS;
    say(p, 0x82, "0123456789", 10); /* pauses; it was heard */
    pass(60, p);                    /* the ping's time is over, but nobody listens */
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    pass(40, p);
    assert_int_equal((size_t)take_out(p, out, sizeof out), 2);
    pass(100, p); /* a pong waits already: not another */
    pass(100, p);
    assert_int_equal(take_out(p, out, sizeof out), 2);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    thrum_message_release(&e.message);
    pass(99, p); /* the silence is counted from here */
    assert_int_equal(take_out(p, out, sizeof out), 0);
    pass(1, p);
    assert_int_equal(take_out(p, out, sizeof out), 10);
    thrum_proto_free(p);
}

/* Without randomness no ping can be sent (a client masks it): the next interval tries again. */
static void test_keepalive_without_randomness(void **state)
{
    (void)state;
    thrum_proto *p = open_client(THRUM_CLIENT(.ping_interval = 100, .ping_timeout = 50));
    random_fails = 1;
    pass(100, p);
    assert_int_equal(thrum_proto_deadline(p), now + 100 * MS);
    random_fails = 0;
    pass(100, p);
    assert_int_equal(take_out(p, out, sizeof out), 14);
    assert_int_equal(thrum_proto_deadline(p), now + 50 * MS);
    thrum_proto_free(p);
}

/* The keepalive's end does not wait longer than close_timeout, nor than a second. */
static void test_keepalive_end_is_short(void **state)
{
    static const thrum_span given[] = {300, 5000, THRUM_FOREVER};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        thrum_proto *p =
            open_server(THRUM_SERVER(.ping_interval = 100, .ping_timeout = 50, .close_timeout = given[i]));
        pass(100, p);
        pass(50, p);
        expect_error(p, THRUM_E_UNCLEAN, 1011);
        assert_int_equal(thrum_proto_deadline(p), now + (i ? 1000 : 300) * MS);
        thrum_proto_free(p);
    }
    thrum_proto *p = open_server(THRUM_SERVER(.ping_interval = 100, .ping_timeout = THRUM_FOREVER));
    pass(100, p);
    assert_int_equal(thrum_proto_deadline(p), INT64_MAX);
    pass(1000000, p);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    thrum_proto_free(p);
}

/* R30: before the deadline a tick does nothing; at it, the next one is later. So nothing spins. */
static void test_R30_deadlines_move_on(void **state)
{
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        thrum_proto *p = kind == 0   ? new_server(NULL)
                         : kind == 1 ? new_client(NULL, NULL)
                         : kind == 2 ? open_client(NULL)
                                     : open_server(THRUM_SERVER(.recv_high = 1));
        if (kind == 3)
            say(p, 0x82, "pauses", 6);
        if (kind == 4)
            assert_status(thrum_proto_close(p, 1000, none, now), THRUM_OK);
        if (kind == 5)
            say(p, 0x83, "", 0);
        int ticks = 0;
        while (thrum_proto_deadline(p) != INT64_MAX && ticks++ < 20) {
            thrum_time at = thrum_proto_deadline(p);
            thrum_state was = thrum_proto_state(p);
            now = at - 1;
            thrum_proto_tick(p, now);
            assert_int_equal(thrum_proto_state(p), was);
            assert_int_equal(thrum_proto_deadline(p), at);
            now = at;
            thrum_proto_tick(p, now);
            assert_true(thrum_proto_deadline(p) > now);
        }
        assert_true(kind == 3 ? ticks > 20 : thrum_proto_state(p) == THRUM_CLOSED);
        thrum_proto_free(p);
    }
}

static void test_what_the_handshake_waited_for(void **state)
{
    struct settings s;
    thrum_error e;
    thrum_proto *p;
    (void)state;
    assert_status(settings_server(&s, THRUM_SERVER(.open_timeout = 100), NULL), THRUM_OK);
    assert_status(proto_new_server(&p, &s, &test_host, true, now, NULL), THRUM_OK);
    feed_text(p, good_request);
    pass(99, p);
    assert_int_equal(thrum_proto_state(p), THRUM_CONNECTING);
    pass(1, p);
    thrum_proto_error(p, &e);
    assert_int_equal(e.status, THRUM_E_TIMEOUT);
    assert_non_null(strstr(e.text, "decided"));
    thrum_proto_free(p);
    settings_free(&s);
    p = new_client(THRUM_CLIENT(.open_timeout = 100), NULL);
    feed_text(p, "HTTP/1.1 101");
    pass(100, p);
    thrum_proto_error(p, &e);
    assert_int_equal(e.status, THRUM_E_TIMEOUT);
    assert_non_null(strstr(e.text, "not whole"));
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    thrum_proto_free(p);
    p = new_client(THRUM_CLIENT(.open_timeout = THRUM_FOREVER), NULL);
    assert_int_equal(thrum_proto_deadline(p), INT64_MAX);
    thrum_proto_free(p);
}

/* The peer's Close cannot be answered: no randomness for a mask, or no memory. It ends here, and once. */
static void test_close_that_cannot_be_answered(void **state)
{
    (void)state;
    thrum_proto *p = open_client(NULL);
    random_fails = 1;
    feed(p, "\x88\x02\x03\xe8", 4);
    random_fails = 0;
    assert_int_equal(thrum_proto_state(p), THRUM_CLOSED);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    expect_error(p, THRUM_E_SYSTEM, 1000);
    thrum_proto_free(p);
    bool answered = false;
    for (size_t nth = 0; !answered; nth++) {
        assert_true(nth < 10);
        count_memory(SIZE_MAX, 0);
        p = open_server(NULL);
        fail_from = asked_for + nth;
        fail_to = SIZE_MAX;
        say(p, 0x88, "\x03\xe8", 2);
        answered = thrum_proto_state(p) == THRUM_CLOSING;
        if (!answered) {
            assert_int_equal(thrum_proto_state(p), THRUM_CLOSED);
            expect_error(p, THRUM_E_MEMORY, 1000);
        }
        thrum_proto_free(p);
        stop_counting();
    }
}

/* The user's own pongs are all sent; answers to pings are not mixed up with them. */
static void test_own_pongs_are_kept(void **state)
{
    (void)state;
    thrum_proto *p = open_server(NULL);
    assert_status(thrum_proto_pong(p, slice_of("one")), THRUM_OK);
    assert_status(thrum_proto_pong(p, slice_of("two")), THRUM_OK);
    say(p, 0x89, "a", 1);
    for (int i = 0; i < 16; i++)
        say(p, 0x89, "b", 1);
    assert_int_equal(take_out(p, out, sizeof out), 10 + 16 * 3);
    assert_memory_equal(out,
                        "\x8a\x03"
                        "one\x8a\x03"
                        "two\x8a\x01"
                        "b",
                        13);
    thrum_proto_free(p);
}

/* An answer that cannot be kept does not cost the one before it. */
static void test_pong_without_memory(void **state)
{
    (void)state;
    count_memory(SIZE_MAX, 0);
    thrum_proto *p = open_server(NULL);
    say(p, 0x89, "first", 5);
    fail_from = asked_for;
    fail_to = SIZE_MAX;
    say(p, 0x89, "second", 6);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    assert_int_equal(take_out(p, out, sizeof out), 7);
    assert_memory_equal(out,
                        "\x8a\x05"
                        "first",
                        7);
    thrum_proto_free(p);
    stop_counting();
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
        cmocka_unit_test(test_closes_cross),
        cmocka_unit_test(test_close_without_a_code),
        cmocka_unit_test(test_R26_what_close_refuses),
        cmocka_unit_test(test_R26_longest_reason),
        cmocka_unit_test(test_the_peers_close_and_our_queue),
        cmocka_unit_test(test_nothing_passes_a_close),
        cmocka_unit_test(test_broken_stream_in_closing),
        cmocka_unit_test(test_R27_stream_that_does_not_end),
        cmocka_unit_test(test_R27_failed_and_not_ended),
        cmocka_unit_test(test_ping_refusals),
        cmocka_unit_test(test_equal_pings),
        cmocka_unit_test(test_64_pings),
        cmocka_unit_test(test_R29_begun_pong_is_finished),
        cmocka_unit_test(test_ping_out_when_reading_pauses),
        cmocka_unit_test(test_keepalive_without_randomness),
        cmocka_unit_test(test_keepalive_end_is_short),
        cmocka_unit_test(test_R30_deadlines_move_on),
        cmocka_unit_test(test_what_the_handshake_waited_for),
        cmocka_unit_test(test_close_that_cannot_be_answered),
        cmocka_unit_test(test_own_pongs_are_kept),
        cmocka_unit_test(test_pong_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
