/* mask.h: RFC 6455 section 5.3. Most payloads are short, so what they need is inline here: without a call,
 * and without asking for the kernel of this machine (mask.c), which only long ones are worth. */
#ifndef WIRE_MASK_H
#define WIRE_MASK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MASK_LONG = 128 };

/* Of MASK_LONG bytes or more; the key as its four bytes lie in memory. */
void mask_long(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key);

/* The key for what begins `by` bytes further on: turned as it lies in memory, whatever the byte order. */
static inline uint32_t mask_turn(uint32_t key, uint64_t by)
{
    unsigned bits = 8 * (unsigned)(by & 3);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return key >> bits | key << (-bits & 31);
#else
    return key << bits | key >> (-bits & 31);
#endif
}

/* Words go through memcpy, so that no alignment matters. */
static inline void mask_8(uint8_t *dst, const uint8_t *src, uint64_t key)
{
    uint64_t w;
    memcpy(&w, src, 8);
    w ^= key;
    memcpy(dst, &w, 8);
}

static inline void mask_under_8(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    if (n & 4) {
        uint32_t w;
        memcpy(&w, src, 4);
        w ^= key;
        memcpy(dst, &w, 4);
        dst += 4, src += 4;
    }
    if (n & 2) {
        uint16_t w, k;
        memcpy(&w, src, 2);
        memcpy(&k, &key, 2);
        w ^= k;
        memcpy(dst, &w, 2);
        dst += 2, src += 2;
        key = mask_turn(key, 2);
    }
    if (n & 1) {
        uint8_t k;
        memcpy(&k, &key, 1);
        *dst = *src ^ k;
    }
}

/* No word overlaps another: a load of what two stores have just written would wait for both. */
static inline void mask_short(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    const uint64_t twice = key * UINT64_C(0x100000001);
    for (; n >= 32; n -= 16, dst += 16, src += 16) { /* which the compiler makes one word of */
        mask_8(dst, src, twice);
        mask_8(dst + 8, src + 8, twice);
    }
    for (; n >= 8; n -= 8, dst += 8, src += 8)
        mask_8(dst, src, twice);
    if (n > 0)
        mask_under_8(dst, src, n, key);
}

/* dst[i] = src[i] ^ key[(at + i) % 4]; dst and src are the same or do not overlap; no alignment is asked for.
 */
static inline void mask_apply(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at)
{
    uint32_t k;
    memcpy(&k, key, 4);
    k = mask_turn(k, at);
    if (n < MASK_LONG)
        mask_short(dst, src, n, k);
    else
        mask_long(dst, src, n, k);
}

#endif
