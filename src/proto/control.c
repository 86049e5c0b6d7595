/* control.c: control frames, keepalive, and the closing handshake (RFC 6455 sections 5.5 and 7). */
/* clang-format off */
/*
 *   CONNECTING --open_done--> OPEN --close_sent or close_recv--> CLOSING --both sent, stream ended--> CLOSED
 *        |                     |                                    |                                   ^
 *        +---- proto_fail -----+------- proto_fail, deadline, end of the stream ------------------------+
 *
 *   OPEN -> CLOSING     control_send_close (we first), control_frame/take_close (the peer first; the answer is queued)
 *   CLOSING -> CLOSED   control_check_end: a server, once both Closes are out, shuts its side and waits for the
 *                       peer's end; a client waits for the server's. thrum_proto_in_end or the deadline ends it.
 *
 * While only our Close is out, messages are still received; after the peer's nothing is read.
 */
/* clang-format on */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include "wire/closecode.h"
#include <string.h>

#define NS_PER_MS INT64_C(1000000)
enum { DEAD_PEER_MS = 1000 };

static thrum_time after(thrum_time now, int64_t ms)
{
    return ms < 0 || ms > (INT64_MAX - now) / NS_PER_MS ? INT64_MAX : now + ms * NS_PER_MS;
}

static void keep_reason(char to[124], thrum_slice s)
{
    if (s.n > 0)
        memcpy(to, s.p, s.n);
    to[s.n] = '\0';
}

/* ---- Close
 * ------------------------------------------------------------------------------------------------------ */

thrum_status control_send_close(thrum_proto *p, uint16_t code, thrum_slice reason)
{
    uint8_t d[FRAME_CONTROL_MAX];
    size_t n = 0;
    if (code) {
        d[0] = (uint8_t)(code >> 8);
        d[1] = (uint8_t)code;
        n = 2;
        if (reason.n > 0)
            memcpy(d + 2, reason.p, reason.n);
        n += reason.n;
    }
    thrum_status s = outbox_control(p, FRAME_CLOSE, (thrum_slice){d, n});
    if (s != THRUM_OK)
        return s;
    p->close_sent = true;
    p->sent_code = code ? code : CLOSE_NONE;
    keep_reason(p->sent_reason, reason);
    if (!p->close_recv)
        p->by_peer = false;
    p->end_by = after(p->now, p->set->close_timeout);
    proto_set_state(p, THRUM_CLOSING, p->close_recv ? "both sent Close" : "we sent Close");
    return THRUM_OK;
}

thrum_status thrum_proto_close(thrum_proto *p, uint16_t code, thrum_slice reason, thrum_time now)
{
    if (!p || (code && !closecode_on_wire(code)) || (!code && reason.n > 0) ||
        reason.n > FRAME_CONTROL_MAX - 2)
        return THRUM_E_ARGUMENT;
    struct utf8 u = {0};
    if (reason.n > 0 && (!reason.p || !utf8_feed(&u, reason.p, reason.n) || !utf8_done(&u)))
        return THRUM_E_ARGUMENT;
    p->now = now;
    if (p->state == THRUM_CONNECTING) {
        proto_cut(p, THRUM_E_CANCELLED, 0, "it was closed before the opening handshake was done", now);
        return THRUM_OK;
    }
    proto_unhold(p);
    if (p->close_sent || p->state == THRUM_CLOSED || p->failed)
        return THRUM_OK;
    thrum_status s = control_send_close(p, code, reason);
    control_check_end(p);
    return s;
}

static void take_close(thrum_proto *p)
{
    size_t n = (size_t)p->frame.len;
    uint16_t code = n >= 2 ? (uint16_t)(p->control[0] << 8 | p->control[1]) : CLOSE_NONE;
    thrum_slice reason = {p->control + 2, n > 2 ? n - 2 : 0};
    struct utf8 u = {0};
    if (n == 1 || (n >= 2 && !closecode_on_wire(code))) {
        proto_fail(p, 1002, THRUM_E_PROTOCOL,
                   n == 1 ? "a Close frame has one byte of payload"
                          : "a Close frame has a code that may not be sent");
        return;
    }
    if (reason.n > 0 && (!utf8_feed(&u, reason.p, reason.n) || !utf8_done(&u))) {
        proto_fail(p, 1007, THRUM_E_UTF8, "the reason of a Close frame is not UTF-8");
        return;
    }
    p->close_recv = true;
    p->recv_code = code;
    keep_reason(p->recv_reason, reason);
    p->expect = EXPECT_NOTHING;
    assemble_release(p); /* a message that is not whole will never be */
    (void)event_push_copy(p, THRUM_EVENT_CLOSE, code, reason.p, reason.n);
    if (!p->close_sent) {
        p->by_peer = true;
        outbox_drop_fresh(p, false);
        thrum_status s = control_send_close(p, n ? code : 0, (thrum_slice){NULL, 0});
        if (s != THRUM_OK) {
            proto_cut(p, s, 0, "the peer's Close could not be answered", p->now);
            return;
        }
    }
    proto_set_state(p, THRUM_CLOSING, "the peer sent Close");
    control_check_end(p);
}

