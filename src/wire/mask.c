/* mask.c: RFC 6455 section 5.3, portable. Words are loaded and stored by memcpy, so that no alignment matters
 * and byte order cancels out; the block of 64 bytes is loaded whole before it is stored, which lets the
 * compiler use vector registers although dst may be src.
 *
 * The last 8 (or 4) bytes overlap what the loop does: they are loaded before it, as in place it would change
 * them, and stored after it. So no payload of four bytes or more has a loop of single bytes at its end. */
#include "wire/mask.h"
#include <string.h>

enum { BLOCK = 64, WORDS = BLOCK / 8 };

/* Eight bytes of the key's repetition, from offset `at` on. */
static uint64_t pattern(const uint8_t key[4], uint64_t at)
{
    uint8_t k[8];
    uint64_t v;
    for (unsigned i = 0; i < 8; i++)
        k[i] = key[(at + i) & 3];
    memcpy(&v, k, 8);
    return v;
}

static uint64_t load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static void store(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, 8);
}

static void mask_long(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at)
{
    const uint64_t k = pattern(key, at), last = load(src + n - 8) ^ pattern(key, at + n - 8);
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        uint64_t w[WORDS];
        memcpy(w, src + i, BLOCK);
        for (int j = 0; j < WORDS; j++)
            w[j] ^= k;
        memcpy(dst + i, w, BLOCK);
    }
    for (; i + 8 <= n; i += 8)
        store(dst + i, load(src + i) ^ k);
    store(dst + n - 8, last);
}

static void mask_middle(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at)
{
    const uint64_t k = pattern(key, at), k_last = pattern(key, at + n - 4);
    uint32_t first, last, x;
    memcpy(&first, src, 4);
    memcpy(&last, src + n - 4, 4);
    memcpy(&x, &k, 4);
    first ^= x;
    memcpy(&x, &k_last, 4);
    last ^= x;
    memcpy(dst, &first, 4);
    memcpy(dst + n - 4, &last, 4);
}

void mask_apply(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at)
{
    if (n >= 8)
        mask_long(dst, src, n, key, at);
    else if (n >= 4)
        mask_middle(dst, src, n, key, at);
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = src[i] ^ key[(at + i) & 3];
}
