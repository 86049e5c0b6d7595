/* route_fuzz.c: lines that are patterns, and a last one that is a target. A target that is written anew, of
 * the pattern that was found and the parameters that were taken out, must find the same parameters. */
#include "base/mem.h"
#include "event/route.h"
#include "fuzz_bytes.h"

enum { PATTERNS = 16, TEXT = 4096 };

struct text {
    char p[6 * TEXT];
    size_t n;
};

static void encode(struct text *t, const char *value)
{
    for (; *value; value++) {
        (void)snprintf(t->p + t->n, 4, "%%%02x", (unsigned)(uint8_t)*value);
        t->n += 3;
    }
}

/* Goes on to the pattern's next segment: its text, or the name of its parameter. */
static bool next_segment(const char **pattern, char text[TEXT], bool *is_param)
{
    if (!**pattern)
        return false;
    size_t n = strcspn(++*pattern, "/");
    bool named = **pattern == ':';
    memcpy(text, *pattern + named, n - named);
    text[n - named] = 0;
    *is_param = named || strcmp(text, "*") == 0;
    *pattern += n;
    return true;
}

/* Each segment of the pattern, or the value that stands for it, encoded from end to end. */
static void write_anew(struct text *t, const struct routes *r, size_t index, const char *pattern,
                       const char *params)
{
    char segment[TEXT];
    bool is_param;
    for (t->n = 0; next_segment(&pattern, segment, &is_param);) {
        const char *value = is_param ? route_param(r, index, params, segment) : segment;
        MUST(value);
        t->p[t->n++] = '/';
        encode(t, value);
    }
    t->p[t->n] = 0;
}

static void same(const struct routes *r, const char *pattern, size_t index, const char *params)
{
    static struct text t;
    char name[TEXT];
    bool is_param;
    size_t again = 0;
    char *values = NULL;
    write_anew(&t, r, index, pattern, params);
    MUST(route_find(r, t.p, &again, &values) == ROUTE_FOUND);
    MUST(again <= index); /* a rest of several segments has become one, which may be an earlier route's */
    MUST(again != index || (values == NULL) == (params == NULL));
    while (again == index && next_segment(&pattern, name, &is_param))
        if (is_param)
            MUST(strcmp(route_param(r, index, params, name), route_param(r, index, values, name)) == 0);
    mem_free(values);
}

static void find(const struct routes *r, const thrum_route *list, const char *target)
{
    size_t index = SIZE_MAX;
    char *params = NULL;
    switch (route_find(r, target, &index, &params)) {
    case ROUTE_FOUND:
        MUST(index < routes_count(r));
        same(r, list[index].path, index, params);
        mem_free(params);
        break;
    case ROUTE_BAD: MUST(*target != '/' || strchr(target, '%')); break;
    default: MUST(index == SIZE_MAX && !params); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    thrum_route list[PATTERNS + 1] = {{0}};
    size_t n = 0;
    if (size >= TEXT)
        return 0;
    char *text = malloc(size + 1), *line = text;
    MUST(text);
    memcpy(text, data, size);
    text[size] = 0;
    for (char *end; n < PATTERNS && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        list[n++].path = line;
    }
    struct routes *r = NULL;
    thrum_error err;
    if (routes_new(&r, list, &err) == THRUM_OK) {
        MUST(routes_count(r) == n);
        find(r, list, line);
        routes_free(r);
    } else {
        MUST(err.status == THRUM_E_ARGUMENT && strncmp(err.text, ".routes: ", 9) == 0);
    }
    free(text);
    return 0;
}
