/* frame.h: RFC 6455 section 5.2, a frame's header to bytes and back. Pure functions. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_opcode {
    FRAME_CONTINUATION = 0,
    FRAME_TEXT = 1,
    FRAME_BINARY = 2,
    FRAME_CLOSE = 8,
    FRAME_PING = 9,
    FRAME_PONG = 10
};
enum { FRAME_HEAD_MAX = 14, FRAME_CONTROL_MAX = 125 };

struct frame_head {
    uint8_t opcode; /* a frame_opcode */
    bool fin, rsv1, rsv2, rsv3, masked;
    uint8_t key[4];
    uint64_t len; /* of the payload; at most 2^63 - 1 */
};

static inline bool frame_is_control(uint8_t opcode)
{
    return (opcode & 8) != 0;
}

/* Decodes the header at p, of which n bytes are there. Returns its size (2-14); 0 when it needs more bytes
 * (an error is reported as soon as the byte that is wrong is there); -1 when it breaks the RFC: *why is then
 * a sentence. Refused: opcodes 3-7 and 11-15, a control frame that is fragmented or over 125 bytes, a length
 * that is not in its shortest form, a length with its top bit set. Mask and RSV bits are the caller's to
 * judge: *h has them as soon as two bytes are there, also when 0 is returned. */
int frame_decode(struct frame_head *h, const uint8_t *p, size_t n, const char **why);
/* Writes the header, its length in the shortest form, the key when masked. Returns its size. */
size_t frame_encode(uint8_t out[FRAME_HEAD_MAX], const struct frame_head *h);
const char *frame_opcode_name(uint8_t opcode); /* "TEXT", ... ; "?" for a reserved one */

#endif
