/* outbox.c: what is to be written: frames in order. One that has begun is finished before anything else; a
 * control frame may go before data frames of which nothing has been written. A caller's payload is lent, not
 * copied: a server's is written from where it is, a client's is masked piece by piece into a stage of the
 * proto's. */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/park.h"
#include "proto/proto_int.h"
#include "wire/mask.h"
#include <string.h>

static struct item *first(const thrum_proto *p)
{
    return list_empty(&p->out) ? NULL : list_of(p->out.next, struct item, link);
}

static struct item *item_new(size_t own, size_t nv)
{
    struct item *i = mem_alloc(sizeof *i + own);
    if (!i)
        return NULL;
    *i = (struct item){.head = own, .n = own};
    list_init(&i->link);
    if (nv > 0) {
        i->v = mem_alloc(nv * sizeof *i->v);
        if (!i->v) {
            mem_free(i);
            return NULL;
        }
    }
    return i;
}

static void item_free(thrum_proto *p, struct item *i)
{
    list_remove(&i->link);
    p->pending -= i->n - i->done;
    if (p->borrowed == i) {
        p->borrowed = NULL;
        p->lost = i->done < i->n;
    }
    shared_drop(i->shared);
    mem_free(i->v);
    mem_free(i);
}

/* First: it has begun to be written already. */
static void queue(thrum_proto *p, struct item *i, bool first)
{
    p->pending += i->n - i->done;
    if (first || !i->passes) {
        list_push(first ? p->out.next : &p->out, &i->link);
        return;
    }
    /* Behind what has begun and behind other control frames and HTTP, before data that is fresh. */
    struct list *at = p->out.next;
    while (at != &p->out) {
        const struct item *x = list_of(at, struct item, link);
        if (x->data && x->done == 0)
            break;
        at = at->next;
    }
    list_push(at, &i->link);
}

thrum_status outbox_bytes(thrum_proto *p, const void *d, size_t n)
{
    struct item *i = item_new(n, 0);
    if (!i)
        return THRUM_E_MEMORY;
    memcpy(i->own, d, n);
    queue(p, i, false);
    return THRUM_OK;
}

/* Header, with a fresh mask for a client. False: no randomness. */
static bool make_head(thrum_proto *p, struct frame_head *h)
{
    h->masked = !p->server;
    return p->server || p->host.random(p->host.ctx, h->key, 4) == 0;
}

static void count_out(thrum_proto *p, uint8_t opcode)
{
    p->stats.pings_out += opcode == FRAME_PING;
    p->stats.pongs_out += opcode == FRAME_PONG;
}

static void trace(const thrum_proto *p, uint8_t opcode, thrum_slice s, size_t total, bool fin)
{
    char shown[128];
    if (!log_wanted(LOG_FRAME, LOG_TRACE))
        return;
    text_escape(shown, sizeof shown, s.p, s.n);
    LOG(LOG_FRAME, LOG_TRACE, p->host.id, "> %s \"%s\" [%zu bytes]%s", frame_opcode_name(opcode), shown,
        total, fin ? "" : " more follow");
}

/* A frame that is wholly the proto's own memory. */
static struct item *own_frame(thrum_proto *p, struct frame_head h, const thrum_slice *v, size_t nv,
                              thrum_status *s)
{
    size_t n = (size_t)h.len;
    uint8_t head[FRAME_HEAD_MAX];
    *s = THRUM_E_SYSTEM;
    if (!make_head(p, &h))
        return NULL;
    size_t hn = frame_encode(head, &h), at = 0;
    *s = THRUM_E_MEMORY;
    struct item *i = item_new(hn + n, 0);
    if (!i)
        return NULL;
    memcpy(i->own, head, hn);
    for (size_t k = 0; k < nv; at += v[k++].n) {
        if (v[k].n == 0)
            continue;
        if (h.masked)
            mask_apply(i->own + hn + at, v[k].p, v[k].n, h.key, at);
        else
            memcpy(i->own + hn + at, v[k].p, v[k].n);
    }
    *s = THRUM_OK;
    return i;
}

