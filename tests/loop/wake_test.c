/* Twin of src/loop/wake.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sys.h"
#include "loop/wake_int.h"
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>

static struct wake w;

static bool readable(int ms)
{
    struct pollfd p = {.fd = w.fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

static int set_up(void **state)
{
    (void)state;
    return wake_open(&w);
}

static int tear_down(void **state)
{
    (void)state;
    wake_close(&w);
    wake_close(&w); /* again: fine */
    return 0;
}

static void taken_once(void **state)
{
    (void)state;
    assert_false(readable(0));
    assert_false(wake_take(&w)); /* does not wait */
    wake_up(&w);
    wake_up(&w);
    assert_true(readable(0));
    assert_true(wake_take(&w));
    assert_false(readable(0));
    assert_false(wake_take(&w));
}

static void a_nudge_is_no_wake(void **state)
{
    (void)state;
    wake_nudge(&w);
    assert_true(readable(0));
    assert_false(wake_take(&w));
    wake_nudge(&w);
    wake_up(&w);
    assert_true(wake_take(&w));
    assert_false(readable(0));
}

static int signals;
static ssize_t read_interrupted(int fd, void *p, size_t n)
{
    if (signals-- <= 0)
        return sys_real.read(fd, p, n);
    errno = EINTR;
    return -1;
}
static ssize_t write_interrupted(int fd, const void *p, size_t n)
{
    if (signals-- <= 0)
        return sys_real.write(fd, p, n);
    errno = EINTR;
    return -1;
}

static void signals_do_not_lose_it(void **state)
{
    (void)state;
    sys.read = read_interrupted;
    sys.write = write_interrupted;
    signals = 2;
    errno = 5;
    wake_up(&w);
    assert_int_equal(errno, 5);
    assert_true(readable(0));
    signals = 2;
    assert_true(wake_take(&w));
    assert_false(readable(0));
    sys = sys_real;
}

/* Every step of the waker is seen by a wait that follows it: with a lost wake this ends in a wait without
 * end. */
enum { STEPS = 20000 };
static atomic_int step;
static void *wake_often(void *arg)
{
    (void)arg;
    for (int i = 1; i <= STEPS; i++) {
        atomic_store(&step, i);
        wake_up(&w);
    }
    return NULL;
}

static void no_wake_is_lost(void **state)
{
    pthread_t t;
    (void)state;
    assert_int_equal(pthread_create(&t, NULL, wake_often, NULL), 0);
    while (atomic_load(&step) < STEPS) {
        assert_true(readable(20000));
        wake_take(&w);
    }
    pthread_join(t, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(taken_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_nudge_is_no_wake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(signals_do_not_lose_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_wake_is_lost, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
