/* last.h: has the last application thread of the process ended? (Contract E2.) For a thread of the library's
 * that keeps time, and ends the process by exit(0) when it has: exit runs atexit handlers, as the end of the
 * last thread would have, with ours among them. */
#ifndef BASE_LAST_H
#define BASE_LAST_H

#include <stdbool.h>
#include <stdint.h>

struct last {       /* all zero: at rest */
    int64_t at;     /* when to count threads next */
    int counts;     /* quick ones still to do */
    bool slow;      /* count from time to time: nobody would announce the last one's end */
    int background; /* threads in the background, at the last count */
};

void last_begin(struct last *l); /* one count at once */
/* A thread that has entered the library ends, or has turned to the background. */
void last_announced(struct last *l, int64_t now);
/* Counts, if it is time. True: it has ended. */
bool last_look(struct last *l, int64_t now);
int64_t last_next(const struct last *l); /* CLOCK_NEVER: not until something is announced */
/* Must somebody go on looking? `own`: threads of the library that are there only for that; the kernel sees
 * the end of the process by itself once they have gone and no others of ours, or in the background, live. */
bool last_must(const struct last *l, int own);

/* For those who have no such thread, or whose threads the program may hold up in its callbacks. A thread that
 * has entered the library ends: where others of the library's live, one that is started for it looks whether
 * that was the last, and ends the process, or itself when nobody need look any longer. */
void last_watch(void);
void last_forked(void); /* in a child of fork */

#endif
