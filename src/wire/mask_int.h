/* mask_int.h: between mask.c and the kernels for long payloads. */
#ifndef WIRE_MASK_INT_H
#define WIRE_MASK_INT_H

#include <stddef.h>
#include <stdint.h>

enum {
    MASK_LONG = 128 /* a kernel gets at least as much: below, asking for it would cost more than it saves */
};

/* As mask_apply with at = 0, the key as the four bytes lie in memory. */
typedef void mask_fn(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key);

mask_fn mask_portable;
#if defined(__x86_64__)
mask_fn mask_ssse3, mask_avx2, mask_avx512;
#elif defined(__aarch64__)
mask_fn mask_neon;
#endif

/* The key for what begins `by` bytes further on. */
static inline uint32_t mask_turn(uint32_t key, size_t by)
{
    unsigned bits = 8 * (by & 3);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return key >> bits | key << (-bits & 31);
#else
    return key << bits | key >> (-bits & 31);
#endif
}

#endif
