/* life_test.c: connections: their numbers, their time, what they are at rest, and how they end. */
#include "driven.h"

/* ---- numbers ---- */

enum { MANY = 150 };

static void test_ids(void **state)
{
    struct stage x = {0};
    struct peer p[MANY];
    thrum_id ids[MANY];
    (void)state;
    stage_up(&x, NULL);
    for (size_t i = 0; i < MANY; i++) {
        unsigned had = x.spy.opens;
        peer_opens(x.l, x.s, &p[i]);
        turn_until(x.l, x.spy.opens == had + 1);
        ids[i] = x.spy.id;
        assert_ptr_equal(lconn_find(x.l, ids[i]), inside(x.spy.c));
        for (size_t k = 0; k < i; k++)
            assert_true(ids[k] != ids[i]);
        if (i % 3 == 2) { /* a place is used again, its number is not */
            peer_hang_up(&p[i - 1]);
            turn_until(x.l, !lconn_find(x.l, ids[i - 1]));
        }
    }
    assert_int_equal(thrum_listener_count(x.s), 1 + MANY - MANY / 3);
    assert_null(lconn_find(x.l, 0));
    assert_null(lconn_find(x.l, UINT64_MAX));
    for (size_t i = 0; i < MANY; i++)
        peer_close(&p[i]);
    turn_until(x.l, thrum_listener_count(x.s) == 1);
    stage_down(&x);
}

/* ---- at rest ---- */

static void test_rest_is_small(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    struct lconn *c = inside(x.spy.c);
    turn_out(x.l);
    assert_null(c->proto);
    assert_null(c->out);
    long rest = atomic_load(&memory.bytes);
    peer_text(x.l, &x.p, "hello");
    peer_says(x.l, &x.p, 0x89, "you", 3);
    peer_hears_frame(x.l, &x.p, 0x8a, "you");
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "hi", 2), THRUM_OK);
    peer_hears_text(x.l, &x.p, "hi");
    assert_status(thrum_ping(x.spy.c, "me", 2, 0), THRUM_OK);
    peer_hears_frame(x.l, &x.p, 0x89, "me");
    assert_non_null(c->proto); /* a ping is out */
    peer_says(x.l, &x.p, 0x8a, "me", 2);
    turn_until(x.l, !c->proto);
    assert_true(thrum_latency(x.spy.c) > 0); /* and the counts are the same as if it had been there always */
    assert_int_equal(counted(x.spy.c, messages_in), 1);
    assert_int_equal(counted(x.spy.c, messages_out), 1);
    assert_int_equal(counted(x.spy.c, pings_in), 1);
    assert_int_equal(counted(x.spy.c, pings_out), 1);
    assert_int_equal(counted(x.spy.c, pongs_in), 1);
    assert_int_equal(counted(x.spy.c, pongs_out), 1);
    assert_int_equal(counted(x.spy.c, bytes_in), 5);
    assert_int_equal(counted(x.spy.c, bytes_out), 2);
    x.l->nstock = 0; /* what the loop keeps for all of them */
    assert_true(atomic_load(&memory.bytes) - rest <= (long)sizeof(struct chunk) + 64);
    x.l->nstock = 1;
    stage_down(&x);
}

/* ---- time ---- */

static void test_silent_before_the_handshake(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    struct peer mute, half;
    char head[1024];
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &spy, .open_timeout = 20);
    assert_true(peer_connect(&mute, AF_INET, thrum_listener_port(s)));
    assert_true(peer_connect(&half, AF_INET, thrum_listener_port(s)));
    peer_give(l, &half, "GET / HTTP/1.1\r\n", 16);
    peer_hears(l, &half, "408", head, sizeof head);
    (void)peer_end(l, &mute);
    peer_close(&mute);
    peer_close(&half);
    turn_until(l, l->nconns == 0);
    assert_string_equal(spy.text, ""); /* it was never open: nobody is told */
    thrum_listener_free(s);
    loop_down(l);
}

