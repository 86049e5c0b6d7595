/* heap.c: each node knows its place, so that one in the middle can be moved or taken away without a search.
 */
#include "base/heap.h"
#include "base/mem.h"

enum { SMALLEST = 16 };

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_free(struct heap *h)
{
    for (size_t i = 0; i < h->n; i++)
        h->v[i]->place = 0;
    mem_free(h->v);
    heap_init(h);
}

static void put(struct heap *h, size_t i, struct heap_node *n)
{
    h->v[i] = n;
    n->place = i + 1;
}

/* Moves the node at i towards the root until its parent is not later. */
static void rise(struct heap *h, size_t i)
{
    struct heap_node *n = h->v[i];
    while (i > 0 && h->v[(i - 1) / 2]->at > n->at) {
        put(h, i, h->v[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, n);
}

/* Moves it away from the root until no child is earlier. */
static void sink(struct heap *h, size_t i)
{
    struct heap_node *n = h->v[i];
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->v[child + 1]->at < h->v[child]->at)
            child++;
        if (h->v[child]->at >= n->at)
            break;
        put(h, i, h->v[child]);
    }
    put(h, i, n);
}

static thrum_status grow(struct heap *h)
{
    size_t cap = h->cap ? h->cap * 2 : SMALLEST;
    struct heap_node **v =
        cap <= SIZE_MAX / sizeof *v ? mem_resize(h->v, cap * sizeof(struct heap_node *)) : NULL;
    if (!v)
        return THRUM_E_MEMORY;
    h->v = v;
    h->cap = cap;
    return THRUM_OK;
}

thrum_status heap_set(struct heap *h, struct heap_node *n, int64_t at)
{
    if (n->place == 0) {
        if (h->n == h->cap && grow(h) != THRUM_OK)
            return THRUM_E_MEMORY;
        put(h, h->n++, n);
    }
    n->at = at;
    rise(h, n->place - 1);
    sink(h, n->place - 1);
    return THRUM_OK;
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (n->place == 0)
        return;
    size_t i = n->place - 1;
    struct heap_node *last = h->v[--h->n];
    n->place = 0;
    if (last == n)
        return;
    put(h, i, last);
    rise(h, i);
    sink(h, last->place - 1);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->n > 0 ? h->v[0] : NULL;
}
