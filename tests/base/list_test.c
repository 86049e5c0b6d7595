/* list_test.c: the inline list of base/list.h. */
#include "base/list.h"
#include "base_test.h"

struct item {
    int value;
    struct list link;
};

static void expect(struct list *head, const char *want)
{
    size_t n = 0;
    list_each (it, head) {
        assert_int_equal(list_of(it, struct item, link)->value, want[n]);
        assert_ptr_equal(it->next->prev, it);
        n++;
    }
    assert_int_equal(want[n], 0);
    assert_int_equal(list_empty(head), n == 0);
}

static void test_list(void **state)
{
    (void)state;
    struct list a = LIST_INIT(a), b;
    struct item i = {.value = 'i'}, j = {.value = 'j'}, k = {.value = 'k'};
    list_init(&i.link);
    list_remove(&i.link); /* in no list: fine */
    expect(&a, "");
    list_push(&a, &i.link);
    list_push(&a, &j.link);
    list_push(&a, &k.link);
    expect(&a, "ijk");
    list_remove(&j.link);
    list_remove(&j.link);
    expect(&a, "ik");
    list_move(&b, &a);
    expect(&a, "");
    expect(&b, "ik");
    list_push(&b, &j.link);
    list_each_safe (it, next, &b) {
        list_remove(it);
        list_push(&a, it);
    }
    expect(&b, "");
    expect(&a, "ikj");
    list_move(&a, &b); /* an empty one */
    expect(&a, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