static void test_keepalive(void **state)
{
    struct stage x = {0};
    uint8_t got[130];
    size_t n;
    (void)state;
    stage_up(&x, THRUM_SERVER(.ping_interval = 20, .ping_timeout = 60000));
    for (int i = 0; i < 3; i++) { /* asked again and again, from rest */
        assert_int_equal(peer_frame(x.l, &x.p, got, sizeof got, &n), 0x89);
        peer_says(x.l, &x.p, 0x8a, got, n);
        turn_until(x.l, !inside(x.spy.c)->proto);
    }
    assert_string_equal(x.spy.text, "");
    stage_down(&x);
    stage_up(&x, THRUM_SERVER(.ping_interval = 20, .ping_timeout = 20, .close_timeout = 20));
    assert_int_equal(peer_frame(x.l, &x.p, got, sizeof got, &n), 0x89);
    peer_hears_close(x.l, &x.p, 1011);
    turn_until(x.l, x.spy.closes == 2);
    assert_heard(&x.spy, "closed UNCLEAN 1011; ");
    stage_down(&x);
}

/* Who is not read is not judged, and what it is sent meanwhile is a sign of life; and this does not turn the
 * loop round and round. */
static void test_keepalive_while_paused(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, THRUM_SERVER(.ping_interval = 30, .ping_timeout = 10));
    assert_status(thrum_pause(x.spy.c), THRUM_OK);
    peer_text(x.l, &x.p, "waits");
    int turns = 0;
    const int64_t until = clock_after(clock_now(), 300);
    for (; clock_now() < until; turns++)
        assert_status(thrum_loop_step(x.l, 300), THRUM_OK);
    assert_true(turns < 60);
    assert_string_equal(x.spy.text, "");
    peer_hears_frame(x.l, &x.p, 0x8a, "");
    assert_status(thrum_resume(x.spy.c), THRUM_OK);
    turn_until(x.l, x.spy.messages == 1);
    assert_heard(&x.spy, "text waits; ");
    stage_down(&x);
}

static void test_unanswered_close(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, THRUM_SERVER(.close_timeout = 20));
    assert_status(thrum_close(x.spy.c, 1000, "bye"), THRUM_OK);
    peer_hears_close(x.l, &x.p, 1000);
    turn_until(x.l, x.spy.closes == 1);
    assert_heard(&x.spy, "closed UNCLEAN 1006; ");
    (void)peer_end(x.l, &x.p);
    stage_down(&x);
}

/* ---- ends ---- */

static void test_ends_by_the_peer(void **state)
{
    static const uint8_t going[] = {0x03, 0xe9, 'b', 'y', 'e'};
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    peer_says(x.l, &x.p, 0x88, going, sizeof going);
    peer_hears_close(x.l, &x.p, 1001);
    peer_leaves(x.l, &x.p);
    turn_until(x.l, x.spy.closes == 1);
    assert_int_equal(x.spy.why.by_peer, 1);
    assert_heard(&x.spy, "closed CLOSED 1001; ");
    stage_down(&x);
    stage_up(&x, NULL);
    peer_half_close(&x.p); /* without a word */
    turn_until(x.l, x.spy.closes == 2);
    assert_heard(&x.spy, "closed UNCLEAN 1006; ");
    stage_down(&x);
    stage_up(&x, NULL);
    peer_reset(&x.p);
    turn_until(x.l, x.spy.closes == 3);
    assert_heard(&x.spy, "closed RESET 1006; ");
    assert_int_equal(x.spy.why.os_errno, ECONNRESET);
    stage_down(&x);
    stage_up(&x, NULL);
    peer_says(x.l, &x.p, 0x83, "", 0);
    peer_hears_close(x.l, &x.p, 1002);
    peer_leaves(x.l, &x.p);
    turn_until(x.l, x.spy.closes == 4);
    assert_heard(&x.spy, "closed PROTOCOL 1002; ");
    stage_down(&x);
}

static void test_ends_by_us(void **state)
{
    struct stage x = {0};
    thrum_closing closing = {.size = sizeof closing};
    (void)state;
    stage_up(&x, NULL);
    assert_status(thrum_close(x.spy.c, 4000, "enough"), THRUM_OK);
    assert_int_equal(thrum_conn_state(x.spy.c), THRUM_CLOSING);
    peer_text(x.l, &x.p, "too late");
    peer_hears_frame(x.l, &x.p, 0x88,
                     "\x0f\xa0"
                     "enough");
    peer_parts(x.l, &x.p, 4000);
    turn_until(x.l, x.spy.closes == 1);
    assert_heard(&x.spy, "closed CLOSED 4000; "); /* a closed connection gives no more messages */
    stage_down(&x);
    stage_up(&x, NULL);
    thrum_conn_free(x.spy.c);
    assert_heard(&x.spy, "closed CLOSED 1006; ");
    peer_hears_close(x.l, &x.p, 1001);
    (void)peer_end(x.l, &x.p);
    stage_down(&x);
}

