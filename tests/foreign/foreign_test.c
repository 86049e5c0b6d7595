/* foreign_test.c: a loop of thrum's that somebody else's loop drives by its descriptor alone. Run once with
 * each of these (foreign.h) and each backend (THRUM_BACKEND); status 77: the backend is not to be had here.
 */
#include "foreign.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <thrum/loop.h>
#include <unistd.h>
/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { STEPS_MAX = 1000 /* of a loop that has nothing to do but what is there already */ };

struct state {
    thrum_loop *loop;
    thrum_listener *server;
    thrum_status last; /* of thrum_loop_step */
    unsigned steps, ticks;
};

static void make(struct state *s)
{
    thrum_error e;
    memset(s, 0, sizeof *s);
    assert_int_equal(thrum_loop_new(&s->loop, &e), THRUM_OK);
}

static bool step(void *arg)
{
    struct state *s = arg;
    s->steps++;
    s->last = thrum_loop_step(s->loop, 0);
    return s->last == THRUM_OK;
}

/* Until nothing is left; then the loop must say so again and again, and may be freed. */
static void run_to_the_end(struct state *s, bool (*tick)(void *), unsigned tick_ms)
{
    const int fd = thrum_loop_fd(s->loop);
    assert_true(fd >= 0);
    foreign_run(&(const struct foreign){fd, step, tick, tick_ms, s});
    assert_int_equal(s->last, THRUM_E_CLOSED);
    assert_int_equal(thrum_loop_step(s->loop, 0), THRUM_E_CLOSED);
    assert_int_equal(thrum_loop_run(s->loop, THRUM_FOREVER), THRUM_OK);
    thrum_listener_free(s->server);
    assert_int_equal(thrum_loop_free(s->loop), THRUM_OK);
}

static void listen_with(struct state *s, const thrum_handlers *h, const thrum_server_options *more)
{
    thrum_server_options o = more ? *more : *THRUM_SERVER(.when_full = THRUM_FULL_PAUSE);
    thrum_error e;
    o.handlers = h;
    o.arg = s;
    assert_int_equal(thrum_listen(&s->server, s->loop, "ws://127.0.0.1:0/", &o, &e), THRUM_OK);
}

static void echo(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    assert_int_equal(thrum_send(c, m->kind, m->data, m->len), THRUM_OK);
}

/* ---- many connections ---- */

enum { CONNECTIONS = 100, MESSAGES = 100 };

struct many {
    struct state s; /* first */
    unsigned open, opened_at_server, closed_at_server;
};
struct one {
    struct many *all;
    unsigned number, heard;
};

static void say(thrum_conn *c, const struct one *o)
{
    char text[64];
    const int n = snprintf(text, sizeof text, "%u of %u", o->heard, o->number);
    assert_int_equal(thrum_send(c, THRUM_TEXT, text, (size_t)n), THRUM_OK);
}

static void one_opened(thrum_conn *c, void *arg)
{
    say(c, arg);
}

static void one_heard(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct one *o = arg;
    char text[64];
    snprintf(text, sizeof text, "%u of %u", o->heard, o->number);
    assert_string_equal((const char *)m->data, text);
    if (++o->heard == MESSAGES)
        assert_int_equal(thrum_close(c, 3001, "done"), THRUM_OK);
    else
        say(c, o);
}

static void one_closed(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct one *o = arg;
    (void)c;
    assert_int_equal(why->status, THRUM_E_CLOSED);
    assert_int_equal(why->close_code, 3001);
    if (--o->all->open == 0)
        assert_int_equal(thrum_listener_drain(o->all->s.server, 0, 5000, NULL, NULL), THRUM_OK);
}

static void server_opened(thrum_conn *c, void *arg)
{
    struct many *all = arg;
    (void)c;
    all->opened_at_server++;
}

static void server_closed(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct many *all = arg;
    (void)c;
    (void)why;
    all->closed_at_server++;
}

static void test_a_hundred_connections(void **unused)
{
    static struct many all;
    static struct one ones[CONNECTIONS];
    thrum_error e;
    (void)unused;
    memset(&all, 0, sizeof all);
    make(&all.s);
    listen_with(&all.s,
                THRUM_HANDLERS(.on_open = server_opened, .on_message = echo, .on_close = server_closed),
                NULL);
    for (unsigned i = 0; i < CONNECTIONS; i++, all.open++) {
        ones[i] = (struct one){.all = &all, .number = i};
        assert_int_equal(
            thrum_open(all.s.loop, thrum_listener_url(all.s.server), NULL,
                       THRUM_HANDLERS(.on_open = one_opened, .on_message = one_heard, .on_close = one_closed),
                       &ones[i], NULL, &e),
            THRUM_OK);
    }
    run_to_the_end(&all.s, NULL, 0);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        assert_int_equal(ones[i].heard, MESSAGES);
    assert_int_equal(all.opened_at_server, CONNECTIONS);
    assert_int_equal(all.closed_at_server, CONNECTIONS);
}

