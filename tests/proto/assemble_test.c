/* assemble_test.c: frames to messages, limits, and every way in which a peer may break RFC 6455 section 5. */
#include "proto_test.h"

static void broken(uint8_t first, const void *payload, size_t n, thrum_status s, int code)
{
    char out[256];
    thrum_proto *p = open_server(NULL);
    say(p, first, payload, n);
    expect_error(p, s, code);
    size_t k = take_out(p, out, sizeof out);
    assert_true(k >= 4);
    assert_int_equal((uint8_t)out[0], 0x88);
    assert_int_equal((uint8_t)out[2] << 8 | (uint8_t)out[3], code);
    thrum_proto_free(p);
}

static void test_R4_reserved_and_control(void **state)
{
    char big[126] = "";
    (void)state;
    for (int op = 0; op < 16; op++) {
        if ((op >= 3 && op <= 7) || op >= 11)
            broken((uint8_t)(0x80 | op), "x", 1, THRUM_E_PROTOCOL, 1002);
        for (int rsv = 0x10; rsv < 0x80; rsv += 0x10)
            broken((uint8_t)(0x80 | rsv | op), "x", 1, THRUM_E_PROTOCOL, 1002);
    }
    broken(0x09, "x", 1, THRUM_E_PROTOCOL, 1002); /* a ping in fragments */
    broken(0x89, big, 126, THRUM_E_PROTOCOL, 1002);
}

