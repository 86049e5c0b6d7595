/* wait.c: the only place where a user's thread waits, and where deadlines are reckoned.
 *
 * Whoever waits on a connection also serves it: it takes the reader role when that is free, reads, answers
 * pings, writes what is queued and keeps the timers. So a program that is always inside some call needs no
 * thread of ours. The poll is the one cancellation point, and no lock is held in it (contract E10). */
#include "base/clock.h"
#include "base/lock.h"
#include "base/sys.h"
#include "block/block.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>

enum {
    PROMPT_NS = 20 * 1000000 /* back within this: at once */,
    FICKLE_NS = 1000 * 1000000,
    HABIT_MOST = 64
};

/* Did the program come back at once after its last call? After eight times it is taken to go on so, and is
 * not given a thread for the moments between; one that then stays away for long is never believed again. A
 * short delay, as a busy machine makes one, is forgiven to who has long come back: it halves the count. */
static void note_habit(struct block *b, int64_t now)
{
    if (b->c.inside > 0)
        return;
    int64_t gap = now - b->left_at;
    if (gap < PROMPT_NS) {
        if (b->prompt < HABIT_MOST)
            b->prompt++;
        return;
    }
    b->fickle |= gap > FICKLE_NS && b->prompt >= 8;
    b->prompt /= 2;
}

