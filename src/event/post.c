/* post.c: what other threads want of a loop, in the order in which it came. A letter is opened on the loop's
 * thread. */
#include "base/clock.h"
#include "base/mem.h"
#include "event/gate.h"
#include "base/thread.h"

thrum_status post_letter(struct thrum_loop *l, struct letter *x)
{
    thrum_status s = loop_mine(l);
    if (s != THRUM_OK)
        return s;
    int cancel = cancel_off();
    lock_take(&l->box_lock);
    bool first = list_empty(&l->box);
    if (l->box_shut)
        s = THRUM_E_CLOSED;
    else
        list_push(&l->box, &x->link);
    atomic_store(&l->mail, !list_empty(&l->box));
    /* Under the lock: what the letter does may be the end of the loop, which takes it once more. */
    if (s == THRUM_OK && first && !(loop_is_here(l) && l->turning))
        poller_wake(l->poller);
    lock_give(&l->box_lock);
    cancel_back(cancel);
    return s;
}

/* Without the lock, as this is asked in each turn: who posts wakes the loop after he has put the letter in.
 */
bool post_is_empty(const struct thrum_loop *l)
{
    return !atomic_load(&l->mail);
}

static void take_all(struct thrum_loop *l, struct list *mine, bool shut)
{
    lock_take(&l->box_lock);
    list_move(mine, &l->box);
    atomic_store(&l->mail, false);
    l->box_shut |= shut;
    lock_give(&l->box_lock);
}

static struct letter *first_of(struct list *mine)
{
    struct letter *x = list_of(mine->next, struct letter, link);
    list_remove(&x->link);
    return x;
}

static void open_all(struct thrum_loop *l, struct list *mine)
{
    while (!list_empty(mine)) {
        struct letter *x = first_of(mine);
        x->open(loop_mine(l) == THRUM_OK ? l : NULL, x);
    }
}

/* In front of what has come since. */
static void put_back(struct thrum_loop *l, struct list *mine)
{
    struct list since;
    lock_take(&l->box_lock);
    list_move(&since, &l->box);
    list_move(&l->box, mine);
    while (!list_empty(&since))
        list_push(&l->box, &first_of(&since)->link);
    lock_give(&l->box_lock);
}

/* What is posted while these are opened, or by a callback that runs later in the turn, waits for the next. */
void post_deliver(struct thrum_loop *l)
{
    struct list mine;
    if (post_is_empty(l))
        return;
    take_all(l, &mine, false);
    while (!list_empty(&mine) && gate_goes_on(l)) {
        struct letter *x = first_of(&mine);
        x->open(l, x);
    }
    if (!list_empty(&mine))
        put_back(l, &mine);
}

/* Who posts from within a turn does not wake the loop, so the turn does when it ends: the next does not
 * sleep. */
void post_turn_over(struct thrum_loop *l)
{
    if (!post_is_empty(l) && gate_goes_on(l))
        poller_wake(l->poller);
}

void post_return_all(struct thrum_loop *l)
{
    struct list mine;
    take_all(l, &mine, true);
    l->ending = true;
    open_all(l, &mine);
}

/* Whoever had the lock at the fork put a letter in: word by word, the last of which makes it one. */
void post_free_inherited(struct thrum_loop *l)
{
    lock_reset(&l->box_lock);
    open_all(l, &l->box);
}

struct posted {
    struct letter letter; /* first */
    thrum_id to;
    void (*fn)(thrum_conn *c, void *arg);
    void *arg;
};

static void open_posted(struct thrum_loop *l, struct letter *x)
{
    const struct posted p = *(struct posted *)(void *)x;
    mem_free(x); /* fn need not come back */
    if (!l)
        return;
    struct lconn *c = l->ending ? NULL : lconn_find(l, p.to);
    gate_out(l);
    p.fn((thrum_conn *)(void *)c, p.arg);
    gate_in(l);
}

thrum_status thrum_post(thrum_loop *l, thrum_id to, void (*fn)(thrum_conn *c, void *arg), void *arg)
{
    thrum_status s = loop_mine(l);
    if (s != THRUM_OK || !fn)
        return s != THRUM_OK ? s : THRUM_E_ARGUMENT;
    struct posted *p = mem_alloc(sizeof *p);
    if (!p)
        return THRUM_E_MEMORY;
    *p = (struct posted){.letter.open = open_posted, .to = to, .fn = fn, .arg = arg};
    s = post_letter(l, &p->letter);
    if (s != THRUM_OK)
        mem_free(p);
    return s;
}

/* ---- timers of the user's
 * ------------------------------------------------------------------------------------ */

struct user_timer {
    struct later later; /* first */
    struct list link;
    struct thrum_loop *loop;
    thrum_id id;
    void (*fn)(void *arg);
    void *arg;
};

static void timer_free(struct user_timer *t)
{
    wheel_cancel(&t->loop->others, &t->later.timer);
    list_remove(&t->link);
    t->loop->others_alive--;
    mem_free(t);
}

static void timer_due(struct later *x)
{
    struct user_timer *t = (struct user_timer *)(void *)x;
    struct thrum_loop *l = t->loop;
    void (*fn)(void *) = t->fn;
    void *arg = t->arg;
    timer_free(t);
    gate_out(l);
    fn(arg);
    gate_in(l);
}

thrum_status thrum_loop_after(thrum_loop *l, thrum_wait t, void (*fn)(void *arg), void *arg, thrum_id *timer)
{
    thrum_status s = loop_mine(l);
    if (s != THRUM_OK || !fn || t < 0)
        return s != THRUM_OK ? s : THRUM_E_ARGUMENT;
    if (!loop_is_here(l))
        return THRUM_E_THREAD;
    struct user_timer *x = mem_zalloc(sizeof *x);
    if (!x)
        return THRUM_E_MEMORY;
    gate_in(l);
    x->later.fn = timer_due;
    x->loop = l;
    x->id = ++l->timer_ids;
    x->fn = fn;
    x->arg = arg;
    list_push(&l->timers, &x->link);
    l->others_alive++;
    wheel_set(&l->others, &x->later.timer, clock_after(clock_now(), t));
    if (timer)
        *timer = x->id;
    loop_after_call(l);
    gate_out(l);
    return THRUM_OK;
}

bool thrum_loop_cancel(thrum_loop *l, thrum_id timer)
{
    if (loop_mine(l) != THRUM_OK || !loop_is_here(l))
        return false;
    list_each (n, &l->timers) {
        struct user_timer *t = list_of(n, struct user_timer, link);
        if (t->id != timer)
            continue;
        timer_free(t);
        return true;
    }
    return false;
}

void timers_free(struct thrum_loop *l)
{
    while (!list_empty(&l->timers))
        timer_free(list_of(l->timers.next, struct user_timer, link));
}
