/* write.c: messages to the wire. What a connection sends during a turn is put together in a chunk and leaves
 * in one system call, at the end of its own event or of the turn; a large payload leaves at once, from where
 * it is, but for a last segment that the next answer may fill. Only what the kernel does not take goes to a
 * proto's outbox. */
#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"
#include "event/event.h"
#include "proto/quick.h"
#include "wire/mask.h"
#include "wire/utf8.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

enum {
    SLICES = 16,
    STREAM_MOST = 48 * 1024, /* of a payload a stream takes at once (TLS: 64 KiB); more is better lent */
    SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL
};

size_t lconn_pending(const struct lconn *c)
{
    return (c->proto ? proto_pending(c->proto) : 0) + (c->out ? c->out->n : 0);
}

/* ---- chunks
 * ----------------------------------------------------------------------------------------------------- */

static void chunk_give(struct thrum_loop *l, struct chunk *k)
{
    l->nout--;
    if (l->nstock >= CHUNKS_MAX) {
        mem_free(k);
        return;
    }
    k->next = l->stock;
    l->stock = k;
    l->nstock++;
}

void chunk_drop(struct lconn *c)
{
    if (c->out)
        chunk_give(c->home->loop, c->out);
    c->out = NULL;
}

/* With many waiting for the end of the turn, the one that has waited longest leaves now; mostly there is then
 * nothing more to be done for it. It is looked for among the first few only, as each send comes here while
 * there are so many. */
static void make_way(struct thrum_loop *l)
{
    enum { LOOKS = 4 };
    for (int i = 0; i < LOOKS && l->dirty && l->nout >= CHUNKS_MAX; i++) {
        struct lconn *c = lconn_undirty(l);
        if (c->is_dead)
            lconn_lay(c);
        if (c->out && !c->busy)
            lconn_write(c);
        if (!lconn_is_plain(c) || c->out || c->again)
            lconn_dirty(c);
    }
}

static struct chunk *chunk_take(struct thrum_loop *l)
{
    if (l->nout >= CHUNKS_MAX)
        make_way(l);
    struct chunk *k = l->stock;
    if (k) {
        l->stock = k->next;
        l->nstock--;
    } else if (!(k = mem_alloc(sizeof *k))) {
        return NULL;
    }
    l->nout++;
    k->n = 0;
    return k;
}

void chunks_trim(struct thrum_loop *l, unsigned left)
{
    while (l->nstock > left) {
        struct chunk *k = l->stock;
        l->stock = k->next;
        l->nstock--;
        mem_free(k);
    }
}

/* ---- writing
 * ---------------------------------------------------------------------------------------------------- */

/* Large answers to messages of one read go with MSG_MORE: segments are filled by the next one, instead of
 * each answer ending in a segment of a few bytes. */
static ssize_t write_once(struct lconn *c, struct iovec *v, int n)
{
    if (c->stream)
        return c->stream->ops->write(c->stream, v, n);
    struct thrum_loop *l = c->home->loop;
    const bool more = c->busy && l->more;
    const int flags = SEND_FLAGS | (more ? MSG_MORE : 0);
    ssize_t r;
    struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)n};
    do
        r = n == 1 ? sys.send(c->fd, v->iov_base, v->iov_len, flags) : sys.sendmsg(c->fd, &m, flags);
    while (r < 0 && errno == EINTR);
    if (c->busy && r > 0)
        l->held = more;
    return r < 0 ? -errno : r;
}

/* No more answers have come: setting TCP_NODELAY lets what was held back go, also where it was set (tcp(7)).
 */
