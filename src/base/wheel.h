/* wheel.h: a hierarchical timing wheel, intrusive: setting, moving and cancelling cost the same for one timer
 * as for a million, and need no memory. Time is whatever clock_now() of the caller says. A timer comes up to
 * WHEEL_TICK late and never early; times from WHEEL_NEVER on (146 years after the clock began) never come. */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_TICK  (INT64_C(1) << 20) /* nanoseconds: 1.05 ms */
#define WHEEL_NEVER ((INT64_C(1) << 62) - WHEEL_TICK)

enum { WHEEL_LEVELS = 7, WHEEL_SLOTS = 64 };

struct wheel_node { /* all zero: in no wheel */
    struct list link;
    int64_t at; /* as it was set; holds while the node is in a wheel and when it has been popped */
};
struct wheel {
    uint64_t tick; /* up to here (included) slots have been emptied */
    uint64_t run;  /* the tick of the pops that are going on */
    bool running;
    uint64_t used[WHEEL_LEVELS + 1]; /* a bit for each list that is not empty */
    struct list lists[WHEEL_LEVELS * WHEEL_SLOTS + 2];
};

void wheel_init(struct wheel *w, int64_t now);
/* Puts the node in, or moves it. WHEEL_NEVER or later: takes it out. What is past comes with the next pop. */
void wheel_set(struct wheel *w, struct wheel_node *n, int64_t at);
void wheel_cancel(struct wheel *w, struct wheel_node *n); /* fine for one that is in no wheel */
static inline bool wheel_has(const struct wheel_node *n)
{
    return n->link.next != NULL;
}
/* Takes out one node that is due, by order of ticks, or answers NULL. Between two pops any node may be set,
 * cancelled or, once it is out, freed. A run, which is the pops up to the NULL, ends whatever is set
 * meanwhile: its time is the first pop's `now`, and a node that is set to a time before that waits for the
 * next run. */
struct wheel_node *wheel_pop(struct wheel *w, int64_t now);
/* When to pop next: not after the first node is due, and at most WHEEL_LEVELS - 1 times on the way to it
 * before. In the past: at once. INT64_MAX: the wheel is empty. */
int64_t wheel_next(const struct wheel *w);

#endif
