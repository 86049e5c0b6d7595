/* route.c: one block holds the routes, then all their segments, then the text of these. A request is compared
 * with one route after the other: a server has a handful, and they say by their order which is meant. */
#include "event/route.h"

#include "base/mem.h"
#include "base/text.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum kind { LITERAL, NAME, REST };
struct segment {
    enum kind kind;
    size_t n;
    const char *text; /* of a NAME without the ":"; goes on with the rest of the pattern */
};
struct route {
    const struct segment *segments;
    size_t n; /* at least one, of "/" an empty one */
};
struct routes {
    size_t n;
    struct route v[];
};

/* ---- patterns -------------------------------------------------------------------------------------------
 */

/* The segment that begins at p, up to the next "/" or the end. */
static size_t segment_length(const char *p, const char *end)
{
    const char *slash = memchr(p, '/', (size_t)(end - p));
    return (size_t)((slash ? slash : end) - p);
}

static size_t count_segments(const char *pattern)
{
    size_t n = 0;
    for (const char *p = pattern; *p; p++)
        n += *p == '/';
    return n;
}

static thrum_status check_segment(const char *pattern, const char *p, size_t n, thrum_error *err)
{
    if (memchr(p, '*', n) && (n > 1 || p[n] != 0))
        return error_set(err, THRUM_E_ARGUMENT,
                         ".routes: \"%s\": a \"*\" may only be the last segment, and the whole of it",
                         pattern);
    if (memchr(p, '?', n))
        return error_set(err, THRUM_E_ARGUMENT,
                         ".routes: \"%s\" has a \"?\": it may only be a path, without a query", pattern);
    if (*p != ':')
        return THRUM_OK;
    if (n == 1)
        return error_set(err, THRUM_E_ARGUMENT, ".routes: \"%s\" has a \":\" without a name", pattern);
    for (const char *q = pattern + 1; q < p; q += segment_length(q, p) + 1)
        if (segment_length(q, p) == n && memcmp(q, p, n) == 0)
            return error_set(err, THRUM_E_ARGUMENT, ".routes: \"%s\" has two parameters \"%.*s\"", pattern,
                             n < 100 ? (int)n : 100, p);
    return THRUM_OK;
}

static thrum_status check(const char *pattern, thrum_error *err)
{
    if (*pattern != '/')
        return error_set(err, THRUM_E_ARGUMENT, ".routes: \"%s\" does not begin with \"/\"", pattern);
    const char *end = pattern + strlen(pattern);
    for (const char *p = pattern + 1; p <= end; p += segment_length(p, end) + 1) {
        thrum_status s = check_segment(pattern, p, segment_length(p, end), err);
        if (s != THRUM_OK)
            return s;
    }
    return THRUM_OK;
}

static struct segment segment_of(const char *p, size_t n)
{
    if (n == 1 && *p == '*')
        return (struct segment){REST, n, p};
    if (n > 0 && *p == ':')
        return (struct segment){NAME, n - 1, p + 1};
    return (struct segment){LITERAL, n, p};
}

/* Copies a pattern that was checked to text, and fills a segment for each of its own. */
static void compile(struct route *r, struct segment *to, char *text, const char *pattern)
{
    size_t n = strlen(pattern);
    memcpy(text, pattern, n + 1);
    *r = (struct route){to, count_segments(pattern)};
    const char *p = text + 1, *end = text + n;
    for (size_t i = 0; i < r->n; i++) {
        to[i] = segment_of(p, segment_length(p, end));
        p += segment_length(p, end) + 1;
    }
}

