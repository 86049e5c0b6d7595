/* server.c: the server that the Autobahn test suite's fuzzingclient is sent against: each message goes back
 * as it came. It prints its URL and serves until its standard input ends or it gets SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <thrum/server.h>
#include <thrum/thrum.h>
#include "limits.h"

enum { PATIENCE_MS = 5000 };

static void on_term(int number)
{
    (void)number;
    close(STDIN_FILENO); /* and read returns, interrupted or at an end */
}

static void serve(thrum_conn *c, void *arg)
{
    thrum_message m;
    thrum_status s = THRUM_OK;
    (void)arg;
    while (s == THRUM_OK && thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
    }
}

int main(void)
{
    struct sigaction term = {.sa_handler = on_term};
    thrum_server *s;
    thrum_error e;
    char trash[256];
    sigaction(SIGTERM, &term, NULL);
    if (thrum_serve(&s, "ws://127.0.0.1:0/",
                    THRUM_SERVER(.serve = serve, .max_message = MESSAGE_MAX, .max_fragments = FRAGMENTS_MAX),
                    &e) != THRUM_OK) {
        fprintf(stderr, "conformance server: %s\n", e.text);
        return 1;
    }
    printf("%s\n", thrum_server_url(s));
    fflush(stdout);
    while (read(STDIN_FILENO, trash, sizeof trash) > 0)
        ;
    thrum_status drained = thrum_server_drain(s, 0, PATIENCE_MS);
    thrum_server_free(s);
    return drained == THRUM_OK ? 0 : 1;
}
