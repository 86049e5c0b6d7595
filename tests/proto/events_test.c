/* events_test.c: the queue of what the peer said, its water marks, and taking messages in parts. */
#include "proto_test.h"

static void test_water_mark_in_messages(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_server(NULL);
    for (int i = 0; i < 15; i++)
        say(p, 0x82, "m", 1);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN);
    say(p, 0x82, "m", 1);
    assert_false(thrum_proto_flags(p) & THRUM_WANT_IN);
    for (int left = 15; left >= 4; left--) {
        assert_false(thrum_proto_flags(p) & THRUM_WANT_IN);
        assert_true(thrum_proto_event(p, &e));
        thrum_message_release(&e.message);
    }
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN); /* at four, not before */
    thrum_proto_free(p);
}

static void test_water_mark_in_bytes(void **state)
{
    thrum_event e;
    char d[60] = "";
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.recv_high = 100, .recv_low = 50));
    say(p, 0x82, d, 60);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN);
    say(p, 0x82, d, 40);
    assert_false(thrum_proto_flags(p) & THRUM_WANT_IN);
    assert_true(thrum_proto_event(p, &e));
    thrum_message_release(&e.message);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN);
    thrum_proto_free(p);
}

/* A whole message larger than the mark must still be readable: what is unfinished pauses only where nobody
 * could need it. */
static void test_unfinished_messages(void **state)
{
    char d[200] = "";
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.recv_high = 100));
    say(p, 0x02, d, 200);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN);
    thrum_proto_free(p);
    p = open_server(THRUM_SERVER(.recv_high = 100, .max_message = THRUM_NO_LIMIT));
    say(p, 0x02, d, 200);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN); /* the user asked for no limit */
    proto_set_taker(p, false);
    assert_false(thrum_proto_flags(p) & THRUM_WANT_IN); /* for a front it would grow for ever... */
    proto_set_taker(p, true);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN); /* but where somebody waits for it */
    thrum_proto_free(p);
}

static void test_parts(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_server(NULL);
    assert_false(thrum_proto_event_part(p, &e));
    say(p, 0x01, "ab", 2);
    assert_false(thrum_proto_event(p, &e));
    assert_true(thrum_proto_event_part(p, &e));
    assert_int_equal(e.message.part, THRUM_PART_FIRST);
    assert_string_equal((const char *)e.message.data, "ab");
    thrum_message_release(&e.message);
    assert_true(proto_in_parts(p));
    assert_false(thrum_proto_event_part(p, &e));
    say(p, 0x00, "cd", 2);
    assert_true(thrum_proto_event_part(p, &e));
    assert_int_equal(e.message.part, 0);
    thrum_message_release(&e.message);
    say(p, 0x80, "", 0);
    assert_true(proto_in_parts(p)); /* its end is still to be taken */
    assert_true(thrum_proto_event_part(p, &e));
    assert_int_equal(e.message.part, THRUM_PART_LAST);
    assert_int_equal(e.message.len, 0);
    thrum_message_release(&e.message);
    assert_false(proto_in_parts(p));
    thrum_proto_free(p);
}

static void test_pings_are_informed_of_in_few_places(void **state)
{
    thrum_event e;
    int n = 0;
    (void)state;
    thrum_proto *p = open_server(NULL);
    for (int i = 0; i < 100; i++)
        say(p, 0x89, &(uint8_t){(uint8_t)i}, 1);
    while (thrum_proto_event(p, &e)) {
        assert_int_equal(e.what, THRUM_EVENT_PING);
        assert_int_equal(e.message.data[0], 84 + n); /* the oldest made room */
        thrum_message_release(&e.message);
        n++;
    }
    assert_int_equal(n, 16);
    thrum_proto_free(p);
}

