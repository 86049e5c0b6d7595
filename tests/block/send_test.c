/* send_test.c: sending, in turns, in parts, gathered; pings. What ends a send early is in seven_test.c. */
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

static void expect(thrum_conn *c, const void *data, size_t n)
{
    thrum_message m;
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
    assert_int_equal(m.len, n);
    assert_memory_equal(m.data, data, n);
    thrum_message_release(&m);
}

static void test_arguments(void **state)
{
    thrum_slice holes[2] = {{(const uint8_t *)"a", 1}, {NULL, 3}};
    (void)state;
    assert_status(thrum_send(NULL, THRUM_TEXT, "a", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_send(p.client, (thrum_kind)3, "a", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_send(p.client, THRUM_TEXT, NULL, 1), THRUM_E_ARGUMENT);
    assert_status(thrum_sendv(p.client, THRUM_TEXT, NULL, 1), THRUM_E_ARGUMENT);
    assert_status(thrum_sendv(p.client, THRUM_TEXT, holes, 2), THRUM_E_ARGUMENT);
    assert_status(thrum_send_part(p.client, THRUM_TEXT, NULL, 1, true), THRUM_E_ARGUMENT);
    assert_status(thrum_ping(p.client, NULL, 1, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_ping(p.client, "", 0, -2), THRUM_E_ARGUMENT);
    assert_status(thrum_pong(p.client, NULL, 1), THRUM_E_ARGUMENT);
}

static void test_text_must_be_utf8(void **state)
{
    thrum_message m;
    (void)state;
    assert_status(thrum_send(p.client, THRUM_TEXT, "a\xff", 2), THRUM_E_UTF8);
    assert_status(thrum_send(p.client, THRUM_TEXT, "\xc3", 1), THRUM_E_UTF8);
    assert_status(thrum_send_part(p.client, THRUM_TEXT, "\xc3", 1, false), THRUM_OK);
    assert_status(thrum_send_part(p.client, THRUM_TEXT, "", 0, true),
                  THRUM_E_UTF8); /* it may not end there */
    assert_status(thrum_send_part(p.client, THRUM_TEXT, "\xa9", 1, true), THRUM_OK);
    expect(p.server, "\xc3\xa9", 2);
    assert_status(thrum_recv(p.server, &m, 0), THRUM_E_TIMEOUT); /* nothing of the bad ones was sent */
}

/* Every size around the three length forms and the border between copied and lent frames, both ways. */
static void test_sizes(void **state)
{
    static const size_t sizes[] = {0,    1,     125,   126,   127,    1023,   1024,
                                   1025, 65535, 65536, 65537, 200000, 1 << 20};
    uint8_t *data = malloc(1 << 20);
    (void)state;
    for (size_t i = 0; i < 1 << 20; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_status(thrum_send(p.client, THRUM_BINARY, data, sizes[i]), THRUM_OK);
        expect(p.server, data, sizes[i]);
        assert_status(thrum_send(p.server, THRUM_BINARY, data, sizes[i]), THRUM_OK);
        expect(p.client, data, sizes[i]);
    }
    free(data);
}

static void test_gathered(void **state)
{
    enum { N = 40, STEP = 111 };
    uint8_t data[N * STEP];
    thrum_slice v[N];
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 >> 2);
    for (size_t i = 0; i < N; i++)
        v[i] = (thrum_slice){data + i * STEP, STEP};
    assert_status(thrum_sendv(p.client, THRUM_BINARY, v, N), THRUM_OK);
    expect(p.server, data, sizeof data);
    assert_status(thrum_sendv(p.server, THRUM_BINARY, v, N), THRUM_OK);
    expect(p.client, data, sizeof data);
    assert_status(thrum_sendv(p.server, THRUM_BINARY, NULL, 0), THRUM_OK);
    expect(p.client, "", 0);
    v[1].n = 0;
    assert_status(thrum_sendv(p.server, THRUM_BINARY, v, 2), THRUM_OK);
    expect(p.client, data, STEP);
}

struct job {
    thrum_conn *c;
    thrum_status status;
};

static void *send_other(void *arg)
{
    struct job *j = arg;
    j->status = thrum_send(j->c, THRUM_TEXT, "other", 5);
    return NULL;
}

static void test_parts_hold_the_turn(void **state)
{
    struct job j = {.c = p.client};
    pthread_t t;
    (void)state;
    assert_status(thrum_send_part(p.client, THRUM_TEXT, "a", 1, false), THRUM_OK);
    assert_status(thrum_send(p.client, THRUM_TEXT, "mine", 4), THRUM_E_STATE); /* it would wait for itself */
    assert_status(thrum_send_part(p.client, THRUM_BINARY, "b", 1, true), THRUM_E_STATE);
    pthread_create(&t, NULL, send_other, &j);
    await(is_waiting(p.client, WANT_TURN));
    assert_status(thrum_ping(p.client, "between", 7, PEER_MS),
                  THRUM_OK); /* the other side's warden answers */
    assert_status(thrum_send_part(p.client, THRUM_TEXT, "b", 1, true), THRUM_OK);
    pthread_join(t, NULL);
    assert_status(j.status, THRUM_OK);
    expect(p.server, "ab", 2);
    expect(p.server, "other", 5);
}

static void test_turn_times_out(void **state)
{
    struct pair q;
    struct job j;
    pthread_t t;
    (void)state;
    pair_open(&q, AF_UNIX, false, THRUM_CLIENT(.send_timeout = 20), NULL);
    j.c = q.client;
    assert_status(thrum_send_part(q.client, THRUM_TEXT, "a", 1, false), THRUM_OK);
    pthread_create(&t, NULL, send_other, &j);
    pthread_join(t, NULL);
    assert_status(j.status, THRUM_E_TIMEOUT);
    pair_free(&q);
}

static void test_ping(void **state)
{
    char long_payload[126] = "";
    (void)state;
    assert_int_equal(thrum_latency(p.client), -1);
    assert_status(thrum_ping(p.client, NULL, 0, PEER_MS), THRUM_OK);
    assert_true(thrum_latency(p.client) > 0);
    assert_status(thrum_ping(p.client, long_payload, 125, PEER_MS), THRUM_OK);
    assert_status(thrum_ping(p.client, long_payload, 126, PEER_MS), THRUM_E_ARGUMENT);
    assert_status(thrum_pong(p.client, "heartbeat", 9), THRUM_OK);
    assert_status(thrum_pong(p.client, long_payload, 126), THRUM_E_ARGUMENT);
    await(counter(p.server, pongs_in) == 1);
}

static void test_ping_without_answer(void **state)
{
    struct peer peer;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_ON));
    assert_status(thrum_ping(c, "x", 1, 20), THRUM_E_TIMEOUT);
    for (int i = 1; i < 64; i++)
        assert_status(thrum_ping(c, "x", 1, 0), THRUM_OK);
    assert_status(thrum_ping(c, "x", 1, 0), THRUM_E_FULL);
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    peer_close(&peer);
    await(thrum_conn_state(c) == THRUM_CLOSED);
    thrum_error e;
    thrum_conn_error(c, &e); /* a reset, where the peer had not read all */
    assert_true(e.status == THRUM_E_UNCLEAN || e.status == THRUM_E_RESET);
    assert_status(thrum_ping(c, "x", 1, 0), e.status);
    assert_status(thrum_send(c, THRUM_TEXT, "x", 1), e.status);
    thrum_conn_free(c);
}

static void test_after_close(void **state)
{
    (void)state;
    thrum_conn_free(p.server);
    p.server = NULL;
    assert_status(thrum_close(p.client, 1000, NULL), THRUM_OK);
    assert_status(thrum_send(p.client, THRUM_TEXT, "x", 1), THRUM_E_CLOSED);
    assert_status(thrum_send_part(p.client, THRUM_TEXT, "x", 1, true), THRUM_E_CLOSED);
    assert_status(thrum_ping(p.client, "x", 1, 0), THRUM_E_CLOSED);
    assert_status(thrum_pong(p.client, "x", 1), THRUM_E_CLOSED);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, open_pair, free_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_arguments),
        EACH(test_text_must_be_utf8),
        EACH(test_sizes),
        EACH(test_gathered),
        EACH(test_parts_hold_the_turn),
        EACH(test_ping),
        EACH(test_after_close),
        cmocka_unit_test(test_turn_times_out),
        cmocka_unit_test(test_ping_without_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
