/* names_test.c: what the opening handshake said, for as long as the connection. */
#include "driven.h"

static void test_what_it_keeps(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    struct peer p;
    char head[1024], peer[64];
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &spy, .subprotocols = "b, a");
    peer_asks(l, s, &p, "/feed?x=1",
              "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n");
    peer_hears(l, &p, "101", head, sizeof head);
    turn_until(l, spy.c && !inside(spy.c)->proto); /* kept although the proto that knew it has gone */
    assert_string_equal(thrum_conn_target(spy.c), "/feed?x=1");
    assert_string_equal(thrum_conn_subprotocol(spy.c), "b");
    assert_int_equal(strncmp(thrum_conn_extensions(spy.c), "permessage-deflate", 18), 0);
    snprintf(peer, sizeof peer, "%s", thrum_conn_peer(spy.c));
    assert_int_equal(strncmp(peer, "127.0.0.1:", 10), 0);
    assert_null(thrum_conn_header(spy.c, "Host", 0)); /* on_open has returned */
    peer_close(&p);
    turn_until(l, spy.closes == 1);
    loop_down(l);
    thrum_listener_free(s);
}

static void test_usual_ones_take_no_memory(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    turn_until(x.l, !inside(x.spy.c)->proto);
    assert_null(inside(x.spy.c)->names);
    assert_string_equal(thrum_conn_target(x.spy.c), "/");
    assert_null(thrum_conn_subprotocol(x.spy.c));
    assert_null(thrum_conn_extensions(x.spy.c));
    assert_null(inside(x.spy.c)->names);
    stage_down(&x);
}

/* A text that has been asked for holds as long as its connection, whoever else is asked about meanwhile. */
static const char *asked_at_the_end;

static void ask_at_the_end(struct spy *s, thrum_conn *c)
{
    asked_at_the_end = thrum_conn_peer(c);
    snprintf(s->more, 64, "%s", asked_at_the_end);
}

static void test_peer_holds(void **state)
{
    char at_the_end[64];
    struct stage x = {.spy = {.on_close = ask_at_the_end, .more = at_the_end}};
    struct peer q;
    char first[64], second[64];
    (void)state;
    stage_up(&x, NULL);
    thrum_conn *a = x.spy.c;
    peer_opens(x.l, x.s, &q);
    turn_until(x.l, x.spy.opens == 2);
    thrum_conn *b = x.spy.c;
    const char *of_a = thrum_conn_peer(a), *of_b = thrum_conn_peer(b);
    snprintf(first, sizeof first, "%s", of_a);
    snprintf(second, sizeof second, "%s", of_b);
    assert_string_not_equal(first, second);
    assert_ptr_equal(thrum_conn_peer(a), of_a);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(of_a, first);
        assert_string_equal(thrum_conn_peer(b), second);
        assert_status(thrum_ping(a, "x", 1, 0), THRUM_OK); /* wakes its proto */
        turn_out(x.l);
    }
    peer_reset(&q); /* the socket does not know any more, and on_close may ask */
    turn_until(x.l, x.spy.closes == 1);
    assert_string_equal(at_the_end, second);
    peer_opens(x.l, x.s, &q);
    turn_until(x.l, x.spy.opens == 3);
    peer_close(&q); /* never asked before the end */
    turn_until(x.l, x.spy.closes == 2);
    assert_int_equal(strncmp(at_the_end, "127.0.0.1:", 10), 0);
    stage_down(&x);
}

static void test_peer_behind_a_proxy(void **state)
{
    static const char *const trusted[] = {"127.0.0.0/8", NULL};
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    struct peer p;
    char head[1024], text[1024];
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &spy, .trusted_proxies = trusted, .forwarded_for = THRUM_ON);
    peer_asks(l, s, &p, "/", "X-Forwarded-For: 192.0.2.9\r\n");
    peer_hears(l, &p, "101", head, sizeof head);
    turn_until(l, spy.c && !inside(spy.c)->proto);
    assert_string_equal(thrum_conn_peer(spy.c), "192.0.2.9");
    peer_close(&p);
    thrum_listener_free(s);
    spy.c = NULL;
    s = THRUM_LISTEN(l, &spy, .trusted_proxies = trusted, .proxy_protocol = THRUM_ON);
    assert_true(peer_connect(&p, AF_INET, thrum_listener_port(s)));
    int n = snprintf(text, sizeof text, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET /" HEAD "\r\n");
    peer_give(l, &p, text, (size_t)n);
    peer_hears(l, &p, "101", head, sizeof head);
    turn_until(l, spy.c && !inside(spy.c)->proto);
    assert_string_equal(thrum_conn_peer(spy.c), "192.0.2.7:4711");
    peer_text(l, &p, "hello");
    turn_until(l, spy.messages == 1);
    peer_close(&p);
    turn_until(l, l->nconns == 0);
    assert_true(
        peer_connect(&p, AF_INET, thrum_listener_port(s))); /* one that does not say who it speaks for */
    peer_give(l, &p, text + 42, (size_t)n - 42);
    (void)peer_end(l, &p);
    peer_close(&p);
    turn_until(l, l->nconns == 0);
    loop_down(l);
    thrum_listener_free(s);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int i = 0, opened = 0; !opened; i++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        struct peer p;
        thrum_listener *s = THRUM_LISTEN(l, &spy);
        peer_asks(l, s, &p, "/feed", "");
        memory_refuse_after(i);
        for (int k = 0; k < 3; k++) /* poll cannot even wait without memory */
            (void)thrum_loop_step(l, 1);
        memory_refuse_after(-1);
        turn_out(l);
        opened = spy.opens == 1 && spy.c && strcmp(thrum_conn_target(spy.c), "/feed") == 0;
        assert_true(spy.opens == 0 || opened || spy.closes == 1); /* never open without its names */
        peer_close(&p);
        loop_down(l);
        thrum_listener_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_what_it_keeps), clean_test(test_usual_ones_take_no_memory),
        clean_test(test_peer_holds),    clean_test(test_peer_behind_a_proxy),
        clean_test(test_no_memory),
    };
    return run_on_backend(tests);
}
