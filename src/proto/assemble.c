/* assemble.c: bytes to frames, frames to messages (RFC 6455 sections 5.2 to 5.6), limits held before memory
 * is spent.
 *
 * Between two calls only a header of at most 14 bytes and the unfinished message are kept: any cut of the
 * input gives the same. A message's memory grows with the bytes that have come, never with a length that was
 * announced. */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include "wire/mask.h"
#include <string.h>

enum { DIRECT_MIN = 4096 };
static const uint8_t nothing[1];

static void fail(thrum_proto *p, const char *why)
{
    proto_fail(p, 1002, THRUM_E_PROTOCOL, "%s", why);
}

/* ---- headers
 * ---------------------------------------------------------------------------------------------------- */

/* What can be judged when two bytes are there, whatever is still to come. */
static bool check_bits(thrum_proto *p, const struct frame_head *h)
{
    if (h->rsv2 || h->rsv3 || (h->rsv1 && !p->deflate))
        fail(p, "a frame has a reserved bit set, and no extension was agreed on that gives it a meaning");
    else if (h->rsv1 && h->opcode != FRAME_TEXT && h->opcode != FRAME_BINARY)
        fail(p,
             "a frame is marked as compressed that is not the first of a message"); /* RFC 7692 section 6 */
    else if (h->masked != p->server)
        fail(p, p->server ? "a client's frame is not masked" : "a server's frame is masked");
    else if (h->opcode == FRAME_CONTINUATION && !p->in_msg)
        fail(p, "a continuation frame has no message to continue");
    else if ((h->opcode == FRAME_TEXT || h->opcode == FRAME_BINARY) && p->in_msg)
        fail(p, "a new message begins before the one before has ended");
    else
        return true;
    return false;
}

static bool check_limits(thrum_proto *p, const struct frame_head *h)
{
    const struct settings *s = p->set;
    if (frame_is_control(h->opcode))
        return true;
    bool compressed = h->opcode == FRAME_CONTINUATION ? p->inflating : h->rsv1;
    /* What does not shrink grows a little; the limit that counts is held while inflating. */
    uint64_t slack = compressed ? s->max_frame / 1024 + 64 : 0;
    if (h->len > s->max_frame && h->len - s->max_frame > slack)
        proto_fail(p, 1009, THRUM_E_TOO_BIG, "a frame of %llu bytes is over the limit of %llu",
                   (unsigned long long)h->len, (unsigned long long)s->max_frame);
    else if (!compressed && h->len > s->max_message - p->msg_total)
        proto_fail(p, 1009, THRUM_E_TOO_BIG, "a message is over the limit of %llu bytes",
                   (unsigned long long)s->max_message);
    else if (p->msg_frames >= s->max_fragments)
        proto_fail(p, 1009, THRUM_E_TOO_BIG, "a message has more than %llu frames",
                   (unsigned long long)s->max_fragments);
    else
        return true;
    return false;
}

static void begin_payload(thrum_proto *p)
{
    p->fh_n = 0;
    p->frame_at = 0;
    p->expect = EXPECT_PAYLOAD;
    if (frame_is_control(p->frame.opcode))
        return;
    p->msg_frames++;
    if (p->frame.opcode != FRAME_CONTINUATION)
        p->inflating = p->frame.rsv1;
    if (!p->inflating)
        p->msg_total += p->frame.len;
    if (p->frame.opcode == FRAME_CONTINUATION)
        return;
    p->in_msg = true;
    p->msg_kind = (thrum_kind)p->frame.opcode;
    p->utf8 = (struct utf8){0};
}

/* Takes bytes of a header; returns how many. */
static size_t take_head(thrum_proto *p, const uint8_t *d, size_t n)
{
    size_t had = p->fh_n, room = sizeof p->fh - had, take = n < room ? n : room;
    const char *why = NULL;
    memcpy(p->fh + had, d, take);
    p->frame = (struct frame_head){0};
    /* The first two bytes are judged before those behind them, as they are when they come alone: so the same
     * is said of a frame with two faults, however it was cut. */
    int size = frame_decode(&p->frame, p->fh, had + take < 2 ? had + take : 2, &why);
    if (size >= 0 && had + take >= 2) {
        if (!check_bits(p, &p->frame))
            return n;
        size = frame_decode(&p->frame, p->fh, had + take, &why);
    }
    if (size < 0) {
        fail(p, why);
        return n;
    }
    if (size == 0) {
        p->fh_n = had + take;
        return take;
    }
    if (!check_limits(p, &p->frame))
        return n;
    begin_payload(p);
    return (size_t)size - had;
}

/* ---- payloads
 * --------------------------------------------------------------------------------------------------- */

/* Room for `more` bytes and the NUL. It grows by doubling, but a message's last frame never over its end: one
 * whose payload is all here gets just that much. */
