/* room.c: see room.h. */
#include "room.h"

#include <stdlib.h>
#include <string.h>

static struct room *rooms;
static unsigned count;
static unsigned long clock_of_leaving;

/* ---- history ----------------------------------------------------------------------------------------------
 */

static void drop(struct room *r, struct entry **at)
{
    struct entry *e = *at;
    *at = e->next;
    if (!e->next)
        r->end = at;
    r->bytes -= e->n;
    free(e);
}

bool room_remember(struct room *r, unsigned from, unsigned long stroke, const char *text, size_t n)
{
    struct entry *e = malloc(sizeof *e + n);
    if (!e)
        return false;
    *e = (struct entry){.from = from, .stroke = stroke, .n = n};
    memcpy(e->text, text, n);
    *r->end = e;
    r->end = &e->next;
    r->bytes += n;
    while (r->bytes > HISTORY_BYTES)
        drop(r, &r->first);
    return true;
}

static void forget(struct room *r, unsigned from, unsigned long stroke)
{
    for (struct entry **at = &r->first; *at;)
        if ((*at)->stroke != 0 && (from == 0 || ((*at)->from == from && (*at)->stroke == stroke)))
            drop(r, at);
        else
            at = &(*at)->next;
}

unsigned long room_undo(struct room *r, unsigned from)
{
    unsigned long last = 0;
    for (const struct entry *e = r->first; e; e = e->next)
        if (e->from == from && e->stroke != 0)
            last = e->stroke;
    if (last != 0)
        forget(r, from, last);
    return last;
}

void room_clear(struct room *r)
{
    forget(r, 0, 0);
}

/* ---- rooms ------------------------------------------------------------------------------------------------
 */

static void room_free(struct room *r)
{
    while (r->first)
        drop(r, &r->first);
    for (struct person *p = r->people, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    free(r);
    count--;
}

void rooms_free(void)
{
    while (rooms) {
        struct room *r = rooms;
        rooms = r->next;
        room_free(r);
    }
}

bool room_name_is_good(const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == '*') /* "*" at the end would be many topics */
            return false;
    return n > 0 && n <= ROOM_NAME_BYTES;
}

static struct room *look_for(const char *name)
{
    for (struct room *r = rooms; r; r = r->next)
        if (strcmp(r->topic, name) == 0)
            return r;
    return NULL;
}

/* The place of the room that has been empty for longest; NULL: somebody is in each. */
static struct room **longest_empty(void)
{
    struct room **found = NULL;
    for (struct room **at = &rooms; *at; at = &(*at)->next)
        if ((*at)->there == 0 && (!found || (*at)->left < (*found)->left))
            found = at;
    return found;
}

struct room *room_find(const char *name)
{
    struct room *r = look_for(name), **old = count < ROOMS_MAX ? NULL : longest_empty();
    if (r || (count >= ROOMS_MAX && !old))
        return r;
    if (old) {
        struct room *gone = *old;
        *old = gone->next;
        room_free(gone);
    }
    const size_t n = strlen(name) + 1;
    r = calloc(1, sizeof *r + n);
    if (!r)
        return NULL;
    memcpy(r->topic, name, n);
    r->end = &r->first;
    r->next = rooms;
    r->left = ++clock_of_leaving;
    rooms = r;
    count++;
    return r;
}

bool room_is_full(const char *name)
{
    const struct room *r = look_for(name);
    return r ? r->there >= PEOPLE_MAX : count >= ROOMS_MAX && !longest_empty();
}

/* ---- people -----------------------------------------------------------------------------------------------
 */

/* The first colour that nobody here has. */
static unsigned colour_for(const struct room *r, unsigned id)
{
    unsigned taken = 0;
    for (const struct person *p = r->people; p; p = p->next)
        taken |= p->conn ? 1u << p->colour : 0;
    for (unsigned c = 1; c < COLOURS; c++)
        if (!(taken & 1u << c))
            return c;
    return 1 + id % (COLOURS - 1);
}

/* Makes room among those who are only remembered. False: all are here. */
static bool make_place(struct room *r)
{
    unsigned known = 0;
    for (const struct person *p = r->people; p; p = p->next)
        known++;
    if (known < PEOPLE_MAX)
        return true;
    for (struct person **at = &r->people; *at; at = &(*at)->next)
        if (!(*at)->conn) {
            struct person *p = *at;
            *at = p->next;
            free(p);
            return true;
        }
    return false;
}

struct person *room_enter(struct room *r, const char *token)
{
    struct person **at = &r->people;
    for (; *at; at = &(*at)->next)
        if (strcmp((*at)->token, token) == 0)
            return *at;
    if (!make_place(r))
        return NULL;
    struct person *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    for (at = &r->people; *at; at = &(*at)->next)
        continue;
    *at = p;
    p->id = ++r->ids;
    p->colour = colour_for(r, p->id);
    memcpy(p->token, token, TOKEN_LEN);
    return p;
}

void room_seat(struct room *r, struct person *p, thrum_conn *c)
{
    if (!p->conn && c)
        r->there++;
    if (p->conn && !c && --r->there == 0)
        r->left = ++clock_of_leaving;
    p->conn = c;
}

/* No longer than it may be, and without half a character at its end; controls could only confuse. */
void person_rename(struct person *p, const char *name)
{
    size_t n = strnlen(name, NAME_BYTES + 1);
    if (n > NAME_BYTES)
        for (n = NAME_BYTES; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80;)
            n--;
    for (size_t i = 0; i < n; i++)
        p->name[i] = (unsigned char)name[i] < ' ' ? ' ' : name[i];
    p->name[n] = '\0';
    if (n == 0)
        memcpy(p->name, "somebody", sizeof "somebody");
}
