/* server_test.c: listening, refusing, limits, draining. */
#include "base/sys.h"
#include "block/server.h"
#include "block_test.h"
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

static _Atomic int handlers;

static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    handlers++;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            break;
    }
    handlers--;
}

/* Accepted and not yet gone, open or not. */
static size_t counter_of_sessions(thrum_server *s)
{
    lock_take(&s->lock);
    size_t n = s->count;
    lock_give(&s->lock);
    return n;
}

static thrum_server *serve(const char *url, const thrum_server_options *o)
{
    thrum_server *s;
    thrum_error e;
    thrum_status st = thrum_serve(&s, url, o, &e);
    if (st != THRUM_OK)
        fail_msg("serve: %s", e.text);
    return s;
}

static void echo_once(const char *url)
{
    thrum_conn *c;
    thrum_message m;
    thrum_error e;
    if (thrum_connect(&c, url, NULL, &e) != THRUM_OK)
        fail_msg("%s: %s", url, e.text);
    assert_status(thrum_send(c, THRUM_TEXT, "hello", 5), THRUM_OK);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
    assert_string_equal((const char *)m.data, "hello");
    thrum_message_release(&m);
    assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    thrum_conn_free(c);
}

static void test_where_it_listens(void **state)
{
    char path[64], url[96];
    struct stat st;
    (void)state;
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo));
    assert_true(thrum_server_port(s) > 0);
    echo_once(thrum_server_url(s));
    thrum_server_free(s);
    if (peer_has_ipv6()) {
        s = serve("ws://[::1]:0/", THRUM_SERVER(.serve = echo));
        echo_once(thrum_server_url(s));
        thrum_server_free(s);
    }
    s = serve("ws://*:0/", THRUM_SERVER(.serve = echo));
    echo_once(thrum_server_url(s));
    thrum_server_free(s);
    snprintf(path, sizeof path, "/tmp/thrum-test-%d.sock", (int)getpid());
    snprintf(url, sizeof url, "ws+unix:%s", path);
    s = serve(url, THRUM_SERVER(.serve = echo));
    assert_int_equal(thrum_server_port(s), 0);
    echo_once(thrum_server_url(s));
    assert_status(thrum_server_drain(s, 0, PEER_MS), THRUM_OK);
    thrum_server_free(s);
    await(stat(path, &st) != 0); /* the accepting thread removes it */
}

static void test_arguments(void **state)
{
    thrum_server *s;
    thrum_error e;
    (void)state;
    assert_status(thrum_serve(NULL, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo), &e), THRUM_E_ARGUMENT);
    assert_status(thrum_serve(&s, NULL, THRUM_SERVER(.serve = echo), &e), THRUM_E_ARGUMENT);
    assert_status(thrum_serve(&s, "ws://127.0.0.1:0/", NULL, &e), THRUM_E_ARGUMENT);
    assert_non_null(strstr(e.text, ".serve"));
    assert_status(thrum_serve(&s, "wss://127.0.0.1:0/", THRUM_SERVER(.serve = echo), &e),
                  THRUM_E_CERTIFICATE);
    assert_status(thrum_serve(&s, "ws://192.0.2.77:0/", THRUM_SERVER(.serve = echo), &e), THRUM_E_CONNECT);
    assert_null(s);
    thrum_server *a = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo));
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", thrum_server_port(a));
    assert_status(thrum_serve(&s, url, THRUM_SERVER(.serve = echo), &e), THRUM_E_CONNECT);
    assert_status(thrum_server_drain(a, 1005, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_server_drain(a, 0, -3), THRUM_E_ARGUMENT);
    assert_status(thrum_server_wait(NULL, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_server_wait(a, 0), THRUM_E_TIMEOUT);
    thrum_server_free(a);
    thrum_server_free(NULL);
}

/* What a raw request gets; the whole answer. */
static void ask(const thrum_server *s, const char *request, const char *status, const char *says)
{
    struct peer p;
    char answer[4096];
    size_t n = 0;
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&p, request));
    while (n + 1 < sizeof answer) {
        ssize_t got = recv(p.fd, answer + n, sizeof answer - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    answer[n] = 0;
    peer_close(&p);
    if (strncmp(answer + 9, status, 3) != 0 || !strstr(answer, says))
        fail_msg("%s\n-> %s", request, answer);
}

static int health(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)arg;
    if (strcmp(thrum_request_target(r), "/health") != 0)
        return strcmp(thrum_request_target(r), "/gone") == 0 ? 404 : 0;
    assert_status(thrum_reply_header(a, "X-Seen", thrum_request_header(r, "Host", 0)), THRUM_OK);
    assert_status(thrum_reply_header(a, "X-Bad", "a\r\nb: c"), THRUM_E_ARGUMENT);
    assert_status(thrum_reply_body(a, NULL, "fine\n", 5), THRUM_OK);
    return 200;
}

