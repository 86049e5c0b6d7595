/* listener.h: a listener and its homes: one for each loop that serves it. */
#ifndef EVENT_LISTENER_H
#define EVENT_LISTENER_H

#include "event/event.h"
#include "event/route.h"
#include "net/listen.h"

struct thrum_listener {
    struct lock lock;
    uint32_t generation;
    size_t refs; /* the user's handle, each home, each call that waits; under lock, as what follows */
    size_t nhomes;
    struct home **homes; /* NULL in place of one that has ended */
    size_t left;         /* homes that have not ended, or been drained */
    bool owns_loops, draining, told;
    uint16_t code;
    int64_t deadline;
    void (*on_drained)(struct thrum_listener *s, void *arg);
    void *arg;
    /* what does not change */
    struct shared_settings *settings;
    struct way *ways; /* of each route; or one for all */
    size_t nways;
    struct routes *routes; /* NULL: one way for all */
    struct thrum_loop **loops;
    uint16_t port;
    char url[256];
    _Atomic(size_t) conns; /* on all loops, shaking hands included */
    _Atomic(size_t) threads;
    _Atomic bool handed_over; /* its sockets, to somebody who goes on with them */
    int done;                 /* eventfd, never emptied: drained, or freed */
    int gone;                 /* eventfd: a thread of its own has ended */
};

struct home_accept {
    struct home *home;
    struct listener net;
    struct later pause; /* after accepting failed for want of a descriptor or memory; or before it ends */
    bool paused;
};

void accept_begin(struct home *h); /* h->accept->net is open */
bool accept_stop(struct home *h);
void accept_end(struct home *h);
void accept_event(struct home_accept *a, const struct poller_event *e);

void listener_unref(struct thrum_listener *s);
/* In a child of fork: closes the child's copies of its sockets, so that they do not keep the port. */
void end_free_inherited_listener(struct thrum_listener *s);
/* [under the listener's lock] A letter to it, which unrefs it when it is opened. */
thrum_status home_post(struct home *h, struct letter *x);
/* [loop] Draining: it accepts no more, as soon as the poller has handed over whom it has. */
void home_stop(struct home *h);
/* [loop] All that is left of it on this loop ends now. */
void home_end(struct home *h);
void home_conn_gone(struct home *h); /* may have been the last that a drain waits for */
void home_opened(struct lconn *c);   /* on_open has run; while it drains, that is the end */

#endif
