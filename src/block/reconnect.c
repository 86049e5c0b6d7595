/* reconnect.c: the calls of a reconnecting client. Whoever finds the connection ended starts the thread that
 * makes a new one; whoever needs one waits for the news. */
#include "base/clock.h"
#include "base/exit.h"
#include "base/fork.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/sys.h"
#include "base/text.h"
#include "block/block.h"
#include "block/client.h"
#include "block/reconnect_int.h"
#include "conn/target.h"
#include "net/wait_int.h"
#include "wire/closecode.h"
#include "wire/utf8.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- the object -----------------------------------------------------------------------------------------
 */

void thrum_reconnect_options_init(thrum_reconnect_options *o, size_t size)
{
    if (!o)
        return;
    memset(o, 0, size);
    o->size = size;
}

static void destroy(struct thrum_reconnect *r)
{
    for (struct letter *l; (l = unsent_take(&r->unsent));)
        mem_free(l);
    thrum_conn_free(r->conn);
    thrum_conn_free(r->last);
    if (r->news >= 0)
        (void)sys.close(r->news);
    if (r->token.bell >= 0)
        connect_token_free(&r->token);
    settings_unshare(r->settings);
    mem_free(r->url);
    lock_destroy(&r->lock);
    mem_free(r);
}

void reconnect_unref(struct thrum_reconnect *r)
{
    lock_take(&r->lock);
    const bool last = --r->refs == 0;
    lock_give(&r->lock);
    if (last)
        destroy(r);
}

static thrum_status bad_span(const char *name, thrum_error *err)
{
    return error_set(err, THRUM_E_ARGUMENT, ".%s is in milliseconds: 0 the default, THRUM_FOREVER, or more",
                     name);
}

static thrum_status read_options(thrum_reconnect_options *o, const thrum_reconnect_options *given,
                                 thrum_error *err)
{
    thrum_status s = options_read(o, sizeof *o, given, err);
    if (s != THRUM_OK)
        return s;
    if (o->delay_first < 0)
        return bad_span("delay_first", err);
    if (o->delay_most < 0)
        return bad_span("delay_most", err);
    if (o->retry_after < THRUM_FOREVER)
        return bad_span("retry_after", err);
    if (o->give_up < THRUM_FOREVER)
        return bad_span("give_up", err);
    if (o->drop_oldest < THRUM_DEFAULT || o->drop_oldest > THRUM_OFF)
        return error_set(err, THRUM_E_ARGUMENT, ".drop_oldest is THRUM_DEFAULT, THRUM_ON or THRUM_OFF");
    if (o->spare != 0)
        return error_set(err, THRUM_E_TOO_NEW, "an option is set that this thrum does not know (.spare)");
    o->delay_first = o->delay_first ? o->delay_first : 500;
    o->delay_most = o->delay_most ? o->delay_most : 30000;
    o->retry_after = o->retry_after ? o->retry_after : INT64_C(3600) * 1000;
    o->give_up = o->give_up ? o->give_up : THRUM_FOREVER;
    return THRUM_OK;
}

static thrum_status fill(struct thrum_reconnect *r, const char *url, const thrum_client_options *co,
                         const thrum_reconnect_options *o, thrum_error *err)
{
    thrum_response **unused;
    thrum_status s = read_options(&r->o, o, err);
    if (!url)
        return error_set(err, THRUM_E_ARGUMENT, "the URL is NULL");
    s = s ? s : client_settings(&r->settings, co, &unused, err);
    if (s != THRUM_OK)
        return s;
    struct target t = {0};
    s = target_first(&t, url, r->settings, err); /* a bad URL is better told now */
    target_free(&t);
    if (s != THRUM_OK)
        return s;
    if (!(r->url = mem_strdup(url)))
        return error_set(err, THRUM_E_MEMORY, "no memory for the URL");
    r->backoff = (struct backoff){.first = r->o.delay_first, .most = r->o.delay_most};
    unsent_init(&r->unsent, r->o.outbox_messages, r->o.outbox_bytes);
    int e = connect_token_init(&r->token);
    if (e)
        r->token.bell = -1;
    r->news = e ? -1 : sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->news < 0)
        return error_os(err, THRUM_E_SYSTEM, e ? e : errno, "no descriptor for a reconnecting client");
    return THRUM_OK;
}

