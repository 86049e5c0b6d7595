/* deflate.c: permessage-deflate's streams (RFC 7692 section 7.2).
 *
 * Between two messages a connection keeps the last 2^bits bytes of text each way, and no codec state: those
 * are lent by the process for a call (compressing) or for a message (inflating). A compressor may refer to
 * less than it is allowed to, so wherever what we sent and what the peer got might differ, our history is
 * simply forgotten. */
#include "proto/deflate.h"
#include "base/mem.h"
#include "proto/inflate_whole.h"
#include <string.h>

static const uint8_t tail[] = {0, 0, 0xff, 0xff}; /* RFC 7692 section 7.2.1 */

struct deflate *deflate_new(const struct settings *s, struct deflate_way out, struct deflate_way in)
{
    struct deflate *d = mem_zalloc(sizeof *d);
    if (!d)
        return NULL;
    d->out = out;
    d->in = in;
    d->level = s->compress_level;
    d->memory = s->compress_memory;
    return d;
}

struct deflate_how deflate_how(const struct deflate *d)
{
    return (struct deflate_how){.bits = d->out.bits, .level = d->level, .memory = d->memory};
}

/* ---- history --------------------------------------------------------------------------------------------
 */

static void forget(struct history *h)
{
    codec_free(h->p, h->cap);
    *h = (struct history){NULL, 0, 0};
}

static bool make_room(struct history *h, size_t n, size_t most)
{
    if (h->cap >= n)
        return true;
    size_t cap = h->cap ? h->cap : 256;
    while (cap < n)
        cap *= 2;
    cap = cap < most ? cap : most;
    uint8_t *p = codec_alloc(cap);
    if (!p)
        return false;
    if (h->n > 0)
        memcpy(p, h->p, h->n);
    codec_free(h->p, h->cap);
    h->p = p;
    h->cap = cap;
    return true;
}

/* Without memory it is forgotten: right for what we send. */
static void remember(struct history *h, thrum_slice s, size_t most)
{
    if (s.n == 0)
        return;
    if (s.n > most) {
        s.p += s.n - most;
        s.n = most;
    }
    size_t want = h->n + s.n < most ? h->n + s.n : most;
    if (!make_room(h, want, most)) {
        forget(h);
        return;
    }
    size_t keep = want - s.n;
    if (keep < h->n)
        memmove(h->p, h->p + h->n - keep, keep);
    memcpy(h->p + keep, s.p, s.n);
    h->n = want;
}

static size_t window(struct deflate_way w)
{
    return (size_t)1 << w.bits;
}

void deflate_free(struct deflate *d)
{
    if (!d)
        return;
    deflate_drop(d);
    forget(&d->sent);
    forget(&d->received);
    mem_free(d);
}

size_t deflate_held(const struct deflate *d)
{
    return d->sent.cap + d->received.cap;
}

/* ---- sending --------------------------------------------------------------------------------------------
 */

/* Codes made for a message (RFC 1951 section 3.2.7) take longer to make than a short message to compress with
 * the fixed ones, and a long one has a use for them. In between it depends on the text: of sixteen messages
 * one is sent with its own codes, the next with the fixed ones, and the others as those two came out. */
enum { SHORT = 256, LONG = 8192, OWN_TURN = 1, FIXED_TURN = 2, ALL = 256, MUCH = ALL / 4 };

static bool takes_turns(const struct deflate *d, size_t text)
{
    return d->level == 1 && d->sent.n > 0 && text > SHORT && text <= LONG;
}

static bool fixed_will_do(struct deflate *d, size_t text)
{
    if (!takes_turns(d, text))
        return d->level == 1 && d->sent.n > 0 && text <= SHORT;
    d->turn++;
    return d->turn == FIXED_TURN || (d->turn != OWN_TURN && d->fixed);
}

/* Codes of their own are worth it where they save a third, and where much is left to save. */
static void judge_codes(struct deflate *d, size_t text, size_t small)
{
    if (!takes_turns(d, text) || (d->turn != OWN_TURN && d->turn != FIXED_TURN))
        return;
    const unsigned share = small < text ? (unsigned)(ALL * small / text) : ALL - 1;
    if (d->turn == OWN_TURN)
        d->own_share = (uint8_t)share;
    else
        d->fixed = share <= MUCH && 2 * share <= 3U * d->own_share;
}

