/* poller.c: picks the backend. The rest passes through, so that callers see no backend's type. */
#include "loop/poller.h"

#include "base/log.h"
#include "loop/poller_int.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* By measurement (docs/performance.md): io_uring takes half as much again for messages of 64 KiB, which it
 * reads into buffers that are cold; what it saves for small ones is within the noise. */
static const struct backend {
    const char *name;
    int (*make)(struct poller **out);
} best_first[] = {{"epoll", epoll_poller_new_loop}, {"uring", uring_poller_new}, {"poll", poll_poller_new}};
enum { BACKENDS = sizeof best_first / sizeof best_first[0] };

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

static int make_named(struct poller **out, const char *name)
{
    for (int i = 0; i < BACKENDS; i++)
        if (strcmp(name, best_first[i].name) == 0)
            return best_first[i].make(out);
    return EINVAL;
}

/* Whatever the reason is that one cannot be had, the next may; and if it is one that hits all, such as a full
 * table of descriptors, the last one tells of it. */
static int make_best(struct poller **out)
{
    int e = ENOSYS;
    for (int i = 0; i < BACKENDS && *out == NULL; i++) {
        e = best_first[i].make(out);
        if (e != 0)
            LOG(LOG_LOOP, LOG_DEBUG, 0, "no %s here (errno %d)", best_first[i].name, e);
    }
    return e;
}

int poller_new_loop(struct poller **out, const char *name)
{
    const char *wanted = name != NULL ? name : getenv("THRUM_BACKEND");
    *out = NULL;
    if (wanted == NULL || wanted[0] == '\0')
        return make_best(out);
    int e = make_named(out, wanted);
    if (e != ENOSYS || name != NULL)
        return e;
    /* Who sets the environment does not know what each system lets a process have. */
    LOG(LOG_LOOP, LOG_DEBUG, 0, "no %s here (errno %d)", wanted, e);
    return make_best(out);
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

bool poller_reads(const struct poller *p)
{
    return p->ops->receive != NULL;
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

bool poller_reads_still(struct poller *p, int fd)
{
    return p->ops->reads_still != NULL && p->ops->reads_still(p, fd);
}

int poller_accept(struct poller *p, int fd, void *data)
{
    return p->ops->accept == NULL ? ENOSYS : p->ops->accept(p, fd, data);
}

void poller_trim(struct poller *p)
{
    if (p->ops->trim != NULL)
        p->ops->trim(p);
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
