/* call_test.c: the calls of thrum.h on a loop's connection: who may make them, when, and what they answer. */
#include "driven.h"

/* ---- from another thread ---- */

static void *other_main(void *arg)
{
    thrum_conn *c = arg;
    thrum_error e;
    thrum_message m;
    thrum_stats stats = {.size = sizeof stats};
    thrum_closing closing = {.size = sizeof closing};
    thrum_tls_info tls = {.size = sizeof tls};
    const thrum_slice v = {(const uint8_t *)"x", 1};
    assert_status(thrum_send(c, THRUM_TEXT, "x", 1), THRUM_E_THREAD);
    assert_status(thrum_sendv(c, THRUM_TEXT, &v, 1), THRUM_E_THREAD);
    assert_status(thrum_send_part(c, THRUM_TEXT, "x", 1, true), THRUM_E_THREAD);
    assert_status(thrum_ping(c, "x", 1, 0), THRUM_E_THREAD);
    assert_status(thrum_pong(c, "x", 1), THRUM_E_THREAD);
    assert_status(thrum_close(c, 1000, NULL), THRUM_E_THREAD);
    assert_status(thrum_recv(c, &m, 0), THRUM_E_STATE);
    assert_status(thrum_pause(c), THRUM_E_THREAD);
    assert_status(thrum_resume(c), THRUM_E_THREAD);
    assert_status(thrum_subscribe(c, "t"), THRUM_E_THREAD);
    assert_status(thrum_unsubscribe(c, "t"), THRUM_E_THREAD);
    assert_status(thrum_publish_from(c, "t", THRUM_TEXT, "x", 1), THRUM_E_THREAD);
    assert_status(thrum_conn_stats(c, &stats), THRUM_E_THREAD);
    assert_status(thrum_conn_closing(c, &closing), THRUM_E_THREAD);
    assert_status(thrum_conn_tls(c, &tls), THRUM_E_THREAD);
    thrum_conn_error(c, &e);
    assert_status(e.status, THRUM_E_THREAD);
    thrum_cancel(c); /* these two do nothing */
    thrum_conn_free(c);
    return NULL;
}

static void test_another_thread(void **state)
{
    struct stage x = {0};
    pthread_t t;
    (void)state;
    stage_up(&x, NULL);
    assert_int_equal(pthread_create(&t, NULL, other_main, x.spy.c), 0);
    pthread_join(t, NULL);
    turn_out(x.l);
    assert_true(peer_is_silent(&x.p));
    assert_string_equal(x.spy.text, "");
    stage_down(&x);
}

/* ---- what is not for a loop's connection ---- */

static void test_not_for_loops(void **state)
{
    struct stage x = {0};
    thrum_message m;
    (void)state;
    stage_up(&x, NULL);
    assert_status(thrum_recv(x.spy.c, &m, 0), THRUM_E_STATE);
    assert_status(thrum_recv(x.spy.c, &m, THRUM_FOREVER), THRUM_E_STATE);
    assert_status(thrum_recv_part(x.spy.c, &m, 0), THRUM_E_STATE);
    assert_status(thrum_ping(x.spy.c, NULL, 0, 1), THRUM_E_ARGUMENT); /* it would wait */
    assert_status(thrum_ping(x.spy.c, NULL, 0, THRUM_FOREVER), THRUM_E_ARGUMENT);
    assert_null(thrum_conn_ref(x.spy.c));
    thrum_cancel(x.spy.c);
    assert_true(peer_is_silent(&x.p));
    stage_down(&x);
}

