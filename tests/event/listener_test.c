/* listener_test.c: a listener's life: options, one loop or many, draining, handing its sockets over, the end.
 */
#include "driven.h"
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- options and what it says of itself ---- */

static void no_serve(thrum_conn *c, void *arg)
{
    (void)c, (void)arg;
}

static int no_request(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)r, (void)a, (void)arg;
    return 0;
}

static void refused(const thrum_server_options *o, const char *url, thrum_status want, const char *says)
{
    thrum_loop *l = loop_up();
    thrum_listener *s = (thrum_listener *)&s;
    thrum_error e;
    assert_status(thrum_listen(&s, l, url, o, &e), want);
    assert_null(s);
    assert_int_equal(e.status, want);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e.text, says);
    s = (thrum_listener *)&s;
    assert_status(thrum_serve_loops(&s, 2, url, o, NULL), want);
    assert_null(s);
    loop_down(l);
}

static void test_options(void **state)
{
    static const thrum_route routes[] = {{"/a", &spying, NULL, NULL}, {0}},
                             wrong[] = {{"a", &spying, NULL, NULL}, {0}};
    static const thrum_handlers small = {.size = 12};
    const char *url = "ws://127.0.0.1:0/";
    (void)state;
    refused(NULL, url, THRUM_E_ARGUMENT, ".handlers");
    refused(THRUM_SERVER(.arg = NULL), url, THRUM_E_ARGUMENT, ".handlers");
    refused(THRUM_SERVER(.handlers = &spying, .routes = routes), url, THRUM_E_ARGUMENT, ".routes");
    refused(THRUM_SERVER(.handlers = &spying, .serve = no_serve), url, THRUM_E_ARGUMENT, ".serve");
    refused(THRUM_SERVER(.routes = routes, .on_request = no_request), url, THRUM_E_ARGUMENT, ".on_request");
    refused(THRUM_SERVER(.routes = wrong), url, THRUM_E_ARGUMENT, "\"a\"");
    refused(THRUM_SERVER(.handlers = &small), url, THRUM_E_ARGUMENT, ".size");
    refused(THRUM_SERVER(.handlers = &spying, .when_full = 9), url, THRUM_E_ARGUMENT, ".when_full");
    refused(THRUM_SERVER(.handlers = &spying, .send_high = 4096, .send_low = 4096), url, THRUM_E_ARGUMENT,
            ".send_low");
    refused(THRUM_SERVER(.handlers = &spying, .spare_loop = 1), url, THRUM_E_TOO_NEW, "");
    refused(THRUM_SERVER(.handlers = &spying), NULL, THRUM_E_ARGUMENT, "NULL");
    refused(THRUM_SERVER(.handlers = &spying), "http://x/", THRUM_E_ARGUMENT, "http");
    refused(THRUM_SERVER(.handlers = &spying), "wss://127.0.0.1:0/", THRUM_E_CERTIFICATE, ".tls");
    refused(THRUM_SERVER(.handlers = &spying), "ws://192.0.2.7:0/", THRUM_E_CONNECT, "192.0.2.7");
}

