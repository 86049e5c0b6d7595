/* frame.c: RFC 6455 section 5.2. One decoder for both directions: what only one role may send (a mask) and
 * what an extension may allow (RSV bits) is not a matter of bytes and is judged above. */
#include "wire/frame.h"
#include <string.h>

enum { FIN = 0x80, RSV1 = 0x40, RSV2 = 0x20, RSV3 = 0x10, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };
enum { LEN16 = 126, LEN64 = 127 };

static bool is_known(uint8_t opcode)
{
    return opcode <= FRAME_BINARY || (opcode >= FRAME_CLOSE && opcode <= FRAME_PONG);
}

static uint64_t big_endian(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* What is wrong with the first two bytes (n of them are there), or NULL. */
static const char *judge_start(const struct frame_head *h, const uint8_t *p, size_t n)
{
    if (!is_known(h->opcode))
        return "a frame with a reserved opcode (RFC 6455 section 5.2)";
    if (frame_is_control(h->opcode) && !h->fin)
        return "a fragmented control frame (RFC 6455 section 5.5)";
    if (n >= 2 && frame_is_control(h->opcode) && (p[1] & LENGTH) > FRAME_CONTROL_MAX)
        return "a control frame of more than 125 bytes (RFC 6455 section 5.5)";
    return NULL;
}

/* What is wrong with an extended length of `size` bytes, of which n are there. Eight bytes are too long a
 * form once the first six are zero, whatever follows; of two, the second decides. */
static const char *judge_length(const uint8_t *p, int size, size_t n)
{
    static const char longer[] = "a frame length that is not in its shortest form (RFC 6455 section 5.2)";
    if (size == 8 && n > 0 && (p[0] & 0x80))
        return "a frame length with its top bit set (RFC 6455 section 5.2)";
    if (size == 8 && n >= 6 && big_endian(p, 6) == 0)
        return longer;
    if (size == 2 && n >= 2 && big_endian(p, 2) < LEN16)
        return longer;
    return NULL;
}

int frame_decode(struct frame_head *h, const uint8_t *p, size_t n, const char **why)
{
    memset(h, 0, sizeof *h);
    if (n == 0)
        return 0;
    h->fin = (p[0] & FIN) != 0;
    h->rsv1 = (p[0] & RSV1) != 0;
    h->rsv2 = (p[0] & RSV2) != 0;
    h->rsv3 = (p[0] & RSV3) != 0;
    h->opcode = p[0] & OPCODE;
    h->masked = n >= 2 && (p[1] & MASKED) != 0;
    if ((*why = judge_start(h, p, n)))
        return -1;
    if (n < 2)
        return 0;
    uint8_t form = p[1] & LENGTH;
    int size = form == LEN64 ? 8 : form == LEN16 ? 2 : 0;
    if (size > 0 && (*why = judge_length(p + 2, size, n - 2)))
        return -1;
    int total = 2 + size + (h->masked ? 4 : 0);
    if (n < (size_t)total)
        return 0;
    h->len = size > 0 ? big_endian(p + 2, size) : form;
    if (h->masked)
        memcpy(h->key, p + 2 + size, 4);
    return total;
}

size_t frame_encode(uint8_t out[FRAME_HEAD_MAX], const struct frame_head *h)
{
    size_t n = 2;
    uint8_t form = h->len < LEN16 ? (uint8_t)h->len : h->len <= UINT16_MAX ? LEN16 : LEN64;
    out[0] = (uint8_t)((h->fin ? FIN : 0) | (h->rsv1 ? RSV1 : 0) | (h->rsv2 ? RSV2 : 0) |
                       (h->rsv3 ? RSV3 : 0) | (h->opcode & OPCODE));
    out[1] = (uint8_t)((h->masked ? MASKED : 0) | form);
    for (int shift = form == LEN64 ? 56 : form == LEN16 ? 8 : -8; shift >= 0; shift -= 8)
        out[n++] = (uint8_t)(h->len >> shift);
    if (h->masked) {
        memcpy(out + n, h->key, 4);
        n += 4;
    }
    return n;
}

const char *frame_opcode_name(uint8_t opcode)
{
    switch (opcode) {
    case FRAME_CONTINUATION: return "CONTINUATION";
    case FRAME_TEXT: return "TEXT";
    case FRAME_BINARY: return "BINARY";
    case FRAME_CLOSE: return "CLOSE";
    case FRAME_PING: return "PING";
    case FRAME_PONG: return "PONG";
    default: return "?";
    }
}
