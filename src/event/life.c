/* life.c: connections: birth, names, time, and the end. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"
#include "base/text.h"
#include "event/gate.h"
#include "event/listener.h"
#include "event/opening.h"
#include "event/subscribe.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

enum { SLOT_BITS = 24 };
#define SLOT_MASK ((UINT32_C(1) << SLOT_BITS) - 1)

/* ---- ids: a number that is never used twice, and the place in the loop's table
 * --------------------------------- */

/* A free place holds the number of the next one, marked by its low bit. */
static struct lconn *free_mark(uint32_t next)
{
    return (struct lconn *)((uintptr_t)next << 1 | 1);
}

static bool slots_grow(struct thrum_loop *l)
{
    uint32_t n =
        l->nslots + l->nslots / 4 + 64; /* little more than is used: it is memory of each connection */
    struct lconn **v = n <= SLOT_MASK ? mem_resize(l->slots, n * sizeof(struct lconn *)) : NULL;
    if (!v)
        return false;
    for (uint32_t i = n; i-- > l->nslots;) {
        v[i] = free_mark(l->free_slot);
        l->free_slot = i;
    }
    l->slots = v;
    l->nslots = n;
    return true;
}

static bool slot_take(struct thrum_loop *l, struct lconn *c)
{
    if (l->free_slot == UINT32_MAX && !slots_grow(l))
        return false;
    uint32_t i = l->free_slot;
    l->free_slot = (uint32_t)((uintptr_t)l->slots[i] >> 1);
    l->slots[i] = c;
    c->id = conn_next_id() << SLOT_BITS | i;
    l->nconns++;
    return true;
}

static void slot_give(struct thrum_loop *l, const struct lconn *c)
{
    uint32_t i = (uint32_t)c->id & SLOT_MASK;
    l->slots[i] = free_mark(l->free_slot);
    l->free_slot = i;
    l->nconns--;
}

struct lconn *loop_conn(const struct thrum_loop *l, uint32_t i)
{
    return i < l->nslots && !((uintptr_t)l->slots[i] & 1) ? l->slots[i] : NULL;
}

struct lconn *lconn_find(const struct thrum_loop *l, thrum_id id)
{
    struct lconn *c = loop_conn(l, (uint32_t)id & SLOT_MASK);
    return c && c->id == id && !c->ended ? c : NULL;
}

/* ---- birth
 * ------------------------------------------------------------------------------------------------------ */

static void close_descriptor(struct lconn *c)
{
    if (c->stream)
        c->stream->ops->free(c->stream);
    else if (c->fd >= 0)
        (void)sys.close(c->fd);
    c->stream = NULL;
    c->fd = -1;
}

struct lconn *lconn_new(struct home *h, int fd, struct stream *stream, thrum_error *err)
{
    struct lconn *c = mem_zalloc(sizeof *c);
    if (c && slot_take(h->loop, c)) {
        c->home = h;
        c->stream = stream;
        c->fd = fd;
        c->is_client = !h->listener;
        c->parked.latency = -1;
        atomic_fetch_add(&h->refs, 1);
        h->conns++;
        return c;
    }
    mem_free(c);
    if (stream)
        stream->ops->free(stream);
    else if (fd >= 0)
        (void)sys.close(fd);
    error_set(err, THRUM_E_MEMORY, "no memory for a connection");
    return NULL;
}

static int host_random(void *ctx, uint8_t *p, size_t n)
{
    (void)ctx;
    return rand_bytes(p, n);
}

static thrum_host host_of(const struct lconn *c, const char *peer)
{
    const thrum_handlers *on = &lconn_way(c)->on;
    return (thrum_host){
        .size = sizeof(thrum_host),
        .random = host_random,
        .events = 1u << THRUM_EVENT_MESSAGE | 1u << THRUM_EVENT_OPEN |
                  (on->on_ping ? 1u << THRUM_EVENT_PING : 0) | (on->on_pong ? 1u << THRUM_EVENT_PONG : 0),
        .id = c->id,
        .peer = peer,
    };
}

