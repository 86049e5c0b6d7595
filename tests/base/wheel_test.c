/* wheel_test.c: a seeded run of sets, moves, cancels and runs, compared with a plain array; the edges of
 * ticks and levels; what is done to nodes in the midst of a run. */
#include "base/wheel.h"
#include "base/clock.h"
#include "base_test.h"
#include <string.h>

enum { NODES = 300, STEPS = 30000 };

static uint64_t seed = 88172645463325252u;

static uint64_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

/* From a nanosecond to years, each order of magnitude as often as any other. */
static int64_t span(void)
{
    return (int64_t)(next() >> (next() % 44 + 8 + 3));
}

static int64_t pop_time(int64_t at) /* the first `now` at which a node that was set to `at` comes */
{
    return at <= 0 ? 0 : (at + WHEEL_TICK - 1) / WHEEL_TICK * WHEEL_TICK;
}

static struct wheel w;
static struct wheel_node v[NODES];
static int64_t model[NODES]; /* -1: in none */

static int64_t first_of_model(void)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < NODES; i++)
        if (model[i] >= 0 && pop_time(model[i]) < first)
            first = pop_time(model[i]);
    return first;
}

static void random_set(int64_t now)
{
    size_t i = next() % NODES;
    if (next() % 4 == 0) {
        wheel_cancel(&w, &v[i]);
        model[i] = -1;
    } else {
        int64_t at = next() % 8 == 0 ? now - span() : now + span();
        wheel_set(&w, &v[i], at);
        model[i] = at >= WHEEL_NEVER ? -1 : at < 0 ? 0 : at;
    }
    assert_int_equal(wheel_has(&v[i]), model[i] >= 0);
}

static void run(int64_t now)
{
    int64_t last = -1;
    for (struct wheel_node *n; (n = wheel_pop(&w, now));) {
        size_t i = (size_t)(n - v);
        assert_true(model[i] >= 0 && pop_time(model[i]) <= now && !wheel_has(n));
        assert_true(n->at == model[i] || (n->at < 0 && model[i] == 0));
        if (pop_time(model[i]) > last) /* nodes that were past when they were set come as they were set */
            last = pop_time(model[i]);
        model[i] = -1;
    }
    assert_true(first_of_model() > now);
}

static void test_against_an_array(void **state)
{
    (void)state;
    int64_t now = 1000 * CLOCK_MS;
    wheel_init(&w, now);
    memset(model, -1, sizeof model);
    for (int i = 0; i < STEPS; i++) {
        random_set(now);
        int64_t at = wheel_next(&w), first = first_of_model();
        if (first > now)
            assert_true(at <= first);
        else
            assert_true(at <= now);
        assert_int_equal(at == INT64_MAX, first == INT64_MAX);
        if (next() % 3 == 0) {
            now += next() % 2 ? span() >> 12 : (int64_t)(next() % 3) * WHEEL_TICK;
            run(now);
            assert_true(wheel_next(&w) > now);
        }
    }
    run(WHEEL_NEVER);
    assert_int_equal(wheel_next(&w), INT64_MAX);
}

/* Waits as a loop does, to the time of wheel_next and no longer: not more often than once a level. */
static void test_no_busy_wakes(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        int64_t now = span();
        struct wheel_node n = {0};
        wheel_init(&w, now);
        int64_t at = now + span();
        wheel_set(&w, &n, at);
        int wakes = 0;
        for (struct wheel_node *got = NULL; !got; wakes++) {
            assert_in_range(wakes, 0, WHEEL_LEVELS);
            int64_t then = wheel_next(&w);
            assert_true(then <= pop_time(at));
            if (then > now) {
                assert_null(wheel_pop(&w, then - 1));
                now = then;
            }
            got = wheel_pop(&w, now);
            assert_true(!got || got == &n);
        }
        assert_true(now >= at && now - at < WHEEL_TICK);
    }
}

static void test_edges_of_ticks(void **state)
{
    (void)state;
    struct wheel_node n = {0};
    wheel_init(&w, 0);
    for (uint64_t shift = 0; shift < 42; shift++)
        for (int64_t by = -1; by <= 1; by++) {
            int64_t at = (INT64_C(1) << shift) * WHEEL_TICK + by;
            wheel_init(&w, 0);
            wheel_set(&w, &n, at);
            assert_null(wheel_pop(&w, pop_time(at) - 1));
            assert_ptr_equal(wheel_pop(&w, pop_time(at)), &n);
            assert_null(wheel_pop(&w, pop_time(at)));
        }
    wheel_init(&w, 5 * WHEEL_TICK);
    wheel_set(&w, &n, 6 * WHEEL_TICK);
    assert_int_equal(wheel_next(&w), 6 * WHEEL_TICK);
    wheel_set(&w, &n, 6 * WHEEL_TICK + 1);
    assert_int_equal(wheel_next(&w), 7 * WHEEL_TICK);
    wheel_set(&w, &n, 5 * WHEEL_TICK); /* over: at once, and so is what is before all time */
    assert_true(wheel_next(&w) <= 5 * WHEEL_TICK);
    assert_ptr_equal(wheel_pop(&w, 5 * WHEEL_TICK), &n);
    assert_null(wheel_pop(&w, 5 * WHEEL_TICK));
    wheel_set(&w, &n, INT64_MIN);
    assert_ptr_equal(wheel_pop(&w, 0), &n); /* nor does a clock that goes back hold it up */
    assert_int_equal(n.at, INT64_MIN);
}

