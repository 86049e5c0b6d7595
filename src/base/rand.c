/* rand.c: a page of randomness for each thread, in place, so that drawing needs no lock, no allocation and
 * mostly no system call. A child of fork has a copy of its parent's page: it is thrown away when the
 * generation has changed (conn/registry.c calls fork_watch before the first connection draws). */
#include "base/rand.h"
#include "base/fork.h"
#include "base/sys.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum { PAGE = 4096 };

struct page {
    uint8_t bytes[PAGE];
    size_t left; /* at the end of bytes */
    uint32_t generation;
};
static _Thread_local struct page page;

/* Fills all of it or fails; 0 or an errno. getrandom may be interrupted or short for what is over 256 bytes.
 */
static int fill(uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t r = sys.getrandom(p, n, 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return errno;
        if (r == 0)
            return EIO; /* it never does; but to ask for ever would be a hang */
        p += r;
        n -= (size_t)r;
    }
    return 0;
}

int rand_bytes(uint8_t *p, size_t n)
{
    uint32_t now = atomic_load_explicit(&fork_generation, memory_order_relaxed);
    if (n > PAGE)
        return fill(p, n);
    if (page.left < n || page.generation != now) {
        page.left = 0;
        int e = fill(page.bytes, PAGE);
        if (e)
            return e;
        page.left = PAGE;
        page.generation = now;
    }
    uint8_t *from = page.bytes + (PAGE - page.left);
    memcpy(p, from, n);
    explicit_bzero(from, n);
    page.left -= n;
    return 0;
}
