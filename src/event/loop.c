/* loop.c: a loop's life and its turns. A turn: what the poller has, letters of other threads, timers; then
 * all that has to leave leaves, and what has ended is freed. Callbacks of the user's run inside a turn and
 * never one in another. */
#include "base/clock.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/prefetch.h"
#include "base/text.h"
#include "base/thread.h"
#include "event/gate.h"
#include "event/listener.h"
#include "event/opening.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Outputs of so many connections leave one after the other: the kernel's code for reading, then its code for
 * writing, stays in the processor's cache. Not where callbacks take their time: the first would wait for all.
 */
enum { SENDS_TOGETHER = 16, SLOW_NS = 20000 };
enum { CACHE_LINE = 64 };

/* A pointer to anything of ours has its low bits free. */
void *source_of(const void *p, enum source s)
{
    return (void *)((uintptr_t)p | (uintptr_t)s);
}

/* ---- life
 * ---------------------------------------------------------------------------------------------------- */

void loop_free_parts(struct thrum_loop *l)
{
    chunks_trim(l, 0);
    spares_free(l);
    poller_free(l->poller);
    lock_destroy(&l->box_lock);
    mem_free(l->slots);
    mem_free(l->hot_block);
    mem_free(l);
}

static thrum_status set_up(struct thrum_loop *l, thrum_error *err)
{
    int e = lock_init(&l->box_lock);
    if (e)
        return error_os(err, THRUM_E_SYSTEM, e, "no lock for the loop");
    l->hot_block = mem_alloc(LOOP_HOT + 1 + CACHE_LINE);
    if (!l->hot_block)
        return error_set(err, THRUM_E_MEMORY, "no memory for a loop");
    l->hot = l->hot_block + (-(uintptr_t)l->hot_block & (CACHE_LINE - 1));
    e = poller_new_loop(&l->poller, NULL);
    if (e == EINVAL || e == ENOSYS)
        return error_set(
            err, THRUM_E_ARGUMENT, "THRUM_BACKEND is \"%.40s\": it may be uring, epoll or poll%s",
            getenv("THRUM_BACKEND"), e == ENOSYS ? ", and this system has not got that one" : "");
    l->reads_itself = e == 0 && poller_reads(l->poller);
    return e == ENOMEM ? error_set(err, THRUM_E_MEMORY, "no memory for a loop")
           : e         ? error_os(err, THRUM_E_SYSTEM, e, "the system gives nothing to wait with")
                       : THRUM_OK;
}

thrum_status loop_make(struct thrum_loop **out, bool of_listener, thrum_error *err)
{
    thrum_status s = event_start(err);
    if (s != THRUM_OK)
        return s;
    struct thrum_loop *l = mem_zalloc(sizeof *l);
    if (!l)
        return error_set(err, THRUM_E_MEMORY, "no memory for a loop");
    l->generation = atomic_load(&fork_generation);
    l->listeners_own = of_listener;
    atomic_init(&l->owner,
                of_listener ? (pthread_t)0 : pthread_self()); /* 0: until its own thread has begun */
    l->now = clock_now();
    l->free_slot = UINT32_MAX;
    l->sends_together = SENDS_TOGETHER;
    l->dirty_end = &l->dirty;
    wheel_init(&l->conns, l->now);
    wheel_init(&l->others, l->now);
    list_init(&l->box);
    list_init(&l->timers);
    list_init(&l->jobs);
    list_init(&l->listeners);
    s = set_up(l, err);
    if (s != THRUM_OK) {
        loop_free_parts(l);
        return s;
    }
    end_list(l);
    LOG(LOG_LOOP, LOG_DEBUG, 0, "a loop on %s", poller_name(l->poller));
    *out = l;
    return THRUM_OK;
}

thrum_status thrum_loop_new(thrum_loop **out, thrum_error *err)
{
    thrum_error mine;
    err = err ? err : &mine;
    memset(err, 0, sizeof *err);
    if (!out)
        return error_set(err, THRUM_E_ARGUMENT, "there is no place for the loop: out is NULL");
    *out = NULL;
    return loop_make(out, false, err);
}

/* ---- a turn
 * -------------------------------------------------------------------------------------------------- */

static void conn_event(struct lconn *c, const struct poller_event *e)
{
    if (c->is_dead)
        return;
    if (e->what & POLLER_DATA) {
        if (e->n > 0)
            lconn_took(c, e->bytes, (size_t)e->n);
        else
            lconn_in_ended(c, (int)-e->n);
    } else if ((e->what & (POLLER_IN | POLLER_END)) && (c->stream || !c->home->loop->reads_itself)) {
        /* else the poller reads, and nobody beside it: the order would not be the peer's */
        bool over = lconn_readable(c) && !(e->what & POLLER_END);
        c->unread |= !over && !c->stream;
    }
    if (!lconn_is_plain(c))
        lconn_settle(c);
    else if (c->out)
        lconn_dirty(c); /* its output leaves together with that of others, see turn */
}

