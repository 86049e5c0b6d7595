/* fork.h: one place for pthread_atfork. */
#ifndef BASE_FORK_H
#define BASE_FORK_H

#include <stdatomic.h>
#include <stdint.h>

extern _Atomic uint32_t fork_generation; /* grows by one in each child */

/* Registers the three handlers, once per process (further calls do nothing); 0 or an errno. Order as in
 * pthread_atfork. The generation has grown before child() runs. The caller sees to it that one thread calls
 * at a time, by pthread_once: a lock of our own could be held at a fork, and nobody in the child would open
 * it. */
int fork_watch(void (*prepare)(void), void (*parent)(void), void (*child)(void));

#endif
