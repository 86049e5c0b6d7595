/* clock_test.c: saturation and rounding. */
#include "base/clock.h"
#include "base_test.h"
#include <limits.h>

static void test_now_never_falls(void **state)
{
    (void)state;
    int64_t a = clock_now();
    for (int i = 0; i < 1000; i++) {
        int64_t b = clock_now();
        assert_true(b >= a);
        a = b;
    }
    assert_true(a > 0);
}

static void test_after(void **state)
{
    (void)state;
    assert_true(clock_after(5, 0) == 5);
    assert_true(clock_after(5, 3) == 5 + 3 * CLOCK_MS);
    assert_true(clock_after(5, -1) == CLOCK_NEVER);
    assert_true(clock_after(5, INT64_MIN) == CLOCK_NEVER);
    assert_true(clock_after(5, INT64_MAX) == CLOCK_NEVER);
    int64_t most = INT64_MAX / CLOCK_MS;
    assert_true(clock_after(0, most) == most * CLOCK_MS);
    assert_true(clock_after(0, most + 1) == CLOCK_NEVER);
    assert_true(clock_after(INT64_MAX - CLOCK_MS, 1) == INT64_MAX);
    assert_true(clock_after(INT64_MAX - CLOCK_MS + 1, 1) == CLOCK_NEVER);
    assert_true(clock_after(CLOCK_NEVER, 0) == CLOCK_NEVER);
    assert_true(clock_after(-5, 1) == CLOCK_MS - 5);
}

static void test_poll_ms(void **state)
{
    (void)state;
    assert_int_equal(clock_poll_ms(100, CLOCK_NEVER), -1);
    assert_int_equal(clock_poll_ms(100, 100), 0);
    assert_int_equal(clock_poll_ms(100, 99), 0);
    assert_int_equal(clock_poll_ms(100, 101), 1); /* rounded up, else a poll would wake too early */
    assert_int_equal(clock_poll_ms(100, 100 + CLOCK_MS), 1);
    assert_int_equal(clock_poll_ms(100, 101 + CLOCK_MS), 2);
    assert_int_equal(clock_poll_ms(0, INT_MAX * CLOCK_MS), INT_MAX);
    assert_int_equal(clock_poll_ms(0, INT_MAX * CLOCK_MS + 1), INT_MAX);
    assert_int_equal(clock_poll_ms(INT64_MIN, CLOCK_NEVER - 1), INT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_now_never_falls),
        cmocka_unit_test(test_after),
        cmocka_unit_test(test_poll_ms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
