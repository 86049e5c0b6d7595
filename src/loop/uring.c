/* uring.c: the poller on io_uring. It does more than tell of readiness: it reads and accepts, and the answers
 * to all of it come in one ring.
 *
 * What is wanted of a descriptor stands in a table, and becomes entries of the submission ring only when the
 * kernel is entered anyway: at the next wait, or flush. So no entry of ours lies about that names a
 * descriptor by its number, which the user may have closed, and the system given out anew, before the kernel
 * sees it. poller_forget is the exception and enters at once, to have the kernel let go of the file.
 *
 * An answer may be on its way when its descriptor has been forgotten. Each names the descriptor's generation,
 * which forgetting ends; an answer to an earlier one is looked at only for what it brings along: a buffer
 * goes back, an accepted connection is closed.
 *
 * The ring is made without IORING_SETUP_SINGLE_ISSUER and DEFER_TASKRUN, which would tie it to one thread
 * for ever, while a loop may be driven by another tomorrow, and which gained nothing that could be measured.
 * What the kernel does for a request it does on the thread that submitted it; when another comes to wait, all
 * requests are made anew on that one. A request that the end of its thread has cancelled is made anew
 * likewise.
 *
 * One lock guards it all; it is not held while the kernel waits. For a loop on its own thread it is never
 * contended; it is there for the end of the program, when another thread says goodbye on connections of a
 * loop that sleeps. */
#include "loop/poller_int.h"
#include <errno.h>

#ifdef THRUM_URING
#    include "base/clock.h"
#    include "base/mem.h"
#    include "base/sys.h"
#    include "loop/uring_int.h"
#    include <string.h>
#    include <unistd.h>

/* Newer than the liburing that we build with. */
#    ifndef IORING_FEAT_NO_IOWAIT
#        define IORING_FEAT_NO_IOWAIT  (1U << 17)
#        define IORING_ENTER_NO_IOWAIT (1U << 7)
#    endif

enum {
    SUBMISSIONS = 256,
    COMPLETIONS = 4096, /* more are kept by the kernel, at a price */
    BREATH_MS = 10,     /* how long the kernel is given to get over a lack of memory */
};

static struct uring *of(struct poller *p)
{
    return (struct uring *)(void *)p;
}

/* ---- waiting
 * -------------------------------------------------------------------------------------------------- */

/* Another thread than before: see the top. */
static void change_driver(struct uring *u)
{
    u->driver = pthread_self();
    if (!u->driven) {
        u->driven = true;
        return;
    }
    for (uint32_t i = 0; i < OWNS; i++)
        if (u->own[i])
            (void)ring_cancel(u, ring_tag(OP_OWN, 0, i), ring_tag(OP_NOTHING, 0, 0));
    for (int fd = 0; (size_t)fd < u->n; fd++) {
        struct entry *e = &u->set[fd];
        if (e->polls != 0 && !e->stops_poll &&
            ring_cancel(u, ring_tag(OP_POLL, e->generation, (uint32_t)fd),
                        ring_tag(OP_CANCEL_POLL, e->generation, (uint32_t)fd)))
            e->stops_poll = true;
        if (e->reads && !e->stops_read &&
            ring_cancel(u, ring_read_tag(e, fd), ring_tag(OP_CANCEL_READ, e->generation, (uint32_t)fd)))
            e->stops_read = true;
    }
}

static struct __kernel_timespec until(int64_t deadline)
{
    int64_t ns = deadline - clock_now();
    if (ns < 0)
        ns = 0;
    return (struct __kernel_timespec){.tv_sec = ns / (1000 * CLOCK_MS), .tv_nsec = ns % (1000 * CLOCK_MS)};
}

static int enter_unlocked(struct uring *u, unsigned submit, int64_t deadline)
{
    struct __kernel_timespec t = {0};
    if (deadline != CLOCK_NEVER)
        t = until(deadline);
    u->waiting = true;
    lock_give(&u->lock);
    int r = ring_enter(u, submit, 1, deadline == CLOCK_NEVER ? NULL : &t);
    lock_take(&u->lock);
    u->waiting = false;
    return r;
}

