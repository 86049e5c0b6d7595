/* mask.c: long payloads: which kernel, and the portable one. */
#include "wire/mask_int.h"
#include "base/cpu.h"

/* The twin that the kernels are held against, and what other processors run. */
void mask_portable(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    const uint64_t twice = key * UINT64_C(0x100000001);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        mask_8(dst + i, src + i, twice);
        mask_8(dst + i + 8, src + i + 8, twice);
        mask_8(dst + i + 16, src + i + 16, twice);
        mask_8(dst + i + 24, src + i + 24, twice);
    }
    mask_short(dst + i, src + i, n - i, key);
}

static mask_fn *const kernels[CPU_LEVELS] = {
    [CPU_PORTABLE] = mask_portable,
#if defined(__x86_64__)
    [CPU_SSSE3] = mask_ssse3,
    [CPU_AVX2] = mask_avx2,
    [CPU_AVX512] = mask_avx512,
#elif defined(__aarch64__)
    [CPU_NEON] = mask_neon,
#endif
};

void mask_long(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    kernels[cpu_level()](dst, src, n, key);
}