/* Both Closes are out: what is left is the end of the stream. */
void control_check_end(thrum_proto *p)
{
    if (p->state == THRUM_CLOSED)
        return;
    bool done = (p->close_sent && p->close_recv) || p->failed || p->http_answered;
    if (done && p->in_ended && list_empty(&p->out))
        proto_end(p);
}

/* ---- Ping, Pong
 * ------------------------------------------------------------------------------------------------- */

static void take_pong(thrum_proto *p)
{
    size_t n = (size_t)p->frame.len;
    p->stats.pongs_in++;
    for (size_t i = p->npings; i-- > 0;) {
        const struct ping *x = &p->pings[i];
        if (x->n != n || (n > 0 && memcmp(x->p, p->control, n) != 0))
            continue;
        p->ponged = x->seq;
        p->latency = p->now - x->at;
        p->npings -= i + 1;
        memmove(p->pings, p->pings + i + 1, p->npings * sizeof p->pings[0]);
        break;
    }
    (void)event_push_copy(p, THRUM_EVENT_PONG, 0, p->control, n);
}

void control_frame(thrum_proto *p)
{
    thrum_slice s = {p->control, (size_t)p->frame.len};
    switch (p->frame.opcode) {
    case FRAME_PING:
        p->stats.pings_in++;
        /* One that cannot be answered for want of memory is not answered: the peer's keepalive decides. */
        if (!p->close_sent)
            (void)outbox_answer(p, s);
        (void)event_push_copy(p, THRUM_EVENT_PING, 0, s.p, s.n);
        break;
    case FRAME_PONG: take_pong(p); break;
    default: take_close(p); break;
    }
}

/* An idle connection has one place or none. */
static bool room_for_ping(thrum_proto *p)
{
    if (p->npings < p->pings_cap)
        return true;
    size_t cap = p->pings_cap ? p->pings_cap * 2 : 1;
    struct ping *v = mem_resize(p->pings, cap * sizeof *v);
    if (!v)
        return false;
    p->pings = v;
    p->pings_cap = cap;
    return true;
}

thrum_status thrum_proto_ping(thrum_proto *p, thrum_slice s, thrum_time now, uint64_t *seq)
{
    uint8_t own[8];
    if (!p || s.n > FRAME_CONTROL_MAX || (!s.p && s.n > 0))
        return THRUM_E_ARGUMENT;
    if (p->state != THRUM_OPEN)
        return p->state == THRUM_CONNECTING ? THRUM_E_STATE : THRUM_E_CLOSED;
    if (p->npings == PING_LIMIT)
        return THRUM_E_FULL;
    if (!room_for_ping(p))
        return THRUM_E_MEMORY;
    if (!s.p) {
        if (p->host.random(p->host.ctx, own, sizeof own) != 0)
            return THRUM_E_SYSTEM;
        s = (thrum_slice){own, sizeof own};
    }
    p->now = now;
    thrum_status st = outbox_control(p, FRAME_PING, s);
    if (st != THRUM_OK)
        return st;
    struct ping *x = &p->pings[p->npings++];
    *x = (struct ping){.seq = ++p->ping_seq, .at = now, .n = (uint8_t)s.n};
    if (s.n > 0)
        memcpy(x->p, s.p, s.n);
    if (seq)
        *seq = x->seq;
    return THRUM_OK;
}

uint64_t thrum_proto_ponged(const thrum_proto *p)
{
    return p->ponged;
}

int64_t proto_latency(const thrum_proto *p)
{
    return p->latency;
}

thrum_status thrum_proto_pong(thrum_proto *p, thrum_slice s)
{
    if (!p || s.n > FRAME_CONTROL_MAX || (!s.p && s.n > 0))
        return THRUM_E_ARGUMENT;
    if (p->state != THRUM_OPEN)
        return p->state == THRUM_CONNECTING ? THRUM_E_STATE : THRUM_E_CLOSED;
    if (p->pending >= p->set->send_high)
        return THRUM_E_FULL;
    return outbox_control(p, FRAME_PONG, s);
}

/* ---- keepalive
 * --------------------------------------------------------------------------------------------------- */

void control_heard(thrum_proto *p)
{
    p->heard = p->now;
    p->ping_by = 0;
}

