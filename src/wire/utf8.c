/* utf8.c: RFC 3629, byte by byte; long pieces go through a kernel of this machine first. The state says what
 * the next byte must be: how many bytes the character still needs, and between which bounds the next one
 * lies. Only a second byte has bounds narrower than 80-BF, and these are what shuts out overlong forms,
 * surrogates and what is over U+10FFFF, at the first byte that is wrong. */
#include "wire/utf8.h"
#include "wire/utf8_int.h"
#include "base/cpu.h"
#include <string.h>

#define NEED(more, lo, hi) ((uint32_t)(more) | (uint32_t)(lo) << 8 | (uint32_t)(hi) << 16)
#define BAD                UINT32_MAX

/* What a first byte asks of those behind it. */
static const uint32_t first[256] = {
    [0x80 ... 0xc1] = BAD, /* stray, or the beginning of an overlong form of an ASCII character */
    [0xc2 ... 0xdf] = NEED(1, 0x80, 0xbf),
    [0xe0] = NEED(2, 0xa0, 0xbf),
    [0xe1 ... 0xec] = NEED(2, 0x80, 0xbf),
    [0xed] = NEED(2, 0x80, 0x9f),
    [0xee ... 0xef] = NEED(2, 0x80, 0xbf),
    [0xf0] = NEED(3, 0x90, 0xbf),
    [0xf1 ... 0xf3] = NEED(3, 0x80, 0xbf),
    [0xf4] = NEED(3, 0x80, 0x8f),
    [0xf5 ... 0xff] = BAD,
};

/* Moves over ASCII, 32 and 8 bytes at once. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t w[4];
    while (end - p >= 32) {
        memcpy(w, p, 32);
        if ((w[0] | w[1] | w[2] | w[3]) & high)
            break;
        p += 32;
    }
    while (end - p >= 8) {
        memcpy(w, p, 8);
        if (w[0] & high)
            break;
        p += 8;
    }
    while (p < end && *p < 0x80)
        p++;
    return p;
}

/* The state after byte b of a character that has begun. */
static uint32_t next(uint32_t state, uint8_t b)
{
    if (b < (state >> 8 & 0xff) || b > (state >> 16 & 0xff))
        return BAD;
    uint32_t more = (state & 0xff) - 1;
    return more > 0 ? NEED(more, 0x80, 0xbf) : 0;
}

/* This file is the portable twin of the kernels: it proves nothing in advance. */
static size_t utf8_portable(const uint8_t *p, size_t n, uint8_t before)
{
    (void)p, (void)n, (void)before;
    return 0;
}

static utf8_fn *const kernels[CPU_LEVELS] = {
    [CPU_PORTABLE] = utf8_portable,
#if defined(__x86_64__)
    [CPU_SSSE3] = utf8_ssse3,
    [CPU_AVX2] = utf8_avx2,
    [CPU_AVX512] = utf8_avx512,
#elif defined(__aarch64__)
    [CPU_NEON] = utf8_neon,
#endif
};

/* The first byte that asks for the same as state does. */
static uint8_t stands_for(uint32_t state)
{
    const uint32_t lo = state >> 8 & 0xff, hi = state >> 16 & 0xff;
    switch (state & 0xff) {
    case 0: return 0;
    case 1: return 0xc2;
    case 2: return lo > 0x80 ? 0xe0 : hi < 0xbf ? 0xed : 0xe1;
    default: return lo > 0x80 ? 0xf0 : hi < 0xbf ? 0xf4 : 0xf1;
    }
}

bool utf8_feed_any(struct utf8 *u, const uint8_t *p, size_t n)
{
    uint32_t state = u->state;
    const uint8_t *end = n > 0 ? p + n : p;
    if (n >= UTF8_LONG && state != BAD) {
        size_t proven = kernels[cpu_level()](p, n, stands_for(state));
        if (proven > 0) {
            p += proven;
            state = 0;
        }
    }
    while (p < end && state != BAD) {
        if (state != 0) {
            state = next(state, *p++);
            continue;
        }
        p = skip_ascii(p, end);
        if (p < end)
            state = first[*p++];
    }
    u->state = state;
    return state != BAD;
}
