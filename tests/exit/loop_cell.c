/* loop_cell.c: as cell.c, with a loop. ROLE listen: thrum_listen; loops: thrum_serve_loops, whose threads are
 * the library's; open: a client, by thrum_open. USER drives the loop: worker, main, or nobody (it stands
 * between two steps, or is driven by the library). STATE says how far its connection is, or in which callback
 * a thread is that does not come back. A WAY that begins with "callback-" is taken inside of a callback. */
#include "cell.h"
#include <netdb.h>
#include <thrum/loop.h>
#include <thrum/tls.h>

enum { LOOPS = 2, NEVER = 60000 };

static thrum_loop *_Atomic loop; /* of the connection, once there is one */
static thrum_listener *listener;
static _Atomic thrum_id connection;
static _Atomic int reached, child_over, stopped;
static pthread_t driver;

static int is_server(void)
{
    return !is(role, "open");
}

static int is_driven_by_us(void)
{
    return !is(role, "loops");
}

static int is_left_inside(void)
{
    return strncmp(way, "callback-", 9) == 0;
}

/* A thread is in a callback that does not come back. */
static int is_stuck(void)
{
    return strncmp(state, "in-", 3) == 0;
}

/* Names are looked up by a thread of the library's, which finds this one before the system's: it never
 * answers. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **res)
{
    (void)node;
    (void)service;
    (void)hints;
    (void)res;
    reached = 1;
    for (;;)
        pause();
}

/* ---- in a child of fork ---- */
static void nothing(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
}

static void be_refused(thrum_conn *c)
{
    in_child = 1;
    if (thrum_post(loop, 0, nothing, NULL) != THRUM_E_FORKED)
        broken("post in a child");
    if (c && thrum_send(c, THRUM_BINARY, page, 1) != THRUM_E_FORKED)
        broken("send in a child");
    if (listener && thrum_publish(listener, "all", THRUM_TEXT, "x", 1) != THRUM_E_FORKED)
        broken("publish in a child");
    if (listener && thrum_listener_drain(listener, 0, 0, NULL, NULL) != THRUM_E_FORKED)
        broken("drain in a child");
    if (is_driven_by_us() && thrum_loop_run(loop, 0) != THRUM_E_FORKED)
        broken("run in a child");
}

_Noreturn static void end_child(void)
{
    thrum_loop *own;
    thrum_listener_free(listener);
    if (is_driven_by_us() && thrum_loop_free(loop) != THRUM_OK)
        broken("free in a child");
    if (thrum_loop_new(&own, NULL) != THRUM_OK || thrum_loop_step(own, 0) != THRUM_E_CLOSED ||
        thrum_loop_free(own) != THRUM_OK)
        broken("a loop of the child's own");
    exit(0);
}

/* ---- callbacks ---- */
static void fork_inside(thrum_conn *c)
{
    pid_t pid = fork_at_rest();
    if (pid == 0) {
        be_refused(c);
        if (is(way, "callback-return")) /* then the call that it returns to must not go on */
            return;
        if (is_driven_by_us() && thrum_loop_free(loop) != THRUM_E_STATE)
            broken("free inside a callback in a child");
        exit(0);
    }
    await_child(pid);
    child_over = 1;
}

static void leave_inside(thrum_conn *c, void *arg)
{
    (void)arg;
    if (is(way, "callback-fork") || is(way, "callback-return")) {
        fork_inside(c);
        return;
    }
    ready();
    if (is(way, "callback-exit"))
        exit(12);
    if (is(way, "callback-pthread_exit"))
        pthread_exit(NULL);
    broken("no such way out of a callback");
}

static void get_stuck(thrum_conn *c)
{
    reached = 1;
    if (is_left_inside())
        leave_inside(c, NULL);
    else
        for (;;)
            pause();
}

static void keep_busy(thrum_conn *c, void *arg)
{
    static unsigned n; /* few enough messages for any peer */
    if (c && !stopped) {
        if (n++ % 100 == 0)
            (void)!thrum_send(c, THRUM_BINARY, page, 1);
        if (thrum_post(loop, connection, keep_busy, arg) != THRUM_OK)
            broken("post");
    }
}

static void fill(thrum_conn *c, void *arg)
{
    (void)arg;
    while (is(state, "unwritten") && thrum_send(c, THRUM_BINARY, page, sizeof page) == THRUM_OK)
        ;
}

/* What is not written stays as much as it is: the peer reads nothing. */
static void look_at_pending(thrum_conn *c, void *arg)
{
    static size_t before;
    (void)arg;
    if (!c) /* it is not there yet */
        return;
    size_t n = thrum_conn_pending(c);
    reached = n > 0 && n == before;
    before = n;
}

static int on_request(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)r;
    (void)a;
    (void)arg;
    get_stuck(NULL);
    return 0;
}

static void on_open(thrum_conn *c, void *arg)
{
    (void)arg;
    connection = thrum_conn_id(c);
    loop = thrum_conn_loop(c);
    if (is(state, "in-open"))
        get_stuck(c);
    else if (is(state, "busy"))
        keep_busy(c, NULL);
    else if (is(state, "closing"))
        (void)thrum_close(c, 1000, NULL);
    else
        fill(c, NULL);
    reached = !is(state, "in-message") && !is(state, "in-close") && !is(state, "unwritten");
}

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)m;
    (void)arg;
    if (is(state, "in-message"))
        get_stuck(c);
}

static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)why;
    (void)arg;
    if (is(state, "in-close"))
        get_stuck(c);
}