thrum_status thrum_reconnect_new(thrum_reconnect **out, const char *url, const thrum_client_options *co,
                                 const thrum_reconnect_options *o, thrum_error *err)
{
    thrum_error mine;
    err = err ? err : &mine;
    memset(err, 0, sizeof *err);
    if (!out)
        return error_set(err, THRUM_E_ARGUMENT, "there is no place for the client: out is NULL");
    *out = NULL;
    thrum_status s = block_start(err);
    if (s != THRUM_OK)
        return s;
    int cancel = cancel_off();
    struct thrum_reconnect *r = mem_zalloc(sizeof *r);
    if (!r || lock_init(&r->lock) != 0) {
        mem_free(r);
        cancel_back(cancel);
        return error_set(err, THRUM_E_MEMORY, "no memory for a reconnecting client");
    }
    r->generation = atomic_load(&fork_generation);
    r->refs = 1;
    r->news = r->token.bell = -1;
    unsent_init(&r->unsent, 0, 0);
    s = fill(r, url, co, o, err);
    if (s == THRUM_OK)
        *out = r;
    else
        destroy(r);
    cancel_back(cancel);
    return s;
}

static thrum_status mine(const struct thrum_reconnect *r)
{
    if (!r)
        return THRUM_E_ARGUMENT;
    return r->generation == atomic_load(&fork_generation) ? THRUM_OK : THRUM_E_FORKED;
}

/* ---- phases ---------------------------------------------------------------------------------------------
 */

void reconnect_set_phase(struct thrum_reconnect *r, thrum_phase p)
{
    const bool was = r->phase >= THRUM_PHASE_OPEN, is = p >= THRUM_PHASE_OPEN;
    uint64_t n = 1;
    r->phase = p;
    if (is && !was)
        (void)sys.write(r->news, &n, sizeof n);
    else if (was && !is)
        (void)sys.read(r->news, &n, sizeof n);
}

/* ---- callbacks -------------------------------------------------------------------------------------------
 * What they are given (arg) may be gone when thrum_reconnect_free has returned: so it waits for those that
 * run, but not for the ones that it is called from. */

static _Thread_local struct telling *innermost;

/* [held] */
static void begin_telling(struct telling *k, struct thrum_reconnect *r)
{
    r->told++;
    *k = (struct telling){.up = innermost, .r = r};
    innermost = k;
}

bool reconnect_may_tell(struct telling *k, struct thrum_reconnect *r)
{
    int cancel = cancel_off();
    lock_take(&r->lock);
    const bool may = !r->mute;
    if (may)
        begin_telling(k, r);
    lock_give(&r->lock);
    k->cancel = cancel;
    if (!may)
        cancel_back(cancel);
    return may;
}

static void end_telling(const struct telling *k, struct thrum_reconnect *r)
{
    innermost = k->up;
    lock_take(&r->lock);
    r->told--;
    if (r->freer)
        thread_wake(r->freer);
    lock_give(&r->lock);
}

void reconnect_have_told(struct telling *k, struct thrum_reconnect *r)
{
    end_telling(k, r);
    cancel_back(k->cancel);
}

static size_t told_here(const struct thrum_reconnect *r)
{
    size_t n = 0;
    for (const struct telling *k = innermost; k; k = k->up)
        n += k->r == r;
    return n;
}

/* From here on no callback begins, and none runs but those that this call is made from. Once the program ends
 * nobody is waited for: a thread that is in a callback may stand still for good (E12). */
static void fall_silent(struct thrum_reconnect *r)
{
    const size_t here = told_here(r);
    struct thread *self = thread_self();
    const int fd = self ? thread_wake_fd(self) : -1;
    struct pollfd v = {.fd = fd, .events = POLLIN};
    lock_take(&r->lock);
    r->mute = true;
    while (r->told > here && !atomic_load(&exit_begun)) {
        r->freer = fd >= 0 ? self : NULL;
        lock_give(&r->lock);
        if (fd >= 0) {
            (void)sys.poll(&v, 1, -1);
            thread_unwake(self);
        } else {
            (void)sched_yield(); /* no descriptor to be woken by */
        }
        lock_take(&r->lock);
    }
    r->freer = NULL;
    lock_give(&r->lock);
}

