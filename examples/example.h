/* examples/example.h: what the examples share, so that each one shows a single idea: an end with a message,
 * and an echo server in the same process for clients that are given no URL. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <thrum/server.h>
#include <thrum/thrum.h>

_Noreturn static inline void example_die(const char *what, const thrum_error *e)
{
    fprintf(stderr, "%s: %s\n", what, e->text);
    exit(1);
}

/* Ends the program with the reason that the connection ended. */
_Noreturn static inline void example_lost(const thrum_conn *c, const char *what)
{
    thrum_error e;
    thrum_conn_error(c, &e);
    example_die(what, &e);
}

static inline void example_echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        const thrum_status sent = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (sent != THRUM_OK)
            break;
    }
}

/* The URL on the command line, or that of an echo server started here; *s is NULL or for thrum_server_free.
 */
static inline const char *example_url(int argc, char **argv, thrum_server **s)
{
    thrum_error e;
    *s = NULL;
    if (argc > 1)
        return argv[1];
    if (thrum_serve(s, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = example_echo), &e) != THRUM_OK)
        example_die("serve", &e);
    return thrum_server_url(*s);
}

#endif