/* Of answers that have not begun only the latest few are kept (RFC 6455 section 5.5.3 would have one do).
 * They stand before all fresh data, so a ping costs the same however long the queue is. */
static void drop_old_answer(thrum_proto *p)
{
    struct item *oldest = NULL;
    unsigned n = 0;
    list_each (l, &p->out) {
        struct item *i = list_of(l, struct item, link);
        if (i->done == 0 && i->data)
            break;
        if (i->done > 0 || !i->answer)
            continue;
        oldest = oldest ? oldest : i;
        n++;
    }
    if (n < ANSWERS_MAX)
        return;
    p->stats.pongs_out--;
    item_free(p, oldest);
}

static thrum_status queue_control(thrum_proto *p, uint8_t opcode, thrum_slice s, bool answer)
{
    thrum_status st;
    struct item *i = own_frame(p, (struct frame_head){.opcode = opcode, .fin = true, .len = s.n}, &s, 1, &st);
    if (!i)
        return st;
    if (answer)
        drop_old_answer(p); /* not before there is another */
    i->answer = answer;
    i->passes = opcode != FRAME_CLOSE; /* behind a Close no data may follow (RFC 6455 section 5.5.1) */
    i->pong = opcode == FRAME_PONG;
    queue(p, i, false);
    count_out(p, opcode);
    trace(p, opcode, s, s.n, true);
    return THRUM_OK;
}

thrum_status outbox_control(thrum_proto *p, uint8_t opcode, thrum_slice s)
{
    return queue_control(p, opcode, s, false);
}

thrum_status outbox_answer(thrum_proto *p, thrum_slice s)
{
    return queue_control(p, FRAME_PONG, s, true);
}

bool outbox_has_fresh(const thrum_proto *p)
{
    list_each (l, &p->out) {
        const struct item *i = list_of(l, struct item, link);
        if (i->data && i->done == 0)
            return true;
    }
    return false;
}

/* What is neither data nor passes it stays: the 101, and the rest of a frame that has begun. */
void outbox_drop_fresh(thrum_proto *p, bool control_too)
{
    list_each_safe (l, next, &p->out) {
        struct item *i = list_of(l, struct item, link);
        if (i->done == 0 && (i->data || (control_too && i->passes)))
            item_free(p, i);
    }
}

void outbox_drop_all(thrum_proto *p)
{
    while (first(p))
        item_free(p, first(p));
}

void outbox_free(thrum_proto *p)
{
    outbox_drop_all(p);
    mem_free(p->stage);
    p->stage = NULL;
}

/* ---- door 4
 * --------------------------------------------------------------------------------------------------- */

/* May a data frame of this kind be sent now? For text, its bytes are judged, too; *u is the state behind
 * them. */
static thrum_status may_send(const thrum_proto *p, thrum_kind k, const thrum_slice *v, size_t n, bool last,
                             struct utf8 *u)
{
    if (k != THRUM_TEXT && k != THRUM_BINARY)
        return THRUM_E_ARGUMENT;
    if (p->state == THRUM_CONNECTING)
        return THRUM_E_STATE;
    if (p->state != THRUM_OPEN)
        return THRUM_E_CLOSED;
    if (p->sending && k != p->sending_kind)
        return THRUM_E_STATE;
    *u = p->sending ? p->sending_utf8 : (struct utf8){0};
    if (k != THRUM_TEXT)
        return THRUM_OK;
    for (size_t i = 0; i < n; i++)
        if (v[i].n > 0 && !utf8_feed(u, v[i].p, v[i].n))
            return THRUM_E_UTF8;
    return last && !utf8_done(u) ? THRUM_E_UTF8 : THRUM_OK;
}

static void sent(thrum_proto *p, struct item *i, thrum_kind k, size_t payload, bool last, struct utf8 u)
{
    i->data = true;
    i->whole = last && !p->sending;
    i->payload = payload;
    queue(p, i, false);
    p->borrowed = i;
    p->lost = false;
    p->utf8_before = p->sending ? p->sending_utf8 : (struct utf8){0};
    p->sending = !last;
    p->sending_kind = k;
    p->sending_utf8 = u;
    p->stats.bytes_out += payload;
    p->stats.messages_out += last;
}

