/* set.h: a set of pointers that keeps their order; 13 to 27 bytes for each (up to 80 once most have been
 * removed), or none at all while there is one only. Adding, removing and asking cost the same however many
 * there are. */
#ifndef BASE_SET_H
#define BASE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/status.h>

struct set { /* all zero: empty */
    union {
        void *one; /* while cap is 0; NULL none */
        void **items;
    };
    uint32_t cap, used, live; /* places in the table, places in items that were filled, elements */
    uint32_t moves;           /* see set_at */
};

void set_free(struct set *s); /* it is empty then, and usable */
bool set_has(const struct set *s, const void *p);
/* p is not NULL. Again: THRUM_OK. E_MEMORY: the set is as it was. */
thrum_status set_add(struct set *s, void *p);
bool set_remove(struct set *s, const void *p); /* false: it was not in */
/* A walk: the element at place i of set_places, or NULL; who came first is met first. Others keep their
 * places while elements are added and removed, unless that changes .moves: then they may be anywhere. */
uint32_t set_places(const struct set *s);
void *set_at(const struct set *s, uint32_t i);

#endif
