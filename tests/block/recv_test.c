/* recv_test.c: receiving, whole and in parts. */
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

static void expect(thrum_conn *c, thrum_kind kind, const char *text)
{
    thrum_message m;
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
    assert_int_equal(m.kind, kind);
    assert_int_equal(m.part, THRUM_PART_WHOLE);
    assert_int_equal(m.len, strlen(text));
    assert_string_equal((const char *)m.data, text); /* the NUL behind it, too */
    thrum_message_release(&m);
    assert_null(m.data);
    assert_int_equal(m.len, 0);
}

static void test_times(void **state)
{
    thrum_message m;
    (void)state;
    assert_status(thrum_recv(p.client, &m, 0), THRUM_E_TIMEOUT);
    assert_status(thrum_recv(p.client, &m, 10), THRUM_E_TIMEOUT);
    assert_status(thrum_send(p.server, THRUM_TEXT, "now", 3), THRUM_OK);
    expect(p.client, THRUM_TEXT, "now");
    /* What the kernel has is found without waiting. */
    assert_status(thrum_send(p.server, THRUM_TEXT, "again", 5), THRUM_OK);
    assert_status(thrum_recv(p.client, &m, 0), THRUM_OK);
    thrum_message_release(&m);
}

static void test_arguments(void **state)
{
    thrum_message m;
    (void)state;
    assert_status(thrum_recv(NULL, &m, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_recv(p.client, NULL, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_recv(p.client, &m, -2), THRUM_E_ARGUMENT);
    thrum_message_release(NULL);
    thrum_message_release(&(thrum_message){0});
}

static void test_empty_and_binary(void **state)
{
    (void)state;
    assert_status(thrum_send(p.client, THRUM_BINARY, NULL, 0), THRUM_OK);
    assert_status(thrum_send(p.client, THRUM_TEXT, "", 0), THRUM_OK);
    expect(p.server, THRUM_BINARY, "");
    expect(p.server, THRUM_TEXT, "");
}

static void *recv_main(void *arg)
{
    thrum_message m;
    thrum_status s = thrum_recv(arg, &m, PEER_MS);
    uintptr_t got = s == THRUM_OK ? m.data[0] : 0;
    thrum_message_release(&m);
    return (void *)got;
}

static void test_each_message_goes_to_one_receiver(void **state)
{
    enum { N = 4 };
    pthread_t t[N];
    uintptr_t sum = 0;
    (void)state;
    for (int i = 0; i < N; i++)
        pthread_create(&t[i], NULL, recv_main, p.client);
    for (int i = 0; i < N; i++)
        assert_status(thrum_send(p.server, THRUM_TEXT, &"1248"[i], 1), THRUM_OK);
    for (int i = 0; i < N; i++) {
        void *got;
        pthread_join(t[i], &got);
        sum += (uintptr_t)got - '0';
    }
    assert_int_equal(sum, 15);
}

static void test_parts(void **state)
{
    thrum_message m;
    char text[16] = "";
    (void)state;
    assert_status(thrum_send_part(p.server, THRUM_TEXT, "ab", 2, false), THRUM_OK);
    assert_status(thrum_recv_part(p.client, &m, PEER_MS), THRUM_OK);
    assert_int_equal(m.part, THRUM_PART_FIRST);
    memcpy(text, m.data, m.len);
    size_t n = m.len;
    thrum_message_release(&m);
    assert_status(thrum_recv(p.client, &m, 0), THRUM_E_STATE);
    assert_status(thrum_send_part(p.server, THRUM_TEXT, "cd", 2, true), THRUM_OK);
    bool last = false;
    while (!last) {
        assert_status(thrum_recv_part(p.client, &m, PEER_MS), THRUM_OK);
        assert_false(m.part & THRUM_PART_FIRST);
        memcpy(text + n, m.data, m.len);
        n += m.len;
        last = m.part & THRUM_PART_LAST;
        thrum_message_release(&m);
    }
    assert_string_equal(text, "abcd");
    assert_status(thrum_send(p.server, THRUM_TEXT, "whole", 5), THRUM_OK);
    expect(p.client, THRUM_TEXT, "whole");
}

static void test_parts_of_a_whole_message(void **state)
{
    thrum_message m;
    (void)state;
    assert_status(thrum_send(p.server, THRUM_TEXT, "one", 3), THRUM_OK);
    await(counter(p.client, wire_in) > 0);
    assert_status(thrum_recv_part(p.client, &m, PEER_MS), THRUM_OK);
    assert_int_equal(m.part, THRUM_PART_WHOLE);
    thrum_message_release(&m);
}

/* Messages that came whole before the end are not lost. */
static void test_taken_after_the_end(void **state)
{
    thrum_message m;
    thrum_error e;
    (void)state;
    assert_status(thrum_send(p.server, THRUM_TEXT, "1", 1), THRUM_OK);
    assert_status(thrum_send(p.server, THRUM_TEXT, "2", 1), THRUM_OK);
    thrum_conn_free(p.server);
    p.server = NULL;
    expect(p.client, THRUM_TEXT, "1");
    expect(p.client, THRUM_TEXT, "2");
    assert_status(thrum_recv(p.client, &m, PEER_MS), THRUM_E_CLOSED);
    assert_status(thrum_recv(p.client, &m, PEER_MS), THRUM_E_CLOSED);
    thrum_conn_error(p.client, &e);
    assert_int_equal(e.close_code, 1001);
    assert_int_equal(e.by_peer, 1);
}

static void test_cancel(void **state)
{
    struct pair *q = &p;
    pthread_t t;
    void *got;
    thrum_message m;
    (void)state;
    pthread_create(&t, NULL, recv_main, q->client);
    await(is_waiting(q->client, WANT_MESSAGE));
    thrum_cancel(q->client);
    pthread_join(t, &got);
    assert_null(got);
    assert_int_equal(thrum_conn_state(q->client), THRUM_OPEN);
    assert_status(thrum_recv(q->client, &m, 0), THRUM_E_TIMEOUT); /* only those that waited were told */
    thrum_cancel(NULL);
}

static void test_errors_of_the_peer(void **state)
{
    struct peer peer;
    thrum_message m;
    thrum_error e;
    uint8_t first, close[125];
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    assert_true(peer_write(&peer, "\x81\x02ok\x83\x00", 6)); /* a message, then a reserved opcode */
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
    thrum_message_release(&m);
    size_t n = raw_frame(&peer, &first, close, sizeof close);
    assert_true(n >= 2);
    assert_int_equal(first, 0x88);
    assert_int_equal(close[0] << 8 | close[1], 1002);
    peer_close(&peer);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_PROTOCOL);
    thrum_conn_error(c, &e);
    assert_int_equal(e.close_code, 1002);
    assert_non_null(strstr(e.text, "opcode"));
    thrum_conn_free(c);
}

/* A message and a fault in one write: the answer to the one goes before the Close for the other. */
static void test_answer_before_the_error(void **state)
{
    struct peer peer;
    thrum_message m;
    uint8_t first, got[125];
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_OFF));
    assert_true(peer_write(&peer, "\x81\x02ok\x83\x00", 6));
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
    assert_status(thrum_send(c, m.kind, m.data, m.len), THRUM_OK);
    thrum_message_release(&m);
    assert_status(thrum_recv(c, &m, 0), THRUM_E_TIMEOUT); /* says Close; the peer has not ended the stream */
    assert_int_equal(raw_frame(&peer, &first, got, sizeof got), 2);
    assert_int_equal(first, 0x81);
    assert_true(raw_frame(&peer, &first, got, sizeof got) >= 2);
    assert_int_equal(first, 0x88);
    assert_int_equal(got[0] << 8 | got[1], 1002);
    peer_close(&peer);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_PROTOCOL);
    thrum_conn_free(c);
}

static void test_spinning(void **state)
{
    struct pair q;
    thrum_message m;
    (void)state;
    pair_open(&q, AF_UNIX, false, THRUM_CLIENT(.spin_us = 200), NULL);
    assert_status(thrum_recv(q.client, &m, 0), THRUM_E_TIMEOUT);
    for (int i = 0; i < 100; i++) {
        assert_status(thrum_send(q.server, THRUM_TEXT, "x", 1), THRUM_OK);
        expect(q.client, THRUM_TEXT, "x");
    }
    pair_free(&q);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, open_pair, free_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_times),
        EACH(test_arguments),
        EACH(test_empty_and_binary),
        EACH(test_each_message_goes_to_one_receiver),
        EACH(test_parts),
        EACH(test_parts_of_a_whole_message),
        EACH(test_taken_after_the_end),
        EACH(test_cancel),
        cmocka_unit_test(test_errors_of_the_peer),
        cmocka_unit_test(test_answer_before_the_error),
        cmocka_unit_test(test_spinning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