static bool keeps_alive(const thrum_proto *p)
{
    return p->state == THRUM_OPEN && p->set->ping_interval >= 0;
}

static thrum_time next_ping(const thrum_proto *p)
{
    return after(p->heard, p->set->ping_interval);
}

static bool has_fresh_pong(const thrum_proto *p)
{
    list_each (l, &p->out)
        if (list_of(l, struct item, link)->pong)
            return true;
    return false;
}

static void keep_alive(thrum_proto *p)
{
    if (p->paused || p->unread) {
        /* We do not listen, so the peer's silence means nothing; but it may need a sign of life from us. */
        if (p->now >= next_ping(p)) {
            p->heard = p->now;
            p->ping_by = 0;
            if (!has_fresh_pong(p))
                (void)outbox_control(p, FRAME_PONG, (thrum_slice){NULL, 0});
        }
    } else if (p->ping_by && p->now >= p->ping_by) {
        proto_fail(p, 1011, THRUM_E_UNCLEAN, "keepalive: the peer was silent for %lld ms after a ping",
                   (long long)p->set->ping_timeout);
        p->end_by = after(p->now, p->set->close_timeout >= 0 && p->set->close_timeout < DEAD_PEER_MS
                                      ? p->set->close_timeout
                                      : DEAD_PEER_MS);
    } else if (!p->ping_by && p->now >= next_ping(p)) {
        thrum_status s = thrum_proto_ping(p, (thrum_slice){NULL, 0}, p->now, NULL);
        if (s == THRUM_OK || s == THRUM_E_FULL) /* full: enough pings of the user's wait for an answer */
            p->ping_by = after(p->now, p->set->ping_timeout);
        else
            p->heard = p->now; /* no memory or no randomness: the next interval tries again */
    }
}

/* ---- time
 * -------------------------------------------------------------------------------------------------------- */

static thrum_time earlier(thrum_time a, thrum_time b)
{
    return a < b ? a : b;
}

/* When our history of what was compressed goes, to give its memory back. */
static thrum_time forgets_at(const thrum_proto *p)
{
    bool has = p->state == THRUM_OPEN && p->deflate && p->deflate->sent.n > 0 && !p->sending;
    return has ? after(p->deflate->told, p->set->compress_idle) : INT64_MAX;
}

thrum_time control_deadline(const thrum_proto *p)
{
    if (p->state == THRUM_CLOSED)
        return INT64_MAX;
    thrum_time at = p->held ? p->held->by : p->end_by;
    if (p->state == THRUM_CONNECTING && !p->failed && !p->http_answered)
        at = earlier(at, p->open_by);
    at = earlier(at, forgets_at(p));
    if (keeps_alive(p))
        at = earlier(at, p->ping_by && !p->paused && !p->unread ? p->ping_by : next_ping(p));
    return at;
}

static const char *open_phase(const thrum_proto *p)
{
    if (p->expect == EXPECT_DECISION)
        return "the request was being decided";
    if (p->scan.total > 0)
        return "the peer's head is not whole";
    return "the peer has sent nothing";
}

void control_tick(thrum_proto *p)
{
    if (p->state == THRUM_CLOSED)
        return;
    if (p->now >= forgets_at(p))
        deflate_forget(p->deflate);
    if (p->held && p->now >= p->held->by)
        proto_unhold(p);
    if (p->now >= p->end_by) {
        if (p->error.status == THRUM_OK) {
            const char *what = p->close_recv ? "did not end the stream" : "did not answer Close";
            error_set(&p->error, p->close_recv ? THRUM_E_CLOSED : THRUM_E_UNCLEAN,
                      "the peer %s within %lld ms", what, (long long)p->set->close_timeout);
            p->error.close_code = p->close_recv ? p->recv_code : CLOSE_ABNORMAL;
            p->error.by_peer = p->by_peer;
        }
        proto_end(p);
    } else if (p->state == THRUM_CONNECTING && !p->failed && !p->http_answered && p->now >= p->open_by) {
        if (p->expect == EXPECT_BODY) { /* refused it is; only the reason is not all here */
            client_refused(p);
            return;
        }
        if (p->server && p->scan.total > 0 && p->expect == EXPECT_HEAD) {
            error_set(&p->error, THRUM_E_TIMEOUT, "the opening handshake was not done within %lld ms: %s",
                      (long long)p->set->open_timeout, open_phase(p));
            answer_http(p, 408, NULL, NULL, "The request was not whole in time.\n");
            return;
        }
        proto_fail(p, 0, THRUM_E_TIMEOUT, "the opening handshake was not done within %lld ms: %s",
                   (long long)p->set->open_timeout, open_phase(p));
    } else if (keeps_alive(p)) {
        keep_alive(p);
    }
}
