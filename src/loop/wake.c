/* wake.c: the order of the two steps in wake_take is the whole point. The descriptor is emptied first and the
 * flag taken after: a wake that comes between sees the flag up and writes nothing, but the waiter is on its
 * way out and will look at what the waker has done. The other way round its write would be eaten, and all
 * later wakes lost. */
#include "loop/wake_int.h"

#include "base/sys.h"
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>

int wake_open(struct wake *w)
{
    atomic_init(&w->pending, 0);
    w->fd = sys.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return w->fd < 0 ? errno : 0;
}

void wake_close(struct wake *w)
{
    if (w->fd >= 0)
        (void)sys.close(w->fd);
    w->fd = -1;
}

void wake_nudge(struct wake *w)
{
    const uint64_t one = 1;
    const int kept = errno;
    ssize_t r;
    /* EAGAIN means that the counter is full: readable all the same. */
    do
        r = sys.write(w->fd, &one, sizeof one);
    while (r < 0 && errno == EINTR);
    errno = kept;
}

void wake_up(struct wake *w)
{
    if (atomic_exchange(&w->pending, 1) == 0)
        wake_nudge(w);
}

bool wake_take(struct wake *w)
{
    uint64_t count;
    ssize_t r;
    do
        r = sys.read(w->fd, &count, sizeof count);
    while (r < 0 && errno == EINTR);
    return atomic_exchange(&w->pending, 0) != 0;
}