static void test_never(void **state)
{
    (void)state;
    struct wheel_node n = {0};
    wheel_init(&w, -1);
    wheel_cancel(&w, &n);
    wheel_set(&w, &n, WHEEL_NEVER - 1);
    assert_true(wheel_has(&n));
    assert_null(wheel_pop(&w, WHEEL_NEVER - WHEEL_TICK));
    assert_true(wheel_has(&n) && wheel_next(&w) <= WHEEL_NEVER);
    wheel_set(&w, &n, WHEEL_NEVER);
    assert_false(wheel_has(&n));
    wheel_set(&w, &n, CLOCK_NEVER);
    assert_false(wheel_has(&n));
    assert_int_equal(wheel_next(&w), INT64_MAX);
    wheel_set(&w, &n, WHEEL_NEVER - 1);
    assert_ptr_equal(wheel_pop(&w, INT64_MAX), &n);
    wheel_init(&w, INT64_MAX);
    wheel_set(&w, &n, WHEEL_NEVER - 1);
    assert_ptr_equal(wheel_pop(&w, INT64_MAX), &n);
}

static void test_order(void **state)
{
    (void)state;
    wheel_init(&w, 0);
    for (int64_t i = 0; i < NODES; i++) /* 7 and NODES have no common factor: all times, in disorder */
        wheel_set(&w, &v[i], (i * 7 % NODES) * 100 * CLOCK_MS);
    for (int64_t i = 0; i < NODES; i++)
        assert_int_equal(wheel_pop(&w, 3600000 * CLOCK_MS)->at, i * 100 * CLOCK_MS);
    assert_null(wheel_pop(&w, 3600000 * CLOCK_MS));
}

/* A run ends though each callback sets its node again, to now, to the past or to what has been passed. */
static void test_in_the_midst_of_a_run(void **state)
{
    (void)state;
    int64_t now = 500 * CLOCK_MS;
    wheel_init(&w, 0);
    for (int64_t i = 0; i < NODES; i++)
        wheel_set(&w, &v[i], i * CLOCK_MS);
    int popped = 0, again = 0;
    for (struct wheel_node *n; (n = wheel_pop(&w, now + popped * CLOCK_MS)); popped++) {
        wheel_set(&w, n, popped % 2 ? now - 3 * CLOCK_MS : n->at + 2 * CLOCK_MS);
        wheel_cancel(&w, &v[NODES - 1]); /* one that would be due later in this run */
    }
    assert_int_equal(popped, NODES - 1);
    assert_true(wheel_next(&w) <= now);
    wheel_cancel(&w, &v[0]);              /* of those that wait for the next run; */
    wheel_set(&w, &v[1], now + CLOCK_MS); /* moved out of it, */
    wheel_set(&w, &v[NODES - 1], 0);      /* into it */
    for (struct wheel_node *n; (n = wheel_pop(&w, now)); again++)
        assert_ptr_not_equal(n, &v[1]);
    assert_int_equal(again, NODES - 2);
    assert_int_equal(wheel_next(&w), pop_time(now + CLOCK_MS));
    assert_ptr_equal(wheel_pop(&w, now + 3 * CLOCK_MS), &v[1]);
    assert_null(wheel_pop(&w, now + 3 * CLOCK_MS));
    assert_int_equal(wheel_next(&w), INT64_MAX);
}

/* A callback that sets its node to the time of the run itself, on a clock that stands or goes back. */
static void test_again_and_again(void **state)
{
    (void)state;
    struct wheel_node n = {0};
    wheel_init(&w, 90 * WHEEL_TICK);
    for (int64_t now = 100 * WHEEL_TICK; now >= 80 * WHEEL_TICK; now -= WHEEL_TICK) {
        wheel_set(&w, &n, now);
        assert_ptr_equal(wheel_pop(&w, now), &n);
        wheel_set(&w, &n, now / WHEEL_TICK % 2 ? now : 100 * WHEEL_TICK);
        assert_null(wheel_pop(&w, now));
        assert_ptr_equal(wheel_pop(&w, now), &n);
        assert_null(wheel_pop(&w, now));
    }
    assert_null(wheel_pop(&w, 1000000 * WHEEL_TICK)); /* time goes on for an empty wheel too: */
    wheel_set(&w, &n, 1000005 * WHEEL_TICK);          /* this one is on the lowest level */
    assert_int_equal(wheel_next(&w), 1000005 * WHEEL_TICK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_an_array),
        cmocka_unit_test(test_no_busy_wakes),
        cmocka_unit_test(test_edges_of_ticks),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_in_the_midst_of_a_run),
        cmocka_unit_test(test_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
