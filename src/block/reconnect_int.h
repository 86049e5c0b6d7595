/* reconnect_int.h: a client that connects again, as its two halves see it: the calls (reconnect.c), and the
 * thread of the library that lives while there is no connection (reconnect_run.c).
 *
 *   IDLE --first call--> CONNECTING <--> WAITING       the thread's
 *   CONNECTING --connected, greeted, outbox empty--> OPEN    the thread ends
 *   OPEN --a call finds the connection ended--> WAITING      a new thread
 *   any --close, or a final failure--> CLOSED */
#ifndef BLOCK_RECONNECT_INT_H
#define BLOCK_RECONNECT_INT_H

#include "block/backoff.h"
#include "block/connect.h"
#include "block/unsent.h"
#include <thrum/reconnect.h>

struct thrum_reconnect {
    struct lock lock;
    uint32_t generation; /* of fork, at birth */
    char *url;
    struct shared_settings *settings;
    thrum_reconnect_options o;  /* spans in milliseconds, -1 for never */
    struct connect_token token; /* rung once, by close */
    int news;                   /* eventfd, readable while the phase is OPEN or CLOSED */
    /* under lock: */
    size_t refs;          /* the user's handle, the thread, each call inside */
    size_t told;          /* callbacks that run, or are about to: free waits for them */
    struct thread *freer; /* who waits for that; NULL nobody */
    bool mute;            /* freed: no callback begins any more */
    thrum_phase phase;
    thrum_status end;   /* of CLOSED: what calls answer */
    bool running;       /* the thread */
    bool again;         /* its first connect is not the very first: wait before it */
    bool lost;          /* a connection ended, by `error`: is that final? */
    thrum_conn *conn;   /* OPEN: a handle */
    thrum_conn *last;   /* the one before, which ended: messages that it had received may be left to take */
    thrum_conn *handed; /* being greeted: the thread's handle */
    thrum_error error;  /* the last failure */
    struct backoff backoff;
    int64_t opened_at, alone_since; /* clock */
    int64_t retry_after;            /* ms, of the last failure; 0 none */
    uint64_t failures;              /* in a row */
    struct unsent unsent;
    uint64_t attempts, connections, dropped_messages, dropped_bytes;
};

/* ---- reconnect.c ---- */
void reconnect_unref(struct thrum_reconnect *r);
/* Not OPEN, not CLOSED any more, or one of these. [held] */
void reconnect_set_phase(struct thrum_reconnect *r, thrum_phase p);
/* CLOSED, with what calls answer from here on; the outbox is dropped. False: it was already. The caller
 * closes *left (may be NULL), a handle. */
bool reconnect_end(struct thrum_reconnect *r, thrum_status end, const thrum_error *why, thrum_conn **left);
void reconnect_tell(struct thrum_reconnect *r, thrum_phase p, const thrum_error *why, int64_t wait);
/* A message out of the outbox that nobody will get. */
void reconnect_drop(struct thrum_reconnect *r, struct letter *l);
/* Every callback stands between these two. False: it is not to run. */
struct telling {
    struct telling *up; /* the callback of this thread that it runs in */
    const struct thrum_reconnect *r;
    int cancel;
};
bool reconnect_may_tell(struct telling *k, struct thrum_reconnect *r);
void reconnect_have_told(struct telling *k, struct thrum_reconnect *r);

/* ---- reconnect_run.c ---- */
void reconnect_main(void *r); /* the thread; takes a reference */

#endif