/* ---- a message that takes many turns ---- */

enum { LARGE = 16 << 20 };

static void large_opened(thrum_conn *c, void *arg)
{
    uint8_t *p = malloc(LARGE);
    (void)arg;
    assert_non_null(p);
    for (size_t i = 0; i < LARGE; i++)
        p[i] = (uint8_t)(i * 7 + i / 251);
    assert_int_equal(thrum_send(c, THRUM_BINARY, p, LARGE), THRUM_OK);
    free(p);
}

static void large_heard(thrum_conn *c, const thrum_message *m, void *arg)
{
    size_t wrong = 0;
    (void)arg;
    assert_int_equal(m->len, LARGE);
    for (size_t i = 0; i < LARGE; i++)
        wrong += m->data[i] != (uint8_t)(i * 7 + i / 251);
    assert_int_equal(wrong, 0);
    assert_int_equal(thrum_close(c, 1000, NULL), THRUM_OK);
}

static void drain_server(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct state *s = arg;
    (void)c;
    (void)why;
    assert_int_equal(thrum_listener_drain(s->server, 0, 5000, NULL, NULL), THRUM_OK);
}

static void test_a_large_message(void **unused)
{
    struct state s;
    thrum_error e;
    (void)unused;
    make(&s);
    listen_with(&s, THRUM_HANDLERS(.on_message = echo),
                THRUM_SERVER(.max_message = LARGE, .compression = THRUM_OFF));
    assert_int_equal(thrum_open(s.loop, thrum_listener_url(s.server), THRUM_CLIENT(.max_message = LARGE),
                                THRUM_HANDLERS(.on_open = large_opened, .on_message = large_heard,
                                               .on_close = drain_server),
                                &s, NULL, &e),
                     THRUM_OK);
    run_to_the_end(&s, NULL, 0);
}

/* ---- timers, with nothing else there ---- */

struct chain {
    struct state s; /* first */
    unsigned links;
    thrum_id never;
};

static void must_not_run(void *arg)
{
    (void)arg;
    fail();
}

static void next_link(void *arg)
{
    struct chain *c = arg;
    if (++c->links < 10)
        assert_int_equal(thrum_loop_after(c->s.loop, 3, next_link, c, NULL), THRUM_OK);
    else
        assert_true(thrum_loop_cancel(c->s.loop, c->never));
}

static void test_timers_alone(void **unused)
{
    struct chain c = {.links = 0};
    (void)unused;
    make(&c.s);
    assert_int_equal(thrum_loop_after(c.s.loop, 3, next_link, &c, NULL), THRUM_OK);
    assert_int_equal(thrum_loop_after(c.s.loop, 3600000, must_not_run, NULL, &c.never), THRUM_OK);
    run_to_the_end(&c.s, NULL, 0);
    assert_int_equal(c.links, 10);
}

/* One that is set between two steps, by a tick of the other loop's, and comes sooner than what there was. */
static void set_off(void *arg)
{
    struct chain *c = arg;
    c->links++;
    assert_true(thrum_loop_cancel(c->s.loop, c->never));
}

static bool set_a_timer(void *arg)
{
    struct chain *c = arg;
    if (c->s.ticks++ == 0)
        assert_int_equal(thrum_loop_after(c->s.loop, 5, set_off, c, NULL), THRUM_OK);
    return true;
}

static void test_a_timer_between_steps(void **unused)
{
    struct chain c = {.links = 0};
    (void)unused;
    make(&c.s);
    assert_int_equal(thrum_loop_after(c.s.loop, 3600000, must_not_run, NULL, &c.never), THRUM_OK);
    run_to_the_end(&c.s, set_a_timer, 5);
    assert_int_equal(c.links, 1);
}

/* ---- keepalive ---- */

struct quiet {
    struct state s; /* first */
    unsigned pings;
    thrum_conn *client;
};

static void pinged(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct quiet *q = arg;
    (void)c;
    (void)m;
    if (++q->pings == 5)
        assert_int_equal(thrum_close(c, 1000, NULL), THRUM_OK);
}

static void test_keepalive(void **unused)
{
    struct quiet q = {.pings = 0};
    thrum_error e;
    (void)unused;
    make(&q.s);
    listen_with(&q.s, THRUM_HANDLERS(.on_ping = pinged), NULL);
    assert_int_equal(thrum_open(q.s.loop, thrum_listener_url(q.s.server), THRUM_CLIENT(.ping_interval = 5),
                                THRUM_HANDLERS(.on_close = drain_server), &q, NULL, &e),
                     THRUM_OK);
    run_to_the_end(&q.s, NULL, 0);
    assert_int_equal(q.pings, 5);
}

