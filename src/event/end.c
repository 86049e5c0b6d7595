/* end.c: loops at the end of the program (E1, E3, E12), at the end of the last application thread (E2), and
 * in a child of fork (E6). */
#include "base/clock.h"
#include "base/last.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/text.h"
#include "base/thread.h"
#include "event/gate.h"
#include "event/listener.h"
#include "event/opening.h"
#include "event/subscribe.h"
#include <sched.h>
#include <stdlib.h>

static struct lock lock = LOCK_INIT;
static struct list loops = LIST_INIT(loops);
static struct list inherited = LIST_INIT(inherited); /* in a child: the parent's, until they are freed */

void end_list(struct thrum_loop *l)
{
    lock_take(&lock);
    list_push(&loops, &l->link);
    lock_give(&lock);
}

void end_unlist(struct thrum_loop *l)
{
    lock_take(&lock);
    list_remove(&l->link);
    lock_give(&lock);
}

/* ---- exit
 * -----------------------------------------------------------------------------------------------------------
 */

/* Waits until the loop's thread is outside, where it stays; false: it is busy inside, or it is this one, and
 * somebody whom the library calls from there (a log) ends the program. */
static bool is_ours(struct thrum_loop *l, int64_t tries)
{
    while (atomic_load(&l->place) != GATE_OUT) {
        if (loop_is_here(l) || clock_now() > tries)
            return false;
        sched_yield();
    }
    return true;
}

/* What had been read already is not the user's any more. */
static void silence(struct thrum_loop *l)
{
    for (uint32_t i = 0; i < l->nslots; i++) {
        struct lconn *c = loop_conn(l, i);
        if (c)
            c->deaf = true;
    }
}

/* Where the poller reads by itself: it would take away what lingering waits for. */
static void read_by_hand(struct thrum_loop *l)
{
    for (uint32_t i = 0; i < l->nslots; i++) {
        const struct lconn *c = loop_conn(l, i);
        if (c && !c->stream && (c->armed & POLLER_IN))
            poller_receive_stop(l->poller, c->fd);
    }
    poller_flush(l->poller);
}

static void goodbyes(struct thrum_loop *l, int64_t writes)
{
    if (l->reads_itself && registry_is_to_linger())
        read_by_hand(l);
    l->now = clock_now();
    l->told = true;
    for (uint32_t i = 0; i < l->nslots && clock_now() <= writes; i++) {
        struct lconn *c = loop_conn(l, i);
        if (c)
            lconn_goodbye(c, 1001);
    }
    poller_flush(l->poller);
}

static void goodbye(int64_t tries, int64_t writes)
{
    gate_barrier();
    if (!lock_try_until(&lock, tries))
        return;
    list_each (n, &loops) {
        struct thrum_loop *l = list_of(n, struct thrum_loop, link);
        if (!is_ours(l, tries))
            continue;
        silence(l);
        goodbyes(l, writes);
    }
    lock_give(&lock);
}

static bool lconn_lingers(struct lconn *c)
{
    thrum_closing closing = {.size = sizeof closing};
    if (c->ended || !c->proto || thrum_proto_state(c->proto) != THRUM_CLOSING)
        return false;
    bool busy = c->busy;
    c->busy = true; /* no callbacks, no end: only bytes */
    lconn_readable(c);
    lconn_write(c);
    c->busy = busy;
    return thrum_proto_closing(c->proto, &closing) == THRUM_OK && closing.recv_code == 0 && !c->in_ended;
}

/* The loop's own buffer may be in the hands of a callback. */
static bool loop_lingers(struct thrum_loop *l)
{
    static uint8_t spare[LOOP_HOT + 1];
    uint8_t *hot = l->hot;
    bool open = false;
    l->hot = spare;
    for (uint32_t i = 0; i < l->nslots; i++) {
        struct lconn *c = loop_conn(l, i);
        open |= c && lconn_lingers(c);
    }
    l->hot = hot;
    return open;
}

static bool lingers(void)
{
    bool open = false;
    if (!lock_try(&lock))
        return true;
    list_each (n, &loops) {
        struct thrum_loop *l = list_of(n, struct thrum_loop, link);
        open |= l->told && loop_lingers(l);
    }
    lock_give(&lock);
    return open;
}

/* ---- fork
 * -------------------------------------------------------------------------------------------------------------
 */

static void before_fork(void)
{
    lock_take(&lock);
}