static void test_nowhere(void **state)
{
    thrum_loop *l = loop_up();
    thrum_listener *s;
    (void)state;
    assert_status(thrum_listen(NULL, l, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying), NULL),
                  THRUM_E_ARGUMENT);
    assert_status(thrum_serve_loops(NULL, 1, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying), NULL),
                  THRUM_E_ARGUMENT);
    assert_status(thrum_serve_loops(&s, 1025, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying), NULL),
                  THRUM_E_ARGUMENT);
    assert_status(thrum_listen(&s, NULL, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying), NULL),
                  THRUM_E_ARGUMENT);
    assert_null(s);
    assert_int_equal(thrum_listener_port(NULL), 0);
    assert_string_equal(thrum_listener_url(NULL), "");
    assert_int_equal(thrum_listener_count(NULL), 0);
    assert_int_equal(thrum_listener_loops(NULL), 0);
    assert_null(thrum_listener_loop(NULL, 0));
    assert_int_equal(thrum_listener_fds(NULL, NULL, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_listener_drain(NULL, 0, 0, NULL, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_listener_wait(NULL, 0), THRUM_E_ARGUMENT);
    thrum_listener_free(NULL);
    loop_down(l);
}

static void test_of_itself(void **state)
{
    struct stage x = {0};
    char url[64];
    (void)state;
    stage_up(&x, NULL);
    assert_true(thrum_listener_port(x.s) > 0);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/", thrum_listener_port(x.s));
    assert_string_equal(thrum_listener_url(x.s), url);
    assert_int_equal(thrum_listener_loops(x.s), 1);
    assert_ptr_equal(thrum_listener_loop(x.s, 0), x.l);
    assert_null(thrum_listener_loop(x.s, 1));
    assert_int_equal(thrum_listener_count(x.s), 1);
    assert_status(thrum_listener_wait(x.s, 0), THRUM_E_THREAD);
    assert_status(thrum_listener_drain(x.s, 1005, 0, NULL, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_listener_drain(x.s, 0, -2, NULL, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_listener_wait(x.s, -2), THRUM_E_ARGUMENT);
    peer_close(&x.p);
    turn_until(x.l, thrum_listener_count(x.s) == 0);
    refused(THRUM_SERVER(.handlers = &spying), url, THRUM_E_CONNECT, "");
    stage_down(&x);
}

static void test_unix_socket(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    struct peer p;
    struct stat st;
    char path[64], url[96], head[1024];
    (void)state;
    snprintf(path, sizeof path, "/tmp/thrum-event-%d.sock", (int)getpid());
    snprintf(url, sizeof url, "ws+unix:%s", path);
    thrum_listener *s = listen_at(l, url, THRUM_SERVER(.handlers = &spying, .arg = &spy));
    assert_int_equal(thrum_listener_port(s), 0);
    assert_string_equal(thrum_listener_url(s), url);
    assert_true(peer_connect_unix(&p, path));
    peer_give(l, &p, "GET /" HEAD "\r\n", strlen("GET /" HEAD "\r\n"));
    peer_hears(l, &p, "101", head, sizeof head);
    turn_until(l, spy.c);
    peer_text(l, &p, "over a path");
    turn_until(l, spy.messages == 1);
    assert_int_equal(strncmp(thrum_conn_peer(spy.c), "unix", 4), 0);
    thrum_listener_free(s);
    assert_int_not_equal(stat(path, &st), 0);
    peer_close(&p);
    loop_down(l);
}

/* ---- draining ---- */

static void count_drained(thrum_listener *s, void *arg)
{
    assert_non_null(s);
    ++*(_Atomic int *)arg;
}

static void test_drain(void **state)
{
    struct stage x = {0};
    struct peer half, late;
    char head[1024];
    _Atomic int drained = 0;
    (void)state;
    stage_up(&x, NULL);
    assert_true(peer_connect(&half, AF_INET, thrum_listener_port(x.s)));
    peer_give(x.l, &half, "GET / HTTP/1.1\r\nHo", 18);
    turn_until(x.l, x.l->nconns == 2);
    assert_status(thrum_listener_drain(x.s, 1012, PEER_MS, count_drained, &drained), THRUM_OK);
    peer_hears(x.l, &half, "503", head, sizeof head);
    peer_hears_close(x.l, &x.p, 1012);
    turn_out(x.l); /* whom the poller had accepted by itself is served before it listens no more */
    assert_false(peer_connect(&late, AF_INET, thrum_listener_port(x.s)));
    peer_close(&late);
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "x", 1), THRUM_E_CLOSED);
    peer_text(x.l, &x.p, "too late");
    peer_close(&half);
    turn_until(x.l, x.l->nconns == 1);
    assert_int_equal(drained, 0); /* one is left */
    assert_status(thrum_listener_drain(x.s, 0, THRUM_FOREVER, NULL, NULL), THRUM_OK);
    peer_parts(x.l, &x.p, 1012);
    turn_until(x.l, drained == 1);
    assert_heard(&x.spy, "closed CLOSED 1012; ");
    assert_status(thrum_loop_step(x.l, 0), THRUM_E_CLOSED); /* nothing keeps the loop */
    assert_status(thrum_listener_drain(x.s, 0, 0, count_drained, &drained), THRUM_OK);
    turn_out(x.l);
    assert_int_equal(drained, 1); /* once */
    stage_down(&x);
}

static void test_drain_deadline(void **state)
{
    struct stage x = {0};
    _Atomic int drained = 0;
    (void)state;
    stage_up(&x, THRUM_SERVER(.close_timeout = 60000));
    assert_status(thrum_listener_drain(x.s, 0, PEER_MS, count_drained, &drained), THRUM_OK);
    peer_hears_close(x.l, &x.p, 1001); /* and is not answered */
    turn_out(x.l);
    assert_int_equal(drained, 0);
    assert_status(thrum_listener_drain(x.s, 0, 20, NULL, NULL), THRUM_OK); /* a nearer one counts */
    assert_status(thrum_listener_drain(x.s, 0, PEER_MS, NULL, NULL), THRUM_OK);
    turn_until(x.l, drained == 1);
    assert_heard(&x.spy, "closed CLOSED 1006; ");
    (void)peer_end(x.l, &x.p);
    stage_down(&x);
}

static void test_drain_of_nobody(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    _Atomic int drained = 0;
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &spy);
    assert_status(thrum_listener_drain(s, 0, 0, count_drained, &drained), THRUM_OK);
    assert_int_equal(drained, 0); /* on the loop */
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
    assert_int_equal(drained, 1);
    thrum_listener_free(s);
    loop_down(l);
}

