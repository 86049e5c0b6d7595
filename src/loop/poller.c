/* poller.c: picks the backend. The rest passes through, so that callers see no backend's type. */
#include "loop/poller.h"

#include "loop/poller_int.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* THRUM_BACKEND exists for tests and for finding faults, so a name that nobody knows is no reason to fail. */
int poller_new(struct poller **out)
{
    const char *wanted = getenv("THRUM_BACKEND");
    *out = NULL;
    if (wanted != NULL && strcmp(wanted, "poll") == 0)
        return poll_poller_new(out);
    int e = epoll_poller_new(out);
    /* A sandbox may know poll and not epoll. */
    if (e == ENOSYS)
        e = poll_poller_new(out);
    return e;
}

int poller_new_loop(struct poller **out, const char *name)
{
    (void)name;
    return poller_new(out);
}

void poller_free(struct poller *p)
{
    if (p != NULL)
        p->ops->free(p);
}

const char *poller_name(const struct poller *p)
{
    return p->ops->name;
}

int poller_arm(struct poller *p, int fd, unsigned what, void *data)
{
    return p->ops->arm(p, fd, what, data);
}

void poller_forget(struct poller *p, int fd)
{
    p->ops->forget(p, fd);
}

int poller_wait(struct poller *p, struct poller_event *e, int max, int ms)
{
    if (max < 1)
        return -EINVAL;
    return p->ops->wait(p, e, max, ms);
}

void poller_wake(struct poller *p)
{
    wake_up(&p->wake);
}