static void hand_out(const struct poller_event *e)
{
    if (e->data == NULL)
        return;
    void *p = (void *)((uintptr_t)e->data & ~(uintptr_t)7);
    switch ((enum source)((uintptr_t)e->data & 7)) {
    case SOURCE_CONN: conn_event(p, e); break;
    case SOURCE_ACCEPT: accept_event(p, e); break;
    case SOURCE_OPENING: opening_event(p, e); break;
    }
}

static void run_timers(struct thrum_loop *l)
{
    for (struct wheel_node *n; gate_goes_on(l) && (n = wheel_pop(&l->conns, l->now));)
        lconn_time(list_of(n, struct lconn, timer));
    for (struct wheel_node *n; gate_goes_on(l) && (n = wheel_pop(&l->others, l->now));) {
        struct later *x = list_of(n, struct later, timer);
        x->fn(x);
    }
}

static void settle_first(struct thrum_loop *l)
{
    struct lconn *c = lconn_undirty(l);
    if (c->is_dead)
        lconn_lay(c); /* it has ended in the list */
    else
        lconn_settle(c);
}

/* What is made dirty while this runs is looked at, too; each at its own pace: who dirties itself again comes
 * last. */
static void settle_dirty(struct thrum_loop *l)
{
    while (l->dirty)
        settle_first(l);
}

static int64_t next_time(const struct thrum_loop *l)
{
    int64_t a = wheel_next(&l->conns), b = wheel_next(&l->others);
    return a < b ? a : b;
}

/* The poller is the parent's in a child of fork. */
static void come_out(struct thrum_loop *l)
{
    if (!gate_goes_on(l))
        return;
    poller_flush(l->poller);
    if (l->foreign)
        (void)poller_alarm(l->poller, next_time(l));
}

void loop_after_call(struct thrum_loop *l)
{
    if (l->turning)
        return;
    l->turning = true; /* as callbacks run */
    settle_dirty(l);
    lconn_bury(l);
    l->turning = false;
    post_turn_over(l);
    come_out(l);
}

static int wait_for(struct thrum_loop *l, struct poller_event *e, int64_t until)
{
    int64_t at = next_time(l);
    int ms = until < at ? clock_poll_ms(l->now, until) : clock_poll_ms(l->now, at);
    gate_out(l);
    int n = poller_wait(l->poller, e, LOOP_EVENTS, ms);
    gate_in(l);
    l->now = clock_now();
    return n;
}

/* The program ends, and leaves time to look whether this thread is to end before: nothing else is done. */
static thrum_status idle(struct thrum_loop *l, int64_t until)
{
    enum { STEP_MS = 5 };
    do {
        gate_out(l); /* for as long as the peers are being told */
        gate_in(l);
        nanosleep(&(struct timespec){.tv_nsec = STEP_MS * CLOCK_MS}, NULL);
        l->now = clock_now();
    } while (l->now < until && !atomic_load(&l->stop) && post_is_empty(l));
    return THRUM_OK;
}

static void note_pace(struct thrum_loop *l, int events)
{
    if (events <= 1)
        return;
    if (l->nstock > 1 || l->reads_itself)
        spares_in_use(l);
    l->sends_together = clock_now() - l->now > (int64_t)events * SLOW_NS ? 1 : SENDS_TOGETHER;
}

/* What would be made dirty by this waits: events of others come first. */
static void send_together(struct thrum_loop *l)
{
    for (unsigned n = l->nout; n > 0 && l->dirty && gate_goes_on(l); n--)
        settle_first(l);
}

/* With thousands of connections the next one is not in the cache: it is fetched while this one is served. */
static void hand_out_all(struct thrum_loop *l, const struct poller_event *e, int n)
{
    for (int i = 0; i < n && gate_goes_on(l); i++) {
        if (i + 1 < n)
            prefetch(e[i + 1].data, sizeof(struct lconn));
        hand_out(&e[i]);
        if (l->nout >= l->sends_together)
            send_together(l);
    }
}

/* One turn. E_SYSTEM: the system refuses to wait; E_FORKED: a callback has called fork, and this is the
 * child. */
static thrum_status turn(struct thrum_loop *l, int64_t until)
{
    struct poller_event e[LOOP_EVENTS];
    if (!gate_goes_on(l))
        return idle(l, until);
    l->turning = true;
    int n = wait_for(l, e, until);
    hand_out_all(l, e, n);
    if (gate_goes_on(l))
        post_deliver(l);
    run_timers(l);
    while (l->dirty && gate_goes_on(l))
        settle_first(l);
    note_pace(l, n);
    lconn_bury(l);
    l->turning = false;
    post_turn_over(l);
    return n < 0 ? THRUM_E_SYSTEM : loop_mine(l);
}

