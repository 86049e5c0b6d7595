/* cpu.h: which of the vector kernels in wire/ this machine can run. Asked for on each long payload, so that
 * the answer is one relaxed load once it is known. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdatomic.h>
#include <stdbool.h>

/* Each one includes those before it of the same architecture. */
enum cpu_level {
    CPU_PORTABLE, /* plain C, as every machine has it */
    CPU_SSSE3,
    CPU_AVX2,
    CPU_AVX512, /* F, BW, VL and VBMI */
    CPU_NEON,
    CPU_LEVELS
};

extern _Atomic int cpu_known; /* a level, or -1: not asked yet. Read it by cpu_level. */
enum cpu_level cpu_find(void);

/* The best level of this machine, or a lower one that the environment asks for: THRUM_CPU=portable, ssse3,
 * avx2, avx512 or neon, read once; a name that is none, or not of this machine, changes nothing. Any thread.
 */
static inline enum cpu_level cpu_level(void)
{
    int known = atomic_load_explicit(&cpu_known, memory_order_relaxed);
    return known >= 0 ? (enum cpu_level)known : cpu_find();
}

const char *cpu_name(enum cpu_level level); /* as THRUM_CPU has it */
/* May this machine run the kernels of level? Says nothing of the environment. */
bool cpu_has(enum cpu_level level);
/* For tests and benchmarks: from here on cpu_level answers this one; false: this machine cannot. */
bool cpu_use(enum cpu_level level);

#endif
