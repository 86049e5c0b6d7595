/* block.h: the blocking front. docs/internals/states.md has the roles as tables, tests/model/ as Promela.
 *
 * A connection has one reader role, held by a call that waits, by the warden, or by nobody. A call is a
 * user's thread inside the library: it enters (lock), works, waits only in call_wait (unlocked, in one poll),
 * leaves (unlock). */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include "base/heap.h"
#include "base/list.h"
#include "base/thread.h"
#include "conn/conn.h"

enum reader { READER_NOBODY, READER_CALLER, READER_WARDEN };

struct block {           /* all under c.lock, but for what is marked */
    struct thrum_conn c; /* first: a thrum_conn is cast to its block */
    struct list waiters; /* calls that are in their poll */
    enum reader reader;
    uint32_t cancels; /* how often thrum_cancel was called */
    bool dropped;     /* the last handle is gone */
    /* sending */
    bool turn;      /* a message is being sent; between the parts of one, too */
    bool part_busy; /* a call of thrum_send_part is inside */
    bool parts;     /* a message in parts is begun and not ended */
    pid_t parts_by; /* the thread that sent its last part */
    /* does the program keep coming back at once? (E13) */
    int64_t left_at;
    uint32_t prompt; /* how many calls came soon after the one before, see note_habit */
    bool fickle;     /* it once did not, after it had looked as if */
    /* the warden's */
    struct list mail;    /* under the warden's own lock */
    _Atomic bool mailed; /* written likewise */
    struct list watch;   /* the warden's thread only, as what follows */
    struct heap_node timer;
    bool registered;
};

static inline struct block *block_of(struct thrum_conn *c)
{
    return (struct block *)(void *)c;
}

/* ---- life.c ------------------------------------------------------------------------------------------- */
/* Sets the library up in this process (exit and fork handlers, the end-of-thread hook) and for this thread.
 */
thrum_status block_start(thrum_error *err);
/* A connection on a stream, before its handshake; takes stream and one reference of settings, also on
 * failure. */
struct block *block_new(struct stream *stream, struct shared_settings *settings, thrum_error *err);
/* [held] Wakes every waiter whose wait is over, one that may take a vacant reader role, one that should
 * write. */
void block_wake(struct block *b);
/* [held] Nobody is inside, and nothing more comes: gives the descriptor back, before the user frees the rest.
 */
void block_close_stream(struct block *b);
/* [held] -> unlocked. Destroys the block when nobody can reach it any more. */
void block_unlock(struct block *b);

/* ---- recv.c, send.c, close.c: a front's calls, see conn/front.h ------------------------------------------
 */
thrum_status block_receive(thrum_conn *c, thrum_message *m, thrum_wait t, bool parts);
thrum_status block_send(thrum_conn *c, thrum_kind kind, const thrum_slice *v, size_t n, thrum_switch compress,
                        enum front_part part);
thrum_status block_send_one(thrum_conn *c, thrum_kind kind, const void *p, size_t n);
thrum_status block_ping(thrum_conn *c, const void *p, size_t n, thrum_wait t);
thrum_status block_pong(thrum_conn *c, const void *p, size_t n);
thrum_status block_close(thrum_conn *c, uint16_t code, const char *why);
void block_cancel(thrum_conn *c);

/* ---- wait.c
 * ------------------------------------------------------------------------------------------------- */
enum want {
    WANT_MESSAGE = 1,
    WANT_PART = 2,
    WANT_PONG = 4,
    WANT_TURN = 8,
    WANT_WRITTEN = 16,
    WANT_OPEN = 32, /* or, of a server, a request to decide on */
    WANT_END = 64
};
struct call {
    struct block *b;
    struct thread *t;
    struct list link;                    /* in b->waiters while it polls */
    int64_t now;                         /* of the last look at the clock */
    unsigned want;                       /* one of enum want */
    uint64_t seq;                        /* of the pong wanted */
    uint32_t cancels;                    /* b->cancels on entry */
    bool reads;                          /* holds the reader role */
    bool woken;                          /* somebody has written to t's eventfd for this wait */
    int64_t until;                       /* what it sleeps until */
    short polls;                         /* what it polls the socket for */
    int old_state, old_type, wait_state; /* of cancellation: on entry; in waits */
    /* NULL, or run [held] when the thread is cancelled in its wait, so that turn and frames stay true */
    void (*abandon)(struct call *k);
};
/* OK: the connection is locked and the call counted. E_ARGUMENT, E_FORKED, E_MEMORY: nothing is. */
thrum_status call_enter(struct call *k, struct thrum_conn *c);
/* [held] -> unlocked. Gives the reader role on, tells the warden where nobody is left. */
void call_leave(struct call *k);
/* [held, but not while it waits] Waits until what is wanted is there: OK. E_TIMEOUT at `deadline` (it has
 * looked at the socket at least once), E_CANCELLED, E_INTERRUPTED, E_SYSTEM, E_MEMORY, or the status of the
 * connection's end. */
thrum_status call_wait(struct call *k, unsigned want, int64_t deadline);

/* ---- warden.c
 * ----------------------------------------------------------------------------------------------- */
/* [held] Nobody is inside this connection: let the warden look at it (start it, wake it) where that is due.
 */
void warden_notice(struct block *b);
/* A second connection has come: the first may have been left alone, see is_prompt. Not from under a lock. */
void warden_sweep(void);
/* [held] The descriptor is about to be closed. */
void warden_forget(struct block *b);
/* An application thread ends, or has turned to the background. Any thread. */
void warden_announce(void);
/* In a child of fork: there is no warden. */
void warden_forked(void);

#endif
