/* Twin of src/loop/alarm.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/sys.h"
#include "loop/alarm_int.h"
#include <cmocka.h>
#include <errno.h>
#include <poll.h>

enum { LONG_MS = 20000 };

static struct alarm a;

static int set_up(void **state)
{
    (void)state;
    alarm_init(&a);
    return alarm_open(&a);
}

static int tear_down(void **state)
{
    (void)state;
    sys = sys_real;
    alarm_close(&a);
    return a.fd == -1 ? 0 : -1;
}

static bool rings(int ms)
{
    struct pollfd q = {.fd = a.fd, .events = POLLIN};
    return poll(&q, 1, ms) == 1;
}

static void it_rings_once(void **state)
{
    (void)state;
    assert_int_equal(alarm_open(&a), 0); /* again: the same */
    assert_false(rings(0));
    assert_int_equal(alarm_set(&a, clock_now() + 5 * CLOCK_MS), 0);
    assert_true(rings(LONG_MS));
    alarm_take(&a);
    assert_true(a.at == CLOCK_NEVER);
    assert_false(rings(0));
}

static void a_time_gone_by_rings_at_once(void **state)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, 1, 1000 * CLOCK_MS};
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        assert_int_equal(alarm_set(&a, times[i]), 0);
        assert_true(rings(LONG_MS));
        alarm_take(&a);
    }
}

static void it_can_be_taken_back(void **state)
{
    (void)state;
    assert_int_equal(alarm_set(&a, 1), 0);
    assert_true(rings(LONG_MS));
    assert_int_equal(alarm_set(&a, CLOCK_NEVER), 0); /* also when it rings already */
    assert_false(rings(0));
    assert_int_equal(alarm_set(&a, CLOCK_NEVER - 1), 0); /* in some 292 years */
    assert_false(rings(0));
}

/* Who saw it ring looks after it was set to another time: that stands. */
static void taken_too_late(void **state)
{
    const int64_t later = clock_now() + LONG_MS * CLOCK_MS;
    (void)state;
    assert_int_equal(alarm_set(&a, 1), 0);
    assert_true(rings(LONG_MS));
    assert_int_equal(alarm_set(&a, later), 0);
    alarm_take(&a);
    assert_true(a.at == later);
}

static int calls, refusal;
static int refused_create(int clock, int flags)
{
    (void)clock;
    (void)flags;
    errno = refusal;
    return -1;
}
static int counted_settime(int fd, int flags, const struct itimerspec *t, struct itimerspec *old)
{
    calls++;
    if (refusal == 0)
        return sys_real.timerfd_settime(fd, flags, t, old);
    errno = refusal;
    return -1;
}

static void no_call_for_the_same_time(void **state)
{
    const int64_t at = clock_now() + LONG_MS * CLOCK_MS;
    (void)state;
    sys.timerfd_settime = counted_settime;
    calls = refusal = 0;
    assert_int_equal(alarm_set(&a, CLOCK_NEVER), 0);
    assert_int_equal(calls, 0);
    assert_int_equal(alarm_set(&a, at), 0);
    assert_int_equal(alarm_set(&a, at), 0);
    assert_int_equal(calls, 1);
}

static void refused(void **state)
{
    (void)state;
    sys.timerfd_settime = counted_settime;
    refusal = ENOMEM;
    assert_int_equal(alarm_set(&a, 1), ENOMEM);
    refusal = 0;
    assert_int_equal(alarm_set(&a, 1), 0); /* not taken for done */
    assert_true(rings(LONG_MS));
    alarm_close(&a);
    sys.timerfd_create = refused_create;
    refusal = EMFILE;
    assert_int_equal(alarm_open(&a), EMFILE);
    assert_int_equal(a.fd, -1);
}

#define CHECK(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK(it_rings_once),  CHECK(a_time_gone_by_rings_at_once), CHECK(it_can_be_taken_back),
        CHECK(taken_too_late), CHECK(no_call_for_the_same_time),    CHECK(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