/* In each state: a reset, and the end of the stream. Whoever was open is told, once. */
static void to_connected(struct stage *x)
{
    assert_true(peer_connect(&x->p, AF_INET, thrum_listener_port(x->s)));
    turn_until(x->l, x->l->nconns == 1);
}

static void to_half_asked(struct stage *x)
{
    to_connected(x);
    peer_give(x->l, &x->p, "GET / HTTP/1.1\r\nHos", 19);
    turn_out(x->l);
}

static void to_answered(struct stage *x)
{
    peer_asks(x->l, x->s, &x->p, "/", "");
    turn_until(x->l, x->spy.opens == 1);
}

static void to_half_a_frame(struct stage *x)
{
    to_answered(x);
    peer_give(x->l, &x->p, "\x81\x85\x01\x02\x03", 5);
    turn_out(x->l);
}

static void to_half_a_message(struct stage *x)
{
    to_answered(x);
    peer_says(x->l, &x->p, 0x01, "hal", 3);
    turn_out(x->l);
}

static void to_pinged(struct stage *x)
{
    to_answered(x);
    assert_status(thrum_ping(x->spy.c, "x", 1, 0), THRUM_OK);
}

static void to_full(struct stage *x)
{
    static char much[1 << 20];
    to_answered(x);
    while (thrum_send(x->spy.c, THRUM_BINARY, much, sizeof much) == THRUM_OK)
        turn(x->l);
}

static void to_paused(struct stage *x)
{
    to_answered(x);
    assert_status(thrum_pause(x->spy.c), THRUM_OK);
    peer_text(x->l, &x->p, "unread");
    turn_out(x->l);
}

static void to_closing(struct stage *x)
{
    to_answered(x);
    assert_status(thrum_close(x->spy.c, 1000, NULL), THRUM_OK);
    turn_out(x->l);
}

static void to_closed_by_peer(struct stage *x)
{
    to_answered(x);
    peer_says(x->l, &x->p, 0x88, "\x03\xe8", 2);
}

static void test_reset_in_each_state(void **state)
{
    static void (*const states[])(struct stage *) = {
        to_connected, to_half_asked, to_answered, to_half_a_frame, to_half_a_message,
        to_pinged,    to_full,       to_paused,   to_closing,      to_closed_by_peer,
    };
    (void)state;
    for (size_t i = 0; i < COUNT(states); i++)
        for (int reset = 0; reset < 2; reset++) {
            struct stage x = {.l = loop_up()};
            x.s = THRUM_LISTEN(x.l, &x.spy);
            states[i](&x);
            if (reset)
                peer_reset(&x.p);
            else
                peer_close(&x.p);
            if (states[i] == to_paused && x.spy.c) /* we are not to look; then we do */
                assert_status(thrum_resume(x.spy.c), THRUM_OK);
            turn_until(x.l, x.l->nconns == 0);
            assert_int_equal(x.spy.closes, x.spy.opens);
            assert_int_equal(x.spy.closes, states[i] == to_connected || states[i] == to_half_asked ? 0 : 1);
            stage_down(&x);
        }
}

/* ---- callbacks that close and free ---- */

static void free_in_open(struct spy *s, thrum_conn *c)
{
    (void)s;
    thrum_conn_free(c);
    assert_int_equal(thrum_conn_id(c), s->id); /* it stays valid until the return */
    assert_status(thrum_send(c, THRUM_TEXT, "x", 1), THRUM_E_CLOSED);
}

static void close_in_open(struct spy *s, thrum_conn *c)
{
    (void)s;
    assert_status(thrum_send(c, THRUM_TEXT, "last", 4), THRUM_OK);
    assert_status(thrum_close(c, 4001, NULL), THRUM_OK);
    assert_status(thrum_send(c, THRUM_TEXT, "x", 1), THRUM_E_CLOSED);
}

static void free_in_message(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    free_in_open(s, c);
    assert_string_equal((const char *)m->data, "one"); /* holds until the return, too */
    thrum_conn_free(c);
}

static void close_in_message(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    close_in_open(s, c);
    assert_string_equal((const char *)m->data, "one");
}

static void free_in_close(struct spy *s, thrum_conn *c)
{
    (void)s;
    thrum_conn_free(c);
    assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    assert_status(thrum_send(c, THRUM_TEXT, "x", 1), THRUM_E_CLOSED);
    assert_status(thrum_ping(c, NULL, 0, 0), THRUM_E_CLOSED);
    (void)thrum_pause(c);
    (void)thrum_resume(c);
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSED);
}

