/* subscribe_test.c: topics as users see them: who gets what, in which order, from which thread. */
#include "driven.h"
#include "event/listener.h"

enum { PEERS = 6 };

struct club {
    thrum_loop *l;
    thrum_listener *s;
    struct spy spy;
    struct peer p[PEERS];
    thrum_conn *c[PEERS];
};

static void club_up(struct club *x, const thrum_server_options *given)
{
    thrum_server_options o = {.size = sizeof o};
    if (given)
        o = *given;
    o.handlers = &spying;
    o.arg = &x->spy;
    *x = (struct club){.l = loop_up()};
    x->s = listen_at(x->l, "ws://127.0.0.1:0/", &o);
    for (unsigned i = 0; i < PEERS; i++) {
        peer_opens(x->l, x->s, &x->p[i]);
        turn_until(x->l, x->spy.opens == i + 1);
        x->c[i] = x->spy.c;
    }
    x->spy.n = 0;
    x->spy.text[0] = '\0';
}

static void club_down(struct club *x)
{
    loop_down(x->l);
    thrum_listener_free(x->s);
    for (int i = 0; i < PEERS; i++)
        peer_close(&x->p[i]);
}

static void nothing_more(struct club *x)
{
    turn_out(x->l);
    for (int i = 0; i < PEERS; i++)
        if (!peer_is_silent(&x->p[i]))
            fail_msg("peer %d got one too many", i);
}

#define publish(x, topic, text)                                                                              \
    assert_status(thrum_publish((x)->s, topic, THRUM_TEXT, text, strlen(text)), THRUM_OK)

/* ---- who gets it ---- */

static void test_exact_and_prefix(void **state)
{
    struct club x;
    (void)state;
    club_up(&x, NULL);
    assert_status(thrum_subscribe(x.c[0], "news"), THRUM_OK);
    assert_status(thrum_subscribe(x.c[1], "news/*"), THRUM_OK);
    assert_status(thrum_subscribe(x.c[2], "*"), THRUM_OK);
    assert_status(thrum_subscribe(x.c[3], "news/sport"), THRUM_OK);
    assert_status(thrum_subscribe(x.c[3], "news/*"), THRUM_OK); /* both match: it comes once */
    assert_status(thrum_subscribe(x.c[3], "*"), THRUM_OK);
    assert_status(thrum_subscribe(x.c[4], ""), THRUM_OK);
    publish(&x, "news", "a");
    publish(&x, "news/sport", "b");
    publish(&x, "", "c");
    publish(&x, "new", "d");
    static const char *const hears[PEERS] = {"a", "b", "abcd", "abcd", "c", ""};
    for (int i = 0; i < PEERS; i++)
        for (const char *at = hears[i]; *at; at++) {
            char text[2] = {*at, 0};
            peer_hears_text(x.l, &x.p[i], text);
        }
    nothing_more(&x);
    assert_int_equal(thrum_subscribers(x.s, "news"), 1);
    assert_int_equal(thrum_subscribers(x.s, "news/*"), 2); /* exactly this text */
    assert_int_equal(thrum_subscribers(x.s, "news/sport"), 1);
    assert_int_equal(thrum_subscribers(x.s, "nobody's"), 0);
    assert_int_equal(counted(x.c[3], messages_out), 4);
    club_down(&x);
}

static void test_unsubscribe(void **state)
{
    struct club x;
    (void)state;
    club_up(&x, NULL);
    for (int i = 0; i < PEERS; i++) {
        assert_status(thrum_subscribe(x.c[i], "t"), THRUM_OK);
        assert_status(thrum_subscribe(x.c[i], "t"), THRUM_OK); /* again */
    }
    assert_int_equal(thrum_subscribers(x.s, "t"), PEERS);
    assert_status(thrum_unsubscribe(x.c[1], "t"), THRUM_OK);
    assert_status(thrum_unsubscribe(x.c[1], "t"), THRUM_E_ARGUMENT);
    assert_status(thrum_unsubscribe(x.c[0], "other"), THRUM_E_ARGUMENT);
    thrum_conn_free(x.c[2]); /* the end unsubscribes from all */
    peer_reset(&x.p[3]);
    turn_until(x.l, x.spy.closes == 2);
    assert_status(thrum_close(x.c[4], 1000, NULL), THRUM_OK); /* one that is closing gets no more */
    assert_int_equal(thrum_subscribers(x.s, "t"), 3);
    publish(&x, "t", "hi");
    peer_hears_text(x.l, &x.p[0], "hi");
    peer_hears_text(x.l, &x.p[5], "hi");
    peer_hears_close(x.l, &x.p[4], 1000);
    assert_true(peer_is_silent(&x.p[1]));
    club_down(&x);
}