static void after_fork(void)
{
    lock_give(&lock);
}

/* In a child whose callback called fork and comes back: what is left of the turn touches nothing that is the
 * parent's, too, and calls nothing of the user's a second time. Then thrum_loop_run answers E_FORKED. */
static void hold_still(struct thrum_loop *l)
{
    for (uint32_t i = 0; i < l->nslots; i++) {
        struct lconn *c = loop_conn(l, i);
        if (c) {
            c->busy = c->connecting = c->in_ended = c->deaf = c->ended = true;
            c->opened = c->is_client = false;
        }
    }
    list_each (n, &l->listeners)
        list_of(n, struct home, link)->drained = true;
}

static void forked(void)
{
    list_each_safe (n, next, &loops) {
        struct thrum_loop *l = list_of(n, struct thrum_loop, link);
        list_remove(n);
        list_push(&inherited, n);
        atomic_store(&l->mail, false);
        if (l->turning && loop_is_here(l))
            hold_still(l);
    }
    lock_give(&lock);
    opening_forked();
    last_forked();
}

static void free_conn(struct lconn *c)
{
    struct home *h = c->home;
    chunk_drop(c);
    if (c->stream)
        c->stream->ops->free(c->stream);
    else if (c->fd >= 0)
        (void)sys.close(c->fd);
    thrum_proto_free(c->proto);
    parked_free(&c->parked);
    names_free(c);
    if (h->topics)
        topic_unsubscribe_all(&h->topics->of, &c->topics);
    home_unref(h);
    mem_free(c);
}

static void close_sockets(struct home *h)
{
    if (h && h->accept)
        listen_close(&h->accept->net, false);
}

/* A thread that this process does not have may have held its locks; what they are for is changed a word at a
 * time. */
static void free_home(struct home *h)
{
    lock_reset(&h->listener->lock);
    lock_reset(&h->topics->lock);
    close_sockets(h);
    for (size_t i = 0; i < h->listener->nhomes; i++)
        if (h->listener->homes[i] == h) {
            h->listener->homes[i] = NULL;
            h->listener->loops[i] = NULL;
        }
    h->was_accept = h->accept ? h->accept : h->was_accept;
    list_remove(&h->link);
    home_unref(h);
}

/* No byte leaves, the parent's descriptors stay as they are: only the child's copies are closed. A loop whose
 * thread was inside at the fork may be half-changed, and is left as it is. */
thrum_status end_free_inherited(struct thrum_loop *l)
{
    if (loop_is_here(l) && l->turning)
        return THRUM_E_STATE;
    if (!loop_is_here(l) && atomic_load(&l->place) != GATE_OUT)
        return THRUM_OK;
    lock_take(&lock);
    list_remove(&l->link);
    lock_give(&lock);
    opening_free_inherited(l);
    for (uint32_t i = 0; i < l->nslots; i++) {
        struct lconn *c = loop_conn(l, i);
        if (c)
            free_conn(c);
    }
    lconn_bury(l);
    while (!list_empty(&l->listeners))
        free_home(list_of(l->listeners.next, struct home, link));
    timers_free(l);
    post_free_inherited(l);
    loop_free_parts(l);
    return THRUM_OK;
}

void end_free_inherited_listener(struct thrum_listener *s)
{
    lock_reset(&s->lock);
    s->refs -= atomic_load(&s->threads); /* the parent's */
    for (size_t i = 0; i < s->nhomes; i++) {
        close_sockets(s->homes[i]);
        if (s->owns_loops && s->loops[i])
            (void)end_free_inherited(s->loops[i]);
    }
    listener_unref(s);
}

/* ---- start
 * ------------------------------------------------------------------------------------------------------------
 */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_errno;

static void start_once(void)
{
    static const struct registry_front front = {.before_fork = before_fork,
                                                .after_fork = after_fork,
                                                .forked = forked,
                                                .goodbye = goodbye,
                                                .lingers = lingers};
    gate_open();
    thread_on_end(last_watch);
    once_errno = registry_start(&front);
}

thrum_status event_start(thrum_error *err)
{
    pthread_once(&once, start_once);
    if (once_errno)
        return error_os(err, THRUM_E_SYSTEM, once_errno,
                        "the exit and fork handlers could not be registered");
    if (!thread_self())
        return error_set(err, THRUM_E_MEMORY, "no memory for the calling thread's record");
    return THRUM_OK;
}