#define WS  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void test_refusals(void **state)
{
    const char *const origins[] = {"https://good.test", NULL}, *const hosts[] = {"h.test", NULL};
    (void)state;
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo, .on_request = health,
                                                              .origins = origins, .hosts = hosts));
    ask(s, "GET / HTTP/1.1\r\nHost: h.test\r\n\r\n", "426", "Upgrade: websocket");
    ask(s, "POST / HTTP/1.1\r\nHost: h.test\r\n" WS KEY "\r\n", "405", "Allow: GET");
    ask(s, "GET / HTTP/1.1\r\n" WS KEY "\r\n", "400", "Host");
    ask(s, "GET / HTTP/1.1\r\nHost: other.test\r\n" WS KEY "\r\n", "403", "Host");
    ask(s, "GET / HTTP/1.1\r\nHost: h.test\r\nOrigin: https://bad.test\r\n" WS KEY "\r\n", "403", "Origin");
    ask(s, "GET / HTTP/1.1\r\nHost: h.test\r\n" WS "\r\n", "400", "Key");
    ask(s, "GET / HTTP/2.0\r\nHost: h.test\r\n\r\n", "505", "");
    ask(s, "GET / HTTP/1.1\nHost: h.test\n\n", "400", "");
    ask(s, "GET /health HTTP/1.1\r\nHost: h.test\r\n\r\n", "200", "X-Seen: h.test");
    ask(s, "GET /health HTTP/1.1\r\nHost: h.test\r\n\r\n", "200", "\r\n\r\nfine\n");
    ask(s, "GET /gone HTTP/1.1\r\nHost: h.test\r\n" WS KEY "\r\n", "404", "Not Found");
    assert_status(thrum_server_drain(s, 0, PEER_MS), THRUM_OK);
    thrum_server_free(s);
}

static void test_limit_of_connections(void **state)
{
    struct peer p;
    (void)state;
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo, .max_conns = 1));
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s))); /* silent, and yet it counts */
    await(counter_of_sessions(s) == 1);
    ask(s, "GET / HTTP/1.1\r\nHost: h\r\n" WS KEY "\r\n", "503", "");
    peer_close(&p);
    await(counter_of_sessions(s) == 0);
    echo_once(thrum_server_url(s));
    thrum_server_free(s);
}

static void test_drain(void **state)
{
    struct peer half;
    thrum_conn *c;
    thrum_message m;
    thrum_error e;
    char answer[256];
    (void)state;
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo));
    assert_status(thrum_connect(&c, thrum_server_url(s), NULL, &e), THRUM_OK);
    assert_true(peer_connect(&half, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&half, "GET / HTTP/1.1\r\nHo"));
    await(counter_of_sessions(s) == 2);
    assert_status(thrum_recv(c, &m, 0), THRUM_E_TIMEOUT);
    assert_status(thrum_server_drain(s, 0, 50), THRUM_E_TIMEOUT); /* the half-open one does not go */
    assert_true(peer_read_until(&half, answer, sizeof answer, "\r\n") > 0);
    assert_non_null(strstr(answer, "503"));
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_CLOSED);
    thrum_conn_error(c, &e);
    assert_int_equal(e.close_code, 1001);
    peer_close(&half);
    assert_status(thrum_server_wait(s, PEER_MS), THRUM_OK);
    assert_int_equal(handlers, 0);
    thrum_conn_free(c);
    assert_int_not_equal(thrum_connect(&c, thrum_server_url(s), NULL, &e), THRUM_OK);
    thrum_server_free(s);
}

static void test_drain_with_a_code(void **state)
{
    thrum_conn *c;
    thrum_message m;
    thrum_error e;
    (void)state;
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo));
    assert_status(thrum_connect(&c, thrum_server_url(s), THRUM_CLIENT(.attended = THRUM_ON), &e), THRUM_OK);
    assert_status(thrum_server_drain(s, 1012, PEER_MS), THRUM_OK);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_CLOSED);
    thrum_conn_error(c, &e);
    assert_int_equal(e.close_code, 1012);
    thrum_conn_free(c);
    thrum_server_free(s);
}

/* ---- accept without descriptors ---- */
static _Atomic int accepts, failing;

static int failing_accept(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
    accepts++;
    if (failing > 0) {
        failing--;
        errno = ENFILE;
        return -1;
    }
    return sys_real.accept4(fd, a, n, flags);
}