static bool reserve(thrum_proto *p, size_t more)
{
    struct buf *b = &p->msg;
    if (b->cap - b->len > more)
        return true;
    size_t cap = b->len + more + 1;
    if (cap < b->cap * 2)
        cap = b->cap * 2;
    uint64_t rest = p->frame.len - p->frame_at;
    if (p->frame.fin && cap - b->len - 1 > rest)
        cap = b->len + (size_t)rest + 1;
    uint8_t *d = mem_resize(b->p, cap);
    if (!d) {
        proto_fail(p, 1011, THRUM_E_MEMORY, "no memory for a message");
        return false;
    }
    b->p = d;
    b->cap = cap;
    return true;
}

static void trace_in(thrum_proto *p)
{
    char shown[128] = "";
    if (!log_wanted(LOG_FRAME, LOG_TRACE))
        return;
    bool control = frame_is_control(p->frame.opcode);
    if (p->inflating && !control) {
        LOG(LOG_FRAME, LOG_TRACE, p->host.id, "< %s [%llu bytes, compressed]%s",
            frame_opcode_name(p->frame.opcode), (unsigned long long)p->frame.len,
            p->frame.fin ? "" : " more follow");
        return;
    }
    size_t len = (size_t)p->frame.len, from = control || p->msg.len < len ? 0 : p->msg.len - len;
    if (control || p->msg.len >= len)
        text_escape(shown, sizeof shown, control ? p->control : p->msg.p ? p->msg.p + from : nothing, len);
    LOG(LOG_FRAME, LOG_TRACE, p->host.id, "< %s \"%s\" [%zu bytes]%s", frame_opcode_name(p->frame.opcode),
        shown, len, p->frame.fin ? "" : " more follow");
}

static void inflate_failed(thrum_proto *p, enum inflated r)
{
    if (r == INFLATE_MEMORY)
        proto_fail(p, 1011, THRUM_E_MEMORY, "no memory for inflating a message");
    else
        proto_fail(p, 1007, THRUM_E_PROTOCOL, "a message's compressed data is corrupt or cut off");
}

/* Room for something to come out, and the NUL; never for more than the limit and one byte, which shows that
 * it is crossed. */
static bool inflate_room(thrum_proto *p, size_t in)
{
    enum { LEAST = 64, FIRST_MOST = 16384 };
    struct buf *b = &p->msg;
    if (b->cap - b->len > 1)
        return true;
    size_t guess = in < FIRST_MOST / 4 ? 4 * in + LEAST : FIRST_MOST;
    size_t more = b->len > guess ? b->len : guess;
    uint64_t left = p->set->max_message - p->msg_total;
    if (more > left)
        more = (size_t)left + 1;
    uint8_t *d = mem_resize(b->p, b->len + more + 1);
    if (!d) {
        proto_fail(p, 1011, THRUM_E_MEMORY, "no memory for a message");
        return false;
    }
    b->p = d;
    b->cap = b->len + more + 1;
    return true;
}

/* Counts and judges what has come of a message's payload; false: it failed. */
static bool take_text(thrum_proto *p, const uint8_t *text, size_t n)
{
    p->msg.len += n;
    p->stats.bytes_in += n;
    if (n > 0 && p->msg_kind == THRUM_TEXT && !utf8_feed(&p->utf8, text, n)) {
        proto_fail(p, 1007, THRUM_E_UTF8, "a text message is not UTF-8");
        return false;
    }
    return true;
}

/* A message that was inflated in one go gets just the memory that it needs. */
static bool take_whole(thrum_proto *p, thrum_slice text)
{
    struct buf *b = &p->msg;
    uint8_t *to = mem_resize(b->p, text.n + 1);
    if (!to) {
        proto_fail(p, 1011, THRUM_E_MEMORY, "no memory for a message");
        return false;
    }
    memcpy(to, text.p, text.n);
    b->p = to;
    b->cap = text.n + 1;
    p->msg_total = text.n;
    return take_text(p, to, text.n);
}

/* Is what has come all of a message's payload, in one frame? */
static bool is_whole(const thrum_proto *p, size_t n)
{
    return p->frame.fin && p->msg_frames == 1 && n == p->frame.len;
}

/* The limit holds while it inflates: what is over it is never made. Faults are judged in the order in which
 * they stand in the text, as when it comes byte by byte: so the same is said of two of them, however they
 * were cut. */
static bool inflate_payload(thrum_proto *p, const uint8_t *d, size_t n)
{
    thrum_slice in = {d, n}, text;
    enum inflated r = INFLATE_ROOM;
    uint64_t most = p->set->max_message;
    if (is_whole(p, n) &&
        deflate_receive_whole(p->deflate, in, most < SIZE_MAX ? (size_t)most : SIZE_MAX, &text))
        return take_whole(p, text);
    while (r == INFLATE_ROOM) {
        if (!inflate_room(p, in.n))
            return false;
        uint8_t *to = p->msg.p + p->msg.len;
        size_t room = p->msg.cap - p->msg.len - 1, left = room;
        r = deflate_receive(p->deflate, &in, to, &left);
        p->msg_total += room - left;
        if (!take_text(p, to, room - left))
            return false;
        if (p->msg_total > p->set->max_message) {
            proto_fail(p, 1009, THRUM_E_TOO_BIG, "a message is over the limit of %llu bytes",
                       (unsigned long long)p->set->max_message);
            return false;
        }
        if (r == INFLATE_BAD || r == INFLATE_MEMORY) {
            inflate_failed(p, r);
            return false;
        }
    }
    return true;
}

