/* open_test.c: clients of a loop, from thrum_open to on_open or on_close. */
#include "driven.h"
#include <sys/wait.h>

static thrum_id open_to(thrum_loop *l, const char *url, const thrum_client_options *o, struct spy *spy)
{
    thrum_id id = 0;
    thrum_error e;
    if (thrum_open(l, url, o, &spying, spy, &id, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    assert_string_equal(spy->text, ""); /* never before it returns */
    assert_true(id != 0);
    return id;
}

/* Opens, and it comes to nothing: what on_close is told, once. */
static thrum_error fails(const char *url, const thrum_client_options *o)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    (void)open_to(l, url, o, &spy);
    assert_status(thrum_loop_run(l, PEER_MS), THRUM_OK); /* nothing is left then */
    assert_int_equal(spy.opens, 0);
    assert_int_equal(spy.closes, 1);
    loop_down(l);
    return spy.why;
}

/* ---- it opens ---- */

static void test_opens(void **state)
{
    thrum_loop *l = loop_up();
    struct spy server = {0}, client = {0};
    const char *const headers[] = {"X-Mine", "yes", NULL};
    char url[96];
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &server, .subprotocols = "b");
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/here?x=1", thrum_listener_port(s));
    thrum_id id = open_to(l, url, THRUM_CLIENT(.subprotocols = "a, b", .headers = headers), &client);
    turn_until(l, server.c && client.c);
    assert_int_equal(client.id, id);
    assert_string_equal(thrum_conn_target(server.c), "/here?x=1");
    assert_string_equal(thrum_conn_subprotocol(client.c), "b");
    assert_string_equal(thrum_conn_subprotocol(server.c), "b");
    assert_int_equal(strncmp(thrum_conn_peer(client.c), "127.0.0.1:", 10), 0);
    assert_ptr_equal(thrum_conn_loop(client.c), l);
    assert_null(thrum_conn_param(client.c, "x"));
    assert_status(thrum_send(client.c, THRUM_TEXT, "question", 8), THRUM_OK);
    turn_until(l, server.messages == 1);
    assert_status(thrum_send(server.c, THRUM_TEXT, "answer", 6), THRUM_OK);
    turn_until(l, client.messages == 1);
    assert_status(thrum_close(client.c, 1000, "done"), THRUM_OK);
    turn_until(l, server.closes == 1 && client.closes == 1);
    assert_heard(&client, "open; text answer; closed CLOSED 1000; ");
    assert_heard(&server, "open; text question; closed CLOSED 1000; ");
    thrum_listener_free(s);
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
    loop_down(l);
}

static void test_opens_over_a_path(void **state)
{
    thrum_loop *l = loop_up();
    struct spy server = {0}, client = {0};
    char url[96], to[128];
    (void)state;
    snprintf(url, sizeof url, "ws+unix:/tmp/thrum-open-%d.sock", (int)getpid());
    snprintf(to, sizeof to, "%s:/inside", url);
    thrum_listener *s = listen_at(l, url, THRUM_SERVER(.handlers = &spying, .arg = &server));
    (void)open_to(l, to, NULL, &client);
    turn_until(l, server.c && client.c);
    assert_string_equal(thrum_conn_target(server.c), "/inside");
    loop_down(l);
    thrum_listener_free(s);
}

enum { MANY = 100 };

