/* fork.c: POSIX has no way to take atfork handlers back, so there is one set of them for the whole library,
 * and a number by which objects know that they were made in another process. */
#include "base/fork.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

_Atomic uint32_t fork_generation;

static struct {
    _Atomic bool done;
    void (*_Atomic prepare)(void), (*_Atomic parent)(void),
        (*_Atomic child)(void); /* read by any thread that forks */
} watch;

static void before(void)
{
    void (*fn)(void) = atomic_load(&watch.prepare);
    if (fn)
        fn();
}

static void after_in_parent(void)
{
    void (*fn)(void) = atomic_load(&watch.parent);
    if (fn)
        fn();
}

static void after_in_child(void)
{
    atomic_fetch_add(&fork_generation, 1);
    watch.done = true; /* a fork in the midst of fork_watch: the child will call it again */
    void (*fn)(void) = atomic_load(&watch.child);
    if (fn)
        fn();
}

int fork_watch(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (watch.done)
        return 0;
    watch.prepare = prepare;
    watch.parent = parent;
    watch.child = child;
    int e = pthread_atfork(before, after_in_parent, after_in_child);
    if (e == 0)
        watch.done = true;
    return e;
}
