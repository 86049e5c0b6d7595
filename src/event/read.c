/* read.c: bytes to callbacks. A connection at rest needs no proto for whole messages: they are unmasked where
 * they lie, in the loop's one receive buffer, and shown to the callback there. What is left over, or is not
 * so simple, goes to a proto, frame by frame, and once that rests it goes on without. */
#include "base/sys.h"
#include "event/gate.h"
#include "event/listener.h"
#include "proto/quick.h"
#include <errno.h>

enum {
    STREAM_READS = 32,     /* of a stream that hands out little at a time, before others have their turn */
    BULKY = 128 * 1024,    /* a message that is better not copied out of the hot buffer */
    BULKY_FIRST = 8 * 1024 /* read of what may be one, to see how long it is */
};

/* [callbacks] The byte behind a message is borrowed for a NUL. */
static void give(struct lconn *c, const thrum_message *m,
                 void (*fn)(thrum_conn *, const thrum_message *, void *))
{
    struct thrum_loop *l = c->home->loop;
    if (!fn)
        return;
    gate_out(l);
    fn((thrum_conn *)(void *)c, m, lconn_way(c)->arg);
    gate_in(l);
}

static void give_message(struct lconn *c, const thrum_message *m)
{
    const thrum_handlers *on = &lconn_way(c)->on;
    give(c, m, on->on_part ? on->on_part : on->on_message);
}

static inline bool takes_messages(const struct lconn *c)
{
    return c->unusual == 0 || !(c->paused | c->holding | c->deaf | c->out_of_memory);
}

/* Whole messages of one that is at rest; how many bytes they were. */
static size_t take_quickly(struct lconn *c, uint8_t *d, size_t n)
{
    const struct settings *s = lconn_settings(c);
    const struct way *w = lconn_way(c);
    void (*fn)(thrum_conn *, const thrum_message *, void *) =
        w->on.on_part ? w->on.on_part : w->on.on_message;
    struct thrum_loop *l = c->home->loop;
    struct parked *k = &c->parked;
    bool server = !c->is_client;
    size_t at = 0;
    k->heard = l->now;
    while (at < n && !c->proto && takes_messages(c)) {
        thrum_message m;
        size_t used = quick_take(s, server, d + at, n - at, &m);
        if (used == 0)
            break;
        at += used;
        k->messages_in++;
        k->bytes_in += m.len;
        k->wire_in += used;
        uint8_t kept = d[at];
        d[at] = 0;
        if (fn) {
            l->more = n - at >= used;
            gate_out(l);
            fn((thrum_conn *)(void *)c, &m, w->arg);
            gate_in(l);
        }
        d[at] = kept;
    }
    l->more = false;
    if (l->held)
        lconn_push(c);
    return at;
}

/* A proto that has handed out everything makes room for the quick way again. */
static size_t feed(struct lconn *c, thrum_proto *p, uint8_t *d, size_t n)
{
    size_t most = proto_next(p), take = n < most || !takes_messages(c) ? n : most;
    spare_lend(c->home->loop, p);
    (void)thrum_proto_feed(p, d, take, c->home->loop->now);
    if (proto_asks(p))
        home_decide(c);
    lconn_events(c);
    lconn_park(c);
    return take;
}

void lconn_took(struct lconn *c, uint8_t *d, size_t n)
{
    bool was = c->busy;
    c->busy = true;
    while (n > 0) {
        size_t used = !c->proto && takes_messages(c) ? take_quickly(c, d, n) : 0;
        if (used == 0) {
            thrum_proto *p = lconn_proto(c);
            if (!p || thrum_proto_state(p) == THRUM_CLOSED)
                break;
            used = feed(c, p, d, n);
        }
        d += used;
        n -= used;
    }
    c->busy = was;
}

/* ---- events
 * ----------------------------------------------------------------------------------------------------- */

static void opened(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    const struct way *w = lconn_way(c);
    if (names_keep(c) != THRUM_OK) {
        proto_cut(c->proto, THRUM_E_MEMORY, 0, "no memory for what the handshake said", l->now);
        return;
    }
    c->opened = true;
    atomic_fetch_add(&c->home->open, 1);
    l->opening = c;
    gate_out(l);
    if (w->on.on_open)
        w->on.on_open((thrum_conn *)(void *)c, w->arg);
    gate_in(l);
    l->opening = NULL;
    home_opened(c);
}

static bool next_event(struct lconn *c, thrum_event *e)
{
    if (!c->proto || !takes_messages(c))
        return false;
    bool parts = lconn_way(c)->on.on_part != NULL;
    return parts ? thrum_proto_event_part(c->proto, e) : thrum_proto_event(c->proto, e);
}

/* One whom the user has closed is only to come to its end. */
static void throw_away(struct lconn *c)
{
    thrum_event e;
    while (c->proto && c->deaf && thrum_proto_event(c->proto, &e))
        thrum_message_release(&e.message);
}

