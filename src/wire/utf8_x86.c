/* utf8_x86.c: utf8.c's kernels by SSSE3, AVX2 and AVX-512. */
#include "wire/utf8_int.h"
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#    include <immintrin.h>
typedef uint8_t bytes_16 __attribute__((vector_size(16)));
typedef uint8_t bytes_32 __attribute__((vector_size(32)));

/* A lookup by the upper half of a byte and one by its lower. */
#    define UTF8_NAME(x)       x##_ssse3
#    define UTF8_TARGET        __attribute__((target("ssse3")))
#    define UTF8_VECTOR        16
#    define UTF8_PAIR(a, b)    pair_ssse3(a, b)
#    define UTF8_LESS(a, b)    _mm_subs_epu8((__m128i)(a), (__m128i)(b))
#    define UTF8_BACK(v, u, k) _mm_alignr_epi8((__m128i)(v), (__m128i)(u), 16 - (k))
#    define UTF8_HIGH(v)       (_mm_movemask_epi8((__m128i)(v)) != 0)
#    define UTF8_SOME(v)       (_mm_movemask_epi8(_mm_cmpeq_epi8((__m128i)(v), _mm_setzero_si128())) != 0xffff)
UTF8_TARGET static inline __m128i half_ssse3(const uint8_t table[16], bytes_16 i)
{
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)table), (__m128i)i);
}
UTF8_TARGET static inline __m128i pair_ssse3(bytes_16 a, bytes_16 b)
{
    return half_ssse3(utf8_first_upper, a >> 4) & half_ssse3(utf8_first_lower, a & 15) &
           half_ssse3(utf8_second_upper, b >> 4);
}
#    include "wire/utf8_kernel_int.h"

#    define UTF8_NAME(x)    x##_avx2
#    define UTF8_TARGET     __attribute__((target("avx2")))
#    define UTF8_VECTOR     32
#    define UTF8_PAIR(a, b) pair_avx2(a, b)
#    define UTF8_LESS(a, b) _mm256_subs_epu8((__m256i)(a), (__m256i)(b))
/* Shifts work within 16 bytes: into them go, from between u and v, the 16 bytes before each half of v. */
#    define UTF8_BACK(v, u, k)                                                                               \
        _mm256_alignr_epi8((__m256i)(v), _mm256_permute2x128_si256((__m256i)(u), (__m256i)(v), 0x21),        \
                           16 - (k))
#    define UTF8_HIGH(v) (_mm256_movemask_epi8((__m256i)(v)) != 0)
#    define UTF8_SOME(v) (!_mm256_testz_si256((__m256i)(v), (__m256i)(v)))
UTF8_TARGET static inline __m256i half_avx2(const uint8_t table[16], bytes_32 i)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table)),
                               (__m256i)i);
}
UTF8_TARGET static inline __m256i pair_avx2(bytes_32 a, bytes_32 b)
{
    return half_avx2(utf8_first_upper, a >> 4) & half_avx2(utf8_first_lower, a & 15) &
           half_avx2(utf8_second_upper, b >> 4);
}
#    include "wire/utf8_kernel_int.h"

/* By the lower 7 bits of a first byte, 80 standing for all of ASCII. */
static const uint8_t first_128[128] = {
    [0x00 ... 0x3f] = UTF8_LOOSE,
    [0x40 ... 0x41] = UTF8_SHORT | UTF8_OVER_2,
    [0x42 ... 0x5f] = UTF8_SHORT,
    [0x60] = UTF8_SHORT | UTF8_OVER_3,
    [0x61 ... 0x6c] = UTF8_SHORT,
    [0x6d] = UTF8_SHORT | UTF8_HALF,
    [0x6e ... 0x6f] = UTF8_SHORT,
    [0x70] = UTF8_SHORT | UTF8_OVER_4,
    [0x71 ... 0x73] = UTF8_SHORT,
    [0x74] = UTF8_SHORT | UTF8_HIGH_4,
    [0x75 ... 0x7f] = UTF8_SHORT | UTF8_FAR,
};

/* By the upper 6 bits of a second byte. */
static const uint8_t second_64[64] = {
    [0x00 ... 0x1f] = UTF8_SHORT, [0x20 ... 0x23] = UTF8_80,    [0x24 ... 0x27] = UTF8_90,
    [0x28 ... 0x2f] = UTF8_A0,    [0x30 ... 0x3f] = UTF8_SHORT,
};

#    define UTF8_NAME(x)    x##_avx512
#    define UTF8_TARGET     __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))
#    define UTF8_VECTOR     64
#    define UTF8_PAIR(a, b) pair_avx512((__m512i)(a), (__m512i)(b))
#    define UTF8_LESS(a, b) _mm512_subs_epu8((__m512i)(a), (__m512i)(b))
#    define UTF8_BACK(v, u, k)                                                                               \
        _mm512_alignr_epi8((__m512i)(v), _mm512_alignr_epi64((__m512i)(v), (__m512i)(u), 6), 16 - (k))
#    define UTF8_HIGH(v) (_mm512_movepi8_mask((__m512i)(v)) != 0)
#    define UTF8_SOME(v) (_mm512_test_epi8_mask((__m512i)(v), (__m512i)(v)) != 0)
/* The permutations take the lower 7 or 6 bits of an index and do not mind what the shift left in the others.
 */
UTF8_TARGET static inline __m512i pair_avx512(__m512i a, __m512i b)
{
    const __m512i none = _mm512_set1_epi8((char)0x80);
    const __m512i of_a = _mm512_permutex2var_epi8(_mm512_loadu_si512(first_128), _mm512_max_epu8(a, none),
                                                  _mm512_loadu_si512(first_128 + 64));
    return of_a & _mm512_permutexvar_epi8(_mm512_srli_epi16(b, 2), _mm512_loadu_si512(second_64));
}
#    include "wire/utf8_kernel_int.h"
#endif
