/* poll.c: the poller on poll(2), for systems and sandboxes without epoll, and as the twin that the tests hold
 * epoll against. The set is an array under a lock, by descriptor; the waiter polls a copy of it, unlocked. A
 * change made meanwhile nudges the waiter, who then copies anew; a generation per entry tells answers to an
 * older question from current ones. */
#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "loop/poller_int.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

struct entry { /* all zero: silent, or never seen */
    unsigned what;
    uint64_t generation;
    void *data;
};

struct polls {
    struct poller poller; /* first */
    struct lock lock;     /* of all up to the copy */
    struct entry *set;    /* set[fd] */
    size_t n;
    uint64_t generation;
    bool waiting; /* the waiter is inside poll */
    /* the waiter's own copy: copy[0] is the wake */
    struct pollfd *copy;
    uint64_t *asked; /* the generation of copy[i] */
    size_t room;     /* of both */
    size_t first;    /* where in the copy the next report begins */
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
    mem_free(s->set);
    mem_free(s->copy);
    mem_free(s->asked);
    mem_free(s);
}

/* Room for fd in the set, doubling; the new entries are silent. */
static bool cover(struct polls *s, size_t fd)
{
    lock_assert_held(&s->lock);
    if (fd < s->n)
        return true;
    size_t n = fd < 2 * s->n ? 2 * s->n : fd + 16;
    struct entry *set = mem_resize(s->set, n * sizeof *set);
    if (set == NULL)
        return false;
    memset(set + s->n, 0, (n - s->n) * sizeof *set);
    s->set = set;
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
    if ((what & (POLLER_IN | POLLER_OUT | POLLER_END)) == 0)
        what = 0;
    lock_take(&s->lock);
    bool ok = cover(s, (size_t)fd);
    if (ok) {
        s->set[fd] = (struct entry){.what = what, .generation = ++s->generation, .data = data};
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
    if (fd >= 0 && (size_t)fd < s->n && s->set[fd].what != 0) {
        s->set[fd].what = 0;
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
    struct pollfd *copy = mem_resize(s->copy, n * sizeof *copy);
    if (copy == NULL)
        return false;
    s->copy = copy;
    uint64_t *asked = mem_resize(s->asked, n * sizeof *asked);
    if (asked == NULL)
        return false;
    s->asked = asked;
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
        const struct entry *e = &s->set[i];
        if (e->what == 0)
            continue;
        int events = ((e->what & POLLER_IN) ? POLLIN : 0) | ((e->what & POLLER_OUT) ? POLLOUT : 0);
        s->copy[k] = (struct pollfd){.fd = (int)i, .events = (short)events};
        s->asked[k++] = e->generation;
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
        if (s->copy[i].revents == 0)
            continue;
        struct entry *e = &s->set[s->copy[i].fd];
        if (e->what == 0 || e->generation != s->asked[i])
            continue;
        if (got == max) {
            s->first = i - 1;
            break;
        }
        if ((e->what & POLLER_STAY) == 0)
            e->what = 0;
        out[got++] = (struct poller_event){.data = e->data, .what = poller_from_poll(s->copy[i].revents)};
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
