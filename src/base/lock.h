/* lock.h: a mutex that knows its holder. Rule of the house: no wait while one is held (a poll, a sleep, a
 * callback of the user's). Order: registry before connection, never the other way. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
    pthread_mutex_t m;
#ifndef NDEBUG
    _Atomic(uintptr_t) holder;
#endif
};
#define LOCK_INIT                                                                                            \
    {                                                                                                        \
        .m = PTHREAD_MUTEX_INITIALIZER                                                                       \
    }

int lock_init(struct lock *l); /* 0 or an errno */
void lock_destroy(struct lock *l);
void lock_take(struct lock *l);
void lock_give(struct lock *l);
bool lock_try(struct lock *l);
/* Tries until the time `deadline` (clock_now), yielding between; for exit and fork, which must not hang. */
bool lock_try_until(struct lock *l, int64_t deadline);
/* In a child of fork: does nobody hold it? Else what it guards was being changed by a thread that this
 * process does not have, and is best left alone. */
bool lock_is_free(struct lock *l);
/* In a child of fork: free again, whoever held it. */
void lock_reset(struct lock *l);
#ifndef NDEBUG
void lock_assert_held(const struct lock *l);
#else
#    define lock_assert_held(l) ((void)(l))
#endif

#endif
