/* backoff.h: how long to wait before connecting again. Pure: time and randomness are the caller's. */
#ifndef BLOCK_BACKOFF_H
#define BLOCK_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>
#include <thrum/error.h>
#include <time.h>

struct backoff { /* milliseconds */
    int64_t first, most;
    unsigned n; /* connects in a row */
};
int64_t backoff_ceiling(const struct backoff *b); /* of the next wait */
/* "Full jitter": anything up to the ceiling, so that a crowd that was cut off at once does not come back at
 * once. random: 64 bits of it. */
int64_t backoff_next(struct backoff *b, uint64_t random);
/* Retry-After (RFC 9110 section 10.2.3), seconds or a date: milliseconds from `now` on; -1: it is neither. */
int64_t backoff_retry_after(const char *value, time_t now);
/* Would it be the same the next time? */
bool backoff_is_final(const thrum_error *why);

#endif