const char *lconn_peer(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    if (c->names && (c->names->peer || c->names->asked))
        return c->names->peer ? c->names->peer : c->names->asked;
    if (c->proto && *proto_peer(c->proto))
        return proto_peer(c->proto);
    if (c->stream)
        c->stream->ops->describe(c->stream, l->text, sizeof l->text);
    else
        socket_peer(c->fd, l->text, sizeof l->text);
    return l->text;
}

thrum_status lconn_make_proto(struct lconn *c, const char *url, const struct client_more *more,
                              thrum_error *err)
{
    thrum_host h = host_of(c, lconn_peer(c));
    int64_t now = c->home->loop->now;
    const struct settings *s = lconn_settings(c);
    return url ? proto_new_client_with(&c->proto, url, more, s, &h, now, err)
               : proto_new_server(&c->proto, s, &h, true, now, err);
}

thrum_proto *lconn_proto(struct lconn *c)
{
    if (c->proto || c->ended)
        return c->proto;
    thrum_host h = host_of(c, NULL);
    c->proto = proto_unpark(&c->parked, !c->is_client, lconn_settings(c), &h, c->home->loop->now);
    if (!c->proto) {
        c->out_of_memory = true;
        lconn_dirty(c); /* settle ends it */
    }
    return c->proto;
}

uint64_t lconn_wire_in(const struct lconn *c)
{
    return c->proto ? proto_wire_in(c->proto) : c->parked.wire_in;
}

static bool has_ended(const struct lconn *c)
{
    return c->out_of_memory || (c->proto && thrum_proto_state(c->proto) == THRUM_CLOSED);
}

void lconn_undo(struct lconn *c)
{
    thrum_proto_free(c->proto);
    slot_give(c->home->loop, c);
    c->home->conns--;
    home_unref(c->home);
    mem_free(c);
}

/* ---- time
 * ------------------------------------------------------------------------------------------------------- */

static int64_t deadline_of(const struct lconn *c)
{
    return c->proto ? thrum_proto_deadline(c->proto) : parked_deadline(&c->parked, lconn_settings(c));
}

/* The timer is moved only when it would come too late; one that comes early looks and is set again. So the
 * way of a message sets none. */
static void set_timer(struct lconn *c)
{
    int64_t at = deadline_of(c);
    if (!wheel_has(&c->timer) || at < c->timer.at)
        wheel_set(&c->home->loop->conns, &c->timer, at);
}

void lconn_time(struct lconn *c)
{
    int64_t now = c->home->loop->now;
    if (c->fading && !c->in_ended) {
        lconn_in_ended(c, EPIPE);
        lconn_settle(c);
        return;
    }
    if (now < deadline_of(c)) {
        set_timer(c);
        return;
    }
    if (lconn_proto(c)) {
        proto_set_unread(c->proto, c->paused || c->holding);
        thrum_proto_tick(c->proto, now);
    }
    lconn_settle(c);
}

/* ---- the poller
 * ------------------------------------------------------------------------------------------------- */

static unsigned wants(const struct lconn *c)
{
    unsigned f = c->proto ? thrum_proto_flags(c->proto) : (unsigned)THRUM_WANT_IN;
    bool in = (f & THRUM_WANT_IN) && !c->in_ended && !((c->paused || c->holding) && !c->deaf);
    bool out = (f & THRUM_WANT_OUT) || c->out;
    if (c->broken)
        return POLLER_IN;
    if (c->stream) {
        short w = stream_wants(c->stream, (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0)));
        return (w & POLLIN ? (unsigned)POLLER_IN : 0u) | (w & POLLOUT ? (unsigned)POLLER_OUT : 0u);
    }
    return (in ? (unsigned)POLLER_IN : 0u) | (out ? (unsigned)POLLER_OUT : 0u);
}

/* One that cannot be watched is of no use to anybody. */
static void no_watch(struct lconn *c, int e)
{
    LOG(LOG_LOOP, LOG_WARNING, c->id, "a connection cannot be watched (errno %d)", e);
    lconn_cut(c, THRUM_E_SYSTEM, "the system refuses to watch the connection's descriptor");
}

