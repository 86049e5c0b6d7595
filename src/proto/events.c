/* events.c: what the peer said, in order, until it is taken. Messages count against the water mark; what only
 * informs (pings, pongs) has a small number of places, the oldest makes room. */
#include "base/mem.h"
#include "proto/proto_int.h"

static const uint8_t nothing[1]; /* the payload of events without one */

static struct event_node *first(const thrum_proto *p)
{
    return list_empty(&p->events) ? NULL : list_of(p->events.next, struct event_node, link);
}

static bool informs(thrum_event_kind what)
{
    return what == THRUM_EVENT_PING || what == THRUM_EVENT_PONG;
}

static void node_free(thrum_proto *p, struct event_node *n)
{
    list_remove(&n->link);
    list_remove(&n->inform);
    if (n->e.what == THRUM_EVENT_MESSAGE) {
        p->queued--;
        p->queued_bytes -= n->e.message.len;
    }
    p->ninforms -= informs(n->e.what);
    mem_free(n);
}

static bool is_wanted(const thrum_proto *p, thrum_event_kind what)
{
    return p->host.events == 0 || (p->host.events & (UINT64_C(1) << what));
}

/* They are in a list of their own, so that the oldest is found at once behind any number of messages. */
static void queue_inform(thrum_proto *p, struct event_node *n)
{
    if (p->ninforms == EVENT_LIMIT) {
        struct event_node *oldest = list_of(p->informs.next, struct event_node, inform);
        thrum_message_release(&oldest->e.message);
        node_free(p, oldest);
    }
    list_push(&p->informs, &n->inform);
    p->ninforms++;
}

bool event_push(thrum_proto *p, thrum_event_kind what, uint16_t code, thrum_message m)
{
    if (!is_wanted(p, what)) {
        thrum_message_release(&m);
        return true;
    }
    struct event_node *n = mem_alloc(sizeof *n);
    if (!n) {
        thrum_message_release(&m);
        return false;
    }
    n->e = (thrum_event){.what = what, .code = code, .message = m};
    list_init(&n->inform);
    if (what == THRUM_EVENT_MESSAGE) {
        p->queued++;
        p->queued_bytes += m.len;
    } else if (informs(what)) {
        queue_inform(p, n);
    }
    list_push(&p->events, &n->link);
    events_review(p);
    return true;
}

bool event_push_copy(thrum_proto *p, thrum_event_kind what, uint16_t code, const uint8_t *d, size_t n)
{
    if (!is_wanted(p, what))
        return true;
    thrum_message m = {.kind = THRUM_BINARY, .part = THRUM_PART_WHOLE, .len = n, .data = nothing};
    if (n > 0 && !(m.data = m.hold = mem_copy(d, n)))
        return false;
    return event_push(p, what, code, m);
}

/* A message that is not whole counts where it will be taken in parts, or where it has no limit and nobody
 * waits for it. */
static size_t unfinished(const thrum_proto *p)
{
    bool endless = p->set->max_message == UINT64_MAX && !p->taker;
    return p->parted || endless ? p->msg.len : 0;
}

void events_review(thrum_proto *p)
{
    size_t bytes = p->queued_bytes + unfinished(p);
    if (!p->paused)
        p->paused = p->queued >= p->set->recv_high_messages || bytes >= p->set->recv_high;
    else if (p->queued <= p->set->recv_low_messages && bytes <= p->set->recv_low) {
        p->paused = false;
        control_heard(p); /* the silence was ours */
    }
}

void events_come_back(thrum_proto *p)
{
    if (list_empty(&p->events) && !p->answering && !outbox_has_fresh(p))
        proto_unhold(p);
}

/* Whoever asks for more has done with what came before. */
static void come_back(thrum_proto *p)
{
    if (!list_empty(&p->events))
        return;
    p->answering = false;
    events_come_back(p);
}

void proto_set_taker(thrum_proto *p, bool taker)
{
    p->taker = taker;
    if (taker)
        come_back(p);
    events_review(p);
}

bool thrum_proto_event(thrum_proto *p, thrum_event *e)
{
    come_back(p);
    struct event_node *n = first(p);
    if (!n)
        return false;
    *e = n->e;
    p->answering |= e->what == THRUM_EVENT_MESSAGE;
    node_free(p, n);
    events_review(p);
    return true;
}

static bool has_part(const thrum_proto *p)
{
    return p->in_msg && p->msg.len > 0;
}

bool thrum_proto_event_part(thrum_proto *p, thrum_event *e)
{
    if (thrum_proto_event(p, e))
        return true;
    if (!has_part(p))
        return false;
    uint8_t *d = p->msg.p;
    d[p->msg.len] = 0; /* there is always room for it */
    *e = (thrum_event){
        .what = THRUM_EVENT_MESSAGE,
        .message = {.kind = p->msg_kind,
                    .part = p->parted ? 0 : THRUM_PART_FIRST,
                    .len = p->msg.len,
                    .data = d,
                    .hold = d},
    };
    p->msg = (struct buf){.max = p->msg.max};
    p->parted = true;
    events_review(p);
    return true;
}

bool proto_has_event(const thrum_proto *p, bool parts)
{
    return !list_empty(&p->events) || (parts && has_part(p));
}

bool proto_in_parts(const thrum_proto *p)
{
    /* Its last part, once whole, stands in the queue without the first flag; there may be other events before
     * it. */
    list_each (l, &p->events) {
        const thrum_event *e = &list_of(l, struct event_node, link)->e;
        if (e->what == THRUM_EVENT_MESSAGE)
            return !(e->message.part & THRUM_PART_FIRST);
    }
    return p->parted;
}

bool proto_paused(const thrum_proto *p)
{
    return p->paused;
}

void events_free(thrum_proto *p)
{
    while (first(p)) {
        struct event_node *n = first(p);
        thrum_message_release(&n->e.message);
        node_free(p, n);
    }
}

void thrum_message_release(thrum_message *m)
{
    if (!m)
        return;
    mem_free(m->hold);
    *m = (thrum_message){0};
}