void reconnect_tell(struct thrum_reconnect *r, thrum_phase p, const thrum_error *why, int64_t wait)
{
    struct telling k;
    if (!r->o.on_phase || !reconnect_may_tell(&k, r))
        return;
    r->o.on_phase(p, why, wait, r->o.arg);
    reconnect_have_told(&k, r);
}

/* Letters that nobody will get. */
static void tell_dropped(struct thrum_reconnect *r, struct list *letters)
{
    while (!list_empty(letters)) {
        struct letter *l = list_of(letters->next, struct letter, link);
        struct telling k;
        list_remove(&l->link);
        if (r->o.on_dropped && reconnect_may_tell(&k, r)) {
            r->o.on_dropped(l->kind, l->data, l->n, r->o.arg);
            reconnect_have_told(&k, r);
        }
        mem_free(l);
    }
}

void reconnect_drop(struct thrum_reconnect *r, struct letter *l)
{
    struct list one = LIST_INIT(one);
    lock_take(&r->lock);
    r->dropped_messages++;
    r->dropped_bytes += l->n;
    lock_give(&r->lock);
    list_push(&one, &l->link);
    tell_dropped(r, &one);
}

/* [held] */
static void drop_oldest(struct thrum_reconnect *r, struct list *dropped)
{
    struct letter *l = unsent_take(&r->unsent);
    r->dropped_messages++;
    r->dropped_bytes += l->n;
    list_push(dropped, &l->link);
}

bool reconnect_end(struct thrum_reconnect *r, thrum_status end, const thrum_error *why, thrum_conn **left)
{
    struct list dropped = LIST_INIT(dropped);
    struct telling k;
    lock_take(&r->lock);
    const bool first = r->phase != THRUM_PHASE_CLOSED;
    if (first) {
        begin_telling(&k, r); /* who sees that it is closed, and frees it, waits until that was told */
        r->end = end;
        reconnect_set_phase(r, THRUM_PHASE_CLOSED);
        while (r->unsent.messages > 0)
            drop_oldest(r, &dropped);
        *left = r->conn ? r->conn : r->handed ? thrum_conn_ref(r->handed) : NULL;
        r->conn = NULL;
    }
    lock_give(&r->lock);
    if (!first)
        return false;
    connect_token_cancel(&r->token);
    tell_dropped(r, &dropped);
    if (r->o.on_phase)
        r->o.on_phase(THRUM_PHASE_CLOSED, why, 0, r->o.arg);
    end_telling(&k, r);
    return true;
}

/* [held] There is to be a thread that connects. */
static thrum_status start_thread(struct thrum_reconnect *r)
{
    if (r->running)
        return THRUM_OK;
    if (r->phase == THRUM_PHASE_IDLE)
        r->alone_since = clock_now();
    r->refs++;
    r->running = true;
    int e = thread_start(reconnect_main, r, "reconnect", 0);
    if (e == 0)
        return THRUM_OK;
    r->refs--;
    r->running = false;
    error_os(&r->error, THRUM_E_SYSTEM, e, "no thread to connect with");
    return e == ECANCELED ? THRUM_E_CANCELLED : THRUM_E_SYSTEM;
}

/* A call has found that c has ended, and nothing is left to take from it. */
static void lost(struct thrum_reconnect *r, thrum_conn *c)
{
    thrum_conn *before = NULL;
    lock_take(&r->lock);
    if (r->conn == c) {
        const int64_t now = clock_now();
        before = r->last;
        r->last = c;
        r->conn = NULL;
        thrum_conn_error(c, &r->error);
        if (now - r->opened_at >= backoff_ceiling(&r->backoff) * CLOCK_MS)
            r->backoff.n = 0;
        r->alone_since = now;
        r->again = r->lost = true;
        reconnect_set_phase(r, THRUM_PHASE_WAITING);
        (void)start_thread(r); /* else the next call tries again */
    }
    lock_give(&r->lock);
    thrum_conn_free(before);
}

