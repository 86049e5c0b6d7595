/* secret_test.c: equal is equal (R22). That the time tells nothing is read off the code, which has no early
 * way out: a timed assertion would tell of the machine. */
#include "base/secret.h"

#include "base_test.h"
#include <string.h>

static bool equal(const char *a, const char *b)
{
    return secret_equal(a, strlen(a), b, strlen(b));
}

static void test_R22_equal(void **state)
{
    (void)state;
    assert_true(equal("", ""));
    assert_true(equal("abc", "abc"));
    assert_false(equal("abc", "abd"));
    assert_false(equal("xbc", "abc"));
    assert_false(equal("ab", "abab"));
    assert_false(equal("abab", "ab"));
    assert_false(equal("", "a"));
    assert_false(equal("a", ""));
    assert_false(secret_equal("\0", 1, "", 0)); /* what stands in for an empty secret is none */
    assert_true(secret_equal("a\0b", 3, "a\0b", 3));
    assert_false(secret_equal("a\0b", 3, "a\0c", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_R22_equal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
