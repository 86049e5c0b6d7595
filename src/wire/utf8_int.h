/* utf8_int.h: between utf8.c and the kernels for long pieces. */
#ifndef WIRE_UTF8_INT_H
#define WIRE_UTF8_INT_H

#include <stddef.h>
#include <stdint.h>

enum { UTF8_LONG = 64 /* a kernel gets at least as much */ };

/* How many of n bytes are proven valid: whole characters, up to what is cut off at the end or to somewhere
 * before the first fault; utf8.c takes the rest byte by byte, and it alone says what is wrong. `before`
 * stands for a character that an earlier piece began: the first byte that asks the same of what follows; 0:
 * none. */
typedef size_t utf8_fn(const uint8_t *p, size_t n, uint8_t before);

#if defined(__x86_64__)
utf8_fn utf8_ssse3, utf8_avx2, utf8_avx512;
#elif defined(__aarch64__)
utf8_fn utf8_neon;
#endif

/* Bytes at the end of p[0..n) that begin a character which is not whole there; n is 0 or at least 3, and what
 * is before them is known to be valid. */
static inline size_t utf8_cut(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    return p[n - 1] >= 0xc0 ? 1 : p[n - 2] >= 0xe0 ? 2 : p[n - 3] >= 0xf0 ? 3 : 0;
}

/* What is wrong with a byte and the one before it, a bit each. One table says which faults a first byte
 * allows, another which the second does; a fault is one that both allow. Where a table has 16 entries, the
 * first byte has one for each of its halves. */
enum {
    UTF8_SHORT = 0x01,  /* a first byte, and then no continuation */
    UTF8_OVER_2 = 0x02, /* c0, c1 */
    UTF8_OVER_3 = 0x04, /* e0 80 to e0 9f */
    UTF8_HALF = 0x08,   /* ed a0 to ed bf: a surrogate */
    UTF8_OVER_4 =
        0x10, /* f0 80 to f0 8f; and f5 to ff with 80 to 8f, which the same tables tell apart from f1 */
    UTF8_HIGH_4 = 0x20, /* f4 90 and over, f5 to ff with 90 and over */
    UTF8_LOOSE =
        0x80, /* a continuation behind what is no first byte: right where a third or fourth byte must be */
    UTF8_FAR = UTF8_OVER_4 | UTF8_HIGH_4,
    UTF8_ANY = UTF8_SHORT | UTF8_LOOSE, /* what does not depend on the first byte's lower half */
    UTF8_80 = UTF8_LOOSE | UTF8_OVER_2 | UTF8_OVER_3 | UTF8_OVER_4,
    UTF8_90 = UTF8_LOOSE | UTF8_OVER_2 | UTF8_OVER_3 | UTF8_HIGH_4,
    UTF8_A0 = UTF8_LOOSE | UTF8_OVER_2 | UTF8_HALF | UTF8_HIGH_4,
};

static const uint8_t utf8_first_upper[16] = {
    [0x0 ... 0xb] = UTF8_LOOSE,
    [0xc] = UTF8_SHORT | UTF8_OVER_2,
    [0xd] = UTF8_SHORT,
    [0xe] = UTF8_SHORT | UTF8_OVER_3 | UTF8_HALF,
    [0xf] = UTF8_SHORT | UTF8_FAR,
};

static const uint8_t utf8_first_lower[16] = {
    [0x0] = UTF8_ANY | UTF8_OVER_2 | UTF8_OVER_3 | UTF8_OVER_4,
    [0x1] = UTF8_ANY | UTF8_OVER_2,
    [0x2 ... 0x3] = UTF8_ANY,
    [0x4] = UTF8_ANY | UTF8_HIGH_4,
    [0x5 ... 0xc] = UTF8_ANY | UTF8_FAR,
    [0xd] = UTF8_ANY | UTF8_FAR | UTF8_HALF,
    [0xe ... 0xf] = UTF8_ANY | UTF8_FAR,
};

static const uint8_t utf8_second_upper[16] = {
    [0x0 ... 0x7] = UTF8_SHORT, [0x8] = UTF8_80, [0x9] = UTF8_90, [0xa ... 0xb] = UTF8_A0,
    [0xc ... 0xf] = UTF8_SHORT,
};

#endif
