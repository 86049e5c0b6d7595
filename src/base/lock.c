/* lock.c: thin over pthread mutexes. A mutex of the default kind answers no error that a correct program can
 * meet, so an error here is a mistake of ours and asserted away. */
#include "base/lock.h"
#include "base/clock.h"
#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

/* Who holds it is known in debug builds only. Relaxed is enough: a thread asks only about itself. */
#ifndef NDEBUG
static uintptr_t myself(void)
{
    return (uintptr_t)pthread_self();
}

static void note(struct lock *l, uintptr_t holder)
{
    atomic_store_explicit(&l->holder, holder, memory_order_relaxed);
}

void lock_assert_held(const struct lock *l)
{
    assert(atomic_load_explicit(&l->holder, memory_order_relaxed) == myself());
}
#else
#    define note(l, holder) ((void)(l))
#endif

int lock_init(struct lock *l)
{
    note(l, 0);
    return pthread_mutex_init(&l->m, NULL);
}

void lock_destroy(struct lock *l)
{
    int e = pthread_mutex_destroy(&l->m);
    assert(e == 0);
    (void)e;
}

void lock_take(struct lock *l)
{
    int e = pthread_mutex_lock(&l->m);
    assert(e == 0);
    (void)e;
    note(l, myself());
}

void lock_give(struct lock *l)
{
    lock_assert_held(l);
    note(l, 0);
    int e = pthread_mutex_unlock(&l->m);
    assert(e == 0);
    (void)e;
}

bool lock_try(struct lock *l)
{
    if (pthread_mutex_trylock(&l->m) != 0)
        return false;
    note(l, myself());
    return true;
}

bool lock_try_until(struct lock *l, int64_t deadline)
{
    enum { YIELDS = 16 };
    /* A lock is held for computing only, so that it is mostly free after a yield; a sleep is for a holder
     * that was put off the processor. pthread_mutex_clocklock is not asked: not every C library has it. */
    for (int i = 0; !lock_try(l); i++) {
        if (clock_now() >= deadline)
            return false;
        if (i < YIELDS)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return true;
}

bool lock_is_free(struct lock *l)
{
    bool is_free = lock_try(l);
    if (is_free)
        lock_give(l);
    return is_free;
}

void lock_reset(struct lock *l)
{
    /* Its holder may be a thread that the child does not have: nobody could ever unlock it, so it is made
     * anew. */
    (void)lock_init(l);
}
