/* poller_int.h: what a backend is. Its struct begins with a struct poller. */
#ifndef LOOP_POLLER_INT_H
#define LOOP_POLLER_INT_H

#include "loop/alarm_int.h"
#include "loop/poller.h"
#include "loop/wake_int.h"
#include <poll.h>

struct poller_ops {
    const char *name;
    void (*free)(struct poller *p);
    int (*arm)(struct poller *p, int fd, unsigned what, void *data);
    void (*forget)(struct poller *p, int fd);
    int (*wait)(struct poller *p, struct poller_event *e, int max, int ms);
    /* NULL where the backend has none of it */
    int (*receive)(struct poller *p, int fd, void *data);
    void (*receive_stop)(struct poller *p, int fd);
    bool (*reads_still)(struct poller *p, int fd);
    int (*accept)(struct poller *p, int fd, void *data);
    void (*trim)(struct poller *p);
    void (*flush)(struct poller *p);
    int (*fd)(struct poller *p);
    int (*alarm)(struct poller *p, int64_t at);
};
struct poller {
    const struct poller_ops *ops;
    struct wake wake;   /* open from creation to poller_free */
    struct alarm alarm; /* made at first use */
};

/* How long a table for n descriptors is to be: little more, as each idle connection pays for it. */
static inline size_t poller_roomy(size_t n)
{
    return n + n / 16 + 16;
}

/* What poll(2), or a request for it, answers. */
static inline unsigned poller_from_poll(int e)
{
    return ((e & POLLIN) ? (unsigned)POLLER_IN : 0) | ((e & POLLOUT) ? (unsigned)POLLER_OUT : 0) |
           ((e & (POLLERR | POLLHUP | POLLNVAL | POLLRDHUP)) ? (unsigned)POLLER_END : 0);
}

int epoll_poller_new(struct poller **out);      /* 0 or an errno */
int epoll_poller_new_loop(struct poller **out); /* for one thread that arms and waits: see busy_int.h */
int poll_poller_new(struct poller **out);
int uring_poller_new(struct poller **out); /* ENOSYS: the build, or the system, has none */

#endif
