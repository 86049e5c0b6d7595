/* heap_test.c: a seeded run of sets, moves and removals, compared after each step with a plain array that is
 * searched from end to end. */
#include "base/heap.h"
#include "base_test.h"

enum { NODES = 200, STEPS = 20000 };

static uint32_t seed = 12345;

static uint32_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

static int64_t earliest(const struct heap_node *v, size_t *n)
{
    int64_t at = INT64_MAX;
    *n = 0;
    for (int i = 0; i < NODES; i++) {
        if (v[i].place == 0)
            continue;
        ++*n;
        if (v[i].at < at)
            at = v[i].at;
    }
    return at;
}

static void check(const struct heap *h, const struct heap_node *v)
{
    size_t n;
    int64_t at = earliest(v, &n);
    assert_int_equal(h->n, n);
    for (size_t i = 0; i < h->n; i++)
        assert_int_equal(h->v[i]->place, i + 1);
    if (n == 0)
        assert_null(heap_first(h));
    else
        assert_int_equal(heap_first(h)->at, at);
}

static void test_against_an_array(void **state)
{
    (void)state;
    struct heap h;
    struct heap_node v[NODES] = {0};
    heap_init(&h);
    for (int i = 0; i < STEPS; i++) {
        struct heap_node *n = &v[next() % NODES];
        if (next() % 3 == 0) {
            heap_remove(&h, n);
            assert_int_equal(n->place, 0);
        } else {
            int64_t at = next() % 50; /* few values: many are equal */
            assert_int_equal(heap_set(&h, n, at), THRUM_OK);
            assert_int_equal(n->at, at);
        }
        check(&h, v);
    }
    int64_t last = INT64_MIN;
    for (struct heap_node *n; (n = heap_first(&h));) {
        assert_true(n->at >= last);
        last = n->at;
        heap_remove(&h, n);
        check(&h, v);
    }
    heap_free(&h);
}

static void test_small_things(void **state)
{
    (void)state;
    struct heap h;
    struct heap_node a = {0}, b = {0};
    heap_init(&h);
    assert_null(heap_first(&h));
    heap_remove(&h, &a);
    assert_int_equal(heap_set(&h, &a, INT64_MAX), THRUM_OK);
    assert_int_equal(heap_set(&h, &b, INT64_MIN), THRUM_OK);
    assert_ptr_equal(heap_first(&h), &b);
    assert_int_equal(heap_set(&h, &b, INT64_MAX), THRUM_OK);
    assert_int_equal(heap_set(&h, &a, 0), THRUM_OK);
    assert_ptr_equal(heap_first(&h), &a);
    heap_free(&h);
    assert_int_equal(a.place + b.place, 0); /* and can go into another heap */
    assert_null(heap_first(&h));
    heap_free(&h);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct heap h;
    struct heap_node v[NODES] = {0};
    int in = 0;
    counter_on();
    heap_init(&h);
    counter.refuse_from = 1;
    while (in < NODES && heap_set(&h, &v[in], 100 - in) == THRUM_OK)
        in++;
    assert_in_range(in, 1, NODES - 1);
    assert_int_equal(v[in].place, 0);
    assert_int_equal(v[in].at, 0);
    check(&h, v);
    assert_int_equal(heap_set(&h, &v[0], -500), THRUM_OK); /* to move one needs no memory */
    assert_ptr_equal(heap_first(&h), &v[0]);
    counter.refuse_from = -1;
    assert_int_equal(heap_set(&h, &v[in], 7), THRUM_OK);
    check(&h, v);
    heap_free(&h);
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_an_array),
        cmocka_unit_test(test_small_things),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
