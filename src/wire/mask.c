/* mask.c: RFC 6455 section 5.3. Words are loaded and stored by memcpy, so that no alignment matters, and the
 * key is turned as it lies in memory, so that byte order does not either.
 *
 * Short payloads are done here, in words of 4, 8 or 16 bytes; the last word overlaps the one before: it is
 * loaded before the loop, as in place it would be changed, and stored after it. So no payload of four bytes
 * or more has a loop of single bytes at its end. Long ones go to the kernel of this machine. */
#include "wire/mask.h"
#include "wire/mask_int.h"
#include "base/cpu.h"
#include <string.h>

/* 16 bytes that every processor with such registers has in one, and others in two words. */
typedef uint32_t vector __attribute__((vector_size(16)));

static void mask_tiny(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    uint8_t k[4];
    memcpy(k, &key, 4);
    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] ^ k[i];
}

static void mask_4_to_7(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    uint32_t first, last;
    memcpy(&first, src, 4);
    memcpy(&last, src + n - 4, 4);
    first ^= key;
    last ^= mask_turn(key, n - 4);
    memcpy(dst, &first, 4);
    memcpy(dst + n - 4, &last, 4);
}

static void mask_8_to_15(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    const uint64_t twice = UINT64_C(0x100000001);
    uint64_t first, last;
    memcpy(&first, src, 8);
    memcpy(&last, src + n - 8, 8);
    first ^= key * twice;
    last ^= mask_turn(key, n - 8) * twice;
    memcpy(dst, &first, 8);
    memcpy(dst + n - 8, &last, 8);
}

static void mask_from_16(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    const vector zero = {0}, k = zero + key;
    vector w, last;
    memcpy(&last, src + n - 16, 16);
    last ^= zero + mask_turn(key, n - 16);
    for (size_t i = 0; i + 16 < n; i += 16) {
        memcpy(&w, src + i, 16);
        w ^= k;
        memcpy(dst + i, &w, 16);
    }
    memcpy(dst + n - 16, &last, 16);
}

/* The twin that the kernels are held against, and what other processors run: whole blocks are loaded before
 * they are stored, which lets the compiler use what registers there are although dst may be src. */
void mask_portable(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    enum { BLOCK = 64, WORDS = BLOCK / 8 };
    const uint64_t k = key * UINT64_C(0x100000001);
    size_t i = 0;
    for (; i + BLOCK + 16 <= n; i += BLOCK) {
        uint64_t w[WORDS];
        memcpy(w, src + i, BLOCK);
        for (int j = 0; j < WORDS; j++)
            w[j] ^= k;
        memcpy(dst + i, w, BLOCK);
    }
    mask_from_16(dst + i, src + i, n - i, key);
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

void mask_apply(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at)
{
    uint32_t k;
    memcpy(&k, key, 4);
    k = mask_turn(k, at & 3);
    if (n >= MASK_LONG)
        kernels[cpu_level()](dst, src, n, k);
    else if (n >= 16)
        mask_from_16(dst, src, n, k);
    else if (n >= 8)
        mask_8_to_15(dst, src, n, k);
    else if (n >= 4)
        mask_4_to_7(dst, src, n, k);
    else
        mask_tiny(dst, src, n, k);
}
