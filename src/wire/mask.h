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

static inline void mask_16(uint8_t *dst, const uint8_t *src, uint64_t key)
{
    typedef uint64_t pair __attribute__((vector_size(16)));
    pair w;
    memcpy(&w, src, 16);
    w ^= key;
    memcpy(dst, &w, 16);
}

/* No word overlaps another: a load of what two stores have just written would wait for both. Who copies it
 * next does well to take the same pieces (mask_copy). */
static inline void mask_short(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    const uint64_t twice = key * UINT64_C(0x100000001);
    size_t i = 0;
    if (n >= 32)
        for (; i + 16 <= n; i += 16)
            mask_16(dst + i, src + i, twice);
    /* Up to three words more; a loop would cost a cycle or two of the eight that 16 bytes take. */
    if (n - i >= 8) {
        mask_8(dst + i, src + i, twice), i += 8;
        if (n - i >= 8) {
            mask_8(dst + i, src + i, twice), i += 8;
            if (n - i >= 8)
                mask_8(dst + i, src + i, twice), i += 8;
        }
    }
    if (i < n)
        mask_under_8(dst + i, src + i, n, key);
}

/* With the key already turned. */
static inline void mask_turned(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    if (__builtin_expect(n < MASK_LONG, 1))
        mask_short(dst, src, n, key);
    else
        mask_long(dst, src, n, key);
}

/* In place, from the key's first byte on. */
static inline void mask_here(uint8_t *p, size_t n, const uint8_t key[4])
{
    uint32_t k;
    memcpy(&k, key, 4);
    mask_turned(p, p, n, k);
}

/* memcpy of what may just have been unmasked: by the same pieces. */
static inline void mask_copy(uint8_t *dst, const uint8_t *src, size_t n)
{
    if (__builtin_expect(n < MASK_LONG, 1))
        mask_short(dst, src, n, 0);
    else
        memcpy(dst, src, n);
}

/* dst[i] = src[i] ^ key[(at + i) % 4]; dst and src are the same or do not overlap; no alignment is asked for.
 */
static inline void mask_apply(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at)
{
    uint32_t k;
    memcpy(&k, key, 4);
    mask_turned(dst, src, n, mask_turn(k, at));
}

#endif
