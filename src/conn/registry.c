/* registry.c: the process's list of connections, and what exit and fork do with it (contract E1, E3, E6,
 * E12).
 *
 * The exit hook frees nothing and waits for nobody: it tries locks, all tries together bounded by
 * EXIT_TRIES_MS, since a thread may be anywhere at that time. A lock is never held across a wait, so one that
 * is busy is free again within microseconds, unless its holder was killed by the end itself. */
#include "base/clock.h"
#include "base/exit.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/thread.h"
#include "conn/conn.h"
#include <errno.h>
#include <poll.h>
#include <time.h>

enum {
    EXIT_TRIES_MS = 50,
    EXIT_WRITES_MS = 150,
    EXIT_TLS_MS = 200, /* with what was before: a thread inside of OpenSSL may have read many a certificate */
    LINGER_STEP_MS = 5
};

static struct lock lock = LOCK_INIT;
static struct list conns = LIST_INIT(conns);
static struct list inherited = LIST_INIT(inherited); /* in a child: the parent's, until they are freed */
static _Atomic int count;
static const struct registry_front *_Atomic fronts[FRONTS_MAX];
static _Atomic int exit_policy = THRUM_GOODBYE;
static _Atomic int64_t exit_linger = 0;

void registry_add(struct thrum_conn *c)
{
    lock_take(&lock);
    list_push(&conns, &c->link);
    atomic_fetch_add(&count, 1);
    lock_give(&lock);
}

void registry_remove(struct thrum_conn *c)
{
    lock_take(&lock);
    list_remove(&c->link);
    atomic_fetch_sub(&count, 1);
    lock_give(&lock);
}

int registry_count(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed);
}

void registry_each(void (*fn)(struct thrum_conn *c))
{
    lock_take(&lock);
    list_each (l, &conns) {
        struct thrum_conn *c = list_of(l, struct thrum_conn, link);
        lock_take(&c->lock);
        fn(c);
        lock_give(&c->lock);
    }
    lock_give(&lock);
}

thrum_status registry_set_exit(thrum_exit_policy p, int64_t linger)
{
    if (p != THRUM_GOODBYE && p != THRUM_LINGER && p != THRUM_CUT)
        return THRUM_E_ARGUMENT;
    if (linger < 0 && linger != THRUM_FOREVER)
        return THRUM_E_ARGUMENT;
    atomic_store(&exit_linger, linger);
    atomic_store(&exit_policy, p);
    return THRUM_OK;
}

bool registry_is_to_linger(void)
{
    return atomic_load(&exit_policy) == THRUM_LINGER;
}

bool registry_lingers(void)
{
    return atomic_load(&exit_begun) && registry_is_to_linger();
}

static bool says_goodbye(struct thrum_conn *c, int64_t lock_until)
{
    if (!lock_try_until(&c->lock, lock_until))
        return false;
    if (c->stream && c->proto)
        conn_goodbye(c, 1001, clock_now());
    lock_give(&c->lock);
    return true;
}

/* First those whose locks are free, so that one busy connection does not take the time of all. */
static void say_goodbyes(int64_t now)
{
    int64_t tries = clock_after(now, EXIT_TRIES_MS), writes = clock_after(now, EXIT_WRITES_MS);
    bool busy = false;
    list_each (l, &conns) {
        if (!says_goodbye(list_of(l, struct thrum_conn, link), 0))
            busy = true;
        if (clock_now() > writes)
            return;
    }
    /* A connection that has said it passes through goodbye unchanged. */
    if (busy)
        list_each (l, &conns)
            says_goodbye(list_of(l, struct thrum_conn, link), tries);
}

/* Has the peer's Close come? */
static bool is_answered(const struct thrum_conn *c)
{
    thrum_closing closing = {.size = sizeof closing};
    return thrum_proto_closing(c->proto, &closing) == THRUM_OK && closing.recv_code != 0;
}

/* Reads without waiting, a bounded number of times, so that a peer that floods does not keep the program;
 * true while the peer's answer is still to come. */