thrum_status call_enter(struct call *k, struct thrum_conn *c)
{
    if (!c)
        return THRUM_E_ARGUMENT;
    thrum_status s = conn_mine(c);
    if (s != THRUM_OK)
        return s;
    struct thread *t = thread_self();
    if (!t)
        return THRUM_E_MEMORY;
    *k = (struct call){.b = block_of(c), .t = t};
    list_init(&k->link);
    /* Deferred and off: only the poll of call_wait lets a cancellation in. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &k->old_state);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &k->old_type);
    k->wait_state = t->long_call ? t->cancel_state : k->old_state;
    k->now = clock_now();
    lock_take(&c->lock);
    note_habit(k->b, k->now);
    k->cancels = k->b->cancels;
    c->inside++;
    return THRUM_OK;
}

static void step_out(struct call *k)
{
    struct block *b = k->b;
    b->c.inside--;
    block_wake(b);
    if (b->c.inside == 0) {
        b->left_at = k->now;
        if (conn_ended(&b->c))
            block_close_stream(b);
        else if (b->c.handles > 0)
            warden_notice(b);
    }
    block_unlock(b);
}

void call_leave(struct call *k)
{
    int state = k->old_state, type = k->old_type;
    step_out(k);
    pthread_setcanceltype(type, NULL);
    pthread_setcancelstate(state, NULL);
}

static bool is_there(const struct call *k)
{
    const struct block *b = k->b;
    thrum_proto *p = b->c.proto;
    switch ((enum want)k->want) {
    case WANT_MESSAGE: return proto_has_event(p, false);
    case WANT_PART: return proto_has_event(p, true);
    case WANT_PONG: return thrum_proto_ponged(p) >= k->seq;
    case WANT_TURN: return !b->turn;
    case WANT_WRITTEN: return proto_borrowed(p) == PROTO_BORROW_NONE && !conn_unsent(&b->c);
    case WANT_OPEN: return thrum_proto_state(p) != THRUM_CONNECTING || proto_asks(p);
    case WANT_END: return conn_ended(&b->c);
    }
    return true;
}

static void rouse(struct call *k)
{
    k->woken = true;
    thread_wake(k->t);
}

/* Who is to look at the socket anew: the reader, where it sleeps; else, where nobody has the role, anyone. A
 * reader that is not asleep is about to look anyway. */
static struct call *who_serves(struct block *b)
{
    struct call *any = NULL;
    list_each (l, &b->waiters) {
        struct call *k = list_of(l, struct call, link);
        if (k->reads)
            return k;
        if (!any || any->woken)
            any = k;
    }
    return b->reader == READER_CALLER ? NULL : any;
}

void block_wake(struct block *b)
{
    if (list_empty(&b->waiters))
        return;
    bool ended = conn_ended(&b->c);
    short watched = 0;
    int64_t until = CLOCK_NEVER;
    list_each (l, &b->waiters) {
        struct call *k = list_of(l, struct call, link);
        if (!k->woken && (ended || k->cancels != b->cancels || is_there(k)))
            rouse(k);
        watched |= k->polls;
        until = k->until < until ? k->until : until;
    }
    /* Something is wanted of the socket that no poll waits for (the water mark was left, say, or output was
     * queued), or the proto has got a deadline that all would sleep through (a closing one). */
    bool overlooked = (conn_wants(&b->c) & ~watched) || thrum_proto_deadline(b->c.proto) < until;
    struct call *k = overlooked && !ended ? who_serves(b) : NULL;
    if (k && !k->woken)
        rouse(k);
}

/* The thread is cancelled inside the poll: everything that this call held is given back. */
static void on_cancel(void *arg)
{
    struct call *k = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    struct block *b = k->b;
    lock_take(&b->c.lock);
    list_remove(&k->link);
    if (k->reads)
        b->reader = READER_NOBODY;
    if (k->want == WANT_MESSAGE || k->want == WANT_PART)
        proto_set_taker(b->c.proto, false);
    if (k->abandon)
        k->abandon(k);
    step_out(k);
}

/* One poll, unlocked. What was seen of the socket in *seen; an errno or 0. */
static int sleep_unlocked(struct call *k, int fd, int wake, int ms, short *seen)
{
    struct pollfd v[2] = {{.fd = k->polls ? fd : -1, .events = k->polls}, {.fd = wake, .events = POLLIN}};
    volatile int e = 0;
    lock_give(&k->b->c.lock);
    pthread_cleanup_push(on_cancel, k);
    pthread_setcancelstate(k->wait_state, NULL);
    if (sys.poll(v, 2, ms) < 0)
        e = errno;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cleanup_pop(0);
    if (v[1].revents)
        thread_unwake(k->t);
    lock_take(&k->b->c.lock);
    *seen = e ? 0 : v[0].revents;
    return e;
}

/* Takes the reader role where reading is wanted and nobody, or only the warden, has it. */
static void choose_polls(struct call *k)
{
    struct block *b = k->b;
    short wants = conn_wants(&b->c);
    if (!k->reads && (wants & POLLIN) && b->reader != READER_CALLER) {
        b->reader = READER_CALLER;
        k->reads = true;
    }
    k->polls = (short)((k->reads ? wants & POLLIN : 0) | (wants & POLLOUT));
}

/* Polls the socket by reading it, for at most spin_us; true when something came. The lock is let go of
 * between two tries, so that other threads' sends pass. */
static bool spin(struct call *k, uint8_t *scratch, int64_t deadline)
{
    struct block *b = k->b;
    uint64_t us = proto_settings(b->c.proto)->spin_us;
    if (us == 0 || !k->reads || k->polls != POLLIN)
        return false;
    int64_t until = k->now + (int64_t)us * 1000;
    until = until < deadline ? until : deadline;
    do {
        if (conn_read(&b->c, scratch, THREAD_SCRATCH, k->now))
            return true;
        lock_give(&b->c.lock);
        k->now = clock_now();
        lock_take(&b->c.lock);
    } while (k->now < until && !conn_ended(&b->c) && !is_there(k) && k->cancels == b->cancels);
    return false;
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* One turn: sleep, then serve what the socket has. OK, or why the wait ends at once. */
static thrum_status serve_once(struct call *k, uint8_t *scratch, int wake, int64_t deadline)
{
    struct block *b = k->b;
    if (k->want == WANT_MESSAGE || k->want == WANT_PART)
        proto_set_taker(b->c.proto, true); /* each time: another taker may have left meanwhile */
    choose_polls(k);
    k->woken = false;
    k->until = earliest(deadline, thrum_proto_deadline(b->c.proto));
    list_push(&b->waiters, &k->link); /* on the list for the spin, too: it lets go of the lock */
    bool came = spin(k, scratch, deadline);
    if (!came && (k->polls & POLLIN) && conn_buffered(&b->c))
        came = conn_read(&b->c, scratch, THREAD_SCRATCH, k->now);
    int e = 0;
    short seen = 0;
    if (!came && !is_there(k) && !conn_ended(&b->c) && k->cancels == b->cancels) {
        int ms = clock_poll_ms(k->now, k->until);
        e = sleep_unlocked(k, b->c.stream->ops->fd(b->c.stream), wake, ms, &seen);
        k->now = clock_now();
    }
    list_remove(&k->link);
    k->polls = 0;
    if (e == EINTR && proto_settings(b->c.proto)->interruptible)
        return THRUM_E_INTERRUPTED;
    if (e && e != EINTR)
        return e == ENOMEM ? THRUM_E_MEMORY : THRUM_E_SYSTEM;
    if (k->reads && (seen & (POLLIN | POLLHUP | POLLERR)))
        (void)conn_read(&b->c, scratch, THREAD_SCRATCH, k->now);
    if ((conn_wants(&b->c) & POLLOUT) || thrum_proto_state(b->c.proto) != THRUM_OPEN)
        conn_write(&b->c, k->now); /* in closing also to shut our side, when nothing is left to write */
    conn_tick(&b->c, k->now);
    return THRUM_OK;
}

static thrum_status wait_loop(struct call *k, int64_t deadline)
{
    struct block *b = k->b;
    uint8_t *scratch = NULL;
    for (bool first = true;; first = false) {
        if (is_there(k))
            return THRUM_OK;
        if (conn_ended(&b->c))
            return conn_end_status(&b->c);
        if (k->cancels != b->cancels)
            return THRUM_E_CANCELLED;
        if (!first && k->now >= deadline)
            return THRUM_E_TIMEOUT;
        if (first) {
            scratch = thread_scratch(k->t);
            if (!scratch)
                return THRUM_E_MEMORY;
        }
        int wake = thread_wake_fd(k->t);
        if (wake < 0)
            return THRUM_E_SYSTEM;
        thrum_status s = serve_once(k, scratch, wake, deadline);
        if (s != THRUM_OK)
            return s;
        block_wake(b);
    }
}

thrum_status call_wait(struct call *k, unsigned want, int64_t deadline)
{
    struct block *b = k->b;
    lock_assert_held(&b->c.lock);
    k->want = want;
    thrum_status s = wait_loop(k, deadline);
    if (want == WANT_MESSAGE || want == WANT_PART)
        proto_set_taker(b->c.proto, false);
    if (k->reads) {
        k->reads = false;
        b->reader = READER_NOBODY;
    }
    return s;
}
