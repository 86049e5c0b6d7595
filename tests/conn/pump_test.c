/* pump_test.c: stream -> proto -> stream, with every answer that a stream can give. */
#include "conn_test.h"

#define S(ms) ((ms)*CLOCK_MS)

static struct thrum_conn c;
static struct fake f;

static void expect_message(const void *data, size_t n)
{
    thrum_event e;
    assert_true(thrum_proto_event(c.proto, &e));
    assert_int_equal(e.what, THRUM_EVENT_MESSAGE);
    assert_int_equal(e.message.len, n);
    assert_memory_equal(e.message.data, data, n);
    thrum_message_release(&e.message);
}

static thrum_status error_status(void)
{
    thrum_error e;
    thrum_proto_error(c.proto, &e);
    return e.status;
}

/* ---- reading ---- */

static void test_read(void **state)
{
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(0));
    assert_false(conn_read(&c, scratch, sizeof scratch, 2)); /* nothing is there */
    fake_say(&f, "\x81\x02hi\x81\x03you", 9);
    assert_true(conn_read(&c, scratch, sizeof scratch, 2));
    expect_message("hi", 2);
    expect_message("you", 3);
    assert_false(conn_read(&c, scratch, sizeof scratch, 2));
    assert_false(conn_ended(&c));
    assert_int_equal(f.cuts, 0);
    end_conn(&c, &f);
}

static void test_read_byte_by_byte(void **state)
{
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(0));
    f.step = 1;
    fake_say(&f, "\x81\x02hi", 4);
    for (int i = 0; i < 4; i++)
        assert_true(conn_read(&c, scratch, sizeof scratch, 2));
    expect_message("hi", 2);
    end_conn(&c, &f);
}

/* The inside of a large message goes where it will be read from, and what is behind it to scratch, in one
 * call. */
static void test_read_large_in_place(void **state)
{
    enum { N = 300000 };
    static uint8_t frame[10 + N] = {0x82, 127, 0, 0, 0, 0, 0, N >> 16, N >> 8 & 0xff, N & 0xff};
    (void)state;
    for (size_t i = 0; i < N; i++)
        frame[10 + i] = (uint8_t)(i * 7 >> 3);
    open_client(&c, &f, THRUM_CLIENT(0));
    fake_say(&f, frame, sizeof frame);
    fake_say(&f, "\x81\x02hi", 4);
    read_all(&c, 2);
    expect_message(frame + 10, N);
    expect_message("hi", 2);
    end_conn(&c, &f);

    open_client(&c, &f, THRUM_CLIENT(0));
    fake_say(&f, frame, sizeof frame);
    fake_say(&f, "\x81\x02hi", 4);
    f.step = 5000;
    int both = 0;
    while (conn_read(&c, scratch, 4096, 2))
        both += f.last_slices == 2;
    assert_true(both > 10);
    expect_message(frame + 10, N);
    expect_message("hi", 2);
    end_conn(&c, &f);
}

static void test_read_the_end(void **state)
{
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(0));
    f.end = 0;
    assert_true(conn_read(&c, scratch, sizeof scratch, 2));
    assert_true(conn_ended(&c));
    assert_status(conn_end_status(&c), THRUM_E_UNCLEAN);
    assert_true(f.cuts > 0); /* so that whoever polls it wakes */
    assert_int_equal(f.frees, 0);
    int reads = f.reads;
    assert_false(conn_read(&c, scratch, sizeof scratch, 2));
    assert_int_equal(f.reads, reads);
    assert_int_equal(conn_wants(&c), 0);
    end_conn(&c, &f);
}

static void test_read_error(void **state)
{
    thrum_error e;
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(0));
    fake_say(&f, "\x81\x02hi", 4);
    f.end = -ECONNRESET;
    read_all(&c, 2);
    expect_message("hi", 2); /* what came whole before stays */
    thrum_proto_error(c.proto, &e);
    assert_status(e.status, THRUM_E_RESET);
    assert_int_equal(e.os_errno, ECONNRESET);
    assert_int_equal(e.close_code, 1006);
    end_conn(&c, &f);
}