/* ---- the situation ---- */
static thrum_status serve(const thrum_handlers *on, thrum_error *e)
{
    thrum_loop *l = loop;
    const thrum_tls_options *tls = strncmp(url, "wss:", 4) == 0 ? THRUM_TLS(.cert_file = getenv("CELL_CHAIN"),
                                                                            .key_file = getenv("CELL_KEY"))
                                                                : NULL;
    const thrum_server_options *o =
        THRUM_SERVER(.handlers = on, .on_request = is(state, "in-request") ? on_request : NULL, .tls = tls,
                     .open_timeout = NEVER, .close_timeout = NEVER);
    return l ? thrum_listen(&listener, l, url, o, e) : thrum_serve_loops(&listener, LOOPS, url, o, e);
}

static void *make(void *arg)
{
    thrum_error e;
    thrum_loop *l = NULL;
    const thrum_handlers *on =
        THRUM_HANDLERS(.on_open = on_open, .on_message = on_message, .on_drain = fill, .on_close = on_close);
    if (is_driven_by_us() && thrum_loop_new(&l, &e) != THRUM_OK)
        broken(e.text);
    loop = l;
    if (is_server() ? serve(on, &e)
                    : thrum_open(l, url, THRUM_CLIENT(.open_timeout = NEVER, .close_timeout = NEVER), on,
                                 NULL, NULL, &e))
        broken(e.text);
    if (!l)
        loop = thrum_listener_loop(listener, 0);
    if (is_server())
        tell_url(thrum_listener_url(listener));
    while (is(state, "between") && !reached)
        if (thrum_loop_step(l, THRUM_FOREVER) != THRUM_OK)
            broken("step");
    return arg;
}

static void *drive(void *arg)
{
    if (is(way, "background") && thrum_thread_background(true) != THRUM_OK)
        broken("background");
    thrum_status s = thrum_loop_run(loop, THRUM_FOREVER);
    if (in_child && s != THRUM_E_FORKED)
        broken("run goes on in a child");
    if (in_child)
        end_child();
    while (!is(way, "pthread_exit") && !is(user, "main")) /* there, this thread's end is the process's */
        pause();
    return arg;
}

static void await_state(void)
{
    if (is(state, "unwritten"))
        while (!reached) {
            nap(20);
            if (thrum_post(loop, connection, look_at_pending, NULL) != THRUM_OK)
                broken("post");
        }
    else if (!is(state, "listening") && !is(state, "greeting") &&
             (!is_connecting() || is(state, "resolving")))
        while (!reached)
            nap(1);
    if (is(state, "draining") && thrum_listener_drain(listener, 0, NEVER, NULL, NULL) != THRUM_OK)
        broken("drain");
    nap(SETTLE_MS);
}

static void situation(void)
{
    if (is(maker, "worker"))
        pthread_join(begin(make), NULL);
    else
        make(NULL);
    if (is(user, "worker"))
        driver = begin(drive);
    await_state();
}

/* ---- the ways out ---- */
static volatile sig_atomic_t interrupted;

static void on_sigint(int sig)
{
    (void)sig;
    interrupted = 1;
    if (is(user, "main"))
        thrum_loop_stop(loop);
}

static void *exit_thread(void *arg)
{
    (void)arg;
    ready();
    exit(7);
}

static int fork_and_end(void)
{
    pid_t pid = fork_at_rest();
    if (pid == 0 && is(way, "fork-exec")) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(98);
    }
    if (pid == 0) {
        be_refused(NULL);
        end_child();
    }
    await_child(pid);
    ready();
    return 0;
}

/* A thread that runs a loop is not cancelled inside; it is stopped, as a program would, and then it is. One
 * that is stuck in a callback stays there. */
static void cancel(void)
{
    pthread_cancel(driver);
    thrum_loop_stop(loop);
    if (!is_stuck())
        pthread_join(driver, NULL);
    ready();
}

/* Only ways that any thread may take. */
static void leave_anywhere(void)
{
    if (is_left_inside() && !is_stuck() && thrum_post(loop, connection, leave_inside, NULL) != THRUM_OK)
        broken("post");
    if (is(way, "callback-pthread_exit")) /* then this thread must not live on */
        pthread_exit(NULL);
    while (is_left_inside() && !child_over)
        nap(1);
    if (is(way, "cancel"))
        cancel();
    else
        ready();
    if (is(way, "quick_exit"))
        quick_exit(9);
    if (is(way, "sigterm"))
        kill(getpid(), SIGTERM);
}

static int leave(void)
{
    stopped = AT_REST || is(way, "pthread_exit");
    if (strncmp(way, "fork", 4) == 0)
        return fork_and_end();
    if (is(way, "worker-exit"))
        for (pthread_detach(begin(exit_thread));;)
            pause();
    if (is(way, "sigint")) {
        signal(SIGINT, on_sigint);
        raise(SIGINT);
    }
    if (is(way, "pthread_exit") && is(user, "worker"))
        thrum_loop_stop(loop);
    leave_anywhere();
    if (is(way, "exit"))
        exit(6);
    if (is(way, "pthread_exit") || is(way, "background"))
        pthread_exit(NULL);
    return is(way, "return") ? 5 : is(way, "sigint") ? 8 : is(way, "cancel") ? 10 : 0;
}

/* Main drives, another thread takes the way. */
static void *leaver(void *arg)
{
    await_state();
    if (is(way, "worker-exit"))
        exit_thread(NULL);
    signal(SIGINT, on_sigint);
    leave_anywhere();
    if (is(way, "sigint"))
        pthread_kill(driver, SIGINT);
    if (child_over)
        exit(0);
    return arg;
}

int main(int argc, char **argv)
{
    if (!read_arguments(argc, argv))
        return 2;
    if (!is(user, "main")) {
        situation();
        return leave();
    }
    driver = pthread_self();
    make(NULL);
    pthread_detach(begin(leaver));
    drive(NULL);
    while (!interrupted) /* the peer has answered the goodbye; the end is the other thread's */
        pause();
    return 8;
}