thrum_status routes_new(struct routes **out, const thrum_route *list, thrum_error *err)
{
    size_t n = 0, segments = 0, bytes = 0;
    for (; list[n].path; n++) {
        if (n == ROUTES_MAX)
            return error_set(err, THRUM_E_ARGUMENT, ".routes has over %d entries: is .path NULL at its end?",
                             ROUTES_MAX);
        thrum_status s = check(list[n].path, err);
        if (s != THRUM_OK)
            return s;
        segments += count_segments(list[n].path);
        bytes += strlen(list[n].path) + 1;
    }
    struct routes *r = mem_alloc(sizeof *r + n * sizeof *r->v + segments * sizeof(struct segment) + bytes);
    if (!r)
        return error_set(err, THRUM_E_MEMORY, "no memory for the routes");
    struct segment *to = (struct segment *)(void *)(r->v + n);
    char *text = (char *)(to + segments);
    r->n = n;
    for (size_t i = 0; i < n; i++) {
        compile(&r->v[i], to, text, list[i].path);
        to += r->v[i].n;
        text += strlen(list[i].path) + 1;
    }
    *out = r;
    return THRUM_OK;
}

void routes_free(struct routes *r)
{
    mem_free(r);
}

size_t routes_count(const struct routes *r)
{
    return r->n;
}

/* ---- paths ----------------------------------------------------------------------------------------------
 */

static int hex(char c) /* -1: none */
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_path(const char *p, const char *end)
{
    if (p == end || *p != '/')
        return false;
    for (; p < end; p++) {
        if (*p != '%')
            continue;
        if (end - p < 3 || hex(p[1]) < 0 || hex(p[2]) < 0 || (p[1] == '0' && p[2] == '0'))
            return false;
        p += 2;
    }
    return true;
}

/* The next byte of what is_path has seen, decoded. */
static char take(const char **p)
{
    char c = *(*p)++;
    if (c != '%')
        return c;
    c = (char)(hex((*p)[0]) << 4 | hex((*p)[1]));
    *p += 2;
    return c;
}

static bool is_literally(const struct segment *s, const char *p, const char *end)
{
    size_t n = 0;
    while (p < end && n < s->n && take(&p) == s->text[n])
        n++;
    return p == end && n == s->n;
}

/* A walk through route and path together. Writes the values of the parameters to *out, each with a NUL;
 * NULL: only compares. */
static bool walk(const struct route *r, const char *p, const char *end, char *out)
{
    for (size_t i = 0; i < r->n; i++, p++) {
        const struct segment *s = &r->segments[i];
        if (p > end) /* the path has no segment left */
            return false;
        const char *stop = s->kind == REST ? end : p + segment_length(p, end);
        if (s->kind == NAME ? p == stop : s->kind == LITERAL && !is_literally(s, p, stop))
            return false;
        if (!out || s->kind == LITERAL) {
            p = stop;
            continue;
        }
        while (p < stop)
            *out++ = take(&p);
        *out++ = 0;
    }
    return p > end;
}

static bool has_params(const struct route *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->segments[i].kind != LITERAL)
            return true;
    return false;
}

enum route_answer route_find(const struct routes *r, const char *target, size_t *index, char **params)
{
    const char *end = target + strcspn(target, "?");
    size_t i = 0;
    char *values = NULL;
    if (!is_path(target, end))
        return ROUTE_BAD;
    while (i < r->n && !walk(&r->v[i], target + 1, end, NULL))
        i++;
    if (i == r->n)
        return ROUTE_NONE;
    if (has_params(&r->v[i])) {
        /* Enough: decoding makes nothing longer, and each NUL stands for a "/" of the path. */
        values = mem_alloc((size_t)(end - target));
        if (!values)
            return ROUTE_NO_MEMORY;
        (void)walk(&r->v[i], target + 1, end, values);
    }
    *index = i;
    *params = values;
    return ROUTE_FOUND;
}

const char *route_param(const struct routes *r, size_t index, const char *params, const char *name)
{
    const struct route *route = &r->v[index];
    for (size_t i = 0; i < route->n; i++) {
        const struct segment *s = &route->segments[i];
        if (s->kind == LITERAL)
            continue;
        if (strlen(name) == s->n && memcmp(name, s->text, s->n) == 0)
            return params;
        params += strlen(params) + 1;
    }
    return NULL;
}