static void test_arguments(void **state)
{
    struct stage x = {0};
    static const char long_text[126];
    (void)state;
    stage_up(&x, NULL);
    thrum_conn *c = x.spy.c;
    assert_status(thrum_send(NULL, THRUM_TEXT, "x", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_send(c, (thrum_kind)3, "x", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_send(c, THRUM_TEXT, NULL, 1), THRUM_E_ARGUMENT);
    assert_status(thrum_ping(c, long_text, 126, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_pong(c, long_text, 126), THRUM_E_ARGUMENT);
    assert_status(thrum_close(c, 1005, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_close(c, 1000, "\xff"), THRUM_E_ARGUMENT);
    assert_status(thrum_pause(NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_resume(NULL), THRUM_E_ARGUMENT);
    assert_int_equal(thrum_conn_pending(NULL), 0);
    assert_null(thrum_conn_loop(NULL));
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN); /* nothing was done */
    turn_out(x.l);
    assert_true(peer_is_silent(&x.p));
    stage_down(&x);
}

/* ---- from outside of a turn, output leaves with the call ---- */

static void test_from_outside(void **state)
{
    struct stage x = {0};
    char got[16];
    (void)state;
    stage_up(&x, NULL);
    turn_out(x.l);
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "now", 3), THRUM_OK);
    assert_true(peer_read(&x.p, got, 5)); /* without a turn */
    assert_memory_equal(got, "\x81\3now", 5);
    assert_status(thrum_ping(x.spy.c, "p", 1, 0), THRUM_OK);
    assert_true(peer_read(&x.p, got, 3));
    assert_memory_equal(got, "\x89\1p", 3);
    assert_status(thrum_pong(x.spy.c, "q", 1), THRUM_OK);
    assert_true(peer_read(&x.p, got, 3));
    assert_memory_equal(got, "\x8a\1q", 3);
    assert_status(thrum_close(x.spy.c, 1000, NULL), THRUM_OK);
    assert_true(peer_read(&x.p, got, 4));
    assert_memory_equal(got, "\x88\2\x03\xe8", 4);
    assert_status(thrum_close(x.spy.c, 1001, NULL), THRUM_OK); /* again */
    stage_down(&x);
}

/* ---- asking ---- */

static void ask_in_open(struct spy *s, thrum_conn *c)
{
    thrum_error e;
    assert_string_equal(thrum_conn_header(c, "host", 0), "loop.test");
    assert_string_equal(thrum_conn_header(c, "X-Many", 1), "two");
    assert_null(thrum_conn_header(c, "X-Many", 2));
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    thrum_conn_error(c, &e);
    assert_status(e.status, THRUM_OK);
    assert_ptr_equal(thrum_conn_loop(c), s->more);
    assert_null(thrum_conn_user(c));
    thrum_conn_set_user(c, s);
}

static void ask_in_close(struct spy *s, thrum_conn *c)
{
    thrum_closing closing = {.size = sizeof closing};
    thrum_error e;
    thrum_stats stats = {.size = sizeof stats};
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSED);
    assert_status(thrum_conn_closing(c, &closing), THRUM_OK);
    assert_int_equal(closing.recv_code, 3000);
    assert_string_equal(closing.recv_reason, "why not");
    assert_int_equal(closing.by_peer, 1);
    assert_int_equal(closing.clean, 1);
    thrum_conn_error(c, &e);
    assert_int_equal(e.close_code, 3000);
    assert_status(thrum_conn_stats(c, &stats), THRUM_OK);
    assert_int_equal(stats.messages_in, 1);
    assert_ptr_equal(thrum_conn_user(c), s);
    assert_int_equal(thrum_conn_id(c), s->id);
    assert_status(thrum_post(thrum_conn_loop(c), s->id, NULL, NULL), THRUM_E_ARGUMENT);
}

static void test_asking(void **state)
{
    struct stage x = {.spy = {.on_open = ask_in_open, .on_close = ask_in_close}, .l = loop_up()};
    char head[1024];
    thrum_closing closing = {.size = sizeof closing}, small = {.size = 8};
    thrum_tls_info tls = {.size = sizeof tls};
    (void)state;
    x.spy.more = x.l;
    x.s = THRUM_LISTEN(x.l, &x.spy);
    peer_asks(x.l, x.s, &x.p, "/", "X-Many: one\r\nX-Many: two\r\n");
    peer_hears(x.l, &x.p, "101", head, sizeof head);
    turn_until(x.l, x.spy.c && !inside(x.spy.c)->proto);
    assert_null(thrum_conn_header(x.spy.c, "host", 0));
    assert_status(thrum_conn_closing(x.spy.c, &closing), THRUM_OK);
    assert_int_equal(closing.recv_code, 0);
    assert_status(thrum_conn_closing(x.spy.c, &small), THRUM_E_ARGUMENT);
    assert_status(thrum_conn_tls(x.spy.c, &tls), THRUM_OK);
    assert_string_equal(tls.version, "");
    assert_int_equal(thrum_latency(x.spy.c), -1);
    assert_ptr_equal(thrum_conn_user(x.spy.c), &x.spy);
    peer_text(x.l, &x.p, "hello");
    turn_until(x.l, x.spy.messages == 1);
    peer_says(x.l, &x.p, 0x88, "\x0b\xb8why not", 9);
    peer_leaves(x.l, &x.p);
    turn_until(x.l, x.spy.closes == 1);
    assert_int_equal(x.spy.why.by_peer, 1);
    stage_down(&x);
}

/* An error and the counts of one without a proto and of one with, and of one without memory for it. */
static void ask_without_memory(struct spy *s, thrum_conn *c)
{
    thrum_error e;
    (void)s;
    thrum_conn_error(c, &e);
    assert_int_equal(e.status, THRUM_E_MEMORY);
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSED);
}