static void test_only_what_is_wanted(void **state)
{
    thrum_host h = test_host;
    thrum_proto *p;
    thrum_event e;
    (void)state;
    h.events = 1u << THRUM_EVENT_MESSAGE;
    assert_status(thrum_proto_server(&p, NULL, &h, now, NULL), THRUM_OK);
    feed_text(p, good_request);
    say(p, 0x89, "p", 1);
    say(p, 0x81, "m", 1);
    say(p, 0x88, "", 0);
    assert_true(thrum_proto_event(p, &e));
    assert_int_equal(e.what, THRUM_EVENT_MESSAGE);
    thrum_message_release(&e.message);
    assert_false(thrum_proto_event(p, &e));
    thrum_proto_free(p);
}

static void take_one(thrum_proto *p)
{
    thrum_event e;
    assert_true(thrum_proto_event(p, &e));
    thrum_message_release(&e.message);
}

/* Where a message is read in parts, what has come of it counts, at every byte; taking it lets the reading go
 * on. */
static void test_parts_count_against_the_mark(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_client(THRUM_CLIENT(.recv_high = 100, .recv_low = 20));
    feed(p,
         "\x02\x7e\x01\x2c"
         "a",
         5);
    assert_true(thrum_proto_event_part(p, &e)); /* from here on in parts */
    thrum_message_release(&e.message);
    for (int i = 1; i <= 100; i++) {
        assert_true(thrum_proto_flags(p) & THRUM_WANT_IN);
        feed(p, "b", 1);
    }
    assert_false(thrum_proto_flags(p) & THRUM_WANT_IN);
    assert_true(proto_paused(p));
    assert_true(thrum_proto_event_part(p, &e));
    assert_int_equal(e.message.len, 100);
    thrum_message_release(&e.message);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN);
    assert_false(proto_paused(p));
    thrum_proto_free(p);
}

/* Between the two marks nothing changes, on the way up or down. */
static void test_marks_have_a_width(void **state)
{
    char d[30] = "";
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.recv_high = 100, .recv_low = 40));
    for (int i = 0; i < 4; i++) {
        assert_false(proto_paused(p));
        say(p, 0x82, d, 30);
    }
    assert_true(proto_paused(p)); /* 120 */
    take_one(p);
    take_one(p);
    assert_true(proto_paused(p)); /* 60 */
    take_one(p);
    assert_false(proto_paused(p)); /* 30 */
    say(p, 0x82, d, 30);
    assert_false(proto_paused(p)); /* 60 */
    thrum_proto_free(p);
}

/* A ping before the last part does not hide that a message is being taken in parts. */
static void test_in_parts_behind_other_events(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_server(NULL);
    say(p, 0x01, "ab", 2);
    assert_true(thrum_proto_event_part(p, &e));
    thrum_message_release(&e.message);
    say(p, 0x89, "p", 1);
    say(p, 0x80, "c", 1);
    say(p, 0x81, "next", 4);
    assert_true(proto_in_parts(p));
    take_one(p); /* the ping */
    assert_true(proto_in_parts(p));
    take_one(p);
    assert_false(proto_in_parts(p));
    take_one(p);
    assert_false(proto_in_parts(p));
    thrum_proto_free(p);
}

/* While it closes, the peer's Close is looked for behind messages that nobody takes: over the mark they go.
 */
static void test_messages_while_closing(void **state)
{
    thrum_event e;
    int n = 0;
    (void)state;
    thrum_proto *p = open_server(NULL);
    say(p, 0x82, "0", 1);
    assert_status(thrum_proto_close(p, 1000, (thrum_slice){NULL, 0}, now), THRUM_OK);
    for (int i = 1; i < 1000; i++) {
        assert_true(thrum_proto_flags(p) & THRUM_WANT_IN);
        say(p, 0x82, "m", 1);
    }
    say(p, 0x88, "\x03\xe8", 2);
    while (next_of(p, THRUM_EVENT_MESSAGE, &e)) {
        thrum_message_release(&e.message);
        n++;
    }
    assert_int_equal(n, 16);
    thrum_closing c = {.size = sizeof c};
    assert_status(thrum_proto_closing(p, &c), THRUM_OK);
    assert_int_equal(c.clean, 1);
    thrum_proto_free(p);
}

