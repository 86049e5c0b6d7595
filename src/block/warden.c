/* warden.c: the one helper thread of the process. It serves the connections that no call is inside of (pings,
 * keepalive, closing deadlines, output left over, receiving up to the water mark), and it ends a process
 * whose main has called pthread_exit and whose last application thread has gone (contract E2). It is started
 * when first needed and ends by itself when nothing is left to do.
 *
 * Everything here but the mailbox belongs to the warden's thread alone. Calls leave connections in the
 * mailbox; that is a list under a lock of its own, taken after a connection's. A connection that the warden
 * knows is `held`: its memory stays until the warden lets go of it. tests/model/warden_life.pml is this
 * file's skeleton. */
#include "base/clock.h"
#include "base/exit.h"
#include "base/last.h"
#include "base/log.h"
#include "block/block.h"
#include "loop/poller.h"
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    GRACE_MS = 50, /* without a call inside for so long: the warden adopts it */
    TICK_MS = 20,  /* how often it looks at those that are in their grace */
    EVENTS = 64,
    PROMPT_CALLS = 8 /* so many calls in a row that came at once: the program is taken to keep coming back */
};

enum state {
    ABSENT,  /* no thread */
    TICKING, /* it will look into the mailbox within TICK_MS, or has just been started or woken */
    RESTING  /* it sleeps until something happens, and wants to be woken for mail */
};

static struct {
    struct lock lock; /* of state (to write), box, poller's life, announced */
    _Atomic int state;
    struct list box;
    struct poller *poller; /* NULL while ABSENT */
    bool announced;
} mail = {.lock = LOCK_INIT, .box = LIST_INIT(mail.box)};

static struct { /* the warden's thread only; static so that a leak checker in a child of fork finds it */
    struct list loose;   /* nobody inside, in their grace */
    struct list adopted; /* read by the warden */
    struct heap timers;
    int64_t tick;      /* when to look at the loose ones */
    struct last last;  /* looks whether the last application thread has ended */
    int64_t last_mail; /* so that it is not woken for each of a row of letters */
    int64_t last_use;  /* ... and not ended and started again for each connection that it has to keep */
    uint8_t *scratch;
    size_t room; /* bytes of scratch */
} w = {.loose = LIST_INIT(w.loose), .adopted = LIST_INIT(w.adopted)};

static void warden_main(void *arg);

/* ---- from other threads ----------------------------------------------------------------------------------
 */

/* With mail.lock: makes sure that a warden will look into the mailbox. An errno or 0. */
static int rouse(void)
{
    int state = atomic_load(&mail.state);
    if (state == TICKING)
        return 0;
    if (state == RESTING) {
        atomic_store(&mail.state, TICKING);
        poller_wake(mail.poller);
        return 0;
    }
    int e = poller_new(&mail.poller);
    if (e)
        return e;
    atomic_store(&mail.state, TICKING);
    e = thread_start(warden_main, NULL, "warden", 0);
    if (e) {
        atomic_store(&mail.state, ABSENT);
        poller_free(mail.poller);
        mail.poller = NULL;
    }
    return e;
}

/* Does the program keep coming back to this connection at once? Then it gets no thread for the moments
 * between (E13). Only with one connection in the process: with two, a thread that sleeps in a call on one may
 * be waiting for what the other, left alone, would have to read. */
static bool is_prompt(const struct block *b)
{
    return b->prompt >= PROMPT_CALLS && !b->fickle && registry_count() == 1 &&
           thrum_proto_state(b->c.proto) ==
               THRUM_OPEN && /* a closing has a deadline that somebody must keep */
           proto_settings(b->c.proto)->attended == THRUM_DEFAULT;
}

static void sweep_one(struct thrum_conn *c)
{
    if (c->inside == 0 && !conn_ended(c))
        warden_notice(block_of(c));
}

void warden_sweep(void)
{
    registry_each(sweep_one);
}

