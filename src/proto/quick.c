/* quick.c: see quick.h. The order is that of the cheapest question first; a frame that is refused here costs
 * a proto, a frame that is accepted here must be one that a proto would accept. */
#include "proto/quick.h"
#include <string.h>

/* What is longer than 125 bytes. */
bool quick_long(const uint8_t *d, size_t n, size_t *at, uint64_t *len)
{
    size_t wide = (d[1] & 0x7f) == 126 ? 2 : 8;
    *at += wide;
    if (n < *at)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < wide; i++)
        v = v << 8 | d[2 + i];
    *len = v;
    return wide == 2 ? v >= 126 : v > 0xffff;
}

void quick_undo(bool server, uint8_t *p, size_t n)
{
    if (server)
        mask_here(p, n, p - 4);
}

size_t quick_head(uint8_t out[FRAME_HEAD_MAX], thrum_kind k, uint64_t len, const uint8_t *key)
{
    if (len < 126 && !key) { /* what a server sends most */
        out[0] = (uint8_t)(0x80 | k);
        out[1] = (uint8_t)len;
        return 2;
    }
    struct frame_head h = {.opcode = (uint8_t)k, .fin = true, .len = len, .masked = key != NULL};
    if (key)
        memcpy(h.key, key, 4);
    return frame_encode(out, &h);
}
