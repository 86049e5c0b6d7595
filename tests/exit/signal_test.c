/* signal_test.c: contract E7. The library's threads block every signal, so that no handler of the program
 * ever runs on them; a call that is interrupted resumes with its deadline kept, or says so where that is
 * asked for; there is no SIGPIPE. */
#include <dirent.h>
#include <thrum/loop.h>
#include "exit_test.h"

static _Atomic int handled, on_library_thread;
static _Atomic bool stop;

static void on_signal(int sig)
{
    char name[32] = "";
    int saved = errno;
    (void)sig;
    handled++;
    if (pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strncmp(name, "thrum-", 6) == 0)
        on_library_thread++;
    errno = saved;
}

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

/* ---- what the system says of each library thread ---- */
static void look_at(const char *task)
{
    char path[300], line[200];
    unsigned long long blocked = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *f = fopen(path, "re");
    check(f);
    while (fgets(line, sizeof line, f))
        found |= sscanf(line, "SigBlk: %llx", &blocked) == 1;
    fclose(f);
    check(found);
    for (int sig = 1; sig <= 64; sig++) {
        /* The C library keeps 32 and 33 to itself; the first two cannot be blocked by anybody. */
        if (sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == 33)
            continue;
        if (!(blocked >> (sig - 1) & 1)) {
            fprintf(stderr, "thread %s does not block signal %d\n", task, sig);
            _exit(1);
        }
    }
}

static int look_at_all(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    check(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (!f)
            continue;
        if (fgets(name, sizeof name, f) && strncmp(name, "thrum-", 6) == 0) {
            look_at(e->d_name);
            n++;
        }
        fclose(f);
    }
    closedir(d);
    return n;
}

/* ---- a flood ---- */
static void *flood(void *arg)
{
    sigset_t set;
    (void)arg;
    sigemptyset(
        &set); /* not at this thread: at the process, so the kernel chooses among those that take it */
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    while (!stop) {
        kill(getpid(), SIGUSR1);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return NULL;
}

static void echo(thrum_conn *c)
{
    thrum_message m;
    check_status(thrum_send(c, THRUM_TEXT, "hello", 5), THRUM_OK);
    check_status(thrum_recv(c, &m, HANG_MS), THRUM_OK);
    check(m.len == 5);
    thrum_message_release(&m);
}

static void test_flood(const char *url)
{
    thrum_conn *c, *idle;
    thrum_message m;
    pthread_t t = start(flood, NULL);
    check_status(thrum_connect(&idle, url, THRUM_CLIENT(.attended = THRUM_ON), NULL), THRUM_OK);
    check_status(thrum_connect(&c, url, NULL, NULL), THRUM_OK);
    for (int i = 0; i < 300; i++)
        echo(c);
    int64_t before = now_ms();
    int seen = handled;
    check_status(thrum_recv(c, &m, 300), THRUM_E_TIMEOUT);
    check(now_ms() - before >= 299); /* not ended early ... */
    check(handled > seen); /* ... though it was interrupted: the deadline was kept, not begun anew */
    check_status(thrum_ping(c, NULL, 0, HANG_MS), THRUM_OK);
    check(look_at_all() >= 4); /* accepting, two handlers, warden */
    check_status(thrum_close(c, 1000, NULL), THRUM_OK);
    thrum_conn_free(c);
    thrum_conn_free(idle);
    stop = true;
    check(pthread_join(t, NULL) == 0);
    check(handled > 0 && on_library_thread == 0);
}

/* ---- loops ---- */
static void answer(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    check_status(thrum_send(c, m->kind, m->data, m->len), THRUM_OK);
}

static void begin(thrum_conn *c, void *arg)
{
    (void)arg;
    check_status(thrum_send(c, THRUM_TEXT, "hello", 5), THRUM_OK);
}

static int turns;
static void go_on(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    if (++turns < 300)
        check_status(thrum_send(c, m->kind, m->data, m->len), THRUM_OK);
    else
        thrum_loop_stop(thrum_conn_loop(c));
}

static thrum_loop *interrupted_loop;
static void stop_loop(int sig)
{
    on_signal(sig);
    thrum_loop_stop(interrupted_loop);
}

static void *interrupt_once(void *arg)
{
    int seen = handled;
    pthread_kill(*(pthread_t *)arg, SIGUSR2);
    await(handled > seen);
    return NULL;
}

/* A loop that is interrupted all the time keeps its deadline, and a handler may stop it. */
static void test_loops(void)
{
    thrum_listener *s;
    thrum_loop *l;
    pthread_t self = pthread_self();
    check_status(thrum_serve_loops(&s, 2, "ws://127.0.0.1:0/",
                                   THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_message = answer)), NULL),
                 THRUM_OK);
    check_status(thrum_loop_new(&l, NULL), THRUM_OK);
    check_status(thrum_open(l, thrum_listener_url(s), NULL,
                            THRUM_HANDLERS(.on_open = begin, .on_message = go_on), NULL, NULL, NULL),
                 THRUM_OK);
    stop = false;
    pthread_t t = start(flood, NULL);
    check_status(thrum_loop_run(l, 60 * HANG_MS), THRUM_OK);
    check(turns == 300);
    int64_t before = now_ms();
    int seen = handled;
    check_status(thrum_loop_run(l, 300), THRUM_E_TIMEOUT);
    check(now_ms() - before >= 299 && handled > seen);
    check(look_at_all() >= 2);
    stop = true;
    check(pthread_join(t, NULL) == 0);
    interrupted_loop = l;
    signal(SIGUSR2, stop_loop);
    t = start(interrupt_once, &self);
    check_status(thrum_loop_run(l, 60 * HANG_MS), THRUM_OK);
    check(pthread_join(t, NULL) == 0);
    check(on_library_thread == 0);
    check_status(thrum_loop_free(l), THRUM_OK);
    thrum_listener_free(s);
}

