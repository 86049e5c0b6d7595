/* census.c: thread_count, thread_runs and thread_others_run of thread.h, from /proc/self/task.
 *
 * "No application thread lives" ends the process, so it must never be said wrongly; a thread too many only
 * means another look. A directory is not read at one instant: while we read, a thread that we have seen may
 * start another and end, and the kernel may cut the list short when a thread that it stands at ends. So
 * nought counts only where the list was complete at one instant: after the list the kernel is asked for the
 * number of threads, and after that each one on the list must still be there. As many as the number, and all
 * of them there before and after it: then at the moment of the number there were no others. */
#include "base/mem.h"
#include "base/sys.h"
#include "base/text.h"
#include "base/thread.h"
#include "base/thread_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRIES = 8, SPARE = 16 };

/* ThreadSanitizer has threads of its own. */
#if defined(__SANITIZE_THREAD__)
#    define SANITIZED
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define SANITIZED
#    endif
#endif

struct tids {
    pid_t *v;
    size_t n, cap;
};

/* ---- /proc -----------------------------------------------------------------------------------------------
 */

/* The beginning of a small file as a string, in text[0..cap); false: it cannot be read. */
static bool read_file(char *text, size_t cap, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n;
    do
        n = sys.read(fd, text, cap - 1);
    while (n < 0 && errno == EINTR);
    (void)sys.close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    return true;
}

/* The state letter of a stat file, and its number of threads; 0: there is no such thread any more. */
static char read_stat(const char *path, size_t *thread_number)
{
    char text[1024];
    if (!read_file(text, sizeof text, path))
        return 0;
    /* Behind the name, which may hold anything: " S ppid pgrp ...", and 17 fields after the state the number.
     */
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || !p[2])
        return 0;
    char state = p[2];
    for (int field = 0; field < 18 && p; field++)
        p = strchr(p + 1, ' ');
    *thread_number = p ? strtoul(p, NULL, 10) : 0;
    return state;
}

/* The sanitizer's threads are known by their blocked signals: all that can be blocked but SIGSYS in one of
 * the compilers, and 33, which the C library uses itself (and blocks while it starts a thread). In other
 * builds nobody is exempted for that: a thread of the application may block them, too. */
static bool is_sanitizers(pid_t tid)
{
#ifdef SANITIZED
    const unsigned long looked_at = 0x13ffbfeff, usual = 0x3ffbfeff;
    char path[64], text[4096];
    text_format(path, sizeof path, "/proc/self/task/%ld/status", (long)tid);
    const char *line = read_file(text, sizeof text, path) ? strstr(text, "SigBlk:") : NULL;
    return line && (strtoul(line + 7, NULL, 16) & looked_at) == usual;
#else
    (void)tid;
    return false;
#endif
}

static char task_state(pid_t tid)
{
    char path[64];
    size_t ignored;
    text_format(path, sizeof path, "/proc/self/task/%ld/stat", (long)tid);
    char state = read_stat(path, &ignored);
    return state == 'X' || state == 'x' ? 0 : state;
}

static bool tids_add(struct tids *t, pid_t tid)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : SPARE;
        pid_t *v = mem_resize(t->v, cap * sizeof *v);
        if (!v)
            return false;
        t->v = v;
        t->cap = cap;
    }
    t->v[t->n++] = tid;
    return true;
}

static bool list_tasks(struct tids *t)
{
    bool ok = true;
    DIR *d = opendir("/proc/self/task");
    t->n = 0;
    if (!d)
        return false;
    for (struct dirent *e; ok && (e = readdir(d));)
        if (e->d_name[0] != '.')
            ok = tids_add(t, (pid_t)strtol(e->d_name, NULL, 10));
    (void)closedir(d);
    return ok && t->n > 0;
}

/* Were the listed ones all there were, at one instant? */
static bool is_complete(const struct tids *t)
{
    size_t number = 0;
    if (!read_stat("/proc/self/stat", &number) || number != t->n)
        return false;
    for (size_t i = 0; i < t->n; i++)
        if (!task_state(t->v[i]))
            return false;
    return true;
}

bool thread_runs(pid_t tid)
{
    return task_state(tid) == 'R';
}

bool thread_others_run(void)
{
    struct tids t = {0};
    const pid_t mine = gettid();
    bool run = false;
    if (list_tasks(&t))
        for (size_t i = 0; i < t.n && !run; i++)
            run = t.v[i] != mine && thread_runs(t.v[i]);
    mem_free(t.v);
    return run;
}

/* ---- records ---------------------------------------------------------------------------------------------
 */

static int by_tid(const void *a, const void *b)
{
    const struct thread_record *x = a, *y = b;
    return (x->tid > y->tid) - (x->tid < y->tid);
}

/* All records in order of their tids, for bisection; NULL: no memory. */
static struct thread_record *sorted_records(size_t *n)
{
    struct thread_record *v = NULL;
    for (size_t cap = 0; (*n = thread_records(v, cap)) > cap || !v;) {
        cap = *n + SPARE;
        struct thread_record *more = mem_resize(v, cap * sizeof *v);
        if (!more) {
            mem_free(v);
            return NULL;
        }
        v = more;
    }
    qsort(v, *n, sizeof *v, by_tid);
    return v;
}

/* Counts the listed threads. False: one of them could not be read. */
static bool count(struct thread_census *c, const struct tids *t, const struct thread_record *v, size_t n)
{
    const pid_t main_tid = getpid();
    bool all = true;
    for (size_t i = 0; i < t->n; i++) {
        struct thread_record wanted = {.tid = t->v[i]};
        const struct thread_record *r = bsearch(&wanted, v, n, sizeof *v, by_tid);
        if (r && r->library)
            continue;
        char state = task_state(t->v[i]);
        if (state == 'Z' && t->v[i] == main_tid)
            c->main_gone = true;
        if (state == 0)
            all = false;
        c->background += state != 0 && state != 'Z' && r && r->background;
        if (state == 0 || state == 'Z' || (r && r->background) || (!r && is_sanitizers(t->v[i])))
            continue;
        c->application++;
        c->entered += r != NULL;
    }
    return all;
}

/* One look. Returns false when it may have missed a thread. */
static bool look(struct thread_census *c, struct tids *t)
{
    size_t n;
    *c = (struct thread_census){0};
    if (!list_tasks(t))
        return true;
    /* After the list: a record that is read now was that of the thread which is listed, as a thread's record
     * goes before it does. */
    struct thread_record *v = sorted_records(&n);
    if (!v)
        return true;
    c->known = true;
    bool all = count(c, t, v, n);
    mem_free(v);
    return c->application > 0 || (all && is_complete(t));
}

struct thread_census thread_count(void)
{
    struct thread_census c;
    struct tids t = {0};
    bool sure = false;
    for (int i = 0; i < TRIES && !sure; i++) {
        if (i > 0)
            sched_yield();
        sure = look(&c, &t);
    }
    mem_free(t.v);
    if (!sure)
        c.application = 1; /* threads come and go so fast that some live */
    return c;
}
