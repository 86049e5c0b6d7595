/* loop_fork_test.c: contract E6 for loops, fork_test.c's twin. A process whose loops are busy (the library's
 * two serve, one of its own has clients) forks again and again. In each child all of it is refused and can be
 * freed, and loops of the child's own work; in the parent every echo is still the right one. */
#include <dirent.h>
#include <thrum/loop.h>
#include "exit_test.h"
#include "../lib/rest.h"

enum { CLIENTS = 6, CHILDREN = 25, STATUS = 24, WORDS = 4096 };
static thrum_listener *listener;
static thrum_loop *loop;
static thrum_conn *conns[CLIENTS];
static thrum_id ids[CLIENTS];
static _Atomic int opened, echoes, resting;
static _Atomic bool rest, stop;

static void echo(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    check_status(thrum_send(c, m->kind, m->data, m->len), THRUM_OK);
}

/* ---- clients: each says a number so often as it says, and then the next ---- */
static void say(thrum_conn *c, uint32_t number)
{
    static uint32_t page[WORDS];
    size_t n = 1 + number % WORDS;
    for (size_t i = 0; i < n; i++)
        page[i] = number;
    check_status(thrum_send(c, THRUM_BINARY, page, n * 4), THRUM_OK);
}

static void begin(thrum_conn *c, void *arg)
{
    *(thrum_conn **)arg = c;
    ids[(thrum_conn **)arg - conns] = thrum_conn_id(c);
    opened++;
    say(c, 1);
}

static void go_on(thrum_conn *c, void *arg)
{
    (void)arg;
    resting--;
    check(c);
    say(c, 1);
}

static void hear(thrum_conn *c, const thrum_message *m, void *arg)
{
    uint32_t number;
    (void)arg;
    memcpy(&number, m->data, 4);
    check(m->len == 4 * (size_t)(1 + number % WORDS));
    for (size_t i = 0; i < m->len; i += 4)
        check(memcmp(m->data + i, &number, 4) == 0);
    echoes++;
    if (stop)
        check_status(thrum_close(c, 1000, NULL), THRUM_OK);
    else if (rest)
        resting++;
    else
        say(c, number + 1);
}

static void *drive(void *arg)
{
    for (int i = 0; i < CLIENTS; i++)
        check_status(thrum_open(loop, thrum_listener_url(listener),
                                THRUM_CLIENT(.compression = i % 2 ? THRUM_ON : THRUM_OFF),
                                THRUM_HANDLERS(.on_open = begin, .on_message = hear), &conns[i], NULL, NULL),
                     THRUM_OK);
    check_status(thrum_loop_run(loop, THRUM_FOREVER), THRUM_OK);
    return arg;
}

static void *step_first(void *arg) /* the loop is of the thread that made it, until another drives it */
{
    check_status(thrum_loop_step(loop, 0), THRUM_E_CLOSED);
    return drive(arg);
}

/* ---- children ---- */
static int sockets(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    check(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[300], to[64] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
        if (readlink(path, to, sizeof to - 1) > 0)
            n += strncmp(to, "socket:", 7) == 0;
    }
    closedir(d);
    return n;
}

static void never(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    check_failed(__FILE__, __LINE__, "a callback in a child");
}