static bool is_wanted(const struct block *b)
{
    if (b->dropped)
        return true;
    thrum_switch attended = proto_settings(b->c.proto)->attended;
    if (attended == THRUM_OFF)
        return b->c.held;
    if (attended == THRUM_ON || (conn_wants(&b->c) & POLLOUT))
        return true;
    return atomic_load_explicit(&mail.state, memory_order_relaxed) != ABSENT || !is_prompt(b);
}

void warden_notice(struct block *b)
{
    lock_assert_held(&b->c.lock);
    if (atomic_load(&b->mailed) && atomic_load(&mail.state) == TICKING)
        return; /* it will look at this one within a tick, and cannot before we let go of the lock */
    if (!is_wanted(b) || atomic_load(&exit_begun))
        return;
    lock_take(&mail.lock);
    if (!b->mailed) {
        b->mailed = true;
        b->c.held = true;
        list_push(&mail.box, &b->mail);
    }
    int e = rouse();
    if (e) { /* then it was ABSENT, and nobody has looked at the box yet */
        list_remove(&b->mail);
        b->mailed = false;
        b->c.held = false;
    }
    lock_give(&mail.lock);
    if (e)
        LOG(LOG_WARDEN, LOG_WARNING, b->c.id,
            "no helper thread (errno %d): pings are answered only inside calls", e);
}

void warden_forget(struct block *b)
{
    lock_take(&mail.lock);
    if (mail.poller && b->registered && b->c.stream)
        poller_forget(mail.poller, b->c.stream->ops->fd(b->c.stream));
    b->registered = false;
    lock_give(&mail.lock);
}

static _Atomic bool had_background; /* a thread has turned to the background in this process */

/* Where no thread of the library and none in the background is alive, the last application thread's end is
 * the process's end without our help. */
void warden_announce(void)
{
    if (atomic_load(&exit_begun))
        return;
    lock_take(&mail.lock);
    if (thread_library_count() > 0 || atomic_load(&had_background)) {
        mail.announced = true;
        (void)rouse(); /* cannot be helped when the system gives no thread: then main's end stays the last
                          resort */
    }
    lock_give(&mail.lock);
}

static thrum_status set_background(bool background)
{
    thrum_status s = block_start(NULL);
    struct thread *t = s == THRUM_OK ? thread_self() : NULL;
    if (!t)
        return s == THRUM_OK ? THRUM_E_MEMORY : s;
    t->background = background;
    if (background) {
        atomic_store(&had_background, true);
        warden_announce(); /* this thread may have been the last that kept the process alive */
    }
    return THRUM_OK;
}

thrum_status thrum_thread_background(bool background)
{
    int cancel = cancel_off();
    thrum_status s = set_background(background);
    cancel_back(cancel);
    return s;
}

void warden_forked(void)
{
    /* What the parent's warden was changing at the fork is not walked again: kept here, for leak checkers to
     * find. */
    static __attribute__((unused)) void *volatile left_behind[2];
    left_behind[0] = w.timers.v;
    heap_init(&w.timers);
    if (lock_try(&mail.lock)) {
        if (mail.poller)
            poller_free(mail.poller);
        lock_give(&mail.lock);
    } else {
        left_behind[1] = mail.poller;
        lock_reset(&mail.lock);
    }
    mail.poller = NULL;
    mail.announced = false;
    atomic_store(&mail.state, ABSENT);
    list_init(&mail.box);
    list_init(&w.loose);
    list_init(&w.adopted);
    atomic_store(&had_background, false);
    w.last = (struct last){0};
}

/* ---- the warden's thread: connections
 * ---------------------------------------------------------------------- */