void lconn_push(struct lconn *c)
{
    const int on = 1;
    c->home->loop->held = false;
    if (!c->out && c->fd >= 0) /* else a write without MSG_MORE follows in this turn, or its end was one */
        (void)sys.setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* How much was taken; 0 also where nothing can be written any more: why it ended is first looked for in what
 * the peer has sent, so that the end comes by the next read. */
static size_t write_some(struct lconn *c, struct iovec *v, int n)
{
    ssize_t put = write_once(c, v, n);
    if (put >= 0)
        return (size_t)put;
    if (put != -EAGAIN && !c->broken) {
        c->broken = true;
        lconn_dirty(c);
    }
    return 0;
}

static void count_out(struct lconn *c, size_t n)
{
    if (c->proto)
        proto_wrote(c->proto, n);
    else
        c->parked.wire_out += n;
}

/* It goes before all else that the proto has. */
static void keep_unwritten(struct lconn *c, const uint8_t *b, size_t n)
{
    thrum_proto *p = lconn_proto(c);
    if (p && proto_put_first(p, b, n) != THRUM_OK)
        proto_cut(p, THRUM_E_MEMORY, 0, "no memory for what could not be written yet", c->home->loop->now);
}

/* `put` bytes of the chunk have left. True: that is all of it. */
static bool chunk_over(struct lconn *c, struct chunk *k, size_t put)
{
    count_out(c, put);
    c->out = NULL;
    if (put < k->n && !c->broken)
        keep_unwritten(c, k->b + put, k->n - put);
    bool whole = put == k->n;
    chunk_give(c->home->loop, k);
    return whole;
}

/* True: all of it has left. */
static bool flush_chunk(struct lconn *c)
{
    struct chunk *k = c->out;
    if (!k)
        return true;
    struct iovec v = {k->b, k->n};
    return chunk_over(c, k, c->broken ? k->n : write_some(c, &v, 1));
}

/* The short way of one that is plain; true: there is no chunk any more, and nothing else has changed. */
bool chunk_send(struct lconn *c)
{
    struct chunk *k = c->out;
    c->again = false;
    if (!k)
        return true;
    ssize_t put = sys.send(c->fd, k->b, k->n, SEND_FLAGS);
    if (put != (ssize_t)k->n) {
        if (put > 0)
            (void)chunk_over(c, k, (size_t)put);
        else if (put < 0 && errno != EAGAIN && errno != EINTR)
            c->broken = true;
        return false; /* the long way sees what there is to do */
    }
    c->parked.wire_out += k->n;
    c->out = NULL;
    chunk_give(c->home->loop, k);
    return true;
}

static bool proto_write(struct lconn *c)
{
    thrum_slice s[SLICES];
    struct iovec v[SLICES];
    size_t n = thrum_proto_out(c->proto, s, SLICES), want = 0;
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        v[i] = (struct iovec){(void *)(uintptr_t)s[i].p, s[i].n};
        want += s[i].n;
    }
    size_t put = write_some(c, v, (int)n);
    if (put == 0)
        return false;
    thrum_proto_out_done(c->proto, put, c->home->loop->now);
    if (proto_pending(c->proto) == 0)
        return false;
    return put == want || (c->stream && c->stream->below && stream_unsent(c->stream) == 0);
}

static void shut_out(struct lconn *c)
{
    c->shut_out = true;
    if (c->stream)
        (void)c->stream->ops->shut_out(c->stream); /* fails only where reading will tell */
    else
        (void)sys.shutdown(c->fd, SHUT_WR);
}

void lconn_write(struct lconn *c)
{
    if (c->connecting)
        return;
    if (c->stream && c->stream->below)
        (void)stream_flush(c->stream); /* an error is told by what is read or written next */
    (void)flush_chunk(c);
    while (c->proto && !c->broken && !c->out && proto_write(c))
        ;
    if (c->proto) {
        unsigned f = thrum_proto_flags(c->proto);
        if ((f & THRUM_SHUT_OUT) && !(f & THRUM_WANT_OUT) && !c->shut_out)
            shut_out(c);
    }
}

/* ---- sending
 * ---------------------------------------------------------------------------------------------------- */

/* Is there room for n bytes more? What there is to do where there is not is the user's choice; OK: go on. */
static thrum_status make_room(struct lconn *c, size_t n)
{
    const struct settings *s = lconn_settings(c);
    if (lconn_pending(c) < s->send_high)
        return THRUM_OK;
    lconn_write(c);
    size_t pending = lconn_pending(c);
    if (pending < s->send_high || !c->proto)
        return THRUM_OK;
    c->owes_drain = true;
    if (s->when_full == THRUM_FULL_DROP_OLDEST) {
        (void)proto_drop_oldest(c->proto, n < s->send_high ? (size_t)s->send_high - 1 - n : 0);
        return proto_pending(c->proto) < s->send_high ? THRUM_OK : THRUM_E_FULL;
    }
    if (s->when_full == THRUM_FULL_CLOSE) {
        proto_overflow(c->proto, c->home->loop->now);
        lconn_dirty(c);
        return THRUM_E_CLOSED;
    }
    c->holding = s->when_full == THRUM_FULL_PAUSE;
    lconn_dirty(c);
    return THRUM_E_FULL;
}

static void after_send(struct lconn *c)
{
    if (lconn_pending(c) >= lconn_settings(c)->send_high) {
        c->owes_drain = true;
        c->holding = lconn_settings(c)->when_full == THRUM_FULL_PAUSE;
    }
    if (c->busy)
        c->again = true;
    else
        lconn_dirty(c);
}

static size_t total_of(const thrum_slice *v, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += v[i].n;
    return total;
}

static bool is_text(const thrum_slice *v, size_t n)
{
    struct utf8 u = {0};
    for (size_t i = 0; i < n; i++)
        if (v[i].n > 0 && !utf8_feed(&u, v[i].p, v[i].n))
            return false;
    return utf8_done(&u);
}

