/* demo/story.h: what the pieces of the story share. The parent (story.c, stage.c, witness.c, table.c) starts
 * one process per scenario and watches it from outside; the child (scenarios.c) plays one scenario and ends.
 */
#ifndef STORY_H
#define STORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/thrum.h>

/* What a child tells through a pipe just before its way out; smaller than PIPE_BUF, so written whole. */
struct report {
    int64_t way_out; /* ns, CLOCK_MONOTONIC */
    int32_t threads; /* of the library, in the child */
    int32_t reserved;
};

struct scenario {
    const char *name;  /* as in the table */
    const char *key;   /* as an argument and in the request target */
    int status;        /* that the program chooses */
    unsigned code;     /* of the Close frame that the server should see */
    bool deaf;         /* the server does not read until the process has ended */
    bool with_child;   /* a forked process has a connection of its own */
    int (*play)(void); /* in the child; its result is what main returns */
};
extern const struct scenario scenarios[];
enum { SCENARIOS = 8 };

/* What was seen of one scenario from outside. */
struct outcome {
    bool ended, reported;
    double ms;
    int status; /* as a shell shows it: 128 + n for a signal */
    int threads;
    unsigned code, child_code; /* that the server saw; 1006: no Close frame came */
};

int64_t now_ns(void);

/* scenarios.c */
int play_scenario(const char *key, const char *url, int report_fd);
/* stage.c: runs one scenario in a process of its own, at most ten seconds. */
bool stage_run(const struct scenario *s, const char *url, struct outcome *out);
void stage_catch_interrupts(void);
bool stage_interrupted(void);
/* witness.c: the server, and what it saw. */
bool witness_start(char *error, size_t size);
const char *witness_url(void);
void witness_forget(void);    /* before a scenario */
void witness_open_ears(void); /* deaf connections read from now on */
unsigned
witness_code(bool child); /* waits for the end of the connection, a few seconds at most; 0: never came */
void witness_stop(void);
/* table.c */
void table_begin(void);
bool table_row(const struct scenario *s, const struct outcome *o);
void table_end(int good, int played);

#endif
