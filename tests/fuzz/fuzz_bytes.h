/* fuzz_bytes.h: what a fuzzer's bytes are taken apart with: settings from the front, numbers for cuts from a
 * seed. */
#ifndef TESTS_FUZZ_BYTES_H
#define TESTS_FUZZ_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/slice.h>

#define MUST(x)                                                                                              \
    do {                                                                                                     \
        if (!(x)) {                                                                                          \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* The next byte, 0 behind the end: so that a short input is as good as a long one. */
static inline uint8_t byte_of(thrum_slice *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static inline uint32_t word_of(thrum_slice *in)
{
    uint32_t w = byte_of(in);
    for (int i = 0; i < 3; i++)
        w = w << 8 | byte_of(in);
    return w;
}

static inline thrum_slice bytes_of(thrum_slice *in, size_t n)
{
    n = n < in->n ? n : in->n;
    thrum_slice s = {in->p, n};
    in->p += n;
    in->n -= n;
    return s;
}

/* From `least` to `most`. */
static inline size_t number(uint32_t *seed, size_t least, size_t most)
{
    *seed = *seed * 1664525u + 1013904223u;
    return least + (*seed >> 12) % (most - least + 1);
}

/* The size of a piece: mostly a few bytes, at times many; at least one. */
static inline size_t piece(uint32_t *seed, size_t left)
{
    size_t n = number(seed, 0, 3) == 0 ? number(seed, 1, 6000) : number(seed, 1, 9);
    return n < left ? n : left;
}

/* A block of exactly n bytes, for a sanitizer to see one too many. */
static inline uint8_t *exactly(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    MUST(copy);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

#endif
