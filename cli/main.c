/* cli/main.c: `thrum`, the command line tool: which command is it? */
#include "cli.h"

#include <string.h>

static int run(const struct command *c, int (*fn)(const struct args *), int argc, char **argv)
{
    struct args a;
    const int done = args_parse(&a, c, argc - 1, argv + 1);
    return done != 0 ? done - 1 : fn(&a);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "connect") == 0)
        return run(&connect_command, connect_run, argc, argv);
    if (strcmp(word, "serve") == 0)
        return run(&serve_command, serve_run, argc, argv);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return args_main_help(stdout, CLI_OK);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        printf("thrum %s\n", thrum_version());
        return CLI_OK;
    }
    if (*word != '\0')
        term_note("no such command: %s", word);
    return args_main_help(stderr, CLI_USAGE);
}
