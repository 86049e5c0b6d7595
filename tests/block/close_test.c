/* close_test.c: the closing handshake as a call. */
#include "block_test.h"

static struct pair p;

static int open_pair(void **state)
{
    (void)state;
    pair_open(&p, AF_UNIX, false, NULL, NULL);
    return 0;
}

static int free_pair(void **state)
{
    (void)state;
    pair_free(&p);
    return 0;
}

static void *close_main(void *arg)
{
    return (void *)(intptr_t)thrum_close(arg, 1000, "from here");
}

static void test_arguments(void **state)
{
    char reason[125];
    (void)state;
    memset(reason, 'r', 124);
    reason[124] = 0;
    assert_status(thrum_close(NULL, 1000, NULL), THRUM_E_ARGUMENT);
    static const uint16_t bad[] = {1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_status(thrum_close(p.client, bad[i], NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_close(p.client, 1000, reason), THRUM_E_ARGUMENT);
    assert_status(thrum_close(p.client, 1000, "\xff"), THRUM_E_ARGUMENT);
    assert_status(thrum_close(p.client, 0, "a reason without a code"), THRUM_E_ARGUMENT);
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
    reason[123] = 0;
    assert_status(thrum_close(p.client, 4999, reason), THRUM_OK);
}

static void test_codes_and_reasons(void **state)
{
    thrum_closing c = {.size = sizeof c}, s = {.size = sizeof s};
    thrum_message m;
    thrum_error e;
    (void)state;
    assert_status(thrum_close(p.client, 3001, "over and out"), THRUM_OK);
    assert_status(thrum_recv(p.server, &m, PEER_MS), THRUM_E_CLOSED);
    assert_status(thrum_conn_closing(p.client, &c), THRUM_OK);
    assert_status(thrum_conn_closing(p.server, &s), THRUM_OK);
    assert_int_equal(c.sent_code, 3001);
    assert_string_equal(c.sent_reason, "over and out");
    assert_int_equal(c.recv_code, 3001); /* the answer says the same code */
    assert_int_equal(c.by_peer, 0);
    assert_int_equal(c.clean, 1);
    assert_int_equal(s.recv_code, 3001);
    assert_string_equal(s.recv_reason, "over and out");
    assert_int_equal(s.by_peer, 1);
    thrum_conn_error(p.server, &e);
    assert_status(e.status, THRUM_E_CLOSED);
    assert_int_equal(e.close_code, 3001);
    assert_int_equal(e.by_peer, 1);
    assert_status(thrum_close(p.client, 1000, NULL), THRUM_OK); /* again, and after the end */
    assert_status(thrum_close(p.server, 1000, NULL), THRUM_OK);
}

static void test_without_a_code(void **state)
{
    thrum_closing s = {.size = sizeof s};
    thrum_message m;
    (void)state;
    assert_status(thrum_close(p.client, 0, NULL), THRUM_OK);
    assert_status(thrum_recv(p.server, &m, PEER_MS), THRUM_E_CLOSED);
    assert_status(thrum_conn_closing(p.server, &s), THRUM_OK);
    assert_int_equal(s.recv_code, 1005);
    assert_int_equal(s.sent_code, 1005);
    s.size = 3;
    assert_status(thrum_conn_closing(p.server, &s), THRUM_E_ARGUMENT);
}

static void test_both_at_once(void **state)
{
    pthread_t t;
    void *other;
    (void)state;
    pthread_create(&t, NULL, close_main, p.server);
    assert_status(thrum_close(p.client, 1000, NULL), THRUM_OK);
    pthread_join(t, &other);
    assert_status((thrum_status)(intptr_t)other, THRUM_OK);
}

static void test_server_first(void **state)
{
    thrum_message m;
    (void)state;
    assert_status(thrum_close(p.server, 1012, NULL), THRUM_OK);
    assert_status(thrum_recv(p.client, &m, PEER_MS), THRUM_E_CLOSED);
}

static void test_several_close_one_connection(void **state)
{
    pthread_t t[3];
    void *got;
    (void)state;
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, close_main, p.client);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &got);
        assert_status((thrum_status)(intptr_t)got, THRUM_OK);
    }
}

static void test_peer_never_answers(void **state)
{
    struct peer peer;
    thrum_error e;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.close_timeout = 20));
    assert_status(thrum_close(c, 1000, NULL), THRUM_E_TIMEOUT);
    thrum_conn_error(c, &e);
    assert_status(e.status, THRUM_E_UNCLEAN);
    assert_non_null(strstr(e.text, "did not answer Close"));
    thrum_conn_free(c);
    peer_close(&peer);
}