/* A peer that has fallen silent: it accepts, and answers nothing at all. */
static void gave_up(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct state *s = arg;
    (void)c;
    assert_int_equal(why->status, THRUM_E_TIMEOUT);
    s->ticks++;
}

static void test_a_silent_peer(void **unused)
{
    struct state s;
    thrum_error e;
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char url[64];
    (void)unused;
    const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(silent >= 0);
    assert_int_equal(listen(silent, 8), 0); /* on a port of the system's choice */
    assert_int_equal(getsockname(silent, (struct sockaddr *)&a, &n), 0);
    const uint8_t *port = (const uint8_t *)&a + 2; /* of a sockaddr_in: behind the family, in network order */
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)port[0] << 8 | port[1]);
    make(&s);
    assert_int_equal(thrum_open(s.loop, url, THRUM_CLIENT(.open_timeout = 30),
                                THRUM_HANDLERS(.on_close = gave_up), &s, NULL, &e),
                     THRUM_OK);
    run_to_the_end(&s, NULL, 0);
    assert_int_equal(s.ticks, 1);
    close(silent);
}

/* ---- sends between steps ---- */

static void remember(thrum_conn *c, void *arg)
{
    struct quiet *q = arg;
    q->client = c;
}

static void heard_one(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct quiet *q = arg;
    (void)m;
    if (++q->pings == 10)
        assert_int_equal(thrum_close(c, 1000, NULL), THRUM_OK);
}

static void forget(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct quiet *q = arg;
    q->client = NULL;
    drain_server(c, why, arg);
}

static bool send_one(void *arg)
{
    struct quiet *q = arg;
    if (q->client && q->s.ticks++ < 10)
        assert_int_equal(thrum_send(q->client, THRUM_TEXT, "tick", 4), THRUM_OK);
    return true;
}

static void test_sends_between_steps(void **unused)
{
    struct quiet q = {.pings = 0};
    thrum_error e;
    (void)unused;
    make(&q.s);
    listen_with(&q.s, THRUM_HANDLERS(.on_message = echo), NULL);
    assert_int_equal(
        thrum_open(q.s.loop, thrum_listener_url(q.s.server), NULL,
                   THRUM_HANDLERS(.on_open = remember, .on_message = heard_one, .on_close = forget), &q, NULL,
                   &e),
        THRUM_OK);
    run_to_the_end(&q.s, send_one, 2);
    assert_int_equal(q.pings, 10);
}

/* ---- other threads ---- */

enum { LETTERS = 1000 };

struct mail {
    struct state s; /* first */
    unsigned next;
    pthread_t writer;
    pthread_t reader;
};
struct letter {
    struct mail *to;
    unsigned number;
};

static void take_letter(thrum_conn *c, void *arg)
{
    struct letter *x = arg;
    struct mail *m = x->to;
    assert_null(c);
    assert_true(pthread_equal(pthread_self(), m->reader));
    assert_int_equal(x->number, m->next);
    m->next++;
    if (m->next == LETTERS) /* the last keeps nothing alive: the listener did */
        assert_int_equal(thrum_listener_drain(m->s.server, 0, 5000, NULL, NULL), THRUM_OK);
    free(x);
}

static void *write_letters(void *arg)
{
    struct mail *m = arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *x = malloc(sizeof *x);
        if (!x)
            abort();
        *x = (struct letter){m, i};
        if (thrum_post(m->s.loop, 0, take_letter, x) != THRUM_OK)
            abort(); /* cmocka's asserts are for the main thread */
        if (i % 100 == 0)
            poll(NULL, 0, 1); /* so that the loop is found asleep as well as awake */
    }
    return NULL;
}

static void test_posts_wake_it(void **unused)
{
    struct mail m = {.next = 0};
    (void)unused;
    make(&m.s);
    listen_with(&m.s, THRUM_HANDLERS(.on_message = echo),
                NULL); /* so that the loop has something to wait for */
    m.reader = pthread_self();
    assert_int_equal(pthread_create(&m.writer, NULL, write_letters, &m), 0);
    run_to_the_end(&m.s, NULL, 0);
    pthread_join(m.writer, NULL);
    assert_int_equal(m.next, LETTERS);
}

struct news {
    struct state s; /* first */
    unsigned heard;
    pthread_t publisher;
};

static void *publish_all(void *arg)
{
    struct news *n = arg;
    for (unsigned i = 0; i < 100; i++)
        if (thrum_publish(n->s.server, "news", THRUM_TEXT, "x", 1) != THRUM_OK)
            abort(); /* cmocka's asserts are for the main thread */
    return NULL;
}

static void subscribe(thrum_conn *c, void *arg)
{
    struct news *n = arg;
    assert_int_equal(thrum_subscribe(c, "news"), THRUM_OK);
    assert_int_equal(pthread_create(&n->publisher, NULL, publish_all, n), 0);
}

