/* gate.h: who may touch what a loop has. Its own thread, while `place` says IN; and, once the program ends,
 * the thread that ends it, as soon as it has shut the gate and seen `place` OUT: until it is done the loop's
 * thread stays outside. Then that may go on, as a handler of the program's may be waiting for it to end, but
 * a loop does nothing any more and calls nobody. tests/model/gate.pml is this.
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
void gate_open(void);    /* once per process: finds out which */
void gate_barrier(void); /* the rare side's */
void gate_stay_out(
    struct thrum_loop *l); /* until the thread that ends the program is done; not on that one */

static inline void gate_in(struct thrum_loop *l)
{
    if (!GATE_PLAIN || __builtin_expect(atomic_load_explicit(&gate_strict, memory_order_relaxed), 0)) {
        atomic_store(&l->place, GATE_IN);
    } else {
        atomic_store_explicit(&l->place, GATE_IN, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
    }
    if (__builtin_expect(atomic_load(&exit_begun), 0))
        gate_stay_out(l);
}

/* May a turn go on, to touch what the loop has and call what the user has? Not once another thread ends the
 * program, nor in a child of fork. */
static inline bool gate_goes_on(const struct thrum_loop *l)
{
    return loop_mine(l) == THRUM_OK &&
           (__builtin_expect(!atomic_load_explicit(&exit_begun, memory_order_relaxed), 1) || exit_is_here());
}

static inline void gate_out(struct thrum_loop *l)
{
    atomic_store_explicit(&l->place, GATE_OUT, memory_order_release);
}

#endif
