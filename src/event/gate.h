/* gate.h: who may touch what a loop has. Its own thread, while `place` says IN; and, once the program ends,
 * the thread that ends it, as soon as it has seen the gate shut and `place` OUT: from then on the loop's
 * thread stays outside.
 *
 * The loop's thread passes the gate four times for each message, so it may not cost a locked instruction. It
 * writes `place` and reads `exit_begun`; the other side writes exit_begun and reads `place`: one of the two
 * must see the other. The barrier between write and read that this takes is made on the rare side for both,
 * by membarrier(2); where that is not to be had, gate_strict has the loop make its own. */
#ifndef EVENT_GATE_H
#define EVENT_GATE_H

#include "base/exit.h"
#include "event/event.h"

enum { GATE_OUT, GATE_IN };

#if defined(__SANITIZE_THREAD__)
#    define GATE_PLAIN 0
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define GATE_PLAIN 0
#    endif
#endif
#ifndef GATE_PLAIN
#    define GATE_PLAIN 1
#endif

extern _Atomic bool gate_strict;
void gate_open(void);                     /* once per process: finds out which */
void gate_barrier(void);                  /* the rare side's */
void gate_i_end_the_program(void);        /* the calling thread passes: the exit hook is running on it */
void gate_stay_out(struct thrum_loop *l); /* does not return but on that thread */

static inline void gate_in(struct thrum_loop *l)
{
    if (!GATE_PLAIN || atomic_load_explicit(&gate_strict, memory_order_relaxed)) {
        atomic_store(&l->place, GATE_IN);
    } else {
        atomic_store_explicit(&l->place, GATE_IN, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
    }
    if (__builtin_expect(atomic_load(&exit_begun), 0))
        gate_stay_out(l);
}

static inline void gate_out(struct thrum_loop *l)
{
    atomic_store_explicit(&l->place, GATE_OUT, memory_order_release);
}

#endif
