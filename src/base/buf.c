/* buf.c: doubling keeps the cost of appending linear; the maximum is asked for at birth because a buffer
 * without one is a peer's way to take all memory. */
#include "base/buf.h"
#include "base/mem.h"
#include <string.h>

enum { SMALLEST = 64 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    mem_free(b->p);
    buf_init(b, b->max);
}

thrum_status buf_reserve(struct buf *b, size_t more)
{
    if (more > b->max - b->len)
        return THRUM_E_TOO_BIG;
    size_t need = b->len + more;
    if (need <= b->cap)
        return THRUM_OK;
    size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
    if (cap < SMALLEST)
        cap = SMALLEST;
    if (cap < need)
        cap = need;
    if (cap > b->max)
        cap = b->max;
    uint8_t *p = mem_resize(b->p, cap);
    if (!p)
        return THRUM_E_MEMORY;
    b->p = p;
    b->cap = cap;
    return THRUM_OK;
}

thrum_status buf_append(struct buf *b, const void *p, size_t n)
{
    thrum_status s = buf_reserve(b, n);
    if (s == THRUM_OK && n > 0) {
        memcpy(b->p + b->len, p, n);
        b->len += n;
    }
    return s;
}

void buf_shift(struct buf *b, size_t n)
{
    b->len -= n;
    if (n > 0 && b->len > 0)
        memmove(b->p, b->p + n, b->len);
}
