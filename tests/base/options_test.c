/* options_test.c: options of programs that were built with an older or a newer header. */
#include "base/options.h"

#include "base_test.h"
#include <string.h>

struct ours {
    size_t size;
    uint64_t a, b;
};

static void test_sizes(void **state)
{
    struct ours got = {9, 9, 9};
    const struct ours same = {sizeof same, 1, 2};
    const struct {
        size_t size;
        uint64_t a;
    } older = {sizeof older, 3};
    struct {
        size_t size;
        uint64_t a, b, c;
    } newer = {sizeof newer, 4, 5, 0};
    thrum_error err;
    (void)state;
    assert_int_equal(options_read(&got, sizeof got, NULL, &err), THRUM_OK);
    assert_int_equal(got.a | got.b | got.size, 0);
    assert_int_equal(options_read(&got, sizeof got, &same, &err), THRUM_OK);
    assert_int_equal(got.b, 2);
    assert_int_equal(options_read(&got, sizeof got, &older, &err), THRUM_OK);
    assert_int_equal(got.a, 3);
    assert_int_equal(got.b, 0);
    assert_int_equal(options_read(&got, sizeof got, &newer, &err), THRUM_OK); /* it wishes nothing new */
    assert_int_equal(got.b, 5);
    newer.c = 1;
    assert_int_equal(options_read(&got, sizeof got, &newer, &err), THRUM_E_TOO_NEW);
    assert_non_null(strstr(err.text, "at byte 24"));
    for (size_t size = 0; size < 40; size++) {
        newer.size = size;
        newer.c = 0;
        if (size % 8 != 0 || size < 16)
            assert_int_equal(options_read(&got, sizeof got, &newer, NULL), THRUM_E_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
