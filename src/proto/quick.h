/* quick.h: what most frames of most open connections are: one whole message that needs nothing remembered. A
 * front that has no proto for a connection at rest (park.h) takes and makes such frames here, in place,
 * without an allocation. Whatever is not so simple, or is wrong, is left as it is for a proto, which says
 * what there is to say: these are a short cut, never a second opinion. */
#ifndef PROTO_QUICK_H
#define PROTO_QUICK_H

#include "proto/settings.h"
#include "wire/frame.h"
#include "wire/mask.h"
#include "wire/utf8.h"

/* The payload's length, and in *at, which comes as what the rest of the header takes, where it stands; false:
 * the header is not all here, or its length is one that a proto must see. */
bool quick_long(const uint8_t *d, size_t n, size_t *at, uint64_t *len);
/* Of a text that is none: as it was before it was unmasked. */
void quick_undo(bool server, uint8_t *p, size_t n);

/* If the n bytes at d begin with an uncompressed message in one frame, whole and within the limits: unmasks
 * it in place, *m becomes it (hold NULL; data[len] is whatever follows), and its size on the wire is
 * returned. Else 0, and the bytes are as they were. */
static inline size_t quick_take(const struct settings *s, bool server, uint8_t *d, size_t n, thrum_message *m)
{
    size_t at = server ? 6 : 2;
    if (n < 2 || (d[0] != (0x80 | FRAME_BINARY) && d[0] != (0x80 | FRAME_TEXT)) || (d[1] >> 7) != server)
        return 0;
    uint64_t len = d[1] & 0x7f;
    if (len < 126 ? n < at : !quick_long(d, n, &at, &len))
        return 0;
    if (len > n - at || len > s->max_frame || len > s->max_message)
        return 0;
    uint8_t *p = d + at;
    if (server)
        mask_here(p, (size_t)len, p - 4);
    if (d[0] == (0x80 | FRAME_TEXT) && !utf8_valid(p, (size_t)len)) {
        quick_undo(server, p, (size_t)len);
        return 0;
    }
    *m = (thrum_message){
        .kind = (thrum_kind)(d[0] & 0x0f), .part = THRUM_PART_WHOLE, .len = (size_t)len, .data = p};
    return at + (size_t)len;
}

/* The header for a message that is sent whole and as it is; its size. A client's key is in `key`, else NULL.
 */
size_t quick_head(uint8_t out[FRAME_HEAD_MAX], thrum_kind k, uint64_t len, const uint8_t *key);

#endif
