/* fire_test.c: contract E12. Thirty processes, each with threads that hammer every call of the library on
 * shared connections and a server, end while they do so: by return, exit from a thread, quick_exit or
 * pthread_exit of main before an exit. Each ends in time, with its status, and by no signal. */
#include "exit_test.h"

enum { ROUNDS = 30, SHARED = 4 };
static thrum_server *server;
static thrum_conn *conns[SHARED];

static void echo_serve(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            return;
    }
}

_Noreturn static void *hammer_send(void *arg)
{
    static uint8_t page[20000];
    for (size_t i = 0;; i++)
        (void)!thrum_send(arg, THRUM_BINARY, page, i % sizeof page);
}

_Noreturn static void *hammer_parts(void *arg)
{
    for (;;) {
        (void)!thrum_send_part(arg, THRUM_TEXT, "one", 3, false);
        (void)!thrum_send_part(arg, THRUM_TEXT, "two", 3, true);
    }
}

_Noreturn static void *hammer_recv(void *arg)
{
    thrum_message m;
    for (;;)
        if (thrum_recv(arg, &m, 1) == THRUM_OK)
            thrum_message_release(&m);
}

_Noreturn static void *hammer_small_calls(void *arg)
{
    thrum_stats s = {.size = sizeof s};
    thrum_closing closing = {.size = sizeof closing};
    thrum_error e;
    for (;;) {
        (void)thrum_ping(arg, NULL, 0, 1);
        (void)thrum_pong(arg, "x", 1);
        thrum_cancel(arg);
        (void)thrum_conn_stats(arg, &s);
        (void)thrum_conn_closing(arg, &closing);
        thrum_conn_error(arg, &e);
        thrum_conn_free(thrum_conn_ref(arg));
        (void)thrum_conn_state(arg);
        (void)thrum_library_threads();
    }
}

_Noreturn static void *hammer_connect(void *arg)
{
    for (unsigned i = 0;; i++) {
        thrum_conn *c;
        if (thrum_connect(&c, arg, NULL, NULL) != THRUM_OK)
            continue;
        if (i % 2)
            (void)thrum_close(c, 1000, "bye");
        thrum_conn_free(c);
    }
}

static void touch(thrum_conn *c, void *arg)
{
    (void)arg;
    (void)thrum_pong(c, NULL, 0);
}

_Noreturn static void *hammer_server(void *arg)
{
    size_t sent, skipped;
    (void)arg;
    for (;;) {
        (void)thrum_server_broadcast(server, THRUM_TEXT, "all", 3, &sent, &skipped);
        (void)thrum_server_each(server, touch, NULL);
        (void)thrum_server_count(server);
        (void)thrum_server_wait(server, 0);
    }
}

_Noreturn static void *hammer_servers(void *arg)
{
    (void)arg;
    for (;;) {
        thrum_server *s;
        if (thrum_serve(&s, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo_serve), NULL) != THRUM_OK)
            continue;
        (void)thrum_server_drain(s, 0, 0);
        thrum_server_free(s);
    }
}

_Noreturn static void *exit_from_thread(void *arg)
{
    nap(*(int *)arg);
    exit(32);
}

/* In the child. */
_Noreturn static void burn(int round)
{
    static int ms;
    thrum_error e;
    ms = 5 + round * 3 % 40;
    if (thrum_serve(&server, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo_serve), &e) != THRUM_OK)
        check_failed(__FILE__, __LINE__, e.text);
    for (int i = 0; i < SHARED; i++) {
        check_status(thrum_connect(&conns[i], thrum_server_url(server), NULL, NULL), THRUM_OK);
        start(hammer_recv, conns[i]);
        start(hammer_small_calls, conns[i]);
        start(i % 2 ? hammer_send : hammer_parts, conns[i]);
    }
    start(hammer_connect, strdup(thrum_server_url(server)));
    start(hammer_server, NULL);
    start(hammer_servers, NULL);
    if (round % 4 == 1 || round % 4 == 3)
        start(exit_from_thread, &ms);
    if (round % 4 == 3)
        pthread_exit(NULL);
    nap(round % 4 == 1 ? 6 * HANG_MS : ms);
    if (round % 4 == 2)
        quick_exit(33);
    exit(31);
}

int main(void)
{
    static const int status[] = {31, 32, 33, 32};
    for (int i = 0; i < ROUNDS; i++) {
        pid_t pid = fork();
        check(pid >= 0);
        if (pid == 0)
            burn(i);
        int got = end_of(pid);
        if (got != status[i % 4])
            fprintf(stderr, "round %d: status %d, not %d\n", i, got, status[i % 4]);
        check(got == status[i % 4]);
    }
    return 0;
}
