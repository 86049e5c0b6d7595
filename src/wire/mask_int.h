/* mask_int.h: the kernels behind mask_long, each with its contract. */
#ifndef WIRE_MASK_INT_H
#define WIRE_MASK_INT_H

#include "wire/mask.h"

typedef void mask_fn(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key);

mask_fn mask_portable;
#if defined(__x86_64__)
mask_fn mask_ssse3, mask_avx2, mask_avx512;
#elif defined(__aarch64__)
mask_fn mask_neon;
#endif

#endif
