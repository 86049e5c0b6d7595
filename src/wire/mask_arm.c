/* mask_arm.c: mask.c's kernel by NEON, which every aarch64 has. */
#include "wire/mask_int.h"
#include <string.h>

#if defined(__aarch64__)
#    define MASK_KERNEL mask_neon
#    define MASK_TARGET
#    define MASK_VECTOR 16
#    include "wire/mask_kernel_int.h"
#endif
