/* unsent_test.c: an outbox keeps order and limits. */
#include "block/unsent.h"

#include "base/mem.h"
#include "block_test.h"

static void push(struct unsent *u, const char *text)
{
    struct letter *l = letter_new(THRUM_TEXT, text, strlen(text));
    assert_non_null(l);
    unsent_push(u, l);
}
static void takes(struct unsent *u, const char *text)
{
    struct letter *l = unsent_take(u);
    assert_non_null(l);
    assert_int_equal(l->n, strlen(text));
    assert_memory_equal(l->data, text, l->n);
    assert_int_equal(l->kind, THRUM_TEXT);
    mem_free(l);
}

static void test_order(void **state)
{
    struct unsent u;
    (void)state;
    unsent_init(&u, 10, 100);
    assert_null(unsent_take(&u));
    push(&u, "one");
    push(&u, "");
    push(&u, "three");
    assert_int_equal(u.messages, 3);
    assert_int_equal(u.bytes, 8);
    takes(&u, "one");
    struct letter *l = letter_new(THRUM_TEXT, "again", 5); /* it could not be sent after all */
    unsent_push_first(&u, l);
    takes(&u, "again");
    takes(&u, "");
    takes(&u, "three");
    unsent_push_first(&u, letter_new(THRUM_TEXT, "only", 4));
    takes(&u, "only");
    assert_int_equal(u.messages, 0);
    assert_int_equal(u.bytes, 0);
}

static void test_limits(void **state)
{
    struct unsent u;
    (void)state;
    unsent_init(&u, 2, 10);
    assert_true(unsent_may(&u, 10) && unsent_fits(&u, 10));
    assert_false(unsent_may(&u, 11) || unsent_fits(&u, 11));
    push(&u, "123456");
    assert_true(unsent_fits(&u, 4));
    assert_false(unsent_fits(&u, 5));
    push(&u, "");
    assert_false(unsent_fits(&u, 0)); /* two are enough */
    takes(&u, "123456");
    takes(&u, "");
    unsent_init(&u, 0, 0);
    assert_false(unsent_may(&u, 0));
    assert_null(letter_new(THRUM_TEXT, "x", SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
