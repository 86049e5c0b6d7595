/* poll.c: the poller on poll(2), for systems and sandboxes without epoll, and as the twin that the tests hold
 * epoll against. The set lies under a lock, by descriptor; the waiter polls a copy of it, unlocked. A change
 * made meanwhile nudges the waiter, who then copies anew, and marks its descriptor: the answer is to an older
 * question. Each idle connection has a place in all of it, so it is columns without gaps, which grow by
 * little. */
#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "loop/poller_int.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

enum { CHANGED = 0x10, WHAT = POLLER_IN | POLLER_OUT | POLLER_END | POLLER_STAY };

struct polls {
    struct poller poller; /* first */
    struct lock lock;     /* of all up to the copy */
    uint8_t *what;        /* what[fd]: of WHAT; 0: silent, or never seen; CHANGED: since it was copied */
    void **data;          /* data[fd] */
    size_t n;
    bool waiting;        /* the waiter is inside poll */
    struct pollfd *copy; /* the waiter's own: copy[0] is the wake */
    size_t room;
    size_t first; /* where in the copy the next report begins */
};

static struct polls *of(struct poller *p)
{
    return (struct polls *)(void *)p;
}

static void polls_free(struct poller *p)
{
    struct polls *s = of(p);
    wake_close(&p->wake);
    if (!lock_is_free(&s->lock))
        return;
    lock_destroy(&s->lock);
    mem_free(s->what);
    mem_free(s->data);
    mem_free(s->copy);
    mem_free(s);
}

/* Room for fd in the set; the new ones are silent. */
static bool cover(struct polls *s, size_t fd)
{
    lock_assert_held(&s->lock);
    if (fd < s->n)
        return true;
    const size_t n = poller_roomy(fd + 1);
    void **data = mem_resize(s->data, n * sizeof *data);
    if (data == NULL)
        return false;
    s->data = data;
    uint8_t *what = mem_resize(s->what, n);
    if (what == NULL)
        return false;
    memset(what + s->n, 0, n - s->n);
    s->what = what;
    s->n = n;
    return true;
}

/* After a change: must the waiter be nudged? Once is enough until it waits again. */
static bool must_nudge(struct polls *s)
{
    lock_assert_held(&s->lock);
    bool yes = s->waiting;
    s->waiting = false;
    return yes;
}

static int polls_arm(struct poller *p, int fd, unsigned what, void *data)
{
    struct polls *s = of(p);
    bool nudge = false;
    if (fd < 0)
        return EBADF;
    what = (what & (POLLER_IN | POLLER_OUT | POLLER_END)) == 0 ? 0 : what & WHAT;
    lock_take(&s->lock);
    bool ok = cover(s, (size_t)fd);
    if (ok) {
        s->what[fd] = (uint8_t)(what | CHANGED);
        s->data[fd] = data;
        nudge = must_nudge(s);
    }
    lock_give(&s->lock);
    if (nudge)
        wake_nudge(&p->wake);
    return ok ? 0 : ENOMEM;
}

static void polls_forget(struct poller *p, int fd)
{
    struct polls *s = of(p);
    bool nudge = false;
    lock_take(&s->lock);
    if (fd >= 0 && (size_t)fd < s->n && (s->what[fd] & WHAT) != 0) {
        s->what[fd] = CHANGED;
        nudge = must_nudge(s); /* or poll goes on watching a number that may be another file's soon */
    }
    lock_give(&s->lock);
    if (nudge)
        wake_nudge(&p->wake);
}

static bool make_room(struct polls *s, size_t n)
{
    if (n <= s->room)
        return true;
    n = poller_roomy(n);
    struct pollfd *copy = mem_resize(s->copy, n * sizeof *copy);
    if (copy == NULL)
        return false;
    s->copy = copy;
    s->room = n;
    return true;
}

/* Copies what is armed; its length, or 0: no memory. From here on the waiter counts as waiting. */
static size_t copy_set(struct polls *s)
{
    size_t k = 1;
    lock_take(&s->lock);
    if (!make_room(s, s->n + 1)) {
        lock_give(&s->lock);
        return 0;
    }
    s->copy[0] = (struct pollfd){.fd = s->poller.wake.fd, .events = POLLIN};
    for (size_t i = 0; i < s->n; i++) {
        const uint8_t what = s->what[i] &= WHAT;
        if (what == 0)
            continue;
        const int events = ((what & POLLER_IN) ? POLLIN : 0) | ((what & POLLER_OUT) ? POLLOUT : 0);
        s->copy[k++] = (struct pollfd){.fd = (int)i, .events = (short)events};
    }
    s->waiting = true;
    lock_give(&s->lock);
    return k;
}

/* Reports what is ready and was not changed while we polled, and disarms what is not to stay. What does not
 * fit stays armed, and is first at the next wait: else those that stay ready would keep the others out. */
static int collect(struct polls *s, size_t k, struct poller_event *out, int max)
{
    int got = 0;
    lock_take(&s->lock);
    s->waiting = false;
    for (size_t step = 1; step < k; step++) {
        const size_t i = 1 + (s->first + step - 1) % (k - 1);
        const int fd = s->copy[i].fd;
        if (s->copy[i].revents == 0 || (s->what[fd] & CHANGED))
            continue;
        if (got == max) {
            s->first = i - 1;
            break;
        }
        if ((s->what[fd] & POLLER_STAY) == 0)
            s->what[fd] = 0;
        out[got++] = (struct poller_event){.data = s->data[fd], .what = poller_from_poll(s->copy[i].revents)};
    }
    lock_give(&s->lock);
    return got;
}

static int polls_wait(struct poller *p, struct poller_event *out, int max, int ms)
{
    struct polls *s = of(p);
    const int64_t deadline = clock_after(clock_now(), ms);
    for (;;) {
        size_t k = copy_set(s);
        if (k == 0)
            return -ENOMEM;
        int r = sys.poll(s->copy, (nfds_t)k, clock_poll_ms(clock_now(), deadline));
        int e = r < 0 ? errno : 0;
        int got = collect(s, r > 0 ? k : 0, out, max);
        bool woken = r > 0 && s->copy[0].revents != 0 && wake_take(&p->wake);
        if (r < 0)
            return e == EINTR ? 0 : -e;
        if (got > 0 || woken || (deadline != CLOCK_NEVER && clock_now() >= deadline))
            return got;
        /* else the set was changed under us: ask again */
    }
}

static const struct poller_ops poll_ops = {
    .name = "poll",
    .free = polls_free,
    .arm = polls_arm,
    .forget = polls_forget,
    .wait = polls_wait,
};

int poll_poller_new(struct poller **out)
{
    struct polls *s = mem_zalloc(sizeof *s);
    if (s == NULL)
        return ENOMEM;
    s->poller.ops = &poll_ops;
    int r = lock_init(&s->lock);
    if (r != 0) {
        mem_free(s);
        return r;
    }
    r = wake_open(&s->poller.wake);
    if (r != 0) {
        polls_free(&s->poller);
        return r;
    }
    *out = &s->poller;
    return 0;
}