static void put(uint8_t *to, const thrum_slice *v, size_t n, const uint8_t *key)
{
    for (size_t i = 0, at = 0; i < n; at += v[i++].n) {
        if (v[i].n == 0)
            continue;
        if (key)
            mask_apply(to + at, v[i].p, v[i].n, key, at);
        else
            memcpy(to + at, v[i].p, v[i].n);
    }
}

static void count_sent(struct lconn *c, size_t payload)
{
    parked_sent(&c->parked, payload, c->home->loop->now);
}

/* Room for n bytes behind what the chunk has; NULL: the kernel took not all of it (then there is a proto), or
 * no memory. */
static uint8_t *chunk_room(struct lconn *c, size_t n)
{
    if (c->out && c->out->n + n > CHUNK_ROOM && !flush_chunk(c))
        return NULL;
    if (!c->out && !(c->out = chunk_take(c->home->loop)))
        return NULL;
    uint8_t *at = c->out->b + c->out->n;
    c->out->n += n;
    return at;
}

/* What of the slices has not been taken goes to a proto. E_MEMORY: then the frame is torn, and the end. */
static thrum_status keep_rest(struct lconn *c, const thrum_slice *v, size_t n, size_t done)
{
    thrum_proto *p = lconn_proto(c);
    thrum_status s = p ? proto_put_rest(p, v, n, done) : THRUM_E_MEMORY;
    if (s != THRUM_OK && p)
        proto_cut(p, THRUM_E_MEMORY, 0, "no memory for the rest of a message", c->home->loop->now);
    return s;
}

static thrum_status send_large(struct lconn *c, const uint8_t *head, size_t hn, const thrum_slice *v,
                               size_t n, size_t total)
{
    struct iovec io[SLICES] = {{(void *)(uintptr_t)head, hn}};
    thrum_slice all[SLICES] = {{head, hn}};
    for (size_t i = 0; i < n; i++) {
        all[i + 1] = v[i];
        io[i + 1] = (struct iovec){(void *)(uintptr_t)v[i].p, v[i].n};
    }
    size_t put_n = write_some(c, io, (int)n + 1);
    count_out(c, put_n);
    count_sent(c, total);
    if (put_n == hn + total || c->broken)
        return THRUM_OK;
    return keep_rest(c, all, n + 1, put_n);
}

enum quick { QUICK_NO, QUICK_DONE };

/* The way without a proto. QUICK_NO: it is to go the other way; *s is the answer else. */
static enum quick send_quickly(struct lconn *c, thrum_kind k, const thrum_slice *v, size_t n, size_t total,
                               thrum_status *s)
{
    uint8_t head[FRAME_HEAD_MAX], key[4];
    bool copies = total <= QUICK_COPY_MAX;
    if (!copies && (c->is_client || n >= SLICES || (c->stream && total > STREAM_MOST)))
        return QUICK_NO;
    *s = THRUM_E_UTF8;
    if (k == THRUM_TEXT && !is_text(v, n))
        return QUICK_DONE;
    *s = THRUM_E_SYSTEM;
    if (c->is_client && rand_bytes(key, sizeof key) != 0)
        return QUICK_DONE;
    size_t hn = quick_head(head, k, total, c->is_client ? key : NULL);
    *s = THRUM_OK;
    if (copies) {
        uint8_t *at = chunk_room(c, hn + total);
        if (!at)
            return QUICK_NO;
        memcpy(at, head, hn);
        put(at + hn, v, n, c->is_client ? key : NULL);
        count_sent(c, total);
    } else {
        if (!flush_chunk(c))
            return QUICK_NO;
        *s = send_large(c, head, hn, v, n, total);
    }
    return QUICK_DONE;
}

/* A large payload is offered to the kernel from where it is; what is not taken is copied. */
static thrum_status send_lent(struct lconn *c, thrum_kind k, const thrum_slice *v, size_t n, bool last,
                              thrum_switch compress)
{
    thrum_proto *p = c->proto;
    thrum_status s = proto_send_borrow(p, k, v, n, last, compress);
    if (s != THRUM_OK || proto_borrowed(p) == PROTO_BORROW_NONE)
        return s;
    lconn_write(c);
    enum proto_borrow left = proto_settle(p);
    if (left == PROTO_BORROW_FRESH)
        s = proto_send_copy(p, k, v, n, last, compress);
    return s;
}

static thrum_status send_slowly(struct lconn *c, thrum_kind k, const thrum_slice *v, size_t n, size_t total,
                                bool last, thrum_switch compress)
{
    if (!lconn_proto(c))
        return THRUM_E_MEMORY;
    if (total > PROTO_COPY_MAX && flush_chunk(c) && proto_pending(c->proto) == 0 && !c->broken)
        return send_lent(c, k, v, n, last, compress);
    return proto_send_copy(c->proto, k, v, n, last, compress);
}