/* What the connection before had received, and a send was the one to find it ended. False: nothing is left.
 */
static bool take_left(struct thrum_reconnect *r, thrum_message *m)
{
    lock_take(&r->lock);
    thrum_conn *c = r->last ? thrum_conn_ref(r->last) : NULL, *done = NULL;
    lock_give(&r->lock);
    if (!c)
        return false;
    int cancel = cancel_off(); /* it does not wait */
    const bool taken = thrum_recv(c, m, 0) == THRUM_OK;
    lock_take(&r->lock);
    if (!taken && r->last == c) {
        done = c;
        r->last = NULL;
    }
    lock_give(&r->lock);
    thrum_conn_free(done);
    thrum_conn_free(c);
    cancel_back(cancel);
    return taken;
}

/* ---- waiting for a connection ---------------------------------------------------------------------------
 */

static void let_go(void *r)
{
    reconnect_unref(r);
}

struct search {
    struct thrum_reconnect *r; /* with a reference */
    int64_t deadline;
    thrum_conn *found;
};

/* [held] OK: *found, or NULL: wait for news. */
static thrum_status look(struct search *q)
{
    struct thrum_reconnect *r = q->r;
    q->found = NULL;
    if (r->phase == THRUM_PHASE_CLOSED)
        return r->end;
    if (r->phase != THRUM_PHASE_OPEN)
        return start_thread(r);
    q->found = thrum_conn_ref(r->conn);
    return THRUM_OK;
}

static thrum_status search(void *arg)
{
    struct search *q = arg;
    struct pollfd v = {.fd = q->r->news, .events = POLLIN};
    for (;;) {
        lock_take(&q->r->lock);
        thrum_status s = look(q);
        lock_give(&q->r->lock);
        const int64_t now = clock_now();
        if (s != THRUM_OK || q->found)
            return s;
        if (now >= q->deadline)
            return THRUM_E_TIMEOUT;
        const int n = wait_poll(&v, 1, clock_poll_ms(now, q->deadline), let_go, q->r);
        if (n < 0 && (errno != EINTR || q->r->settings->s.interruptible))
            return errno == EINTR ? THRUM_E_INTERRUPTED : THRUM_E_SYSTEM;
    }
}

static void drop_handle(void *c)
{
    thrum_conn_free(c);
}

static void enter(struct thrum_reconnect *r)
{
    lock_take(&r->lock);
    r->refs++;
    lock_give(&r->lock);
}

/* OK: *c is a handle of the caller's, and a reference on r is his, too. A cancellation point. */
static thrum_status find(struct thrum_reconnect *r, int64_t deadline, thrum_conn **c)
{
    struct search q = {.r = r, .deadline = deadline};
    *c = NULL;
    thrum_status s = connect_long_call(search, &q);
    *c = q.found;
    return s;
}

static bool is_wait(thrum_wait t)
{
    return t >= 0 || t == THRUM_FOREVER;
}

thrum_status thrum_reconnect_wait(thrum_reconnect *r, thrum_wait t)
{
    thrum_conn *c;
    thrum_status s = mine(r);
    if (s != THRUM_OK || !is_wait(t))
        return s ? s : THRUM_E_ARGUMENT;
    enter(r);
    s = find(r, clock_after(clock_now(), t), &c);
    thrum_conn_free(c);
    reconnect_unref(r);
    return s;
}

/* ---- messages -------------------------------------------------------------------------------------------
 */

/* Has the connection ended, so that this is what the call's failure means? */
static bool has_ended(const thrum_conn *c, thrum_status s)
{
    thrum_error e;
    switch (s) {
    case THRUM_OK:
    case THRUM_E_TIMEOUT:
    case THRUM_E_CANCELLED:
    case THRUM_E_INTERRUPTED:
    case THRUM_E_ARGUMENT:
    case THRUM_E_STATE:
    case THRUM_E_UNFINISHED: return false;
    default: break;
    }
    thrum_conn_error(c, &e);
    return e.status != THRUM_OK;
}

