/* busy.c: see busy_int.h. */
#include "loop/busy_int.h"
#include "base/sys.h"
#include <errno.h>

/* DENSE: when one of so many is ready at a time, poll is asked; when it is fewer than one of SPARSE, no
 * longer: what poll spends on those that are not ready is then what epoll spends on those that are. */
enum { LEAST = 16, DENSE = 8, SPARSE = 32, ONE = 256, MEMORY = 32 };

void busy_init(struct busy *b, int wake_fd)
{
    b->n = 1;
    b->ask[0] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
}

static short to_poll(unsigned what)
{
    return (short)(((what & POLLER_IN) ? POLLIN : 0) | ((what & POLLER_OUT) ? POLLOUT : 0) |
                   ((what & POLLER_EDGE) ? POLLRDHUP : 0));
}

/* Its place; 0: it is not in the table. */
static unsigned find(const struct busy *b, int fd)
{
    for (unsigned i = 1; i < b->n; i++)
        if (b->ask[i].fd == fd)
            return i;
    return 0;
}

bool busy_note(struct busy *b, int fd, unsigned what, void *data)
{
    if ((what & (POLLER_IN | POLLER_OUT | POLLER_END)) == 0) {
        busy_drop(b, fd);
        return true;
    }
    unsigned i = find(b, fd);
    if (!(what & POLLER_STAY) || (i == 0 && b->n == BUSY_MAX))
        return false;
    if (i == 0)
        i = b->n++;
    b->ask[i] = (struct pollfd){.fd = fd, .events = to_poll(what)};
    b->as[i].data = data;
    b->as[i].what = what;
    return true;
}

void busy_drop(struct busy *b, int fd)
{
    const unsigned i = find(b, fd);
    if (i == 0)
        return;
    b->n--;
    b->ask[i] = b->ask[b->n];
    b->as[i] = b->as[b->n];
}

bool busy_judge(struct busy *b, int got)
{
    b->load = (b->load * (MEMORY - 1) + (unsigned)got * ONE) / MEMORY;
    if (b->polls)
        return b->n < LEAST || b->load * SPARSE < b->n * ONE;
    return b->n >= LEAST && b->load * DENSE >= b->n * ONE;
}

/* Of so many that are ready. What does not fit is first at the next wait: else those that stay ready would
 * keep the others out. */
static int report(struct busy *b, int ready, struct poller_event *out, int max)
{
    const unsigned n = b->n - 1;
    unsigned i = b->first < n ? b->first : 0;
    int got = 0;
    for (unsigned step = 0; ready > 0 && step < n; step++, i = i + 1 < n ? i + 1 : 0) {
        const short what = b->ask[1 + i].revents;
        if (what == 0)
            continue;
        if (got == max) {
            b->first = i;
            break;
        }
        out[got++] = (struct poller_event){.data = b->as[1 + i].data, .what = poller_from_poll(what)};
        ready--;
    }
    return got;
}

int busy_wait(struct busy *b, struct poller_event *out, int max, int ms, bool *woken)
{
    const int r = sys.poll(b->ask, b->n, ms);
    *woken = r > 0 && b->ask[0].revents != 0;
    if (r < 0)
        return errno == EINTR ? 0 : -errno;
    return r > 0 ? report(b, r - *woken, out, max) : 0;
}
