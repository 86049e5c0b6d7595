/* fault.h: makes every allocation and every system call of a scenario fail, each in turn.
 *
 * fault_run first runs the scenario unharmed and counts; then it runs it again for each point:
 *   the nth allocation fails once; all from the nth on fail;
 *   the nth call of each entry of `sys` fails with each errno that the call can give (a read or write may
 * also be one byte short, a read may see the end of the stream), once; and from the nth on: all of them, but
 * of EINTR, EAGAIN and short ones every second, as these mean "try again" and would never end. After each
 * run: it has returned (a watchdog ends the process and names the point), every failing status that was
 * reported carries a text, and no block of memory, no descriptor and no thread of the library is left over.
 * THRUM_FAULT_STRIDE=k runs every kth point. A scenario runs on a thread that cmocka does not know: it uses
 * fault_check, not assert_*. */
#ifndef TESTS_LIB_FAULT_H
#define TESTS_LIB_FAULT_H

#include <stdbool.h>
#include <thrum/error.h>

struct fault_report {
    bool harmless;       /* this is a run without a fault: everything must succeed */
    unsigned failures;   /* statuses that were not OK */
    thrum_status status; /* the last one of these */
    char complaint[200]; /* what the scenario or fault_note found wrong; "" nothing */
};
/* The scenario's reports. err may be NULL for a call that has none. A failure in a harmless run is a
 * complaint, so is a failure without text, or one whose err tells of another status. Returns s. */
thrum_status fault_note(struct fault_report *r, const char *call, thrum_status s, const thrum_error *err);
/* A check of the scenario's own, e.g. that an echo is the message that was sent. Returns ok. */
bool fault_check(struct fault_report *r, bool ok, const char *what);

typedef void (*fault_scenario)(struct fault_report *r, void *arg);
struct fault_options {
    bool own_thread;  /* faults hit only the thread that runs the scenario; else all threads of the process */
    bool same_thread; /* run on the caller's thread; else each run has a new thread, and with it what the
                       * library keeps per thread is made and freed in each */
    bool no_memory, no_calls; /* leave these out */
    unsigned limit_seconds;   /* of one point: 60 */
};
/* The number of points that were run, or -1 after printing what went wrong. o may be NULL. A scenario cleans
 * up after itself whatever happened, and its own sockets are not those of `sys` (use lib/peer.h). */
int fault_run(const char *name, fault_scenario fn, void *arg, const struct fault_options *o);

/* The parts, for tests that want one fault only. Number of live blocks of the library; of open descriptors.
 */
void fault_count_memory(void); /* puts the counting hook in; stays */
long fault_live_blocks(void);
int fault_open_descriptors(void);

#endif
