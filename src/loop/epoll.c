/* epoll.c: the poller on Linux. The kernel keeps the set, so arming is one system call from any thread and
 * needs no lock of ours. EPOLLONESHOT is what makes a reported descriptor belong to whoever got the event.
 * A loop's has a table beside it, for times when poll is the cheaper question (busy_int.h). */
#include "base/mem.h"
#include "base/sys.h"
#include "loop/busy_int.h"
#include <errno.h>
#include <string.h>

struct epoll {
    struct poller poller; /* first */
    int fd;
    struct busy *busy; /* a loop's; else NULL */
};

static struct epoll *of(struct poller *p)
{
    return (struct epoll *)(void *)p;
}

static void epoll_free(struct poller *p)
{
    if (of(p)->fd >= 0)
        (void)sys.close(of(p)->fd);
    wake_close(&p->wake);
    alarm_close(&p->alarm);
    mem_free(of(p)->busy);
    mem_free(of(p));
}

static uint32_t to_epoll(unsigned what)
{
    return ((what & POLLER_STAY) ? 0u : (uint32_t)EPOLLONESHOT) |
           ((what & POLLER_EDGE) ? (uint32_t)(EPOLLET | EPOLLRDHUP) : 0) |
           ((what & POLLER_IN) ? (uint32_t)EPOLLIN : 0) | ((what & POLLER_OUT) ? (uint32_t)EPOLLOUT : 0);
}

static int put(const struct epoll *p, int fd, unsigned what, void *data)
{
    struct epoll_event e = {.events = to_epoll(what), .data = {.ptr = data}};
    const int set = p->fd;
    /* Out of the set is the only silence: in it, the kernel reports hang-ups whatever was asked for. */
    if ((what & (POLLER_IN | POLLER_OUT | POLLER_END)) == 0)
        return sys.epoll_ctl(set, EPOLL_CTL_DEL, fd, &e) == 0 || errno == ENOENT ? 0 : errno;
    if (sys.epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    if (errno == ENOENT && sys.epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0)
        return 0;
    /* Another thread has put it in between the two calls; the last to arm wins. */
    if (errno == EEXIST && sys.epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    return errno;
}

static void take_out(const struct epoll *p, int fd)
{
    struct epoll_event e = {0};
    (void)sys.epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, &e); /* ENOENT: it was silent, or poll asks for it */
}

/* ---- the kernel's set or poll ----------------------------------------------------------------------------
 */

static void poll_from_now_on(struct epoll *p)
{
    for (unsigned i = 1; i < p->busy->n; i++)
        take_out(p, p->busy->ask[i].fd);
    p->busy->polls = true;
}

/* All or none. What is ready now is reported by the set, too, also where it is watched by edges. */
static int set_from_now_on(struct epoll *p)
{
    struct busy *b = p->busy;
    int r = 0;
    unsigned i = 1;
    while (i < b->n && (r = put(p, b->ask[i].fd, b->as[i].what, b->as[i].data)) == 0)
        i++;
    b->polls = r != 0;
    for (; r != 0 && i-- > 1;)
        take_out(p, b->ask[i].fd);
    return r;
}

/* Is there a table that counts? */
static bool is_few(const struct epoll *p)
{
    return p->busy != NULL && !p->busy->off;
}

static int set_for_good(struct epoll *p)
{
    int r = is_few(p) && p->busy->polls ? set_from_now_on(p) : 0;
    if (r == 0 && p->busy != NULL)
        p->busy->off = true;
    return r;
}

static int epoll_arm(struct poller *p, int fd, unsigned what, void *data)
{
    struct epoll *e = of(p);
    int r = 0;
    if (is_few(e) && !busy_note(e->busy, fd, what, data))
        r = set_for_good(e);
    if (r != 0 || (is_few(e) && e->busy->polls))
        return r;
    r = put(e, fd, what, data);
    if (r != 0 && is_few(e))
        busy_drop(e->busy, fd);
    return r;
}

static void epoll_forget(struct poller *p, int fd)
{
    if (is_few(of(p)))
        busy_drop(of(p)->busy, fd);
    take_out(of(p), fd);
}

/* ---- waiting ---------------------------------------------------------------------------------------------
 */

static unsigned from_epoll(uint32_t e)
{
    return ((e & EPOLLIN) ? (unsigned)POLLER_IN : 0) | ((e & EPOLLOUT) ? (unsigned)POLLER_OUT : 0) |
           ((e & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) ? (unsigned)POLLER_END : 0);
}

/* The kernel writes its events to the end of the caller's array, and each is made ours at its place from the
 * beginning: ours are the larger, so what is written never overtakes what is still to be read. No second
 * array, and a batch as large as the caller likes. */
static int wait_for_set(struct poller *p, struct poller_event *out, int max, int ms)
{
    _Static_assert(sizeof(struct epoll_event) <= sizeof *out, "their events fit into ours");
    struct epoll_event e;
    char *theirs = (char *)(out + max) - (size_t)max * sizeof e;
    int got = 0;
    int n = sys.epoll_wait(of(p)->fd, (struct epoll_event *)(void *)theirs, max, ms);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        memcpy(&e, theirs + (size_t)i * sizeof e, sizeof e);
        if (e.data.ptr == p) /* our own eventfd */
            (void)wake_take(&p->wake);
        else if (e.data.ptr == &p->alarm)
            alarm_take(&p->alarm);
        else
            out[got++] = (struct poller_event){.data = e.data.ptr, .what = from_epoll(e.events)};
    }
    return got;
}

