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
    *out = NULL;
    name = name != NULL ? name : getenv("THRUM_BACKEND");
    if (name == NULL)
        return poller_new(out);
    if (strcmp(name, "poll") == 0)
        return poll_poller_new(out);
    if (strcmp(name, "epoll") == 0)
        return epoll_poller_new(out);
    return strcmp(name, "uring") == 0 ? ENOSYS : EINVAL;
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

int poller_receive(struct poller *p, int fd, void *data)
{
    return p->ops->receive == NULL ? ENOSYS : p->ops->receive(p, fd, data);
}

void poller_receive_stop(struct poller *p, int fd)
{
    if (p->ops->receive_stop != NULL)
        p->ops->receive_stop(p, fd);
}

int poller_accept(struct poller *p, int fd, void *data)
{
    return p->ops->accept == NULL ? ENOSYS : p->ops->accept(p, fd, data);
}

int poller_send(struct poller *p, int fd, void *data, uint8_t *chunk, size_t n)
{
    return p->ops->send == NULL ? ENOSYS : p->ops->send(p, fd, data, chunk, n);
}

void poller_flush(struct poller *p)
{
    if (p->ops->flush != NULL)
        p->ops->flush(p);
}

int poller_fd(struct poller *p)
{
    return p->ops->fd == NULL ? -1 : p->ops->fd(p);
}

int poller_alarm(struct poller *p, int64_t at)
{
    return p->ops->alarm == NULL ? ENOSYS : p->ops->alarm(p, at);
}
