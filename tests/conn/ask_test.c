/* ask_test.c: what one may ask of a connection, and of none, and of the parent's. */
#include "conn_test.h"

static struct thrum_conn c;
static struct fake f;

static int open_one(void **state)
{
    (void)state;
    open_server(&c, &f, THRUM_SERVER(.subprotocols = "a, z"));
    return 0;
}

static int end_one(void **state)
{
    (void)state;
    end_conn(&c, &f);
    return 0;
}

static void test_handshake(void **state)
{
    (void)state;
    assert_string_equal(thrum_conn_target(&c), "/x?y");
    assert_string_equal(thrum_conn_subprotocol(&c), "a");
    assert_string_equal(thrum_conn_peer(&c), "fake");
    assert_string_equal(thrum_conn_header(&c, "x-one", 0), "1");
    assert_string_equal(thrum_conn_header(&c, "X-ONE", 1), "2");
    assert_null(thrum_conn_header(&c, "X-One", 2));
    assert_null(thrum_conn_header(&c, "X-Two", 0));
    assert_null(thrum_conn_header(&c, NULL, 0));
    assert_int_equal(thrum_conn_id(&c), c.id);
}

static void test_of_no_connection(void **state)
{
    thrum_closing closing = {.size = sizeof closing};
    thrum_stats stats = {.size = sizeof stats};
    thrum_error e;
    (void)state;
    assert_null(thrum_conn_target(NULL));
    assert_null(thrum_conn_subprotocol(NULL));
    assert_string_equal(thrum_conn_peer(NULL), "");
    assert_null(thrum_conn_header(NULL, "Host", 0));
    assert_int_equal(thrum_conn_id(NULL), 0);
    assert_int_equal(thrum_conn_state(NULL), THRUM_CLOSED);
    assert_int_equal(thrum_latency(NULL), -1);
    assert_status(thrum_conn_closing(NULL, &closing), THRUM_E_ARGUMENT);
    assert_status(thrum_conn_stats(NULL, &stats), THRUM_E_ARGUMENT);
    thrum_conn_error(NULL, &e);
    assert_status(e.status, THRUM_E_ARGUMENT);
    assert_true(strlen(e.text) > 0);
    thrum_conn_error(NULL, NULL);
    assert_null(thrum_conn_user(NULL));
    thrum_conn_set_user(NULL, &e);
}

static void test_state_and_error(void **state)
{
    thrum_error e;
    thrum_closing closing = {.size = sizeof closing};
    (void)state;
    assert_int_equal(thrum_conn_state(&c), THRUM_OPEN);
    thrum_conn_error(&c, &e);
    assert_status(e.status, THRUM_OK);
    assert_status(thrum_conn_closing(&c, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_conn_closing(&c, &closing), THRUM_OK);
    assert_int_equal(closing.sent_code, 0);
    fake_say(&f, "\x88\x82\0\0\0\0\x0f\xa0", 8); /* 4000 */
    read_all(&c, 2);
    assert_int_equal(thrum_conn_state(&c), THRUM_CLOSING);
    conn_write(&c, 2);
    f.end = 0;
    read_all(&c, 3);
    assert_int_equal(thrum_conn_state(&c), THRUM_CLOSED);
    thrum_conn_error(&c, &e);
    assert_status(e.status, THRUM_E_CLOSED);
    assert_int_equal(e.close_code, 4000);
    assert_status(thrum_conn_closing(&c, &closing), THRUM_OK);
    assert_int_equal(closing.recv_code, 4000);
    assert_int_equal(closing.by_peer, 1);
}

static void test_user(void **state)
{
    int mine;
    (void)state;
    assert_null(thrum_conn_user(&c));
    thrum_conn_set_user(&c, &mine);
    assert_ptr_equal(thrum_conn_user(&c), &mine);
}

static void test_stats(void **state)
{
    thrum_stats s = {.size = sizeof s};
    struct {
        thrum_stats known;
        uint64_t more;
    } newer = {.known.size = sizeof newer, .more = 7};
    struct {
        uint64_t size, messages_in, messages_out, behind;
    } older = {24, 9, 9, 9};
    (void)state;
    fake_say(&f, "\x81\x82\0\0\0\0hi\x89\x80\0\0\0\0", 14);
    read_all(&c, 5);
    assert_status(thrum_conn_stats(&c, &s), THRUM_OK);
    assert_int_equal(s.messages_in, 1);
    assert_int_equal(s.bytes_in, 2);
    assert_int_equal(s.pings_in, 1);
    assert_int_equal(s.pongs_out, 1);
    assert_int_equal(s.queued_messages, 1);
    assert_int_equal(s.queued_in, 2);
    assert_int_equal(s.queued_out, 2); /* the pong */
    assert_int_equal(s.wire_in, sizeof REQUEST - 1 + 14);
    assert_int_equal(s.latency_ns, -1);
    /* A caller of another version gets what both know, and zeroes. */
    assert_status(thrum_conn_stats(&c, &newer.known), THRUM_OK);
    assert_int_equal(newer.known.size, sizeof newer);
    assert_int_equal(newer.known.messages_in, 1);
    assert_int_equal(newer.more, 0);
    assert_status(thrum_conn_stats(&c, (thrum_stats *)(void *)&older), THRUM_OK);
    assert_int_equal(older.messages_in, 1);
    assert_int_equal(older.behind, 9);
    assert_status(thrum_conn_stats(&c, NULL), THRUM_E_ARGUMENT);
    static const size_t bad[] = {0, 7, 8, 12, 25};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        s.size = bad[i];
        assert_status(thrum_conn_stats(&c, &s), THRUM_E_ARGUMENT);
    }
}

static void test_latency(void **state)
{
    uint64_t seq;
    (void)state;
    assert_int_equal(thrum_latency(&c), -1);
    assert_status(thrum_proto_ping(c.proto, (thrum_slice){(const uint8_t *)"p", 1}, 1000, &seq), THRUM_OK);
    fake_say(&f, "\x8a\x81\0\0\0\0p", 7);
    read_all(&c, 1700);
    assert_int_equal(thrum_latency(&c), 700);
}

/* In a child of fork the parent's connection answers nothing that would need its lock. */
static void test_of_the_parent(void **state)
{
    thrum_closing closing = {.size = sizeof closing};
    thrum_stats stats = {.size = sizeof stats};
    thrum_error e;
    (void)state;
    lock_take(&c.lock); /* whoever held it at the fork is no more */
    c.generation++;
    thrum_conn_error(&c, &e);
    assert_status(e.status, THRUM_E_FORKED);
    assert_status(thrum_conn_closing(&c, &closing), THRUM_E_FORKED);
    assert_status(thrum_conn_stats(&c, &stats), THRUM_E_FORKED);
    assert_int_equal(thrum_conn_state(&c), THRUM_CLOSED);
    assert_int_equal(thrum_latency(&c), -1);
    c.generation--;
    lock_give(&c.lock);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, open_one, end_one)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_handshake), EACH(test_of_no_connection), EACH(test_state_and_error), EACH(test_user),
        EACH(test_stats),     EACH(test_latency),          EACH(test_of_the_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
