/* log.h: log lines. A line that is not wanted costs one load and a compare. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>
#include <thrum/export.h>

enum log_area { LOG_FRAME, LOG_HTTP, LOG_NET, LOG_CONN, LOG_WARDEN, LOG_SERVER, LOG_LOOP, LOG_AREAS };
enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_TRACE };

extern _Atomic signed char log_levels[LOG_AREAS]; /* highest level wanted; -1 none */

#define log_wanted(area, level) (atomic_load_explicit(&log_levels[area], memory_order_relaxed) >= (level))
#define LOG(area, level, id, ...)                                                                            \
    do {                                                                                                     \
        if (log_wanted(area, level))                                                                         \
            log_write(area, level, id, __VA_ARGS__);                                                         \
    } while (0)

void log_write(enum log_area area, enum log_level level, uint64_t conn, const char *fmt, ...)
    THRUM_PRINTF(4, 5);
/* Behind thrum_set_log: 0, or -1 for a filter that does not parse (nothing changes). fn gets area and level
 * as numbers; thrum_set_log in conn/process.c turns them into the public record. */
int log_set(void (*fn)(enum log_area, enum log_level, uint64_t conn, int64_t ns, const char *text, void *arg),
            void *arg, const char *filter);
const char *log_area_name(enum log_area area);

#endif