static void free_drained(thrum_listener *s, void *arg)
{
    ++*(_Atomic int *)arg;
    thrum_listener_free(s);
}

static void test_freed_when_drained(void **state)
{
    _Atomic int drained = 0;
    (void)state;
    for (int with = 0; with < 2; with++) {
        struct stage x = {0};
        stage_up(&x, NULL);
        if (!with) {
            peer_close(&x.p);
            turn_until(x.l, x.l->nconns == 0);
        }
        assert_status(thrum_listener_drain(x.s, 0, 10, free_drained, &drained), THRUM_OK);
        x.s = NULL;
        turn_until(x.l, drained == with + 1);
        assert_status(thrum_loop_run(x.l, THRUM_FOREVER), THRUM_OK);
        stage_down(&x);
    }
}

/* ---- letters to a listener that has gone ---- */

static void test_freed_before_the_letter(void **state)
{
    _Atomic int drained = 0;
    (void)state;
    for (int how = 0; how < 3; how++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        thrum_listener *s = THRUM_LISTEN(l, &spy);
        if (how == 0)
            assert_status(thrum_listener_drain(s, 0, 0, count_drained, &drained), THRUM_OK);
        else
            for (int i = 0; i < 10; i++)
                assert_status(thrum_listener_drain(s, 0, PEER_MS, NULL, NULL), THRUM_OK);
        if (how == 2) {
            loop_down(l);
            thrum_listener_free(s);
            continue;
        }
        thrum_listener_free(s);
        turn_out(l);
        loop_down(l);
    }
    assert_true(drained <= 1);
}

static void *publish_main(void *arg)
{
    thrum_listener *s = arg;
    for (int i = 0; i < 100; i++)
        assert_status(thrum_publish(s, "t", THRUM_TEXT, "news", 4), THRUM_OK);
    return NULL;
}

static void test_freed_before_the_news(void **state)
{
    pthread_t t;
    (void)state;
    for (int how = 0; how < 2; how++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        thrum_listener *s = THRUM_LISTEN(l, &spy);
        assert_int_equal(pthread_create(&t, NULL, publish_main, s), 0);
        pthread_join(t, NULL);
        if (how == 0)
            thrum_listener_free(s);
        turn_out(l);
        if (how == 1) {
            assert_int_equal(pthread_create(&t, NULL, publish_main, s), 0);
            pthread_join(t, NULL);
        }
        loop_down(l);
        if (how == 1)
            thrum_listener_free(s);
    }
}