static void watch(struct lconn *c)
{
    unsigned w = wants(c), changed = w ^ c->armed;
    struct poller *p = c->home->loop->poller;
    int e = 0;
    if (c->connecting || (changed == 0 && !(c->unread && (w & POLLER_IN))))
        return;
    c->armed = (uint8_t)w;
    c->unread = false;
    if (c->stream || !c->home->loop->reads_itself) {
        unsigned edge = !c->stream && w == POLLER_IN ? (unsigned)POLLER_EDGE : 0u;
        e = poller_arm(p, c->fd, w | edge | POLLER_STAY, source_of(c, SOURCE_CONN));
    } else {
        if (changed & POLLER_OUT)
            e = poller_arm(p, c->fd, (w & POLLER_OUT) | POLLER_STAY, source_of(c, SOURCE_CONN));
        if ((changed & POLLER_IN) && !(w & POLLER_IN))
            poller_receive_stop(p, c->fd);
        else if ((changed & POLLER_IN) && e == 0)
            e = poller_receive(p, c->fd, source_of(c, SOURCE_CONN));
    }
    if (e)
        no_watch(c, e);
}

/* ---- after each event
 * -------------------------------------------------------------------------------------------- */

static void drained(struct lconn *c)
{
    if (!c->owes_drain || lconn_pending(c) > lconn_settings(c)->send_low || has_ended(c))
        return;
    c->owes_drain = false;
    c->again |= c->holding; /* messages may have waited */
    c->holding = false;
    const struct way *w = lconn_way(c);
    struct thrum_loop *l = c->home->loop;
    bool is_open = c->opened && (!c->proto || thrum_proto_state(c->proto) == THRUM_OPEN);
    if (!w->on.on_drain || !is_open || c->deaf)
        return;
    gate_out(l);
    w->on.on_drain((thrum_conn *)(void *)c, w->arg);
    gate_in(l);
}

void lconn_park(struct lconn *c)
{
    if (!c->proto || !c->opened || c->out || c->broken || !proto_rests(c->proto))
        return;
    proto_park(c->proto, &c->parked);
    c->proto = NULL;
    set_timer(c);
}

static bool tells_end(const struct lconn *c)
{
    return lconn_way(c)->on.on_close && (c->opened || c->is_client);
}

void lconn_why(const struct lconn *c, thrum_error *err)
{
    if (c->proto)
        thrum_proto_error(c->proto, err);
    else if (c->out_of_memory)
        error_set(err, THRUM_E_MEMORY, "no memory to go on with the connection");
    else
        memset(err, 0, sizeof *err);
}

static void say_closed(struct lconn *c)
{
    const struct way *w = lconn_way(c);
    struct thrum_loop *l = c->home->loop;
    thrum_error why;
    lconn_why(c, &why);
    LOG(LOG_LOOP, LOG_DEBUG, c->id, "ended: %s", why.text);
    if (!tells_end(c))
        return;
    gate_out(l);
    w->on.on_close((thrum_conn *)(void *)c, &why, w->arg);
    gate_in(l);
}

/* The descriptor first: when on_close runs, the peer has been told. */
static void finish(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    c->ended = true;
    chunk_drop(c);
    wheel_cancel(&l->conns, &c->timer);
    if (c->fd >= 0 && !c->connecting)
        poller_forget(l->poller, c->fd);
    topics_leave(c);
    if (c->opened)
        atomic_fetch_sub(&c->home->open, 1);
    if (c->connecting)
        opening_forget(c);
    if (tells_end(c))
        (void)names_peer(c); /* on_close may ask who it was, and only the descriptor knows */
    close_descriptor(c);
    say_closed(c);
    slot_give(l, c);
    c->home->conns--;
    home_conn_gone(c->home);
    thrum_proto_free(c->proto);
    c->proto = NULL;
    parked_free(&c->parked);
    names_free(c);
    c->is_dead = true;
    if (!c->dirty)
        lconn_lay(c);
}

/* Writing has failed. The peer may have said why before it broke: what it sent is read to its end, and only
 * if that says nothing the write's error stands. */
