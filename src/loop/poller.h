/* poller.h: readiness of many descriptors; a backend per file (uring.c, epoll.c, poll.c), chosen at run time.
 * One thread waits. There are two users. The warden wants readiness once at a time, armed by any thread
 * (epoll: yes; poll: its owner wakes itself by wake.h, the backend takes care of that). A loop does
 * everything on its own thread, wants readiness until it says otherwise, and is glad of a backend that does
 * more: uring reads and accepts by itself and reports what has come of it. */
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
    POLLER_END = 4,   /* hang-up or error; reported to all that are armed, which may ask for this alone */
    POLLER_STAY = 8,  /* of arm: not once, but at each wait for as long as it is so */
    POLLER_DATA = 16, /* event of poller_receive: n bytes at `bytes`; n 0 the end of the stream, n < 0 a
                       * negative errno; nothing more comes after these two */
    POLLER_ACCEPTED =
        32, /* event of poller_accept: n is a connected descriptor (non-blocking, close-on-exec), or a
             * negative errno; then accepting has stopped until poller_accept is called again */
    POLLER_EDGE = 64 /* of arm, with STAY and IN alone: once for what has come since the last report; whoever
                      * asks for it reads until a read gives less than was asked for, or the end after END. A
                      * backend may report more often */
};
struct poller_event {
    void *data;
    unsigned what; /* POLLER_* */
    ssize_t n;
    uint8_t *bytes; /* DATA: may be changed, one byte behind included; hold until the next wait */
};

/* For any thread's arming: THRUM_BACKEND=poll or epoll forces one. 0 or an errno. */
int poller_new(struct poller **out);
/* For a loop. `name`: "uring", "epoll" or "poll"; NULL: what THRUM_BACKEND names, or the best that the system
 * has, in the order of poller.c. EINVAL: no such name; ENOSYS: it was named, and is not to be had here. */
int poller_new_loop(struct poller **out, const char *name);
/* In a child of fork: gives back what is the child's, and leaves the parent's poller as it is. */
void poller_free(struct poller *p);
const char *poller_name(const struct poller *p); /* "io_uring", "epoll", "poll" */
/* One-shot: reported once, then silent until armed again; or with POLLER_STAY. First call for an fd adds it.
 * `what` without IN, OUT and END keeps it silent. 0 or an errno; io_uring finds an fd that it cannot watch
 * later, and reports END. */
int poller_arm(struct poller *p, int fd, unsigned what, void *data);
/* Before the fd is closed, and before `data` is freed: afterwards the system holds nothing of it on our
 * behalf, and closing closes. An event that poller_wait has returned already may still be seen; no other is.
 */
void poller_forget(struct poller *p, int fd);
/* Waits until something is ready, poller_wake, poller_alarm, or ms (-1: no limit). Number of events, 0 for
 * time, a wake or an alarm, or a negative errno (EINTR counts as 0). Any thread may call it, if one at a time
 * does; that it is always the same is best. */
int poller_wait(struct poller *p, struct poller_event *e, int max, int ms);
void poller_wake(struct poller *p); /* any thread, any signal handler; coalesced */

/* ---- what only some backends do: ENOSYS from the others, whose user then arms and does it himself --------
 */
bool poller_reads(const struct poller *p); /* this one does */
/* Reads a stream socket as bytes come, until poller_receive_stop or the end. It may be armed for OUT beside,
 * with the same data: what was given last is what all its events have. ENOMEM; ENOSYS: the system is too old
 * for it. */
int poller_receive(struct poller *p, int fd, void *data);
/* Of accepting, too. What has been read, or accepted, but not reported is reported still: as long as the
 * answer to the second is yes. */
void poller_receive_stop(struct poller *p, int fd);
bool poller_reads_still(struct poller *p, int fd);
/* A connection that was reset before it was accepted, and the like, is not reported. */
int poller_accept(struct poller *p, int fd, void *data);
/* Gives back memory that was for a rush, which seems to be over. */
void poller_trim(struct poller *p);
/* Does now what the next wait would do first; for one who does not wait soon, or lets another loop wait. */
void poller_flush(struct poller *p);

/* ---- for a foreign loop ----------------------------------------------------------------------------------
 */
/* Readable when poller_wait(p, .., 0) has something, if poller_flush was the last that was done; -1: none. */
int poller_fd(struct poller *p);
/* Makes that descriptor readable at a time of clock_now's, once; CLOCK_NEVER: not. 0 or an errno; ENOSYS:
 * there is no such descriptor. */
int poller_alarm(struct poller *p, int64_t at);

#endif
