/* refer.c: references to URLs. The five forms that RFC 3986 section 5.2.2 tells apart, the longest first. */
#include "wire/refer.h"

#include "wire/char_int.h"
#include "wire/field.h"
#include <string.h>

struct writer {
    char *out;
    size_t cap, n;
    bool full;
};

static void put(struct writer *w, thrum_slice s)
{
    w->full |= s.n >= w->cap - w->n;
    if (w->full)
        return;
    if (s.n > 0)
        memcpy(w->out + w->n, s.p, s.n);
    w->n += s.n;
    w->out[w->n] = '\0';
}

static void put_text(struct writer *w, const char *s)
{
    put(w, field_text(s));
}

static size_t span(thrum_slice s, char end)
{
    const uint8_t *p = s.n ? memchr(s.p, end, s.n) : NULL;
    return p ? (size_t)(p - s.p) : s.n;
}

static thrum_slice from(thrum_slice s, size_t at)
{
    return (thrum_slice){s.p + at, s.n - at};
}

static bool begins(thrum_slice s, const char *with)
{
    size_t n = strlen(with);
    return s.n >= n && memcmp(s.p, with, n) == 0;
}

/* "scheme:", of letters, digits, '+', '-', '.'; 0: there is none. */
static size_t scheme_length(thrum_slice s)
{
    size_t n = 0;
    while (n < s.n && char_is_scheme(s.p[n]))
        n++;
    return n > 0 && n < s.n && s.p[n] == ':' && char_is_alpha(s.p[0]) ? n : 0;
}

static void put_authority(struct writer *w, const struct uri *base)
{
    char host[300];
    put_text(w, base->tls ? "wss://" : "ws://");
    w->full |= uri_host(base, host, sizeof host) == 0;
    if (!w->full)
        put_text(w, host);
}

/* RFC 3986 section 5.2.4, on what stands in w from `begin` on. */
static void remove_dots(struct writer *w, size_t begin)
{
    char *p = w->out + begin, *out = p;
    const char *end = w->out + w->n;
    while (p < end) { /* p is at a '/' */
        const char *next = memchr(p + 1, '/', (size_t)(end - p - 1));
        size_t n = (size_t)((next ? next : end) - p);
        bool dot = n == 2 && p[1] == '.', dots = n == 3 && p[1] == '.' && p[2] == '.';
        if (dots)
            while (out > w->out + begin && *--out != '/')
                ;
        if (!dot && !dots) {
            memmove(out, p, n);
            out += n;
        } else if (!next) {
            *out++ = '/';
        }
        p += n;
    }
    w->n = (size_t)(out - w->out);
    w->out[w->n] = '\0';
}

/* The part of a target before its query; "/" where it is empty. */
static thrum_slice path_of(const struct uri *u)
{
    thrum_slice path = {u->target.p, span(u->target, '?')};
    return path.n ? path : field_text("/");
}

static void put_target(struct writer *w, const struct uri *base, thrum_slice ref)
{
    thrum_slice query = from(ref, span(ref, '?')), path = {ref.p, span(ref, '?')}, old = path_of(base);
    size_t begin = w->n;
    if (path.n == 0) { /* the same place, another query or none */
        put(w, old);
    } else {
        if (path.p[0] != '/') {
            while (old.n > 0 && old.p[old.n - 1] != '/')
                old.n--;
            put(w, old);
        }
        put(w, path);
        if (!w->full)
            remove_dots(w, begin);
    }
    put(w, query);
}

static bool refuse(const char **why, const char *text)
{
    *why = text;
    return false;
}

bool refer_resolve(char *out, size_t cap, const struct uri *base, thrum_slice ref, const char **why)
{
    struct writer w = {out, cap, 0, cap < 2};
    ref.n = span(ref, '#');
    size_t scheme = scheme_length(ref);
    bool away = scheme > 0 || begins(ref, "//");
    if (base->local && away)
        return refuse(why, "it leads from a Unix socket to somewhere else");
    if (scheme > 0) {
        thrum_slice name = {ref.p, scheme};
        bool tls = field_equal_case(name, "https") || field_equal_case(name, "wss");
        if (!tls && !field_equal_case(name, "http") && !field_equal_case(name, "ws"))
            return refuse(why, "it leads to another scheme than http, https, ws and wss");
        put_text(&w, tls ? "wss:" : "ws:");
        put(&w, from(ref, scheme + 1));
    } else if (away) {
        put_text(&w, base->tls ? "wss:" : "ws:");
        put(&w, ref);
    } else {
        if (base->local) {
            put_text(&w, "ws+unix:");
            put(&w, base->path);
            put_text(&w, ":");
        } else {
            put_authority(&w, base);
        }
        put_target(&w, base, ref);
    }
    return w.full ? refuse(why, "it is too long") : true;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool equal_case(thrum_slice a, thrum_slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool refer_same_origin(const struct uri *a, const struct uri *b)
{
    if (a->local || b->local)
        return a->local == b->local && a->path.n == b->path.n && memcmp(a->path.p, b->path.p, a->path.n) == 0;
    return a->tls == b->tls && a->port == b->port && equal_case(a->host, b->host);
}
