/* mask_kernel_int.h: the body of one kernel, to be included with MASK_KERNEL (its name), MASK_TARGET
 * (attributes that let the compiler use the registers) and MASK_VECTOR (their bytes) defined: the vectors are
 * the compiler's own, so that one text serves all of them.
 *
 * All blocks are stored at whole multiples of MASK_VECTOR, as a store over the edge of a cache line costs
 * two; in place, the loads are aligned as well. What is before and behind them is loaded before the loop
 * changes it in place, and stored after it, over what the loop has written the same. */
MASK_TARGET void MASK_KERNEL(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key)
{
    typedef uint32_t vector __attribute__((vector_size(MASK_VECTOR)));
    const size_t V = MASK_VECTOR;
    const vector zero = {0};
    const size_t lead = V - (uintptr_t)dst % V;
    vector first, last, w0, w1, w2, w3;
    memcpy(&first, src, V);
    memcpy(&last, src + n - V, V);
    first ^= zero + key;
    last ^= zero + mask_turn(key, n - V);

    const vector k = zero + mask_turn(key, lead);
    const uint8_t *s = src + lead;
    size_t left = n - lead;
    uint8_t *d = (uint8_t *)__builtin_assume_aligned(dst + lead, MASK_VECTOR);
    for (; left >= 4 * V; left -= 4 * V, s += 4 * V, d += 4 * V) {
        memcpy(&w0, s + 0 * V, V);
        memcpy(&w1, s + 1 * V, V);
        memcpy(&w2, s + 2 * V, V);
        memcpy(&w3, s + 3 * V, V);
        w0 ^= k;
        w1 ^= k;
        w2 ^= k;
        w3 ^= k;
        memcpy(d + 0 * V, &w0, V);
        memcpy(d + 1 * V, &w1, V);
        memcpy(d + 2 * V, &w2, V);
        memcpy(d + 3 * V, &w3, V);
    }
    for (; left >= V; left -= V, s += V, d += V) {
        memcpy(&w0, s, V);
        w0 ^= k;
        memcpy(d, &w0, V);
    }
    memcpy(dst, &first, V);
    memcpy(dst + n - V, &last, V);
}
#undef MASK_KERNEL
#undef MASK_TARGET
#undef MASK_VECTOR
