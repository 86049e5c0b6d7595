/* fork.c: POSIX has no way to take atfork handlers back, so there is one set of them for the whole library,
 * and a number by which objects know that they were made in another process. */
#include "base/fork.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

_Atomic uint32_t fork_generation;

static struct {
    pthread_mutex_t lock;
    bool done;
    void (*_Atomic prepare)(void), (*_Atomic parent)(void),
        (*_Atomic child)(void); /* read by any thread that forks */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

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
    void (*fn)(void) = atomic_load(&watch.child);
    if (fn)
        fn();
}

int fork_watch(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int e = 0;
    pthread_mutex_lock(&watch.lock);
    if (!watch.done) {
        watch.prepare = prepare;
        watch.parent = parent;
        watch.child = child;
        e = pthread_atfork(before, after_in_parent, after_in_child);
        watch.done = e == 0;
    }
    pthread_mutex_unlock(&watch.lock);
    return e;
}
