/* wire_test.h: what the tests of wire share. */
#ifndef TESTS_WIRE_WIRE_TEST_H
#define TESTS_WIRE_WIRE_TEST_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/guard.h"
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <thrum/slice.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A copy that nobody may read behind. */
static inline thrum_slice guarded(const char *s)
{
    size_t n = strlen(s);
    return (thrum_slice){guard_copy(s, n), n};
}

static inline void unguard(thrum_slice s)
{
    guard_free((uint8_t *)(uintptr_t)s.p, s.n);
}

/* Is the slice this text? NULL: the slice's pointer is NULL. */
static inline bool is_text(thrum_slice s, const char *want)
{
    if (!want)
        return s.p == NULL && s.n == 0;
    return s.p && s.n == strlen(want) && memcmp(s.p, want, s.n) == 0;
}

#endif
