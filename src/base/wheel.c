/* wheel.c: a tick's number is read in digits of 6 bits, and a node lies on the level of the highest digit in
 * which its tick differs from the wheel's, in the slot of its own digit there. So all nodes of a level come
 * before all of the next one, no slot is ever shared by two turns of the wheel, and the first node is in the
 * lowest slot of the lowest level that has any. When the wheel gets to a slot, the slot's nodes go to lower
 * levels, or are due.
 *
 * The lists behind the last level's are those of nodes that are due, and of nodes to be due in the next run.
 * They are of the same array, so that a node that leaves any list as the last one finds that list's bit. */
#include "base/wheel.h"

#include <assert.h>

enum { DIGIT = 6, DUE = WHEEL_LEVELS * WHEEL_SLOTS, LATER, LISTS };

static_assert(1 << DIGIT == WHEEL_SLOTS, "a slot for each value of a digit");
static_assert(WHEEL_NEVER / WHEEL_TICK < INT64_C(1) << (WHEEL_LEVELS * DIGIT), "each tick has a slot");
static_assert(sizeof(struct wheel_node) == 2 * sizeof(void *) + 8, "each connection that idles has one");

static uint64_t last_tick(int64_t now)
{
    if (now > WHEEL_NEVER)
        now = WHEEL_NEVER;
    return now > 0 ? (uint64_t)(now / WHEEL_TICK) : 0;
}

/* Rounded up, as a timer is never early. */
static uint64_t tick_of(int64_t at)
{
    return at > 0 ? (uint64_t)((at + WHEEL_TICK - 1) / WHEEL_TICK) : 0;
}

void wheel_init(struct wheel *w, int64_t now)
{
    *w = (struct wheel){.tick = last_tick(now)};
    for (size_t i = 0; i < LISTS; i++)
        list_init(&w->lists[i]);
}

static void push(struct wheel *w, struct wheel_node *n, size_t list)
{
    list_push(&w->lists[list], &n->link);
    w->used[list / WHEEL_SLOTS] |= UINT64_C(1) << list % WHEEL_SLOTS;
}

static void place(struct wheel *w, struct wheel_node *n, uint64_t tick)
{
    if (tick <= w->tick) {
        push(w, n, DUE);
        return;
    }
    size_t level = (63u - (size_t)__builtin_clzll(tick ^ w->tick)) / DIGIT;
    push(w, n, level * WHEEL_SLOTS + (tick >> level * DIGIT) % WHEEL_SLOTS);
}

static void forget(struct wheel *w, size_t list)
{
    w->used[list / WHEEL_SLOTS] &= ~(UINT64_C(1) << list % WHEEL_SLOTS);
}

void wheel_cancel(struct wheel *w, struct wheel_node *n)
{
    if (!wheel_has(n))
        return;
    if (n->link.next == n->link.prev) /* the head: it was alone */
        forget(w, (size_t)(n->link.next - w->lists));
    list_remove(&n->link);
    n->link = (struct list){0};
}

void wheel_set(struct wheel *w, struct wheel_node *n, int64_t at)
{
    wheel_cancel(w, n);
    n->at = at;
    if (at >= WHEEL_NEVER)
        return;
    uint64_t tick = tick_of(at);
    if (w->running && tick <= w->run)
        push(w, n, LATER);
    else
        place(w, n, tick);
}

/* The first slot that has nodes, and the tick at which it begins. */
static bool first_slot(const struct wheel *w, size_t *slot, uint64_t *begins)
{
    for (size_t level = 0; level < WHEEL_LEVELS; level++) {
        if (w->used[level] == 0)
            continue;
        size_t i = (size_t)__builtin_ctzll(w->used[level]), shift = level * DIGIT;
        *slot = level * WHEEL_SLOTS + i;
        *begins = (w->tick >> (shift + DIGIT) << DIGIT | i) << shift;
        return true;
    }
    return false;
}

/* The wheel gets to where a slot begins. */
static void turn(struct wheel *w, size_t slot, uint64_t begins)
{
    struct list nodes;
    list_move(&nodes, &w->lists[slot]);
    forget(w, slot);
    w->tick = begins;
    list_each_safe (it, nx, &nodes) {
        struct wheel_node *n = list_of(it, struct wheel_node, link);
        place(w, n, tick_of(n->at));
    }
}

/* No slot begins between the wheel's tick and the run's, so the nodes that are in slots stay where they are.
 */
static void end_run(struct wheel *w)
{
    w->tick = w->run;
    w->running = false;
    if (list_empty(&w->lists[LATER]))
        return;
    list_move(&w->lists[DUE], &w->lists[LATER]);
    w->used[WHEEL_LEVELS] = 1; /* DUE's bit */
}

struct wheel_node *wheel_pop(struct wheel *w, int64_t now)
{
    size_t slot = 0;
    uint64_t begins = 0;
    if (!w->running) {
        w->running = true;
        w->run = last_tick(now) > w->tick ? last_tick(now) : w->tick;
    }
    while (list_empty(&w->lists[DUE])) {
        if (!first_slot(w, &slot, &begins) || begins > w->run) {
            end_run(w);
            return NULL;
        }
        turn(w, slot, begins);
    }
    struct wheel_node *n = list_of(w->lists[DUE].next, struct wheel_node, link);
    wheel_cancel(w, n);
    return n;
}

int64_t wheel_next(const struct wheel *w)
{
    size_t slot = 0;
    uint64_t begins = 0;
    if (w->used[WHEEL_LEVELS] != 0)
        return (int64_t)w->tick * WHEEL_TICK;
    return first_slot(w, &slot, &begins) ? (int64_t)begins * WHEEL_TICK : INT64_MAX;
}
