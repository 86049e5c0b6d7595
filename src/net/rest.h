/* rest.h: bytes that came behind what a stream took for itself: they are read before those of the stream
 * below. */
#ifndef NET_REST_H
#define NET_REST_H

#include "base/buf.h"
#include <sys/uio.h>

/* From b, of which *at bytes are read already; b is freed with its last byte. How many. */
ssize_t rest_read(struct buf *b, size_t *at, const struct iovec *v, int n);

#endif
