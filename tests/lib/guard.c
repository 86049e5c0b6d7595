/* guard.c: three kinds of pages in a row: forbidden, the bytes' own, forbidden. */
#include "lib/guard.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t body_size(size_t n)
{
    size_t page = page_size();
    return n == 0 ? page : (n + page - 1) / page * page;
}

uint8_t *guard_copy(const void *p, size_t n)
{
    size_t page = page_size(), body = body_size(n);
    uint8_t *m = mmap(NULL, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED || mprotect(m + page, body, PROT_READ | PROT_WRITE) != 0) {
        perror("guard_copy");
        abort();
    }
    uint8_t *copy = m + page + body - n;
    if (p && n > 0)
        memcpy(copy, p, n);
    return copy;
}

void guard_free(uint8_t *copy, size_t n)
{
    size_t page = page_size(), body = body_size(n);
    if (copy)
        munmap(copy + n - body - page, body + 2 * page);
}