/* An accept event and the end of its listener in one turn: whichever comes first. */
static void free_that(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)c, (void)m;
    thrum_listener_free(s->more);
    s->more = NULL;
}

static void test_freed_with_an_event_under_way(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct stage x = {.spy = {.on_message = free_that}};
        struct spy other = {0};
        struct peer p;
        stage_up(&x, NULL);
        thrum_listener *s = THRUM_LISTEN(x.l, &other);
        turn_out(x.l);
        x.spy.more = s;
        uint8_t f[32];
        size_t n = frame_of(f, 0x81, "go", 2, true);
        uint16_t port = thrum_listener_port(s);
        if (first)
            assert_true(peer_connect(&p, AF_INET, port));
        assert_true(peer_write(&x.p, f, n));
        if (!first)
            assert_true(peer_connect(&p, AF_INET, port));
        turn_until(x.l, !x.spy.more);
        turn_out(x.l);
        peer_close(&p);
        stage_down(&x);
    }
}

/* ---- waiting ---- */

struct waiter {
    thrum_listener *s;
    thrum_status status;
    _Atomic bool in;
};

static void *wait_main(void *arg)
{
    struct waiter *w = arg;
    w->in = true;
    w->status = thrum_listener_wait(w->s, THRUM_FOREVER);
    return NULL;
}

static void test_wait(void **state)
{
    pthread_t t;
    (void)state;
    for (int freed = 0; freed < 2; freed++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        struct waiter w = {.s = THRUM_LISTEN(l, &spy), .status = THRUM_E_STATE};
        assert_int_equal(pthread_create(&t, NULL, wait_main, &w), 0);
        await(w.in);
        turn_out(l);
        if (freed) {
            thrum_listener_free(w.s);
            /* It may not have come to its wait yet, and then w.s is gone: so it is held by the loop's end. */
        } else {
            assert_status(thrum_listener_drain(w.s, 0, 0, NULL, NULL), THRUM_OK);
            assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
        }
        pthread_join(t, NULL);
        assert_status(w.status, THRUM_OK);
        if (!freed)
            thrum_listener_free(w.s);
        loop_down(l);
    }
}

/* ---- loops of its own ---- */

static struct crowd { /* what callbacks on any of the threads have seen */
    pthread_mutex_t lock;
    pthread_t threads[8];
    size_t nthreads;
    _Atomic int opens, closes, messages;
} crowd = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void crowd_open(thrum_conn *c, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&crowd.lock);
    size_t i = 0;
    while (i < crowd.nthreads && crowd.threads[i] != pthread_self())
        i++;
    if (i == crowd.nthreads && i < COUNT(crowd.threads))
        crowd.threads[crowd.nthreads++] = pthread_self();
    pthread_mutex_unlock(&crowd.lock);
    assert_non_null(thrum_conn_loop(c));
    assert_status(thrum_subscribe(c, "all"), THRUM_OK);
    crowd.opens++;
}

static void crowd_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    crowd.messages++;
    assert_status(thrum_send(c, m->kind, m->data, m->len), THRUM_OK);
}

static void crowd_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)c, (void)why, (void)arg;
    crowd.closes++;
}

static const thrum_handlers crowding = {
    .size = sizeof crowding, .on_open = crowd_open, .on_message = crowd_message, .on_close = crowd_close};