static void test_accept_failing_neither_spins_nor_stops(void **state)
{
    (void)state;
    sys.accept4 = failing_accept; /* before the accepting thread reads the table */
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo));
    failing = 3;
    /* One connection may be accepted with the spare descriptor and closed, so that the queue moves. */
    thrum_conn *c;
    while (failing > 0 && thrum_connect(&c, thrum_server_url(s), NULL, NULL) == THRUM_OK)
        thrum_conn_free(c);
    echo_once(thrum_server_url(s));
    assert_int_equal(failing, 0);
    assert_true(accepts < 20);
    thrum_server_free(s);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    sys.accept4 = sys_real.accept4;
}

static void test_reuse_port(void **state)
{
    char url[64];
    (void)state;
    thrum_server *a = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo, .reuse_port = THRUM_ON));
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", thrum_server_port(a));
    thrum_server *b = serve(url, THRUM_SERVER(.serve = echo, .reuse_port = THRUM_ON));
    for (int i = 0; i < 8; i++)
        echo_once(url);
    thrum_server_free(a);
    assert_status(thrum_server_wait(b, 0), THRUM_E_TIMEOUT); /* the other one goes on */
    echo_once(url);
    thrum_server_free(b);
}

/* A port that a server has just left, with connections of its still known to the kernel, can be had again. */
static void test_same_port_again(void **state)
{
    char url[64] = "ws://127.0.0.1:0/";
    (void)state;
    for (int i = 0; i < 3; i++) {
        thrum_server *s = serve(url, THRUM_SERVER(.serve = echo));
        snprintf(url, sizeof url, "ws://127.0.0.1:%u/", thrum_server_port(s));
        echo_once(url);
        assert_status(thrum_server_drain(s, 0, PEER_MS), THRUM_OK);
        thrum_server_free(s);
        assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    }
}

/* A socket file that nobody listens on is stale, one that answers is not; off, the file is nobody's business.
 */
static void test_socket_file(void **state)
{
    char path[64], url[96];
    struct stat st;
    thrum_server *s, *t;
    thrum_error e;
    (void)state;
    snprintf(path, sizeof path, "/tmp/thrum-test-%d.sock", (int)getpid());
    snprintf(url, sizeof url, "ws+unix:%s", path);
    s = serve(url, THRUM_SERVER(.serve = echo, .unlink_socket = THRUM_OFF));
    assert_status(thrum_serve(&t, url, THRUM_SERVER(.serve = echo), &e), THRUM_E_CONNECT);
    assert_status(thrum_server_drain(s, 0, PEER_MS), THRUM_OK);
    thrum_server_free(s);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    assert_int_equal(stat(path, &st), 0);
    s = serve(url, THRUM_SERVER(.serve = echo));
    echo_once(url);
    assert_status(thrum_server_drain(s, 0, PEER_MS), THRUM_OK);
    thrum_server_free(s);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    assert_int_not_equal(stat(path, &st), 0);
}

/* ---- waiting ---- */

static void *wait_main(void *arg)
{
    return (void *)(intptr_t)thrum_server_wait(arg, THRUM_FOREVER);
}

static bool has_waiter(thrum_server *s, size_t refs)
{
    lock_take(&s->lock);
    bool more = s->refs > refs;
    lock_give(&s->lock);
    return more;
}

static void test_wait_ends_with_the_server(void **state)
{
    pthread_t t;
    void *got;
    (void)state;
    for (int i = 0; i < 2; i++) {
        thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo));
        pthread_create(&t, NULL, wait_main, s);
        await(has_waiter(s, 2));
        if (i == 0)
            assert_status(thrum_server_drain(s, 0, PEER_MS), THRUM_OK);
        else
            thrum_server_free(s);
        pthread_join(t, &got);
        assert_status((thrum_status)(intptr_t)got, THRUM_OK);
        if (i == 0)
            thrum_server_free(s);
    }
}

/* A thread that is cancelled in the wait does not keep the server. */
static void test_wait_cancelled(void **state)
{
    pthread_t t;
    void *got;
    (void)state;
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    int descriptors = fault_open_descriptors();
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo));
    pthread_create(&t, NULL, wait_main, s);
    await(has_waiter(s, 2));
    pthread_cancel(t);
    thrum_server_free(s); /* ends the wait where the cancellation does not */
    pthread_join(t, &got);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    assert_int_equal(fault_open_descriptors(), descriptors);
}

static _Atomic int wait_errno;

static int failing_poll(struct pollfd *v, nfds_t n, int ms)
{
    if (wait_errno && !thread_self()->library) {
        errno = wait_errno;
        wait_errno = 0;
        return -1;
    }
    return sys_real.poll(v, n, ms);
}

