/* utf8_arm.c: utf8.c's kernel by NEON. */
#include "wire/utf8_int.h"
#include <stdbool.h>
#include <string.h>

#if defined(__aarch64__)
#    include <arm_neon.h>

#    define UTF8_NAME(x) x##_neon
#    define UTF8_TARGET
#    define UTF8_VECTOR        16
#    define UTF8_PAIR(a, b)    pair_neon((uint8x16_t)(a), (uint8x16_t)(b))
#    define UTF8_LESS(a, b)    vqsubq_u8((uint8x16_t)(a), (uint8x16_t)(b))
#    define UTF8_BACK(v, u, k) vextq_u8((uint8x16_t)(u), (uint8x16_t)(v), 16 - (k))
#    define UTF8_HIGH(v)       (vmaxvq_u8((uint8x16_t)(v)) > 127)
#    define UTF8_SOME(v)       (vmaxvq_u8((uint8x16_t)(v)) != 0)
static inline uint8x16_t pair_neon(uint8x16_t a, uint8x16_t b)
{
    return vqtbl1q_u8(vld1q_u8(utf8_first_upper), a >> 4) & vqtbl1q_u8(vld1q_u8(utf8_first_lower), a & 15) &
           vqtbl1q_u8(vld1q_u8(utf8_second_upper), b >> 4);
}
#    include "wire/utf8_kernel_int.h"
#endif
