/* list.h: intrusive doubly linked list; an empty list and a node that is in none point at themselves. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(l)                                                                                         \
    {                                                                                                        \
        &(l), &(l)                                                                                           \
    }
#define list_of(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define list_each(it, head)         for (struct list *it = (head)->next; it != (head); it = it->next)
/* The node may be removed in the body. */
#define list_each_safe(it, nx, head)                                                                         \
    for (struct list *it = (head)->next, *nx = it->next; it != (head); it = nx, nx = it->next)

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_push(struct list *head, struct list *n) /* at the end */
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}
static inline void list_remove(struct list *n) /* fine for a node that is in no list */
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}
/* Moves all nodes of `from` to the empty list `to`, so that a walk with callbacks is safe. */
static inline void list_move(struct list *to, struct list *from)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

#endif
