/* main_leaves.h: for a test of which some process's main thread leaves by pthread_exit: what cmocka holds by
 * main's frame alone is out of sight then, and would pass for a leak. It blinds the leak checker for all of
 * the program, see sanitizer.c. */
#ifndef TESTS_LIB_MAIN_LEAVES_H
#define TESTS_LIB_MAIN_LEAVES_H

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcmocka\n";
}

#endif
