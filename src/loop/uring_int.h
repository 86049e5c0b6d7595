/* uring_int.h: what the files of the io_uring backend share: uring.c has what the poller does, uring_ask.c
 * how that becomes requests, uring_answer.c what becomes of the answers, uring_pool.c the receive buffers. */
#ifndef LOOP_URING_INT_H
#define LOOP_URING_INT_H

#include "base/lock.h"
#include "loop/poller_int.h"
#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- receive buffers
 * -------------------------------------------------------------------------------------------
 * The kernel takes the next free one when bytes come, so that a connection without any holds none. The user
 * may hold those of one batch; they come back at the next wait. There are few at first, which stay in the
 * cache, and more where the kernel finds none left. To take these back the whole ring has to be taken from
 * the kernel; until it has one again, connections are answered that there is no buffer. */
enum {
    POOL_STRIDE = 16 * 1024,       /* from one buffer to the next */
    POOL_BYTES = POOL_STRIDE - 64, /* what may be read into one; the rest is the user's spare byte */
    POOL_BLOCK = 32,               /* buffers that are added at once */
    POOL_MAX = 1024,               /* buffers at most; a power of two */
    POOL_BLOCKS = POOL_MAX / POOL_BLOCK
};

struct pool {
    struct io_uring_buf_ring *ring; /* NULL: not open; what the kernel takes from */
    void *ring_memory;
    uint8_t *blocks[POOL_BLOCKS];
    unsigned nblocks;
    uint16_t held[POOL_MAX]; /* the user's */
    unsigned nheld;
    bool dry;    /* the kernel has found none */
    bool closed; /* the kernel has no ring */
};

int pool_open(struct pool *l, int ring_fd);   /* 0 or an errno */
void pool_close(struct pool *l, int ring_fd); /* from here on nothing is read into a buffer */
void pool_free(struct pool *l);
uint8_t *pool_bytes(const struct pool *l, unsigned id);
void pool_hold(struct pool *l, unsigned id);
void pool_refill(struct pool *l);            /* the user holds none any more */
void pool_trim(struct pool *l, int ring_fd); /* closes it, if it has grown */
/* Once no buffer is held, nor named by an answer: with as few as at first. false: not now. */
bool pool_reopen(struct pool *l, int ring_fd);

/* ---- the table
 * -------------------------------------------------------------------------------------------------
 */
enum { NONE = -1, READY = POLLER_IN | POLLER_OUT | POLLER_END };
#define GENERATION_MAX UINT32_C(0x7ffff)

/* What an answer is about: in its user_data above a generation of 19 bits and an index of 32. */
enum op {
    OP_NOTHING,
    OP_POLL, /* index: the descriptor, with its generation; so with all but OWN */
    OP_READ,
    OP_ACCEPT,
    OP_CANCEL_POLL, /* answered only where there was nothing to cancel */
    OP_CANCEL_READ,
    OP_OWN /* index: OWN_* */
};
enum own { OWN_WAKE, OWN_ALARM, OWNS };

/* Each idle connection has one: it has 16 bytes, and the table grows by little. A generation comes again
 * after half a million; what is answered to an earlier one is at most a turn of the loop old. */
struct entry { /* all zero: never seen */
    void *data;
    int32_t next; /* in `todo` */
    uint32_t generation : 19;
    uint32_t wants : 4;   /* of arm: READY and POLLER_STAY; 0: silent */
    uint32_t polls : 3;   /* what of READY the kernel was asked to look for; 0: it looks for nothing */
    bool wants_read : 1;  /* receive or accept, until the end or told otherwise */
    bool is_listener : 1; /* the above is accept */
    bool reads : 1;       /* the kernel has the request */
    bool stops_read : 1;  /* ... and has been asked to drop it */
    bool stops_poll : 1;
    bool listed : 1; /* in `todo` */
};
_Static_assert(sizeof(struct entry) == 16, "each connection that idles has one");

struct uring {
    struct poller poller; /* first */
    struct lock lock;     /* of all below */
    struct io_uring ring;
    unsigned enter_flags;
    pid_t maker;
    pthread_t driver;  /* who waited last */
    bool driven;       /* somebody has waited */
    bool waiting;      /* the driver is in the kernel */
    bool woken;        /* by a wake or the alarm: during the wait that goes on */
    bool own[OWNS];    /* the kernel watches it */
    struct entry *set; /* set[fd] */
    size_t n;
    struct {
        int32_t first, last; /* linked by `next` */
    } todo;                  /* descriptors whose wants and requests may differ */
    struct pool pool;
};

/* ---- uring_ask.c; all under the lock but ring_enter
 * ------------------------------------------------------------
 */
/* user_data */
uint64_t ring_tag(enum op op, uint32_t generation, uint32_t index);
uint64_t ring_read_tag(const struct entry *e, int fd);
/* Room for fd in the table; the new entries are silent. */
bool ring_cover(struct uring *u, int fd);
void ring_list(struct uring *u, int fd); /* in `todo` */
/* How many entries the kernel has not taken yet; from here on it sees all that have been filled in. */
unsigned ring_unsubmitted(struct uring *u);
/* Submits so many, lets the kernel do what it has put off, and waits for so many answers until the time is
 * over (NULL: no limit). How many were submitted, or a negative errno. Also without the lock. */
int ring_enter(const struct uring *u, unsigned submit, unsigned wait, const struct __kernel_timespec *t);
/* Without waiting. What the kernel does not take now it gets at the next wait. */
void ring_submit(struct uring *u);
/* false: the ring is full, and the kernel takes nothing now. */
bool ring_cancel(struct uring *u, uint64_t whom, uint64_t as);
/* What the kernel has not taken yet and names fd is about nothing any more. */
void ring_void(struct uring *u, int fd);
/* Makes requests of what is wanted. What does not fit stays in the lists. */
void ring_settle(struct uring *u);
bool ring_settle_own(struct uring *u); /* of the wake and the alarm only; false: no room */

/* ---- uring_answer.c
 * --------------------------------------------------------------------------------------------
 */
bool ring_has_answers(const struct uring *u);
/* Answers that do not fit stay in the ring. */
int ring_collect(struct uring *u, struct poller_event *out, int max);

#endif
