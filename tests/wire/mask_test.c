/* mask_test.c: against the definition, byte by byte, for all small sizes, offsets and alignments. */
#include "base/cpu.h"
#include "wire/mask.h"
#include "wire_test.h"

enum { MOST = 150, ROOM = 8 + MOST + 8 };
static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

static void naive(uint8_t *dst, const uint8_t *src, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] ^ key[(at + i) % 4];
}

static void one(size_t n, size_t align_dst, size_t align_src, uint64_t at)
{
    _Alignas(64) uint8_t src[ROOM], dst[ROOM], want[ROOM];
    for (size_t i = 0; i < ROOM; i++) {
        src[i] = (uint8_t)(i * 37 + n);
        want[i] = dst[i] = 0xee;
    }
    naive(want + align_dst, src + align_src, n, at);
    mask_apply(dst + align_dst, src + align_src, n, key, at);
    assert_memory_equal(dst, want, ROOM); /* nor is anything beside it touched */
}

static void in_place(size_t n, size_t align, uint64_t at)
{
    _Alignas(64) uint8_t p[ROOM], want[ROOM];
    for (size_t i = 0; i < ROOM; i++)
        want[i] = p[i] = (uint8_t)(i * 37 + n);
    naive(want + align, want + align, n, at);
    mask_apply(p + align, p + align, n, key, at);
    assert_memory_equal(p, want, ROOM);
    mask_copy(want + (align + 3) % 8, p + align, n);
    assert_memory_equal(want + (align + 3) % 8, p + align, n);
    if (at == 0) { /* masked twice it is as it was */
        mask_here(p + align, n, key);
        for (size_t i = 0; i < ROOM; i++)
            assert_int_equal(p[i], (uint8_t)(i * 37 + n));
    }
}

static void test_all_small(void **state)
{
    (void)state;
    for (size_t n = 0; n <= MOST; n++)
        for (size_t align = 0; align < 8; align++)
            for (uint64_t at = 0; at < 8; at++) {
                one(n, align, (align * 3 + n) % 8, at);
                one(n, (align * 5 + n) % 8, align, at);
                in_place(n, align, at);
            }
}

static void test_ends_of_pages(void **state)
{
    (void)state;
    for (size_t n = 0; n <= MOST; n++) {
        uint8_t text[MOST], want[MOST];
        memset(text, 'a', sizeof text);
        naive(want, text, n, 3);
        uint8_t *src = guard_copy(text, n), *dst = guard_copy(NULL, n);
        mask_apply(dst, src, n, key, 3);
        assert_memory_equal(dst, want, n);
        mask_apply(src, src, n, key, 3);
        assert_memory_equal(src, want, n);
        guard_free(src, n);
        guard_free(dst, n);
    }
    mask_apply(NULL, NULL, 0, key, 0);
}

static void test_pieces(void **state)
{
    (void)state;
    enum { N = 100 };
    uint8_t text[N], want[N], got[N];
    const uint64_t far = UINT64_MAX - 50; /* the offset may be any */
    for (size_t i = 0; i < N; i++)
        text[i] = (uint8_t)i;
    naive(want, text, N, far);
    for (size_t a = 0; a <= N; a++) { /* two cuts: each piece goes on where the one before ended */
        for (size_t b = a; b <= N; b += 7) {
            mask_apply(got, text, a, key, far);
            mask_apply(got + a, text + a, b - a, key, far + a);
            mask_apply(got + b, text + b, N - b, key, far + b);
            assert_memory_equal(got, want, N);
        }
    }
}

static void test_rfc_example(void **state)
{
    (void)state;
    uint8_t p[5] = {0x7f, 0x9f, 0x4d, 0x51, 0x58}; /* section 5.7 */
    mask_apply(p, p, 5, key, 0);
    assert_memory_equal(p, "Hello", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_small),
        cmocka_unit_test(test_ends_of_pages),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_rfc_example),
    };
    int failed = 0;
    for (enum cpu_level level = CPU_PORTABLE; level < CPU_LEVELS; level++)
        if (cpu_use(level))
            failed += cmocka_run_group_tests_name(cpu_name(level), tests, NULL, NULL);
    return failed;
}
