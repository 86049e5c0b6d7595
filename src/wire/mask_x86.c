/* mask_x86.c: mask.c's kernels by SSE, AVX2 and AVX-512. */
#include "wire/mask_int.h"
#include <string.h>

#if defined(__x86_64__)
#    define MASK_KERNEL mask_ssse3
#    define MASK_TARGET __attribute__((target("ssse3")))
#    define MASK_VECTOR 16
#    include "wire/mask_kernel_int.h"

#    define MASK_KERNEL mask_avx2
#    define MASK_TARGET __attribute__((target("avx2")))
#    define MASK_VECTOR 32
#    include "wire/mask_kernel_int.h"

#    define MASK_KERNEL mask_avx512
#    define MASK_TARGET __attribute__((target("avx512f,avx512bw,avx512vl")))
#    define MASK_VECTOR 64
#    include "wire/mask_kernel_int.h"
#endif