/* More at once than there are helpers. */
static void test_many(void **state)
{
    thrum_loop *l = loop_up();
    static struct spy server, clients[MANY];
    (void)state;
    memset(&server, 0, sizeof server);
    memset(clients, 0, sizeof clients);
    thrum_listener *s = THRUM_LISTEN(l, &server);
    for (int i = 0; i < MANY; i++)
        (void)open_to(l, thrum_listener_url(s), NULL, &clients[i]);
    turn_until(l, server.opens == MANY);
    for (int i = 0; i < MANY; i++)
        turn_until(l, clients[i].c);
    loop_down(l); /* goodbye to all of them, from both ends */
    assert_int_equal(server.closes, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(clients[i].closes, 1);
    thrum_listener_free(s);
}

/* ---- it does not ---- */

static void test_arguments(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    static const thrum_handlers small = {.size = 4};
    const thrum_client_options too_new = {.size = sizeof too_new, .spare_loop = 1};
    thrum_error e;
    (void)state;
    assert_status(thrum_open(NULL, "ws://127.0.0.1:1/", NULL, &spying, &spy, NULL, &e), THRUM_E_ARGUMENT);
    assert_status(thrum_open(l, NULL, NULL, &spying, &spy, NULL, &e), THRUM_E_ARGUMENT);
    assert_status(thrum_open(l, "ws://127.0.0.1:1/", NULL, NULL, &spy, NULL, &e), THRUM_E_ARGUMENT);
    assert_status(thrum_open(l, "http://127.0.0.1/", NULL, &spying, &spy, NULL, &e), THRUM_E_ARGUMENT);
    assert_non_null(strstr(e.text, "http"));
    assert_status(thrum_open(l, "ws://127.0.0.1:1/", NULL, &small, &spy, NULL, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_open(l, "ws://127.0.0.1:1/", &too_new, &spying, &spy, NULL, &e), THRUM_E_TOO_NEW);
    assert_status(thrum_open(l, "ws://127.0.0.1:1/", THRUM_CLIENT(.when_full = 7), &spying, &spy, NULL, &e),
                  THRUM_E_ARGUMENT);
    assert_status(thrum_open(l, "ws://127.0.0.1:1/",
                             THRUM_CLIENT(.headers = (const char *const[]){"Host", "x", NULL}), &spying, &spy,
                             NULL, &e),
                  THRUM_E_ARGUMENT);
    assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED);
    assert_string_equal(spy.text, "");
    loop_down(l);
}

static void test_refusals(void **state)
{
    struct peer p;
    (void)state;
    assert_true(peer_listen(&p, AF_INET, 4));
    char url[160];
    snprintf(url, sizeof url, "%s", p.url);
    peer_close(&p);
    thrum_error e = fails(url, NULL); /* nobody listens there any more */
    assert_int_equal(e.status, THRUM_E_CONNECT);
    assert_int_equal(e.os_errno, ECONNREFUSED);
    e = fails("ws://nowhere.invalid/", NULL);
    assert_int_equal(e.status, THRUM_E_RESOLVE);
    e = fails("ws+unix:/tmp/there/is/no/such/path", NULL);
    assert_int_equal(e.status, THRUM_E_CONNECT);
    assert_true(peer_listen(&p, AF_INET, 4)); /* connects, and says nothing */
    e = fails(p.url, THRUM_CLIENT(.open_timeout = 30));
    assert_int_equal(e.status, THRUM_E_TIMEOUT);
    peer_close(&p);
    assert_true(peer_blackhole(&p, AF_INET)); /* does not even connect */
    e = fails(p.url, THRUM_CLIENT(.open_timeout = 30));
    assert_int_equal(e.status, THRUM_E_TIMEOUT);
    peer_close(&p);
}

/* A hand-made server: reads the request, answers this. */
static void answered(const char *answer, const thrum_client_options *o, struct spy *spy, char *request,
                     size_t cap)
{
    thrum_loop *l = loop_up();
    struct peer p;
    *spy = (struct spy){0};
    assert_true(peer_listen(&p, AF_INET, 4));
    (void)open_to(l, p.url, o, spy);
    struct pollfd v = {.fd = p.listening, .events = POLLIN};
    turn_until(l, poll(&v, 1, 0) == 1);
    assert_true(peer_accept(&p));
    peer_get_to(l, &p, request, cap, "\r\n\r\n");
    peer_give(l, &p, answer, strlen(answer));
    peer_hang_up(&p);
    turn_until(l, spy->closes == 1);
    peer_close(&p);
    assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED);
    loop_down(l);
}

static void test_http_answers(void **state)
{
    struct spy spy;
    char request[4096];
    (void)state;
    answered("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", NULL, &spy, request, sizeof request);
    assert_int_equal(spy.why.status, THRUM_E_REFUSED);
    assert_int_equal(spy.why.http_status, 404);
    answered("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", NULL, &spy, request,
             sizeof request);
    assert_int_equal(spy.why.status, THRUM_E_REFUSED); /* not followed on a loop */
    assert_int_equal(spy.why.http_status, 302);
    answered("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
             THRUM_CLIENT(.user = "me", .password = "secret"), &spy, request, sizeof request);
    assert_int_equal(spy.why.status, THRUM_E_REFUSED); /* nor is this */
    assert_int_equal(spy.why.http_status, 401);
    answered("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", THRUM_CLIENT(.bearer = "token"), &spy, request,
             sizeof request);
    assert_int_equal(spy.why.http_status, 503);
    assert_non_null(strstr(request, "Authorization: Bearer token\r\n"));
    answered("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
             NULL, &spy, request, sizeof request);
    assert_int_equal(spy.why.status, THRUM_E_HANDSHAKE);
    answered("", NULL, &spy, request, sizeof request);
    assert_int_equal(spy.why.status, THRUM_E_UNCLEAN);
}