enum { ENDED, GO_ON }; /* of a turn: a signal has come, or the time is over; not so */

/* Or when there is to be another try. */
static int64_t earlier(int64_t deadline)
{
    const int64_t soon = clock_after(clock_now(), BREATH_MS);
    return deadline < soon ? deadline : soon;
}

/* The kernel has no room for what is to be submitted. Without it some may come to an end. A wake is looked
 * for here, as the request that would tell of it may be among what is not submitted. */
static int catch_breath(struct uring *u, int64_t deadline)
{
    if (ring_has_answers(u))
        return GO_ON;
    int r = enter_unlocked(u, 0, earlier(deadline));
    u->woken |= wake_take(&u->poller.wake);
    return r >= 0 || r == -ETIME ? GO_ON : r == -EINTR ? ENDED : r;
}

/* Submits, and waits unless there are answers. ENDED, GO_ON or a negative errno. */
static int turn(struct uring *u, int64_t deadline, bool wait)
{
    const unsigned submit = ring_unsubmitted(u);
    int r;
    if (ring_has_answers(u)) {
        wait = false;
        if (submit == 0)
            return GO_ON;
    }
    r = wait ? enter_unlocked(u, submit, deadline) : ring_enter(u, submit, 0, NULL);
    if (r == -EAGAIN || r == -EBUSY || r == -ENOMEM)
        return wait ? catch_breath(u, deadline) : ENDED;
    if (r == -EINTR || r == -ETIME)
        return ENDED;
    if (r < 0)
        return r;
    /* Of a wait that has submitted something the kernel does not say how it ended. */
    return wait && (unsigned)r == submit && !ring_has_answers(u) ? ENDED : GO_ON;
}

static int uring_wait(struct poller *p, struct poller_event *out, int max, int ms)
{
    struct uring *u = of(p);
    const int64_t deadline = ms == 0 ? 0 : ms < 0 ? CLOCK_NEVER : clock_after(clock_now(), ms);
    int got = 0;
    lock_take(&u->lock);
    if (!u->driven || !pthread_equal(u->driver, pthread_self()))
        change_driver(u);
    u->woken = false;
    for (bool first = true;; first = false) {
        pool_refill(&u->pool);
        ring_settle(u);
        const bool over = ms == 0 || (!first && deadline != CLOCK_NEVER && clock_now() >= deadline);
        if (over && !first && ring_unsubmitted(u) == 0)
            break;
        const int r = turn(u, u->pool.closed ? earlier(deadline) : deadline, !over);
        got = ring_collect(u, out, max);
        if (got == 0 && r < 0)
            got = r;
        if (got != 0 || u->woken || r == ENDED)
            break;
        /* else it was only about requests: cancelled, without a buffer, nudged */
    }
    lock_give(&u->lock);
    return got;
}

static void uring_trim(struct poller *p)
{
    struct uring *u = of(p);
    lock_take(&u->lock);
    pool_trim(&u->pool, u->ring.ring_fd);
    lock_give(&u->lock);
}

static void uring_flush(struct poller *p)
{
    struct uring *u = of(p);
    lock_take(&u->lock);
    ring_settle(u);
    if (ring_unsubmitted(u) > 0)
        ring_submit(u);
    if (u->pool.closed) /* nothing else may tell a foreign loop to come by, and the next wait opens it */
        wake_nudge(&p->wake);
    lock_give(&u->lock);
}

/* ---- what is wanted
 * ------------------------------------------------------------------------------------------- */

/* Ends a change: the waiter, if another thread is it, has to see what is new. */
static void give(struct uring *u)
{
    const bool nudge = u->waiting;
    u->waiting = false; /* once is enough */
    lock_give(&u->lock);
    if (nudge)
        wake_nudge(&u->poller.wake);
}

static int uring_arm(struct poller *p, int fd, unsigned what, void *data)
{
    struct uring *u = of(p);
    int r = 0;
    if (fd < 0)
        return EBADF;
    lock_take(&u->lock);
    if (ring_cover(u, fd)) {
        struct entry *e = &u->set[fd];
        e->wants = (what & READY) == 0 ? 0 : what & (READY | POLLER_STAY);
        e->data = data;
        if (e->polls != (e->wants & READY))
            ring_list(u, fd);
    } else {
        r = ENOMEM;
    }
    give(u);
    return r;
}