static thrum_listener *serve(unsigned n, const thrum_server_options *given)
{
    thrum_server_options o = {.size = sizeof o};
    thrum_listener *s;
    thrum_error e;
    if (given)
        o = *given;
    o.handlers = &crowding;
    crowd.nthreads = 0;
    crowd.opens = crowd.closes = crowd.messages = 0;
    if (thrum_serve_loops(&s, n, "ws://127.0.0.1:0/", &o, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return s;
}

/* A peer of a listener that turns by itself. */
static void crowd_joins(const thrum_listener *s, struct peer *p)
{
    char head[1024];
    assert_true(peer_connect(p, AF_INET, thrum_listener_port(s)));
    assert_true(peer_puts(p, "GET /" HEAD "\r\n"));
    assert_true(peer_read_until(p, head, sizeof head, "\r\n\r\n") > 0);
    assert_non_null(strstr(head, " 101 "));
}

static void crowd_hears(struct peer *p, const char *frame, size_t n)
{
    char got[64];
    assert_true(peer_read(p, got, n));
    assert_memory_equal(got, frame, n);
}

enum { PEERS = 48, LOOPS = 3 };

static void test_serve_loops(void **state)
{
    struct peer p[PEERS];
    thrum_loop *l[LOOPS];
    (void)state;
    thrum_listener *s = serve(LOOPS, NULL);
    assert_int_equal(thrum_listener_loops(s), LOOPS);
    assert_int_equal(thrum_library_threads(), LOOPS);
    for (size_t i = 0; i < LOOPS; i++) {
        l[i] = thrum_listener_loop(s, i);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(l[i], l[k]);
        assert_status(thrum_loop_run(l[i], 0), THRUM_E_STATE); /* it is driven */
        assert_status(thrum_loop_free(l[i]), THRUM_E_STATE);
        assert_int_equal(thrum_loop_fd(l[i]), -1);
    }
    for (size_t i = 0; i < PEERS; i++)
        crowd_joins(s, &p[i]);
    await(crowd.opens == PEERS);
    assert_int_equal(thrum_listener_count(s), PEERS);
    assert_int_equal(crowd.nthreads, LOOPS); /* the kernel spreads them: with 48 each loop has some */
    assert_int_equal(thrum_subscribers(s, "all"), PEERS);
    for (size_t i = 0; i < PEERS; i++)
        assert_true(peer_write(&p[i], "\x81\x82\0\0\0\0hi", 8));
    for (size_t i = 0; i < PEERS; i++)
        crowd_hears(&p[i], "\x81\2hi", 4);
    assert_status(thrum_publish(s, "all", THRUM_TEXT, "news", 4), THRUM_OK); /* reaches all of them */
    for (size_t i = 0; i < PEERS; i++)
        crowd_hears(&p[i], "\x81\4news", 6);
    thrum_listener_free(s);
    assert_int_equal(crowd.closes, PEERS);
    for (size_t i = 0; i < PEERS; i++) {
        crowd_hears(&p[i], "\x88\2\x03\xe9", 4);
        assert_int_equal(peer_drain(&p[i], NULL), 0);
        peer_close(&p[i]);
    }
}

static void test_loops_for_each_processor(void **state)
{
    (void)state;
    thrum_listener *s = serve(0, NULL);
    assert_int_equal(thrum_listener_loops(s), sysconf(_SC_NPROCESSORS_ONLN));
    thrum_listener_free(s);
}

static void test_loops_drained(void **state)
{
    struct peer p[PEERS];
    _Atomic int drained = 0;
    (void)state;
    thrum_listener *s = serve(LOOPS, NULL);
    for (size_t i = 0; i < PEERS; i++)
        crowd_joins(s, &p[i]);
    assert_status(thrum_listener_wait(s, 0), THRUM_E_TIMEOUT);
    assert_status(thrum_listener_drain(s, 1012, PEER_MS, count_drained, &drained), THRUM_OK);
    for (size_t i = 0; i < PEERS; i++) {
        crowd_hears(&p[i], "\x88\2\x03\xf4", 4);
        assert_true(peer_write(&p[i], "\x88\x82\0\0\0\0\x03\xf4", 8));
        assert_int_equal(peer_drain(&p[i], NULL), 0);
        peer_close(&p[i]);
    }
    assert_status(thrum_listener_wait(s, PEER_MS), THRUM_OK);
    await(drained == 1);
    assert_int_equal(crowd.closes, PEERS);
    assert_int_equal(thrum_listener_count(s), 0);
    thrum_listener_free(s);
    assert_int_equal(drained, 1);
}

/* Freed on one of its own threads, from within a callback. */
static void free_own(thrum_conn *c, void *arg)
{
    (void)c;
    assert_status(thrum_listener_wait(arg, 0), THRUM_E_THREAD);
    thrum_listener_free(arg);
}

static void test_loops_freed_by_themselves(void **state)
{
    struct peer p;
    _Atomic int drained = 0;
    (void)state;
    thrum_listener *s = serve(LOOPS, NULL);
    crowd_joins(s, &p);
    assert_status(thrum_post(thrum_listener_loop(s, 1), 0, free_own, s), THRUM_OK);
    crowd_hears(&p, "\x88\2\x03\xe9", 4);
    peer_close(&p);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    assert_int_equal(crowd.closes, 1);
    s = serve(LOOPS, NULL);
    assert_status(thrum_listener_drain(s, 0, 0, free_drained, &drained), THRUM_OK);
    await(drained == 1);
}

static void test_loops_freed_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) /* before its threads have begun, or while they do */
        thrum_listener_free(serve(LOOPS, NULL));
}

