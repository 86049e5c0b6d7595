/* sanitizer.c: what the sanitizers are to overlook in test programs; each asks for its text by name. Linked
 * into every test program as it is: from an archive nobody would fetch it. */
#define ASKED_FOR __attribute__((visibility("default")))

ASKED_FOR const char *__lsan_default_suppressions(void);
ASKED_FOR const char *__tsan_default_suppressions(void);

/* None: a frame of cmocka's is in each test's stack, so whatever a test leaked would pass for cmocka's. A
 * test whose main thread leaves by pthread_exit says otherwise (main_leaves.h): what cmocka holds by main's
 * frame alone is out of sight then. */
__attribute__((weak)) const char *__lsan_default_suppressions(void)
{
    return "";
}

/* The table of system calls, which no program but a test ever changes, is changed while the library's threads
 * read it. */
const char *__tsan_default_suppressions(void)
{
    return "race:^sys$\n";
}