/* [held] -> unlocked. The warden knows it no more. */
static void release(struct block *b)
{
    list_remove(&b->watch);
    heap_remove(&w.timers, &b->timer);
    if (b->reader == READER_WARDEN)
        b->reader = READER_NOBODY;
    warden_forget(b);
    if (b->c.inside == 0 && conn_ended(&b->c))
        block_close_stream(b);
    lock_take(&mail.lock);
    bool mailed = b->mailed; /* it has come again meanwhile: the box keeps hold of it */
    lock_give(&mail.lock);
    b->c.held = mailed;
    block_unlock(b);
}

static void move_to(struct list *to, struct block *b)
{
    list_remove(&b->watch);
    list_push(to, &b->watch);
}

/* [held] -> unlocked. Reads, writes, keeps time, and arms the poller for what comes next. */
static void serve(struct block *b, bool readable, int64_t now)
{
    struct thrum_conn *c = &b->c;
    for (bool more = readable; more && (conn_wants(c) & POLLIN); more = conn_buffered(c))
        (void)conn_read(c, w.scratch, w.room, now); /* ends at the water mark at the latest */
    conn_tick(c, now);
    conn_write(c, now);
    if (conn_ended(c)) {
        release(b);
        return;
    }
    short wants = conn_wants(c);
    unsigned what = (wants & POLLIN ? POLLER_IN : 0u) | (wants & POLLOUT ? POLLER_OUT : 0u);
    lock_take(&mail.lock);
    int e = poller_arm(mail.poller, c->stream->ops->fd(c->stream), what, b);
    b->registered = true;
    lock_give(&mail.lock);
    if (e == 0 && heap_set(&w.timers, &b->timer, thrum_proto_deadline(c->proto)) == THRUM_OK) {
        move_to(&w.adopted, b);
    } else { /* no memory in the kernel or here: try again at the next tick */
        LOG(LOG_WARDEN, LOG_WARNING, c->id, "a connection cannot be watched (errno %d): trying again", e);
        b->reader = READER_NOBODY;
        move_to(&w.loose, b);
    }
    lock_give(&c->lock);
}

/* What is to be done with a connection that has come by mail, by the tick, by an event, or by its timer. */
static void consider(struct block *b, bool readable, int64_t now)
{
    lock_take(&b->c.lock);
    if (b->dropped || conn_ended(&b->c)) {
        release(b);
        return;
    }
    if (b->reader == READER_WARDEN) {
        serve(b, readable, now);
        return;
    }
    bool unwritten = conn_wants(&b->c) & POLLOUT;
    if (b->c.inside > 0 || (!unwritten && now - b->left_at < GRACE_MS * CLOCK_MS && is_prompt(b))) {
        release(b); /* attended: whoever is inside will give notice when it leaves */
        return;
    }
    w.last_use = now;
    if (!unwritten && now - b->left_at < GRACE_MS * CLOCK_MS) {
        move_to(&w.loose, b);
        lock_give(&b->c.lock);
        return;
    }
    b->reader = READER_WARDEN;
    serve(b, true, now);
}

/* Takes the next letter: NULL where there is none. *last: it was the last one that was there when the turn
 * began; what has come since waits for the next turn, else a busy program would keep us here. */
static struct block *next_mail(const struct list **last)
{
    lock_take(&mail.lock);
    struct block *b = NULL;
    if (*last && !list_empty(&mail.box)) {
        b = list_of(mail.box.next, struct block, mail);
        *last = *last == &b->mail ? NULL : *last;
        list_remove(&b->mail);
        atomic_store(&b->mailed, false); /* from here on it may come again; it stays held until release */
    }
    lock_give(&mail.lock);
    return b;
}

static void take_mail(int64_t now)
{
    lock_take(&mail.lock);
    atomic_store(&mail.state, TICKING);
    const struct list *last = list_empty(&mail.box) ? NULL : mail.box.prev;
    if (mail.announced) {
        mail.announced = false;
        last_announced(&w.last, now);
    }
    lock_give(&mail.lock);
    for (struct block *b; (b = next_mail(&last));) {
        w.last_mail = now;
        consider(b, false, now);
    }
}

