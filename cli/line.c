/* cli/line.c: lines of input. On a terminal libedit edits them and keeps a history; what the receiving thread
 * prints must not garble the line being typed, so one lock says who has the screen: libedit while it handles
 * a key, or a writer, who clears the line, writes, and has libedit draw it again. Elsewhere lines are read as
 * they are. */
#include "cli.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifdef THRUM_CLI_LIBEDIT
#    include <editline/readline.h>
#endif

enum { MAX_LINE = 64 << 20, CHUNK = 64 << 10 };

/* Recursive: a key may end a line, and what is printed then hides the (empty) line itself. */
static pthread_mutex_t screen = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static bool typed; /* libedit has the terminal */

static struct {
    char *data;
    size_t from, len, capacity; /* data[from..len) is not taken yet */
    size_t scanned;             /* no newline before it */
    bool ended, broken;
} in;

/* ---- bytes ----------------------------------------------------------------------------------------------
 */
static bool make_room(size_t n)
{
    if (in.from > 0) {
        memmove(in.data, in.data + in.from, in.len - in.from);
        in.len -= in.from;
        in.scanned -= in.from;
        in.from = 0;
    }
    if (in.len + n <= in.capacity)
        return true;
    const size_t capacity = (in.len + n) * 2;
    char *data = in.len + n <= MAX_LINE ? realloc(in.data, capacity) : NULL;
    if (data == NULL) {
        term_note("a line of input is too long (over %d MiB)", MAX_LINE >> 20);
        in.broken = true;
        return false;
    }
    in.data = data;
    in.capacity = capacity;
    return true;
}

static void read_plain(void)
{
    if (!make_room(CHUNK))
        return;
    const ssize_t n = read(STDIN_FILENO, in.data + in.len, CHUNK);
    if (n > 0)
        in.len += (size_t)n;
    else if (n == 0)
        in.ended = true;
    else if (errno != EINTR && errno != EAGAIN) {
        term_note("standard input: %s", strerror(errno));
        in.broken = true;
    }
}

enum line_state line_next(const char **p, size_t *n)
{
    char *end = in.len > in.scanned ? memchr(in.data + in.scanned, '\n', in.len - in.scanned) : NULL;
    if (end == NULL) {
        in.scanned = in.len;
        if (in.broken)
            return LINE_BROKEN;
        if (!in.ended)
            return LINE_NONE;
        if (in.from == in.len)
            return LINE_END;
        end = in.data + in.len; /* the last line may lack its newline */
    }
    *p = in.data + in.from;
    *n = (size_t)(end - *p);
    in.from = (size_t)(end - in.data);
    in.from += in.from < in.len;
    in.scanned = in.from;
    return LINE_READY;
}

/* ---- the terminal ---------------------------------------------------------------------------------------
 */
#ifdef THRUM_CLI_LIBEDIT
static const char prompt[] = "> ";

static void append(const char *p, size_t n)
{
    if (!make_room(n))
        return;
    memcpy(in.data + in.len, p, n);
    in.len += n;
}

static void on_line(char *text)
{
    if (text == NULL) { /* Ctrl-D on an empty line */
        in.ended = true;
        return;
    }
    append(text, strlen(text));
    append("\n", 1);
    if (*text != '\0')
        add_history(text);
    free(text);
    /* libedit gave the terminal back with the line, and still holds its text: begin a new one. */
    rl_callback_handler_install(prompt, on_line);
}

/* The line being typed may have wrapped: go up to its first row, clear all below. */
static void clear_typed(void)
{
    struct winsize w = {.ws_col = 80};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        w.ws_col = 80;
    const int rows = ((int)sizeof prompt - 1 + rl_point) / w.ws_col;
    if (rows > 0)
        printf("\033[%dA", rows);
    fputs("\r\033[J", stdout);
    fflush(stdout);
}

static bool begin_typed(void)
{
    rl_readline_name = "thrum";
    rl_catch_signals = 0; /* Ctrl-C is ours */
    using_history();
    stifle_history(1000);
    rl_callback_handler_install(prompt, on_line);
    return true;
}

static void read_typed(void)
{
    rl_callback_read_char();
}

static void draw_typed(void)
{
    rl_forced_update_display();
}

static void end_typed(void)
{
    rl_callback_handler_remove();
}
#else
static void clear_typed(void)
{
}

static bool begin_typed(void)
{
    return false;
}

static void read_typed(void)
{
    read_plain();
}

static void draw_typed(void)
{
}

static void end_typed(void)
{
}
#endif

void line_begin(void)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return;
    pthread_mutex_lock(&screen);
    typed = begin_typed();
    pthread_mutex_unlock(&screen);
}

void line_read(void)
{
    if (!typed) {
        read_plain();
        return;
    }
    pthread_mutex_lock(&screen);
    read_typed();
    pthread_mutex_unlock(&screen);
}

void line_end(void)
{
    pthread_mutex_lock(&screen);
    if (typed) {
        clear_typed();
        end_typed();
    }
    typed = false;
    pthread_mutex_unlock(&screen);
}

bool line_is_typed(void)
{
    return typed;
}

void line_hide(void)
{
    pthread_mutex_lock(&screen);
    if (typed)
        clear_typed();
}

void line_show(void)
{
    if (typed)
        draw_typed();
    pthread_mutex_unlock(&screen);
}
