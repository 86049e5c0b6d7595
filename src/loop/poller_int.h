/* poller_int.h: what a backend is. Its struct begins with a struct poller. */
#ifndef LOOP_POLLER_INT_H
#define LOOP_POLLER_INT_H

#include "loop/poller.h"
#include "loop/wake_int.h"

struct poller_ops {
    const char *name;
    void (*free)(struct poller *p);
    int (*arm)(struct poller *p, int fd, unsigned what, void *data);
    void (*forget)(struct poller *p, int fd);
    int (*wait)(struct poller *p, struct poller_event *e, int max, int ms);
};
struct poller {
    const struct poller_ops *ops;
    struct wake wake; /* open from creation to poller_free */
};

int epoll_poller_new(struct poller **out); /* 0 or an errno */
int poll_poller_new(struct poller **out);

#endif
