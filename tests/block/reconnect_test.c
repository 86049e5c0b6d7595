/* reconnect_test.c: a client that connects again, against servers of ours that come and go, and against
 * scripted ones. */
#include "base/exit.h"
#include "block/reconnect_int.h"
#include "block_test.h"
#include "lib/certs.h"
#include <netdb.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <thrum/reconnect.h>
#include "net/resolve.h"
#include <thrum/tls.h>

/* Quick, as nobody else is to be spared here. */
#define QUICK .delay_first = 1, .delay_most = 5

/* What a kernel took when a connection broke is lost: so a test waits for the next one's first word. */
static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    if (arg && thrum_send(c, THRUM_TEXT, arg, strlen(arg)) != THRUM_OK)
        return;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        const bool bye = m.len == 3 && memcmp(m.data, "bye", 3) == 0;
        thrum_status s = bye ? thrum_close(c, 1012, "restarting") : thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (bye || s != THRUM_OK)
            return;
    }
}

static thrum_server *serve_at(unsigned port, const char *welcome)
{
    thrum_server *s = NULL;
    thrum_error e;
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
    if (thrum_serve(&s, url, THRUM_SERVER(.serve = echo, .arg = (void *)(uintptr_t)welcome), &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return s;
}

/* A port where nobody listens just now. */
static unsigned free_port(void)
{
    struct peer p;
    assert_true(peer_listen(&p, AF_INET, 1));
    const unsigned port = p.port;
    peer_close(&p);
    return port;
}

static thrum_reconnect *client(const char *url, const thrum_reconnect_options *o)
{
    thrum_reconnect *r;
    thrum_error e;
    if (thrum_reconnect_new(&r, url, THRUM_CLIENT(.open_timeout = PEER_MS), o, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return r;
}
static thrum_reconnect *client_at(unsigned port, const thrum_reconnect_options *o)
{
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
    return client(url, o);
}

static void sends(thrum_reconnect *r, const char *text)
{
    assert_status(thrum_reconnect_send(r, THRUM_TEXT, text, strlen(text), PEER_MS), THRUM_OK);
}
static void receives(thrum_reconnect *r, const char *text)
{
    thrum_message m;
    assert_status(thrum_reconnect_recv(r, &m, PEER_MS), THRUM_OK);
    assert_string_equal((const char *)m.data, text);
    thrum_message_release(&m);
}
static thrum_reconnect_counts counts(const thrum_reconnect *r)
{
    thrum_reconnect_counts c = {.size = sizeof c};
    assert_status(thrum_reconnect_count(r, &c), THRUM_OK);
    return c;
}

/* ---- again and again ------------------------------------------------------------------------------------
 */

static void test_again(void **state)
{
    thrum_server *s = serve_at(0, "welcome");
    thrum_error e;
    (void)state;
    thrum_reconnect *r = client_at(thrum_server_port(s), THRUM_RECONNECT(QUICK));
    assert_int_equal(thrum_reconnect_phase(r), THRUM_PHASE_IDLE);
    assert_null(thrum_reconnect_conn(r));
    thrum_reconnect_error(r, &e);
    assert_status(e.status, THRUM_OK);
    assert_int_equal(counts(r).attempts, 0); /* nothing happens before it is needed */
    assert_status(thrum_reconnect_wait(r, PEER_MS), THRUM_OK);
    assert_int_equal(thrum_reconnect_phase(r), THRUM_PHASE_OPEN);
    receives(r, "welcome");
    for (int i = 0; i < 5; i++) {
        sends(r, "hello");
        receives(r, "hello");
        sends(r, "bye");
        receives(r, "welcome");
    }
    assert_int_equal(counts(r).connections, 6);
    thrum_reconnect_error(r, &e);
    assert_int_equal(e.close_code, 1012);
    thrum_conn *c = thrum_reconnect_conn(r);
    assert_non_null(c);
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    assert_status(thrum_reconnect_close(r, 1000, "done"), THRUM_OK);
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSED);
    thrum_conn_free(c);
    assert_int_equal(thrum_reconnect_phase(r), THRUM_PHASE_CLOSED);
    assert_status(thrum_reconnect_wait(r, PEER_MS), THRUM_E_CLOSED);
    assert_status(thrum_reconnect_send(r, THRUM_TEXT, "x", 1, 0), THRUM_E_CLOSED);
    assert_status(thrum_reconnect_close(r, 1000, NULL), THRUM_OK);
    thrum_reconnect_free(r);
    thrum_server_free(s);
}

static int greetings;
static thrum_status subscribe(thrum_conn *c, void *arg)
{
    const int *refuse = arg;
    if (greetings++ < *refuse)
        return THRUM_E_STATE;
    return thrum_send(c, THRUM_TEXT, "subscribe", 9);
}

static void test_hook(void **state)
{
    thrum_server *s = serve_at(0, NULL);
    int refuse = 2;
    (void)state;
    greetings = 0;
    thrum_reconnect *r =
        client_at(thrum_server_port(s), THRUM_RECONNECT(QUICK, .on_connected = subscribe, .arg = &refuse));
    receives(r, "subscribe"); /* the hook's third connection */
    sends(r, "bye");
    receives(r, "subscribe");
    assert_int_equal(greetings, 4);
    assert_int_equal(counts(r).connections, 2);
    assert_int_equal(counts(r).attempts, 4);
    thrum_reconnect_free(r);
    thrum_server_free(s);
}

/* ---- the outbox -----------------------------------------------------------------------------------------
 */

static char dropped[200];
static void note_dropped(thrum_kind k, const void *p, size_t n, void *arg)
{
    (void)k;
    (void)arg;
    snprintf(dropped + strlen(dropped), sizeof dropped - strlen(dropped), "%.*s;", (int)n, (const char *)p);
}

static void test_outbox(void **state)
{
    const unsigned port = free_port();
    char text[8];
    (void)state;
    dropped[0] = '\0';
    thrum_reconnect *r = client_at(
        port, THRUM_RECONNECT(QUICK, .outbox_messages = 3, .outbox_bytes = 100, .on_dropped = note_dropped));
    sends(r, "one");
    sends(r, "two");
    sends(r, "three");
    assert_status(thrum_reconnect_send(r, THRUM_TEXT, "four", 4, PEER_MS), THRUM_E_FULL);
    assert_status(thrum_reconnect_send(r, THRUM_TEXT, "\xff", 1, 0), THRUM_E_UTF8);
    assert_int_equal(counts(r).outbox_messages, 3);
    assert_int_equal(counts(r).outbox_bytes, 11);
    thrum_server *s = serve_at(port, "welcome");
    receives(r, "welcome");
    receives(r, "one");
    receives(r, "two");
    receives(r, "three");
    for (int i = 0; i < 100; i++) { /* nothing is turned round by a loss in between */
        if (i % 10 == 5) {
            sends(r, "bye");
            receives(r, "welcome");
        }
        snprintf(text, sizeof text, "%d", i);
        sends(r, text);
        receives(r, text);
    }
    assert_int_equal(counts(r).outbox_messages, 0);
    thrum_reconnect_free(r);
    assert_string_equal(dropped, "");
    thrum_server_free(s);
}

static void test_dropping(void **state)
{
    (void)state;
    dropped[0] = '\0';
    thrum_reconnect *r =
        client_at(free_port(), THRUM_RECONNECT(QUICK, .outbox_messages = 2, .outbox_bytes = 10,
                                               .drop_oldest = THRUM_ON, .on_dropped = note_dropped));
    sends(r, "one");
    sends(r, "two");
    sends(r, "three");
    assert_string_equal(dropped, "one;");
    sends(r, "1234567890");
    assert_string_equal(dropped, "one;two;three;");
    assert_status(thrum_reconnect_send(r, THRUM_TEXT, "12345678901", 11, 0),
                  THRUM_E_FULL); /* it never could */
    assert_status(thrum_reconnect_close(r, 1000, NULL), THRUM_OK);
    assert_string_equal(dropped, "one;two;three;1234567890;");
    assert_int_equal(counts(r).dropped_messages, 4);
    assert_int_equal(counts(r).dropped_bytes, 21);
    thrum_reconnect_free(r);
}

/* ---- failures -------------------------------------------------------------------------------------------
 */

struct answering {
    struct peer peer;
    const char *text;
    int times;
};
static void *answer_main(void *arg)
{
    struct answering *a = arg;
    char head[4096];
    for (int i = 0; i < a->times; i++)
        if (!peer_accept(&a->peer) || peer_read_until(&a->peer, head, sizeof head, "\r\n\r\n") < 0 ||
            !peer_puts(&a->peer, a->text))
            break;
    return NULL;
}

static int64_t longest_wait;
static thrum_phase last_phase;
static char phases[400];
static void note_phase(thrum_phase p, const thrum_error *why, thrum_span wait, void *arg)
{
    (void)arg;
    longest_wait = wait > longest_wait ? wait : longest_wait;
    last_phase = p;
    assert_true((why != NULL) == (p == THRUM_PHASE_WAITING) || p == THRUM_PHASE_CLOSED);
    if (strlen(phases) < sizeof phases - 2)
        strcat(phases, &"i\0c\0w\0o\0x"[2 * p]);
}

static void ends(const char *answer, int times, const thrum_reconnect_options *o, thrum_status want, int http)
{
    struct answering a = {.text = answer, .times = times};
    pthread_t t;
    thrum_error e;
    thrum_message m;
    assert_true(peer_listen(&a.peer, AF_INET, 8));
    pthread_create(&t, NULL, answer_main, &a);
    thrum_reconnect *r = client(a.peer.url, o);
    assert_status(thrum_reconnect_recv(r, &m, PEER_MS), want);
    assert_int_equal(thrum_reconnect_phase(r), THRUM_PHASE_CLOSED);
    assert_status(thrum_reconnect_send(r, THRUM_TEXT, "x", 1, PEER_MS), want);
    thrum_reconnect_error(r, &e);
    assert_int_equal(e.http_status, http);
    assert_int_equal(counts(r).attempts, times);
    thrum_reconnect_free(r);
    pthread_join(t, NULL);
    peer_close(&a.peer);
}

#define SAYS(status, fields) "HTTP/1.1 " status "\r\n" fields "Content-Length: 0\r\n\r\n"

static int always(const thrum_error *why, void *arg)
{
    (void)why;
    (void)arg;
    return 1;
}
static int never(const thrum_error *why, void *arg)
{
    (void)why;
    (void)arg;
    return 0;
}

static void test_final(void **state)
{
    thrum_reconnect *r;
    thrum_error e;
    (void)state;
    ends(SAYS("404 Not Found", ""), 1, THRUM_RECONNECT(QUICK), THRUM_E_REFUSED, 404);
    ends(SAYS("503 Later", ""), 3, THRUM_RECONNECT(QUICK, .attempts = 3), THRUM_E_REFUSED, 503);
    ends(SAYS("429 Slow", ""), 1, THRUM_RECONNECT(QUICK, .is_final = always), THRUM_E_REFUSED, 429);
    ends(SAYS("404 Not Found", ""), 4, THRUM_RECONNECT(QUICK, .is_final = never, .attempts = 4),
         THRUM_E_REFUSED, 404);
    r = client_at(free_port(), THRUM_RECONNECT(QUICK, .give_up = 30));
    assert_status(thrum_reconnect_wait(r, PEER_MS), THRUM_E_CONNECT);
    thrum_reconnect_free(r);
    assert_status(thrum_reconnect_new(&r, "http://h/", NULL, NULL, &e), THRUM_E_ARGUMENT);
    assert_null(r);
}

static void test_certificate_is_final(void **state)
{
    const struct cert *k = &certs_usual()->server;
    thrum_server *s;
    (void)state;
    assert_status(
        thrum_serve(&s, "wss://127.0.0.1:0/",
                    THRUM_SERVER(.serve = echo, .tls = THRUM_TLS(.cert = k->cert, .cert_len = strlen(k->cert),
                                                                 .key = k->key, .key_len = strlen(k->key))),
                    NULL),
        THRUM_OK);
    thrum_reconnect *r = client(thrum_server_url(s), THRUM_RECONNECT(QUICK));
    assert_status(thrum_reconnect_wait(r, PEER_MS), THRUM_E_CERTIFICATE);
    assert_int_equal(counts(r).attempts, 1);
    thrum_reconnect_free(r);
    thrum_server_free(s);
}

static void test_retry_after(void **state)
{
    (void)state;
    longest_wait = 0;
    phases[0] = '\0';
    ends(SAYS("503 Later", "Retry-After: 1\r\n"), 2,
         THRUM_RECONNECT(QUICK, .attempts = 2, .on_phase = note_phase), THRUM_E_REFUSED, 503);
    assert_int_equal(longest_wait, 1000);
    assert_string_equal(phases, "cwcx");
    longest_wait = 0;
    ends(SAYS("429 Slow", "Retry-After: 86400\r\n"), 2,
         THRUM_RECONNECT(QUICK, .attempts = 2, .on_phase = note_phase, .retry_after = 20), THRUM_E_REFUSED,
         429);
    assert_int_equal(longest_wait, 20); /* no longer than we are willing to */
    longest_wait = 0;
    ends(SAYS("500 Broken", "Retry-After: 100\r\n"), 2,
         THRUM_RECONNECT(QUICK, .attempts = 2, .on_phase = note_phase), THRUM_E_REFUSED, 500);
    assert_true(longest_wait <= 5); /* only 503 and 429 may say */
}

/* ---- close wins -----------------------------------------------------------------------------------------
 */

struct waiting {
    thrum_reconnect *r;
    thrum_status status;
};
static void *wait_main(void *arg)
{
    struct waiting *w = arg;
    thrum_message m;
    w->status = thrum_reconnect_recv(w->r, &m, THRUM_FOREVER);
    return NULL;
}

static double ms_since(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - from->tv_sec) * 1e3 + (double)(now.tv_nsec - from->tv_nsec) / 1e6;
}

/* Closing from another thread, in this phase: how long until both calls are back. */
static void closes(const char *what, thrum_reconnect *r, thrum_phase phase)
{
    struct waiting w[2] = {{.r = r}, {.r = r}};
    struct timespec from;
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, wait_main, &w[i]), 0);
    await(thrum_reconnect_phase(r) == phase);
    nanosleep(&(struct timespec){0, 20 * 1000 * 1000}, NULL); /* well into it */
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_status(thrum_reconnect_close(r, 1000, NULL), THRUM_OK);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    const double ms = ms_since(&from);
    print_message("close in %s: %.1f ms\n", what, ms);
    for (int i = 0; i < 2; i++)
        assert_status(w[i].status, THRUM_E_CLOSED);
    assert_true(ms < 5000); /* not a measurement: open_timeout is far longer */
    thrum_reconnect_free(r);
    await(thrum_library_threads() == 0);
}