static void test_wait_and_signals(void **state)
{
    (void)state;
    for (int on = 0; on < 2; on++) {
        thrum_server *s = serve("ws://127.0.0.1:0/",
                                THRUM_SERVER(.serve = echo, .interruptible = on ? THRUM_ON : THRUM_DEFAULT));
        sys.poll = failing_poll;
        wait_errno = EINTR;
        assert_status(thrum_server_wait(s, 10), on ? THRUM_E_INTERRUPTED : THRUM_E_TIMEOUT);
        wait_errno = ENOMEM;
        assert_status(thrum_server_wait(s, 10), THRUM_E_SYSTEM);
        sys.poll = sys_real.poll;
        thrum_server_free(s);
    }
}

/* ---- what the system refuses at the start ---- */

static int refusals;

static int failing_eventfd(unsigned value, int flags)
{
    if (refusals-- == 0) {
        errno = EMFILE;
        return -1;
    }
    return sys_real.eventfd(value, flags);
}

static int failing_thread(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)t;
    (void)a;
    (void)fn;
    (void)arg;
    return EAGAIN;
}

static void cannot_serve(void)
{
    thrum_server *s = (thrum_server *)&s;
    thrum_error e;
    int descriptors = fault_open_descriptors();
    assert_status(thrum_serve(&s, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo), &e), THRUM_E_SYSTEM);
    assert_null(s);
    assert_status(e.status, THRUM_E_SYSTEM);
    assert_true(e.os_errno == EMFILE || e.os_errno == EAGAIN);
    assert_true(strlen(e.text) > 0);
    assert_int_equal(fault_open_descriptors(), descriptors);
}

static void test_the_system_refuses(void **state)
{
    (void)state;
    assert_true(thread_wake_fd(thread_self()) >= 0);
    sys.eventfd = failing_eventfd;
    for (int i = 0; i < 2; i++) {
        refusals = i;
        cannot_serve();
    }
    sys.eventfd = sys_real.eventfd;
    sys.thread_create = failing_thread;
    cannot_serve();
    sys.thread_create = sys_real.thread_create;
}

/* ---- fork ---- */

static int use_in_child(thrum_server *s, const char *path)
{
    struct stat st;
    size_t n;
    if (thrum_server_drain(s, 0, 0) != THRUM_E_FORKED || thrum_server_wait(s, 0) != THRUM_E_FORKED)
        return 1;
    if (thrum_server_broadcast(s, THRUM_TEXT, "x", 1, &n, &n) != THRUM_E_FORKED || thrum_server_count(s) != 0)
        return 2;
    int before = fault_open_descriptors();
    thrum_server_free(s);
    if (fault_open_descriptors() >= before)
        return 3;
    return stat(path, &st) == 0 ? 0 : 4; /* the parent's socket file stays */
}

static void test_in_a_child_of_fork(void **state)
{
    char path[64], url[96];
    thrum_conn *c;
    thrum_error e;
    int status;
    (void)state;
    snprintf(path, sizeof path, "/tmp/thrum-test-%d.sock", (int)getpid());
    snprintf(url, sizeof url, "ws+unix:%s", path);
    thrum_server *s = serve(url, THRUM_SERVER(.serve = echo));
    assert_status(thrum_connect(&c, url, NULL, &e), THRUM_OK);
    await(thrum_server_count(s) == 1);
    fflush(NULL);
    pid_t pid = fork_at_rest();
    assert_true(pid >= 0);
    if (pid == 0) {
        int wrong = use_in_child(s, path);
        thrum_conn_free(c);
        child_exit(wrong);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(thrum_server_count(s), 1); /* the parent notices nothing */
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    echo_once(url);
    thrum_conn_free(c);
    thrum_server_free(s);
}

static int settle(void **state)
{
    (void)state;
    sys = sys_real;
    return thread_library_settle(0, clock_after(clock_now(), PEER_MS)) ? 0 : -1;
}

#define EACH(test) cmocka_unit_test_teardown(test, settle)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_where_it_listens),
        EACH(test_arguments),
        EACH(test_refusals),
        EACH(test_limit_of_connections),
        EACH(test_drain),
        EACH(test_drain_with_a_code),
        EACH(test_accept_failing_neither_spins_nor_stops),
        EACH(test_reuse_port),
        EACH(test_same_port_again),
        EACH(test_socket_file),
        EACH(test_wait_ends_with_the_server),
        EACH(test_wait_cancelled),
        EACH(test_wait_and_signals),
        EACH(test_the_system_refuses),
        EACH(test_in_a_child_of_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
