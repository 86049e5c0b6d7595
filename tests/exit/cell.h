/* cell.h: what the programs of the exit matrix share: cell.c, loop_cell.c. */
#ifndef TESTS_EXIT_CELL_H
#define TESTS_EXIT_CELL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <thrum/stats.h>
#include <thrum/thrum.h>
#include <time.h>
#include <unistd.h>
#include "../lib/rest.h"

static volatile sig_atomic_t in_child;
static const char *role, *maker, *user, *state, *way, *url;
static int report;

static inline int is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* In a handshake that is never answered, or on the way to one. */
static inline int is_connecting(void)
{
    return is(state, "connecting") || is(state, "asking") || is(state, "dialing") || is(state, "resolving");
}

#if defined(__SANITIZE_ADDRESS__)
/* What OpenSSL keeps for a thread that ends after OpenSSL's exit handler, or is its parent's in a child of
 * fork, is freed by nobody, in every program. tests/net and tests/block look for leaks of TLS. */
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
/* Nor does a child free what was on the stack of a thread that it does not have, or that is its own by
 * another number; nor anybody what was on one that has left a callback by pthread_exit. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return (in_child && (is_connecting() || strncmp(state, "in-", 3) == 0)) ||
           is(way, "callback-pthread_exit");
}
enum { SETTLE_MS = 300 };
#else
enum { SETTLE_MS = 30 };
#endif

_Noreturn static inline void broken(const char *what)
{
    fprintf(stderr, "cell: %s\n", what);
    _exit(99);
}

static inline void nap(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static inline void tell(const char *line, int n)
{
    if (write(report, line, (size_t)n) != n)
        broken("report");
}

static inline void tell_url(const char *text)
{
    char line[160];
    tell(line, snprintf(line, sizeof line, "url %s\n", text));
}

/* Here and only here: everything stands, and the next thing is the way out. */
static inline void ready(void)
{
    char line[80];
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    tell(line, snprintf(line, sizeof line, "ready %d %lld\n", thrum_library_threads(),
                        (long long)t.tv_sec * 1000000000 + t.tv_nsec));
}

static inline pthread_t begin(void *(*fn)(void *))
{
    pthread_t t;
    if (pthread_create(&t, NULL, fn, NULL) != 0)
        broken("thread");
    return t;
}

static inline void await_child(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        broken("the child did not end well");
}

static const char page[1 << 16]; /* zeros: what else stands in a frame is no payload */

static inline int read_arguments(int argc, char **argv)
{
    if (argc != 8)
        return 0;
    role = argv[1];
    maker = argv[2];
    user = argv[3];
    state = argv[4];
    way = argv[5];
    url = argv[6];
    report = atoi(argv[7]);
    return 1;
}

#endif
