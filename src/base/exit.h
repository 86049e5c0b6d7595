/* exit.h: one place for atexit and at_quick_exit. */
#ifndef BASE_EXIT_H
#define BASE_EXIT_H

#include <stdatomic.h>
#include <stdbool.h>

extern _Atomic bool exit_begun; /* set before the hook runs; from then on nothing new is started */
extern _Atomic bool exit_over;  /* set when it has run; handlers of the program's own may still be to run */
bool exit_is_here(void);        /* the calling thread is the one that ends the program */

/* Registers fn for exit and quick_exit, once per process, and pins the object that holds this code in memory,
 * so that dlclose cannot unmap code that threads are running (contract E9: it stays mapped). 0 or an errno.
 * One thread at a time may call, as with fork_watch. */
int exit_watch(void (*fn)(void));
/* Some other library has just registered a handler of its own that ours must run before: the
 * last one registered runs first. Any thread, before or after exit_watch. 0 or an errno. */
int exit_watch_again(void);

#endif
