/* echo_server.c: a server. Each connection is served by a function of yours on a thread of its own. Give it a
 * URL, for example ws://127.0.0.1:8080/, to serve until Ctrl-C; without one it serves a client of its own. */
#include "example.h"

#include <string.h>

static void serve(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    printf("%s asks for %s\n", thrum_conn_peer(c), thrum_conn_target(c));
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        const thrum_status sent = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (sent != THRUM_OK)
            break;
    }
    /* The library closes the connection when this returns. */
}

/* The other end, so that the example shows something when it is run alone. */
static void visit(const char *url)
{
    thrum_conn *ws;
    thrum_error err;
    thrum_message m;
    if (thrum_connect(&ws, url, NULL, &err) != THRUM_OK)
        example_die("connect", &err);
    if (thrum_send(ws, THRUM_TEXT, "anyone?", strlen("anyone?")) != THRUM_OK ||
        thrum_recv(ws, &m, 5000) != THRUM_OK)
        example_lost(ws, "visit");
    printf("the server says: %s\n", (const char *)m.data);
    thrum_message_release(&m);
    thrum_close(ws, 1000, NULL);
    thrum_conn_free(ws);
}

int main(int argc, char **argv)
{
    thrum_server *server;
    thrum_error err;
    const char *url = argc > 1 ? argv[1] : "ws://127.0.0.1:0/"; /* port 0: any free one */

    if (thrum_serve(&server, url, THRUM_SERVER(.serve = serve), &err) != THRUM_OK)
        example_die("serve", &err);
    printf("listening on %s\n", thrum_server_url(server));
    fflush(stdout);
    if (argc > 1)
        (void)thrum_server_wait(server, THRUM_FOREVER);
    else
        visit(thrum_server_url(server));
    const thrum_status drained = thrum_server_drain(server, 0, 2000); /* tells whoever is left 1001 */
    thrum_server_free(server);
    return drained == THRUM_OK ? 0 : 1;
}
