/* mem_test.c: the hook, before and after memory was asked for, and what the calls promise beside it. */
#include "base/mem.h"
#include "base_test.h"
#include <string.h>

static const struct mem_hook hook = {&counter, counter_alloc, counter_resize, counter_release};

static void hook_first(void)
{
    CHILD_CHECK(mem_set_hook(&hook));
    CHILD_CHECK(!mem_set_hook(&hook)); /* memory may have come from the first one already */
    void *p = mem_alloc(10);
    CHILD_CHECK(p && atomic_load(&counter.live) == 1);
    mem_free(p);
    CHILD_CHECK(atomic_load(&counter.live) == 0);
}

static void hook_late(void)
{
    void *p = mem_alloc(1);
    CHILD_CHECK(p && !mem_set_hook(&hook));
    mem_free(p);
    CHILD_CHECK(atomic_load(&counter.asked) == 0 && atomic_load(&counter.live) == 0);
}

static void test_hook_is_taken_before_the_first_request_only(void **state)
{
    (void)state; /* in children: each needs a process that has not asked for memory */
    assert_int_equal(in_child(hook_first), 0);
    assert_int_equal(in_child(hook_late), 0);
}

static void use_all(void)
{
    uint8_t *p = mem_zalloc(100);
    assert_non_null(p);
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    memset(p, 7, 100);
    p = mem_resize(p, 5000);
    assert_non_null(p);
    assert_int_equal(p[99], 7);
    p = mem_resize(p, 0);
    assert_non_null(p);
    mem_free(p);
    assert_non_null(p = mem_resize(NULL, 8));
    mem_free(p);
    assert_non_null(p = mem_alloc(0));
    mem_free(p);
    assert_non_null(p = mem_zalloc(0));
    mem_free(p);
    mem_free(NULL);
    char *s = mem_copy("a\0b", 3);
    assert_memory_equal(s, "a\0b", 4);
    mem_free(s);
    assert_string_equal(s = mem_copy(NULL, 0), "");
    mem_free(s);
    assert_string_equal(s = mem_strdup("abc"), "abc");
    mem_free(s);
}

static void test_calls_with_and_without_hook(void **state)
{
    (void)state;
    use_all();
    assert_int_equal(counter.asked, 0);
    counter_on();
    use_all();
    assert_true(counter.asked >= 8);
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

static void test_refused(void **state)
{
    (void)state;
    counter_on();
    void *p = mem_alloc(8);
    counter.refuse_from = 0;
    assert_null(mem_alloc(1));
    assert_null(mem_zalloc(1));
    assert_null(mem_resize(NULL, 1));
    assert_null(mem_resize(p, 100));
    assert_null(mem_copy("a", 1));
    assert_null(mem_strdup("a"));
    counter.refuse_from = -1;
    assert_null(mem_copy("a", SIZE_MAX)); /* no room for the NUL */
    mem_free(p);
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hook_is_taken_before_the_first_request_only), /* first: see there */
        cmocka_unit_test(test_calls_with_and_without_hook),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
