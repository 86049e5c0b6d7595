/* seven_test.c: seven things that the newest Python `websockets` gets wrong, measured, and thrum must not
 * (issue 2 line 5). (e), 1001 at exit, and more of (f), fork, are whole programs in tests/exit. */
#include "block_test.h"
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

/* ---- (a) full duplex, both sides sending and reading on other threads, tiny buffers ---- */
enum { DUPLEX_MESSAGES = 3000, DUPLEX_SIZE = 700 };

static void *duplex_send(void *arg)
{
    uint8_t m[DUPLEX_SIZE];
    for (uint32_t i = 0; i < DUPLEX_MESSAGES; i++) {
        memset(m, (int)(i & 0xff), sizeof m);
        memcpy(m, &i, sizeof i);
        if (thrum_send(arg, THRUM_BINARY, m, sizeof m) != THRUM_OK)
            return (void *)1;
    }
    return NULL;
}

static void *duplex_recv(void *arg)
{
    for (uint32_t i = 0; i < DUPLEX_MESSAGES; i++) {
        thrum_message m;
        if (thrum_recv(arg, &m, THRUM_FOREVER) != THRUM_OK)
            return (void *)1;
        uint32_t n;
        memcpy(&n, m.data, sizeof n);
        bool right = m.len == DUPLEX_SIZE && n == i && m.data[DUPLEX_SIZE - 1] == (i & 0xff);
        thrum_message_release(&m);
        if (!right)
            return (void *)2;
    }
    return NULL;
}

static void full_duplex(int family)
{
    struct pair p;
    pthread_t t[4];
    void *result;
    pair_open(&p, family, true, NULL, NULL);
    pthread_create(&t[0], NULL, duplex_send, p.client);
    pthread_create(&t[1], NULL, duplex_send, p.server);
    pthread_create(&t[2], NULL, duplex_recv, p.client);
    pthread_create(&t[3], NULL, duplex_recv, p.server);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &result);
        assert_null(result);
    }
    pair_free(&p);
}

static void test_a_full_duplex_tcp(void **state)
{
    (void)state;
    full_duplex(AF_INET);
}

static void test_a_full_duplex_unix(void **state)
{
    (void)state;
    full_duplex(AF_UNIX);
}

/* The same with nobody reading on either side but the warden: the sends of one side wait until the other
 * takes. */
static void test_a_both_send_then_both_read(void **state)
{
    struct pair p;
    pthread_t t[2];
    void *result;
    (void)state;
    pair_open(&p, AF_UNIX, true, NULL, NULL);
    pthread_create(&t[0], NULL, duplex_send, p.client);
    pthread_create(&t[1], NULL, duplex_send, p.server);
    assert_null(duplex_recv(p.client));
    assert_null(duplex_recv(p.server));
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], &result);
        assert_null(result);
    }
    pair_free(&p);
}

/* ---- (b) close releases a send that is blocked on a peer that never reads ---- */
struct sending {
    thrum_conn *c;
    size_t n;
    thrum_status status;
};

static void *send_much(void *arg)
{
    struct sending *s = arg;
    uint8_t *p = calloc(1, s->n);
    s->status = thrum_send(s->c, THRUM_BINARY, p, s->n);
    free(p);
    return NULL;
}

static void test_b_close_releases_a_blocked_send(void **state)
{
    struct peer peer;
    pthread_t t;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_INET, true, THRUM_CLIENT(.close_timeout = 100));
    struct sending s = {.c = c, .n = 8 << 20};
    pthread_create(&t, NULL, send_much, &s);
    await(is_waiting(c, WANT_WRITTEN));
    assert_status(thrum_close(c, 1000, "enough"), THRUM_E_TIMEOUT);
    pthread_join(t, NULL);
    assert_true(s.status == THRUM_E_CLOSED || s.status == THRUM_E_UNCLEAN);
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSED);
    assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    thrum_conn_free(c);
    peer_close(&peer);
}

/* Also one whose turn has not come, and a recv. */
static void *recv_one(void *arg)
{
    struct sending *s = arg;
    thrum_message m;
    s->status = thrum_recv(s->c, &m, THRUM_FOREVER);
    thrum_message_release(&m);
    return NULL;
}

static void test_b_close_releases_all_that_wait(void **state)
{
    struct peer peer;
    pthread_t t[3];
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_INET, true, THRUM_CLIENT(.close_timeout = 100));
    struct sending s[3] = {{.c = c, .n = 8 << 20}, {.c = c, .n = 5}, {.c = c}};
    pthread_create(&t[0], NULL, send_much, &s[0]);
    await(is_waiting(c, WANT_WRITTEN));
    pthread_create(&t[1], NULL, send_much, &s[1]);
    await(is_waiting(c, WANT_TURN));
    pthread_create(&t[2], NULL, recv_one, &s[2]);
    await(is_waiting(c, WANT_MESSAGE));
    assert_status(thrum_close(c, 1000, NULL), THRUM_E_TIMEOUT);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], NULL);
        assert_int_not_equal(s[i].status, THRUM_OK);
    }
    thrum_conn_free(c);
    peer_close(&peer);
}

