/* route.h: which of a listener's routes a request goes, by the path of its target.
 *
 * A pattern begins with "/" and is compared segment by segment. What a segment says literally must be the
 * path's segment with its percent-encoding taken off, so patterns are written without any; ":name" is any one
 * segment that is not empty; "*", as the last segment, is all that is left, which may be nothing: of "/a/"
 * too, but not of "/a", since "/a/" and "/a" are two paths. "%2F" is a "/" in a value and ends no segment;
 * only in the value of "*" can the two not be told apart. Dot segments are what they are: "/a/../b" is not
 * "/b", and a value may be "..": who opens files by it has to look.
 */
#ifndef EVENT_ROUTE_H
#define EVENT_ROUTE_H

#include <stddef.h>
#include <thrum/error.h>
#include <thrum/loop.h>

enum { ROUTES_MAX = 4096 };

struct routes; /* does not change once it is made: any number of threads may look things up in it */

/* Compiles the patterns of a list that ends with .path NULL, and keeps nothing of it. E_ARGUMENT: *err says
 * which pattern is wrong, or that there are over ROUTES_MAX; E_MEMORY. */
thrum_status routes_new(struct routes **out, const thrum_route *list, thrum_error *err);
void routes_free(struct routes *r); /* NULL is fine */
size_t routes_count(const struct routes *r);

enum route_answer {
    ROUTE_FOUND,
    ROUTE_NONE,     /* no pattern matches: 404 */
    ROUTE_BAD,      /* no "/" in front, a malformed percent-encoding, or one of a NUL: 400 */
    ROUTE_NO_MEMORY /* for the parameters: 503 */
};
/* The first route that matches the part of target before "?": its place in the list, and the values of its
 * parameters, to be freed with mem_free; NULL where it has none. Both are written only with ROUTE_FOUND. */
enum route_answer route_find(const struct routes *r, const char *target, size_t *index, char **params);
/* The value of the parameter ":name" or, named "*", of the rest, as bytes that need not be UTF-8. NULL: the
 * route has none of that name. index and params are those of route_find. */
const char *route_param(const struct routes *r, size_t index, const char *params, const char *name);

#endif
