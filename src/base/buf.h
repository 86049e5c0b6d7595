/* buf.h: bytes that grow, up to a maximum that the constructor asks for. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <thrum/status.h>

struct buf {
    uint8_t *p;
    size_t len, cap;
    size_t max; /* len never grows over it */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b); /* gives the memory back; the buf is empty and usable */
/* Room for `more` bytes behind len, doubling; E_TOO_BIG over max, E_MEMORY; the buf is unchanged on failure.
 */
thrum_status buf_reserve(struct buf *b, size_t more);
thrum_status buf_append(struct buf *b, const void *p, size_t n);
/* Drops n bytes from the front. */
void buf_shift(struct buf *b, size_t n);

#endif
