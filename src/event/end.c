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

static struct { /* the first of our own loops' threads looks; the rest under its letters */
    struct later later;
    struct letter letter;
    struct last last;
    struct thrum_loop *loop;
    _Atomic bool posted;
} watch;

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
    if (watch.loop == l) {
        wheel_cancel(&l->others, &watch.later.timer);
        watch.loop = NULL;
    }
    lock_give(&lock);
}

/* ---- exit
 * -----------------------------------------------------------------------------------------------------------
 */

/* Waits until the loop's thread is outside, where it stays; false: it is busy inside. */
static bool is_ours(struct thrum_loop *l, int64_t tries)
{
    while (!loop_is_here(l) && atomic_load(&l->place) != GATE_OUT) {
        if (clock_now() > tries)
            return false;
        sched_yield();
    }
    return true;
}

/* What had been read already is not the user's any more; the buffer that it lies in may be in a callback's
 * hands. */
static void silence(struct thrum_loop *l)
{
    for (uint32_t i = 0; i < l->nslots; i++) {
        struct lconn *c = loop_conn(l, i);
        if (c)
            c->deaf = true;
    }
}

static void goodbyes(struct thrum_loop *l, int64_t writes)
{
    l->now = clock_now();
    l->ending = true;
    for (uint32_t i = 0; i < l->nslots && clock_now() <= writes; i++) {
        struct lconn *c = loop_conn(l, i);
        if (c)
            lconn_goodbye(c, 1001);
    }
    poller_flush(l->poller);
}

static void goodbye(int64_t tries, int64_t writes)
{
    gate_i_end_the_program();
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
    c->busy = true; /* no callbacks, no end: only bytes */
    lconn_readable(c);
    lconn_write(c);
    return thrum_proto_closing(c->proto, &closing) == THRUM_OK && closing.recv_code == 0 && !c->in_ended;
}

static bool lingers(void)
{
    bool open = false;
    if (!lock_try(&lock))
        return true;
    list_each (n, &loops) {
        struct thrum_loop *l = list_of(n, struct thrum_loop, link);
        for (uint32_t i = 0; l->ending && i < l->nslots; i++) {
            struct lconn *c = loop_conn(l, i);
            open |= c && lconn_lingers(c);
        }
    }
    lock_give(&lock);
    return open;
}

/* ---- the last application thread
 * -------------------------------------------------------------------------------------- */

static void look(struct later *x)
{
    (void)x;
    struct thrum_loop *l = watch.loop;
    if (last_look(&watch.last, l->now)) {
        LOG(LOG_LOOP, LOG_INFO, 0, "the last application thread has ended: exit(0)");
        exit(0);
    }
    if (last_must(&watch.last, 0))
        wheel_set(&l->others, &watch.later.timer, last_next(&watch.last));
}

static void open_watch(struct thrum_loop *l, struct letter *x)
{
    (void)x;
    atomic_store(&watch.posted, false);
    if (l->ending)
        return;
    lock_take(&lock);
    watch.loop = l;
    lock_give(&lock);
    watch.later.fn = look;
    last_announced(&watch.last, l->now);
    look(&watch.later);
}

/* An application thread ends. Where loops have threads of their own, one of these finds out whether it was
 * the last; where there is a warden, that does, too. */
static void announce(void)
{
    if (atomic_load(&exit_begun) || atomic_exchange(&watch.posted, true))
        return;
    bool posted = false;
    lock_take(&lock);
    list_each (n, &loops) {
        struct thrum_loop *l = list_of(n, struct thrum_loop, link);
        if (!l->listeners_own || posted || (watch.loop && watch.loop != l))
            continue;
        watch.letter.open = open_watch;
        posted = post_letter(l, &watch.letter) == THRUM_OK;
    }
    lock_give(&lock);
    if (!posted)
        atomic_store(&watch.posted, false);
}

/* ---- fork
 * -------------------------------------------------------------------------------------------------------------
 */

static void forked(void)
{
    if (lock_try(&lock)) {
        list_each_safe (n, next, &loops) {
            list_remove(n);
            list_push(&inherited, n);
        }
        lock_give(&lock);
    } else {
        lock_reset(&lock);
        list_init(&loops); /* half-changed: not walked again */
    }
    opening_forked();
    watch.loop = NULL;
    watch.last = (struct last){0};
    list_init(&watch.letter.link);
    watch.later.timer = (struct wheel_node){0};
    atomic_store(&watch.posted, false);
}

static void free_conn(struct lconn *c)
{
    if (c->stream)
        c->stream->ops->free(c->stream);
    else if (c->fd >= 0)
        (void)sys.close(c->fd);
    thrum_proto_free(c->proto);
    parked_free(&c->parked);
    names_free(c);
    if (c->home->topics)
        topic_unsubscribe_all(&c->home->topics->of, &c->topics);
    mem_free(c);
}

/* No byte leaves, the parent's descriptors stay as they are: only the child's copies are closed. A loop whose
 * thread was inside at the fork may be half-changed, and is left as it is. */
void end_free_inherited(struct thrum_loop *l)
{
    if (atomic_load(&l->place) != GATE_OUT && !loop_is_here(l))
        return;
    lock_take(&lock);
    list_remove(&l->link);
    lock_give(&lock);
    for (uint32_t i = 0; i < l->nslots; i++) {
        struct lconn *c = loop_conn(l, i);
        if (c)
            free_conn(c);
    }
    loop_free_parts(l);
}

/* Its memory is left: a thread of the parent's may have been changing it. */
void end_free_inherited_listener(struct thrum_listener *s)
{
    for (size_t i = 0; i < s->nhomes; i++) {
        struct home *h = s->homes[i];
        for (int k = 0; h && h->accept && k < h->accept->net.n; k++) {
            (void)sys.close(h->accept->net.fds[k]);
            h->accept->net.fds[k] = -1;
        }
    }
    for (size_t i = 0; s->owns_loops && i < s->nhomes; i++)
        if (s->loops[i])
            end_free_inherited(s->loops[i]);
    s->owns_loops = false;
}

/* ---- start
 * ------------------------------------------------------------------------------------------------------------
 */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_errno;

static void start_once(void)
{
    static const struct registry_front front = {.forked = forked, .goodbye = goodbye, .lingers = lingers};
    gate_open();
    thread_on_end(announce);
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
