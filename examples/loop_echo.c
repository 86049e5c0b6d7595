/* loop_echo.c: a server by callbacks: one thread for all of its connections, however many there are. Give it
 * a URL, for example ws://127.0.0.1:8080/, to serve until Ctrl-C; without one it serves a client of its own.
 */
#include "example.h"

#include <signal.h>
#include <string.h>
#include <thrum/loop.h>

static thrum_loop *loop;
static thrum_listener *server;

static void on_open(thrum_conn *c, void *arg)
{
    (void)arg;
    printf("%s asks for %s\n", thrum_conn_peer(c), thrum_conn_target(c));
}

/* The message is ours until we return; thrum_send has taken what it needs by then, and never waits. */
static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    if (thrum_send(c, m->kind, m->data, m->len) != THRUM_OK)
        thrum_conn_free(c);
}

static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)arg;
    printf("%s has gone: %s\n", thrum_conn_peer(c), why->text);
}

/* ---- the other end, so that the example shows something when it is run alone ---- */

static void visitor_opened(thrum_conn *c, void *arg)
{
    (void)arg;
    if (thrum_send(c, THRUM_TEXT, "anyone?", strlen("anyone?")) != THRUM_OK)
        example_lost(c, "send");
}

static void visitor_heard(thrum_conn *c, const thrum_message *m, void *arg)
{
    *(bool *)arg = true;
    printf("the server says: %s\n", (const char *)m->data);
    thrum_close(c, 1000, NULL); /* on_close comes once the server has answered */
}

static void visitor_left(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)c;
    (void)why;
    (void)arg;
    thrum_listener_drain(server, 0, 2000, NULL, NULL); /* nothing is left then: the loop returns */
}

static void stop(int sig)
{
    (void)sig;
    thrum_loop_stop(loop); /* may be called here */
}

int main(int argc, char **argv)
{
    thrum_error err;
    bool heard = argc > 1;

    if (thrum_loop_new(&loop, &err) != THRUM_OK)
        example_die("loop", &err);
    /* Who does not read his echoes is not read from: so none has to be refused. */
    if (thrum_listen(&server, loop, argc > 1 ? argv[1] : "ws://127.0.0.1:0/",
                     THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_open = on_open, .on_message = on_message,
                                                             .on_close = on_close),
                                  .when_full = THRUM_FULL_PAUSE),
                     &err) != THRUM_OK)
        example_die("listen", &err);
    printf("listening on %s, with %s\n", thrum_listener_url(server), thrum_loop_backend(loop));
    fflush(stdout);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);

    if (argc == 1 && thrum_open(loop, thrum_listener_url(server), NULL,
                                THRUM_HANDLERS(.on_open = visitor_opened, .on_message = visitor_heard,
                                               .on_close = visitor_left),
                                &heard, NULL, &err) != THRUM_OK)
        example_die("open", &err);

    const thrum_status s = thrum_loop_run(loop, THRUM_FOREVER);
    thrum_listener_free(server);
    thrum_loop_free(loop); /* tells whoever is left 1001 */
    return s == THRUM_OK && heard ? 0 : 1;
}
