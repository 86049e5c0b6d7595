/* cpu.c: asks the processor once. Threads that come first at the same time find the same, so there is no
 * lock. */
#include "base/cpu.h"
#include <stdlib.h>
#include <string.h>

_Atomic int cpu_known = -1;

static const char *const names[CPU_LEVELS] = {
    [CPU_PORTABLE] = "portable", [CPU_SSSE3] = "ssse3", [CPU_AVX2] = "avx2",
    [CPU_AVX512] = "avx512",     [CPU_NEON] = "neon",
};

const char *cpu_name(enum cpu_level level)
{
    return names[level];
}

/* The compiler's answer, not CPUID's alone: it also asks whether the system saves the registers. */
bool cpu_has(enum cpu_level level)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    switch (level) {
    case CPU_PORTABLE: return true;
    case CPU_SSSE3: return __builtin_cpu_supports("ssse3");
    case CPU_AVX2: return __builtin_cpu_supports("avx2");
    case CPU_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
    default: return false;
    }
#elif defined(__aarch64__)
    return level == CPU_PORTABLE || level == CPU_NEON; /* every aarch64 has it */
#else
    return level == CPU_PORTABLE;
#endif
}

/* The highest one that the environment lets be. */
static enum cpu_level ceiling(void)
{
    const char *wanted = secure_getenv("THRUM_CPU");
    for (int level = 0; wanted && level < CPU_LEVELS; level++)
        if (strcmp(wanted, names[level]) == 0 && cpu_has((enum cpu_level)level))
            return (enum cpu_level)level;
    return CPU_LEVELS - 1;
}

enum cpu_level cpu_find(void)
{
    int level = (int)ceiling(), unknown = -1;
    while (!cpu_has((enum cpu_level)level))
        level--;
    /* A level that a test has set meanwhile stays. */
    atomic_compare_exchange_strong_explicit(&cpu_known, &unknown, level, memory_order_relaxed,
                                            memory_order_relaxed);
    return unknown < 0 ? (enum cpu_level)level : (enum cpu_level)unknown;
}

bool cpu_use(enum cpu_level level)
{
    if (!cpu_has(level))
        return false;
    atomic_store_explicit(&cpu_known, (int)level, memory_order_relaxed);
    return true;
}
