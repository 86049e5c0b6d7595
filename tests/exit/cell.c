/* cell.c: one cell of the exit matrix: `cell ROLE MAKER USER STATE WAY URL FD`. It sets the situation up,
 * writes one line "ready THREADS NANOSECONDS" to FD, and takes the way out; what becomes of it is judged from
 * outside (matrix.py).
 *
 * ROLE client: a connection to URL; reconnect: a reconnecting client's. ROLE server: a server at URL (the one
 * that it got is the line "url ..." before), whose peer is the driver; for wss:// CELL_CHAIN and CELL_KEY
 * name its certificate. Includes what a user would include, nothing else. */
#include "cell.h"
#include <thrum/reconnect.h>
#include <thrum/server.h>
#include <thrum/tls.h>

static thrum_conn *conn;
static thrum_server *server;
static thrum_reconnect *again;
static pthread_t using_thread;
static _Atomic int in_handler, come_back;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* for ThreadSanitizer: conn is handed over by it */

/* ---- the situation ---- */
static void handler(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    in_handler++;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK)
        thrum_message_release(&m);
}

static void make_client(void)
{
    thrum_error e;
    thrum_switch interruptible = is(user, "main") ? THRUM_ON : THRUM_DEFAULT;
    if (thrum_connect(&conn, url, THRUM_CLIENT(.close_timeout = 60000, .interruptible = interruptible), &e) !=
            THRUM_OK &&
        !is_connecting())
        broken(e.text);
}

static void make_server(void)
{
    thrum_error e;
    const thrum_tls_options *tls =
        THRUM_TLS(.cert_file = getenv("CELL_CHAIN"), .key_file = getenv("CELL_KEY"));
    if (strncmp(url, "wss:", 4) != 0)
        tls = NULL;
    if (thrum_serve(&server, url, THRUM_SERVER(.serve = handler, .tls = tls), &e) != THRUM_OK)
        broken(e.text);
    tell_url(thrum_server_url(server));
    while (is(state, "serving") && !in_handler)
        nap(1);
}

/* A client that connects again: by now it connects, waits to connect again, or is open, as its peer lets it.
 */
static void make_again(void)
{
    thrum_error e;
    if (thrum_reconnect_new(&again, url, THRUM_CLIENT(.open_timeout = 60000),
                            THRUM_RECONNECT(.delay_first = 1000000, .delay_most = 1000000), &e) != THRUM_OK)
        broken(e.text);
    const thrum_phase wanted = is_connecting()        ? THRUM_PHASE_CONNECTING
                               : is(state, "waiting") ? THRUM_PHASE_WAITING
                                                      : THRUM_PHASE_OPEN;
    while (thrum_reconnect_phase(again) != wanted) {
        (void)!thrum_reconnect_wait(again, 0);
        nap(1);
    }
    nap(SETTLE_MS);
}

static void *make(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&mutex);
    if (is(role, "server"))
        make_server();
    else if (is(role, "reconnect"))
        make_again();
    else
        make_client();
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* What the using thread does until it is ended: it goes into the call that the state names. */
static void use(void)
{
    thrum_message m;
    if (is(role, "reconnect"))
        while (thrum_reconnect_recv(again, &m, THRUM_FOREVER) == THRUM_OK)
            thrum_message_release(&m);
    else if (is_connecting())
        make(NULL);
    else if (is(state, "open"))
        (void)!thrum_send(conn, THRUM_BINARY, page, 1);
    else if (is(state, "in-recv"))
        while (thrum_recv(conn, &m, THRUM_FOREVER) == THRUM_OK)
            thrum_message_release(&m);
    else if (is(state, "in-send"))
        while (!come_back && thrum_send(conn, THRUM_BINARY, page, sizeof page) == THRUM_OK)
            ;
    else if (is(state, "closing"))
        (void)thrum_close(conn, 1000, NULL);
}

static int is_background(void)
{
    return is(way, "background");
}

static void *use_thread(void *arg)
{
    (void)arg;
    if (is_background() && thrum_thread_background(true) != THRUM_OK)
        broken("background");
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    use();
    while (!is(way, "pthread_exit")) /* there, this thread's end is the process's */
        pause();
    return NULL;
}

/* The using thread is where it should be when nothing moves any more: a blocked send by its counter, the
 * others after a moment. */