/* ---- through a proxy ---- */

static void test_proxy(void **state)
{
    thrum_loop *l = loop_up();
    struct spy server = {0}, client = {0};
    struct peer proxy, far = {0};
    char head[4096], proxy_url[64], want[64];
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &server);
    assert_true(peer_listen(&proxy, AF_INET, 4));
    snprintf(proxy_url, sizeof proxy_url, "http://127.0.0.1:%d", proxy.port);
    snprintf(want, sizeof want, "CONNECT 127.0.0.1:%d HTTP/1.1\r\n", thrum_listener_port(s));
    (void)open_to(l, thrum_listener_url(s), THRUM_CLIENT(.proxy = proxy_url), &client);
    struct pollfd v = {.fd = proxy.listening, .events = POLLIN};
    turn_until(l, poll(&v, 1, 0) == 1);
    assert_true(peer_accept(&proxy));
    peer_get_to(l, &proxy, head, sizeof head, "\r\n\r\n");
    assert_int_equal(strncmp(head, want, strlen(want)), 0);
    peer_give(l, &proxy, "HTTP/1.1 200 Go\r\n\r\n", 19);
    assert_true(peer_connect(&far, AF_INET, thrum_listener_port(s)));
    for (const int64_t until = clock_after(clock_now(), PEER_MS);
         !(client.messages == 1 && server.messages == 1);) {
        struct peer *const ends[] = {&proxy, &far};
        for (int i = 0; i < 2; i++) {
            ssize_t n = peer_take(ends[i], head, sizeof head);
            if (n > 0)
                peer_give(l, ends[!i], head, (size_t)n);
        }
        if (client.c && server.c && client.messages + server.messages == 0 &&
            thrum_conn_pending(client.c) == 0 && !client.more) {
            client.more = l;
            assert_status(thrum_send(client.c, THRUM_TEXT, "through", 7), THRUM_OK);
            assert_status(thrum_send(server.c, THRUM_TEXT, "back", 4), THRUM_OK);
        }
        turn(l);
        assert_true(clock_now() < until);
    }
    loop_down(l);
    thrum_listener_free(s);
    peer_close(&proxy);
    peer_close(&far);
}

static void test_proxy_refuses(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    struct peer proxy;
    char head[4096], url[64];
    (void)state;
    assert_true(peer_listen(&proxy, AF_INET, 4));
    snprintf(url, sizeof url, "http://127.0.0.1:%d", proxy.port);
    (void)open_to(l, "ws://far.test/", THRUM_CLIENT(.proxy = url), &spy);
    struct pollfd v = {.fd = proxy.listening, .events = POLLIN};
    turn_until(l, poll(&v, 1, 0) == 1);
    assert_true(peer_accept(&proxy));
    peer_get_to(l, &proxy, head, sizeof head, "\r\n\r\n");
    peer_give(l, &proxy, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 38);
    turn_until(l, spy.closes == 1);
    assert_int_equal(spy.why.status, THRUM_E_PROXY);
    peer_close(&proxy);
    loop_down(l);
}

/* ---- given up ---- */

static void free_it(thrum_conn *c, void *arg)
{
    (void)arg;
    assert_non_null(c);
    thrum_conn_free(c);
}

/* While it is dialled: by thrum_conn_free, and with the loop. Nobody waits for the dialler, which then ends
 * at once, too. */
static void test_given_up(void **state)
{
    struct peer p;
    (void)state;
    assert_true(peer_blackhole(&p, AF_INET));
    for (int with_loop = 0; with_loop < 2; with_loop++) {
        thrum_loop *l = loop_up();
        struct spy spy[3] = {0};
        for (int i = 0; i < 3; i++) {
            thrum_id id = open_to(l, p.url, THRUM_CLIENT(.open_timeout = THRUM_FOREVER), &spy[i]);
            if (!with_loop)
                assert_status(thrum_post(l, id, free_it, NULL), THRUM_OK);
        }
        turn_out(l);
        if (!with_loop)
            assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
        loop_down(l);
        for (int i = 0; i < 3; i++) {
            assert_string_equal(spy[i].text, "closed CLOSED 1006; ");
            spy[i].n = 0;
        }
        assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    }
    peer_close(&p);
}