/* ---- what cannot be begun leaves nothing ---- */

static int threads_left;

static int few_threads(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    return threads_left-- > 0 ? sys_real.thread_create(t, a, fn, arg) : EAGAIN;
}

static int eventfds_left;

static int few_eventfds(unsigned value, int flags)
{
    if (eventfds_left-- > 0)
        return sys_real.eventfd(value, flags);
    errno = EMFILE;
    return -1;
}

static void test_no_threads(void **state)
{
    (void)state;
    for (int i = 0; i < LOOPS; i++) {
        thrum_listener *s;
        thrum_error e;
        sys.thread_create = few_threads;
        threads_left = i;
        assert_status(
            thrum_serve_loops(&s, LOOPS, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &crowding), &e),
            THRUM_E_SYSTEM);
        assert_null(s);
        assert_int_equal(e.os_errno, EAGAIN);
        assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
        sys = sys_real;
    }
}

static void test_no_descriptors(void **state)
{
    (void)state;
    int i = 0;
    for (thrum_status s = THRUM_E_SYSTEM; s != THRUM_OK; i++) {
        thrum_listener *out;
        thrum_error e;
        sys.eventfd = few_eventfds;
        eventfds_left = i;
        s = thrum_serve_loops(&out, LOOPS, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &crowding), &e);
        assert_true(s == THRUM_OK || (s == THRUM_E_SYSTEM && e.os_errno == EMFILE && !out));
        sys = sys_real;
        thrum_listener_free(out);
        assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
        if (fault_open_descriptors() != rest_descriptors)
            fail_msg("with %d descriptors for bells: some are left", i);
    }
    assert_true(i > 3);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int i = 0;; i++) {
        thrum_loop *l = loop_up();
        thrum_listener *s;
        thrum_error e;
        memory_refuse_after(i);
        thrum_status st = thrum_listen(&s, l, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying), &e);
        memory_refuse_after(-1);
        assert_true(st == THRUM_OK || (st == THRUM_E_MEMORY && e.text[0] && !s));
        thrum_listener_free(s);
        loop_down(l);
        if (st == THRUM_OK) {
            assert_true(i > 5);
            return;
        }
    }
}

/* ---- handing over ---- */