static int wait_by_poll(struct poller *p, struct poller_event *out, int max, int ms)
{
    bool woken;
    int got = busy_wait(of(p)->busy, out, max, ms, &woken);
    if (woken)
        (void)wake_take(&p->wake);
    return got;
}

static int epoll_wait_events(struct poller *p, struct poller_event *out, int max, int ms)
{
    struct epoll *e = of(p);
    if (!is_few(e))
        return wait_for_set(p, out, max, ms);
    int got = e->busy->polls ? wait_by_poll(p, out, max, ms) : wait_for_set(p, out, max, ms);
    if (got < 0 || !busy_judge(e->busy, got))
        return got;
    if (e->busy->polls)
        (void)set_from_now_on(e); /* where the kernel has no memory for it now, the next wait tries again */
    else
        poll_from_now_on(e);
    return got;
}

/* ---- a foreign loop --------------------------------------------------------------------------------------
 */

/* Whoever waits for it waits for all. */
static int epoll_fd(struct poller *p)
{
    return set_for_good(of(p)) == 0 ? of(p)->fd : -1;
}

static int epoll_alarm(struct poller *p, int64_t at)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = &p->alarm}};
    if (p->alarm.fd < 0) {
        int r = alarm_open(&p->alarm);
        if (r == 0 && sys.epoll_ctl(of(p)->fd, EPOLL_CTL_ADD, p->alarm.fd, &e) != 0)
            r = errno;
        if (r != 0) {
            alarm_close(&p->alarm);
            return r;
        }
    }
    return alarm_set(&p->alarm, at);
}

static const struct poller_ops epoll_ops = {
    .name = "epoll",
    .free = epoll_free,
    .arm = epoll_arm,
    .forget = epoll_forget,
    .wait = epoll_wait_events,
    .fd = epoll_fd,
    .alarm = epoll_alarm,
};

/* ---- making one ------------------------------------------------------------------------------------------
 */

static int set_up(struct epoll *p)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = p}};
    int r = wake_open(&p->poller.wake);
    if (r != 0)
        return r;
    p->fd = sys.epoll_create1(EPOLL_CLOEXEC);
    if (p->fd < 0)
        return errno;
    return sys.epoll_ctl(p->fd, EPOLL_CTL_ADD, p->poller.wake.fd, &e) == 0 ? 0 : errno;
}

int epoll_poller_new(struct poller **out)
{
    struct epoll *p = mem_zalloc(sizeof *p);
    if (p == NULL)
        return ENOMEM;
    p->poller.ops = &epoll_ops;
    p->poller.wake.fd = -1;
    alarm_init(&p->poller.alarm);
    p->fd = -1;
    int r = set_up(p);
    if (r != 0) {
        epoll_free(&p->poller);
        return r;
    }
    *out = &p->poller;
    return 0;
}

int epoll_poller_new_loop(struct poller **out)
{
    int r = epoll_poller_new(out);
    if (r != 0)
        return r;
    struct epoll *p = of(*out);
    p->busy = mem_zalloc(sizeof *p->busy);
    if (p->busy == NULL) {
        epoll_free(*out);
        *out = NULL;
        return ENOMEM;
    }
    busy_init(p->busy, p->poller.wake.fd);
    return 0;
}