static bool lingers(struct thrum_conn *c)
{
    enum { READS = 64 };
    static uint8_t scratch[16 * 1024]; /* only the exiting thread is here */
    if (!lock_try(&c->lock))
        return true;
    int64_t now = clock_now();
    bool open = c->proto && !conn_ended(c) && thrum_proto_state(c->proto) != THRUM_CONNECTING;
    if (open) {
        for (int i = 0; i < READS && conn_read(c, scratch, sizeof scratch, now); i++)
            ;
        conn_write(c, now);
        open = !conn_ended(c) && !is_answered(c);
    }
    lock_give(&c->lock);
    return open;
}

static void linger(int64_t until)
{
    for (;;) {
        bool open = false;
        list_each (l, &conns)
            open |= lingers(list_of(l, struct thrum_conn, link));
        for (int i = 0; i < FRONTS_MAX; i++) {
            const struct registry_front *f = atomic_load(&fronts[i]);
            open |= f && f->lingers && f->lingers();
        }
        if (!open || clock_now() >= until)
            return;
        nanosleep(&(struct timespec){.tv_nsec = LINGER_STEP_MS * 1000000L}, NULL);
    }
}

static void goodbyes_and_linger(void)
{
    int64_t now = clock_now();
    if (!lock_try_until(&lock, clock_after(now, EXIT_TRIES_MS)))
        return;
    say_goodbyes(now);
    for (int i = 0; i < FRONTS_MAX; i++) {
        const struct registry_front *f = atomic_load(&fronts[i]);
        if (f && f->goodbye)
            f->goodbye(clock_after(now, EXIT_TRIES_MS), clock_after(now, EXIT_WRITES_MS));
    }
    if (registry_is_to_linger())
        linger(clock_after(now, atomic_load(&exit_linger)));
    lock_give(&lock);
}

static void on_exit_hook(void)
{
    int64_t until = clock_after(clock_now(), EXIT_TLS_MS);
    if (atomic_load(&exit_policy) != THRUM_CUT)
        goodbyes_and_linger();
    int64_t least = clock_after(clock_now(), EXIT_TRIES_MS);
    tls_gate_shut(until > least ? until : least);
}

static void before_fork(void)
{
    tls_fork_lock();
    lock_take(&lock);
    for (int i = 0; i < FRONTS_MAX; i++) {
        const struct registry_front *f = atomic_load(&fronts[i]);
        if (f && f->before_fork)
            f->before_fork();
    }
    thread_fork_lock();
}

static void after_fork_parent(void)
{
    thread_fork_unlock();
    for (int i = 0; i < FRONTS_MAX; i++) {
        const struct registry_front *f = atomic_load(&fronts[i]);
        if (f && f->after_fork)
            f->after_fork();
    }
    lock_give(&lock);
    tls_fork_unlock();
}

/* The child has one thread. A connection whose lock another thread held at the fork may be half-changed: its
 * memory is not walked again. */
static void after_fork_child(void)
{
    thread_forked();
    list_each_safe (l, next, &conns) {
        struct thrum_conn *c = list_of(l, struct thrum_conn, link);
        if (lock_try(&c->lock))
            lock_give(&c->lock);
        else
            c->torn = true;
        list_remove(&c->link);
        list_push(&inherited, &c->link);
        c->listed = false;
    }
    lock_give(&lock);
    tls_forked();
    atomic_store(&count, 0);
    for (int i = 0; i < FRONTS_MAX; i++) {
        const struct registry_front *f = atomic_load(&fronts[i]);
        if (f && f->forked)
            f->forked();
    }
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_errno;

static void start_once(void)
{
    int e = exit_watch(on_exit_hook);
    once_errno = e ? e : fork_watch(before_fork, after_fork_parent, after_fork_child);
}

int registry_start(const struct registry_front *f)
{
    for (int i = 0; f && i < FRONTS_MAX; i++) {
        const struct registry_front *none = NULL;
        if (atomic_compare_exchange_strong(&fronts[i], &none, f) || none == f)
            break;
    }
    pthread_once(&once, start_once);
    return once_errno;
}
