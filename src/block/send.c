/* send.c: messages from the user. Threads take turns by message; the frame is written by the thread that
 * sends it, from the caller's own memory, and when its wait ends early nothing is left half done: a frame
 * that had not begun is taken back, the rest of one that had is copied and written by whoever serves the
 * connection next. */
#include "base/clock.h"
#include "block/block.h"

struct data {
    thrum_kind kind;
    const thrum_slice *v;
    size_t n;
    thrum_switch compress;
};

static void give_turn(struct block *b)
{
    b->turn = false;
    b->parts = false;
    b->parts_by = 0;
}

static thrum_status take_turn(struct call *k, int64_t deadline)
{
    struct block *b = k->b;
    if (b->parts && b->parts_by == k->t->tid)
        return THRUM_E_STATE; /* it would wait for itself */
    if (b->turn) {
        thrum_status s = call_wait(k, WANT_TURN, deadline);
        if (s != THRUM_OK)
            return s;
    }
    b->turn = true;
    return THRUM_OK;
}

/* The sending thread was cancelled while it held the turn. Of a message in parts the last one will never
 * come: further sends get E_STATE from the proto, and closing is what is left to do. */
static void abandon(struct call *k)
{
    if (k->want != WANT_WRITTEN)
        return;
    (void)proto_settle(k->b->c.proto);
    k->b->part_busy = false;
    give_turn(k->b);
}

/* Why a frame that is no longer queued was not written; OK when it was. */
static thrum_status outcome(const struct block *b)
{
    if (!proto_lost(b->c.proto))
        return THRUM_OK;
    thrum_status s = proto_status(b->c.proto);
    return s == THRUM_OK ? THRUM_E_CLOSED : s;
}

/* Holding the turn: queue, write, wait for the rest. */
static thrum_status send_frame(struct call *k, const struct data *d, bool last, int64_t deadline)
{
    struct block *b = k->b;
    thrum_status s = proto_send_borrow(b->c.proto, d->kind, d->v, d->n, last, d->compress);
    if (s == THRUM_E_CLOSED && conn_ended(&b->c))
        return conn_end_status(&b->c);
    if (s != THRUM_OK)
        return s;
    conn_write(&b->c, k->now);
    if (proto_borrowed(b->c.proto) == PROTO_BORROW_NONE && !conn_unsent(&b->c))
        return outcome(b);
    s = call_wait(k, WANT_WRITTEN, deadline);
    enum proto_borrow left = proto_settle(b->c.proto);
    if (s == THRUM_OK)
        return outcome(b);
    bool begun = left == PROTO_BORROW_BEGUN || (left == PROTO_BORROW_NONE && conn_unsent(&b->c));
    return begun && !conn_ended(&b->c) ? THRUM_E_UNFINISHED : s;
}

static int64_t deadline_of(const struct call *k)
{
    return clock_after(k->now, proto_settings(k->b->c.proto)->send_timeout);
}

static thrum_status send_whole(struct call *k, const struct data *d)
{
    int64_t deadline = deadline_of(k);
    thrum_status s = take_turn(k, deadline);
    if (s != THRUM_OK)
        return s;
    s = send_frame(k, d, true, deadline);
    give_turn(k->b);
    return s;
}

/* The first part takes the turn and the last gives it back; a first part that never left gives it back, too.
 */
static thrum_status send_part(struct call *k, const struct data *d, bool last)
{
    struct block *b = k->b;
    int64_t deadline = deadline_of(k);
    if (b->part_busy)
        return THRUM_E_STATE;
    bool first = !b->parts;
    thrum_status s = first ? take_turn(k, deadline) : THRUM_OK;
    if (s != THRUM_OK)
        return s;
    b->part_busy = b->parts = true;
    b->parts_by = k->t->tid;
    s = send_frame(k, d, last, deadline);
    b->part_busy = false;
    bool stands = s == THRUM_OK || s == THRUM_E_UNFINISHED; /* the part is, or will be, on the wire */
    if (stands ? last : first)
        give_turn(b);
    return s;
}

thrum_status block_send(thrum_conn *c, thrum_kind kind, const thrum_slice *v, size_t n, thrum_switch compress,
                        enum front_part part)
{
    struct call k;
    const struct data d = {kind, v, n, compress};
    thrum_status s = call_enter(&k, c);
    if (s != THRUM_OK)
        return s;
    k.abandon = abandon;
    if (part == FRONT_LAST_OR_WHOLE)
        part = k.b->parts && k.b->parts_by == k.t->tid ? FRONT_LAST_PART : FRONT_WHOLE;
    s = part == FRONT_WHOLE ? send_whole(&k, &d) : send_part(&k, &d, part == FRONT_LAST_PART);
    call_leave(&k);
    return s;
}

thrum_status block_send_one(thrum_conn *c, thrum_kind kind, const void *p, size_t n)
{
    thrum_slice one = {p, n};
    return block_send(c, kind, &one, 1, THRUM_DEFAULT, FRONT_WHOLE);
}

thrum_status block_ping(thrum_conn *c, const void *p, size_t n, thrum_wait t)
{
    struct call k;
    thrum_status s = call_enter(&k, c);
    if (s != THRUM_OK)
        return s;
    s = thrum_proto_ping(c->proto, (thrum_slice){p, n}, k.now, &k.seq);
    if (s == THRUM_E_CLOSED && conn_ended(c))
        s = conn_end_status(c);
    if (s == THRUM_OK) {
        conn_write(c, k.now);
        if (t != 0)
            s = call_wait(&k, WANT_PONG, clock_after(k.now, t));
    }
    call_leave(&k);
    return s;
}

thrum_status block_pong(thrum_conn *c, const void *p, size_t n)
{
    struct call k;
    thrum_status s = call_enter(&k, c);
    if (s != THRUM_OK)
        return s;
    s = thrum_proto_pong(c->proto, (thrum_slice){p, n});
    conn_write(c, k.now);
    call_leave(&k);
    return s;
}
