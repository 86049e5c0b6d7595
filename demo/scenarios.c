/* demo/scenarios.c: the eight programs of the story. Each one opens a connection, uses it, and ends without a
 * word to the library: no close, no free, unless that is the very scenario. What happens next is judged by
 * the parent. */
#include "story.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *base_url;
static const char *scenario_key;
static int report_to;

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void nap(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* The story cannot begin: 99 is no scenario's status, so that the table shows it. _exit: not the way out at
 * test. */
_Noreturn static void broken(const char *what, const char *why)
{
    fprintf(stderr, "story: %s: %s: %s\n", scenario_key, what, why);
    _exit(99);
}

static void leaving(void)
{
    const struct report r = {.way_out = now_ns(), .threads = thrum_library_threads()};
    if (write(report_to, &r, sizeof r) != (ssize_t)sizeof r)
        broken("report", "cannot write to the parent's pipe");
}

/* The server knows who speaks by the request target: /s/KEY, /deaf/KEY, /child/KEY. */
static thrum_conn *client(const char *room)
{
    char url[256];
    thrum_error e;
    thrum_conn *c = NULL;
    snprintf(url, sizeof url, "%s%s/%s", base_url, room, scenario_key);
    if (thrum_connect(&c, url, NULL, &e) != THRUM_OK)
        broken("connect", e.text);
    return c;
}

static void echo(thrum_conn *c)
{
    thrum_error e;
    thrum_message m;
    if (thrum_send(c, THRUM_TEXT, "hello", 5) == THRUM_OK && thrum_recv(c, &m, 5000) == THRUM_OK) {
        const bool same = m.len == 5 && memcmp(m.data, "hello", 5) == 0;
        thrum_message_release(&m);
        if (!same)
            broken("echo", "another text came back");
        return;
    }
    thrum_conn_error(c, &e);
    broken("echo", e.text);
}

static pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    if (pthread_create(&t, NULL, fn, arg) != 0)
        broken("thread", "the system refuses one");
    return t;
}

/* ---- main returns while a worker lives ------------------------------------------------------------------
 */
static pthread_barrier_t echoed;

/* The worker stays inside thrum_recv: nobody will ever send it another word. */
static void wait_for_ever(thrum_conn *c)
{
    thrum_message m;
    if (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK)
        thrum_message_release(&m);
}

static void *make_and_use(void *arg)
{
    thrum_conn *c = client("s");
    (void)arg;
    echo(c);
    pthread_barrier_wait(&echoed);
    wait_for_ever(c);
    return NULL;
}

static void *use(void *arg)
{
    echo(arg);
    pthread_barrier_wait(&echoed);
    wait_for_ever(arg);
    return NULL;
}

static int made_in_worker(void)
{
    pthread_barrier_init(&echoed, NULL, 2);
    start(make_and_use, NULL);
    pthread_barrier_wait(&echoed);
    leaving();
    return 0;
}

static int handed_to_worker(void)
{
    pthread_barrier_init(&echoed, NULL, 2);
    start(use, client("s"));
    pthread_barrier_wait(&echoed);
    leaving();
    return 0;
}

/* ---- main leaves by pthread_exit ------------------------------------------------------------------------
 */
static void *end_later(void *arg)
{
    echo(arg);
    nap(150); /* main is long gone */
    echo(arg);
    leaving();
    return NULL;
}

static int main_exits_first(void)
{
    start(end_later, client("s"));
    pthread_exit(NULL);
}

static void *stay_in_background(void *arg)
{
    if (thrum_thread_background(true) != THRUM_OK)
        broken("background", "refused");
    return use(arg);
}

static int background_worker(void)
{
    pthread_barrier_init(&echoed, NULL, 2);
    start(stay_in_background, client("s"));
    pthread_barrier_wait(&echoed);
    leaving();
    pthread_exit(NULL);
}

/* ---- the polite one -------------------------------------------------------------------------------------
 */
static int closes(void)
{
    thrum_conn *c = client("s");
    echo(c);
    if (thrum_close(c, 1000, "done") != THRUM_OK)
        broken("close", "it was not clean");
    leaving();
    return 0;
}

/* ---- exit under another thread's feet -------------------------------------------------------------------
 */
static int exit_in_recv(void)
{
    pthread_barrier_init(&echoed, NULL, 2);
    start(use, client("s"));
    pthread_barrier_wait(&echoed);
    nap(50); /* time enough to fall asleep in recv */
    leaving();
    exit(3);
}

static int sent;

static void *send_for_ever(void *arg)
{
    static char page[4096];
    for (size_t i = 0, x = 1; i < sizeof page;
         i++) { /* noise: compressed, zeros would take long to fill a socket */
        x = x * 1103515245u + 12345u;
        page[i] = (char)(x >> 16);
    }
    while (thrum_send(arg, THRUM_BINARY, page, sizeof page) == THRUM_OK)
        __atomic_add_fetch(&sent, 1, __ATOMIC_RELAXED);
    return NULL;
}

static int exit_in_send(void)
{
    start(send_for_ever, client("deaf"));
    /* Blocked is: some messages went out, and for a while now none. */
    for (int before = -1, now = 0; now == 0 || now != before;) {
        before = now;
        nap(100);
        now = __atomic_load_n(&sent, __ATOMIC_RELAXED);
    }
    leaving();
    exit(4);
}

/* ---- fork -----------------------------------------------------------------------------------------------
 */
_Noreturn static void forked_child(thrum_conn *inherited)
{
    if (thrum_send(inherited, THRUM_TEXT, "mine?", 5) != THRUM_E_FORKED)
        broken("fork", "the child could use its parent's connection");
    echo(client("child"));
    exit(5);
}

static int forks(void)
{
    int status = 0;
    thrum_conn *c = client("s");
    echo(c);
    nap(100); /* the library's thread has the connection by now: what it holds must not follow into the child
               */
    const pid_t pid = fork();
    if (pid == 0)
        forked_child(c);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 5)
        broken("fork", "the child did not end as it should");
    echo(c);
    leaving();
    return 0;
}

const struct scenario scenarios[SCENARIOS] = {
    {"client made inside a worker thread", "worker", 0, 1001, false, false, made_in_worker},
    {"client made in main, handed to a worker", "handed", 0, 1001, false, false, handed_to_worker},
    {"pthread_exit from main, worker ends later", "pthread-exit", 0, 1001, false, false, main_exits_first},
    {"pthread_exit from main, background worker", "background", 0, 1001, false, false, background_worker},
    {"explicit close", "close", 0, 1000, false, false, closes},
    {"exit(3), another thread blocked in recv", "in-recv", 3, 1001, false, false, exit_in_recv},
    {"exit(4), another thread blocked in send", "in-send", 4, 1001, true, false, exit_in_send},
    {"fork, each process with its own client", "fork", 0, 1001, false, true, forks},
};

int play_scenario(const char *key, const char *url, int report_fd)
{
    base_url = url;
    scenario_key = key;
    report_to = report_fd;
    for (size_t i = 0; i < SCENARIOS; i++)
        if (strcmp(scenarios[i].key, key) == 0)
            return scenarios[i].play();
    broken("argument", "no such scenario");
}