static void await_use(void)
{
    thrum_stats s = {.size = sizeof s};
    uint64_t before = 1;
    for (int i = 0; is(state, "in-send") && i < 500; i++) {
        nap(20);
        if (thrum_conn_stats(conn, &s) == THRUM_OK && s.queued_out > 0 && s.wire_out == before)
            break;
        before = s.wire_out;
    }
    nap(SETTLE_MS);
}

static void settle_in(void)
{
    if (!is(user, "worker"))
        return;
    using_thread = begin(use_thread);
    await_use();
}

static void situation(void)
{
    if (is_connecting() && !is(role, "reconnect")) {
        settle_in();
        return;
    }
    if (is(maker, "worker")) {
        pthread_join(begin(make), NULL);
    } else {
        make(NULL);
    }
    if (is(state, "closed") && (thrum_close(conn, 1000, NULL) != THRUM_OK))
        broken("close");
    settle_in();
}

/* ---- the ways out ---- */
static volatile sig_atomic_t interrupted;

static void on_sigint(int sig)
{
    (void)sig;
    interrupted = 1;
}

static void *exit_thread(void *arg)
{
    (void)arg;
    ready();
    exit(7);
}

_Noreturn static void leave_by_pthread_exit(void)
{
    /* A worker that is inside a call would keep the process: it is told to come back, as a program would. */
    come_back = 1;
    if (is(user, "worker") && !is_connecting() && !is_background())
        thrum_cancel(conn);
    ready();
    pthread_exit(NULL);
}

/* Main's call is interruptible, and main returns. Again and again: a signal that comes just before the call's
 * poll does not end it. */
static _Atomic int returned;
static void interrupt_main(void)
{
    while (!returned) {
        pthread_kill(using_thread, SIGINT);
        nap(20);
    }
}

/* Where main is the one inside a call, another thread takes the way out. */
static void *leaver(void *arg)
{
    struct sigaction a = {.sa_handler = on_sigint};
    await_use();
    sigaction(SIGINT, &a, NULL);
    ready();
    if (is(way, "worker-exit"))
        exit(7);
    else if (is(way, "quick_exit"))
        quick_exit(9);
    else if (is(way, "sigterm"))
        kill(getpid(), SIGTERM);
    else if (is(way, "sigint"))
        interrupt_main();
    else if (is(way, "cancel"))
        pthread_cancel(using_thread); /* then this thread is the last one */
    return arg;
}

static int use_in_main(void)
{
    using_thread = pthread_self();
    if (!is_connecting())
        make(NULL);
    pthread_detach(begin(leaver));
    use();
    returned = 1;
    while (
        !interrupted) /* the peer's answer to the goodbye has ended the call; the end is the other thread's */
        pause();
    return 8;
}

static int fork_and_end(int do_exec)
{
    pid_t pid = fork_at_rest();
    in_child = pid == 0;
    if (pid == 0 && do_exec) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(98);
    }
    if (pid == 0) {
        if (!is_connecting() && conn && thrum_send(conn, THRUM_TEXT, "x", 1) != THRUM_E_FORKED)
            _exit(97);
        exit(0);
    }
    await_child(pid);
    ready();
    return 0;
}

static int leave(void)
{
    if (is(way, "return")) {
        ready();
        return 5;
    }
    if (is(way, "exit")) {
        ready();
        exit(6);
    }
    if (is(way, "worker-exit")) {
        pthread_detach(begin(exit_thread));
        for (;;)
            pause();
    }
    if (is(way, "pthread_exit") || is_background())
        leave_by_pthread_exit();
    if (is(way, "sigterm")) {
        ready();
        raise(SIGTERM);
    }
    if (is(way, "sigint")) {
        struct sigaction a = {.sa_handler = on_sigint};
        sigaction(SIGINT, &a, NULL);
        raise(SIGINT);
        ready();
        return interrupted ? 8 : 1;
    }
    if (is(way, "quick_exit")) {
        ready();
        quick_exit(9);
    }
    if (is(way, "fork"))
        return fork_and_end(0);
    if (is(way, "fork-exec"))
        return fork_and_end(1);
    if (is(way, "cancel")) {
        pthread_cancel(using_thread);
        pthread_join(using_thread, NULL);
        ready();
        return 10;
    }
    broken("no such way out");
}

int main(int argc, char **argv)
{
    if (!read_arguments(argc, argv))
        return 2;
    if (is(user, "main") && !is(state, "open"))
        return use_in_main();
    situation();
    if (is(user, "main"))
        use();
    return leave();
}
