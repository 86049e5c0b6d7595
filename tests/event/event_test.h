/* event_test.h: what the tests of the event room's values share: a memory hook that counts and refuses. */
#ifndef TESTS_EVENT_EVENT_TEST_H
#define TESTS_EVENT_EVENT_TEST_H

#include "base/mem.h"
/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct counter {
    long live, bytes; /* blocks and bytes that are out */
    long refuse_from; /* the how manieth request from now on is refused, and all later; -1 none */
};
static struct counter counter = {.refuse_from = -1};

static inline bool counter_refuses(void)
{
    if (counter.refuse_from > 0) {
        counter.refuse_from--;
        return false;
    }
    return counter.refuse_from == 0;
}

/* The size stands before the block. */
static inline void *counter_alloc(void *ctx, size_t n)
{
    (void)ctx;
    size_t *p = counter_refuses() ? NULL : malloc(2 * sizeof(size_t) + n);
    if (!p)
        return NULL;
    *p = n;
    counter.live++;
    counter.bytes += (long)n;
    return p + 2;
}

static inline void counter_release(void *ctx, void *p)
{
    (void)ctx;
    size_t *block = (size_t *)p - 2;
    counter.live--;
    counter.bytes -= (long)*block;
    free(block);
}

static inline void *counter_resize(void *ctx, void *p, size_t n)
{
    void *to = counter_alloc(ctx, n);
    if (!to)
        return NULL;
    size_t had = *((size_t *)p - 2);
    memcpy(to, p, had < n ? had : n);
    counter_release(ctx, p);
    return to;
}

static inline void counter_on(void)
{
    static const struct mem_hook hook = {NULL, counter_alloc, counter_resize, counter_release};
    mem_force_hook(&hook);
    counter = (struct counter){.refuse_from = -1};
}

#endif