static void test_from_a_connection(void **state)
{
    struct club x;
    (void)state;
    club_up(&x, NULL);
    for (int i = 0; i < 3; i++)
        assert_status(thrum_subscribe(x.c[i], "room"), THRUM_OK);
    assert_status(thrum_publish_from(x.c[0], "room", THRUM_TEXT, "me", 2), THRUM_OK);
    assert_status(thrum_publish_from(x.c[5], "room", THRUM_TEXT, "he", 2),
                  THRUM_OK); /* need not be one of them */
    peer_hears_text(x.l, &x.p[1], "me");
    peer_hears_text(x.l, &x.p[2], "me");
    for (int i = 0; i < 3; i++)
        peer_hears_text(x.l, &x.p[i], "he");
    nothing_more(&x);
    club_down(&x);
}

/* ---- from within callbacks ---- */

static void publish_back(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s;
    assert_status(thrum_publish_from(c, "room", m->kind, m->data, m->len), THRUM_OK);
    assert_status(thrum_unsubscribe(c, "room"), THRUM_OK);
    assert_status(thrum_subscribe(c, "room"), THRUM_OK);
}

static void join_room(struct spy *s, thrum_conn *c)
{
    (void)s;
    assert_status(thrum_subscribe(c, "room"), THRUM_OK);
}

static void say_goodbye(struct spy *s, thrum_conn *c)
{
    (void)s;
    assert_status(thrum_subscribe(c, "room"), THRUM_E_STATE);
    assert_status(thrum_unsubscribe(c, "room"), THRUM_E_ARGUMENT);
    assert_status(thrum_publish_from(c, "room", THRUM_TEXT, "left", 4), THRUM_OK);
}

static void test_in_callbacks(void **state)
{
    struct stage x = {.l = loop_up(),
                      .spy = {.on_open = join_room, .on_message = publish_back, .on_close = say_goodbye}};
    struct peer q;
    (void)state;
    x.s = THRUM_LISTEN(x.l, &x.spy);
    peer_opens(x.l, x.s, &x.p);
    peer_opens(x.l, x.s, &q);
    turn_until(x.l, x.spy.opens == 2);
    peer_text(x.l, &x.p, "hello");
    peer_hears_text(x.l, &q, "hello");
    peer_text(x.l, &q, "you");
    peer_hears_text(x.l, &x.p, "you");
    peer_close(&q);
    peer_hears_text(x.l, &x.p, "left");
    stage_down(&x);
}

/* ---- large, compressed, encoded once ---- */

static void test_sizes(void **state)
{
    static const size_t sizes[] = {0, 125, 126, 8192, 8193, 65536, 300000};
    static char data[300001], got[300001];
    struct club x;
    (void)state;
    memset(data, 'd', sizeof data - 1);
    club_up(&x, THRUM_SERVER(.send_high = 4 << 20));
    for (int i = 0; i < PEERS; i++)
        assert_status(thrum_subscribe(x.c[i], "t"), THRUM_OK);
    for (size_t k = 0; k < COUNT(sizes); k++)
        assert_status(thrum_publish(x.s, "t", THRUM_BINARY, data, sizes[k]), THRUM_OK);
    for (size_t k = 0; k < COUNT(sizes); k++)
        for (int i = 0; i < PEERS; i++) {
            size_t n;
            assert_int_equal(peer_frame(x.l, &x.p[i], (uint8_t *)got, sizeof got, &n), 0x82);
            assert_int_equal(n, sizes[k]);
            assert_memory_equal(got, data, n);
        }
    nothing_more(&x);
    club_down(&x);
}

