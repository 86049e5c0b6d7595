/* chunked.c: a state for each place in the grammar; every byte is looked at once. Chunk extensions and the
 * trailer are passed over. */
#include "wire/chunked.h"

#include "wire/char_int.h"
#include <stdbool.h>

enum { LINE_MAX_BYTES = 4096, SIZE_BITS = 56 };
enum state {
    SIZE_FIRST,
    SIZE_MORE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_LINE,
    TRAILER_LF,
    LAST_LF,
    ENDED,
    BROKEN
};

static unsigned hex_value(uint8_t c)
{
    return (unsigned)(char_is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
}

static enum state size_byte(struct chunked *c, uint8_t b, enum state s)
{
    if (char_is_hex(b)) {
        if (c->left >> (SIZE_BITS - 4))
            return BROKEN;
        c->left = c->left << 4 | hex_value(b);
        return SIZE_MORE;
    }
    if (s == SIZE_FIRST)
        return BROKEN;
    if (b == ';' || b == ' ' || b == '\t')
        return EXTENSION;
    return b == '\r' ? SIZE_LF : BROKEN;
}

/* What one byte that is not of the body leads to. */
static enum state step(struct chunked *c, uint8_t b)
{
    switch ((enum state)c->state) {
    case SIZE_FIRST:
    case SIZE_MORE: return size_byte(c, b, (enum state)c->state);
    case EXTENSION: return b == '\r' ? SIZE_LF : b == '\n' ? BROKEN : EXTENSION;
    case SIZE_LF: return b != '\n' ? BROKEN : c->left ? DATA : TRAILER;
    case DATA_CR: return b == '\r' ? DATA_LF : BROKEN;
    case DATA_LF: return b == '\n' ? SIZE_FIRST : BROKEN;
    case TRAILER: return b == '\r' ? LAST_LF : b == '\n' ? BROKEN : TRAILER_LINE;
    case TRAILER_LINE: return b == '\r' ? TRAILER_LF : b == '\n' ? BROKEN : TRAILER_LINE;
    case TRAILER_LF: return b == '\n' ? TRAILER : BROKEN;
    case LAST_LF: return b == '\n' ? ENDED : BROKEN;
    case DATA:
    case ENDED:
    case BROKEN: break;
    }
    return BROKEN;
}

static void drop(thrum_slice *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

enum chunked_result chunked_next(struct chunked *c, thrum_slice *in, thrum_slice *data)
{
    while (c->state != ENDED && c->state != BROKEN) {
        if (in->n == 0)
            return CHUNKED_MORE;
        if (c->state == DATA) {
            size_t n = c->left < in->n ? (size_t)c->left : in->n;
            *data = (thrum_slice){in->p, n};
            drop(in, n);
            c->left -= n;
            if (c->left == 0)
                c->state = DATA_CR;
            return CHUNKED_DATA;
        }
        enum state s = step(c, in->p[0]);
        c->line = s == SIZE_FIRST || s == DATA ? 0 : c->line + 1;
        c->state = (uint8_t)(c->line > LINE_MAX_BYTES ? BROKEN : s);
        drop(in, 1);
    }
    return c->state == ENDED ? CHUNKED_END : CHUNKED_BAD;
}