/* With three messages behind the request: none is heard after the end. */
static void run_and_count(struct spy spy, bool closes, const char *heard)
{
    struct stage x = {.spy = spy, .l = loop_up()};
    uint8_t f[512];
    size_t n = 0;
    x.s = THRUM_LISTEN(x.l, &x.spy);
    n += (size_t)sprintf((char *)f, "GET /" HEAD "\r\n");
    n += frame_of(f + n, 0x81, "one", 3, true);
    n += frame_of(f + n, 0x81, "two", 3, true);
    n += frame_of(f + n, 0x81, "three", 5, true);
    assert_true(peer_connect(&x.p, AF_INET, thrum_listener_port(x.s)));
    peer_give(x.l, &x.p, f, n);
    turn_until(x.l, x.spy.opens == 1);
    if (closes)
        peer_says(x.l, &x.p, 0x88, "\x0f\xa1", 2);
    (void)peer_end(x.l, &x.p);
    peer_close(&x.p);
    turn_until(x.l, x.spy.closes == 1);
    assert_string_equal(x.spy.text, heard);
    assert_int_equal(x.l->nconns, 0);
    stage_down(&x);
}

static void test_ends_in_callbacks(void **state)
{
    (void)state;
    run_and_count((struct spy){.on_open = free_in_open}, false, "open; closed CLOSED 1006; ");
    run_and_count((struct spy){.on_open = close_in_open}, true, "open; closed CLOSED 4001; ");
    run_and_count((struct spy){.on_message = free_in_message}, false, "open; text one; closed CLOSED 1006; ");
    run_and_count((struct spy){.on_message = close_in_message}, true, "open; text one; closed CLOSED 4001; ");
    run_and_count((struct spy){.on_close = free_in_close}, true,
                  "open; text one; text two; text three; closed CLOSED 4001; ");
}

static void free_the_loops_listener(struct spy *s, thrum_conn *c)
{
    (void)c;
    thrum_listener_free(s->more);
    s->more = NULL;
}

static void free_the_listener(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)m;
    if (s->more)
        free_the_loops_listener(s, c);
}

static void test_listener_freed_in_callbacks(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct stage x = {.spy = {.on_open = i == 0 ? free_the_loops_listener : NULL,
                                  .on_message = i == 1 ? free_the_listener : NULL,
                                  .on_close = i == 2 ? free_the_loops_listener : NULL}};
        x.l = loop_up();
        x.s = THRUM_LISTEN(x.l, &x.spy);
        x.spy.more = x.s;
        peer_asks(x.l, x.s, &x.p, "/", "");
        peer_text(x.l, &x.p, "one");
        if (i == 2)
            peer_half_close(&x.p);
        turn_until(x.l, x.spy.closes == 1);
        assert_null(x.spy.more);
        x.s = NULL;
        assert_status(thrum_loop_step(x.l, 0), THRUM_E_CLOSED);
        stage_down(&x);
    }
}

/* ---- no memory for what a connection at rest wakes up with ---- */

static void test_no_memory_to_go_on(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    turn_until(x.l, !inside(x.spy.c)->proto);
    memory_refuse_after(0);
    peer_says(x.l, &x.p, 0x89, "ping", 4); /* needs a proto */
    turn_until(x.l, x.spy.closes == 1);
    memory_refuse_after(-1);
    assert_int_equal(x.spy.why.status, THRUM_E_MEMORY);
    (void)peer_end(x.l, &x.p);
    peer_close(&x.p);
    peer_opens(x.l, x.s, &x.p); /* others come and go as before */
    peer_text(x.l, &x.p, "hello");
    turn_until(x.l, x.spy.messages == 1);
    stage_down(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_ids),
        clean_test(test_rest_is_small),
        clean_test(test_silent_before_the_handshake),
        clean_test(test_keepalive),
        clean_test(test_keepalive_while_paused),
        clean_test(test_unanswered_close),
        clean_test(test_ends_by_the_peer),
        clean_test(test_ends_by_us),
        clean_test(test_reset_in_each_state),
        clean_test(test_ends_in_callbacks),
        clean_test(test_listener_freed_in_callbacks),
        clean_test(test_no_memory_to_go_on),
    };
    return run_on_backend(tests);
}
