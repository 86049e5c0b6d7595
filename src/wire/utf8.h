/* utf8.h: RFC 3629, incremental: fails at the first bad byte, keeps state across pieces. Most pieces are
 * short and ASCII, so that this is asked inline, without a call; all else is utf8.c's. */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct utf8 {
    uint32_t state; /* 0: between characters */
};

enum { UTF8_SHORT_PIECE = 128 };

/* The same contract as utf8_feed. */
bool utf8_feed_any(struct utf8 *u, const uint8_t *p, size_t n);

/* Are n < UTF8_SHORT_PIECE bytes ASCII? What is left of whole words is read once more with bytes before it.
 */
static inline bool utf8_short_ascii(const uint8_t *p, size_t n)
{
    typedef uint64_t pair __attribute__((vector_size(16)));
    uint64_t first = 0, last = 0;
    if (n > 16) {
        pair all, v;
        memcpy(&all, p + n - 16, 16);
        for (size_t i = 0; i + 16 < n; i += 16) {
            memcpy(&v, p + i, 16);
            all |= v;
        }
        first = all[0], last = all[1];
    } else if (n >= 8) {
        memcpy(&first, p, 8);
        memcpy(&last, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&first, p, 4);
        memcpy(&last, p + n - 4, 4);
    } else {
        for (size_t i = 0; i < n; i++)
            first |= p[i];
    }
    return ((first | last) & UINT64_C(0x8080808080808080)) == 0;
}

/* Takes the next n bytes; false: not UTF-8 (overlong, surrogate, over U+10FFFF, stray byte), for good. */
static inline bool utf8_feed(struct utf8 *u, const uint8_t *p, size_t n)
{
    return (n < UTF8_SHORT_PIECE && u->state == 0 && utf8_short_ascii(p, n)) || utf8_feed_any(u, p, n);
}

/* May the text end here? */
static inline bool utf8_done(const struct utf8 *u)
{
    return u->state == 0;
}

static inline bool utf8_valid(const uint8_t *p, size_t n)
{
    struct utf8 u = {0};
    return utf8_feed(&u, p, n) && utf8_done(&u);
}

#endif