static int want_read(struct uring *u, int fd, void *data, bool accept)
{
    if (!ring_cover(u, fd))
        return ENOMEM;
    struct entry *e = &u->set[fd];
    e->data = data;
    e->is_listener = accept;
    e->wants_read = true;
    if (!e->reads)
        ring_list(u, fd);
    return 0;
}

static int uring_receive(struct poller *p, int fd, void *data)
{
    struct uring *u = of(p);
    if (fd < 0)
        return EBADF;
    lock_take(&u->lock);
    int r = u->pool.ring == NULL ? pool_open(&u->pool, u->ring.ring_fd) : 0;
    if (r == 0)
        r = want_read(u, fd, data, false);
    give(u);
    return r;
}

static void uring_receive_stop(struct poller *p, int fd)
{
    struct uring *u = of(p);
    lock_take(&u->lock);
    if (fd >= 0 && (size_t)fd < u->n && u->set[fd].wants_read) {
        u->set[fd].wants_read = false;
        ring_list(u, fd);
    }
    give(u);
}

/* The answer that ends a request is the last of it, and is looked at behind all others. */
static bool uring_reads_still(struct poller *p, int fd)
{
    struct uring *u = of(p);
    lock_take(&u->lock);
    bool still = fd >= 0 && (size_t)fd < u->n && u->set[fd].reads;
    lock_give(&u->lock);
    return still;
}

static int uring_accept(struct poller *p, int fd, void *data)
{
    struct uring *u = of(p);
    if (fd < 0)
        return EBADF;
    lock_take(&u->lock);
    int r = want_read(u, fd, data, true);
    give(u);
    return r;
}

/* ---- what is not wanted any more
 * ------------------------------------------------------------------------------ */

static void uring_forget(struct poller *p, int fd)
{
    struct uring *u = of(p);
    lock_take(&u->lock);
    if (fd >= 0 && (size_t)fd < u->n) {
        struct entry *e = &u->set[fd];
        if (e->polls != 0)
            (void)ring_cancel(u, ring_tag(OP_POLL, e->generation, (uint32_t)fd), ring_tag(OP_NOTHING, 0, 0));
        if (e->reads)
            (void)ring_cancel(u, ring_read_tag(e, fd), ring_tag(OP_NOTHING, 0, 0));
        *e = (struct entry){
            .generation = (e->generation + 1) & GENERATION_MAX, .next = e->next, .listed = e->listed};
        if (ring_unsubmitted(u) > 0)
            ring_submit(u);
        if (ring_unsubmitted(u) > 0)
            ring_void(u, fd);
    }
    give(u);
}

/* ---- for a foreign loop
 * --------------------------------------------------------------------------------------- */

static int uring_fd(struct poller *p)
{
    return of(p)->ring.ring_fd;
}

static int uring_alarm(struct poller *p, int64_t at)
{
    struct uring *u = of(p);
    lock_take(&u->lock);
    int r = alarm_open(&p->alarm);
    if (r == 0)
        r = alarm_set(&p->alarm, at);
    if (r == 0 && !u->own[OWN_ALARM] && ring_settle_own(u))
        ring_submit(u);
    lock_give(&u->lock);
    return r;
}

/* ---- life
 * ----------------------------------------------------------------------------------------------------- */

/* Connections that were accepted and never reported would stay open for ever. */
static void close_accepted(struct uring *u)
{
    unsigned head = *u->ring.cq.khead;
    for (; head != io_uring_smp_load_acquire(u->ring.cq.ktail); head++) {
        const struct io_uring_cqe *c = &u->ring.cq.cqes[head & u->ring.cq.ring_mask];
        if (c->user_data >> 61 == OP_ACCEPT && c->res >= 0)
            (void)sys.close(c->res);
    }
    io_uring_smp_store_release(u->ring.cq.khead, head);
}

