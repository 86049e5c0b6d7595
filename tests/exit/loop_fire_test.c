/* loop_fire_test.c: contract E12 for loops, fire_test.c's twin. Processes whose threads hammer every call of
 * the event front, over ws and wss, end while they do so: by return, exit from a thread, quick_exit, exit of
 * a thread that outlives main, or exit inside a callback. Each ends in time, with its status, and by no
 * signal. THRUM_TEST_ROUNDS: so many instead. */
#include <thrum/loop.h>
#include <thrum/tls.h>
#include "exit_test.h"
#include "lib/certs.h"

enum { ROUNDS = 30, CLIENTS = 8, WAYS = 5 };

#if defined(__SANITIZE_ADDRESS__)
/* What OpenSSL keeps for a thread that ends after its exit handler is freed by nobody, in every program. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcrypto.so\n";
}
__attribute__((visibility("default"))) const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}
#endif

static thrum_listener *listener;
static char *url;
static const thrum_tls_options *trusted, *own; /* NULL: ws */
static _Atomic bool leave_inside;              /* the next callback ends the program */
static _Atomic long calls;

/* ---- callbacks: of the server's and the clients' connections alike ---- */
static void leave_if_told(void)
{
    calls++;
    if (leave_inside)
        exit(34);
}

static void on_open(thrum_conn *c, void *arg)
{
    leave_if_told();
    (void)!thrum_subscribe(c, "all"); /* a client's answers E_STATE */
    (void)thrum_conn_header(c, "Upgrade", 0);
    (void)thrum_conn_peer(c);
    (void)!thrum_send(c, THRUM_TEXT, "first", 5);
    (void)arg;
}

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    static const uint8_t page[70000];
    thrum_stats s = {.size = sizeof s};
    (void)arg;
    leave_if_told();
    (void)!thrum_send(c, m->kind, m->data, m->len < 300 ? m->len : 5);
    (void)thrum_conn_stats(c, &s);
    switch (s.messages_in % 8) {
    case 1: (void)!thrum_send(c, THRUM_BINARY, page, sizeof page); break;
    case 2: (void)thrum_publish_from(c, "all", THRUM_TEXT, "from", 4); break;
    case 3: (void)thrum_ping(c, "p", 1, 0); break;
    case 4: (void)thrum_conn_state(c), (void)thrum_conn_pending(c); break;
    case 5: (void)thrum_pause(c), (void)thrum_resume(c); break;
    case 6:
        (void)!thrum_send_part(c, THRUM_TEXT, "one", 3, false);
        (void)!thrum_send_part(c, THRUM_TEXT, "two", 3, true);
        break;
    default: break;
    }
}

static void on_pong(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)m;
    (void)arg;
    leave_if_told();
    (void)thrum_latency(c);
}

static void open_again(thrum_loop *l);
static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    thrum_error e;
    (void)why;
    leave_if_told();
    thrum_conn_error(c, &e);
    if (arg)
        open_again(arg);
}

static const thrum_handlers *handlers(void)
{
    static const thrum_handlers on = {.size = sizeof on,
                                      .on_open = on_open,
                                      .on_message = on_message,
                                      .on_pong = on_pong,
                                      .on_close = on_close};
    return &on;
}

static void on_timer(void *arg)
{
    leave_if_told();
    (void)!thrum_loop_after(arg, 0, on_timer, arg, NULL);
}

static void on_post(thrum_conn *c, void *arg)
{
    leave_if_told();
    if (c && arg)
        (void)thrum_close(c, 1000, "posted");
    else if (c)
        (void)!thrum_send(c, THRUM_TEXT, "posted", 6);
}

static int on_request(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)arg;
    leave_if_told();
    (void)thrum_request_header(r, "Host", 0);
    (void)thrum_reply_header(a, "X-Fire", "yes");
    return 0;
}

/* ---- threads ---- */
static void open_again(thrum_loop *l)
{
    thrum_error e;
    (void)!thrum_open(l, url, THRUM_CLIENT(.tls = trusted), handlers(), l, NULL, &e);
}

_Noreturn static void *drive_clients(void *arg)
{
    thrum_loop *l;
    check_status(thrum_loop_new(&l, NULL), THRUM_OK);
    for (int i = 0; i < CLIENTS; i++)
        open_again(l);
    on_timer(l);
    if (arg)
        (void)thrum_loop_run(l, THRUM_FOREVER);
    for (;;)
        (void)thrum_loop_step(l, 1);
}

