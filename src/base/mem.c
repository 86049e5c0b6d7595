/* mem.c: the hook is one pointer: NULL means the C library's calls, which are then made directly. The pointer
 * may be set by the user only before the first request, since memory of one allocator must not go back to
 * another. */
#include "base/mem.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(const struct mem_hook *) hook;
static struct mem_hook chosen; /* what mem_set_hook was given */
static _Atomic int used;       /* 1: memory was asked for, or a hook is in its place already */

/* Only the first call of a process writes: a store at each call would make the cores fight for the line. */
static const struct mem_hook *current(void)
{
    if (!atomic_load_explicit(&used, memory_order_relaxed))
        atomic_store_explicit(&used, 1, memory_order_relaxed);
    return atomic_load_explicit(&hook, memory_order_acquire);
}

void *mem_alloc(size_t n)
{
    const struct mem_hook *h = current();
    if (n == 0) /* malloc(0) may answer NULL, which here means "no memory" */
        n = 1;
    return h ? h->alloc(h->ctx, n) : malloc(n);
}

void *mem_zalloc(size_t n)
{
    const struct mem_hook *h = current();
    if (n == 0)
        n = 1;
    if (!h)
        return calloc(1, n);
    void *p = h->alloc(h->ctx, n);
    if (p)
        memset(p, 0, n);
    return p;
}

void *mem_resize(void *p, size_t n)
{
    const struct mem_hook *h = current();
    if (!p) /* so that a hook need not know this case */
        return mem_alloc(n);
    if (n == 0)
        n = 1;
    return h ? h->resize(h->ctx, p, n) : realloc(p, n);
}

void mem_free(void *p)
{
    const struct mem_hook *h = atomic_load_explicit(&hook, memory_order_acquire);
    if (!p)
        return;
    if (h)
        h->release(h->ctx, p);
    else
        free(p);
}

char *mem_copy(const void *p, size_t n)
{
    char *s = n < SIZE_MAX ? mem_alloc(n + 1) : NULL;
    if (!s)
        return NULL;
    if (n > 0)
        memcpy(s, p, n);
    s[n] = 0;
    return s;
}

char *mem_strdup(const char *s)
{
    return mem_copy(s, strlen(s));
}

int mem_set_hook(const struct mem_hook *h)
{
    int fresh = 0;
    if (!atomic_compare_exchange_strong(&used, &fresh, 1))
        return 0;
    chosen = *h;
    atomic_store_explicit(&hook, &chosen, memory_order_release);
    return 1;
}

void mem_force_hook(const struct mem_hook *h)
{
    atomic_store_explicit(&hook, h, memory_order_release);
}
