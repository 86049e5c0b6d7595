/* loop_server.c: server.c on loops: each message goes back as it came. It prints its URL and serves until its
 * standard input ends or it gets SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <thrum/loop.h>
#include "limits.h"

enum { LOOPS = 2, PATIENCE_MS = 5000 };

static void on_term(int number)
{
    (void)number;
    close(STDIN_FILENO); /* and read returns, interrupted or at an end */
}

/* None is refused: with one that waits to be written nothing is read. */
static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    thrum_status s = thrum_send(c, m->kind, m->data, m->len);
    if (s != THRUM_OK && s != THRUM_E_CLOSED)
        fprintf(stderr, "conformance server: %s\n", thrum_status_text(s));
}

int main(void)
{
    struct sigaction term = {.sa_handler = on_term};
    thrum_listener *s;
    thrum_error e;
    char trash[256];
    sigaction(SIGTERM, &term, NULL);
    if (thrum_serve_loops(&s, LOOPS, "ws://127.0.0.1:0/",
                          THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_message = on_message),
                                       .when_full = THRUM_FULL_PAUSE, .max_message = MESSAGE_MAX,
                                       .max_fragments = FRAGMENTS_MAX),
                          &e) != THRUM_OK) {
        fprintf(stderr, "conformance server: %s\n", e.text);
        return 1;
    }
    printf("%s\n", thrum_listener_url(s));
    fflush(stdout);
    while (read(STDIN_FILENO, trash, sizeof trash) > 0)
        ;
    thrum_status drained = thrum_listener_drain(s, 0, PATIENCE_MS, NULL, NULL);
    if (drained == THRUM_OK)
        drained = thrum_listener_wait(s, 2 * PATIENCE_MS);
    thrum_listener_free(s);
    return drained == THRUM_OK ? 0 : 1;
}