static size_t total_of(const thrum_slice *v, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += v[i].n;
    return total;
}

static uint8_t opcode_of(const thrum_proto *p, thrum_kind k)
{
    return p->sending ? FRAME_CONTINUATION : (uint8_t)k;
}

/* ---- compressed (RFC 7692 section 7.2.1)
 */

/* Of a message in parts the first one decides. */
static bool is_compressed(const thrum_proto *p, size_t total, thrum_switch wish)
{
    if (!p->deflate || p->sending)
        return p->deflate && p->deflate->sending;
    if (wish != THRUM_DEFAULT)
        return wish == THRUM_ON;
    return total >= p->set->compress_min && codec_load() != CODEC_FULL;
}

static thrum_status queue_deflated(thrum_proto *p, thrum_kind k, const thrum_slice *v, size_t n, bool last,
                                   thrum_slice small, struct utf8 u)
{
    thrum_status s;
    struct frame_head h = {.opcode = opcode_of(p, k), .fin = last, .rsv1 = !p->sending, .len = small.n};
    struct item *i = own_frame(p, h, &small, 1, &s);
    if (!i)
        return s;
    if (log_wanted(LOG_FRAME, LOG_TRACE))
        LOG(LOG_FRAME, LOG_TRACE, p->host.id, "> %s [%zu bytes, compressed from %zu]%s",
            frame_opcode_name(h.opcode), small.n, total_of(v, n), last ? "" : " more follow");
    i->deflated = true;
    p->deflate->sending = !last;
    sent(p, i, k, total_of(v, n), last, u);
    deflate_sent(p->deflate, v, n, last);
    return THRUM_OK;
}

/* E_UNFINISHED: it is better sent as it is. */
static thrum_status send_deflated(thrum_proto *p, thrum_kind k, const thrum_slice *v, size_t n, bool last)
{
    struct utf8 u;
    struct deflater *with;
    thrum_slice small;
    thrum_status s = may_send(p, k, v, n, last, &u);
    if (s != THRUM_OK)
        return s;
    bool whole = last && !p->sending;
    if (deflate_send(p->deflate, v, n, last, &with, &small) != THRUM_OK)
        return p->sending ? THRUM_E_MEMORY : THRUM_E_UNFINISHED;
    s = whole && small.n >= total_of(v, n) ? THRUM_E_UNFINISHED : queue_deflated(p, k, v, n, last, small, u);
    deflater_give(with);
    return s;
}

static thrum_status send_copy(thrum_proto *p, thrum_kind k, const thrum_slice *v, size_t n, bool last)
{
    struct utf8 u;
    thrum_status s = may_send(p, k, v, n, last, &u);
    if (s != THRUM_OK)
        return s;
    size_t total = total_of(v, n);
    struct frame_head h = {.opcode = opcode_of(p, k), .fin = last, .len = total};
    struct item *i = own_frame(p, h, v, n, &s);
    if (!i)
        return s;
    trace(p, opcode_of(p, k), n ? v[0] : (thrum_slice){NULL, 0}, total, last);
    sent(p, i, k, total, last, u);
    return THRUM_OK;
}

thrum_status proto_send_copy(thrum_proto *p, thrum_kind k, const thrum_slice *v, size_t n, bool last,
                             thrum_switch compress)
{
    bool small = is_compressed(p, total_of(v, n), compress);
    thrum_status st = small ? send_deflated(p, k, v, n, last) : THRUM_E_UNFINISHED;
    if (st == THRUM_E_UNFINISHED)
        st = send_copy(p, k, v, n, last);
    p->borrowed = NULL; /* nobody asks how far this one is */
    return st;
}

thrum_status thrum_proto_send_with(thrum_proto *p, thrum_kind k, thrum_slice s, bool last,
                                   thrum_switch compress)
{
    return !p || (!s.p && s.n > 0) ? THRUM_E_ARGUMENT : proto_send_copy(p, k, &s, 1, last, compress);
}

