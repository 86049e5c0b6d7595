/* poller.h: readiness of many descriptors; a backend per file (epoll.c, poll.c), chosen at run time:
 * THRUM_BACKEND=poll or epoll forces one. One thread waits; any thread may arm, if the backend says so
 * (epoll: yes; poll: its owner wakes itself by wake.h, the backend takes care of that). */
#ifndef LOOP_POLLER_H
#define LOOP_POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct poller;
enum { POLLER_IN = 1, POLLER_OUT = 2, POLLER_END = 4 /* hang-up or error; always reported */ };
struct poller_event {
    void *data;
    unsigned what; /* POLLER_* */
};

int poller_new(struct poller **out); /* 0 or an errno */
void poller_free(struct poller *p);
const char *poller_name(const struct poller *p); /* "epoll" */
/* One-shot: reported once, then silent until armed again. First call for an fd adds it. `what` 0 keeps it
 * silent. 0 or an errno. Any thread. */
int poller_arm(struct poller *p, int fd, unsigned what, void *data);
/* Before the fd is closed. An event that poller_wait has taken already may still be seen. Any thread. */
void poller_forget(struct poller *p, int fd);
/* Waits until something is ready, poller_wake, or ms (-1: no limit). Number of events, 0 for time or a wake,
 * or a negative errno (EINTR counts as 0). */
int poller_wait(struct poller *p, struct poller_event *e, int max, int ms);
void poller_wake(struct poller *p); /* any thread, any signal handler; coalesced */

#endif
