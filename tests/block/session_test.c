/* session_test.c: one accepted connection: handshake, callbacks, the handler, the end; and thrum_accept_fd.
 */
#include <errno.h>
#include <semaphore.h>
#include "base/mem.h"
#include "base/sys.h"
#include "block_test.h"
#include "block/server.h"

#define WS   "Host: h.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
#define KEY  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define GOOD "GET /t HTTP/1.1\r\n" WS KEY

static int settle(void **state)
{
    (void)state;
    sys = sys_real;
    fault_count_memory();
    return thread_library_settle(0, clock_after(clock_now(), PEER_MS)) ? 0 : -1;
}

/* All that the peer says until its end, or "" where it is reset. */
static void read_all(struct peer *p, char *out, size_t cap)
{
    size_t n = 0;
    for (ssize_t got; n + 1 < cap && (got = recv(p->fd, out + n, cap - 1 - n, 0)) > 0;)
        n += (size_t)got;
    out[n] = 0;
}

/* ---- thrum_accept_fd ---- */

struct accepting {
    int fd;
    const thrum_server_options *o;
    thrum_conn *c;
    thrum_status status;
    thrum_error e;
};

static void *accept_main(void *arg)
{
    struct accepting *a = arg;
    a->status = thrum_accept_fd(&a->c, a->fd, a->o, &a->e);
    return NULL;
}

/* The request, and what is answered; how the accepting call ends. */
static void accepted(const char *request, bool hang_up, const thrum_server_options *o, thrum_status want,
                     int http, const char *answer, const char *says)
{
    struct accepting a = {.o = o};
    struct peer p;
    pthread_t t;
    char got[4096] = "";
    /* The warden of an earlier connection goes by itself, with its descriptors. */
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    int before = fault_open_descriptors();
    assert_true(peer_pair(&p, AF_UNIX, &a.fd));
    pthread_create(&t, NULL, accept_main, &a);
    assert_true(peer_puts(&p, request));
    if (hang_up)
        peer_half_close(&p);
    if (want == THRUM_OK)
        assert_true(peer_read_until(&p, got, sizeof got, "\r\n\r\n") > 0);
    else
        read_all(&p, got, sizeof got);
    peer_half_close(&p);
    pthread_join(t, NULL);
    if (a.status != want || a.e.http_status != http || !strstr(a.e.text, says))
        fail_msg("%s -> %s, %d, \"%s\"", request, thrum_status_name(a.status), a.e.http_status, a.e.text);
    if (!strstr(got, answer))
        fail_msg("%s -> %s", request, got);
    assert_int_equal(a.c != NULL, want == THRUM_OK);
    thrum_conn_free(a.c);
    peer_close(&p);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    if (want != THRUM_OK)
        assert_int_equal(fault_open_descriptors(), before);
}

static int refuse_with(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)r;
    assert_status(thrum_reply_header(a, "Retry-After", "7"), THRUM_OK);
    assert_status(thrum_reply_body(a, "text/plain", "no", 2), THRUM_OK);
    return *(int *)arg;
}

static int choose(const thrum_request *r, const char *const *offered, size_t n, void *arg)
{
    (void)r;
    if (n != 2 || strcmp(offered[0], "x") != 0 || strcmp(offered[1], "y") != 0)
        return -2;
    return *(int *)arg;
}

