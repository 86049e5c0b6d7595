/* quick.h: what most frames of most open connections are: one whole message that needs nothing remembered. A
 * front that has no proto for a connection at rest (park.h) takes and makes such frames here, in place,
 * without an allocation. Whatever is not so simple, or is wrong, is left as it is for a proto, which says
 * what there is to say: these are a short cut, never a second opinion. */
#ifndef PROTO_QUICK_H
#define PROTO_QUICK_H

#include "proto/settings.h"
#include "wire/frame.h"

/* If the n bytes at d begin with an uncompressed message in one frame, whole and within the limits: unmasks
 * it in place, *m becomes it (hold NULL; data[len] is whatever follows), and its size on the wire is
 * returned. Else 0, and the bytes are as they were. */
size_t quick_take(const struct settings *s, bool server, uint8_t *d, size_t n, thrum_message *m);
/* The header for a message that is sent whole and as it is; its size. A client's key is in `key`, else NULL.
 */
size_t quick_head(uint8_t out[FRAME_HEAD_MAX], thrum_kind k, uint64_t len, const uint8_t *key);

#endif
