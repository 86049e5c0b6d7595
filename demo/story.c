/* demo/story.c: `story` plays the scenarios with which this project began, on a real server and real clients,
 * and shows how each one ends. Started as `story --play KEY URL FD` it is one of the scenarios itself. */
#include "story.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(FILE *to, int status)
{
    fputs("usage: story [--help | SCENARIO...]\n"
          "Starts an echo server and, one after the other, programs that open a WebSocket client and end "
          "without\n"
          "closing it. Prints what became of each one. Exit status: 0 all ended well, 1 not all, 2 usage.\n"
          "NO_COLOR in the environment turns colours off. Scenarios (default: all):\n",
          to);
    for (size_t i = 0; i < SCENARIOS; i++)
        fprintf(to, "  %-13s %s\n", scenarios[i].key, scenarios[i].name);
    return status;
}

static bool is_wanted(const struct scenario *s, int n, char **names)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], s->key) == 0)
            return true;
    return n == 0;
}

static bool are_known(int n, char **names)
{
    for (int i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < SCENARIOS && !known; k++)
            known = strcmp(names[i], scenarios[k].key) == 0;
        if (!known) {
            fprintf(stderr, "story: no scenario is called \"%s\"\n", names[i]);
            return false;
        }
    }
    return true;
}

static int play_all(int n, char **names)
{
    int good = 0, played = 0;
    table_begin();
    for (size_t i = 0; i < SCENARIOS && !stage_interrupted(); i++) {
        struct outcome o;
        if (!is_wanted(&scenarios[i], n, names))
            continue;
        if (!stage_run(&scenarios[i], witness_url(), &o)) {
            fprintf(stderr, "story: the system refuses a pipe or a process\n");
            return 1;
        }
        played++;
        if (!stage_interrupted())
            good += table_row(&scenarios[i], &o);
    }
    if (stage_interrupted())
        return 130;
    table_end(good, played);
    return good == played ? 0 : 1;
}

int main(int argc, char **argv)
{
    char why[256] = "";
    if (argc == 5 && strcmp(argv[1], "--play") == 0)
        return play_scenario(argv[2], argv[3], atoi(argv[4]));
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return usage(stdout, 0);
    if (!are_known(argc - 1, argv + 1))
        return usage(stderr, 2);
    stage_catch_interrupts();
    if (!witness_start(why, sizeof why)) {
        fprintf(stderr, "story: no server: %s\n", why);
        return 1;
    }
    const int status = play_all(argc - 1, argv + 1);
    witness_stop();
    return status;
}
