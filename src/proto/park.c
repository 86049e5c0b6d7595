/* park.c: see park.h. */
#include "proto/park.h"
#include "base/mem.h"
#include "proto/proto_int.h"
#include <string.h>

bool proto_rests(const thrum_proto *p)
{
    return p->state == THRUM_OPEN && p->expect == EXPECT_FRAME && p->fh_n == 0 && !p->in_msg && !p->sending &&
           !p->held && !p->in_ended && p->npings == 0 && p->ping_by == 0 && list_empty(&p->events) &&
           list_empty(&p->out);
}

void proto_park(thrum_proto *p, struct parked *to)
{
    const thrum_stats *s = &p->stats;
    *to = (struct parked){
        .deflate = p->deflate,
        .latency = p->latency,
        .heard = p->heard,
        .messages_in = s->messages_in,
        .messages_out = s->messages_out,
        .bytes_in = s->bytes_in,
        .bytes_out = s->bytes_out,
        .wire_in = s->wire_in,
        .wire_out = s->wire_out,
        .pings_in = (uint32_t)s->pings_in,
        .pings_out = (uint32_t)s->pings_out,
        .pongs_in = (uint32_t)s->pongs_in,
        .pongs_out = (uint32_t)s->pongs_out,
    };
    p->deflate = NULL;
    thrum_proto_free(p);
}

static thrum_stats counts_of(const struct parked *from)
{
    return (thrum_stats){
        .messages_in = from->messages_in,
        .messages_out = from->messages_out,
        .bytes_in = from->bytes_in,
        .bytes_out = from->bytes_out,
        .wire_in = from->wire_in,
        .wire_out = from->wire_out,
        .pings_in = from->pings_in,
        .pings_out = from->pings_out,
        .pongs_in = from->pongs_in,
        .pongs_out = from->pongs_out,
    };
}

thrum_proto *proto_unpark(struct parked *from, bool server, const struct settings *s, const thrum_host *h,
                          thrum_time now)
{
    thrum_proto *p = proto_make(s, h, server, now);
    if (!p)
        return NULL;
    p->state = THRUM_OPEN;
    p->expect = EXPECT_FRAME;
    p->deflate = from->deflate;
    p->latency = from->latency;
    p->heard = from->heard;
    p->stats = counts_of(from);
    from->deflate = NULL;
    return p;
}

void parked_free(struct parked *p)
{
    deflate_free(p->deflate);
    p->deflate = NULL;
}

void parked_sent(struct parked *p, size_t payload, thrum_time now)
{
    p->messages_out++;
    p->bytes_out += payload;
    if (p->deflate)
        p->deflate->told = now;
}

void parked_stats(const struct parked *p, thrum_stats *out)
{
    size_t size = out->size;
    *out = counts_of(p);
    out->size = size;
    out->latency_ns = p->latency;
    out->compress_held = p->deflate ? deflate_held(p->deflate) : 0;
    out->compress_held_process = codec_held();
}

static thrum_time after(thrum_time now, int64_t ms)
{
    return ms < 0 || ms > (INT64_MAX - now) / 1000000 ? INT64_MAX : now + ms * 1000000;
}

thrum_time parked_deadline(const struct parked *p, const struct settings *s)
{
    thrum_time at = after(p->heard, s->ping_interval);
    if (p->deflate && p->deflate->sent.n > 0 && after(p->deflate->told, s->compress_idle) < at)
        at = after(p->deflate->told, s->compress_idle);
    return at;
}

size_t proto_next(const thrum_proto *p)
{
    if (p->expect == EXPECT_PAYLOAD) {
        uint64_t rest = p->frame.len - p->frame_at;
        return rest > SIZE_MAX ? SIZE_MAX : (size_t)rest;
    }
    if (p->expect != EXPECT_FRAME)
        return SIZE_MAX;
    if (p->fh_n < 2)
        return 2 - p->fh_n;
    uint8_t len = p->fh[1] & 0x7f;
    size_t head = 2 + (len == 126 ? 2u : len == 127 ? 8u : 0u) + ((p->fh[1] & 0x80) ? 4u : 0u);
    return head > p->fh_n ? head - p->fh_n : 1;
}

void proto_overflow(thrum_proto *p, thrum_time now)
{
    p->now = now;
    proto_fail(p, 1013, THRUM_E_FULL, "%llu bytes waited for the peer to read them",
               (unsigned long long)p->pending);
}

void proto_wrote(thrum_proto *p, size_t n)
{
    p->stats.wire_out += n;
}

size_t proto_wants_memory(const thrum_proto *p, size_t least)
{
    bool data = p->expect == EXPECT_PAYLOAD && !frame_is_control(p->frame.opcode) && !p->inflating;
    bool fresh = p->frame_at == 0 && !p->msg.p; /* of one taken in parts msg is empty again and again */
    return data && fresh && p->frame.len >= least && p->frame.len < SIZE_MAX ? (size_t)p->frame.len + 1 : 0;
}

void proto_give_memory(thrum_proto *p, uint8_t *memory, size_t n)
{
    p->msg.p = memory;
    p->msg.cap = n;
}

void proto_set_unread(thrum_proto *p, bool unread)
{
    if (p->unread && !unread)
        control_heard(p); /* the silence was ours */
    p->unread = unread;
}

const struct deflate *proto_deflate(const thrum_proto *p)
{
    return p->deflate;
}

uint64_t proto_wire_in(const thrum_proto *p)
{
    return p->stats.wire_in;
}
