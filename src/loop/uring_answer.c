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
static void cancel_missed(struct uring *u, int fd, uint32_t generation, bool read)
{
    struct entry *e = &u->set[fd];
    if (e->generation != generation || !(read ? e->stops_read : e->stops_poll))
        return;
    if (read)
        e->stops_read = false;
    else
        e->stops_poll = false;
    ring_list(u, fd);
}

static bool polled(struct uring *u, int fd, uint32_t generation, int res, struct poller_event *out)
{
    struct entry *e = &u->set[fd];
    if (e->generation != generation)
        return false;
    const bool stale = e->stops_poll || e->polls != (e->wants & READY) || is_passing(res);
    e->polls = 0;
    e->stops_poll = false;
    if ((e->wants & READY) == 0)
        return false;
    if (stale || (e->wants & POLLER_STAY))
        ring_list(u, fd);
    if (stale)
        return false;
    if (!(e->wants & POLLER_STAY))
        e->wants = 0;
    *out = (struct poller_event){.data = e->data,
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
        e->reads = e->stops_read = false;
    if (c->res < 0 && !passing)
        e->wants_read = false;
    if (e->wants_read && !e->reads)
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
        e->wants_read = false;
    if (!is_news(u, fd, c, is_passing(c->res) || c->res == -ENOBUFS))
        return false;
    *out = (struct poller_event){.data = e->data, .what = POLLER_DATA, .n = c->res};
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
    *out = (struct poller_event){.data = e->data, .what = POLLER_ACCEPTED, .n = c->res};
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
    const uint32_t generation = (uint32_t)(c->user_data >> 32) & GENERATION_MAX;
    const uint32_t index = (uint32_t)c->user_data;
    switch ((enum op)(c->user_data >> 61)) {
    case OP_NOTHING: break;
    case OP_POLL: return polled(u, (int)index, generation, c->res, out);
    case OP_READ: return received(u, (int)index, generation, c, out);
    case OP_ACCEPT: return accepted(u, (int)index, generation, c, out);
    case OP_CANCEL_POLL: cancel_missed(u, (int)index, generation, false); break;
    case OP_CANCEL_READ: cancel_missed(u, (int)index, generation, true); break;
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
    unsigned head = *u->ring.cq.khead;
    const unsigned tail = io_uring_smp_load_acquire(u->ring.cq.ktail);
    for (; got < max && head != tail; head++)
        got += answer(u, &u->ring.cq.cqes[head & u->ring.cq.ring_mask], &out[got]);
    io_uring_smp_store_release(u->ring.cq.khead, head);
    return got;
}
#endif
