/* uring_ask.c: from what is wanted to requests; the top of uring.c has the idea. */
#ifdef THRUM_URING
#    include "base/mem.h"
#    include "base/sys.h"
#    include "loop/uring_int.h"
#    include <errno.h>
#    include <poll.h>
#    include <string.h>

uint64_t ring_tag(enum op op, uint32_t generation, uint32_t index)
{
    return (uint64_t)op << 61 | (uint64_t)generation << 32 | index;
}

void ring_list(struct uring *u, int fd)
{
    struct entry *e = &u->set[fd];
    if (e->listed)
        return;
    e->listed = true;
    e->next = NONE;
    if (u->todo.first == NONE)
        u->todo.first = fd;
    else
        u->set[u->todo.last].next = fd;
    u->todo.last = fd;
}

static void unlist_first(struct uring *u)
{
    struct entry *e = &u->set[u->todo.first];
    e->listed = false;
    u->todo.first = e->next;
}

bool ring_cover(struct uring *u, int fd)
{
    if ((size_t)fd < u->n)
        return true;
    const size_t n = poller_roomy((size_t)fd + 1);
    struct entry *set = mem_resize(u->set, n * sizeof *set);
    if (set == NULL)
        return false;
    memset(set + u->n, 0, (n - u->n) * sizeof *set);
    u->set = set;
    u->n = n;
    return true;
}

/* ---- into the kernel
 * ------------------------------------------------------------------------------------------ */

unsigned ring_unsubmitted(struct uring *u)
{
    io_uring_smp_store_release(u->ring.sq.ktail, u->ring.sq.sqe_tail);
    return u->ring.sq.sqe_tail - io_uring_smp_load_acquire(u->ring.sq.khead);
}

int ring_enter(const struct uring *u, unsigned submit, unsigned wait, const struct __kernel_timespec *t)
{
    struct io_uring_getevents_arg arg = {.ts = (uintptr_t)t};
    return sys.uring_enter((unsigned)u->ring.ring_fd, submit, wait, u->enter_flags, (sigset_t *)(void *)&arg,
                           sizeof arg);
}

void ring_submit(struct uring *u)
{
    int r;
    do
        r = ring_enter(u, ring_unsubmitted(u), 0, NULL);
    while (r == -EINTR);
}

/* A free entry; NULL: the ring is full, and the kernel takes nothing now. */
static struct io_uring_sqe *ring_entry(struct uring *u)
{
    struct io_uring_sqe *q = io_uring_get_sqe(&u->ring);
    if (q == NULL) {
        ring_submit(u);
        q = io_uring_get_sqe(&u->ring);
    }
    return q;
}

bool ring_cancel(struct uring *u, uint64_t whom, uint64_t as)
{
    struct io_uring_sqe *q = ring_entry(u);
    if (q == NULL)
        return false;
    io_uring_prep_cancel64(q, whom, 0);
    q->flags |= IOSQE_CQE_SKIP_SUCCESS;
    q->user_data = as;
    return true;
}

void ring_void(struct uring *u, int fd)
{
    const unsigned n = ring_unsubmitted(u);
    for (unsigned i = u->ring.sq.sqe_tail - n; i != u->ring.sq.sqe_tail; i++) {
        struct io_uring_sqe *q = &u->ring.sq.sqes[i & u->ring.sq.ring_mask];
        if (q->fd != fd || q->opcode == IORING_OP_ASYNC_CANCEL)
            continue;
        io_uring_prep_nop(q);
        q->user_data = ring_tag(OP_NOTHING, 0, 0);
    }
}

static void ask_poll(struct io_uring_sqe *q, int fd, unsigned what, uint64_t as)
{
    io_uring_prep_poll_add(q, fd, ((what & POLLER_IN) ? POLLIN : 0u) | ((what & POLLER_OUT) ? POLLOUT : 0u));
    q->user_data = as;
}

/* ---- from wants to requests
 * ----------------------------------------------------------------------------------- */

bool ring_settle_own(struct uring *u)
{
    const int fds[OWNS] = {[OWN_WAKE] = u->poller.wake.fd, [OWN_ALARM] = u->poller.alarm.fd};
    for (uint32_t i = 0; i < OWNS; i++) {
        if (u->own[i] || fds[i] < 0)
            continue;
        struct io_uring_sqe *q = ring_entry(u);
        if (q == NULL)
            return false;
        ask_poll(q, fds[i], POLLER_IN, ring_tag(OP_OWN, 0, i));
        u->own[i] = true;
    }
    return true;
}

/* A request for something else is first to be dropped; the answer to that brings the descriptor back here. */
static bool settle_poll(struct uring *u, int fd, struct entry *e)
{
    const unsigned what = e->wants & READY;
    const uint64_t me = ring_tag(OP_POLL, e->generation, (uint32_t)fd);
    if (e->polls == what || e->stops_poll)
        return true;
    if (e->polls != 0) {
        if (!ring_cancel(u, me, ring_tag(OP_CANCEL_POLL, e->generation, (uint32_t)fd)))
            return false;
        e->stops_poll = true;
        return true;
    }
    struct io_uring_sqe *q = ring_entry(u);
    if (q == NULL)
        return false;
    ask_poll(q, fd, what, me);
    e->polls = what & READY;
    return true;
}

uint64_t ring_read_tag(const struct entry *e, int fd)
{
    return ring_tag(e->is_listener ? OP_ACCEPT : OP_READ, e->generation, (uint32_t)fd);
}

static bool settle_read(struct uring *u, int fd, struct entry *e)
{
    const uint64_t me = ring_read_tag(e, fd);
    if (e->reads && !e->wants_read && !e->stops_read) {
        if (!ring_cancel(u, me, ring_tag(OP_CANCEL_READ, e->generation, (uint32_t)fd)))
            return false;
        e->stops_read = true;
    }
    if (!e->wants_read || e->reads)
        return true;
    if (u->pool.closed && !e->is_listener)
        return false; /* it would be answered at once, for ever */
    struct io_uring_sqe *q = ring_entry(u);
    if (q == NULL)
        return false;
    if (e->is_listener) {
        io_uring_prep_multishot_accept(q, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } else {
        io_uring_prep_recv_multishot(q, fd, NULL, 0, 0);
        q->flags |= IOSQE_BUFFER_SELECT;
        q->buf_group = 0;
    }
    q->user_data = me;
    e->reads = true;
    return true;
}

/* Taken from the kernel for a moment, to be smaller. Whatever was read into it before has been handed out. */
static void reopen_pool(struct uring *u)
{
    if (u->pool.nheld == 0 && !ring_has_answers(u) && !io_uring_cq_has_overflow(&u->ring))
        (void)pool_reopen(&u->pool, u->ring.ring_fd);
}

void ring_settle(struct uring *u)
{
    if (u->pool.closed)
        reopen_pool(u);
    if (!ring_settle_own(u))
        return;
    while (u->todo.first != NONE) {
        const int fd = u->todo.first;
        struct entry *e = &u->set[fd];
        if (!settle_poll(u, fd, e) || !settle_read(u, fd, e))
            return;
        unlist_first(u);
    }
}
#endif
