/* set_test.c: a seeded run of adds and removes, compared after each with a plain array; walks that go on
 * while the set changes; how much memory it takes. */
#include "base/set.h"
#include "base_test.h"
#include <string.h>

enum { THINGS = 400, STEPS = 200000 };

static uint32_t seed = 12345;
static uint64_t things[THINGS];
static bool in[THINGS];

static uint32_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

static void check(const struct set *s)
{
    uint32_t n = 0, found = 0;
    for (size_t i = 0; i < THINGS; i++) {
        n += in[i];
        assert_int_equal(set_has(s, &things[i]), in[i]);
    }
    assert_int_equal(s->live, n);
    for (uint32_t i = 0; i < set_places(s); i++) {
        uint64_t *p = set_at(s, i);
        if (p)
            assert_true(in[p - things]);
        found += p != NULL;
    }
    assert_int_equal(found, n);
    uint32_t taken = 0;
    const uint32_t *table = (const void *)(s->items + (s->cap - s->cap / 4));
    for (uint32_t i = 0; i < s->cap; i++)
        taken += table[i] > 0;
    assert_int_equal(taken, s->used);
}

static void test_against_an_array(void **state)
{
    (void)state;
    struct set s = {0};
    memset(in, 0, sizeof in);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t most = i / (STEPS / 8) % 2 ? THINGS : 12; /* it grows and shrinks, and is small for long */
        size_t k = next() % THINGS;
        if (k >= most ? true : next() % 2) {
            assert_int_equal(set_remove(&s, &things[k]), in[k]);
            in[k] = false;
        } else {
            assert_int_equal(set_add(&s, &things[k]), THRUM_OK);
            in[k] = true;
        }
        if (i % 16 == 0)
            check(&s);
        assert_true(s.cap == 0 || (s.live >= s.cap / 8 && s.live <= s.used && s.used <= s.cap - s.cap / 4));
    }
    set_free(&s);
    memset(in, 0, sizeof in);
    check(&s);
}

static void test_small_things(void **state)
{
    (void)state;
    struct set s = {0};
    assert_false(set_remove(&s, &things[0]));
    assert_false(set_remove(&s, NULL));
    assert_null(set_at(&s, 0));
    counter_on();
    assert_int_equal(set_add(&s, &things[0]), THRUM_OK);
    assert_int_equal(set_add(&s, &things[0]), THRUM_OK);
    assert_int_equal(counter.asked, 0); /* one needs no memory */
    assert_true(set_has(&s, &things[0]) && !set_has(&s, &things[1]));
    assert_false(set_remove(&s, &things[1]));
    assert_true(set_remove(&s, &things[0]));
    assert_int_equal(s.live, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(set_add(&s, &things[i]), THRUM_OK);
    assert_int_equal(s.cap, 4);
    assert_false(set_remove(&s, &things[3]));
    for (size_t i = 0; i < 3; i++)
        assert_true(set_remove(&s, &things[i]));
    assert_int_equal(counter.live, 0); /* nor does none */
    mem_force_hook(NULL);
}

/* A walk sees each element that is in from its begin to its end, whatever happens to the others. */
static void test_walk(void **state)
{
    (void)state;
    for (size_t round = 0; round < 200; round++) { /* in even rounds it grows, in odd ones it shrinks */
        uint64_t *first = &things[round];
        struct set s = {0};
        bool seen[THINGS] = {0};
        for (size_t i = 0; i < 190; i++)
            assert_int_equal(set_add(&s, first + i), THRUM_OK);
        uint32_t moves = s.moves;
        for (uint32_t i = 0; i < set_places(&s); i++) {
            uint64_t *p = set_at(&s, i);
            if (p)
                seen[p - things] = true;
            size_t k = 150 + next() % 50; /* the first 10 stay */
            if (round % 2 == 0)
                assert_int_equal(set_add(&s, first + k), THRUM_OK);
            for (k = 10; i == 128 && round % 2 && k < 190; k++)
                (void)set_remove(&s, first + k);
            if (s.moves != moves) {
                moves = s.moves;
                i = UINT32_MAX;
            }
        }
        assert_true(moves > 7);
        for (size_t i = 0; i < 10; i++)
            assert_true(seen[round + i]);
        set_free(&s);
    }
}

/* Who came first is met first, also after others have gone and the memory is another. */
static void test_order(void **state)
{
    (void)state;
    struct set s = {0};
    for (size_t i = 0; i < THINGS; i++) {
        assert_int_equal(set_add(&s, &things[(i * 7) % THINGS]), THRUM_OK);
        if (i % 3 == 2)
            assert_true(set_remove(&s, &things[((i - 1) * 7) % THINGS]));
    }
    size_t next_one = 0;
    for (uint32_t i = 0; i < set_places(&s); i++) {
        if (!set_at(&s, i))
            continue;
        assert_ptr_equal(set_at(&s, i), &things[(next_one * 7) % THINGS]);
        next_one += next_one % 3 == 0 && next_one + 1 < THINGS ? 2 : 1;
    }
    assert_int_equal(next_one, THINGS);
    set_free(&s);
}

/* One after the other is added and the oldest removed: the table does not grow, and is seldom made anew. */
static void test_going_round(void **state)
{
    (void)state;
    struct set s = {0};
    for (size_t i = 0; i < 12; i++) /* as many as 16 places take */
        assert_int_equal(set_add(&s, &things[i]), THRUM_OK);
    assert_int_equal(s.cap, 16);
    uint32_t moves = s.moves;
    for (size_t i = 12; i < 10000; i++) {
        assert_true(set_remove(&s, &things[(i - 12) % THINGS]));
        assert_int_equal(set_add(&s, &things[i % THINGS]), THRUM_OK);
    }
    assert_true(s.cap <= 32);
    assert_in_range(s.moves - moves, 0, 10000 / 8);
    set_free(&s);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct set s = {0};
    memset(in, 0, sizeof in);
    counter_on();
    int refused = 0;
    for (size_t i = 0; i < THINGS; i++) {
        counter.refuse_from = 0;
        in[i] = set_add(&s, &things[i]) == THRUM_OK;
        check(&s);
        counter.refuse_from = -1;
        refused += !in[i];
        in[i] = true;
        assert_int_equal(set_add(&s, &things[i]), THRUM_OK);
    }
    assert_int_equal(refused, 9); /* behind 1, and behind three quarters of 4, 8 ... 512 */
    uint32_t cap = s.cap;
    counter.refuse_from = 0;
    for (size_t i = 1; i < THINGS; i++) {
        assert_true(set_remove(&s, &things[i]));
        in[i] = false;
    }
    assert_int_equal(s.cap, cap); /* it could not become smaller */
    check(&s);
    counter.refuse_from = -1;
    assert_true(set_remove(&s, &things[0]));
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_an_array),
        cmocka_unit_test(test_small_things),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_going_round),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