/* Two clients that compress, one that does not: each hears the same, in order, between messages of its own.
 */
static void test_compressed(void **state)
{
    thrum_loop *l = loop_up();
    struct spy server = {.on_open = join_room}, clients[3] = {0};
    static char text[5000];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i / 11 % 20);
    thrum_listener *s = THRUM_LISTEN(l, &server);
    for (int i = 0; i < 3; i++)
        assert_status(thrum_open(l, thrum_listener_url(s),
                                 THRUM_CLIENT(.compression = i < 2 ? THRUM_ON : THRUM_OFF,
                                              .server_max_window_bits = i ? 12 : 9),
                                 &spying, &clients[i], NULL, NULL),
                      THRUM_OK);
    turn_until(l, clients[0].c && clients[1].c && clients[2].c);
    for (int k = 0; k < 4; k++) {
        assert_status(thrum_publish(s, "room", THRUM_TEXT, text, sizeof text), THRUM_OK);
        assert_status(thrum_publish(s, "room", THRUM_TEXT, "short", 5), THRUM_OK);
        assert_status(thrum_send(server.c, THRUM_TEXT, text, sizeof text - 1), THRUM_OK);
    }
    turn_until(l, clients[0].messages + clients[1].messages + clients[2].messages == 28);
    for (int i = 0; i < 3; i++)
        assert_non_null(strstr(clients[i].text, "text of 5000; text short; "));
    assert_true(counted(clients[0].c, wire_in) < 2 * sizeof text);
    assert_true(counted(clients[2].c, wire_in) > 4 * sizeof text);
    loop_down(l);
    thrum_listener_free(s);
}

/* ---- who does not read ---- */

static void test_full(void **state)
{
    static char much[50000];
    (void)state;
    for (uint32_t when = THRUM_FULL_REFUSE; when <= THRUM_FULL_CLOSE; when++) {
        struct club x;
        club_up(&x, THRUM_SERVER(.send_high = 100000, .when_full = when, .close_timeout = 20));
        long rest = atomic_load(&memory.bytes);
        assert_status(thrum_subscribe(x.c[0], "t"), THRUM_OK);
        assert_status(thrum_subscribe(x.c[1], "t"), THRUM_OK);
        for (int k = 0; k < 400; k++) { /* 20 MB: one of the two reads nothing */
            static uint8_t got[sizeof much + 1];
            size_t n;
            assert_status(thrum_publish(x.s, "t", THRUM_BINARY, much, sizeof much), THRUM_OK);
            assert_int_equal(peer_frame(x.l, &x.p[1], got, sizeof got, &n), 0x82);
        }
        assert_true(atomic_load(&memory.bytes) - rest < 400000);
        if (when == THRUM_FULL_CLOSE)
            turn_until(x.l, x.spy.closes == 1);
        assert_int_equal(thrum_subscribers(x.s, "t"), when == THRUM_FULL_CLOSE ? 1 : 2);
        assert_int_equal(x.spy.closes, when == THRUM_FULL_CLOSE ? 1 : 0);
        club_down(&x);
    }
}

/* One in the midst of a message of its own is passed over: a frame between two parts would be part of it. */
static void test_in_mid_message(void **state)
{
    struct club x;
    (void)state;
    club_up(&x, NULL);
    assert_status(thrum_subscribe(x.c[0], "t"), THRUM_OK);
    assert_status(thrum_send_part(x.c[0], THRUM_TEXT, "be", 2, false), THRUM_OK);
    publish(&x, "t", "not now");
    assert_status(thrum_send_part(x.c[0], THRUM_TEXT, "gun", 3, true), THRUM_OK);
    publish(&x, "t", "now");
    peer_hears_frame(x.l, &x.p[0], 0x01, "be");
    peer_hears_frame(x.l, &x.p[0], 0x80, "gun");
    peer_hears_text(x.l, &x.p[0], "now");
    nothing_more(&x);
    club_down(&x);
}

/* ---- from other threads ---- */

enum { THREADS = 3, NEWS = 400 };

struct publisher {
    thrum_listener *s;
    char name;
};

