/* limits.h: what both programs must take from the suite: 16 MiB in one message, and 4 MiB in frames of 64
 * bytes. */
#ifndef CONFORMANCE_LIMITS_H
#define CONFORMANCE_LIMITS_H

enum { MESSAGE_MAX = 16 << 20, FRAGMENTS_MAX = 1 << 17 };

#endif
