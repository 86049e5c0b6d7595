/* set.c: open addressing. What is removed leaves a mark, so that no other element moves, until the table is
 * made anew: at three quarters full, marks included, or under an eighth. Both need as many steps before they
 * come again as the table has places. */
#include "base/set.h"
#include "base/mem.h"

enum { SMALLEST = 4 };

static const char dead; /* its address is the mark */

static uint32_t start(const struct set *s, const void *p)
{
    uint64_t h = (uint64_t)(uintptr_t)p * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32) & (s->cap - 1);
}

/* The place of p, or cap. */
static uint32_t find(const struct set *s, const void *p)
{
    uint32_t i = s->cap > 0 ? start(s, p) : 0;
    for (uint32_t left = s->cap; left > 0 && s->slots[i]; left--, i = (i + 1) & (s->cap - 1))
        if (s->slots[i] == p)
            return i;
    return s->cap;
}

static bool is_free(const void *p)
{
    return !p || p == &dead;
}

/* There is room, and p is not in. */
static void put(struct set *s, void *p)
{
    uint32_t i = start(s, p);
    while (!is_free(s->slots[i]))
        i = (i + 1) & (s->cap - 1);
    s->dead -= s->slots[i] != NULL;
    s->slots[i] = p;
    s->live++;
}

static thrum_status make_anew(struct set *s, uint32_t cap)
{
    struct set to = {.cap = cap, .moves = s->moves + 1};
    to.slots = cap > 0 ? mem_zalloc(cap * sizeof(void *)) : NULL;
    if (!to.slots)
        return THRUM_E_MEMORY;
    for (uint32_t i = 0; i < set_places(s); i++) {
        void *p = set_at(s, i);
        if (p)
            put(&to, p);
    }
    if (s->cap > 0)
        mem_free(s->slots);
    *s = to;
    return THRUM_OK;
}

void set_free(struct set *s)
{
    if (s->cap > 0)
        mem_free(s->slots);
    *s = (struct set){.moves = s->moves + 1};
}

bool set_has(const struct set *s, const void *p)
{
    return s->cap > 0 ? find(s, p) < s->cap : s->one == p;
}

/* The table after the next element, where there are too many elements and marks for this one. */
static uint32_t larger(const struct set *s)
{
    if (s->cap == 0)
        return SMALLEST;
    return s->live + 1 > s->cap / 2 ? s->cap * 2 : s->cap; /* 0 once 2^31 are too few */
}

thrum_status set_add(struct set *s, void *p)
{
    if (set_has(s, p))
        return THRUM_OK;
    if (s->live == 0 && s->cap == 0) {
        s->one = p;
        s->live = 1;
        return THRUM_OK;
    }
    if (s->live + s->dead + 1 > s->cap - s->cap / 4 && make_anew(s, larger(s)) != THRUM_OK)
        return THRUM_E_MEMORY;
    put(s, p);
    return THRUM_OK;
}

bool set_remove(struct set *s, const void *p)
{
    if (!p || !set_has(s, p))
        return false;
    if (s->live == 1) {
        set_free(s);
        return true;
    }
    uint32_t i = find(s, p);
    bool last = !s->slots[(i + 1) & (s->cap - 1)]; /* no search goes over it: it needs no mark */
    s->slots[i] = last ? NULL : (void *)(uintptr_t)&dead;
    s->dead += !last;
    s->live--;
    if (s->live < s->cap / 8)
        (void)make_anew(s, s->cap / 4); /* without memory it stays as large as it is */
    return true;
}

uint32_t set_places(const struct set *s)
{
    return s->cap > 0 ? s->cap : 1;
}

void *set_at(const struct set *s, uint32_t i)
{
    if (s->cap == 0)
        return s->one;
    return is_free(s->slots[i]) ? NULL : s->slots[i];
}