/* One listener's sockets go to another, while peers come all the time: nobody is refused. */
static void test_handing_over(void **state)
{
    struct peer p[PEERS];
    int fds[LOOPS + 1], few[1];
    (void)state;
    for (unsigned to = 1; to <= LOOPS + 1; to++) {
        thrum_listener *s = serve(LOOPS, NULL), *t;
        uint16_t port = thrum_listener_port(s);
        thrum_error e;
        assert_int_equal(thrum_listener_fds(s, NULL, 0), LOOPS);
        assert_int_equal(thrum_listener_fds(s, NULL, 1), THRUM_E_ARGUMENT);
        assert_int_equal(thrum_listener_fds(s, few, 1), LOOPS); /* more than there was room for */
        close(few[0]);
        assert_int_equal(thrum_listener_fds(s, fds, LOOPS), LOOPS);
        fds[LOOPS] = -1;
        for (size_t i = 0; i < PEERS / 2; i++)
            assert_true(peer_connect(&p[i], AF_INET, port));
        if (thrum_serve_loops(&t, to, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &crowding, .fds = fds),
                              &e) != THRUM_OK)
            fail_msg("%s", e.text);
        assert_int_equal(thrum_listener_port(t), port);
        assert_status(thrum_listener_drain(s, 1012, PEER_MS, NULL, NULL), THRUM_OK);
        for (size_t i = PEERS / 2; i < PEERS; i++)
            assert_true(peer_connect(&p[i], AF_INET, port));
        for (size_t i = 0; i < PEERS; i++) { /* each is let in, be it by the old one, which then says 1012 */
            char head[1024], got[4];
            assert_true(peer_puts(&p[i], "GET /" HEAD "\r\n"));
            assert_true(peer_read_until(&p[i], head, sizeof head, "\r\n\r\n") > 0);
            assert_non_null(strstr(head, " 101 "));
            assert_true(peer_write(&p[i], "\x81\x82\0\0\0\0hi", 8));
            assert_true(peer_read(&p[i], got, 4));
            assert_true(memcmp(got, "\x81\2hi", 4) == 0 || memcmp(got, "\x88\2\x03\xf4", 4) == 0);
            peer_reset(&p[i]);
        }
        assert_status(thrum_listener_wait(s, PEER_MS), THRUM_OK);
        thrum_listener_free(s);
        thrum_listener_free(t);
    }
}

