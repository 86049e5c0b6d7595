/* thrum/slice.h: a pointer and a length; owns nothing. */
#ifndef THRUM_SLICE_H
#define THRUM_SLICE_H

#include <stddef.h>
#include <stdint.h>

typedef struct thrum_slice {
    const uint8_t *p; /* may be NULL when n is 0 */
    size_t n;         /* bytes */
} thrum_slice;

#endif
