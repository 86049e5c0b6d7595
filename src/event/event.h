/* event.h: the event front. A loop is one thread's: it waits for many descriptors, and what is ready it
 * serves by callbacks of the user's. A connection of a loop's (struct lconn) is small, since most of them are
 * at rest most of the time: its proto is there only while it needs one (proto/park.h), its output has memory
 * only between a send and the end of the turn.
 *
 * No lock is taken on the way of a message. What other threads want of a loop comes by its letter box
 * (post.c); what the end of the program wants of it goes through a gate (gate.h). */
#ifndef EVENT_EVENT_H
#define EVENT_EVENT_H

#include "base/fork.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/wheel.h"
#include "conn/conn.h"
#include "conn/front.h"
#include "event/topic.h"
#include "loop/poller.h"
#include "proto/park.h"
#include <pthread.h>
#include <thrum/loop.h>

enum {
    LOOP_EVENTS = 256,         /* taken from the poller at once */
    LOOP_HOT = 512 * 1024,     /* bytes of the buffer that all reads go to: one that stays in the cache */
    CHUNK_ROOM = 16 * 1024,    /* of the output of one connection that is written together */
    CHUNKS_MAX = 64,           /* connections that may wait for the end of the turn with output */
    QUICK_COPY_MAX = 8 * 1024, /* a payload over this is not copied, but written from where it is */
    LOOP_NAMES_MAX = 256
};

struct lconn;

/* Something with a time that is not a connection. */
struct later {
    struct wheel_node timer;
    void (*fn)(struct later *l);
};

/* Output of a connection, before all that its proto has. */
struct chunk {
    struct chunk *next; /* in the loop's stock */
    size_t n;
    uint8_t b[CHUNK_ROOM];
};

/* Memory of a large message that was handed out. */
struct spare {
    uint8_t *p;
    size_t n;
};
enum { SPARES_MAX = 16, SPARE_LEAST = 128 * 1024, SPARE_BYTES_MAX = 16 * 1024 * 1024 };

struct thrum_loop {
    struct list link; /* of all loops, see end.c */
    uint32_t generation;
    bool listeners_own; /* made by thrum_serve_loops; any thread may ask */
    _Atomic int place;  /* gate.h */
    _Atomic(pthread_t) owner;
    int cancel; /* how the driving thread had it */
    bool running, turning;
    _Atomic bool stop;
    int64_t now;
    struct poller *poller;
    bool reads_itself;  /* the poller does */
    bool foreign;       /* its descriptor has been asked for */
    bool more;          /* behind the message that is shown its read has at least as much again */
    bool held;          /* for that the kernel holds back the end of what was answered */
    uint8_t *hot_block; /* the memory that hot lies in, */
    uint8_t *hot;       /* ... from a cache line on: so the kernel copies faster */
    struct wheel conns, others;
    struct lconn **slots; /* by the low bits of their ids; NULL: free */
    uint32_t nslots, free_slot, nconns;
    size_t others_alive;              /* listeners, openings and timers of the user's */
    struct lconn *dirty, **dirty_end; /* to be looked at before the turn ends, in order */
    struct lconn *graves;             /* ended; freed when no event can name them any more */
    struct chunk *stock;
    unsigned nstock, nout;   /* chunks in stock, in use */
    unsigned sends_together; /* outputs that leave together, see loop.c */
    struct spare spares[SPARES_MAX];
    unsigned nspares;
    size_t spare_bytes;
    int64_t spare_used;
    struct later spares_idle;
    struct lock box_lock;
    struct list box;   /* letters */
    _Atomic bool mail; /* it is not empty */
    bool box_shut;     /* like box under box_lock */
    bool ending;       /* what was posted finds no connection any more */
    bool told;         /* its peers, that the program ends */
    thrum_id timer_ids;
    struct list timers;         /* thrum_loop_after */
    struct list jobs;           /* of open.c */
    struct list listeners;      /* struct home */
    struct home *homes_over;    /* those that end with the turn, as an event of it may name them */
    struct lconn *opening;      /* whose request is decided, or whose on_open runs, */
    const thrum_request *asked; /* ... the request, */
    char *params;               /* ... and what the path's parameters stand for; NULL: none */
    char text[LOOP_NAMES_MAX];  /* of lconn_peer */
};

/* What all connections have in common that came the same way: of a listener on one loop, or of one
 * thrum_open. */