static void *publish_main(void *arg)
{
    const struct publisher *p = arg;
    char text[16];
    for (int i = 0; i < NEWS; i++) {
        int n = snprintf(text, sizeof text, "%c%d", p->name, i);
        assert_status(thrum_publish(p->s, "t", THRUM_TEXT, text, (size_t)n), THRUM_OK);
    }
    return NULL;
}

/* What one thread publishes arrives in that order, whole, once. */
static void test_from_threads(void **state)
{
    struct club x;
    struct publisher by[THREADS];
    pthread_t t[THREADS];
    (void)state;
    club_up(&x, NULL);
    for (int i = 0; i < PEERS; i++)
        assert_status(thrum_subscribe(x.c[i], "t"), THRUM_OK);
    for (int i = 0; i < THREADS; i++) {
        by[i] = (struct publisher){x.s, (char)('a' + i)};
        assert_int_equal(pthread_create(&t[i], NULL, publish_main, &by[i]), 0);
    }
    for (int i = 0; i < PEERS; i++) {
        int next[THREADS] = {0};
        for (int k = 0; k < THREADS * NEWS; k++) {
            uint8_t got[32];
            size_t n;
            assert_int_equal(peer_frame(x.l, &x.p[i], got, sizeof got, &n), 0x81);
            assert_int_equal(atoi((char *)got + 1), next[got[0] - 'a']++);
        }
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    nothing_more(&x);
    club_down(&x);
}

static void *ask_main(void *arg)
{
    const struct publisher *p = arg;
    size_t seen = 0;
    while (seen < 500)
        seen = thrum_subscribers(p->s, "busy");
    return NULL;
}

static void test_asked_by_threads(void **state)
{
    struct club x;
    pthread_t t;
    char name[16];
    (void)state;
    club_up(&x, NULL);
    struct publisher p = {x.s, 0};
    assert_int_equal(pthread_create(&t, NULL, ask_main, &p), 0);
    for (int i = 0; i < 500; i++) { /* the tables grow and shrink meanwhile */
        snprintf(name, sizeof name, "t%d", i);
        assert_status(thrum_subscribe(x.c[i % PEERS], name), THRUM_OK);
        if (i >= 3) {
            snprintf(name, sizeof name, "t%d", i - 3);
            assert_status(thrum_unsubscribe(x.c[(i - 3) % PEERS], name), THRUM_OK);
        }
    }
    static thrum_conn *extra[500];
    static struct peer q[500];
    for (int i = 0; i < 500; i++) {
        unsigned had = x.spy.opens;
        peer_opens(x.l, x.s, &q[i]);
        turn_until(x.l, x.spy.opens == had + 1);
        extra[i] = x.spy.c;
        assert_status(thrum_subscribe(extra[i], "busy"), THRUM_OK);
    }
    pthread_join(t, NULL);
    for (int i = 0; i < 500; i++)
        peer_close(&q[i]);
    turn_until(x.l, thrum_subscribers(x.s, "busy") == 0);
    club_down(&x);
}

/* ---- arguments and memory ---- */

static void test_arguments(void **state)
{
    struct club x;
    char topic[257];
    (void)state;
    club_up(&x, NULL);
    memset(topic, 't', 256);
    topic[256] = '\0';
    assert_status(thrum_subscribe(x.c[0], topic), THRUM_E_ARGUMENT);
    assert_status(thrum_unsubscribe(x.c[0], topic), THRUM_E_ARGUMENT);
    assert_status(thrum_publish(x.s, topic, THRUM_TEXT, "x", 1), THRUM_E_ARGUMENT);
    topic[255] = '\0';
    assert_status(thrum_subscribe(x.c[0], topic), THRUM_OK);
    publish(&x, topic, "long");
    peer_hears_text(x.l, &x.p[0], "long");
    assert_int_equal(thrum_subscribers(x.s, topic), 1);
    assert_status(thrum_subscribe(NULL, "t"), THRUM_E_ARGUMENT);
    assert_status(thrum_subscribe(x.c[0], NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_unsubscribe(NULL, "t"), THRUM_E_ARGUMENT);
    assert_status(thrum_publish(NULL, "t", THRUM_TEXT, "x", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_publish(x.s, NULL, THRUM_TEXT, "x", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_publish(x.s, "t", (thrum_kind)9, "x", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_publish(x.s, "t", THRUM_TEXT, NULL, 1), THRUM_E_ARGUMENT);
    assert_status(thrum_publish(x.s, "t", THRUM_TEXT, NULL, 0), THRUM_OK);
    assert_status(thrum_publish(x.s, "t", THRUM_TEXT, "\xff", 1), THRUM_E_UTF8);
    assert_status(thrum_publish_from(NULL, "t", THRUM_TEXT, "x", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_publish_from(x.c[0], NULL, THRUM_TEXT, "x", 1), THRUM_E_ARGUMENT);
    assert_status(thrum_publish_from(x.c[0], "t", THRUM_TEXT, "\xff", 1), THRUM_E_UTF8);
    assert_int_equal(thrum_subscribers(NULL, "t"), 0);
    assert_int_equal(thrum_subscribers(x.s, NULL), 0);
    club_down(&x);
}

/* A client of the loop's is nobody's subscriber. */
static void test_a_client_is_none(void **state)
{
    struct club x;
    struct spy client = {0};
    (void)state;
    club_up(&x, NULL);
    assert_status(thrum_open(x.l, thrum_listener_url(x.s), NULL, &spying, &client, NULL, NULL), THRUM_OK);
    turn_until(x.l, client.c);
    assert_status(thrum_subscribe(client.c, "t"), THRUM_E_STATE);
    assert_status(thrum_unsubscribe(client.c, "t"), THRUM_E_STATE);
    assert_status(thrum_publish_from(client.c, "t", THRUM_TEXT, "x", 1), THRUM_E_STATE);
    club_down(&x);
}

static void *publish_without_memory(void *arg)
{
    const struct publisher *p = arg;
    for (int i = 0;; i++) {
        memory_refuse_after(i);
        thrum_status s = thrum_publish(p->s, "t", THRUM_TEXT, "news", 4);
        memory_refuse_after(-1);
        if (s == THRUM_OK)
            return (void *)(intptr_t)i;
        assert_status(s, THRUM_E_MEMORY);
    }
}

static void test_no_memory(void **state)
{
    struct club x;
    pthread_t t;
    void *fails;
    (void)state;
    club_up(&x, NULL);
    thrum_status s = THRUM_E_MEMORY;
    for (int i = 0; s != THRUM_OK; i++) {
        memory_refuse_after(i);
        s = thrum_subscribe(x.c[0], "t");
        memory_refuse_after(-1);
        assert_true(s == THRUM_OK || s == THRUM_E_MEMORY);
        assert_int_equal(thrum_subscribers(x.s, "t"), s == THRUM_OK);
    }
    struct publisher p = {x.s, 0};
    assert_int_equal(pthread_create(&t, NULL, publish_without_memory, &p), 0);
    pthread_join(t, &fails);
    assert_int_equal((intptr_t)fails, 2); /* the frame, the letter */
    peer_hears_text(x.l, &x.p[0], "news");
    turn_until(x.l, !inside(x.c[0])->proto);
    chunks_trim(x.l, 0);
    memory_refuse_after(1); /* the frame, and then nothing for the one who should get it */
    assert_status(thrum_publish(x.s, "t", THRUM_TEXT, "news", 4), THRUM_OK);
    memory_refuse_after(-1);
    turn_out(x.l);
    assert_int_equal(x.spy.closes, 1);
    assert_int_equal(x.spy.why.status, THRUM_E_MEMORY);
    club_down(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_exact_and_prefix),
        clean_test(test_unsubscribe),
        clean_test(test_from_a_connection),
        clean_test(test_in_callbacks),
        clean_test(test_sizes),
        clean_test(test_compressed),
        clean_test(test_full),
        clean_test(test_in_mid_message),
        clean_test(test_from_threads),
        clean_test(test_asked_by_threads),
        clean_test(test_arguments),
        clean_test(test_a_client_is_none),
        clean_test(test_no_memory),
    };
    return run_on_backend(tests);
}