/* ---- interruptible ---- */
static void *interrupt_until_stopped(void *arg)
{
    while (!stop) {
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
        nap(1);
    }
    return NULL;
}

static void test_interrupted(void)
{
    int peer;
    thrum_message m;
    pthread_t self = pthread_self();
    static uint8_t page[1 << 20];
    thrum_conn *c = accepted(&peer, THRUM_SERVER(.interruptible = THRUM_ON));
    stop = false;
    pthread_t t = start(interrupt_until_stopped, &self);
    check_status(thrum_recv(c, &m, THRUM_FOREVER), THRUM_E_INTERRUPTED);
    check_status(thrum_ping(c, NULL, 0, THRUM_FOREVER), THRUM_E_INTERRUPTED);
    thrum_status s = THRUM_OK;
    while (s == THRUM_OK) /* a peer that never reads: begun, then interrupted, or not begun at all */
        s = thrum_send(c, THRUM_BINARY, page, sizeof page);
    check(s == THRUM_E_UNFINISHED || s == THRUM_E_INTERRUPTED);
    check(thrum_conn_state(c) == THRUM_OPEN);
    stop = true;
    check(pthread_join(t, NULL) == 0);
    thrum_conn_free(c);
    close(peer);
}

/* SIGPIPE stands at its default: it would end this program. */
static void test_no_sigpipe(void)
{
    int peer;
    thrum_conn *c = accepted(&peer, THRUM_SERVER(.attended = THRUM_OFF));
    close(peer);
    check(thrum_send(c, THRUM_TEXT, "x", 1) != THRUM_OK);
    (void)thrum_close(c, 1000, NULL);
    thrum_conn_free(c);
}

int main(void)
{
    thrum_server *server;
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    check(sigaction(SIGUSR1, &a, NULL) == 0);
    check_status(thrum_serve(&server, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo_serve), NULL),
                 THRUM_OK);
    test_flood(thrum_server_url(server));
    test_loops();
    test_interrupted();
    test_no_sigpipe();
    thrum_server_free(server);
    return 0;
}