struct way {
    thrum_handlers on;
    int (*on_request)(const thrum_request *r, thrum_reply *a, void *arg);
    void *arg;
    bool sockets; /* it has handlers: WebSockets may come */
};
struct home {
    struct origin origin; /* first: of all its connections */
    struct list link;     /* in loop->listeners */
    struct thrum_loop *loop;
    struct thrum_listener *listener; /* NULL: a client's */
    struct shared_settings *settings;
    struct way *ways;               /* of the listener, or own */
    _Atomic(size_t) refs;           /* connections, letters under way, and whoever made it */
    struct home *next_over;         /* see home_end */
    _Atomic(size_t) open;           /* connections that are */
    size_t conns;                   /* all, shaking hands included */
    struct home_topics *topics;     /* NULL: a client's */
    struct home_accept *accept;     /* NULL once it accepts no more */
    struct home_accept *was_accept; /* then */
    bool is_roomy; /* send_high is over what a chunk holds, so that one chunk never crosses it */
    bool draining, drained, over;
    struct later deadline; /* of draining */
};

struct lconn {
    union { /* first: see conn/front.h */
        const struct origin *origin;
        struct home *home;
    };
    thrum_proto *proto;    /* NULL: at rest, and open */
    struct stream *stream; /* NULL: the socket itself */
    struct chunk *out;     /* goes before what the proto has */
    struct names *names;   /* NULL: as usual */
    struct subscriber topics;
    void *user;
    struct lconn *next; /* in the loop's dirty list, or among its graves */
    thrum_id id;
    struct wheel_node timer;
    struct parked parked; /* while proto is NULL */
    int fd;
    uint16_t way;
    uint8_t armed; /* what the poller knows: POLLER_IN, POLLER_OUT */
    bool opened : 1, dirty : 1, shut_out : 1, peer_later : 1;
    bool busy : 1;       /* it is in the midst of being read: what it sends waits for the end of that */
    bool again : 1;      /* something has come up while it was served */
    bool bulky : 1;      /* its last message was large: the next may be, too */
    bool connecting : 1; /* a client's, whose socket is not connected yet */
    union {
        struct {
            bool is_client : 1, ended : 1, is_dead : 1, in_ended : 1;
            bool paused : 1;  /* by the user */
            bool holding : 1; /* by when_full */
            bool owes_drain : 1;
            bool deaf : 1;          /* the user has closed: no more messages */
            bool broken : 1;        /* writing has failed; what can be read is still to be read */
            bool rereads : 1;       /* its stream may hold more than was read */
            bool out_of_memory : 1; /* for a proto: it cannot go on */
            bool unread : 1;        /* what the poller has told of has not been read: it is to tell again */
            bool fading : 1;        /* broken, and what the poller has read of it is still to come */
        };
        uint16_t unusual; /* any of these */
    };
};

static inline const struct settings *lconn_settings(const struct lconn *c)
{
    return &c->home->settings->s;
}

static inline const struct way *lconn_way(const struct lconn *c)
{
    return &c->home->ways[c->way];
}

/* Open, at rest, and nothing is out of the ordinary: what is true of most connections for most of their
 * messages, and lets these go a short way. */
static inline bool lconn_is_plain(const struct lconn *c)
{
    return !c->proto && !c->stream && !c->parked.deflate && c->armed == POLLER_IN && c->unusual == 0;
}

/* E_ARGUMENT, E_FORKED, or OK. */
static inline thrum_status loop_mine(const struct thrum_loop *l)
{
    if (!l)
        return THRUM_E_ARGUMENT;
    return l->generation == atomic_load_explicit(&fork_generation, memory_order_relaxed) ? THRUM_OK
                                                                                         : THRUM_E_FORKED;
}

/* Is the calling thread its? */
static inline bool loop_is_here(const struct thrum_loop *l)
{
    return atomic_load_explicit(&l->owner, memory_order_relaxed) == pthread_self();
}

/* ---- loop.c
 * -------------------------------------------------------------------------------------------------- */
/* What stands behind each call from outside a turn: output leaves, a foreign loop's alarm is set. */
void loop_after_call(struct thrum_loop *l);
thrum_status loop_make(struct thrum_loop **out, bool of_listener, thrum_error *err);
void loop_drive(struct thrum_loop *l); /* a listener's thread: until it is stopped */
void loop_free_parts(struct thrum_loop *l);
void loop_destroy(struct thrum_loop *l); /* goodbyes, on_close, and free; on its own thread */
/* For places in poller_event.data. */
enum source { SOURCE_CONN, SOURCE_ACCEPT, SOURCE_OPENING };
void *source_of(const void *p, enum source s);

/* ---- post.c
 * -------------------------------------------------------------------------------------------------- */
struct letter {
    struct list link;
    /* Frees it. l NULL: it is the parent's, and this a child of fork: nothing else is to be done. */
    void (*open)(struct thrum_loop *l, struct letter *x);
};
/* Any thread. Takes the letter if it answers OK. */
thrum_status post_letter(struct thrum_loop *l, struct letter *x);
void post_deliver(struct thrum_loop *l);
void post_turn_over(struct thrum_loop *l);
bool post_is_empty(const struct thrum_loop *l);
void post_return_all(struct thrum_loop *l); /* the loop ends */
void post_free_inherited(struct thrum_loop *l);
void timers_free(struct thrum_loop *l);