static void refuse_all(void)
{
    thrum_error e;
    thrum_stats stats = {.size = sizeof stats};
    thrum_closing closing = {.size = sizeof closing};
    int fd;
    check_status(thrum_post(loop, ids[0], never, NULL), THRUM_E_FORKED);
    check_status(thrum_loop_run(loop, 0), THRUM_E_FORKED);
    check_status(thrum_loop_step(loop, 0), THRUM_E_FORKED);
    thrum_loop_stop(loop);
    check(thrum_loop_fd(loop) == -1);
    check_status(
        thrum_open(loop, "ws://127.0.0.1:1/", NULL, THRUM_HANDLERS(.on_open = never), NULL, NULL, &e),
        THRUM_E_FORKED);
    for (int i = 0; i < CLIENTS; i++) {
        check_status(thrum_send(conns[i], THRUM_TEXT, "x", 1), THRUM_E_FORKED);
        check_status(thrum_ping(conns[i], NULL, 0, 0), THRUM_E_FORKED);
        check_status(thrum_close(conns[i], 1000, NULL), THRUM_E_FORKED);
        check_status(thrum_pause(conns[i]), THRUM_E_FORKED);
        check_status(thrum_conn_stats(conns[i], &stats), THRUM_E_FORKED);
        check_status(thrum_conn_closing(conns[i], &closing), THRUM_E_FORKED);
        thrum_conn_free(conns[i]);
    }
    check_status(thrum_post(thrum_listener_loop(listener, 1), 0, never, NULL), THRUM_E_FORKED);
    check_status(thrum_publish(listener, "a", THRUM_TEXT, "x", 1), THRUM_E_FORKED);
    check_status(thrum_listener_drain(listener, 0, 0, NULL, NULL), THRUM_E_FORKED);
    check_status(thrum_listener_wait(listener, THRUM_FOREVER), THRUM_E_FORKED);
    check(thrum_listener_fds(listener, &fd, 1) == THRUM_E_FORKED);
    check(thrum_listener_count(listener) == 0);
}

static void end_after_ten(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)m;
    (void)arg;
    if (++echoes == 10)
        thrum_loop_stop(thrum_conn_loop(c));
    else
        say(c, (uint32_t)echoes);
}

static void work_alone(void)
{
    thrum_listener *s;
    thrum_loop *l;
    echoes = 0;
    check_status(thrum_serve_loops(&s, 1, "ws://127.0.0.1:0/",
                                   THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_message = echo)), NULL),
                 THRUM_OK);
    check_status(thrum_loop_new(&l, NULL), THRUM_OK);
    check_status(thrum_open(l, thrum_listener_url(s), NULL,
                            THRUM_HANDLERS(.on_open = begin, .on_message = end_after_ten), &conns[0], NULL,
                            NULL),
                 THRUM_OK);
    check_status(thrum_loop_run(l, 6 * HANG_MS), THRUM_OK);
    check_status(thrum_loop_free(l), THRUM_OK);
    thrum_listener_free(s);
}

_Noreturn static void child(bool whole)
{
    int before = sockets();
    check(thrum_library_threads() == 0);
    refuse_all();
    check_status(thrum_loop_free(loop), THRUM_OK);
    thrum_listener_free(listener);
    if (whole) /* else a thread was in the midst of what it had, which is left as it is */
        check(sockets() <= before - 2);
    work_alone();
    if (AT_REST) /* the search for leaks cannot see, in a child, the stacks of the parent's threads */
        _exit(STATUS);
    exit(STATUS);
}

static pid_t fork_amidst(void)
{
    rest = AT_REST;
    if (AT_REST)
        await(resting == CLIENTS);
    pid_t pid = fork_at_rest();
    check(pid >= 0);
    if (pid > 0 && AT_REST) {
        rest = false;
        for (int i = 0; i < CLIENTS; i++)
            check_status(thrum_post(loop, ids[i], go_on, NULL), THRUM_OK);
    }
    return pid;
}

int main(void)
{
    check_status(thrum_serve_loops(&listener, 2, "ws://127.0.0.1:0/",
                                   THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_message = echo)), NULL),
                 THRUM_OK);
    check_status(thrum_loop_new(&loop, NULL), THRUM_OK);
    pthread_t t = start(step_first, NULL);
    await(opened == CLIENTS);
    for (int i = 0; i < CHILDREN; i++) {
        int seen = echoes;
        pid_t pid = fork_amidst();
        if (pid == 0)
            child(AT_REST);
        check(end_of(pid) == STATUS);
        await(echoes > seen + CLIENTS); /* the parent goes on */
    }
    stop = true;
    check(pthread_join(t, NULL) == 0);
    check_status(thrum_listener_drain(listener, 0, HANG_MS, NULL, NULL), THRUM_OK);
    check_status(thrum_listener_wait(listener, HANG_MS), THRUM_OK);
    thrum_listener_free(listener);
    return 0;
}