static void end_message(thrum_proto *p)
{
    struct buf *b = &p->msg;
    if (p->inflating) {
        enum inflated r = deflate_received(p->deflate, p->msg_total);
        if (r != INFLATE_OK) {
            inflate_failed(p, r);
            return;
        }
        p->inflating = false;
    }
    if (p->msg_kind == THRUM_TEXT && !utf8_done(&p->utf8)) {
        proto_fail(p, 1007, THRUM_E_UTF8, "a text message ends inside a character");
        return;
    }
    thrum_message m = {
        .kind = p->msg_kind,
        .part = THRUM_PART_LAST | (p->parted ? 0 : THRUM_PART_FIRST),
        .len = b->len,
        .data = b->p ? b->p : nothing,
        .hold = b->p,
    };
    if (b->p)
        b->p[b->len] = 0;
    *b = (struct buf){.max = b->max};
    p->stats.messages_in++;
    p->in_msg = p->parted = false;
    p->msg_total = p->msg_frames = 0;
    if (p->state != THRUM_OPEN && p->paused) { /* read on for the peer's Close, but nobody takes any more */
        thrum_message_release(&m);
        return;
    }
    if (!event_push(p, THRUM_EVENT_MESSAGE, 0, m))
        proto_fail(p, 1011, THRUM_E_MEMORY, "no memory for a message");
}

static void end_frame(thrum_proto *p)
{
    p->expect = EXPECT_FRAME;
    trace_in(p);
    if (frame_is_control(p->frame.opcode))
        control_frame(p);
    else if (p->frame.fin)
        end_message(p);
}

void assemble_payload(thrum_proto *p, uint8_t *d, size_t n, bool in_place)
{
    const struct frame_head *h = &p->frame;
    bool inflating = p->inflating && !frame_is_control(h->opcode);
    uint8_t *to;
    if (inflating) {
        to = d;
    } else if (frame_is_control(h->opcode)) {
        to = p->control + p->frame_at;
    } else if (in_place) {
        to = d;
    } else {
        if (n > 0 && !reserve(p, n))
            return;
        to = p->msg.p ? p->msg.p + p->msg.len : NULL;
    }
    if (n > 0 && h->masked)
        mask_apply(to, d, n, h->key, p->frame_at);
    else if (n > 0 && to != d)
        memcpy(to, d, n);
    p->frame_at += n;
    if (!frame_is_control(h->opcode)) {
        if (inflating ? n > 0 && !inflate_payload(p, to, n) : !take_text(p, to, n))
            return;
        events_review(p); /* one frame may be longer than the water mark */
    }
    if (p->frame_at == h->len)
        end_frame(p);
}

void assemble_feed(thrum_proto *p, uint8_t *d, size_t n)
{
    while (n > 0 && (p->expect == EXPECT_FRAME || p->expect == EXPECT_PAYLOAD)) {
        size_t used = 0;
        if (p->expect == EXPECT_FRAME) {
            used = take_head(p, d, n);
        } else {
            uint64_t rest = p->frame.len - p->frame_at;
            used = rest < n ? (size_t)rest : n;
            assemble_payload(p, d, used, false);
        }
        d += used;
        n -= used;
        if (p->expect == EXPECT_PAYLOAD && p->frame.len == 0)
            assemble_payload(p, d, 0, false);
    }
}

uint8_t *thrum_proto_in(thrum_proto *p, size_t *room)
{
    *room = 0;
    if (p->expect != EXPECT_PAYLOAD || frame_is_control(p->frame.opcode) || p->inflating)
        return NULL;
    uint64_t rest = p->frame.len - p->frame_at;
    if (rest < DIRECT_MIN)
        return NULL;
    struct buf *b = &p->msg;
    size_t free_now = b->cap > b->len ? b->cap - b->len - 1 : 0;
    if (free_now < DIRECT_MIN) {
        /* At most as much again as has come. */
        size_t more = b->len > DIRECT_MIN ? b->len : DIRECT_MIN;
        more = rest < more ? (size_t)rest : more;
        uint8_t *d = mem_resize(b->p, b->len + more + 1);
        if (!d)
            return NULL; /* the copying door will say so */
        b->p = d;
        b->cap = b->len + more + 1;
        free_now = more;
    }
    *room = rest < free_now ? (size_t)rest : free_now;
    return b->p + b->len;
}

void assemble_release(thrum_proto *p)
{
    buf_free(&p->msg);
    p->in_msg = p->parted = p->inflating = false;
    if (p->deflate)
        deflate_drop(p->deflate);
}