static sem_t asked, may_answer;
static int slow_resolver(const char *h, const char *p, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)h, (void)p, (void)hints, (void)out;
    sem_post(&asked);
    while (sem_wait(&may_answer) != 0)
        ;
    return EAI_NONAME;
}

static void test_close_wins(void **state)
{
    struct peer silent, hole;
    char url[64];
    (void)state;
    assert_true(peer_listen(&silent, AF_INET, 64));
    assert_true(peer_blackhole(&hole, AF_INET));
    closes("a handshake", client(silent.url, NULL), THRUM_PHASE_CONNECTING);
    snprintf(url, sizeof url, "wss://127.0.0.1:%u/", silent.port);
    closes("a TLS handshake", client(url, NULL), THRUM_PHASE_CONNECTING);
    closes("a connect", client(hole.url, NULL), THRUM_PHASE_CONNECTING);
    closes("a wait", client_at(free_port(), THRUM_RECONNECT(.delay_first = 1000000, .delay_most = 1000000)),
           THRUM_PHASE_WAITING);
    sem_init(&asked, 0, 0);
    sem_init(&may_answer, 0, 0);
    resolve_getaddrinfo = slow_resolver;
    thrum_reconnect *r = client("ws://name.test/", NULL);
    struct waiting w = {.r = r};
    struct timespec from;
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, wait_main, &w), 0);
    while (sem_wait(&asked) != 0)
        ;
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_status(thrum_reconnect_close(r, 1000, NULL), THRUM_OK);
    pthread_join(t, NULL);
    print_message("close in a look-up: %.1f ms\n", ms_since(&from));
    assert_status(w.status, THRUM_E_CLOSED);
    thrum_reconnect_free(r);
    sem_post(&may_answer);
    await(thrum_library_threads() == 0);
    resolve_getaddrinfo = getaddrinfo;
    peer_close(&silent);
    peer_close(&hole);
}

