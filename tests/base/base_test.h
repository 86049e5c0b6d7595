/* base_test.h: what the tests of base share: checks in a child process, and a memory hook that counts and
 * refuses. */
#ifndef TESTS_BASE_BASE_TEST_H
#define TESTS_BASE_BASE_TEST_H

#include "base/mem.h"
/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a function of a child: says where, and ends the child with 1 (any thread). */
#define CHILD_CHECK(x)                                                                                       \
    do {                                                                                                     \
        if (!(x)) {                                                                                          \
            fprintf(stderr, "%s:%d: in the child: %s\n", __FILE__, __LINE__, #x);                            \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

/* Runs fn in a child; its exit status, or 256 + the signal that ended it. A child that hangs ends by SIGALRM.
 */
static inline int in_child(void (*fn)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(40);
        fn();
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* ---- memory
 * ------------------------------------------------------------------------------------------------ */

struct counter {
    _Atomic long live, asked;
    _Atomic long refuse_from; /* the how manieth request from now on is refused, and all later; -1 none */
};
static struct counter counter = {.refuse_from = -1};

static inline bool counter_refuses(struct counter *c)
{
    long n = atomic_load(&c->refuse_from);
    atomic_fetch_add(&c->asked, 1);
    if (n == 0)
        return true;
    if (n > 0)
        atomic_store(&c->refuse_from, n - 1);
    return false;
}

static inline void *counter_alloc(void *ctx, size_t n)
{
    struct counter *c = ctx;
    void *p = counter_refuses(c) ? NULL : malloc(n);
    atomic_fetch_add(&c->live, p != NULL);
    return p;
}

static inline void *counter_resize(void *ctx, void *p, size_t n)
{
    return counter_refuses(ctx) ? NULL : realloc(p, n);
}

static inline void counter_release(void *ctx, void *p)
{
    struct counter *c = ctx;
    atomic_fetch_sub(&c->live, 1);
    free(p);
}

static inline void counter_on(void)
{
    static const struct mem_hook hook = {&counter, counter_alloc, counter_resize, counter_release};
    mem_force_hook(&hook);
}

#endif