thrum_status thrum_proto_send(thrum_proto *p, thrum_kind k, thrum_slice s, bool last)
{
    return thrum_proto_send_with(p, k, s, last, THRUM_DEFAULT);
}

thrum_status proto_send_borrow(thrum_proto *p, thrum_kind k, const thrum_slice *v, size_t n, bool last,
                               thrum_switch compress)
{
    size_t total = total_of(v, n);
    if (is_compressed(p, total, compress)) {
        thrum_status s = send_deflated(p, k, v, n, last);
        if (s != THRUM_E_UNFINISHED)
            return s;
    }
    if (total <= PROTO_COPY_MAX)
        return send_copy(p, k, v, n, last);
    struct utf8 u;
    struct frame_head h = {.opcode = opcode_of(p, k), .fin = last, .len = total};
    thrum_status s = may_send(p, k, v, n, last, &u);
    if (s != THRUM_OK)
        return s;
    if (!make_head(p, &h))
        return THRUM_E_SYSTEM;
    if (h.masked && !p->stage && !(p->stage = mem_alloc(STAGE_MAX)))
        return THRUM_E_MEMORY;
    struct item *i = item_new(FRAME_HEAD_MAX, n);
    if (!i)
        return THRUM_E_MEMORY;
    i->head = frame_encode(i->own, &h);
    i->n = i->head + total;
    memcpy(i->v, v, n * sizeof *v);
    i->nv = n;
    i->masked = h.masked;
    memcpy(i->key, h.key, 4);
    p->stage_at = p->stage_n = 0;
    trace(p, h.opcode, v[0], total, last);
    sent(p, i, k, total, last, u);
    return THRUM_OK;
}

static struct shared *shared_frame(thrum_kind k, thrum_slice payload, bool rsv1)
{
    struct frame_head h = {.opcode = (uint8_t)k, .fin = true, .rsv1 = rsv1, .len = payload.n};
    struct shared *s = mem_alloc(sizeof *s + FRAME_HEAD_MAX + payload.n);
    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    for (size_t i = 0; i < SHARED_BITS; i++)
        atomic_init(&s->deflated[i], NULL);
    s->kind = k;
    s->payload = payload.n;
    size_t hn = frame_encode(s->p, &h);
    if (payload.n > 0)
        memcpy(s->p + hn, payload.p, payload.n);
    s->n = hn + payload.n;
    return s;
}

struct shared *shared_new(thrum_kind k, thrum_slice payload)
{
    return shared_frame(k, payload, false);
}

void shared_drop(struct shared *s)
{
    if (s && atomic_fetch_sub(&s->refs, 1) == 1) {
        for (size_t i = 0; i < SHARED_BITS; i++) {
            struct shared *form = atomic_load(&s->deflated[i]);
            if (form != s)
                shared_drop(form);
        }
        mem_free(s);
    }
}

static thrum_slice text_of(const struct shared *s)
{
    return (thrum_slice){s->p + s->n - s->payload, s->payload};
}

static struct shared *deflated_form(struct shared *s, struct deflate_how how)
{
    struct shared *form = NULL;
    struct deflater *with = deflater_take(how);
    thrum_slice text = text_of(s), small;
    if (!with)
        return NULL;
    if (deflater_run(with, (thrum_slice){NULL, 0}, &text, 1, &small))
        form = small.n - 4 < text.n ? shared_frame(s->kind, (thrum_slice){small.p, small.n - 4}, true) : s;
    deflater_give(with);
    return form;
}

/* Compressed once for each size of window, without a reference to what came before; where that is no smaller,
 * or there is no memory, as it is. Two threads may both make one: the first stays. */
struct shared *shared_form(const struct settings *set, const struct deflate *d, struct shared *s)
{
    if (!d || d->sending || s->payload < set->compress_min || codec_load() == CODEC_FULL)
        return s;
    _Atomic(struct shared *) *place = &s->deflated[d->out.bits - 8];
    struct shared *form = atomic_load(place), *none = NULL;
    if (form || !(form = deflated_form(s, deflate_how(d))))
        return form ? form : s;
    if (!atomic_compare_exchange_strong(place, &none, form)) {
        if (form != s)
            shared_drop(form);
        form = none;
    }
    return form;
}

