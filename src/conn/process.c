/* process.c: the calls that concern the whole process: log, memory, exit policy, library threads. */
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "conn/conn.h"

/* The user's function and its argument change together: a pair that was set is never changed again and never
 * freed, since a thread may be about to call it. Setting a log is a thing of start-up, not of every second.
 */
struct log_sink {
    _Atomic bool ready;
    void (*fn)(const thrum_log_record *r, void *arg);
    void *arg;
};

static void to_record(enum log_area area, enum log_level level, uint64_t conn, int64_t ns, const char *text,
                      void *arg)
{
    const struct log_sink *sink = arg;
    thrum_log_record r = {
        .size = sizeof r,
        .level = (int)level,
        .area = log_area_name(area),
        .text = text,
        .conn = conn,
        .ns = ns,
    };
    sink->fn(&r, sink->arg);
}

thrum_status thrum_set_log(void (*fn)(const thrum_log_record *r, void *arg), void *arg, const char *filter)
{
    enum { SINKS = 64 };
    static struct log_sink sinks[SINKS];
    static _Atomic int taken;
    if (!fn)
        return log_set(NULL, NULL, "") == 0 ? THRUM_OK : THRUM_E_ARGUMENT;
    int i = 0;
    while (i < SINKS && !(atomic_load(&sinks[i].ready) && sinks[i].fn == fn && sinks[i].arg == arg))
        i++;
    if (i == SINKS) { /* a new pair; no lock, so that a fork in mid-call leaves none held */
        i = atomic_fetch_add(&taken, 1);
        if (i >= SINKS) {
            atomic_store(&taken, SINKS);
            return THRUM_E_FULL;
        }
        sinks[i].fn = fn;
        sinks[i].arg = arg;
        atomic_store(&sinks[i].ready, true);
    }
    return log_set(to_record, &sinks[i], filter) == 0 ? THRUM_OK : THRUM_E_ARGUMENT;
}

thrum_status thrum_set_memory(const thrum_memory *m)
{
    if (!m || m->size < sizeof *m || !m->alloc || !m->resize || !m->release)
        return THRUM_E_ARGUMENT;
    struct mem_hook h = {m->ctx, m->alloc, m->resize, m->release};
    return mem_set_hook(&h) ? THRUM_OK : THRUM_E_STATE;
}

thrum_status thrum_set_exit(thrum_exit_policy p, thrum_wait wait)
{
    return registry_set_exit(p, wait);
}

int thrum_library_threads(void)
{
    return thread_library_count();
}
