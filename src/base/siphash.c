/* siphash.c: see siphash.h. */
#include "base/siphash.h"

static uint64_t word(const uint8_t *p) /* little endian */
{
    uint64_t w = 0;
    for (int i = 7; i >= 0; i--)
        w = w << 8 | p[i];
    return w;
}

static uint64_t turn(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void rounds(uint64_t v[4], int n)
{
    while (n-- > 0) {
        v[0] += v[1];
        v[1] = turn(v[1], 13) ^ v[0];
        v[0] = turn(v[0], 32);
        v[2] += v[3];
        v[3] = turn(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = turn(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = turn(v[1], 17) ^ v[2];
        v[2] = turn(v[2], 32);
    }
}

static void add_word(uint64_t v[4], uint64_t w)
{
    v[3] ^= w;
    rounds(v, 2);
    v[0] ^= w;
}

void siphash_init(struct siphash *s, const uint8_t key[16])
{
    uint64_t a = word(key), b = word(key + 8);
    *s = (struct siphash){.v = {a ^ UINT64_C(0x736f6d6570736575), b ^ UINT64_C(0x646f72616e646f6d),
                                a ^ UINT64_C(0x6c7967656e657261), b ^ UINT64_C(0x7465646279746573)}};
}

void siphash_add(struct siphash *s, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        s->tail |= (uint64_t)b[i] << 8 * (s->n & 7u);
        if ((++s->n & 7u) != 0)
            continue;
        add_word(s->v, s->tail);
        s->tail = 0;
    }
}

uint64_t siphash_value(const struct siphash *s)
{
    uint64_t v[4] = {s->v[0], s->v[1], s->v[2], s->v[3]};
    add_word(v, s->tail | (uint64_t)s->n << 56);
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