void shared_told(struct deflate *d, const struct shared *s, const struct shared *form)
{
    if (form != s)
        deflate_was_told(d, text_of(s));
}

thrum_status proto_send_form(thrum_proto *p, struct shared *s, struct shared *form, size_t done)
{
    struct item *i = item_new(0, 0);
    if (!i)
        return THRUM_E_MEMORY;
    shared_told(p->deflate, s, form);
    atomic_fetch_add(&form->refs, 1);
    i->shared = form;
    i->n = form->n;
    i->done = done;
    i->payload = s->payload;
    i->data = true;
    i->whole = true;
    queue(p, i, done > 0);
    p->stats.messages_out++;
    p->stats.bytes_out += s->payload;
    return THRUM_OK;
}

thrum_status proto_send_shared(thrum_proto *p, struct shared *s)
{
    if (!p->server || p->sending || p->state == THRUM_CONNECTING)
        return THRUM_E_STATE;
    if (p->state != THRUM_OPEN)
        return THRUM_E_CLOSED;
    if (p->pending >= p->set->send_high)
        return THRUM_E_FULL;
    return proto_send_form(p, s, shared_form(p->set, p->deflate, s), 0);
}

thrum_status proto_put_rest(thrum_proto *p, const thrum_slice *v, size_t n, size_t done)
{
    size_t all = 0;
    for (size_t k = 0; k < n; k++)
        all += v[k].n;
    struct item *i = item_new(all - done, 0);
    if (!i)
        return THRUM_E_MEMORY;
    uint8_t *to = i->own;
    for (; n > 0; v++, n--) {
        size_t skip = done < v->n ? done : v->n;
        done -= skip;
        if (v->n > skip)
            memcpy(to, v->p + skip, v->n - skip);
        to += v->n - skip;
    }
    queue(p, i, true);
    return THRUM_OK;
}

thrum_status proto_put_first(thrum_proto *p, const uint8_t *d, size_t n)
{
    return proto_put_rest(p, &(thrum_slice){d, n}, 1, 0);
}

size_t proto_drop_oldest(thrum_proto *p, size_t most)
{
    size_t dropped = 0;
    list_each_safe (l, next, &p->out) {
        struct item *i = list_of(l, struct item, link);
        if (p->pending <= most)
            break;
        if (!i->whole || i->done > 0)
            continue;
        p->stats.messages_out--;
        p->stats.bytes_out -= i->payload;
        item_free(p, i);
        dropped++;
    }
    return dropped;
}

/* ---- lent payloads
 * ---------------------------------------------------------------------------------------------- */

bool proto_lost(const thrum_proto *p)
{
    return p->lost;
}

enum proto_borrow proto_borrowed(const thrum_proto *p)
{
    if (!p->borrowed)
        return PROTO_BORROW_NONE;
    return p->borrowed->done == 0 ? PROTO_BORROW_FRESH : PROTO_BORROW_BEGUN;
}

/* Copies `n` bytes of the payload from `at` on, masked where it is a client's. */
static void copy_payload(const struct item *i, uint8_t *to, size_t at, size_t n)
{
    size_t begin = 0;
    for (size_t k = 0; k < i->nv && n > 0; begin += i->v[k++].n) {
        if (at >= begin + i->v[k].n)
            continue;
        size_t skip = at - begin, take = i->v[k].n - skip;
        take = take < n ? take : n;
        if (i->masked)
            mask_apply(to, i->v[k].p + skip, take, i->key, at);
        else
            memcpy(to, i->v[k].p + skip, take);
        to += take;
        at += take;
        n -= take;
    }
}