/* ---- life.c: connections
 * ------------------------------------------------------------------------------------- */
/* Takes fd (or stream) also on failure; NULL: no memory. */
struct lconn *lconn_new(struct home *h, int fd, struct stream *stream, thrum_error *err);
struct lconn *lconn_find(const struct thrum_loop *l, thrum_id id);
struct lconn *loop_conn(const struct thrum_loop *l, uint32_t i); /* in place i; NULL: none */
const char *lconn_peer(struct lconn *c);
uint64_t lconn_wire_in(const struct lconn *c);
void lconn_lay(struct lconn *c); /* into its grave */
/* Before the handshake; url NULL: a server's. */
thrum_status lconn_make_proto(struct lconn *c, const char *url, const struct client_more *more,
                              thrum_error *err);
void lconn_undo(struct lconn *c); /* of a connection that nobody has heard of */
/* The proto, made when there is none. NULL: no memory, and then the connection is being cut. */
thrum_proto *lconn_proto(struct lconn *c);
void lconn_dirty(struct lconn *c);
struct lconn *lconn_undirty(struct thrum_loop *l); /* takes the first out of the list, which is not empty */
void lconn_park(struct lconn *c);                  /* if it rests */
/* Looks at one connection after something has happened to it: writes, arms, parks, ends. */
void lconn_settle(struct lconn *c);
void lconn_cut(struct lconn *c, thrum_status s, const char *text);
void lconn_why(const struct lconn *c, thrum_error *err); /* it has ended; status OK: it has not */
void lconn_goodbye(struct lconn *c, uint16_t code);    /* what the kernel takes at once, whole frames only */
void lconn_end_now(struct lconn *c, const char *text); /* goodbye, and cut; NULL is fine */
void lconn_bury(struct thrum_loop *l);                 /* frees what has ended */
void lconn_time(struct lconn *c);                      /* its timer has come */
void home_unref(struct home *h);

/* ---- names.c
 * ------------------------------------------------------------------------------------------------- */
struct names {
    const char *subprotocol, *extensions, *target, *peer; /* NULL: none; "/"; the socket's */
    char *asked; /* the socket's, once somebody has asked for it and the rest was here already; NULL else */
    char text[];
};
thrum_status names_keep(struct lconn *c);
const char *names_peer(struct lconn *c); /* kept from now on */
void names_free(struct lconn *c);

/* ---- read.c
 * -------------------------------------------------------------------------------------------------- */
bool lconn_readable(struct lconn *c);                   /* true: there was no more to be read */
void lconn_took(struct lconn *c, uint8_t *d, size_t n); /* n bytes have come; d[n] may be written */
void lconn_in_ended(struct lconn *c, int os_errno);
void lconn_events(struct lconn *c); /* hands out what the proto has */

/* ---- write.c
 * ------------------------------------------------------------------------------------------------- */
thrum_status lconn_send(struct lconn *c, thrum_kind k, const thrum_slice *v, size_t n, thrum_switch compress,
                        enum front_part part);
thrum_status lconn_send_shared(struct lconn *c, struct shared *s);
void lconn_write(struct lconn *c); /* out, then what the proto has; never waits */
size_t lconn_pending(const struct lconn *c);
void lconn_push(struct lconn *c);                      /* what the kernel holds back for more */
void chunks_trim(struct thrum_loop *l, unsigned left); /* so many stay in stock */
void chunk_drop(struct lconn *c);
bool chunk_send(struct lconn *c);
bool lconn_send_plain(struct lconn *c, thrum_kind k, const void *p, size_t n, thrum_status *s);

/* ---- spare.c
 * --------------------------------------------------------------------------------------------------- */
void spare_keep(struct thrum_loop *l, thrum_message *m); /* takes m->hold, if it is worth it */
void spare_lend(struct thrum_loop *l, thrum_proto *p);   /* if it is about to receive a large message */
void spares_in_use(struct thrum_loop *l); /* they, chunks, and what the poller read a rush into are given back
                                             once nothing has used them for a while */
void spares_free(struct thrum_loop *l);

/* ---- call.c
 * -------------------------------------------------------------------------------------------------- */
extern const struct front loop_front;

/* ---- listen.c
 * ------------------------------------------------------------------------------------------------ */
void home_decide(struct lconn *c); /* its proto asks */

/* ---- end.c: exit, fork, the last application thread
 * ---------------------------------------------------------- */
thrum_status event_start(thrum_error *err);
void end_list(struct thrum_loop *l);
void end_unlist(struct thrum_loop *l);
/* Of the parent's, in a child of fork. E_STATE: from within a callback of its. */
thrum_status end_free_inherited(struct thrum_loop *l);

#endif
