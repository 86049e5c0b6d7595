/* sanitizer.c: what the sanitizers are to overlook in test programs; each asks for its text by name. Linked
 * into every test program as it is: from an archive nobody would fetch it. */
#define ASKED_FOR __attribute__((visibility("default")))

ASKED_FOR const char *__lsan_default_suppressions(void);
ASKED_FOR const char *__tsan_default_suppressions(void);

/* What cmocka holds by main's frame alone is out of sight once main has left by pthread_exit. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libcmocka\n";
}

/* The table of system calls, which no program but a test ever changes, is changed while the library's threads
 * read it. */
const char *__tsan_default_suppressions(void)
{
    return "race:^sys$\n";
}
