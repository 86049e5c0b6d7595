/* heap.h: binary heap of deadlines, intrusive: arming, moving and taking away cost log n and no system call.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <thrum/status.h>

struct heap_node {
    int64_t at;
    size_t place; /* index + 1; 0: in no heap */
};
struct heap {
    struct heap_node **v;
    size_t n, cap;
};

void heap_init(struct heap *h);
void heap_free(struct heap *h);
/* Puts the node in, or moves it to its new time. E_MEMORY: it is where it was. */
thrum_status heap_set(struct heap *h, struct heap_node *n, int64_t at);
void heap_remove(struct heap *h, struct heap_node *n); /* fine for one that is in no heap */
struct heap_node *heap_first(const struct heap *h);    /* NULL when empty */

#endif
