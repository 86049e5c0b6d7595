/* prefetch.h: memory that is read soon, asked for now. */
#ifndef BASE_PREFETCH_H
#define BASE_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

/* Of n bytes from p on, which may be any address: nothing is read. */
static inline void prefetch(const void *p, size_t n)
{
    enum { LINE = 64 };
    for (size_t at = 0; at < n; at += LINE)
        __builtin_prefetch((const void *)((uintptr_t)p + at)); /* no pointer arithmetic: p may be NULL */
}

#endif
