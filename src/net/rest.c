/* rest.c: see rest.h. */
#include "net/rest.h"
#include <string.h>

ssize_t rest_read(struct buf *b, size_t *at, const struct iovec *v, int n)
{
    ssize_t total = 0;
    for (int i = 0; i < n; i++) {
        const size_t left = b->len - *at, k = v[i].iov_len < left ? v[i].iov_len : left;
        memcpy(v[i].iov_base, b->p + *at, k);
        *at += k;
        total += (ssize_t)k;
    }
    if (*at == b->len) {
        buf_free(b);
        *at = 0;
    }
    return total;
}