static void test_peer_ends_without_close(void **state)
{
    struct peer peer;
    uint8_t first, close[125];
    pthread_t t;
    void *got;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    pthread_create(&t, NULL, close_main, c);
    assert_int_equal(raw_frame(&peer, &first, close, sizeof close), 2 + strlen("from here"));
    peer_close(&peer);
    pthread_join(t, &got);
    assert_status((thrum_status)(intptr_t)got, THRUM_E_UNCLEAN);
    thrum_conn_free(c);
}

/* The reader's queue is full, and still the peer's Close is found, in bounded memory. */
static void test_close_finds_the_answer_behind_data(void **state)
{
    struct peer peer;
    uint8_t data[4 + 1000] = {0x82, 126, 1000 >> 8, 1000 & 0xff};
    thrum_message m;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    for (int i = 0; i < 40; i++)
        assert_true(peer_write(&peer, data, sizeof data));
    assert_true(peer_write(&peer, "\x88\x02\x03\xe8", 4));
    peer_half_close(&peer);
    assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    int taken = 0;
    while (thrum_recv(c, &m, 0) == THRUM_OK) {
        thrum_message_release(&m);
        taken++;
    }
    assert_true(taken >= 16 && taken <= 40);
    thrum_conn_free(c);
    peer_close(&peer);
}

/* The wait can be cancelled; the closing handshake goes on without it. */
static void test_cancelled(void **state)
{
    struct peer peer;
    pthread_t t;
    void *got;
    thrum_message m;
    (void)state;
    thrum_cancel(NULL);
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    pthread_create(&t, NULL, close_main, c);
    await(is_waiting(c, WANT_END));
    thrum_cancel(c);
    pthread_join(t, &got);
    assert_status((thrum_status)(intptr_t)got, THRUM_E_CANCELLED);
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSING);
    assert_true(peer_write(&peer, "\x88\x02\x03\xe8", 4));
    peer_half_close(&peer);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_CLOSED);
    assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    c->generation++; /* as in a child of fork */
    thrum_cancel(c);
    assert_status(thrum_close(c, 1000, NULL), THRUM_E_FORKED);
    c->generation--;
    thrum_conn_free(c);
    peer_close(&peer);
}

/* Everyone who waits on the connection is released by the end of it, whoever closes. */
static void *recv_main(void *arg)
{
    thrum_message m;
    return (void *)(intptr_t)thrum_recv(arg, &m, THRUM_FOREVER);
}
static void *ping_main(void *arg)
{
    return (void *)(intptr_t)thrum_ping(arg, "x", 1, THRUM_FOREVER);
}

static void test_releases_others(void **state)
{
    struct peer peer;
    pthread_t t[2];
    uint8_t first, close[125], ping[125];
    void *got;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    pthread_create(&t[0], NULL, recv_main, c);
    pthread_create(&t[1], NULL, ping_main, c);
    await(is_waiting(c, WANT_MESSAGE) && is_waiting(c, WANT_PONG));
    assert_true(peer_write(&peer, "\x88\x02\x03\xe8", 4));
    assert_int_equal(raw_frame(&peer, &first, ping, sizeof ping), 1);
    assert_int_equal(raw_frame(&peer, &first, close, sizeof close), 2);
    peer_half_close(&peer);
    assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], &got);
        assert_status((thrum_status)(intptr_t)got, THRUM_E_CLOSED);
    }
    thrum_conn_free(c);
    peer_close(&peer);
}

/* Sent and received reasons are kept apart, as they stood on the wire. */
static void test_two_reasons(void **state)
{
    struct peer peer;
    thrum_closing closing = {.size = sizeof closing};
    pthread_t t;
    void *got;
    uint8_t first, close[125];
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    pthread_create(&t, NULL, close_main, c);
    assert_int_equal(raw_frame(&peer, &first, close, sizeof close), 11);
    assert_true(peer_write(&peer, "\x88\x07\x0f\xa0there", 9));
    peer_half_close(&peer);
    pthread_join(t, &got);
    assert_status((thrum_status)(intptr_t)got, THRUM_OK);
    assert_status(thrum_conn_closing(c, &closing), THRUM_OK);
    assert_int_equal(closing.sent_code, 1000);
    assert_string_equal(closing.sent_reason, "from here");
    assert_int_equal(closing.recv_code, 4000);
    assert_string_equal(closing.recv_reason, "there");
    assert_int_equal(closing.by_peer, 0);
    assert_int_equal(closing.clean, 1);
    thrum_conn_free(c);
    peer_close(&peer);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, open_pair, free_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_arguments),
        EACH(test_codes_and_reasons),
        EACH(test_without_a_code),
        EACH(test_both_at_once),
        EACH(test_server_first),
        EACH(test_several_close_one_connection),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_releases_others),
        cmocka_unit_test(test_two_reasons),
        cmocka_unit_test(test_peer_never_answers),
        cmocka_unit_test(test_peer_ends_without_close),
        cmocka_unit_test(test_close_finds_the_answer_behind_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