static thrum_wait time_left(int64_t deadline)
{
    return deadline == CLOCK_NEVER ? THRUM_FOREVER : clock_poll_ms(clock_now(), deadline);
}

struct holding {
    struct thrum_reconnect *r;
    thrum_conn *c;
};
static void let_go_both(void *arg)
{
    struct holding *h = arg;
    drop_handle(h->c);
    reconnect_unref(h->r);
}

/* In a function of its own, as pthread_cleanup_push saves registers like setjmp. */
static thrum_status receive(struct holding *h, thrum_message *m, thrum_wait t)
{
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push(let_go_both, h);
    s = thrum_recv(h->c, m, t);
    pthread_cleanup_pop(0);
    return s;
}

thrum_status thrum_reconnect_recv(thrum_reconnect *r, thrum_message *m, thrum_wait t)
{
    struct holding h = {.r = r};
    thrum_status s = mine(r);
    if (s != THRUM_OK || !m || !is_wait(t))
        return s ? s : THRUM_E_ARGUMENT;
    const int64_t deadline = clock_after(clock_now(), t);
    enter(r);
    for (bool again = !take_left(r, m); again;) {
        s = find(r, deadline, &h.c);
        if (s != THRUM_OK)
            break;
        s = receive(&h, m, time_left(deadline));
        again = has_ended(h.c, s);
        if (again)
            lost(r, h.c);
        thrum_conn_free(h.c);
    }
    reconnect_unref(r);
    return s;
}

struct outgoing {
    thrum_kind kind;
    const void *p;
    size_t n;
};

static thrum_status send_on(struct holding *h, const struct outgoing *m)
{
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push(let_go_both, h);
    s = thrum_send(h->c, m->kind, m->p, m->n);
    pthread_cleanup_pop(0);
    return s;
}

/* OK: it waits in the outbox. E_STATE: there is a connection by now. */
static thrum_status post(struct thrum_reconnect *r, const struct outgoing *m)
{
    struct list dropped = LIST_INIT(dropped);
    struct letter *l = unsent_may(&r->unsent, m->n) ? letter_new(m->kind, m->p, m->n) : NULL;
    if (!l)
        return unsent_may(&r->unsent, m->n) ? THRUM_E_MEMORY : THRUM_E_FULL;
    lock_take(&r->lock);
    thrum_status s = r->phase == THRUM_PHASE_CLOSED ? r->end
                     : r->phase == THRUM_PHASE_OPEN ? THRUM_E_STATE
                                                    : start_thread(r);
    while (s == THRUM_OK && !unsent_fits(&r->unsent, m->n) && r->o.drop_oldest == THRUM_ON)
        drop_oldest(r, &dropped);
    if (s == THRUM_OK && !unsent_fits(&r->unsent, m->n))
        s = THRUM_E_FULL;
    if (s == THRUM_OK)
        unsent_push(&r->unsent, l);
    lock_give(&r->lock);
    if (s != THRUM_OK)
        mem_free(l);
    tell_dropped(r, &dropped);
    return s;
}

static thrum_status send_somehow(struct thrum_reconnect *r, const struct outgoing *m, int64_t deadline)
{
    for (;;) {
        struct holding h = {.r = r};
        const bool box = r->unsent.most_messages > 0;
        thrum_status s = find(r, box ? INT64_MIN : deadline, &h.c);
        if (s == THRUM_E_TIMEOUT && box) {
            s = post(r, m);
            if (s == THRUM_E_STATE)
                continue;
        }
        if (!h.c)
            return s;
        s = send_on(&h, m);
        const bool again = has_ended(h.c, s);
        if (again)
            lost(r, h.c);
        thrum_conn_free(h.c);
        if (!again)
            return s;
    }
}

thrum_status thrum_reconnect_send(thrum_reconnect *r, thrum_kind k, const void *p, size_t n, thrum_wait t)
{
    const struct outgoing m = {k, p, n};
    thrum_status s = mine(r);
    if (s != THRUM_OK || (k != THRUM_TEXT && k != THRUM_BINARY) || (!p && n > 0) || !is_wait(t))
        return s ? s : THRUM_E_ARGUMENT;
    if (k == THRUM_TEXT && !utf8_valid(p, n))
        return THRUM_E_UTF8;
    enter(r);
    s = send_somehow(r, &m, clock_after(clock_now(), t));
    reconnect_unref(r);
    return s;
}