/* In a child process, by fork and inherited descriptors, as systemd does it. */
static void test_passed_fds(void **state)
{
    char pid[16];
    int status;
    (void)state;
    unsetenv("LISTEN_PID");
    assert_null(thrum_passed_fds());
    pid_t child = fork_at_rest();
    if (child == 0) {
        snprintf(pid, sizeof pid, "%d", (int)getpid());
        setenv("LISTEN_PID", pid, 1);
        bool good = !thrum_passed_fds();
        setenv("LISTEN_FDS", "0", 1);
        good &= !thrum_passed_fds();
        setenv("LISTEN_FDS", "65", 1);
        good &= !thrum_passed_fds();
        setenv("LISTEN_FDS", "nonsense", 1);
        good &= !thrum_passed_fds();
        setenv("LISTEN_FDS", "2", 1);
        const int *fds = thrum_passed_fds();
        good &= fds && fds[0] == 3 && fds[1] == 4 && fds[2] == -1;
        setenv("LISTEN_PID", "1", 1);
        good &= !thrum_passed_fds();
        child_exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_given_fds(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    struct peer p, q;
    thrum_listener *s;
    thrum_error e;
    char head[1024];
    (void)state;
    assert_true(peer_listen(&p, AF_INET, 16));
    int fds[] = {p.listening, -1};
    s = listen_at(l, "ws://", THRUM_SERVER(.handlers = &spying, .arg = &spy, .fds = fds));
    assert_int_equal(thrum_listener_port(s), p.port);
    p.listening = -1; /* the library's */
    peer_asks(l, s, &q, "/", "");
    peer_hears(l, &q, "101", head, sizeof head);
    peer_close(&q);
    thrum_listener_free(s);
    int not_listening[] = {socket(AF_INET, SOCK_STREAM, 0), -1}, none[] = {-1};
    assert_status(thrum_listen(&s, l, "ws://", THRUM_SERVER(.handlers = &spying, .fds = not_listening), &e),
                  THRUM_E_ARGUMENT);
    assert_status(thrum_listen(&s, l, "ws://", THRUM_SERVER(.handlers = &spying, .fds = none), &e),
                  THRUM_E_ARGUMENT);
    int closed_too[] = {socket(AF_INET, SOCK_STREAM, 0), -1}; /* whatever is wrong with the other options */
    assert_status(thrum_listen(&s, l, "ws://", THRUM_SERVER(.fds = closed_too), &e), THRUM_E_ARGUMENT);
    closed_too[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_status(thrum_listen(NULL, l, "ws://", THRUM_SERVER(.handlers = &spying, .fds = closed_too), &e),
                  THRUM_E_ARGUMENT);
    closed_too[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_status(thrum_serve_loops(&s, 2, "ws://", THRUM_SERVER(.fds = closed_too), &e), THRUM_E_ARGUMENT);
    closed_too[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_status(
        thrum_serve_loops(&s, 9999, "ws://", THRUM_SERVER(.handlers = &spying, .fds = closed_too), &e),
        THRUM_E_ARGUMENT);
    peer_close(&p);
    loop_down(l);
}

/* Two processes, or two listeners, at one port. */
static void test_reuse_port(void **state)
{
    thrum_loop *l = loop_up();
    struct spy a = {0}, b = {0};
    struct peer p[PEERS];
    char url[64];
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &a, .reuse_port = THRUM_ON);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/", thrum_listener_port(s));
    thrum_listener *t =
        listen_at(l, url, THRUM_SERVER(.handlers = &spying, .arg = &b, .reuse_port = THRUM_ON));
    for (size_t i = 0; i < PEERS; i++)
        peer_opens(l, s, &p[i]);
    turn_until(l, a.opens + b.opens == PEERS);
    assert_true(a.opens > 0 && b.opens > 0);
    thrum_listener_free(s);
    for (size_t i = 0; i < PEERS; i++)
        peer_close(&p[i]);
    peer_opens(l, t, &p[0]);
    peer_close(&p[0]);
    thrum_listener_free(t);
    loop_down(l);
}

/* ---- fork ---- */

static void test_forked(void **state)
{
    struct stage x = {0};
    struct peer p;
    int status;
    (void)state;
    stage_up(&x, NULL);
    thrum_listener *s = serve(2, NULL);
    pid_t child = fork_at_rest();
    if (child == 0) {
        bool good = thrum_listener_drain(x.s, 0, 0, NULL, NULL) == THRUM_E_FORKED;
        good &= thrum_listener_wait(x.s, 0) == THRUM_E_FORKED;
        good &= thrum_listener_count(x.s) == 0;
        good &= thrum_listener_fds(x.s, NULL, 0) == THRUM_E_FORKED;
        good &= thrum_publish(x.s, "t", THRUM_TEXT, "x", 1) == THRUM_E_FORKED;
        good &= thrum_subscribers(x.s, "t") == 0;
        good &= thrum_post(x.l, 0, free_own, NULL) == THRUM_E_FORKED;
        thrum_listener_free(x.s);
        thrum_loop_free(x.l);
        thrum_listener_free(s);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    turn_out(x.l);
    assert_true(peer_is_silent(&x.p));
    peer_text(x.l, &x.p, "on");
    turn_until(x.l, x.spy.messages == 1);
    stage_down(&x);
    crowd_joins(s, &p);
    peer_close(&p);
    thrum_listener_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_options),
        clean_test(test_nowhere),
        clean_test(test_of_itself),
        clean_test(test_unix_socket),
        clean_test(test_drain),
        clean_test(test_drain_deadline),
        clean_test(test_drain_of_nobody),
        clean_test(test_freed_when_drained),
        clean_test(test_freed_before_the_letter),
        clean_test(test_freed_before_the_news),
        clean_test(test_freed_with_an_event_under_way),
        clean_test(test_wait),
        clean_test(test_serve_loops),
        clean_test(test_loops_for_each_processor),
        clean_test(test_loops_drained),
        clean_test(test_loops_freed_by_themselves),
        clean_test(test_loops_freed_at_once),
        clean_test(test_no_threads),
        clean_test(test_no_descriptors),
        clean_test(test_no_memory),
        clean_test(test_handing_over),
        clean_test(test_passed_fds),
        clean_test(test_given_fds),
        clean_test(test_reuse_port),
        clean_test(test_forked),
    };
    return run_on_backend(tests);
}