/* ---- writing ---- */

static void queue(const char *text)
{
    assert_status(
        thrum_proto_send(c.proto, THRUM_TEXT, (thrum_slice){(const uint8_t *)text, strlen(text)}, true),
        THRUM_OK);
}

static void test_write(void **state)
{
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.arg = NULL));
    conn_write(&c, 2);
    assert_int_equal(f.out_n, 0);
    queue("hello");
    assert_int_equal(conn_wants(&c), POLLIN | POLLOUT);
    conn_write(&c, 2);
    assert_int_equal(f.out_n, 7);
    assert_memory_equal(f.out, "\x81\x05hello", 7);
    assert_int_equal(conn_wants(&c), POLLIN);
    end_conn(&c, &f);
}

/* Every split of the output gives the same bytes. */
static void test_write_in_pieces(void **state)
{
    (void)state;
    for (size_t first = 0; first <= 14; first++) {
        open_server(&c, &f, THRUM_SERVER(.arg = NULL));
        queue("hello");
        queue("world");
        f.room = first;
        conn_write(&c, 2);
        assert_int_equal(f.out_n, first);
        assert_int_equal(conn_wants(&c) & POLLOUT, first < 14 ? POLLOUT : 0);
        while (conn_wants(&c) & POLLOUT) {
            f.room = 1;
            conn_write(&c, 2);
        }
        assert_int_equal(f.out_n, 14);
        assert_memory_equal(f.out, "\x81\x05hello\x81\x05world", 14);
        end_conn(&c, &f);
    }
}

/* More frames than one gather-write takes. */
static void test_write_many(void **state)
{
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.arg = NULL));
    for (int i = 0; i < 100; i++)
        queue("x");
    conn_write(&c, 2);
    assert_int_equal(f.out_n, 300);
    end_conn(&c, &f);
}

static void test_write_error(void **state)
{
    thrum_error e;
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.arg = NULL));
    queue("hello");
    f.room = 0;
    f.full = -EPIPE;
    conn_write(&c, 2);
    assert_true(conn_ended(&c));
    thrum_proto_error(c.proto, &e);
    assert_status(e.status, THRUM_E_RESET);
    assert_int_equal(e.os_errno, EPIPE);
    assert_int_equal(proto_pending(c.proto), 0);
    assert_true(f.cuts > 0);
    end_conn(&c, &f);
}

/* The peer said why before it went: that stands, not the broken pipe. */
static void test_write_error_behind_a_close(void **state)
{
    thrum_error e;
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(0));
    queue("hello");
    f.room = 0;
    f.full = -EPIPE;
    f.end = 0;
    fake_say(&f,
             "\x81\x02hi\x88\x06\x03\xf0"
             "full",
             12);
    conn_write(&c, 2);
    assert_true(conn_ended(&c));
    thrum_proto_error(c.proto, &e);
    assert_status(e.status, THRUM_E_CLOSED);
    assert_int_equal(e.close_code, 1008);
    expect_message("hi", 2);
    end_conn(&c, &f);
}

/* The same where the peer's Close had been read already, and only our answer cannot be written. */
static void test_answer_to_close_cannot_be_written(void **state)
{
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(0));
    f.room = 0;
    fake_say(&f, "\x88\x02\x03\xe9", 4);
    f.end = 0;
    read_all(&c, 2);
    assert_false(conn_ended(&c)); /* our Close is still to go: the peer may have shut one side only */
    f.full = -EPIPE;
    conn_write(&c, 3);
    assert_true(conn_ended(&c));
    assert_status(error_status(), THRUM_E_CLOSED);
    end_conn(&c, &f);
}

/* ---- the end of our side ---- */