/* ---- ask ------------------------------------------------------------------------------------------------
 */

thrum_conn *thrum_reconnect_conn(thrum_reconnect *r)
{
    if (mine(r) != THRUM_OK)
        return NULL;
    lock_take(&r->lock);
    thrum_conn *c = r->conn ? thrum_conn_ref(r->conn) : NULL;
    lock_give(&r->lock);
    return c;
}

/* The lock of a const object: asking changes nothing that the caller can see. */
static struct thrum_reconnect *hold(const struct thrum_reconnect *r)
{
    struct thrum_reconnect *own = (struct thrum_reconnect *)(uintptr_t)r;
    if (mine(r) != THRUM_OK)
        return NULL;
    lock_take(&own->lock);
    return own;
}

thrum_phase thrum_reconnect_phase(const thrum_reconnect *r)
{
    struct thrum_reconnect *own = hold(r);
    if (!own)
        return THRUM_PHASE_CLOSED;
    const thrum_phase p = own->phase;
    lock_give(&own->lock);
    return p;
}

void thrum_reconnect_error(const thrum_reconnect *r, thrum_error *err)
{
    if (!err)
        return;
    struct thrum_reconnect *own = hold(r);
    if (!own) {
        const thrum_status s = mine(r);
        error_set(err, s, "%s", thrum_status_text(s));
        return;
    }
    *err = own->error;
    lock_give(&own->lock);
}

thrum_status thrum_reconnect_count(const thrum_reconnect *r, thrum_reconnect_counts *out)
{
    if (!out || out->size != sizeof *out)
        return THRUM_E_ARGUMENT;
    struct thrum_reconnect *own = hold(r);
    if (!own)
        return mine(r);
    *out = (thrum_reconnect_counts){
        .size = sizeof *out,
        .attempts = own->attempts,
        .connections = own->connections,
        .outbox_messages = own->unsent.messages,
        .outbox_bytes = own->unsent.bytes,
        .dropped_messages = own->dropped_messages,
        .dropped_bytes = own->dropped_bytes,
    };
    lock_give(&own->lock);
    return THRUM_OK;
}

/* ---- the end --------------------------------------------------------------------------------------------
 */

static thrum_status close_handle(struct holding *h, uint16_t code, const char *why)
{
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push(let_go_both, h);
    s = thrum_close(h->c, code, why);
    pthread_cleanup_pop(0);
    return s;
}

thrum_status thrum_reconnect_close(thrum_reconnect *r, uint16_t code, const char *why)
{
    struct holding h = {.r = r};
    thrum_status s = mine(r);
    const size_t len = why ? strlen(why) : 0;
    if (s != THRUM_OK)
        return s;
    if ((code && !closecode_on_wire(code)) || len > 123 || (len > 0 && code == 0) ||
        !utf8_valid((const uint8_t *)why, len))
        return THRUM_E_ARGUMENT;
    enter(r);
    int cancel = cancel_off();
    (void)reconnect_end(r, THRUM_E_CLOSED, NULL, &h.c);
    cancel_back(cancel);
    if (h.c) {
        s = close_handle(&h, code, why);
        thrum_conn_free(h.c);
    }
    reconnect_unref(r);
    return s;
}

void thrum_reconnect_free(thrum_reconnect *r)
{
    thrum_conn *c = NULL;
    if (!r)
        return;
    if (mine(r) != THRUM_OK) { /* its thread, if it had one, is not in this process, nor is any call inside */
        destroy(r);
        return;
    }
    int cancel = cancel_off();
    (void)reconnect_end(r, THRUM_E_CLOSED, NULL, &c);
    thrum_cancel(c); /* a hook that waits on it comes back */
    thrum_conn_free(c);
    fall_silent(r);
    reconnect_unref(r);
    cancel_back(cancel);
}
