/* last.c: see last.h. */
#include "base/last.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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

/* ---- a thread for it
 * ------------------------------------------------------------------------------------------------- */

static struct {
    struct lock lock;
    bool runs, announced;
} watch = {.lock = LOCK_INIT};

/* False: the thread may go. */
static bool take_note(struct last *l, int64_t now)
{
    lock_take(&watch.lock);
    if (watch.announced)
        last_announced(l, now);
    watch.announced = false;
    watch.runs = last_must(l, 1);
    bool runs = watch.runs;
    lock_give(&watch.lock);
    return runs;
}

static void sleep_until(int64_t at)
{
    const struct timespec t = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void watch_main(void *arg)
{
    struct last l = {0};
    (void)arg;
    for (int64_t now = clock_now(); take_note(&l, now); now = clock_now()) {
        while (atomic_load(&exit_begun))
            pause();
        if (last_look(&l, now)) {
            LOG(LOG_CONN, LOG_INFO, 0, "the last application thread has ended: exit(0)");
            exit(0);
        }
        if (last_next(&l) != CLOCK_NEVER)
            sleep_until(last_next(&l));
    }
}

void last_watch(void)
{
    if (atomic_load(&exit_begun) || thread_library_count() == 0)
        return;
    lock_take(&watch.lock);
    watch.announced = true;
    if (!watch.runs) /* without a thread it cannot be helped */
        watch.runs = thread_start(watch_main, NULL, "last", 0) == 0;
    lock_give(&watch.lock);
}

void last_forked(void)
{
    lock_reset(&watch.lock);
    watch.runs = watch.announced = false;
}