static void last_words(struct lconn *c)
{
    enum { READS = 64, FADE_MS = 50 };
    struct thrum_loop *l = c->home->loop;
    if (l->reads_itself && !c->stream) { /* it has what there was to read; lconn_time goes on */
        if (!c->fading)
            wheel_set(&l->conns, &c->timer, clock_after(l->now, FADE_MS));
        c->fading = true;
        return;
    }
    for (int i = 0; i < READS && !c->in_ended && !has_ended(c); i++) {
        uint64_t had = lconn_wire_in(c);
        lconn_readable(c);
        if (lconn_wire_in(c) == had)
            break;
    }
    if (!c->in_ended && !has_ended(c))
        lconn_in_ended(c, EPIPE);
}

static void serve(struct lconn *c)
{
    c->busy = true;
    c->again = false;
    if (c->proto) {
        if (proto_asks(c->proto))
            home_decide(c);
        lconn_events(c);
    }
    lconn_write(c);
    drained(c);
    c->busy = false;
}

void lconn_settle(struct lconn *c)
{
    if (c->busy || c->ended)
        return;
    if (lconn_is_plain(c) && chunk_send(c))
        return;
    if (c->rereads) {
        c->rereads = false;
        lconn_readable(c);
    }
    serve(c);
    if (c->broken && !c->in_ended)
        last_words(c);
    if (!has_ended(c)) {
        if (c->again) /* a callback has sent something, or let go of the brake */
            lconn_dirty(c);
        lconn_park(c);
        watch(c);
        set_timer(c);
    }
    if (has_ended(c))
        finish(c);
}

void lconn_dirty(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    if (c->dirty || c->is_dead)
        return;
    c->dirty = true;
    c->next = NULL;
    *l->dirty_end = c;
    l->dirty_end = &c->next;
}

struct lconn *lconn_undirty(struct thrum_loop *l)
{
    struct lconn *c = l->dirty;
    l->dirty = c->next;
    if (!l->dirty)
        l->dirty_end = &l->dirty;
    c->dirty = false;
    return c;
}

/* ---- the end
 * ---------------------------------------------------------------------------------------------------- */

void lconn_cut(struct lconn *c, thrum_status s, const char *text)
{
    thrum_proto *p = lconn_proto(c);
    if (p)
        proto_cut(p, s, 0, text, c->home->loop->now);
    lconn_dirty(c);
}

/* A socket that is closed with unread bytes answers with a reset, and then some peers forget the Close. Not
 * into the hot buffer: it may hold the message of a callback, of this connection or of another. */
static void drain_in(struct lconn *c)
{
    enum { ROUNDS = 64 };
    uint8_t trash[16 * 1024];
    struct iovec v = {trash, sizeof trash};
    for (int i = 0; i < ROUNDS; i++) {
        ssize_t n = c->stream ? c->stream->ops->read(c->stream, &v, 1)
                              : sys.recv(c->fd, trash, sizeof trash, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n <= 0)
            return;
    }
}

void lconn_goodbye(struct lconn *c, uint16_t code)
{
    thrum_proto *p = c->ended || c->connecting ? NULL : lconn_proto(c);
    if (!p || has_ended(c))
        return;
    proto_goodbye(p, code);
    c->home->loop->more = false; /* it may be a callback that ends the program: nothing comes behind this */
    lconn_write(c);
    if (!has_ended(c) && !registry_lingers())
        drain_in(c);
}

void lconn_end_now(struct lconn *c, const char *text)
{
    if (!c)
        return;
    lconn_goodbye(c, 1001);
    lconn_cut(c, THRUM_E_CLOSED, text);
    lconn_settle(c);
}

void lconn_lay(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    c->next = l->graves;
    l->graves = c;
}

void lconn_bury(struct thrum_loop *l)
{
    while (l->graves) {
        struct lconn *c = l->graves;
        l->graves = c->next;
        home_unref(c->home);
        mem_free(c);
    }
    while (l->homes_over) {
        struct home *h = l->homes_over;
        l->homes_over = h->next_over;
        home_unref(h);
    }
}