void lconn_events(struct lconn *c)
{
    thrum_event e;
    while (next_event(c, &e)) {
        switch (e.what) {
        case THRUM_EVENT_OPEN: opened(c); break;
        case THRUM_EVENT_MESSAGE:
            c->bulky = e.message.len >= BULKY;
            give_message(c, &e.message);
            break;
        case THRUM_EVENT_PING: give(c, &e.message, lconn_way(c)->on.on_ping); break;
        case THRUM_EVENT_PONG: give(c, &e.message, lconn_way(c)->on.on_pong); break;
        default: break;
        }
        spare_keep(c->home->loop, &e.message);
        thrum_message_release(&e.message);
    }
    throw_away(c);
}

/* ---- reading
 * ---------------------------------------------------------------------------------------------------- */

void lconn_in_ended(struct lconn *c, int os_errno)
{
    thrum_error why;
    thrum_proto *p = lconn_proto(c);
    c->in_ended = true;
    if (!p)
        return;
    if (os_errno != 0 && c->stream && stream_failed(c->stream, &why))
        proto_cut_because(p, &why, c->home->loop->now);
    else
        (void)thrum_proto_in_end(p, os_errno, c->home->loop->now);
    if (c->broken && thrum_proto_state(p) != THRUM_CLOSED)
        proto_out_end(p, os_errno ? os_errno : EPIPE, c->home->loop->now);
}

static ssize_t read_once(struct lconn *c, struct iovec *v, int n)
{
    if (c->stream)
        return c->stream->ops->read(c->stream, v, n);
    ssize_t r;
    struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)n};
    do
        r = n == 1 ? sys.recv(c->fd, v->iov_base, v->iov_len, MSG_DONTWAIT)
                   : sys.recvmsg(c->fd, &m, MSG_DONTWAIT);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

/* A proxy has told whose connection it passes on. */
static void learn_peer(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    c->peer_later = false;
    c->stream->ops->describe(c->stream, l->text, sizeof l->text);
    (void)proto_set_peer(c->proto, l->text); /* no memory: logs and callbacks name the proxy */
}

/* The rest of a large message goes where it will be read, and what is behind it to the hot buffer. */
static ssize_t read_some(struct lconn *c, bool *over)
{
    struct thrum_loop *l = c->home->loop;
    struct iovec v[2];
    int nv = 0;
    size_t room = 0;
    uint8_t *in = c->proto ? thrum_proto_in(c->proto, &room) : NULL;
    if (in)
        v[nv++] = (struct iovec){in, room};
    v[nv++] = (struct iovec){l->hot, LOOP_HOT};
    ssize_t got = read_once(c, v, nv);
    if (got <= 0)
        return got;
    if (c->peer_later)
        learn_peer(c);
    *over = (size_t)got < room + LOOP_HOT;
    size_t len = (size_t)got, direct = in ? (len < room ? len : room) : 0;
    if (direct > 0) {
        (void)thrum_proto_in_done(c->proto, direct, l->now);
        c->busy = true;
        lconn_events(c);
        c->busy = false;
    }
    if (len > direct)
        lconn_took(c, l->hot, len - direct);
    return got;
}

static bool read_plain(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    const bool bulky = c->bulky;
    const ssize_t most = bulky ? BULKY_FIRST : LOOP_HOT;
    ssize_t n = sys.recv(c->fd, l->hot, (size_t)most, MSG_DONTWAIT);
    int e = errno;
    c->bulky = false;
    if (n > 0)
        lconn_took(c, l->hot, (size_t)n);
    else if (n == 0 || (e != EAGAIN && e != EINTR))
        lconn_in_ended(c, n < 0 ? e : 0);
    if (n == most && bulky)
        return lconn_readable(c); /* the rest, to where it will stay */
    return n < 0 ? e != EINTR : n < most;
}

/* A socket is asked once for each event: the poller tells when there is more. A stream may hold bytes of
 * which no poller knows, so it is asked until it has none; who still has some comes again in the same turn,
 * behind others. */
bool lconn_readable(struct lconn *c)
{
    bool over = false;
    if (lconn_is_plain(c))
        return read_plain(c);
    for (int i = 0; i < STREAM_READS; i++) {
        if (c->ended || c->in_ended || c->out_of_memory)
            return false;
        if ((c->paused || c->holding) && !c->deaf && !c->broken)
            return false;
        if (c->proto && !(thrum_proto_flags(c->proto) & THRUM_WANT_IN) && !c->broken)
            return false;
        ssize_t got = read_some(c, &over);
        if (got == -EAGAIN)
            return true;
        if (got <= 0) {
            lconn_in_ended(c, (int)-got);
            return true;
        }
        if (!c->stream || !stream_buffered(c->stream))
            return over;
    }
    c->rereads = true;
    lconn_dirty(c);
    return false;
}
