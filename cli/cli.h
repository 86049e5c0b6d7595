/* cli/cli.h: what the pieces of `thrum` share. It includes the library's public headers only, like any user.
 */
#ifndef CLI_H
#define CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <thrum/server.h>
#include <thrum/thrum.h>
#include <thrum/tls.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* ---- args.c ---------------------------------------------------------------------------------------------
 */
enum { CLI_MAX_HEADERS = 32 };

struct args {
    const char *uri;
    const char *subprotocols, *origin, *user, *password, *bearer, *cookie, *proxy, *source;
    const char
        *headers[2 * CLI_MAX_HEADERS + 1]; /* name, value, ..., NULL; point into argv's texts, cut in place */
    size_t header_count;
    thrum_span open_timeout, ping_interval, linger, grace; /* ms */
    uint64_t max_message;
    bool binary, quiet, trace;
    bool on_loops, publish; /* publish implies on_loops */
    uint32_t loops;         /* 0: one for each processor */
    thrum_switch compression;
    uint32_t max_redirects;
    thrum_tls_options tls; /* size 0: nothing was said of it */
};
struct command; /* the options that a command takes */
extern const struct command connect_command, serve_command;

/* 0: go on; else the process's exit status + 1 has been earned: usage was wrong (and said so), or help was
 * asked. */
int args_parse(struct args *a, const struct command *c, int argc, char **argv);
int args_main_help(FILE *to, int status);

/* ---- commands -------------------------------------------------------------------------------------------
 */
int connect_run(const struct args *a);
int serve_run(const struct args *a);
int loops_run(const struct args *a, const thrum_server_options *o); /* of serve, the event front's side */
/* What both sides of serve say and do. */
void serve_tell_end(const thrum_conn *c);
void serve_wait_for_signal(void);
void serve_tell_stop(const struct args *a, bool all_answered, size_t open);

/* ---- term.c: one screen that several threads write to ----------------------------------------------------
 */
/* Prints the peer's bytes so that they cannot steer the terminal: control characters (C0, DEL, C1), bytes
 * that are no UTF-8, and characters that reorder or hide text appear as \n, \x1b, \u{202e}. */
void term_escape(FILE *to, const uint8_t *p, size_t n);
/* One received message on standard output, in a line of its own. False once standard output takes nothing. */
bool term_message(const thrum_message *m);
/* One line on standard error, "thrum: ..." */
void term_note(const char *format, ...) THRUM_PRINTF(1, 2);
/* The library's log on standard error. False (and says why) when the library refuses. */
bool term_trace(void);

/* ---- line.c: lines typed or piped in --------------------------------------------------------------------
 */
enum line_state { LINE_NONE, LINE_READY, LINE_END, LINE_BROKEN };

/* Prompt and history when standard input and output are terminals, else plain lines. */
void line_begin(void);
/* Standard input is readable: takes what is there. LINE_READY: *p, *n hold until the next call of line_next.
 */
void line_read(void);
enum line_state line_next(const char **p, size_t *n);
void line_end(void);
bool line_is_typed(void);
/* Between these two, other output may be written: the line being typed is out of the way, and comes back. Any
 * thread; never call thrum in between. */
void line_hide(void);
void line_show(void);

/* ---- wake.c: Ctrl-C and the receiving thread reach the main thread by a pipe ------------------------------
 */
/* False when the system refuses a pipe. From here on SIGINT, SIGTERM and SIGHUP arrive as bytes; a second one
 * ends the process at once with 128 + its number. */
bool wake_begin(void);
int wake_fd(void);
void wake_poke(void);                   /* any thread */
bool wake_take(void);                   /* empties the pipe; true when a signal has come at any time */
bool wake_interrupted(void);            /* a signal has come */
void wake_block_signals(sigset_t *old); /* so that threads made from here on leave them to main */
void wake_restore_signals(const sigset_t *old);

#endif
