/* unsent.c: see unsent.h. */
#include "block/unsent.h"

#include "base/mem.h"
#include <string.h>

void unsent_init(struct unsent *u, uint64_t most_messages, uint64_t most_bytes)
{
    *u = (struct unsent){.most_messages = most_messages, .most_bytes = most_bytes};
    list_init(&u->letters);
}

struct letter *letter_new(thrum_kind kind, const void *p, size_t n)
{
    struct letter *l = n <= SIZE_MAX - sizeof *l ? mem_alloc(sizeof *l + n) : NULL;
    if (!l)
        return NULL;
    l->kind = kind;
    l->n = n;
    if (n > 0)
        memcpy(l->data, p, n);
    return l;
}

bool unsent_may(const struct unsent *u, size_t n)
{
    return u->most_messages > 0 && n <= u->most_bytes;
}

bool unsent_fits(const struct unsent *u, size_t n)
{
    return u->messages < u->most_messages && n <= u->most_bytes && u->bytes <= u->most_bytes - n;
}

static void count(struct unsent *u, const struct letter *l)
{
    u->messages++;
    u->bytes += l->n;
}

void unsent_push(struct unsent *u, struct letter *l)
{
    list_push(&u->letters, &l->link);
    count(u, l);
}

void unsent_push_first(struct unsent *u, struct letter *l)
{
    list_push(u->letters.next, &l->link); /* before the first: at the end of a list that begins there */
    count(u, l);
}

struct letter *unsent_take(struct unsent *u)
{
    if (list_empty(&u->letters))
        return NULL;
    struct letter *l = list_of(u->letters.next, struct letter, link);
    list_remove(&l->link);
    u->messages--;
    u->bytes -= l->n;
    return l;
}