static void hear_news(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct news *n = arg;
    (void)m;
    if (++n->heard == 100)
        assert_int_equal(thrum_close(c, 1000, NULL), THRUM_OK);
}

static void test_publications_wake_it(void **unused)
{
    struct news n = {.heard = 0};
    thrum_error e;
    (void)unused;
    make(&n.s);
    listen_with(&n.s, THRUM_HANDLERS(.on_open = subscribe), NULL);
    assert_int_equal(thrum_open(n.s.loop, thrum_listener_url(n.s.server), NULL,
                                THRUM_HANDLERS(.on_message = hear_news, .on_close = drain_server), &n, NULL,
                                &e),
                     THRUM_OK);
    run_to_the_end(&n.s, NULL, 0);
    pthread_join(n.publisher, NULL);
}

/* ---- the descriptor ---- */

static bool is_readable(int fd)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

/* A loop with nothing to do must not keep its owner busy: an open connection at rest, timers far away. */
static void test_at_rest_it_is_silent(void **unused)
{
    struct quiet q = {.pings = 0};
    thrum_error e;
    (void)unused;
    make(&q.s);
    listen_with(&q.s, THRUM_HANDLERS(.on_message = echo), NULL);
    assert_int_equal(thrum_open(q.s.loop, thrum_listener_url(q.s.server), NULL,
                                THRUM_HANDLERS(.on_open = remember), &q, NULL, &e),
                     THRUM_OK);
    const int fd = thrum_loop_fd(q.s.loop);
    assert_int_equal(thrum_loop_fd(q.s.loop), fd);
    while (!q.client || thrum_listener_count(q.s.server) < 1) {
        assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000), 1);
        assert_int_equal(thrum_loop_step(q.s.loop, 0), THRUM_OK);
    }
    for (; is_readable(fd); q.s.steps++) {
        assert_true(q.s.steps < STEPS_MAX);
        assert_int_equal(thrum_loop_step(q.s.loop, 0), THRUM_OK);
    }
    assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 100), 0);
    /* ... and wakes for a byte */
    assert_int_equal(thrum_send(q.client, THRUM_TEXT, "x", 1), THRUM_OK);
    assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000), 1);
    thrum_listener_free(q.s.server);
    assert_int_equal(thrum_loop_free(q.s.loop), THRUM_OK);
}

/* Of a backend that has none. The loop can be driven by steps all the same. */
static void test_no_descriptor(void **unused)
{
    struct chain c = {.links = 9}; /* one link */
    (void)unused;
    make(&c.s);
    assert_string_equal(thrum_loop_backend(c.s.loop), "poll");
    assert_int_equal(thrum_loop_fd(c.s.loop), -1);
    assert_int_equal(thrum_loop_after(c.s.loop, 3600000, must_not_run, NULL, &c.never), THRUM_OK);
    assert_int_equal(thrum_loop_after(c.s.loop, 1, next_link, &c, NULL), THRUM_OK);
    while (thrum_loop_step(c.s.loop, 1000) == THRUM_OK)
        continue;
    assert_int_equal(c.links, 10);
    assert_int_equal(thrum_loop_free(c.s.loop), THRUM_OK);
}

static const char *backend(void)
{
    thrum_loop *l;
    thrum_error e;
    const char *name = getenv("THRUM_BACKEND");
    if (thrum_loop_new(&l, &e) != THRUM_OK) {
        printf("skipped: %s\n", e.text);
        exit(77);
    }
    const char *is = thrum_loop_backend(l);
    (void)thrum_loop_free(l);
    if (name && strcmp(name, "uring") == 0 && strcmp(is, "io_uring") != 0) {
        printf("skipped: this system has no io_uring\n");
        exit(77);
    }
    printf("%s drives %s\n", foreign_name, is);
    return is;
}

int main(void)
{
    const struct CMUnitTest driven[] = {
        cmocka_unit_test(test_a_hundred_connections),
        cmocka_unit_test(test_a_large_message),
        cmocka_unit_test(test_timers_alone),
        cmocka_unit_test(test_a_timer_between_steps),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_a_silent_peer),
        cmocka_unit_test(test_sends_between_steps),
        cmocka_unit_test(test_posts_wake_it),
        cmocka_unit_test(test_publications_wake_it),
        cmocka_unit_test(test_at_rest_it_is_silent),
    };
    const struct CMUnitTest alone[] = {cmocka_unit_test(test_no_descriptor)};
    alarm(120); /* only how long a hang may cost */
    return strcmp(backend(), "poll") == 0 ? cmocka_run_group_tests(alone, NULL, NULL)
                                          : cmocka_run_group_tests(driven, NULL, NULL);
}
