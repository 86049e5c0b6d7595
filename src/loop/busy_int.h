/* busy_int.h: for a loop with few connections that are mostly busy poll(2) is the cheaper question: no list
 * of ready ones that the other side's processor writes, too. So beside its set in the kernel the epoll poller
 * keeps a table while there are few descriptors, and asks for them by poll as long as enough are ready at a
 * time. One thread arms and waits. */
#ifndef LOOP_BUSY_INT_H
#define LOOP_BUSY_INT_H

#include "loop/poller_int.h"

enum { BUSY_MAX = 128 };

struct busy {
    unsigned n;     /* of both arrays; at 0 is the poller's wake */
    unsigned load;  /* how many were ready at a time lately, in 256ths */
    unsigned first; /* where in them the next report begins */
    bool polls;     /* they are asked for by poll, and not in the kernel's set */
    bool off;       /* for good: there were too many, or somebody else waits for the set */
    struct pollfd ask[BUSY_MAX];
    struct {
        void *data;
        unsigned what;
    } as[BUSY_MAX];
};

void busy_init(struct busy *b, int wake_fd);
/* As poller_arm was called; false: the table is full, or is not for this one, which is to be reported once.
 * One that is to be silent leaves it. */
bool busy_note(struct busy *b, int fd, unsigned what, void *data);
void busy_drop(struct busy *b, int fd);
/* After a wait that reported so many: ask the other way from now on? */
bool busy_judge(struct busy *b, int got);
/* poller_wait's, by poll; *woken: the wake was ready. */
int busy_wait(struct busy *b, struct poller_event *out, int max, int ms, bool *woken);

#endif
