/* wake_int.h: ends a wait from any thread or signal handler; many calls cost one write. */
#ifndef LOOP_WAKE_INT_H
#define LOOP_WAKE_INT_H

#include <stdatomic.h>
#include <stdbool.h>

struct wake {
    int fd;             /* an eventfd, to be polled for reading */
    atomic_int pending; /* a wake was asked for and not yet taken */
};

int wake_open(struct wake *w); /* 0 or an errno */
void wake_close(struct wake *w);
void wake_up(struct wake *w);    /* async-signal-safe; keeps errno */
void wake_nudge(struct wake *w); /* makes the descriptor readable without asking for a wake */
/* Called by the waiter when the descriptor is readable. Was a wake asked for? */
bool wake_take(struct wake *w);

#endif