/* ---- (c) a send that ends early in mid-frame never leaves broken framing ---- */
enum { BIG = 4 << 20 };

static void expect_big_then_text(struct peer *peer, const char *text)
{
    uint8_t first, *big = malloc(BIG);
    assert_int_equal(raw_frame(peer, &first, big, BIG), BIG);
    assert_int_equal(first, 0x82);
    for (size_t i = 0; i < BIG; i++)
        if (big[i] != (uint8_t)(i * 7))
            fail_msg("byte %zu of the message that was finished later is wrong", i);
    assert_int_equal(raw_frame(peer, &first, big, BIG), strlen(text));
    assert_int_equal(first, 0x81);
    assert_memory_equal(big, text, strlen(text));
    free(big);
}

static uint8_t *big_message(void)
{
    uint8_t *p = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        p[i] = (uint8_t)(i * 7);
    return p;
}

struct reading {
    struct peer *peer;
    const char *text;
};

static void *read_big(void *arg)
{
    struct reading *r = arg;
    expect_big_then_text(r->peer, r->text);
    return NULL;
}

static void test_c_timeout_in_mid_frame(void **state)
{
    struct peer peer;
    pthread_t t;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_INET, true, THRUM_CLIENT(.send_timeout = 30));
    uint8_t *p = big_message();
    assert_status(thrum_send(c, THRUM_BINARY, p, BIG), THRUM_E_UNFINISHED);
    memset(p, 0xee, BIG); /* the library's copy is what is sent */
    free(p);
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    assert_status(thrum_send(c, THRUM_TEXT, "never left", 10), THRUM_E_TIMEOUT);
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    struct reading r = {&peer, "and on"};
    pthread_create(&t, NULL, read_big, &r);
    thrum_status s;
    do /* the peer reads now: the turn comes when the rest is written */
        s = thrum_send(c, THRUM_TEXT, "and on", 6);
    while (s == THRUM_E_TIMEOUT);
    assert_true(s == THRUM_OK || s == THRUM_E_UNFINISHED);
    pthread_join(t, NULL);
    thrum_conn_free(c);
    peer_close(&peer);
}

static void on_signal(int sig)
{
    (void)sig;
}

static void *send_big(void *arg)
{
    struct sending *s = arg;
    uint8_t *p = big_message();
    s->status = thrum_send(s->c, THRUM_BINARY, p, BIG);
    free(p);
    return NULL;
}

static void send_under_signal(thrum_switch interruptible)
{
    struct peer peer;
    pthread_t t, reader;
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &a, NULL);
    thrum_conn *c = raw_client(&peer, AF_INET, true, THRUM_CLIENT(.interruptible = interruptible));
    struct sending s = {.c = c};
    pthread_create(&t, NULL, send_big, &s);
    await(is_waiting(c, WANT_WRITTEN));
    struct reading r = {&peer, "after"};
    if (interruptible == THRUM_ON) {
        /* Is it in its poll yet? It is on the list just before; so ask until the call has ended. */
        while (is_waiting(c, WANT_WRITTEN)) {
            pthread_kill(t, SIGUSR1);
            sched_yield();
        }
        pthread_join(t, NULL);
        assert_status(s.status, THRUM_E_UNFINISHED);
        pthread_create(&reader, NULL, read_big, &r);
    } else {
        for (int i = 0; i < 100; i++)
            pthread_kill(t, SIGUSR1);
        pthread_create(&reader, NULL, read_big, &r);
        pthread_join(t, NULL);
        assert_status(s.status, THRUM_OK);
    }
    assert_status(thrum_send(c, THRUM_TEXT, "after", 5), THRUM_OK);
    pthread_join(reader, NULL);
    thrum_conn_free(c);
    peer_close(&peer);
}

static void test_c_interrupted_in_mid_frame(void **state)
{
    (void)state;
    send_under_signal(THRUM_ON);
}

static void test_c_signals_do_not_end_a_send(void **state)
{
    (void)state;
    send_under_signal(THRUM_DEFAULT);
}

static void test_c_cancel_in_mid_frame(void **state)
{
    struct peer peer;
    pthread_t t, reader;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_INET, true, NULL);
    struct sending s = {.c = c};
    pthread_create(&t, NULL, send_big, &s);
    await(is_waiting(c, WANT_WRITTEN));
    thrum_cancel(c);
    pthread_join(t, NULL);
    assert_status(s.status, THRUM_E_UNFINISHED);
    struct reading r = {&peer, "on"};
    pthread_create(&reader, NULL, read_big, &r);
    assert_status(thrum_send(c, THRUM_TEXT, "on", 2), THRUM_OK);
    pthread_join(reader, NULL);
    thrum_conn_free(c);
    peer_close(&peer);
}

/* With nobody inside any call, the warden writes the rest. */
static void test_c_the_rest_is_written_without_us(void **state)
{
    struct peer peer;
    uint8_t first, *big = malloc(BIG);
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_INET, true, THRUM_CLIENT(.send_timeout = 20));
    uint8_t *p = big_message();
    assert_status(thrum_send(c, THRUM_BINARY, p, BIG), THRUM_E_UNFINISHED);
    assert_int_equal(raw_frame(&peer, &first, big, BIG), BIG);
    assert_memory_equal(big, p, BIG);
    free(p);
    free(big);
    thrum_conn_free(c);
    peer_close(&peer);
}