/* The rest of a lent frame as an item of our own, in its place. */
static bool own_the_rest(thrum_proto *p, struct item *i)
{
    size_t rest = i->n - i->done;
    struct item *copy = item_new(rest, 0);
    if (!copy)
        return false;
    size_t of_head = i->done < i->head ? i->head - i->done : 0;
    memcpy(copy->own, i->own + i->done, of_head);
    size_t at = i->done + of_head - i->head;
    copy_payload(i, copy->own + of_head, at, rest - of_head);
    /* A frame that has begun: nothing may go before it. `data` and `passes` stay false, so that it is not
     * dropped as fresh. */
    list_push(i->link.next, &copy->link);
    p->pending += rest;
    item_free(p, i);
    return true;
}

enum proto_borrow proto_settle(thrum_proto *p)
{
    struct item *i = p->borrowed;
    enum proto_borrow b = proto_borrowed(p);
    if (b == PROTO_BORROW_FRESH) {
        /* As if it had never been sent; of a message in parts the ones before it stand. */
        bool fin = i->own[0] & 0x80, start = (i->own[0] & 0x0f) != FRAME_CONTINUATION;
        p->sending = !start;
        p->sending_utf8 = p->utf8_before;
        if (i->deflated) {
            deflate_forget(p->deflate);
            p->deflate->sending = p->sending;
        }
        p->stats.messages_out -= fin;
        p->stats.bytes_out -= i->payload;
        item_free(p, i);
    } else if (b == PROTO_BORROW_BEGUN && i->v && !own_the_rest(p, i)) {
        item_free(p, i);
        proto_cut(p, THRUM_E_MEMORY, 0, "no memory to keep the rest of a frame that has begun", p->now);
    }
    p->borrowed = NULL;
    return b;
}

/* ---- door 2
 * ------------------------------------------------------------------------------------------------------ */

/* Slices of a lent frame from its `done` on; true when all of its rest is among them. */
static bool lend_out(thrum_proto *p, struct item *i, thrum_slice *v, size_t max, size_t *n)
{
    if (i->done < i->head && *n < max)
        v[(*n)++] = (thrum_slice){i->own + i->done, i->head - i->done};
    size_t at = i->done > i->head ? i->done - i->head : 0, total = i->n - i->head;
    if (i->masked) {
        if (at >= p->stage_at + p->stage_n) {
            p->stage_at = at;
            p->stage_n = total - at < STAGE_MAX ? total - at : STAGE_MAX;
            copy_payload(i, p->stage, at, p->stage_n);
        }
        if (*n < max)
            v[(*n)++] = (thrum_slice){p->stage + (at - p->stage_at), p->stage_at + p->stage_n - at};
        return p->stage_at + p->stage_n == total;
    }
    size_t begin = 0;
    for (size_t k = 0; k < i->nv; begin += i->v[k++].n) {
        if (i->v[k].n == 0 || at >= begin + i->v[k].n)
            continue;
        if (*n == max)
            return false;
        size_t skip = at > begin ? at - begin : 0;
        v[(*n)++] = (thrum_slice){i->v[k].p + skip, i->v[k].n - skip};
    }
    return true;
}

size_t thrum_proto_out(thrum_proto *p, thrum_slice *v, size_t max)
{
    size_t n = 0;
    list_each (l, &p->out) {
        struct item *i = list_of(l, struct item, link);
        if (n == max)
            break;
        if (i->v) {
            if (!lend_out(p, i, v, max, &n))
                break;
            continue;
        }
        const uint8_t *b = i->shared ? i->shared->p : i->own;
        v[n++] = (thrum_slice){b + i->done, i->n - i->done};
    }
    return n;
}

void thrum_proto_out_done(thrum_proto *p, size_t n, thrum_time now)
{
    p->now = now;
    p->stats.wire_out += n;
    while (n > 0 && first(p)) {
        struct item *i = first(p);
        size_t take = i->n - i->done < n ? i->n - i->done : n;
        i->done += take;
        if (i->data && p->deflate)
            p->deflate->told = now;
        p->pending -= take;
        n -= take;
        if (i->done == i->n)
            item_free(p, i);
    }
    if (list_empty(&p->out)) {
        mem_free(p->stage);
        p->stage = NULL;
    }
    if (p->held)
        events_come_back(p);
    control_check_end(p);
}

size_t proto_pending(const thrum_proto *p)
{
    return p->pending;
}
