/* cpu_test.c: the environment only ever lowers the level; what it is read by is tried in children. */
#include "base/cpu.h"
#include "base_test.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first answer of a process in which THRUM_CPU is this (NULL: not set). */
static enum cpu_level with(const char *wanted)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (wanted ? setenv("THRUM_CPU", wanted, 1) : unsetenv("THRUM_CPU"))
            _exit(CPU_LEVELS);
        atomic_store(&cpu_known, -1); /* as in a process that has just begun */
        enum cpu_level first = cpu_level();
        unsetenv("THRUM_CPU"); /* is read once */
        bool kept = cpu_level() == first && atomic_load(&cpu_known) == (int)first;
        _exit(kept ? (int)first : CPU_LEVELS);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < CPU_LEVELS);
    return (enum cpu_level)WEXITSTATUS(status);
}

static enum cpu_level best(void)
{
    int level = CPU_LEVELS - 1;
    while (!cpu_has((enum cpu_level)level))
        level--;
    return (enum cpu_level)level;
}

static void test_environment(void **state)
{
    (void)state;
    assert_true(cpu_has(CPU_PORTABLE));
    assert_int_equal(with(NULL), best());
    for (int level = 0; level < CPU_LEVELS; level++) { /* what the machine has not does not raise it */
        bool has = cpu_has((enum cpu_level)level);
        assert_int_equal(with(cpu_name((enum cpu_level)level)), has ? (enum cpu_level)level : best());
    }
    const char *const none[] = {"", "AVX2", "avx", "avx2 ", "portablenot", "1"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(with(none[i]), best());
}

static void test_order(void **state)
{
    (void)state;
    if (cpu_has(CPU_AVX512))
        assert_true(cpu_has(CPU_AVX2));
    if (cpu_has(CPU_AVX2))
        assert_true(cpu_has(CPU_SSSE3));
    assert_false(cpu_has(CPU_SSSE3) && cpu_has(CPU_NEON));
}

static void test_use(void **state)
{
    (void)state;
    for (int level = 0; level < CPU_LEVELS; level++) {
        enum cpu_level before = cpu_level();
        bool has = cpu_has((enum cpu_level)level);
        assert_int_equal(cpu_use((enum cpu_level)level), has);
        assert_int_equal(cpu_level(), has ? (enum cpu_level)level : before);
        assert_int_equal(cpu_find(), cpu_level()); /* a late one keeps what has been set */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
