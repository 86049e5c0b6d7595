/* room.h: rooms of the board: who is in, what was drawn and said. Nothing in here sends anything. */
#ifndef ROOM_H
#define ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <thrum/thrum.h>

enum {
    ROOMS_MAX = 200,
    PEOPLE_MAX = 64,          /* of one room, those who may come again included */
    HISTORY_BYTES = 1 << 20,  /* of one room: the oldest goes first */
    MESSAGE_BYTES = 8 * 1024, /* of one message of the page's */
    TEXT_BYTES = MESSAGE_BYTES + 256,
    ROOM_NAME_BYTES = 48,
    NAME_BYTES = 32,
    TOKEN_LEN = 16,
    COLOURS = 8 /* 0 is ink, the others are people's, too */
};

/* Somebody who is in a room, or was and may come again: then with the same token, and c NULL meanwhile. */
struct person {
    struct person *next;
    thrum_conn *conn;
    unsigned id, colour;
    char token[TOKEN_LEN + 1], name[NAME_BYTES + 1];
};

/* One message of the history, as it was told. */
struct entry {
    struct entry *next;
    unsigned from;
    unsigned long stroke; /* 0: it was said, not drawn */
    size_t n;
    char text[];
};

struct room {
    struct room *next;
    struct person *people; /* in the order of their ids */
    struct entry *first, **end;
    size_t bytes;        /* of the history */
    unsigned ids, there; /* given; here now */
    unsigned long left;  /* when it fell empty, as a count */
    char topic[];        /* its name */
};

bool room_name_is_good(const char *name);
struct room *room_find(const char *name); /* makes it; NULL: no memory, or too many rooms that are in use */
bool room_is_full(const char *name);      /* room_find, or room_enter then, would find no place */
void rooms_free(void);

/* NULL: full, or no memory. The person may have a connection already, which this one replaces. */
struct person *room_enter(struct room *r, const char *token);
void room_seat(struct room *r, struct person *p, thrum_conn *c); /* NULL: has left */
void person_rename(struct person *p, const char *name);

bool room_remember(struct room *r, unsigned from, unsigned long stroke, const char *text, size_t n);
unsigned long room_undo(struct room *r, unsigned from); /* forgets their last stroke; 0: there is none */
void room_clear(struct room *r);                        /* what was drawn; what was said stays */

#endif
