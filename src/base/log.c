/* log.c: who gets the lines is one pointer to a pair (function, argument) that is never changed once it is
 * published and never freed. So a line is handed over without a lock, which a user's function that blocks
 * would keep, and without a moment in which one's function meets the other's argument; a function that was
 * replaced may still be running for a line that came before. The pairs are a fixed pool: thrum_set_log sets
 * at most that many different ones, and a pool costs no memory that could be refused and survives a fork in
 * mid-change. */
#include "base/log.h"
#include "base/clock.h"
#include "base/text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef void log_fn(enum log_area, enum log_level, uint64_t conn, int64_t ns, const char *text, void *arg);

enum { SINKS = 64, LINE = 1024 };
enum { FREE, BEING_SET, SET };

struct sink {
    _Atomic int state;
    log_fn *fn;
    void *arg;
};

static struct sink sinks[SINKS];
static _Atomic(const struct sink *) current;

_Atomic signed char log_levels[LOG_AREAS] = {-1, -1, -1, -1, -1, -1, -1};

static const char *const areas[LOG_AREAS] = {"frame", "http", "net", "conn", "warden", "server", "loop"};
static const char *const levels[] = {"error", "warning", "info", "debug", "trace"};

const char *log_area_name(enum log_area area)
{
    return areas[area];
}

void log_write(enum log_area area, enum log_level level, uint64_t conn, const char *fmt, ...)
{
    const struct sink *to = atomic_load_explicit(&current, memory_order_acquire);
    char line[LINE];
    int kept = errno; /* a log line must not change what its caller is about to look at */
    if (!to)
        return;
    va_list ap;
    va_start(ap, fmt);
    text_vformat(line, sizeof line, fmt, ap);
    va_end(ap);
    to->fn(area, level, conn, clock_now(), line, to->arg);
    errno = kept;
}

/* ---- the filter ------------------------------------------------------------------------------------------
 */

/* Index of the word s[0..n) among `count`, spaces around it left out; -1: none. */
static int find(const char *const *words, int count, const char *s, size_t n)
{
    while (n > 0 && s[0] == ' ')
        s++, n--;
    while (n > 0 && s[n - 1] == ' ')
        n--;
    for (int i = 0; i < count; i++)
        if (strlen(words[i]) == n && memcmp(words[i], s, n) == 0)
            return i;
    return -1;
}

/* One "level" or "area=level" into wanted. */
static bool parse_item(signed char wanted[LOG_AREAS], const char *s, size_t n)
{
    const char *eq = memchr(s, '=', n);
    const char *name = eq ? eq + 1 : s;
    int level = find(levels, LOG_TRACE + 1, name, n - (size_t)(name - s));
    int area = eq ? find(areas, LOG_AREAS, s, (size_t)(eq - s)) : 0;
    if (level < 0 || area < 0)
        return false;
    if (eq)
        wanted[area] = (signed char)level;
    else
        memset(wanted, level, LOG_AREAS);
    return true;
}

static bool parse_filter(signed char wanted[LOG_AREAS], const char *filter)
{
    for (const char *s = filter;; s++) {
        size_t n = strcspn(s, ",");
        if (!parse_item(wanted, s, n))
            return false;
        s += n;
        if (!*s)
            return true;
    }
}

/* The pair's place in the pool, a new one where it is not there yet; NULL: the pool is full. */
static const struct sink *find_sink(log_fn *fn, void *arg)
{
    for (size_t i = 0; i < SINKS; i++) {
        struct sink *k = &sinks[i];
        int state = FREE;
        if (atomic_compare_exchange_strong(&k->state, &state, BEING_SET)) {
            k->fn = fn;
            k->arg = arg;
            atomic_store(&k->state, SET);
            return k;
        }
        if (state == SET && k->fn == fn && k->arg == arg)
            return k;
    }
    return NULL;
}

int log_set(log_fn *fn, void *arg, const char *filter)
{
    signed char wanted[LOG_AREAS];
    const struct sink *to = NULL;
    memset(wanted, -1, sizeof wanted);
    if (fn) {
        if (!filter || !parse_filter(wanted, filter) || !(to = find_sink(fn, arg)))
            return -1;
    }
    atomic_store_explicit(&current, to, memory_order_release);
    for (size_t i = 0; i < LOG_AREAS; i++)
        atomic_store_explicit(&log_levels[i], wanted[i], memory_order_relaxed);
    return 0;
}