static bool is_alive(const struct thrum_loop *l)
{
    return l->nconns > 0 || l->others_alive > 0 || l->dirty || !post_is_empty(l);
}

static thrum_status enter(thrum_loop *l, thrum_wait t)
{
    thrum_status s = loop_mine(l);
    if (s != THRUM_OK || (t < 0 && t != THRUM_FOREVER))
        return s != THRUM_OK ? s : THRUM_E_ARGUMENT;
    if (l->listeners_own) /* then the rest is its own thread's */
        return THRUM_E_STATE;
    if (l->running || l->turning)
        return THRUM_E_STATE;
    l->running = true;
    l->cancel =
        cancel_off(); /* in the midst of a turn a thread cannot just go; thrum_loop_stop is how it ends */
    atomic_store_explicit(&l->owner, pthread_self(), memory_order_relaxed);
    gate_in(l);
    l->now = clock_now();
    return THRUM_OK;
}

static void leave(struct thrum_loop *l)
{
    come_out(l);
    gate_out(l);
    l->running = false;
    cancel_back(l->cancel);
}

thrum_status thrum_loop_run(thrum_loop *l, thrum_wait t)
{
    thrum_status s = enter(l, t);
    if (s != THRUM_OK)
        return s;
    int64_t until = clock_after(l->now, t);
    for (;;) {
        if (atomic_exchange(&l->stop, false) || !is_alive(l))
            break;
        s = turn(l, until);
        if (s != THRUM_OK)
            break;
        if (l->now >= until) {
            s = atomic_exchange(&l->stop, false) || !is_alive(l) ? THRUM_OK : THRUM_E_TIMEOUT;
            break;
        }
    }
    leave(l);
    return s;
}

thrum_status thrum_loop_step(thrum_loop *l, thrum_wait t)
{
    thrum_status s = enter(l, t);
    if (s != THRUM_OK)
        return s;
    if (is_alive(l))
        s = turn(l, clock_after(l->now, t));
    if (s == THRUM_OK && !is_alive(l))
        s = THRUM_E_CLOSED;
    leave(l);
    return s;
}

void loop_drive(struct thrum_loop *l)
{
    atomic_store_explicit(&l->owner, pthread_self(), memory_order_relaxed);
    l->running = true;
    gate_in(l);
    while (!atomic_load(&l->stop) && loop_mine(l) == THRUM_OK)
        if (turn(l, CLOCK_NEVER) == THRUM_E_SYSTEM) /* it has no memory just now: the next may have */
            LOG(LOG_LOOP, LOG_WARNING, 0, "a loop cannot wait");
    gate_out(l);
    l->running = false;
}

void thrum_loop_stop(thrum_loop *l)
{
    if (loop_mine(l) != THRUM_OK)
        return;
    atomic_store(&l->stop, true);
    poller_wake(l->poller);
}

int thrum_loop_fd(thrum_loop *l)
{
    if (loop_mine(l) != THRUM_OK || l->listeners_own)
        return -1;
    gate_in(l);
    int fd = poller_fd(l->poller);
    l->foreign = fd >= 0;
    loop_after_call(l);
    gate_out(l);
    return fd;
}

const char *thrum_loop_backend(const thrum_loop *l)
{
    return l ? poller_name(l->poller) : "";
}

/* ---- the end
 * ------------------------------------------------------------------------------------------------- */

void loop_destroy(struct thrum_loop *l)
{
    l->turning = true; /* callbacks run below, */
    l->ending = true;  /* and begin nothing that would outlive the loop */
    gate_in(l);
    l->now = clock_now();
    while (!list_empty(&l->listeners))
        home_end(list_of(l->listeners.next, struct home, link));
    opening_end_all(l);
    for (uint32_t i = 0; i < l->nslots; i++)
        lconn_end_now(loop_conn(l, i), "the loop was freed");
    settle_dirty(l);
    lconn_bury(l);
    post_return_all(l);
    timers_free(l);
    end_unlist(l);
    gate_out(l);
    loop_free_parts(l);
}

thrum_status thrum_loop_free(thrum_loop *l)
{
    if (!l)
        return THRUM_OK;
    if (loop_mine(l) != THRUM_OK)
        return end_free_inherited(l);
    if (l->listeners_own || l->running || l->turning)
        return THRUM_E_STATE;
    if (!loop_is_here(l))
        return THRUM_E_THREAD;
    int cancel = cancel_off();
    loop_destroy(l);
    cancel_back(cancel);
    return THRUM_OK;
}