_Noreturn static void *hammer_post(void *arg)
{
    for (thrum_id id = 0;; id++) {
        size_t n = thrum_listener_loops(listener);
        (void)!thrum_post(thrum_listener_loop(listener, id % n), id, on_post, id % 3 ? NULL : arg);
        if (id % 64 == 0)
            nap(1);
    }
}

_Noreturn static void *hammer_listener(void *arg)
{
    static const uint8_t page[20000];
    (void)arg;
    for (size_t i = 0;; i++) {
        (void)thrum_publish(listener, "all", THRUM_BINARY, page, i % sizeof page);
        (void)thrum_listener_count(listener);
        (void)thrum_subscribers(listener, "all");
        (void)thrum_listener_wait(listener, 0);
        (void)thrum_library_threads();
        if (i % 16 == 0)
            nap(1);
    }
}

static void serve(thrum_listener **out)
{
    thrum_error e;
    if (thrum_serve_loops(out, 2, trusted ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/",
                          THRUM_SERVER(.handlers = handlers(), .on_request = on_request, .tls = own),
                          &e) != THRUM_OK &&
        e.status != THRUM_E_SYSTEM && e.status != THRUM_E_TLS) /* as the program ends */
        check_failed(__FILE__, __LINE__, e.text);
}

_Noreturn static void *hammer_listeners(void *arg)
{
    (void)arg;
    for (;;) {
        thrum_listener *s = NULL;
        serve(&s);
        (void)thrum_publish(s, "all", THRUM_TEXT, "x", 1);
        (void)thrum_listener_drain(s, 0, 1, NULL, NULL);
        (void)thrum_listener_wait(s, 5);
        thrum_listener_free(s);
    }
}

_Noreturn static void *hammer_loops(void *arg)
{
    thrum_loop *l;
    for (;;) {
        if (thrum_loop_new(&l, NULL) != THRUM_OK)
            continue;
        open_again(l);
        (void)!thrum_post(l, 0, on_post, arg);
        (void)thrum_loop_step(l, 1);
        (void)thrum_loop_free(l);
    }
}

/* ---- the program ---- */
_Noreturn static void *exit_from_thread(void *arg)
{
    nap(*(int *)arg);
    exit(32);
}

/* Copies: what certs.h has is freed at exit. */
static const char *copy(const char *text)
{
    char *p = strdup(text);
    check(p);
    return p;
}

static void use_tls(void)
{
    static thrum_tls_options client, server;
    const struct certs *k = certs_usual();
    client = *THRUM_TLS(.ca = copy(k->authority.cert));
    client.ca_len = strlen(client.ca);
    server = *THRUM_TLS(.cert = copy(k->server.cert), .key = copy(k->server.key));
    server.cert_len = strlen(server.cert);
    server.key_len = strlen(server.key);
    trusted = &client;
    own = &server;
}

/* In the child. */
_Noreturn static void burn(int round)
{
    static int ms;
    static char yes;
    int way = round % WAYS;
    ms = 5 + round * 7 % 60;
    if (round / WAYS % 2)
        use_tls();
    serve(&listener);
    check((url = strdup(thrum_listener_url(listener))) != NULL);
    start(drive_clients, &yes);
    start(drive_clients, NULL);
    start(hammer_post, &yes);
    start(hammer_listener, NULL);
    start(hammer_listeners, NULL);
    start(hammer_loops, NULL);
    if (way == 1 || way == 3)
        start(exit_from_thread, &ms);
    if (way == 3)
        pthread_exit(NULL);
    nap(way == 1 ? 6 * HANG_MS : ms);
    if (way == 2)
        quick_exit(33);
    if (way == 4)
        for (leave_inside = true;;)
            pause();
    exit(31);
}

int main(void)
{
    static const int status[WAYS] = {31, 32, 33, 32, 34};
    const char *wanted = getenv("THRUM_TEST_ROUNDS");
    int rounds = wanted ? atoi(wanted) : ROUNDS;
    for (int i = 0; i < rounds; i++) {
        pid_t pid =
            fork(); /* this process never used thrum, OpenSSL or a thread: the child is a whole program */
        check(pid >= 0);
        if (pid == 0)
            burn(i);
        int got = end_of(pid);
        if (got != status[i % WAYS])
            fprintf(stderr, "round %d: status %d, not %d\n", i, got, status[i % WAYS]);
        check(got == status[i % WAYS]);
    }
    return 0;
}
