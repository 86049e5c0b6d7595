/* utf8_kernel_int.h: the body of one kernel, to be included with these defined: */
/* clang-format off */
/*   UTF8_NAME(x)        x with the kernel's suffix       UTF8_TARGET       attributes that let the compiler use it
 *   UTF8_VECTOR         bytes of a vector, up to 64      UTF8_PAIR(a, b)   faults of b behind a, by the tables
 *   UTF8_LESS(a, b)     a - b, or 0 where b is more      UTF8_BACK(v, u, k)  k bytes earlier than v; u is before v
 *   UTF8_HIGH(v)        has v a byte over 127?           UTF8_SOME(v)      has v one that is not 0?
 */
/* clang-format on */
typedef uint8_t UTF8_NAME(vector) __attribute__((vector_size(UTF8_VECTOR)));

/* Not 0 in the bytes of v that are wrong, given those before. */
UTF8_TARGET static inline UTF8_NAME(vector) UTF8_NAME(faults)(UTF8_NAME(vector) v, UTF8_NAME(vector) u)
{
    typedef UTF8_NAME(vector) vector;
    const vector pair = (vector)UTF8_PAIR((vector)UTF8_BACK(v, u, 1), v);
    /* Bit 7 where a third or fourth byte must be, which is where two continuations are right. */
    const vector zero = {0};
    const vector third = (vector)UTF8_LESS(UTF8_BACK(v, u, 2), zero + (0xe0 - 0x80));
    const vector fourth = (vector)UTF8_LESS(UTF8_BACK(v, u, 3), zero + (0xf0 - 0x80));
    return pair ^ ((third | fourth) & 0x80);
}

UTF8_TARGET static inline UTF8_NAME(vector) UTF8_NAME(load)(const uint8_t *p)
{
    UTF8_NAME(vector) v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Is something wrong in the 64 bytes at p, behind the vector u? */
UTF8_TARGET static inline bool UTF8_NAME(wrong)(const uint8_t *p, UTF8_NAME(vector) u)
{
    const size_t V = UTF8_VECTOR;
    UTF8_NAME(vector) v = UTF8_NAME(load)(p), f = UTF8_NAME(faults)(v, u);
    for (size_t i = V; i < 64; i += V) {
        u = v;
        v = UTF8_NAME(load)(p + i);
        f |= UTF8_NAME(faults)(v, u);
    }
    return UTF8_SOME(f);
}

/* Are all of the 64 bytes at p ASCII? */
UTF8_TARGET static inline bool UTF8_NAME(ascii)(const uint8_t *p)
{
    const size_t V = UTF8_VECTOR;
    UTF8_NAME(vector) all = UTF8_NAME(load)(p);
    for (size_t i = V; i < 64; i += V)
        all |= UTF8_NAME(load)(p + i);
    return !UTF8_HIGH(all);
}

/* Moves i over blocks of ASCII. */
UTF8_TARGET static inline size_t UTF8_NAME(skip)(const uint8_t *p, size_t i, size_t n)
{
    const size_t V = UTF8_VECTOR;
    for (; n - i >= 4 * V; i += 4 * V) {
        const UTF8_NAME(vector) a = UTF8_NAME(load)(p + i), b = UTF8_NAME(load)(p + i + V);
        const UTF8_NAME(vector) c = UTF8_NAME(load)(p + i + 2 * V), d = UTF8_NAME(load)(p + i + 3 * V);
        if (UTF8_HIGH(a | b | c | d))
            break;
    }
    return i;
}

/* Goes on at i, behind the vector u; apart, so that what is all ASCII pays for none of it. */
UTF8_TARGET static __attribute__((noinline)) size_t UTF8_NAME(mixed)(const uint8_t *p, size_t i, size_t n,
                                                                     uint8_t before)
{
    const size_t V = UTF8_VECTOR;
    const UTF8_NAME(vector) zero = {0};
    UTF8_NAME(vector) u = zero;
    u[V - 1] = before;
    while (n - i >= 64) {
        if (UTF8_NAME(ascii)(p +
                             i)) { /* right unless a character is open; u stays: it ends with a whole one */
            if (i == 0 ? before != 0 : utf8_cut(p, i) > 0)
                return i - utf8_cut(p, i);
            i = UTF8_NAME(skip)(p, i + 64, n);
            continue;
        }
        if (UTF8_NAME(wrong)(p + i, u))
            return i - utf8_cut(p, i);
        u = UTF8_NAME(load)(p + i + 64 - V);
        i += 64;
    }
    /* The rest, without what is cut off, as if ASCII came behind it: so whatever is open there is a fault. */
    const size_t end = n - utf8_cut(p, n);
    if (end <= i)
        return i - utf8_cut(p, i);
    uint8_t rest[64] = {0};
    memcpy(rest, p + i, end - i);
    return UTF8_NAME(wrong)(rest, u) ? i - utf8_cut(p, i) : end;
}

UTF8_TARGET size_t UTF8_NAME(utf8)(const uint8_t *p, size_t n, uint8_t before)
{
    size_t i = before == 0 ? UTF8_NAME(skip)(p, 0, n) : 0;
    if (before == 0) {
        while (n - i >= 64 && UTF8_NAME(ascii)(p + i))
            i += 64;
        if (n - i < 64 && UTF8_NAME(ascii)(p + n - 64))
            return n;
    }
    return UTF8_NAME(mixed)(p, i, n, before);
}
#undef UTF8_NAME
#undef UTF8_TARGET
#undef UTF8_VECTOR
#undef UTF8_PAIR
#undef UTF8_LESS
#undef UTF8_BACK
#undef UTF8_HIGH
#undef UTF8_SOME
