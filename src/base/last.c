/* last.c: see last.h. */
#include "base/last.h"
#include "base/clock.h"
#include "base/thread.h"

enum {
    SLOW_MS = 100,   /* how often it counts once nobody would announce the last one's end */
    QUICK_COUNTS = 7 /* after an announcement, 1, 2, 4 ... ms apart: the thread needs a moment to be gone */
};

void last_begin(struct last *l)
{
    l->counts = 1;
    l->at = 0;
}

void last_announced(struct last *l, int64_t now)
{
    l->counts = QUICK_COUNTS;
    l->at = now;
}

bool last_look(struct last *l, int64_t now)
{
    if (now < l->at || (l->counts == 0 && !l->slow))
        return false;
    struct thread_census n = thread_count();
    if (n.known && n.application == 0)
        return true;
    if (n.known) { /* else as before: there may be no memory just now */
        l->slow = n.main_gone || n.entered == 0;
        l->background = n.background;
    }
    int64_t gap = SLOW_MS;
    if (l->counts > 0)
        gap = INT64_C(1) << (QUICK_COUNTS - l->counts--);
    l->at = clock_after(now, gap);
    return false;
}

int64_t last_next(const struct last *l)
{
    return l->counts > 0 || l->slow ? l->at : CLOCK_NEVER;
}

bool last_must(const struct last *l, int own)
{
    return l->counts > 0 || (l->slow && (thread_library_count() > own || l->background > 0));
}
