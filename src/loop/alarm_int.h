/* alarm_int.h: a descriptor that becomes readable at a time: what a foreign loop is told of our timers by. */
#ifndef LOOP_ALARM_INT_H
#define LOOP_ALARM_INT_H

#include <stdint.h>

struct alarm {
    int fd;     /* -1: not made yet */
    int64_t at; /* what it is set to; CLOCK_NEVER: to nothing */
};

void alarm_init(struct alarm *a);
int alarm_open(struct alarm *a); /* 0 or an errno; again: nothing */
void alarm_close(struct alarm *a);
/* A time of clock_now's, or CLOCK_NEVER. No system call where it is so already. 0 or an errno. */
int alarm_set(struct alarm *a, int64_t at);
void alarm_take(struct alarm *a); /* when it is readable: it is not any more, and set to nothing */

#endif