/* Closing the ring's descriptor would end the requests, too, but sometime later, and not at all while a child
 * of fork has it: until then they would read into memory that has been freed, and hold sockets open. */
static void end_requests(struct uring *u)
{
    struct io_uring_sync_cancel_reg all = {.fd = -1,
                                           .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
                                           .timeout = {.tv_nsec = BREATH_MS * CLOCK_MS}};
    const unsigned fd = (unsigned)u->ring.ring_fd;
    pool_close(&u->pool, u->ring.ring_fd);
    (void)sys.uring_register(fd, IORING_REGISTER_SYNC_CANCEL, &all, 1);
    close_accepted(u);
    for (int i = 0; io_uring_cq_has_overflow(&u->ring) && i < COMPLETIONS; i++) {
        (void)ring_enter(u, 0, 0, NULL);
        close_accepted(u);
    }
}

static void uring_free(struct poller *p)
{
    struct uring *u = of(p);
    if (u->ring.ring_fd >= 0) {
        if (u->maker == getpid())
            end_requests(u);
        io_uring_queue_exit(&u->ring);
    }
    wake_close(&p->wake);
    alarm_close(&p->alarm);
    if (!lock_is_free(&u->lock))
        return;
    pool_free(&u->pool);
    lock_destroy(&u->lock);
    mem_free(u->set);
    mem_free(u);
}

static const struct poller_ops uring_ops = {
    .name = "io_uring",
    .free = uring_free,
    .arm = uring_arm,
    .forget = uring_forget,
    .wait = uring_wait,
    .receive = uring_receive,
    .receive_stop = uring_receive_stop,
    .reads_still = uring_reads_still,
    .accept = uring_accept,
    .trim = uring_trim,
    .flush = uring_flush,
    .fd = uring_fd,
    .alarm = uring_alarm,
};

/* Reading again and again by one request, and cancelling all requests, came with Linux 6.0. Neither can be
 * asked for; SEND_ZC came with them and can. */
static bool is_new_enough(const struct uring *u)
{
    union {
        struct io_uring_probe probe;
        uint8_t room[sizeof(struct io_uring_probe) + IORING_OP_LAST * sizeof(struct io_uring_probe_op)];
    } a;
    memset(&a, 0, sizeof a);
    return sys.uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_PROBE, &a, IORING_OP_LAST) == 0 &&
           io_uring_opcode_supported(&a.probe, IORING_OP_SEND_ZC);
}

static int set_up(struct uring *u)
{
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                                              IORING_SETUP_COOP_TASKRUN,
                                     .cq_entries = COMPLETIONS};
    int r = wake_open(&u->poller.wake);
    if (r != 0)
        return r;
    r = sys.uring_init(SUBMISSIONS, &u->ring, &params);
    if (r != 0) {
        u->ring.ring_fd = -1;
        return r == -EMFILE || r == -ENFILE ? -r : ENOSYS; /* forbidden, too old, or no memory to be locked */
    }
    /* The entries are used in their order. */
    for (unsigned i = 0; i < u->ring.sq.ring_entries; i++)
        u->ring.sq.array[i] = i;
    u->enter_flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    if (u->ring.features & IORING_FEAT_NO_IOWAIT) /* a loop that sleeps is idle, and not waiting for a disk */
        u->enter_flags |= IORING_ENTER_NO_IOWAIT;
    return is_new_enough(u) ? 0 : ENOSYS;
}

int uring_poller_new(struct poller **out)
{
    struct uring *u = mem_zalloc(sizeof *u);
    if (u == NULL)
        return ENOMEM;
    int r = lock_init(&u->lock);
    if (r != 0) {
        mem_free(u);
        return r;
    }
    u->poller.ops = &uring_ops;
    u->poller.wake.fd = -1;
    alarm_init(&u->poller.alarm);
    u->ring.ring_fd = -1;
    u->maker = getpid();
    u->todo.first = u->todo.last = NONE;
    r = set_up(u);
    if (r != 0) {
        uring_free(&u->poller);
        return r;
    }
    *out = &u->poller;
    return 0;
}

#else
int uring_poller_new(struct poller **out)
{
    (void)out;
    return ENOSYS;
}
#endif
