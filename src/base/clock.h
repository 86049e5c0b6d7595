/* clock.h: the process's clock, for upper floors to pass down. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_MS    INT64_C(1000000)
#define CLOCK_NEVER INT64_MAX

int64_t clock_now(void); /* nanoseconds, CLOCK_MONOTONIC */
/* now + ms milliseconds; ms < 0 gives CLOCK_NEVER; saturates. */
int64_t clock_after(int64_t now, int64_t ms);
/* For poll(2): milliseconds from now to then, rounded up; 0 when past; -1 for CLOCK_NEVER. */
int clock_poll_ms(int64_t now, int64_t then);

#endif
