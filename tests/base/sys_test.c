/* sys_test.c: the table has no hole, the working copy begins as the real one, and the wrappers do what they
 * say. */
#include "base/sys.h"
#include "base_test.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void test_table(void **state)
{
    (void)state;
    void *entries[sizeof(struct sys) / sizeof(void *)];
    assert_memory_equal(&sys, &sys_real, sizeof sys);
    memcpy(entries, &sys_real, sizeof entries);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        assert_non_null(entries[i]);
}

static void test_flags(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(pipe(p), 0);
    int flags = sys.get_flags(p[0]);
    assert_true(flags >= 0 && !(flags & O_NONBLOCK));
    assert_int_equal(sys.set_flags(p[0], flags | O_NONBLOCK), 0);
    assert_true(fcntl(p[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(fcntl(p[0], F_GETFD), 0);
    assert_int_equal(sys.set_cloexec(p[0]), 0);
    assert_int_equal(fcntl(p[0], F_GETFD), FD_CLOEXEC);
    int copy = sys.dup(p[1]);
    assert_true(copy >= 0 && copy != p[1]);
    assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
    close(copy);
    close(p[0]);
    close(p[1]);
    assert_int_equal(sys.get_flags(p[0]), -1);
    assert_int_equal(sys.set_flags(p[0], 0), -1);
    assert_int_equal(sys.set_cloexec(p[0]), -1);
    assert_int_equal(sys.dup(p[0]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_flags)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