static void test_server_shuts_its_side(void **state)
{
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.arg = NULL));
    fake_say(&f, "\x88\x82\0\0\0\0\x03\xe8", 8);
    read_all(&c, 2);
    assert_int_equal(f.shut_outs, 0);
    f.room = 1;
    conn_write(&c, 2); /* not before the Close is out */
    assert_int_equal(f.shut_outs, 0);
    f.room = SIZE_MAX;
    conn_write(&c, 2);
    assert_memory_equal(f.out, "\x88\x02\x03\xe8", 4);
    assert_int_equal(f.shut_outs, 1);
    conn_write(&c, 2);
    assert_int_equal(f.shut_outs, 1); /* once */
    assert_false(conn_ended(&c));
    f.end = 0;
    read_all(&c, 3);
    assert_true(conn_ended(&c));
    assert_status(conn_end_status(&c), THRUM_E_CLOSED);
    end_conn(&c, &f);
}

static void test_client_waits_for_the_server(void **state)
{
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(0));
    fake_say(&f, "\x88\x00", 2);
    read_all(&c, 2);
    conn_write(&c, 2);
    assert_int_equal(f.shut_outs, 0);
    f.end = 0;
    read_all(&c, 3);
    assert_true(conn_ended(&c));
    end_conn(&c, &f);
}

/* ---- time ---- */

static void test_tick(void **state)
{
    thrum_error e;
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(.ping_interval = 100, .ping_timeout = 50, .close_timeout = 70));
    conn_tick(&c, S(99));
    assert_int_equal(f.out_n, 0);
    conn_tick(&c, S(101));
    assert_true(f.out_n > 2);
    assert_int_equal(f.out[0], 0x89);
    size_t ping = f.out_n;
    conn_tick(&c, S(149));
    assert_int_equal(f.out_n, ping);
    conn_tick(&c, S(152)); /* the peer is silent: it is told, and then given a moment */
    thrum_proto_error(c.proto, &e);
    assert_status(e.status, THRUM_E_UNCLEAN);
    assert_true(f.out_n > ping);
    assert_int_equal(f.out[ping], 0x88);
    conn_tick(&c, S(100000));
    assert_true(conn_ended(&c));
    assert_true(f.cuts > 0);
    int n = (int)f.out_n;
    conn_tick(&c, S(200000));
    assert_int_equal(f.out_n, n);
    end_conn(&c, &f);
}

static void test_anything_heard_is_life(void **state)
{
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(.ping_interval = 100, .ping_timeout = 50));
    for (int i = 1; i < 20; i++) {
        fake_say(&f, "\x8a\x00", 2); /* an unasked pong */
        read_all(&c, S(90 * i));
        conn_tick(&c, S(90 * i));
    }
    assert_int_equal(f.out_n, 0);
    end_conn(&c, &f);
}

/* ---- the water mark ---- */

static void test_wants_no_more_than_it_may_keep(void **state)
{
    thrum_event e;
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(.recv_high = 10, .recv_low = 4));
    fake_say(&f,
             "\x82\x09"
             "123456789",
             11);
    read_all(&c, 2);
    assert_int_equal(conn_wants(&c), POLLIN);
    fake_say(&f,
             "\x82\x01"
             "a",
             3);
    read_all(&c, 2);
    assert_int_equal(conn_wants(&c), 0);
    assert_true(thrum_proto_event(c.proto, &e)); /* nine bytes less: at the low mark */
    thrum_message_release(&e.message);
    assert_int_equal(conn_wants(&c), POLLIN);
    end_conn(&c, &f);
}

/* ---- goodbye and cut ---- */

static void test_goodbye(void **state)
{
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.arg = NULL));
    fake_say(&f, "unread", 6);
    conn_goodbye(&c, 1001, 2);
    assert_int_equal(f.out_n, 4);
    assert_memory_equal(f.out, "\x88\x02\x03\xe9", 4);
    assert_int_equal(f.in_at, f.in_n); /* or the kernel would answer with a reset */
    conn_goodbye(&c, 1001, 3);
    assert_int_equal(f.out_n, 4);
    end_conn(&c, &f);
}

