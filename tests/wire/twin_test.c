/* twin_test.c: each kernel that this machine can run against the definition and the portable twin. A plain
 * program without cmocka, so that tools/check-neon can build it for another processor: it ends with 1 at the
 * first difference.
 */
#include "base/cpu.h"
#include "lib/guard.h"
#include "wire/mask.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *level_name;

#define CHECK(ok, ...)                                                                                       \
    do {                                                                                                     \
        if (!(ok)) {                                                                                         \
            fprintf(stderr, "twin_test: %s: ", level_name);                                                  \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* The same numbers in every run. */
static uint32_t random32(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 32);
}

enum { EDGE = 64, MOST = 300, BIG = 70000, GUARD = 0xee };
static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
static _Alignas(64) uint8_t text[EDGE + BIG + EDGE], got[EDGE + BIG + EDGE], want[EDGE + BIG + EDGE];

static void mask_one(size_t n, size_t src_at, size_t dst_at, uint64_t at)
{
    size_t all = EDGE + n + EDGE;
    memset(want, GUARD, all);
    memset(got, GUARD, all);
    for (size_t i = 0; i < n; i++)
        want[dst_at + i] = text[src_at + i] ^ key[(at + i) & 3];
    mask_apply(got + dst_at, text + src_at, n, key, at);
    CHECK(memcmp(got, want, all) == 0, "mask: n %zu, src %zu, dst %zu, at %llu", n, src_at, dst_at,
          (unsigned long long)at);
    memset(got, GUARD, all);
    memcpy(got + dst_at, text + src_at, n);
    mask_apply(got + dst_at, got + dst_at, n, key, at);
    CHECK(memcmp(got, want, all) == 0, "mask in place: n %zu at %zu, at %llu", n, dst_at,
          (unsigned long long)at);
}

static void check_mask(void)
{
    for (size_t n = 0; n <= MOST; n++)
        for (size_t a = 0; a < EDGE; a++) /* every alignment of either side, against several of the other */
            for (size_t at = a % 2; at < 8; at += 2) {
                mask_one(n, a, (a * 5 + at + n) % EDGE, at);
                mask_one(n, (a * 3 + at * 7 + n) % EDGE, a, at);
            }
    for (size_t n = 0; n <= MOST; n += 1 + n / 20) /* and each pair of the smaller alignments */
        for (size_t pair = 0; pair < 64; pair++)
            for (size_t at = 0; at < 8; at++)
                mask_one(n, pair / 8, pair % 8, at);
    for (int i = 0; i < 100; i++)
        mask_one(MOST + random32() % (BIG - MOST), random32() % EDGE, random32() % EDGE, random32());
    mask_one(4096, 0, 0, 0);
    mask_one(65536, 1, 0, UINT64_MAX - 5);
    for (size_t n = 1; n <= MOST; n++) { /* nothing is read before or behind */
        uint8_t *p = guard_copy(text, n), *q = guard_copy(NULL, n);
        mask_apply(q, p, n, key, n);
        mask_apply(q, q, n, key, n);
        CHECK(memcmp(q, text, n) == 0, "mask: at the end of a page, n %zu", n);
        guard_free(p, n);
        guard_free(q, n);
    }
}

int main(void)
{
    int levels = 0;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)random32();
    for (int level = 0; level < CPU_LEVELS; level++) {
        level_name = cpu_name((enum cpu_level)level);
        if (!cpu_use((enum cpu_level)level))
            continue;
        levels++;
        check_mask();
        printf("%s: as the definition\n", level_name);
    }
    return levels > 0 ? 0 : 1;
}
