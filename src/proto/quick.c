/* quick.c: see quick.h. The order is that of the cheapest question first; a frame that is refused here costs
 * a proto, a frame that is accepted here must be one that a proto would accept. */
#include "proto/quick.h"
#include "wire/mask.h"
#include "wire/utf8.h"
#include <string.h>

/* First bytes: FIN and an opcode of data, no reserved bit. */
static bool is_whole_data(uint8_t first)
{
    return first == (0x80 | FRAME_TEXT) || first == (0x80 | FRAME_BINARY);
}

/* The payload's length, and in *at where it stands behind `mask` bytes of key; false: the header is not all
 * here, or its length is one that a proto must see. */
static bool payload_of(const uint8_t *d, size_t n, size_t mask, size_t *at, uint64_t *len)
{
    *len = d[1] & 0x7f;
    *at = 2 + mask;
    if (*len < 126)
        return n >= *at;
    size_t wide = *len == 126 ? 2 : 8;
    *at += wide;
    if (n < *at)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < wide; i++)
        v = v << 8 | d[2 + i];
    *len = v;
    return wide == 2 ? v >= 126 : v > 0xffff;
}

size_t quick_take(const struct settings *s, bool server, uint8_t *d, size_t n, thrum_message *m)
{
    size_t mask = server ? 4 : 0, at;
    uint64_t len;
    if (n < 2 || !is_whole_data(d[0]) || (d[1] >> 7) != server || !payload_of(d, n, mask, &at, &len))
        return 0;
    if (len > n - at || len > s->max_frame || len > s->max_message)
        return 0;
    uint8_t *p = d + at;
    if (server)
        mask_apply(p, p, (size_t)len, p - 4, 0);
    if ((d[0] & 0x0f) == FRAME_TEXT && !utf8_valid(p, (size_t)len)) {
        if (server)
            mask_apply(p, p, (size_t)len, p - 4, 0); /* as it was */
        return 0;
    }
    *m = (thrum_message){
        .kind = (thrum_kind)(d[0] & 0x0f), .part = THRUM_PART_WHOLE, .len = (size_t)len, .data = p};
    return at + (size_t)len;
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
