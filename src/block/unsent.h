/* unsent.h: messages that wait for a connection, oldest first, within limits. */
#ifndef BLOCK_UNSENT_H
#define BLOCK_UNSENT_H

#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/thrum.h>

struct letter {
    struct list link;
    thrum_kind kind;
    size_t n;
    uint8_t data[];
};
struct unsent {
    struct list letters;
    uint64_t messages, bytes, most_messages, most_bytes;
};
void unsent_init(struct unsent *u, uint64_t most_messages, uint64_t most_bytes);
struct letter *letter_new(thrum_kind kind, const void *p, size_t n); /* NULL: no memory. mem_free frees it */
/* Could it ever hold a message of n bytes; is there room for one now? */
bool unsent_may(const struct unsent *u, size_t n);
bool unsent_fits(const struct unsent *u, size_t n);
void unsent_push(struct unsent *u, struct letter *l);
void unsent_push_first(struct unsent *u, struct letter *l);
struct letter *unsent_take(struct unsent *u); /* the oldest; NULL: none */

#endif