static void test_R4_masking(void **state)
{
    thrum_proto *s = open_server(NULL), *c = open_client(NULL);
    (void)state;
    feed(s, "\x81\x01x", 3);
    expect_error(s, THRUM_E_PROTOCOL, 1002);
    say(c, 0x81, "x", 1);
    expect_error(c, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(s);
    thrum_proto_free(c);
}

static void test_R4_shortest_form(void **state)
{
    static const uint8_t two[] = {0x82, 126, 0, 125}, eight[] = {0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    thrum_proto *a = open_client(NULL), *b = open_client(NULL);
    (void)state;
    feed(a, two, sizeof two);
    expect_error(a, THRUM_E_PROTOCOL, 1002);
    feed(b, eight, sizeof eight);
    expect_error(b, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(a);
    thrum_proto_free(b);
}

/* Refused from the header alone, whatever the length. */
static void test_R1_length_msb_and_limit(void **state)
{
    (void)state;
    for (int bit = 20; bit < 64; bit++)
        for (int off = -1; off <= 1; off++) {
            uint64_t n = (UINT64_C(1) << bit) + (uint64_t)(int64_t)off;
            uint8_t h[10] = {0x82, 127};
            thrum_proto *p = open_client(NULL);
            for (int i = 0; i < 8; i++)
                h[2 + i] = (uint8_t)(n >> (56 - 8 * i));
            feed(p, h, sizeof h);
            if (n >> 63)
                expect_error(p, THRUM_E_PROTOCOL, 1002);
            else if (n > 1 << 20)
                expect_error(p, THRUM_E_TOO_BIG, 1009);
            else
                assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
            thrum_proto_free(p);
        }
}

/* A length that is announced costs nothing; bytes that come cost at most twice what they are. */
static void test_R2_memory_follows_bytes(void **state)
{
    uint8_t h[10] = {0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0}, piece[1000] = {0};
    (void)state;
    count_memory(SIZE_MAX, 0);
    thrum_proto *p = open_client(THRUM_CLIENT(.max_message = THRUM_NO_LIMIT));
    size_t idle = held;
    feed(p, h, sizeof h);
    feed(p, piece, 10);
    assert_true(held - idle < 64 * 1024);
    most = 0;
    for (int i = 0; i < 300; i++)
        feed(p, piece, sizeof piece);
    assert_true(held - idle <= 2 * 300010 + 4096);
    assert_true(most - idle <= 3 * 300010 + 8192); /* while one block is copied to the next */
    thrum_proto_free(p);
    stop_counting();
}

static void test_R6_order_of_fragments(void **state)
{
    thrum_event e;
    (void)state;
    broken(0x80, "x", 1, THRUM_E_PROTOCOL, 1002); /* nothing to continue */
    thrum_proto *p = open_server(NULL);
    say(p, 0x01, "a", 1);
    say(p, 0x81, "b", 1); /* the first has not ended */
    expect_error(p, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(p);
    p = open_server(NULL);
    say(p, 0x01, "a", 1);
    say(p, 0x89, "ping", 4);
    say(p, 0x00, "b", 1);
    say(p, 0x80, "", 0);
    assert_true(next_of(p, THRUM_EVENT_PING, &e));
    thrum_message_release(&e.message);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    assert_string_equal((const char *)e.message.data, "ab");
    thrum_message_release(&e.message);
    thrum_proto_free(p);
}

static void test_R7_limits_on_both_sides(void **state)
{
    uint8_t d[101] = {0};
    thrum_event e;
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.max_message = 100, .max_fragments = 3));
    say(p, 0x82, d, 100);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    thrum_message_release(&e.message);
    say(p, 0x02, d, 60);
    say(p, 0x80, d, 40);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    thrum_message_release(&e.message);
    say(p, 0x02, d, 0);
    say(p, 0x00, d, 0);
    say(p, 0x80, d, 0);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    thrum_message_release(&e.message);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    thrum_proto_free(p);
    p = open_server(THRUM_SERVER(.max_message = 100));
    say(p, 0x02, d, 60);
    say(p, 0x80, d, 41);
    expect_error(p, THRUM_E_TOO_BIG, 1009);
    thrum_proto_free(p);
    p = open_server(THRUM_SERVER(.max_frame = 10));
    say(p, 0x82, d, 11);
    expect_error(p, THRUM_E_TOO_BIG, 1009);
    thrum_proto_free(p);
    p = open_server(THRUM_SERVER(.max_fragments = 3));
    for (int i = 0; i < 4; i++)
        say(p, i ? 0x00 : 0x02, d, 0);
    expect_error(p, THRUM_E_TOO_BIG, 1009);
    thrum_proto_free(p);
}

static void test_utf8_fails_at_the_first_bad_byte(void **state)
{
    (void)state;
    thrum_proto *p = open_client(NULL);
    feed(p,
         "\x81\x7d"
         "ab\xc3",
         5); /* 125 bytes announced */
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    feed(p, "(", 1);
    expect_error(p, THRUM_E_UTF8, 1007);
    thrum_proto_free(p);
    broken(0x81, "\xc3", 1, THRUM_E_UTF8, 1007); /* ends inside a character */
    p = open_server(NULL);
    say(p, 0x01, "\xf0\x9f", 2);
    say(p, 0x80, "\x98\x80", 2);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    thrum_proto_free(p);
}

static void test_whole_before_the_error_is_kept(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_client(NULL);
    feed(p, "\x81\x02ok\x83", 5);
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    assert_string_equal((const char *)e.message.data, "ok");
    thrum_message_release(&e.message);
    assert_false(thrum_proto_event(p, &e));
    expect_error(p, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(p);
}

/* Two messages and a fault: each can be answered, then comes the Close; what is behind the fault is not read.
 */
static void test_the_error_waits_for_the_answers(void **state)
{
    char out[256];
    thrum_event e;
    (void)state;
    thrum_proto *p = open_server(NULL);
    say(p, 0x81, "a", 1);
    say(p, 0x81, "b", 1);
    say(p, 0xc1, "c", 1);
    say(p, 0x89, "d", 1);
    for (int i = 0; i < 2; i++) {
        assert_true(thrum_proto_event(p, &e));
        assert_status(thrum_proto_send(p, THRUM_TEXT, (thrum_slice){e.message.data, 1}, true), THRUM_OK);
        thrum_message_release(&e.message);
    }
    assert_int_equal(take_out(p, out, sizeof out), 6);
    assert_memory_equal(out,
                        "\x81\x01"
                        "a\x81\x01"
                        "b",
                        6);
    assert_false(thrum_proto_event(p, &e));
    expect_error(p, THRUM_E_PROTOCOL, 1002);
    assert_true(take_out(p, out, sizeof out) >= 4);
    assert_int_equal((uint8_t)out[0], 0x88);
    thrum_proto_free(p);
}

/* As a loop does it: what is sent in answer leaves later, and more is asked for before. */
static void test_the_error_waits_for_answers_to_leave(void **state)
{
    char out[256];
    thrum_event e;
    (void)state;
    for (int leaves = 0; leaves < 2; leaves++) {
        thrum_proto *p = open_server(NULL);
        say(p, 0x81, "a", 1);
        assert_true(thrum_proto_event(p, &e));
        assert_status(thrum_proto_send(p, THRUM_TEXT, (thrum_slice){(const uint8_t *)"a", 1}, true),
                      THRUM_OK);
        thrum_message_release(&e.message);
        assert_false(thrum_proto_event(p, &e));
        say(p, 0xc1, "c", 1);
        assert_false(thrum_proto_event(p, &e));
        assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
        if (!leaves) /* the peer does not read */
            thrum_proto_tick(p, thrum_proto_deadline(p));
        size_t n = take_out(p, out, sizeof out);
        assert_true(n > 7);
        assert_memory_equal(out,
                            leaves ? "\x81\x01"
                                     "a\x88"
                                   : "\x88",
                            leaves ? 4 : 1);
        expect_error(p, THRUM_E_PROTOCOL, 1002);
        thrum_proto_free(p);
    }
}

/* Its taker is busy with a message when the fault comes; and does not come back. */
static void test_the_error_does_not_wait_for_ever(void **state)
{
    thrum_event e;
    thrum_time late;
    (void)state;
    for (int how = 0; how < 4; how++) {
        thrum_proto *p = open_client(NULL);
        feed(p, "\x81\x02ok", 4);
        assert_true(thrum_proto_event(p, &e));
        thrum_message_release(&e.message);
        feed(p, "\x83", 1);
        assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
        late = thrum_proto_deadline(p);
        assert_true(late == now + 1000 * MS);
        if (how == 0)
            thrum_proto_tick(p, late - 1);
        assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
        if (how == 0)
            thrum_proto_tick(p, late);
        else if (how == 1)
            assert_status(thrum_proto_close(p, 1000, (thrum_slice){NULL, 0}, now), THRUM_OK);
        else if (how == 2)
            thrum_proto_in_end(p, 0, now);
        else
            proto_goodbye(p, 1001);
        expect_error(p, THRUM_E_PROTOCOL, 1002);
        thrum_proto_free(p);
    }
    thrum_proto *p = open_client(NULL);
    feed(p, "\x81\x02ok\x83", 5);
    thrum_proto_free(p); /* and nothing leaks */
}

/* RFC 6455 section 5.7. */
static void test_examples_of_the_rfc(void **state)
{
    static const uint8_t plain[] = {0x81, 0x05, 'H', 'e', 'l', 'l', 'o'},
                         masked[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58},
                         parts[] = {0x01, 0x03, 'H', 'e', 'l', 0x80, 0x02, 'l', 'o'};
    thrum_proto *c = open_client(NULL), *s = open_server(NULL);
    thrum_event e;
    (void)state;
    feed(c, plain, sizeof plain);
    feed(c, parts, sizeof parts);
    feed(s, masked, sizeof masked);
    for (int i = 0; i < 3; i++) {
        assert_true(next_of(i < 2 ? c : s, THRUM_EVENT_MESSAGE, &e));
        assert_string_equal((const char *)e.message.data, "Hello");
        thrum_message_release(&e.message);
    }
    thrum_proto_free(c);
    thrum_proto_free(s);
}

static void test_window(void **state)
{
    static uint8_t big[100000], f[100014];
    size_t room, at = 0;
    thrum_event e;
    (void)state;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 13);
    thrum_proto *p = open_server(NULL);
    assert_null(thrum_proto_in(p, &room));
    size_t n = frame(f, 0x82, big, sizeof big, true);
    feed(p, f, 20);
    for (at = 20; at < n;) {
        uint8_t *in = thrum_proto_in(p, &room);
        size_t take = in ? room : 1;
        take = take < n - at ? take : n - at;
        if (in) {
            memcpy(in, f + at, take);
            (void)thrum_proto_in_done(p, take, now);
        } else {
            feed(p, f + at, take);
        }
        at += take;
    }
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    assert_int_equal(e.message.len, sizeof big);
    assert_memory_equal(e.message.data, big, sizeof big);
    thrum_message_release(&e.message);
    thrum_proto_free(p);
}

/* Every form of the length, in both roles, whole and cut at every byte of the header. */
static void test_length_forms(void **state)
{
    static const size_t sizes[] = {0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537};
    static uint8_t d[65537], f[65551];
    thrum_event e;
    (void)state;
    for (size_t i = 0; i < sizeof d; i++)
        d[i] = (uint8_t)(i * 31 >> 2);
    for (size_t k = 0; k < 2 * sizeof sizes / sizeof sizes[0]; k++) {
        size_t n = frame(f, 0x82, d, sizes[k / 2], k % 2);
        for (size_t cut = 0; cut < 16 && cut < n; cut++) {
            thrum_proto *p = k % 2 ? open_server(NULL) : open_client(NULL);
            feed(p, f, cut);
            feed(p, f + cut, n - cut);
            assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
            assert_int_equal(e.message.len, sizes[k / 2]);
            assert_memory_equal(e.message.data, d, sizes[k / 2]);
            assert_int_equal(e.message.data[e.message.len], 0);
            thrum_message_release(&e.message);
            thrum_proto_free(p);
        }
    }
}

/* The header alone decides: the error is there before a byte of payload, and costs nothing but the Close. */
static void test_R1_no_memory_is_asked_for(void **state)
{
    static const uint8_t h[][10] = {{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 1},
                                    {0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        count_memory(SIZE_MAX, 0);
        thrum_proto *p = open_client(NULL);
        size_t idle = held;
        most = held;
        feed(p, h[i], sizeof h[i]);
        expect_error(p, i ? THRUM_E_TOO_BIG : THRUM_E_PROTOCOL, i ? 1009 : 1002);
        assert_true(most - idle < 1024);
        thrum_proto_free(p);
        stop_counting();
    }
}

/* The second fragment's length is judged together with the first one's bytes, without overflow. */
static void test_R3_no_limit_is_as_safe(void **state)
{
    static const uint8_t h[10] = {0x80, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    (void)state;
    thrum_proto *p =
        open_client(THRUM_CLIENT(.max_message = THRUM_NO_LIMIT, .max_fragments = THRUM_NO_LIMIT));
    feed(p, "\x02\x01x", 3);
    feed(p, h, sizeof h);
    feed(p, "0123456789", 10);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    size_t room;
    assert_non_null(thrum_proto_in(p, &room));
    assert_true(room <= 8192);
    thrum_proto_free(p);
}

static void test_R5_rsv1_is_refused_everywhere(void **state)
{
    (void)state;
    broken(0xc1, "x", 1, THRUM_E_PROTOCOL, 1002);
    broken(0xc9, "x", 1, THRUM_E_PROTOCOL, 1002);
    thrum_proto *p = open_server(NULL);
    say(p, 0x01, "a", 1);
    say(p, 0xc0, "b", 1);
    expect_error(p, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(p);
}

/* A header with two faults: the first two bytes are judged first, however it comes. */
static void test_two_faults_one_answer(void **state)
{
    static const uint8_t h[] = {0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1}; /* masked, and too long */
    char whole[256], cut[256];
    (void)state;
    for (int by = 0; by < 2; by++) {
        thrum_proto *p = open_client(NULL);
        thrum_error e;
        for (size_t i = 0; by && i < sizeof h; i++)
            feed(p, h + i, 1);
        feed(p, h, by ? 0 : sizeof h);
        thrum_proto_error(p, &e);
        memcpy(by ? cut : whole, e.text, sizeof e.text);
        thrum_proto_free(p);
    }
    assert_string_equal(whole, cut);
    assert_non_null(strstr(whole, "masked"));
}

/* Fragments without end: bounded in number, and each costs what its bytes cost. */
static void test_R7_fragments_without_end(void **state)
{
    (void)state;
    for (size_t size = 0; size < 2; size++) {
        count_memory(SIZE_MAX, 0);
        thrum_proto *p = open_client(NULL);
        size_t idle = held;
        feed(p, "\x02", 1);
        feed(p, "\x00", 1);
        for (int i = 1; i < 65536; i++) {
            feed(p, size ? "\x00\x01x" : "\x00\x00", 2 + size);
            if (i % 4096 == 0)
                assert_true(held - idle <= 2 * size * (size_t)i + 4096);
        }
        assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
        feed(p, "\x00\x00", 2); /* 65,536 are allowed */
        expect_error(p, THRUM_E_TOO_BIG, 1009);
        thrum_proto_free(p);
        stop_counting();
    }
}

static void test_message_in_parts(void **state)
{
    static const uint32_t part[] = {THRUM_PART_FIRST, 0, THRUM_PART_LAST};
    static const char *const text[] = {"ab", "c", "d"};
    thrum_event e;
    (void)state;
    thrum_proto *p = open_client(NULL);
    feed(p,
         "\x01\x04"
         "ab",
         4);
    assert_false(thrum_proto_event(p, &e));
    assert_true(proto_has_event(p, true));
    assert_false(proto_has_event(p, false));
    for (int i = 0; i < 3; i++) {
        assert_true(thrum_proto_event_part(p, &e));
        assert_int_equal(e.message.part, part[i]);
        assert_string_equal((const char *)e.message.data, text[i]);
        thrum_message_release(&e.message);
        assert_false(thrum_proto_event_part(p, &e));
        assert_int_equal(proto_in_parts(p), i < 2);
        feed(p, "c", i == 0);
        feed(p, "d\x80\x00", i == 1 ? 3 : 0);
    }
    thrum_proto_free(p);
}

/* What was taken in parts still counts against the limit of the message, and its text is judged as a whole.
 */
static void test_parts_do_not_lift_the_limits(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_client(THRUM_CLIENT(.max_message = 4)), *q = open_client(NULL);
    feed(p, "\x02\x03xyz", 5);
    assert_true(thrum_proto_event_part(p, &e));
    thrum_message_release(&e.message);
    feed(p, "\x80\x02", 2);
    expect_error(p, THRUM_E_TOO_BIG, 1009);
    feed(q, "\x01\x01\xc3", 3);
    assert_true(thrum_proto_event_part(q, &e));
    thrum_message_release(&e.message);
    feed(q, "\x80\x01(", 3);
    expect_error(q, THRUM_E_UTF8, 1007);
    thrum_proto_free(p);
    thrum_proto_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R4_reserved_and_control),
        cmocka_unit_test(test_R4_masking),
        cmocka_unit_test(test_R4_shortest_form),
        cmocka_unit_test(test_R1_length_msb_and_limit),
        cmocka_unit_test(test_R2_memory_follows_bytes),
        cmocka_unit_test(test_R6_order_of_fragments),
        cmocka_unit_test(test_R7_limits_on_both_sides),
        cmocka_unit_test(test_utf8_fails_at_the_first_bad_byte),
        cmocka_unit_test(test_whole_before_the_error_is_kept),
        cmocka_unit_test(test_the_error_waits_for_the_answers),
        cmocka_unit_test(test_the_error_waits_for_answers_to_leave),
        cmocka_unit_test(test_the_error_does_not_wait_for_ever),
        cmocka_unit_test(test_examples_of_the_rfc),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_length_forms),
        cmocka_unit_test(test_R1_no_memory_is_asked_for),
        cmocka_unit_test(test_R3_no_limit_is_as_safe),
        cmocka_unit_test(test_R5_rsv1_is_refused_everywhere),
        cmocka_unit_test(test_two_faults_one_answer),
        cmocka_unit_test(test_R7_fragments_without_end),
        cmocka_unit_test(test_message_in_parts),
        cmocka_unit_test(test_parts_do_not_lift_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
