/* mem.h: all memory of the library, through the user's hook (thrum_set_memory). */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <thrum/slice.h>

/* NULL when there is no memory. n may be 0. */
void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_resize(void *p, size_t n);
void mem_free(void *p);
/* A copy with a NUL behind it. */
char *mem_copy(const void *p, size_t n);
char *mem_strdup(const char *s);

/* The hook behind thrum_set_memory: false once memory has been asked for. */
struct mem_hook {
    void *ctx;
    void *(*alloc)(void *ctx, size_t n);
    void *(*resize)(void *ctx, void *p, size_t n);
    void (*release)(void *ctx, void *p);
};
int mem_set_hook(const struct mem_hook *h);
/* For tests: replaces the hook at any time; NULL the C library's. */
void mem_force_hook(const struct mem_hook *h);

#endif