static void test_accept(void **state)
{
    static int status[] = {404, 503, 200, 99, 600}, index[] = {1, -1, -2, 2};
    const char *const origins[] = {"https://good.test", NULL};
    (void)state;
    thread_wake_fd(thread_self());
    accepted(GOOD "\r\n", false, NULL, THRUM_OK, 0, "101", "");
    accepted(GOOD "Origin: http://h.test\r\n\r\n", false, NULL, THRUM_OK, 0, "101", "");
    accepted(GOOD "Origin: http://other.test\r\n\r\n", false, NULL, THRUM_E_HANDSHAKE, 403, " 403 ", "rigin");
    accepted(GOOD "Origin: https://good.test\r\n\r\n", false, THRUM_SERVER(.origins = origins), THRUM_OK, 0,
             "101", "");
    accepted("GET / HTTP/1.1\r\nHost: h\r\n\r\n", false, NULL, THRUM_E_HANDSHAKE, 426, " 426 ", "");
    accepted("GET / HT\x01TP\r\n\r\n", false, NULL, THRUM_E_HANDSHAKE, 400, " 400 ", "");
    accepted("", true, NULL, THRUM_E_UNCLEAN, 0, "", "opening handshake");
    accepted("GET / HTTP/1.1\r\nHo", true, NULL, THRUM_E_UNCLEAN, 0, "", "opening handshake");
    accepted("GET / HTTP/1.1\r\nHo", false, THRUM_SERVER(.open_timeout = 30), THRUM_E_TIMEOUT, 408, " 408 ",
             "30 ms");
    for (int i = 0; i < 3; i++) {
        char line[32];
        snprintf(line, sizeof line, "HTTP/1.1 %d ", status[i]);
        accepted(GOOD "\r\n", false, THRUM_SERVER(.on_request = refuse_with, .arg = &status[i]),
                 THRUM_E_REFUSED, status[i], line, "");
        accepted(GOOD "\r\n", false, THRUM_SERVER(.on_request = refuse_with, .arg = &status[i]),
                 THRUM_E_REFUSED, status[i], "Retry-After: 7", "");
    }
    for (int i = 3; i < 5; i++) /* no status of HTTP: the program's error, and the client is told no lie */
        accepted(GOOD "\r\n", false, THRUM_SERVER(.on_request = refuse_with, .arg = &status[i]),
                 THRUM_E_REFUSED, 500, " 500 ", "");
    accepted(GOOD "Sec-WebSocket-Protocol: x, y\r\n\r\n", false,
             THRUM_SERVER(.on_subprotocol = choose, .arg = &index[0]), THRUM_OK, 0,
             "Sec-WebSocket-Protocol: y\r\n", "");
    accepted(GOOD "Sec-WebSocket-Protocol: x, y\r\n\r\n", false,
             THRUM_SERVER(.on_subprotocol = choose, .arg = &index[1]), THRUM_OK, 0, "101", "");
    accepted(GOOD "Sec-WebSocket-Protocol: x, y\r\n\r\n", false,
             THRUM_SERVER(.on_subprotocol = choose, .arg = &index[2]), THRUM_E_HANDSHAKE, 400, " 400 ", "");
}

static void test_accept_arguments(void **state)
{
    thrum_conn *c = (thrum_conn *)&c;
    thrum_error e;
    struct peer p;
    int ours, pipes[2], before = fault_open_descriptors();
    (void)state;
    assert_status(thrum_accept_fd(&c, -1, NULL, &e), THRUM_E_ARGUMENT);
    assert_null(c);
    assert_true(peer_pair(&p, AF_UNIX, &ours));
    assert_status(thrum_accept_fd(NULL, ours, NULL, &e), THRUM_E_ARGUMENT);
    peer_close(&p);
    assert_int_equal(pipe(pipes), 0);
    assert_status(thrum_accept_fd(&c, pipes[0], NULL, &e), THRUM_E_ARGUMENT);
    assert_non_null(strstr(e.text, "socket"));
    close(pipes[1]);
    assert_true(peer_pair(&p, AF_UNIX, &ours));
    assert_status(thrum_accept_fd(&c, ours, THRUM_SERVER(.open_timeout = -9), &e), THRUM_E_ARGUMENT);
    assert_non_null(strstr(e.text, "open_timeout"));
    assert_status(thrum_accept_fd(&c, -1, NULL, NULL), THRUM_E_ARGUMENT);
    peer_close(&p);
    assert_int_equal(fault_open_descriptors(), before);
}

/* ---- a server's sessions ---- */

static thrum_server *serve(const thrum_server_options *o)
{
    thrum_server *s;
    thrum_error e;
    if (thrum_serve(&s, "ws://127.0.0.1:0/", o, &e) != THRUM_OK)
        fail_msg("serve: %s", e.text);
    return s;
}

static thrum_conn *connect_to(const thrum_server *s)
{
    thrum_conn *c;
    thrum_error e;
    if (thrum_connect(&c, thrum_server_url(s), NULL, &e) != THRUM_OK)
        fail_msg("connect: %s", e.text);
    return c;
}

static size_t sessions(thrum_server *s)
{
    lock_take(&s->lock);
    size_t n = s->count;
    lock_give(&s->lock);
    return n;
}

static void leave_at_once(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
}

/* The handler has returned: the connection is closed with 1000. */
static void test_handler_returns(void **state)
{
    thrum_message m;
    thrum_error e;
    (void)state;
    thrum_server *s = serve(THRUM_SERVER(.serve = leave_at_once));
    thrum_conn *c = connect_to(s);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_CLOSED);
    thrum_conn_error(c, &e);
    assert_int_equal(e.close_code, 1000);
    assert_int_equal(e.by_peer, 1);
    thrum_conn_free(c);
    await(sessions(s) == 0);
    thrum_server_free(s);
}

static thrum_conn *_Atomic kept;