thrum_status deflate_send(struct deflate *d, const thrum_slice *v, size_t n, bool last,
                          struct deflater **with, thrum_slice *to)
{
    struct deflate_how how = deflate_how(d);
    size_t text = 0;
    for (size_t i = 0; i < n; i++)
        text += v[i].n;
    how.fixed = fixed_will_do(d, text);
    struct deflater *c = *with = deflater_take(how);
    if (!c)
        return THRUM_E_MEMORY;
    if (!deflater_run(c, (thrum_slice){d->sent.p, d->sent.n}, v, n, to)) {
        deflater_give(c);
        *with = NULL;
        return THRUM_E_MEMORY;
    }
    judge_codes(d, text, to->n);
    if (last)
        to->n -= sizeof tail; /* it always ends so; the receiver puts it back */
    return THRUM_OK;
}

void deflate_sent(struct deflate *d, const thrum_slice *v, size_t n, bool last)
{
    if (last && !d->out.takeover) {
        forget(&d->sent);
        return;
    }
    for (size_t i = 0; i < n; i++)
        remember(&d->sent, v[i], window(d->out));
}

void deflate_forget(struct deflate *d)
{
    forget(&d->sent);
}

void deflate_was_told(struct deflate *d, thrum_slice text)
{
    if (d->out.takeover)
        remember(&d->sent, text, window(d->out));
}

/* ---- receiving ------------------------------------------------------------------------------------------
 */

bool deflate_receive_whole(struct deflate *d, thrum_slice in, size_t most, thrum_slice *text)
{
    d->whole = d->longer ? NULL : whole_take();
    if (d->whole && whole_inflate(d->whole, (thrum_slice){d->received.p, d->received.n}, in, most, text))
        return true;
    deflate_drop(d);
    return false;
}

enum inflated deflate_receive(struct deflate *d, thrum_slice *in, uint8_t *to, size_t *room)
{
    if (!d->inflater)
        d->inflater = inflater_take((thrum_slice){d->received.p, d->received.n});
    return d->inflater ? inflater_run(d->inflater, in, to, room) : INFLATE_MEMORY;
}

/* What the peer may refer to must be kept, or the next message cannot be read. */
static enum inflated keep(struct deflate *d)
{
    if (!d->in.takeover)
        return INFLATE_OK;
    uint8_t *p = d->received.p;
    size_t most = window(d->in);
    if (d->received.cap < most && !(p = codec_alloc(most)))
        return INFLATE_MEMORY;
    d->received.n = d->whole ? whole_dict(d->whole, p, most) : inflater_dict(d->inflater, p, most);
    if (p != d->received.p)
        codec_free(d->received.p, d->received.cap);
    d->received.p = p;
    d->received.cap = most;
    return INFLATE_OK;
}

/* Do the four bytes that end each message end this one? */
static enum inflated end(struct inflater *i)
{
    uint8_t none[1];
    size_t room = sizeof none;
    thrum_slice in = {tail, sizeof tail};
    if (!i) /* not one byte came, and that is no stream of blocks */
        return INFLATE_BAD;
    if (inflater_is_final(i))
        return INFLATE_OK;
    enum inflated r = inflater_run(i, &in, none, &room);
    return r == INFLATE_ROOM || (r == INFLATE_OK && !inflater_is_between(i)) ? INFLATE_BAD : r;
}

enum inflated deflate_received(struct deflate *d, uint64_t text)
{
    d->longer = text > WHOLE_MOST;
    enum inflated r = d->whole ? INFLATE_OK : end(d->inflater);
    if (r == INFLATE_OK)
        r = keep(d);
    deflate_drop(d);
    return r;
}

void deflate_drop(struct deflate *d)
{
    inflater_give(d->inflater);
    whole_give(d->whole);
    d->inflater = NULL;
    d->whole = NULL;
}
