/* fork_test.c: the order of the handlers and who sees the generation grow. */
#include "base/fork.h"
#include "base_test.h"

static char order[8];
static int n;

static void prepare(void)
{
    order[n++] = 'p';
}

static void parent(void)
{
    order[n++] = 'P';
}

static void child(void)
{
    order[n++] = (char)('0' + atomic_load(&fork_generation)); /* it has grown before */
}

static void never(void)
{
    order[n++] = '!';
}

static void grandchild(void)
{
    CHILD_CHECK(atomic_load(&fork_generation) == 2);
    CHILD_CHECK(n == 4 && order[2] == 'p' && order[3] == '2');
}

static void in_first_child(void)
{
    CHILD_CHECK(atomic_load(&fork_generation) == 1);
    CHILD_CHECK(n == 2 && order[0] == 'p' && order[1] == '1');
    CHILD_CHECK(in_child(grandchild) == 0);
}

static void test_handlers(void **state)
{
    (void)state;
    assert_int_equal(fork_watch(prepare, parent, child), 0);
    assert_int_equal(fork_watch(never, never, never), 0); /* does nothing */
    assert_int_equal(atomic_load(&fork_generation), 0);
    assert_int_equal(in_child(in_first_child), 0);
    assert_int_equal(atomic_load(&fork_generation), 0);
    order[n] = 0;
    assert_string_equal(order, "pP");
}

static void no_handlers(void)
{
    CHILD_CHECK(atomic_load(&fork_generation) == 0);
    CHILD_CHECK(fork_watch(NULL, NULL, NULL) == 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(atomic_load(&fork_generation) == 1 ? 0 : 1);
    int status = -1;
    CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void test_without_handlers(void **state)
{
    (void)state;
    assert_int_equal(in_child(no_handlers), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_handlers), /* first: in a process where nothing is registered yet */
        cmocka_unit_test(test_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