/* Only pings and pongs make room, the oldest first, whatever stands between them. */
static void test_only_pings_make_room(void **state)
{
    thrum_event e;
    int messages = 0, informs = 0, first = -1;
    (void)state;
    thrum_proto *p = new_server(NULL);
    feed_text(p, good_request);
    for (int i = 0; i < 40; i++) {
        say(p, i % 2 ? 0x89 : 0x8a, &(uint8_t){(uint8_t)i}, 1);
        if (i % 4 == 0)
            say(p, 0x82, "m", 1);
    }
    take_one(p); /* OPEN is still there */
    while (thrum_proto_event(p, &e)) {
        if (e.what == THRUM_EVENT_MESSAGE) {
            messages++;
        } else {
            first = first < 0 ? e.message.data[0] : first;
            informs++;
        }
        thrum_message_release(&e.message);
    }
    assert_int_equal(messages, 10);
    assert_int_equal(informs, 16);
    assert_int_equal(first, 24);
    thrum_proto_free(p);
}

/* Each bit of the mask alone: that kind comes, no other. */
static void test_every_bit_of_the_mask(void **state)
{
    (void)state;
    for (int what = THRUM_EVENT_OPEN; what <= THRUM_EVENT_ENDED; what++) {
        thrum_host h = test_host;
        thrum_proto *p;
        thrum_event e;
        char out[1000];
        h.events = UINT64_C(1) << what;
        count_memory(SIZE_MAX, 0);
        assert_status(thrum_proto_server(&p, NULL, &h, now, NULL), THRUM_OK);
        feed_text(p, good_request);
        say(p, 0x89, "p", 1);
        say(p, 0x8a, "p", 1);
        say(p, 0x82, "m", 1);
        say(p, 0x88, "", 0);
        take_out(p, out, sizeof out);
        (void)thrum_proto_in_end(p, 0, now);
        assert_true(thrum_proto_flags(p) & THRUM_HAS_EVENT);
        assert_true(thrum_proto_event(p, &e));
        assert_int_equal(e.what, what);
        thrum_message_release(&e.message);
        assert_false(thrum_proto_event(p, &e));
        assert_int_equal(thrum_proto_flags(p), THRUM_ENDED);
        thrum_proto_free(p);
        stop_counting();
    }
}

/* Without memory for a message the connection fails; for a ping's event it goes on. */
static void test_events_without_memory(void **state)
{
    (void)state;
    for (int ping = 0; ping < 2; ping++)
        for (size_t nth = 0; nth < 2; nth++) {
            count_memory(SIZE_MAX, 0);
            thrum_proto *p = open_client(NULL);
            fail_from = asked_for + nth + (size_t)ping; /* the first one of a ping is the pong's */
            fail_to = fail_from + 1;
            feed(p, ping ? "\x89\x01x" : "\x82\x01x", 3);
            if (ping)
                assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
            else
                expect_error(p, THRUM_E_MEMORY, 1011);
            assert_int_equal(thrum_proto_flags(p) & THRUM_HAS_EVENT, 0);
            thrum_proto_free(p);
            stop_counting();
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_water_mark_in_messages),
        cmocka_unit_test(test_water_mark_in_bytes),
        cmocka_unit_test(test_unfinished_messages),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_pings_are_informed_of_in_few_places),
        cmocka_unit_test(test_only_what_is_wanted),
        cmocka_unit_test(test_parts_count_against_the_mark),
        cmocka_unit_test(test_marks_have_a_width),
        cmocka_unit_test(test_in_parts_behind_other_events),
        cmocka_unit_test(test_messages_while_closing),
        cmocka_unit_test(test_only_pings_make_room),
        cmocka_unit_test(test_every_bit_of_the_mask),
        cmocka_unit_test(test_events_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