static void test_times(void **state)
{
    struct peer silent;
    thrum_message m;
    (void)state;
    assert_true(peer_listen(&silent, AF_INET, 64));
    thrum_reconnect *r = client(silent.url, NULL);
    assert_status(thrum_reconnect_recv(r, &m, 0), THRUM_E_TIMEOUT);
    assert_status(thrum_reconnect_recv(r, &m, 30), THRUM_E_TIMEOUT); /* the connect goes on */
    assert_status(thrum_reconnect_send(r, THRUM_TEXT, "x", 1, 10), THRUM_E_TIMEOUT);
    assert_status(thrum_reconnect_wait(r, 0), THRUM_E_TIMEOUT);
    assert_int_equal(counts(r).attempts, 0);
    thrum_reconnect_free(r);
    peer_close(&silent);
}

static void test_arguments(void **state)
{
    thrum_reconnect *r = NULL;
    thrum_message m;
    thrum_error e;
    thrum_reconnect_options o;
    thrum_reconnect_counts c = {.size = 3};
    (void)state;
    assert_status(thrum_reconnect_new(NULL, "ws://h/", NULL, NULL, &e), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_new(&r, NULL, NULL, NULL, &e), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_new(&r, "ws://h/", NULL, THRUM_RECONNECT(.delay_first = -1), &e),
                  THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_new(&r, "ws://h/", NULL, THRUM_RECONNECT(.give_up = -2), &e),
                  THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_new(&r, "ws://h/", NULL, THRUM_RECONNECT(.spare = 1), &e), THRUM_E_TOO_NEW);
    assert_status(thrum_reconnect_new(&r, "ws://h/", THRUM_CLIENT(.bearer = "a b"), NULL, NULL),
                  THRUM_E_ARGUMENT);
    thrum_reconnect_options_init(&o, sizeof o);
    assert_status(thrum_reconnect_new(&r, "ws://h/", NULL, &o, &e), THRUM_OK);
    assert_status(thrum_reconnect_recv(r, NULL, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_recv(r, &m, -5), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_send(r, (thrum_kind)7, "x", 1, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_send(r, THRUM_TEXT, NULL, 1, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_wait(r, -5), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_close(r, 1005, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_close(r, 0, "why"), THRUM_E_ARGUMENT);
    assert_status(thrum_reconnect_count(r, &c), THRUM_E_ARGUMENT);
    assert_int_equal(thrum_reconnect_phase(r), THRUM_PHASE_IDLE); /* none of these has done anything */
    thrum_reconnect_free(r);
    thrum_reconnect_free(NULL);
    assert_status(thrum_reconnect_wait(NULL, 0), THRUM_E_ARGUMENT);
    assert_null(thrum_reconnect_conn(NULL));
}

static void test_fork(void **state)
{
    thrum_server *s = serve_at(0, NULL);
    int status;
    (void)state;
    thrum_reconnect *r = client_at(thrum_server_port(s), THRUM_RECONNECT(QUICK));
    assert_status(thrum_reconnect_wait(r, PEER_MS), THRUM_OK);
    const pid_t pid = fork_at_rest();
    if (pid == 0) {
        const bool right = thrum_reconnect_wait(r, 0) == THRUM_E_FORKED && !thrum_reconnect_conn(r) &&
                           thrum_reconnect_close(r, 1000, NULL) == THRUM_E_FORKED;
        thrum_reconnect_free(r);
        child_exit(right ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    sends(r, "the parent's");
    receives(r, "the parent's");
    thrum_reconnect_free(r);
    thrum_server_free(s);
}

/* What a callback is given may be gone once free has returned. */
static struct {
    _Atomic bool entered, go, left;
} slow;
static void slow_phase(thrum_phase p, const thrum_error *why, thrum_span wait, void *arg)
{
    (void)why;
    (void)wait;
    (void)arg;
    if (p == THRUM_PHASE_CLOSED)
        return;
    atomic_store(&slow.entered, true);
    await(atomic_load(&slow.go));
    atomic_store(&slow.left, true);
}
static void *free_main(void *r)
{
    thrum_reconnect_free(r);
    return (void *)(uintptr_t)atomic_load(&slow.left);
}
static bool somebody_waits(struct thrum_reconnect *r)
{
    lock_take(&r->lock);
    const bool yes = r->freer != NULL;
    lock_give(&r->lock);
    return yes;
}

static void test_free_waits_for_callbacks(void **state)
{
    pthread_t t;
    void *left = NULL;
    (void)state;
    thrum_reconnect *r = client_at(free_port(), THRUM_RECONNECT(QUICK, .on_phase = slow_phase));
    assert_status(thrum_reconnect_wait(r, 0), THRUM_E_TIMEOUT); /* this starts it */
    await(atomic_load(&slow.entered));
    assert_int_equal(pthread_create(&t, NULL, free_main, r), 0);
    await(somebody_waits(r));
    atomic_store(&slow.go, true);
    assert_int_equal(pthread_join(t, &left), 0);
    assert_non_null(left);
}

/* The end of the program waits for no callback, not even where a handler of the user's frees the client. */
static thrum_reconnect *freed_at_exit;
static void free_at_exit(void)
{
    thrum_reconnect_free(freed_at_exit);
}
static void stuck_phase(thrum_phase p, const thrum_error *why, thrum_span wait, void *arg)
{
    (void)why, (void)wait, (void)arg;
    atomic_store(&slow.entered, true);
    while (p != THRUM_PHASE_CLOSED) /* that one is told by who frees it */
        pause();
}

static void test_free_at_exit(void **state)
{
    int status;
    (void)state;
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    const pid_t pid = fork();
    if (pid == 0) {
        atomic_store(&slow.entered, false);
        freed_at_exit = client_at(free_port(), THRUM_RECONNECT(QUICK, .on_phase = stuck_phase));
        if (thrum_reconnect_wait(freed_at_exit, 0) != THRUM_E_TIMEOUT)
            _exit(1);
        await(atomic_load(&slow.entered));
        if (atexit(free_at_exit) != 0 || exit_watch_again() != 0)
            _exit(2);
        /* The library's handler runs first, as in a program whose own is the older one. */
        exit(7);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

/* From within one: it does not wait for itself. */
static void free_phase(thrum_phase p, const thrum_error *why, thrum_span wait, void *arg)
{
    thrum_reconnect *_Atomic *r = arg;
    (void)why;
    (void)wait;
    if (p != THRUM_PHASE_CONNECTING)
        return;
    await(atomic_load(r));
    thrum_reconnect_free(atomic_load(r));
    atomic_store(r, NULL);
}

static void test_free_from_a_callback(void **state)
{
    static thrum_reconnect *_Atomic own;
    (void)state;
    const int threads = thrum_library_threads();
    thrum_reconnect *r = client_at(free_port(), THRUM_RECONNECT(QUICK, .on_phase = free_phase, .arg = &own));
    assert_status(thrum_reconnect_wait(r, 0), THRUM_E_TIMEOUT);
    atomic_store(&own, r);
    await(!atomic_load(&own));
    await(thrum_library_threads() <= threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again),        cmocka_unit_test(test_hook),
        cmocka_unit_test(test_outbox),       cmocka_unit_test(test_dropping),
        cmocka_unit_test(test_final),        cmocka_unit_test(test_certificate_is_final),
        cmocka_unit_test(test_retry_after),  cmocka_unit_test(test_close_wins),
        cmocka_unit_test(test_times),        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_fork),         cmocka_unit_test(test_free_waits_for_callbacks),
        cmocka_unit_test(test_free_at_exit), cmocka_unit_test(test_free_from_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, all_threads_end);
}