static void keep(thrum_conn *c, void *arg)
{
    (void)arg;
    kept = thrum_conn_ref(c);
}

static void test_handler_keeps_a_handle(void **state)
{
    thrum_message m;
    (void)state;
    thrum_server *s = serve(THRUM_SERVER(.serve = keep));
    thrum_conn *c = connect_to(s);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_CLOSED);
    thrum_conn_free(c);
    await(sessions(s) == 0);
    thrum_server_free(s);
    assert_int_equal(thrum_conn_state(kept), THRUM_CLOSED); /* it answers, without server and session */
    assert_string_equal(thrum_conn_target(kept), "/");
    assert_status(thrum_send(kept, THRUM_TEXT, "x", 1), THRUM_E_CLOSED);
    thrum_conn_free(kept);
}

static void free_too_much(thrum_conn *c, void *arg)
{
    (void)arg;
    thrum_conn *mine = thrum_conn_ref(c);
    assert_status(thrum_close(c, 4001, "by the handler"), THRUM_OK);
    thrum_conn_free(mine);
}

static void test_handler_closes(void **state)
{
    thrum_message m;
    thrum_closing closing = {.size = sizeof closing};
    (void)state;
    thrum_server *s = serve(THRUM_SERVER(.serve = free_too_much));
    thrum_conn *c = connect_to(s);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_CLOSED);
    assert_status(thrum_conn_closing(c, &closing), THRUM_OK);
    assert_int_equal(closing.recv_code, 4001);
    assert_string_equal(closing.recv_reason, "by the handler");
    thrum_conn_free(c);
    thrum_server_free(s);
}

static void end_the_thread(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    pthread_exit(NULL);
}

/* ---- callbacks while the server drains ---- */

static sem_t deciding, go_on;

static int slow_decision(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)r;
    (void)a;
    (void)arg;
    sem_post(&deciding);
    while (sem_wait(&go_on) != 0)
        ;
    return 0;
}

static void *drain_main(void *arg)
{
    return (void *)(intptr_t)thrum_server_drain(arg, 0, PEER_MS);
}

static void test_drain_while_deciding(void **state)
{
    struct peer p;
    char answer[1024];
    pthread_t t;
    void *drained;
    (void)state;
    sem_init(&deciding, 0, 0);
    sem_init(&go_on, 0, 0);
    thrum_server *s = serve(THRUM_SERVER(.serve = leave_at_once, .on_request = slow_decision));
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&p, GOOD "\r\n"));
    while (sem_wait(&deciding) != 0)
        ;
    pthread_create(&t, NULL, drain_main, s);
    for (bool draining = false; !draining; sched_yield()) {
        lock_take(&s->lock);
        draining = s->draining;
        lock_give(&s->lock);
    }
    sem_post(&go_on);
    read_all(&p, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 503 "));
    peer_close(&p);
    pthread_join(t, &drained);
    assert_status((thrum_status)(intptr_t)drained, THRUM_OK);
    thrum_server_free(s);
}

/* The client goes away while it is decided on. */
static void test_client_gone_while_deciding(void **state)
{
    struct peer p;
    (void)state;
    sem_init(&deciding, 0, 0);
    sem_init(&go_on, 0, 0);
    thrum_server *s = serve(THRUM_SERVER(.serve = leave_at_once, .on_request = slow_decision));
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&p, GOOD "\r\n"));
    while (sem_wait(&deciding) != 0)
        ;
    peer_reset(&p);
    sem_post(&go_on);
    await(sessions(s) == 0);
    thrum_server_free(s);
}

/* A request that is refused is answered, and what comes behind it is no second request. */
static void test_refused_is_closed(void **state)
{
    struct peer p;
    char answer[4096];
    (void)state;
    thrum_server *s = serve(THRUM_SERVER(.serve = leave_at_once));
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&p, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n" GOOD "\r\n"));
    read_all(&p, answer, sizeof answer);
    assert_int_equal(strncmp(answer, "HTTP/1.1 426 ", 13), 0);
    assert_null(strstr(answer + 1, "HTTP/1.1 "));
    assert_null(strstr(answer, "101"));
    peer_close(&p);
    thrum_server_free(s);
}

/* Frames right behind the request, in the same packet, belong to the connection. */
static void echo_one(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    if (thrum_recv(c, &m, PEER_MS) != THRUM_OK)
        return;
    (void)!thrum_send(c, m.kind, m.data, m.len);
    thrum_message_release(&m);
}