static bool is_quick(const struct lconn *c, size_t total, thrum_switch compress)
{
    if (c->proto || c->broken)
        return false;
    return !c->parked.deflate || compress == THRUM_OFF ||
           (compress == THRUM_DEFAULT && total < lconn_settings(c)->compress_min);
}

/* The short way of one that is plain: one small message behind what the chunk has. False: it is not for this
 * way. */
bool lconn_send_plain(struct lconn *c, thrum_kind k, const void *p, size_t n, thrum_status *s)
{
    struct chunk *out = c->out;
    if (n - 1 >= QUICK_COPY_MAX || !lconn_is_plain(c) || !c->home->is_roomy ||
        (out && out->n + n + FRAME_HEAD_MAX > CHUNK_ROOM))
        return false;
    *s = THRUM_E_UTF8;
    if (k == THRUM_TEXT && !utf8_valid(p, n))
        return true;
    *s = THRUM_E_MEMORY;
    if (!out && !(out = c->out = chunk_take(c->home->loop)))
        return true;
    uint8_t *at = out->b + out->n;
    size_t hn = quick_head(at, k, n, NULL);
    mask_copy(at + hn, p, n);
    out->n += hn + n;
    c->parked.messages_out++;
    c->parked.bytes_out += n;
    if (!c->busy)
        lconn_dirty(c);
    *s = THRUM_OK;
    return true;
}

thrum_status lconn_send(struct lconn *c, thrum_kind k, const thrum_slice *v, size_t n, thrum_switch compress,
                        enum front_part part)
{
    size_t total = total_of(v, n);
    thrum_status s = THRUM_OK;
    if (c->ended || c->deaf || c->out_of_memory)
        return THRUM_E_CLOSED;
    s = make_room(c, total);
    if (s != THRUM_OK)
        return s;
    bool sending = c->proto && proto_sending_parts(c->proto);
    if (part == FRONT_WHOLE && sending)
        return THRUM_E_STATE;
    bool whole = part == FRONT_WHOLE || (!sending && part != FRONT_PART);
    if (!whole || !is_quick(c, total, compress) || send_quickly(c, k, v, n, total, &s) == QUICK_NO)
        s = send_slowly(c, k, v, n, total, part != FRONT_PART, compress);
    if (s == THRUM_OK)
        after_send(c);
    return s;
}

/* ---- publishing
 * --------------------------------------------------------------------------------------------------- */

/* While so many wait with output that one more would only drive out another, it goes from where it is. Number
 * of bytes that went; what is left then is the proto's. 0: it is to go the long way. */
static size_t send_form_now(struct lconn *c, struct shared *s, struct shared *form)
{
    if (c->home->loop->nout < CHUNKS_MAX || !lconn_is_plain(c) || c->out)
        return 0;
    ssize_t put = sys.send(c->fd, form->p, form->n, SEND_FLAGS);
    if (put <= 0) /* the long way finds out why */
        return 0;
    c->parked.wire_out += (uint64_t)put;
    count_sent(c, s->payload);
    if ((size_t)put < form->n)
        keep_unwritten(c, form->p + put, form->n - (size_t)put);
    return (size_t)put;
}

static thrum_status send_form(struct lconn *c, struct shared *s, struct shared *form)
{
    if (c->proto)
        return proto_send_form(c->proto, s, form, 0);
    if (form->n <= QUICK_COPY_MAX) {
        uint8_t *at = chunk_room(c, form->n);
        if (at) {
            memcpy(at, form->p, form->n);
            shared_told(c->parked.deflate, s, form);
            count_sent(c, s->payload);
            return THRUM_OK;
        }
    }
    thrum_proto *p = flush_chunk(c) || c->proto ? lconn_proto(c) : NULL;
    return p ? proto_send_form(p, s, form, 0) : THRUM_E_MEMORY; /* by reference */
}

thrum_status lconn_send_shared(struct lconn *c, struct shared *s)
{
    if (c->ended || c->deaf || !c->opened || c->out_of_memory)
        return THRUM_E_CLOSED;
    if (c->proto && thrum_proto_state(c->proto) != THRUM_OPEN)
        return THRUM_E_CLOSED;
    if (c->proto && proto_sending_parts(c->proto))
        return THRUM_E_STATE;
    thrum_status st = make_room(c, s->n);
    if (st != THRUM_OK)
        return st;
    const struct deflate *d = c->proto ? proto_deflate(c->proto) : c->parked.deflate;
    struct shared *form = shared_form(lconn_settings(c), d, s);
    size_t now = send_form_now(c, s, form);
    if (now == form->n)
        return THRUM_OK;
    st = now > 0 ? THRUM_OK : send_form(c, s, form);
    if (st == THRUM_OK)
        after_send(c);
    return st;
}
