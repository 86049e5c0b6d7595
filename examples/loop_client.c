/* loop_client.c: a hundred clients on one thread. Each has its own conversation with the server, none waits
 * for another, and the loop is over when the last has said goodbye. With a URL they all go there. */
#include "example.h"

#include <string.h>
#include <thrum/loop.h>

enum { CLIENTS = 100, ROUNDS = 10 };

struct client {
    int number, rounds;
};

static int answers, ended_well;

static void say(thrum_conn *c, const struct client *me)
{
    char text[64];
    const int n = snprintf(text, sizeof text, "client %d, round %d", me->number, me->rounds);
    if (thrum_send(c, THRUM_TEXT, text, (size_t)n) != THRUM_OK)
        example_lost(c, "send");
}

static void on_open(thrum_conn *c, void *arg)
{
    say(c, arg);
}

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct client *me = arg;
    (void)m;
    answers++;
    if (++me->rounds < ROUNDS)
        say(c, me);
    else
        thrum_close(c, 1000, "thank you");
}

/* The end, whatever it was: also of one that could not be opened. */
static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    const struct client *me = arg;
    (void)c;
    if (why->status == THRUM_E_CLOSED)
        ended_well++;
    else
        printf("client %d: %s\n", me->number, why->text);
}

int main(int argc, char **argv)
{
    static struct client clients[CLIENTS];
    thrum_server *server;
    thrum_loop *loop;
    thrum_error err;
    const char *url = example_url(argc, argv, &server);

    if (thrum_loop_new(&loop, &err) != THRUM_OK)
        example_die("loop", &err);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].number = i;
        /* Only begins: names are looked up and connections made without keeping this thread. */
        if (thrum_open(loop, url, NULL,
                       THRUM_HANDLERS(.on_open = on_open, .on_message = on_message, .on_close = on_close),
                       &clients[i], NULL, &err) != THRUM_OK)
            example_die("open", &err);
    }
    if (thrum_loop_run(loop, THRUM_FOREVER) != THRUM_OK) /* until nothing is left to wait for */
        return 1;
    printf("%d clients had %d answers on one thread\n", ended_well, answers);

    thrum_loop_free(loop);
    thrum_server_free(server);
    return ended_well == CLIENTS && answers == CLIENTS * ROUNDS ? 0 : 1;
}