/* The socket is connected, but the loop has given up before it opened the letter. */
static void test_given_up_when_connected(void **state)
{
    struct peer p;
    (void)state;
    for (int i = 0; i < 2; i++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        assert_true(peer_listen(&p, AF_INET, 4));
        thrum_id id = open_to(l, p.url, NULL, &spy);
        assert_true(
            thread_library_settle(0, clock_after(clock_now(), PEER_MS))); /* the letter is in the box */
        if (i == 0) {
            assert_status(thrum_post(l, id, free_it, NULL), THRUM_OK); /* behind it */
            turn_until(l, spy.closes == 1);
        }
        loop_down(l);
        assert_int_equal(spy.closes, 1);
        peer_close(&p);
    }
}

/* ---- what the system refuses ---- */

static int no_thread(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)t, (void)a, (void)fn, (void)arg;
    return EAGAIN;
}

static int no_eventfd(unsigned value, int flags)
{
    (void)value, (void)flags;
    errno = EMFILE;
    return -1;
}

static void test_no_helper(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    thrum_error e;
    (void)state;
    sys.thread_create = no_thread;
    assert_status(thrum_open(l, "ws://127.0.0.1:1/", NULL, &spying, &spy, NULL, &e), THRUM_E_SYSTEM);
    assert_int_equal(e.os_errno, EAGAIN);
    sys = sys_real;
    sys.eventfd = no_eventfd;
    assert_status(thrum_open(l, "ws://127.0.0.1:1/", NULL, &spying, &spy, NULL, &e), THRUM_E_SYSTEM);
    assert_int_equal(e.os_errno, EMFILE);
    sys = sys_real;
    assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED);
    assert_string_equal(spy.text, "");
    loop_down(l);
}

static void test_no_memory(void **state)
{
    bool opened = false;
    (void)state;
    for (int i = 0; !opened; i++) {
        thrum_loop *l = loop_up();
        struct spy server = {0}, client = {0};
        thrum_listener *s = THRUM_LISTEN(l, &server);
        memory_refuse_after(i);
        thrum_status st = thrum_open(l, thrum_listener_url(s), NULL, &spying, &client, NULL, NULL);
        assert_true(st == THRUM_OK || st == THRUM_E_MEMORY || st == THRUM_E_SYSTEM);
        for (int k = 0; k < 5 && st == THRUM_OK; k++)
            (void)thrum_loop_step(l, 1);
        memory_refuse_after(-1);
        if (st == THRUM_OK)
            turn_until(l, client.opens + client.closes > 0);
        opened = client.opens == 1 && client.closes == 0;
        assert_int_equal(client.closes, st == THRUM_OK && !opened);
        loop_down(l);
        thrum_listener_free(s);
        assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    }
}

/* ---- fork ---- */

static void test_forked(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    struct peer p;
    int status;
    (void)state;
    assert_true(peer_blackhole(&p, AF_INET));
    (void)open_to(l, p.url, THRUM_CLIENT(.open_timeout = THRUM_FOREVER), &spy);
    pid_t child = fork_at_rest();
    if (child == 0) {
        thrum_loop *mine;
        struct spy other = {0};
        bool good = thrum_open(l, p.url, NULL, &spying, &spy, NULL, NULL) == THRUM_E_FORKED;
        good &= thrum_loop_free(l) == THRUM_OK;
        good &= thrum_loop_new(&mine, NULL) == THRUM_OK; /* one of the child's own opens as any does */
#ifndef __SANITIZE_THREAD__                              /* which refuses threads here */
        good &= thrum_open(mine, "ws://127.0.0.1:1/", NULL, &spying, &other, NULL, NULL) == THRUM_OK;
        good &= thrum_loop_run(mine, PEER_MS) == THRUM_OK && other.closes == 1;
#endif
        good &= thrum_loop_free(mine) == THRUM_OK;
        good &= spy.n == 0;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    loop_down(l);
    assert_int_equal(spy.closes, 1);
    peer_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_opens),     clean_test(test_opens_over_a_path),
        clean_test(test_many),      clean_test(test_arguments),
        clean_test(test_refusals),  clean_test(test_http_answers),
        clean_test(test_proxy),     clean_test(test_proxy_refuses),
        clean_test(test_given_up),  clean_test(test_given_up_when_connected),
        clean_test(test_no_helper), clean_test(test_no_memory),
        clean_test(test_forked),
    };
    return run_on_backend(tests);
}
