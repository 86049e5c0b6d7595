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
    assert_false(thrum_proto_flags(p) & THRUM_WANT_IN); /* without a limit it would grow for ever */
    proto_set_taker(p, true);
    assert_true(thrum_proto_flags(p) & THRUM_WANT_IN); /* but somebody waits for it */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_water_mark_in_messages),
        cmocka_unit_test(test_water_mark_in_bytes),
        cmocka_unit_test(test_unfinished_messages),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_pings_are_informed_of_in_few_places),
        cmocka_unit_test(test_only_what_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
