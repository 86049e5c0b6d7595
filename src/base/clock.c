/* clock.c: deadlines are absolute and of the monotonic clock, so that neither a resumed wait nor a set clock
 * moves them. All arithmetic saturates: a user's INT64_MAX milliseconds is "never", not the past. */
#include "base/clock.h"
#include <limits.h>
#include <time.h>

int64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (int64_t)t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int64_t clock_after(int64_t now, int64_t ms)
{
    if (ms < 0 || ms > INT64_MAX / CLOCK_MS || (now > 0 && ms * CLOCK_MS > INT64_MAX - now))
        return CLOCK_NEVER;
    return now + ms * CLOCK_MS;
}

int clock_poll_ms(int64_t now, int64_t then)
{
    if (then == CLOCK_NEVER)
        return -1;
    if (then <= now)
        return 0;
    /* Rounded up: a poll that wakes too early would be called again and again until the time has come. */
    uint64_t left = ((uint64_t)then - (uint64_t)now - 1) / (uint64_t)CLOCK_MS + 1;
    return left > INT_MAX ? INT_MAX : (int)left;
}