/* ---- (d) 200 connections dropped without a close leave nothing ---- */
static void test_d_dropped_connections_leave_nothing(void **state)
{
    enum { N = 200 };
    static struct pair p[N];
    (void)state;
    struct pair warm; /* what is kept once per thread and process */
    pair_open(&warm, AF_UNIX, false, NULL, NULL);
    pair_free(&warm);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    long blocks = fault_live_blocks();
    int descriptors = fault_open_descriptors();
    for (int i = 0; i < N; i++)
        pair_open(&p[i], AF_UNIX, false, NULL, NULL);
    for (int i = 0; i < N; i++)
        pair_free(&p[i]);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    assert_int_equal(fault_open_descriptors(), descriptors);
    assert_int_equal(fault_live_blocks(), blocks);
}

/* ---- (f) after fork, parent and child do not disturb each other ---- */
static void test_f_fork(void **state)
{
    struct pair p;
    thrum_message m;
    (void)state;
    pair_open(&p, AF_UNIX, false, NULL, NULL);
    pid_t pid = fork_at_rest();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct pair mine;
        bool right = thrum_send(p.client, THRUM_TEXT, "x", 1) == THRUM_E_FORKED &&
                     thrum_recv(p.server, &m, 0) == THRUM_E_FORKED &&
                     thrum_close(p.client, 1000, NULL) == THRUM_E_FORKED;
        pair_free(&p);
#ifndef __SANITIZE_THREAD__ /* which cannot start threads in a child of a program that had some */
        pair_open(&mine, AF_UNIX, false, NULL, NULL);
        right = right && thrum_send(mine.client, THRUM_TEXT, "own", 3) == THRUM_OK &&
                thrum_recv(mine.server, &m, PEER_MS) == THRUM_OK;
#else
        (void)mine;
#endif
        child_exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_status(thrum_send(p.client, THRUM_TEXT, "still", 5), THRUM_OK);
    assert_status(thrum_recv(p.server, &m, PEER_MS), THRUM_OK);
    assert_string_equal((const char *)m.data, "still");
    thrum_message_release(&m);
    assert_status(thrum_recv(p.server, &m, 0), THRUM_E_TIMEOUT);
    pair_free(&p);
}

/* ---- (g) a slow reader with a healthy peer is not killed by keepalive ---- */
static void *flood(void *arg)
{
    uint8_t m[10000] = {0};
    for (int i = 0; i < 200; i++)
        if (thrum_send(arg, THRUM_BINARY, m, sizeof m) != THRUM_OK)
            return (void *)1;
    return NULL;
}

static void test_g_slow_reader_lives(void **state)
{
    struct pair p;
    pthread_t t;
    void *result;
    (void)state;
    /* A socket pair: on TCP a window that was shut may take longer to open again than these timeouts. */
    pair_open(
        &p, AF_UNIX, true,
        THRUM_CLIENT(.recv_high = 20000, .ping_interval = 50, .ping_timeout = 150, .attended = THRUM_ON),
        THRUM_SERVER(.ping_interval = 50, .ping_timeout = 150, .attended = THRUM_ON));
    pthread_create(&t, NULL, flood, p.server);
    /* The client takes nothing while ten of its own heartbeats go out: many times what either side's
     * keepalive allows a peer that is dead. */
    await(counter(p.client, pongs_out) >= 10 || thrum_conn_state(p.client) != THRUM_OPEN);
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
    for (int i = 0; i < 200; i++) {
        thrum_message m;
        thrum_error why;
        if (thrum_recv(p.client, &m, PEER_MS) != THRUM_OK) {
            thrum_conn_error(p.client, &why);
            print_error("client: %s\n", why.text);
            thrum_conn_error(p.server, &why);
            fail_msg("message %d did not come; server: %s", i, why.text);
        }
        assert_int_equal(m.len, 10000);
        thrum_message_release(&m);
    }
    pthread_join(t, &result);
    assert_null(result);
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
    assert_int_equal(thrum_conn_state(p.server), THRUM_OPEN);
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_duplex_tcp),
        cmocka_unit_test(test_a_full_duplex_unix),
        cmocka_unit_test(test_a_both_send_then_both_read),
        cmocka_unit_test(test_b_close_releases_a_blocked_send),
        cmocka_unit_test(test_b_close_releases_all_that_wait),
        cmocka_unit_test(test_c_timeout_in_mid_frame),
        cmocka_unit_test(test_c_interrupted_in_mid_frame),
        cmocka_unit_test(test_c_signals_do_not_end_a_send),
        cmocka_unit_test(test_c_cancel_in_mid_frame),
        cmocka_unit_test(test_c_the_rest_is_written_without_us),
        cmocka_unit_test(test_d_dropped_connections_leave_nothing),
        cmocka_unit_test(test_f_fork),
        cmocka_unit_test(test_g_slow_reader_lives),
    };
    fault_count_memory(); /* before the first block of memory, so that all are counted */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