static void look_at_loose(int64_t now)
{
    struct list mine;
    if (now < w.tick)
        return;
    list_move(&mine, &w.loose);
    while (!list_empty(&mine)) {
        struct block *b = list_of(mine.next, struct block, watch);
        list_remove(&b->watch);
        consider(b, false, now);
    }
    w.tick = clock_after(now, TICK_MS);
}

static void run_timers(int64_t now)
{
    for (struct heap_node *n; (n = heap_first(&w.timers)) && n->at <= now;) {
        heap_remove(&w.timers, n);
        consider(list_of(n, struct block, timer), false, now);
    }
}

/* ---- the warden's thread: the process
 * ---------------------------------------------------------------------- */

/* E2. exit runs atexit handlers, as the end of the last thread would have, with ours among them: the
 * goodbyes. */
static void count_threads(int64_t now)
{
    if (!last_look(&w.last, now))
        return;
    LOG(LOG_WARDEN, LOG_INFO, 0, "the last application thread has ended: exit(0)");
    exit(0);
}

/* While main is gone and other threads of the library, or background ones, live, somebody must see the last
 * application thread's end; the warden alone need not stay for that: then the kernel sees it. */
static bool must_count(void)
{
    return last_must(&w.last, 1);
}

static int64_t wake_time(void)
{
    int64_t at = CLOCK_NEVER;
    struct heap_node *n = heap_first(&w.timers);
    if (n)
        at = n->at;
    if (!list_empty(&w.loose) && w.tick < at)
        at = w.tick;
    return last_next(&w.last) < at ? last_next(&w.last) : at;
}

/* Says how the warden goes on; the mailbox is looked at under the same lock, so that no mail is missed. */
static enum state next_state(int64_t now)
{
    lock_take(&mail.lock);
    enum state s = TICKING;
    if (list_empty(&mail.box) && !mail.announced && list_empty(&w.loose)) {
        if (list_empty(&w.adopted) && !must_count()) /* nothing would wake it from resting */
            s = now - w.last_use > GRACE_MS * CLOCK_MS ? ABSENT : TICKING;
        else if (now - w.last_mail > GRACE_MS * CLOCK_MS)
            s = RESTING;
    }
    if (s == ABSENT) {
        poller_free(mail.poller);
        mail.poller = NULL;
        heap_free(&w.timers);
    }
    atomic_store(&mail.state, s);
    lock_give(&mail.lock);
    return s;
}

/* E12: from the beginning of exit on it touches nothing any more; what it had begun is finished, since
 * nothing that it uses is freed. */
static void park_at_exit(void)
{
    while (atomic_load(&exit_begun))
        pause();
}

static void serve_events(const struct poller_event *e, int n, int64_t now)
{
    for (int i = 0; i < n; i++)
        consider(e[i].data, (e[i].what & (POLLER_IN | POLLER_END)) != 0, now);
}

static void warden_main(void *arg)
{
    (void)arg;
    struct poller_event events[EVENTS];
    static uint8_t spare[4096];
    struct thread *self = thread_self();
    w.scratch = self ? thread_scratch(self) : NULL;
    w.room = THREAD_SCRATCH;
    if (!w.scratch) { /* it must go on without memory, too */
        w.scratch = spare;
        w.room = sizeof spare;
    }
    last_begin(&w.last);
    w.tick = 0;
    w.last_mail = w.last_use = clock_now();
    for (int n = 0;;) {
        park_at_exit();
        int64_t now = clock_now();
        serve_events(events, n, now);
        take_mail(now);
        look_at_loose(now);
        run_timers(now);
        count_threads(now);
        enum state s = next_state(now);
        if (s == ABSENT)
            return;
        int64_t at = wake_time(), soon = clock_after(now, TICK_MS);
        if (s == TICKING && soon < at)
            at = soon;
        n = poller_wait(mail.poller, events, EVENTS, clock_poll_ms(clock_now(), at));
        if (n < 0)
            n = 0;
    }
}
