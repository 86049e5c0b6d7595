/* poller.h: readiness of many descriptors; a backend per file (uring.c, epoll.c, poll.c), chosen at run time.
 * One thread waits. There are two users. The warden wants readiness once at a time, armed by any thread
 * (epoll: yes; poll: its owner wakes itself by wake.h, the backend takes care of that). A loop does
 * everything on its own thread, wants readiness until it says otherwise, and is glad of a backend that does
 * more: uring reads, accepts and sends by itself and reports what has come of it. */
#ifndef LOOP_POLLER_H
#define LOOP_POLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct poller;
enum {
    POLLER_IN = 1,
    POLLER_OUT = 2,
    POLLER_END = 4,   /* hang-up or error; always reported */
    POLLER_STAY = 8,  /* of arm: not once, but at each wait for as long as it is so */
    POLLER_DATA = 16, /* event of poller_receive: n bytes at `bytes`; n 0 the end of the stream, n < 0 a
                       * negative errno; nothing more comes after these two */
    POLLER_ACCEPTED =
        32, /* event of poller_accept: n is a connected descriptor (non-blocking, close-on-exec), or a
             * negative errno; then accepting has stopped until poller_accept is called again */
    POLLER_SENT = 64 /* event of poller_send: n bytes have gone, or a negative errno; `bytes` is the chunk */
};
struct poller_event {
    void *data;
    unsigned what; /* POLLER_* */
    ssize_t n;
    uint8_t *bytes; /* DATA: may be changed, one byte behind included; hold until the next wait */
};

/* For any thread's arming: THRUM_BACKEND=poll or epoll forces one. 0 or an errno. */
int poller_new(struct poller **out);
/* For one thread. `name` NULL: THRUM_BACKEND, or the best that the system has, in the order uring, epoll,
 * poll. EINVAL: no such name; ENOSYS: it was named, and is not to be had here. */
int poller_new_loop(struct poller **out, const char *name);
void poller_free(struct poller *p);
const char *poller_name(const struct poller *p); /* "io_uring", "epoll", "poll" */
/* One-shot: reported once, then silent until armed again; or with POLLER_STAY. First call for an fd adds it.
 * `what` without IN and OUT keeps it silent. 0 or an errno. */
int poller_arm(struct poller *p, int fd, unsigned what, void *data);
/* Before the fd is closed, and before `data` is freed. An event that poller_wait has returned already may
 * still be seen; no other is, but for POLLER_SENT, with data NULL. */
void poller_forget(struct poller *p, int fd);
/* Waits until something is ready, poller_wake, or ms (-1: no limit). Number of events, 0 for time or a wake,
 * or a negative errno (EINTR counts as 0). */
int poller_wait(struct poller *p, struct poller_event *e, int max, int ms);
void poller_wake(struct poller *p); /* any thread, any signal handler; coalesced */

/* ---- what only some backends do: ENOSYS from the others, whose user then arms and does it himself ---------
 */
/* Reads a stream socket as bytes come, until poller_receive_stop or the end. It may be armed for OUT beside.
 */
int poller_receive(struct poller *p, int fd, void *data);
/* What has been read but not reported is reported still. */
void poller_receive_stop(struct poller *p, int fd);
int poller_accept(struct poller *p, int fd, void *data);
/* Sends n bytes of a chunk, which is the poller's until POLLER_SENT; one at a time for an fd. Sends of one
 * turn leave at the next poller_wait, or poller_flush, together. ENOBUFS: no room now. */
int poller_send(struct poller *p, int fd, void *data, uint8_t *chunk, size_t n);
void poller_flush(struct poller *p);

/* ---- for a foreign loop -----------------------------------------------------------------------------------
 */
/* Readable when poller_wait(p, .., 0) has something; -1: none. */
int poller_fd(struct poller *p);
/* Makes that descriptor readable at a time of clock_now's; CLOCK_NEVER: not. 0 or an errno. */
int poller_alarm(struct poller *p, int64_t at);

#endif
