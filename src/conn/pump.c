/* pump.c: stream -> proto -> stream. Every function here runs with the connection's lock held and never
 * waits. */
#include "base/log.h"
#include "conn/conn.h"
#include <errno.h>
#include <poll.h>

enum {
    PUMP_SLICES = 16,
    DRAIN_ROUNDS =
        64 /* of DRAIN_STEP bytes: what is thrown away at most before a socket with unread bytes is closed */,
    DRAIN_STEP = 16 * 1024
};

bool conn_ended(const struct thrum_conn *c)
{
    return !c->stream || thrum_proto_state(c->proto) == THRUM_CLOSED;
}

/* An ended connection has nothing to say and nothing to hear, but its descriptor lives until nobody polls it:
 * cut makes those polls return. */
static void settle_end(struct thrum_conn *c)
{
    if (c->stream && conn_ended(c))
        c->stream->ops->cut(c->stream);
}

/* The stream may know better than an errno why it has ended. */
static void in_ended(struct thrum_conn *c, int os_errno, int64_t now)
{
    thrum_error why;
    c->in_ended = true;
    if (os_errno != 0 && stream_failed(c->stream, &why))
        proto_cut_because(c->proto, &why, now);
    else
        thrum_proto_in_end(c->proto, os_errno, now);
}

/* A proxy has told whose connection it passes on. */
static void learn_peer(struct thrum_conn *c)
{
    c->peer_later = false;
    c->stream->ops->describe(c->stream, c->peer, sizeof c->peer);
    (void)proto_set_peer(c->proto, c->peer); /* no memory: logs and callbacks name the proxy */
}

bool conn_read(struct thrum_conn *c, uint8_t *scratch, size_t n, int64_t now)
{
    if (conn_ended(c) || c->in_ended)
        return false;
    /* A large message's bytes go where they will be read; what is behind them goes to scratch, in one call.
     */
    struct iovec v[2];
    int nv = 0;
    size_t room = 0;
    uint8_t *in = thrum_proto_in(c->proto, &room);
    if (in)
        v[nv++] = (struct iovec){in, room};
    v[nv++] = (struct iovec){scratch, n};
    ssize_t got = c->stream->ops->read(c->stream, v, nv);
    if (got == -EAGAIN)
        return false;
    if (got <= 0) {
        in_ended(c, got < 0 ? (int)-got : 0, now);
    } else {
        if (c->peer_later)
            learn_peer(c);
        size_t len = (size_t)got, direct = in ? (len < room ? len : room) : 0;
        if (direct)
            (void)thrum_proto_in_done(c->proto, direct, now);
        if (len > direct)
            (void)thrum_proto_feed(c->proto, scratch, len - direct, now);
    }
    settle_end(c);
    return true;
}

/* Nothing can be written any more. The peer may have said why before it broke: what it sent is still to be
 * read, and reading tells the proto of the end. Only when reading has nothing to say does the write's error
 * stand. */
static void write_broke(struct thrum_conn *c, int os_errno, int64_t now)
{
    uint8_t last[4096];
    while (conn_read(c, last, sizeof last, now))
        ;
    if (!conn_ended(c))
        thrum_proto_in_end(c->proto, os_errno, now);
    if (!conn_ended(c)) /* its end had come before, and only our last frames were still to go */
        proto_out_end(c->proto, os_errno, now);
}

/* One gather-write; true when there may be more to write. */
static bool write_some(struct thrum_conn *c, int64_t now)
{
    thrum_slice s[PUMP_SLICES];
    struct iovec v[PUMP_SLICES];
    size_t n = thrum_proto_out(c->proto, s, PUMP_SLICES), want = 0;
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        v[i].iov_base = (void *)(uintptr_t)s[i].p;
        v[i].iov_len = s[i].n;
        want += s[i].n;
    }
    ssize_t put = c->stream->ops->write(c->stream, v, (int)n);
    if (put == -EAGAIN)
        return false;
    if (put < 0) {
        write_broke(c, (int)-put, now);
        return false;
    }
    thrum_proto_out_done(c->proto, (size_t)put, now);
    if (proto_pending(c->proto) == 0)
        return false;
    /* A socket that takes less is full; a stream on another takes no more than a bounded piece at a time. */
    return (size_t)put == want || (c->stream->below && stream_unsent(c->stream) == 0);
}

void conn_write(struct thrum_conn *c, int64_t now)
{
    if (!c->stream)
        return;
    if (c->stream->below)
        (void)stream_flush(c->stream); /* an error is told by what is read or written next */
    unsigned f = thrum_proto_flags(c->proto);
    while ((f & THRUM_WANT_OUT) && write_some(c, now))
        ;
    f = thrum_proto_flags(c->proto);
    if ((f & THRUM_SHUT_OUT) && !(f & THRUM_WANT_OUT) && !c->shut_out) {
        c->shut_out = true;
        (void)c->stream->ops->shut_out(
            c->stream); /* fails only where the stream is broken: reading will tell */
    }
    settle_end(c);
}

void conn_tick(struct thrum_conn *c, int64_t now)
{
    if (conn_ended(c) || now < thrum_proto_deadline(c->proto))
        return;
    thrum_proto_tick(c->proto, now);
    conn_write(c, now);
}

short conn_wants(const struct thrum_conn *c)
{
    if (conn_ended(c))
        return 0;
    unsigned f = thrum_proto_flags(c->proto);
    short asked = (short)((f & THRUM_WANT_IN ? POLLIN : 0) | (f & THRUM_WANT_OUT ? POLLOUT : 0));
    return c->stream->below ? stream_wants(c->stream, asked) : asked;
}

bool conn_buffered(const struct thrum_conn *c)
{
    return c->stream && c->stream->below && !c->in_ended && stream_buffered(c->stream);
}

bool conn_unsent(const struct thrum_conn *c)
{
    return c->stream && c->stream->below && !conn_ended(c) && stream_unsent(c->stream) > 0;
}

/* A socket that is closed with unread bytes answers with a reset, which may overtake nothing but makes some
 * peers forget the Close that they were sent: so throw away what is there. */
static void drain(struct thrum_conn *c)
{
    uint8_t trash[DRAIN_STEP];
    struct iovec v = {trash, sizeof trash};
    for (int i = 0; i < DRAIN_ROUNDS && c->stream->ops->read(c->stream, &v, 1) > 0; i++)
        ;
}

void conn_goodbye(struct thrum_conn *c, uint16_t code, int64_t now)
{
    if (conn_ended(c))
        return;
    proto_goodbye(c->proto, code);
    conn_write(c, now);
    if (!conn_ended(c) && !registry_lingers())
        drain(c);
}

void conn_cut(struct thrum_conn *c, thrum_status s, const char *text, int64_t now)
{
    if (!c->stream)
        return;
    if (!conn_ended(c)) {
        LOG(LOG_CONN, LOG_DEBUG, c->id, "cut: %s", text);
        proto_cut(c->proto, s, 0, text, now);
    }
    c->stream->ops->cut(c->stream);
}

thrum_status conn_end_status(const struct thrum_conn *c)
{
    thrum_status s = proto_status(c->proto);
    return s == THRUM_OK ? THRUM_E_CLOSED : s;
}