static void test_frames_behind_the_request(void **state)
{
    struct peer p;
    char head[1024];
    uint8_t first, got[16];
    (void)state;
    sem_init(&deciding, 0, 0);
    sem_init(&go_on, 0, 1);
    thrum_server *s = serve(THRUM_SERVER(.serve = echo_one, .on_request = slow_decision));
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    static const char both[] = GOOD "\r\n\x81\x82\0\0\0\0hi";
    assert_true(peer_write(&p, both, sizeof both - 1));
    assert_true(peer_read_until(&p, head, sizeof head, "\r\n\r\n") > 0);
    assert_int_equal(raw_frame(&p, &first, got, sizeof got), 2);
    assert_memory_equal(got, "hi", 2);
    peer_close(&p);
    thrum_server_free(s);
}

/* ---- no room, no thread, no memory ---- */

static int no_thread(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)t;
    (void)a;
    (void)fn;
    (void)arg;
    return EAGAIN;
}

static void turned_away(const thrum_server *s)
{
    struct peer p;
    char answer[1024];
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&p, GOOD "\r\n"));
    read_all(&p, answer, sizeof answer);
    /* The bytes of our request may come when the answer is out already: then the kernel resets. */
    if (*answer && strncmp(answer, "HTTP/1.1 503 ", 13) != 0)
        fail_msg("answered %s", answer);
    peer_close(&p);
}

static void works(const thrum_server *s)
{
    thrum_message m;
    thrum_conn *c = connect_to(s);
    assert_status(thrum_send(c, THRUM_TEXT, "x", 1), THRUM_OK);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
    thrum_message_release(&m);
    thrum_conn_free(c);
}

static void test_no_thread_for_a_session(void **state)
{
    (void)state;
    thrum_server *s = serve(THRUM_SERVER(.serve = echo_one));
    sys.thread_create = no_thread;
    for (int i = 0; i < 3; i++)
        turned_away(s);
    sys.thread_create = sys_real.thread_create;
    assert_int_equal(sessions(s), 0);
    works(s);
    thrum_server_free(s);
}

static _Atomic long grants;
static _Atomic bool sparing_on;

static void *sparing_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return !sparing_on || grants-- > 0 ? malloc(n ? n : 1) : NULL;
}
static void *sparing_resize(void *ctx, void *q, size_t n)
{
    (void)ctx;
    return !sparing_on || grants-- > 0 ? realloc(q, n ? n : 1) : NULL;
}
static void sparing_release(void *ctx, void *q)
{
    (void)ctx;
    free(q);
}

/* However far it comes with the memory there is: the client sees an answer or an end, and the server goes on.
 */
static void test_no_memory_for_a_session(void **state)
{
    static const struct mem_hook sparing = {NULL, sparing_alloc, sparing_resize, sparing_release};
    char answer[1024];
    int answered = 0;
    (void)state;
    mem_force_hook(&sparing);
    thrum_server *s = serve(THRUM_SERVER(.serve = echo_one, .attended = THRUM_OFF));
    for (long n = 0; n < 40; n++) {
        struct peer p;
        assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
        grants = n;
        sparing_on = true;
        assert_true(peer_puts(&p, GOOD "\r\n"));
        peer_half_close(&p);
        read_all(&p, answer, sizeof answer);
        sparing_on = false;
        answered += strncmp(answer, "HTTP/1.1 101 ", 13) == 0;
        peer_close(&p);
        await(sessions(s) == 0);
    }
    assert_true(answered > 0 && answered < 40); /* both sides of the limit were seen */
    works(s);
    thrum_server_free(s);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
}

/* A handler that ends its thread by pthread_exit leaves no session behind. */
static void test_handler_ends_its_thread(void **state)
{
    (void)state;
    thrum_server *s = serve(THRUM_SERVER(.serve = end_the_thread));
    thrum_conn *c = connect_to(s);
    thrum_message m;
    assert_int_not_equal(thrum_recv(c, &m, 2000), THRUM_OK);
    thrum_conn_free(c);
    assert_status(thrum_server_drain(s, 0, 1000), THRUM_OK);
    thrum_server_free(s);
}

#define EACH(test) cmocka_unit_test_teardown(test, settle)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_accept),
        EACH(test_accept_arguments),
        EACH(test_handler_returns),
        EACH(test_handler_keeps_a_handle),
        EACH(test_handler_closes),
        EACH(test_drain_while_deciding),
        EACH(test_client_gone_while_deciding),
        EACH(test_refused_is_closed),
        EACH(test_frames_behind_the_request),
        EACH(test_no_thread_for_a_session),
        EACH(test_no_memory_for_a_session),
        EACH(test_handler_ends_its_thread),
    };
    fault_count_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
