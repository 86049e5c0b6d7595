/* siphash_test.c: the example of the paper (appendix A) and values of the authors' reference code; pieces
 * against the whole. */
#include "base/siphash.h"
#include "base_test.h"

static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static uint64_t hash(const void *p, size_t n)
{
    struct siphash s;
    siphash_init(&s, key);
    siphash_add(&s, p, n);
    return siphash_value(&s);
}

static void test_known(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint64_t hash;
    } v[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)}, {63, UINT64_C(0x958a324ceb064572)},
    };
    uint8_t in[64];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        assert_true(hash(in, v[i].n) == v[i].hash);
}

static void test_pieces(void **state)
{
    (void)state;
    uint8_t in[300];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * i * 7);
    for (size_t step = 1; step < 20; step++) {
        struct siphash s;
        siphash_init(&s, key);
        for (size_t i = 0; i + step <= sizeof in; i += step) {
            assert_true(siphash_value(&s) == hash(in, i)); /* and does not disturb what follows */
            siphash_add(&s, in + i, step);
        }
    }
    assert_true(hash(in, 256) != hash(in, 0));
}

static void test_the_key_counts(void **state)
{
    (void)state;
    struct siphash s;
    for (size_t i = 0; i < sizeof key; i++) {
        uint8_t other[16];
        for (size_t k = 0; k < sizeof key; k++)
            other[k] = (uint8_t)(key[k] ^ (k == i ? 0x80 : 0));
        siphash_init(&s, other);
        siphash_add(&s, "x", 1);
        assert_true(siphash_value(&s) != hash("x", 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_the_key_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
