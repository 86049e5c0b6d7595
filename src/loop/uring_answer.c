/* uring_answer.c: from the kernel's answers to events. A request that has ended though it is still wanted is
 * put into the list of what is to be asked for. */
#ifdef THRUM_URING
#    include "base/sys.h"
#    include "loop/uring_int.h"
#    include <errno.h>
#    include <poll.h>

/* An answer by which the request has gone, but not what is wanted. */
static bool is_passing(int res)
{
    return res == -ECANCELED || res == -EINTR || res == -EAGAIN;
}

/* A request that has just gone when it was to be cancelled is answered before this is; one that is on its way
 * from one queue of the kernel's to another is found the next time. */
static void cancel_missed(struct uring *u, int fd, uint32_t generation, uint8_t flag)
{
    struct entry *e = &u->set[fd];
    if (e->generation != generation || !(e->state & flag))
        return;
    e->state &= (uint8_t)~flag;
    ring_list(u, fd);
}

static bool polled(struct uring *u, int fd, uint32_t generation, int res, struct poller_event *out)
{
    struct entry *e = &u->set[fd];
    if (e->generation != generation)
        return false;
    const bool stale = (e->state & STOPS_POLL) || e->polls != (e->wants & READY) || is_passing(res);
    e->polls = 0;
    e->state &= (uint8_t)~STOPS_POLL;
    if ((e->wants & READY) == 0)
        return false;
    if (stale || (e->wants & POLLER_STAY))
        ring_list(u, fd);
    if (stale)
        return false;
    if (!(e->wants & POLLER_STAY))
        e->wants = 0;
    *out = (struct poller_event){.data = e->poll_data,
                                 .what = res < 0 ? (unsigned)POLLER_END : poller_from_poll(res)};
    return true;
}

/* Answers of a request that should have been cancelled: it was not found then. No room: it answers again. */
static void cancel_stray(struct uring *u, const struct io_uring_cqe *c)
{
    struct io_uring_sqe *q = (c->flags & IORING_CQE_F_MORE) ? io_uring_get_sqe(&u->ring) : NULL;
    if (q == NULL)
        return;
    io_uring_prep_cancel64(q, c->user_data, 0);
    q->flags |= IOSQE_CQE_SKIP_SUCCESS;
    q->user_data = ring_tag(OP_NOTHING, 0, 0);
}

/* What accept and receive have in common: did the answer end the request? Then what is still wanted is asked
 * for anew. True: it is to be reported. */
static bool is_news(struct uring *u, int fd, const struct io_uring_cqe *c, bool passing)
{
    struct entry *e = &u->set[fd];
    if (!(c->flags & IORING_CQE_F_MORE))
        e->state &= (uint8_t) ~(READS | STOPS_READ);
    if (c->res < 0 && !passing)
        e->state &= (uint8_t)~WANTS_READ;
    if ((e->state & (WANTS_READ | READS)) == WANTS_READ)
        ring_list(u, fd);
    return c->res >= 0 || !passing;
}

static bool received(struct uring *u, int fd, uint32_t generation, const struct io_uring_cqe *c,
                     struct poller_event *out)
{
    struct entry *e = &u->set[fd];
    const unsigned id = c->flags >> IORING_CQE_BUFFER_SHIFT;
    if (c->flags & IORING_CQE_F_BUFFER)
        pool_hold(&u->pool, id);
    if (e->generation != generation) {
        cancel_stray(u, c);
        return false;
    }
    if (c->res == -ENOBUFS)
        u->pool.dry = true;
    if (c->res == 0)
        e->state &= (uint8_t)~WANTS_READ;
    if (!is_news(u, fd, c, is_passing(c->res) || c->res == -ENOBUFS))
        return false;
    *out = (struct poller_event){.data = e->read_data, .what = POLLER_DATA, .n = c->res};
    if (c->res > 0)
        out->bytes = pool_bytes(&u->pool, id);
    return true;
}

static bool accepted(struct uring *u, int fd, uint32_t generation, const struct io_uring_cqe *c,
                     struct poller_event *out)
{
    struct entry *e = &u->set[fd];
    if (e->generation != generation) {
        if (c->res >= 0)
            (void)sys.close(c->res);
        cancel_stray(u, c);
        return false;
    }
    if (!is_news(u, fd, c, is_passing(c->res) || c->res == -ECONNABORTED || c->res == -EPROTO))
        return false;
    *out = (struct poller_event){.data = e->read_data, .what = POLLER_ACCEPTED, .n = c->res};
    return true;
}

static void report_send(struct uring *u, int32_t place, ssize_t n, struct poller_event *out)
{
    struct send *s = &u->sends[place];
    *out = (struct poller_event){.data = s->data, .what = POLLER_SENT, .n = n, .bytes = s->chunk};
    if (s->fd != NONE)
        u->set[s->fd].send = 0;
    s->state = UNUSED;
    s->serial = ring_after(s->serial);
    ring_put(u, &u->unused, place);
}

static bool sent(struct uring *u, int32_t place, uint32_t serial, int res, struct poller_event *out)
{
    struct send *s = &u->sends[place];
    if (s->state != FLYING || s->serial != serial)
        return false;
    if (res > 0)
        s->done += (size_t)res;
    /* Cut short, though nobody has forgotten it: its thread has ended, or an error comes next. */
    if (s->fd != NONE && (is_passing(res) || (res > 0 && s->done < s->n))) {
        s->state = QUEUED;
        ring_put(u, &u->queue, place);
        return false;
    }
    report_send(u, place, res < 0 ? res : (ssize_t)s->done, out);
    return true;
}

static void own_ready(struct uring *u, uint32_t which, int res)
{
    u->own[which] = false;
    if (res < 0)
        return;
    if (which == OWN_WAKE) {
        u->woken |= wake_take(&u->poller.wake);
    } else {
        alarm_take(&u->poller.alarm);
        u->woken = true;
    }
}

static bool answer(struct uring *u, const struct io_uring_cqe *c, struct poller_event *out)
{
    const uint32_t serial = (uint32_t)(c->user_data >> 32) & SERIAL_MAX;
    const uint32_t index = (uint32_t)c->user_data;
    switch ((enum op)(c->user_data >> 61)) {
    case OP_NOTHING: break;
    case OP_POLL: return polled(u, (int)index, serial, c->res, out);
    case OP_READ: return received(u, (int)index, serial, c, out);
    case OP_ACCEPT: return accepted(u, (int)index, serial, c, out);
    case OP_CANCEL_POLL: cancel_missed(u, (int)index, serial, STOPS_POLL); break;
    case OP_CANCEL_READ: cancel_missed(u, (int)index, serial, STOPS_READ); break;
    case OP_SEND: return sent(u, (int32_t)index, serial, c->res, out);
    case OP_OWN: own_ready(u, index, c->res); break;
    }
    return false;
}

bool ring_has_answers(const struct uring *u)
{
    return *u->ring.cq.khead != io_uring_smp_load_acquire(u->ring.cq.ktail);
}

int ring_collect(struct uring *u, struct poller_event *out, int max)
{
    int got = 0;
    while (got < max && u->over.first != NONE) {
        const int32_t place = ring_take(u, &u->over);
        report_send(u, place, u->sends[place].result, &out[got++]);
    }
    unsigned head = *u->ring.cq.khead;
    const unsigned tail = io_uring_smp_load_acquire(u->ring.cq.ktail);
    for (; got < max && head != tail; head++)
        got += answer(u, &u->ring.cq.cqes[head & u->ring.cq.ring_mask], &out[got]);
    io_uring_smp_store_release(u->ring.cq.khead, head);
    return got;
}
#endif
