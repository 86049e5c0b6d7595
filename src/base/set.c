/* set.c: the elements in an array, in the order in which they came, and a table of their places (open
 * addressing): who walks over many goes through memory the way it was allocated. What is removed leaves a
 * hole, which is a mark in the table too, so that no other element moves until both are made anew: when the
 * array is full, holes included, or under an eighth. Both need as many steps before they come again as there
 * are places. */
#include "base/set.h"
#include "base/mem.h"

enum { SMALLEST = 4 };

/* A quarter of the table is free, so that a search ends soon. */
static uint32_t room_of(const struct set *s)
{
    return s->cap - s->cap / 4;
}

/* Of places in items, from 1; 0 nothing. It is in the same memory, behind them. */
static uint32_t *table_of(const struct set *s)
{
    return (uint32_t *)(void *)(s->items + room_of(s));
}

static uint32_t start(const struct set *s, const void *p)
{
    uint64_t h = (uint64_t)(uintptr_t)p * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32) & (s->cap - 1);
}

/* The place of p, or cap. */
static uint32_t find(const struct set *s, const void *p)
{
    if (s->cap == 0)
        return 0;
    const uint32_t *table = table_of(s);
    for (uint32_t i = start(s, p); table[i] > 0; i = (i + 1) & (s->cap - 1))
        if (s->items[table[i] - 1] == p)
            return table[i] - 1;
    return s->cap;
}

/* There is room, and p is not in. */
static void put(struct set *s, void *p)
{
    uint32_t i = start(s, p), *table = table_of(s);
    while (table[i] > 0)
        i = (i + 1) & (s->cap - 1);
    s->items[s->used++] = p;
    table[i] = s->used;
    s->live++;
}

static thrum_status make_anew(struct set *s, uint32_t cap)
{
    struct set to = {.cap = cap, .moves = s->moves + 1};
    to.items = cap > 0 ? mem_zalloc(room_of(&to) * sizeof(void *) + cap * sizeof(uint32_t)) : NULL;
    if (!to.items)
        return THRUM_E_MEMORY;
    for (uint32_t i = 0; i < set_places(s); i++) {
        void *p = set_at(s, i);
        if (p)
            put(&to, p);
    }
    if (s->cap > 0)
        mem_free(s->items);
    *s = to;
    return THRUM_OK;
}

void set_free(struct set *s)
{
    if (s->cap > 0)
        mem_free(s->items);
    *s = (struct set){.moves = s->moves + 1};
}

bool set_has(const struct set *s, const void *p)
{
    return s->cap > 0 ? find(s, p) < s->cap : s->one == p;
}

/* The table after the next element, where there are too many elements and holes for this one. */
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
    if (s->used == room_of(s) && make_anew(s, larger(s)) != THRUM_OK)
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
    s->items[find(s, p)] = NULL;
    s->live--;
    if (s->live < s->cap / 8)
        (void)make_anew(s, s->cap / 4); /* without memory it stays as large as it is */
    return true;
}

uint32_t set_places(const struct set *s)
{
    return s->cap > 0 ? s->used : 1;
}

void *set_at(const struct set *s, uint32_t i)
{
    return s->cap > 0 ? s->items[i] : s->one;
}
