/* demo/table.c: the story as a table that reads well in a terminal and in a log. */
#include "story.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ENOUGH_MS = 250 };

static bool coloured;

static const char *paint(const char *code)
{
    return coloured ? code : "";
}
#define BOLD  paint("\033[1m")
#define DIM   paint("\033[2m")
#define RED   paint("\033[31m")
#define GREEN paint("\033[32m")
#define PLAIN paint("\033[0m")

void table_begin(void)
{
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    coloured = isatty(STDOUT_FILENO) && (no == NULL || *no == '\0') &&
               !(term != NULL && term[0] == 'd' && term[1] == 'u');
    printf(
        "Each row is a program that opens a WebSocket client and ends without closing it. With websockets "
        "12, a\n"
        "client made in main and used by a worker kept the program from ending: its receiving thread was no\n"
        "daemon, and the interpreter waited for it for ever.\n\n");
    printf("%s%-42s  %-5s  %6s  %-6s  %7s  %s%s\n", BOLD, "scenario", "ended", "ms", "status", "threads",
           "server saw", PLAIN);
}

static void cell(bool good, int width, const char *text)
{
    /* Colour outside of the padding: escape sequences have no width. */
    printf("  %s%*s%s", good ? GREEN : RED, width, text, PLAIN);
}

bool table_row(const struct scenario *s, const struct outcome *o)
{
    char ms[32] = "-", status[32], threads[32] = "-", code[64];
    const bool quick = o->ended && o->reported && o->ms <= ENOUGH_MS;
    /* The kernel may have no room for a Close on a socket that was full: then nobody could have said goodbye.
     */
    const bool full = s->deaf && o->code == 1006;
    const bool told = o->code == s->code && (!s->with_child || o->child_code == s->code);
    const bool polite = told || full;
    if (o->ended && o->reported)
        snprintf(ms, sizeof ms, "%.1f", o->ms);
    if (o->reported)
        snprintf(threads, sizeof threads, "%d", o->threads);
    snprintf(status, sizeof status, "%d", o->status);
    if (s->with_child)
        snprintf(code, sizeof code, "%u and %u", o->code, o->child_code);
    else
        snprintf(code, sizeof code, "%u", o->code);
    printf("%-42s", s->name);
    cell(o->ended, -5, o->ended ? "yes" : "no");
    cell(quick, 6, ms);
    cell(o->status == s->status, -6, status);
    printf("  %7s", threads);
    cell(polite, 0, code);
    putchar('\n');
    fflush(stdout);
    return quick && polite && o->status == s->status;
}

void table_end(int good, int played)
{
    printf("\n%sms: from the program's way out (main returns, exit, the last thread's end) to the end of its "
           "process.\n"
           "threads: of the library, at that moment. server saw: the code of the last Close frame that came "
           "over\n"
           "the wire, 1001 \"going away\" or 1000 for an explicit close. 1006 would be none, and is good "
           "only where a\n"
           "send was blocked: a full socket may have no room for it. A good row ends within %d ms with the "
           "status\n"
           "that its program chose.%s\n\n",
           DIM, ENOUGH_MS, PLAIN);
    printf("%s%s%d of %d ended well%s\n", BOLD, good == played ? GREEN : RED, good, played, PLAIN);
}