static void test_asking_without_memory(void **state)
{
    struct stage x = {.spy = {.on_close = ask_without_memory}};
    (void)state;
    stage_up(&x, NULL);
    turn_until(x.l, !inside(x.spy.c)->proto);
    memory_refuse_after(0);
    assert_status(thrum_ping(x.spy.c, NULL, 0, 0), THRUM_E_MEMORY);
    memory_refuse_after(-1);
    assert_int_equal(x.spy.closes, 1);
    stage_down(&x);
    stage_up(&x, NULL);
    turn_until(x.l, !inside(x.spy.c)->proto);
    memory_refuse_after(0);
    assert_status(thrum_close(x.spy.c, 1000, NULL), THRUM_E_MEMORY);
    memory_refuse_after(-1);
    assert_int_equal(x.spy.closes, 2);
    stage_down(&x);
}

/* ---- a connection of another front ---- */

static void test_of_another_front(void **state)
{
    struct {
        const struct origin *origin;
    } other = {&conn_origin};
    thrum_conn *c = (thrum_conn *)(void *)&other;
    (void)state;
    assert_status(thrum_pause(c), THRUM_E_ARGUMENT);
    assert_status(thrum_resume(c), THRUM_E_ARGUMENT);
    assert_int_equal(thrum_conn_pending(c), 0);
    assert_null(thrum_conn_loop(c));
    assert_null(thrum_conn_param(c, "x"));
    assert_status(thrum_subscribe(c, "t"), THRUM_E_STATE);
    assert_status(thrum_unsubscribe(c, "t"), THRUM_E_STATE);
    assert_status(thrum_publish_from(c, "t", THRUM_TEXT, "x", 1), THRUM_E_STATE);
}

/* ---- of the posted kind: a client that is not connected yet ---- */

static struct {
    thrum_state state;
    thrum_status send, ping, close;
    bool ran;
} early;

static void act_early(thrum_conn *c, void *arg)
{
    bool closes = *(bool *)arg;
    assert_non_null(c);
    early.ran = true;
    early.state = thrum_conn_state(c);
    early.send = thrum_send(c, THRUM_TEXT, "x", 1);
    early.ping = thrum_ping(c, NULL, 0, 0);
    if (closes)
        early.close = thrum_close(c, 1000, NULL);
    else
        thrum_conn_free(c);
}

static void test_before_it_is_open(void **state)
{
    struct peer hole;
    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        bool how = closes;
        thrum_id id;
        assert_true(peer_listen(&hole, AF_INET, 8)); /* connects, and never answers */
        assert_status(
            thrum_open(l, hole.url, THRUM_CLIENT(.open_timeout = PEER_MS), &spying, &spy, &id, NULL),
            THRUM_OK);
        early.ran = false;
        assert_status(thrum_post(l, id, act_early, &how), THRUM_OK);
        turn_until(l, spy.closes == 1);
        assert_true(early.ran);
        assert_int_equal(early.state, THRUM_CONNECTING);
        assert_status(early.send, THRUM_E_STATE);
        assert_status(early.ping, THRUM_E_STATE);
        assert_int_equal(spy.opens, 0);
        assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
        loop_down(l);
        peer_close(&hole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_another_thread),   clean_test(test_not_for_loops),
        clean_test(test_arguments),        clean_test(test_from_outside),
        clean_test(test_asking),           clean_test(test_asking_without_memory),
        clean_test(test_of_another_front), clean_test(test_before_it_is_open),
    };
    return run_on_backend(tests);
}