/* What peer sends without end must not keep the program from ending. */
static void test_goodbye_drains_a_bounded_amount(void **state)
{
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.arg = NULL));
    memset(f.in + f.in_n, 'x', FAKE_MAX - f.in_n);
    f.in_n = FAKE_MAX;
    conn_goodbye(&c, 1001, 2);
    assert_true(f.in_at < f.in_n);
    end_conn(&c, &f);
}

/* Behind a frame that has begun, and instead of those that have not. */
static void test_goodbye_never_into_a_frame(void **state)
{
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.arg = NULL));
    queue("hello");
    queue("never");
    f.room = 3;
    conn_write(&c, 2);
    f.room = 0;
    conn_goodbye(&c, 1001, 2);
    f.room = SIZE_MAX;
    conn_write(&c, 2);
    assert_int_equal(f.out_n, 11);
    assert_memory_equal(f.out, "\x81\x05hello\x88\x02\x03\xe9", 11);
    end_conn(&c, &f);
}

static void test_no_goodbye_without_a_handshake(void **state)
{
    (void)state;
    fake_init(&f);
    conn_on(&c, &f.s, NULL, THRUM_SERVER(.arg = NULL));
    conn_goodbye(&c, 1001, 2);
    assert_int_equal(f.out_n, 0);
    end_conn(&c, &f);
}

static void test_cut(void **state)
{
    thrum_error e;
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.arg = NULL));
    queue("never");
    conn_cut(&c, THRUM_E_CLOSED, "for a test", 2);
    assert_true(conn_ended(&c));
    assert_true(f.cuts > 0);
    assert_int_equal(f.out_n, 0);
    thrum_proto_error(c.proto, &e);
    assert_status(e.status, THRUM_E_CLOSED);
    assert_string_equal(e.text, "for a test");
    conn_cut(&c, THRUM_E_MEMORY, "again", 3); /* the first reason stands */
    conn_goodbye(&c, 1001, 3);
    conn_write(&c, 3);
    assert_status(error_status(), THRUM_E_CLOSED);
    assert_int_equal(f.out_n, 0);
    c.stream = NULL; /* closed: there is nothing to cut or to write to */
    conn_cut(&c, THRUM_E_MEMORY, "closed", 4);
    conn_write(&c, 4);
    assert_true(conn_ended(&c));
    c.stream = &f.s;
    end_conn(&c, &f);
}

static void test_end_status(void **state)
{
    (void)state;
    open_client(&c, &f, THRUM_CLIENT(0));
    assert_status(conn_end_status(&c), THRUM_E_CLOSED); /* of one that somebody has freed while it was open */
    fake_say(&f, "\x83\x00", 2);
    read_all(&c, 2);
    assert_status(conn_end_status(&c), THRUM_E_PROTOCOL);
    end_conn(&c, &f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_byte_by_byte),
        cmocka_unit_test(test_read_large_in_place),
        cmocka_unit_test(test_read_the_end),
        cmocka_unit_test(test_read_error),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_in_pieces),
        cmocka_unit_test(test_write_many),
        cmocka_unit_test(test_write_error),
        cmocka_unit_test(test_write_error_behind_a_close),
        cmocka_unit_test(test_answer_to_close_cannot_be_written),
        cmocka_unit_test(test_server_shuts_its_side),
        cmocka_unit_test(test_client_waits_for_the_server),
        cmocka_unit_test(test_tick),
        cmocka_unit_test(test_anything_heard_is_life),
        cmocka_unit_test(test_wants_no_more_than_it_may_keep),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_goodbye_drains_a_bounded_amount),
        cmocka_unit_test(test_goodbye_never_into_a_frame),
        cmocka_unit_test(test_no_goodbye_without_a_handshake),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_end_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
