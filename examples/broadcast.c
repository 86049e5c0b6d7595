/* broadcast.c: one message to everybody who is connected. It is encoded once, never waits for a slow peer,
 * and says how many were passed over because they do not read. */
#include "example.h"

#include <string.h>

enum { LISTENERS = 3 };

/* Listeners have nothing to say: stay until they leave. */
static void serve(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK)
        thrum_message_release(&m);
}

static thrum_conn *listen_to(const char *url)
{
    thrum_conn *ws;
    thrum_error err;
    if (thrum_connect(&ws, url, NULL, &err) != THRUM_OK)
        example_die("connect", &err);
    /* The answer to a ping says that the server counts us among its connections. */
    if (thrum_ping(ws, NULL, 0, 5000) != THRUM_OK)
        example_lost(ws, "ping");
    return ws;
}

int main(void)
{
    static const char news[] = "the tide is in";
    thrum_server *server;
    thrum_conn *listeners[LISTENERS];
    thrum_error err;
    size_t sent, skipped;

    if (thrum_serve(&server, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = serve), &err) != THRUM_OK)
        example_die("serve", &err);
    for (int i = 0; i < LISTENERS; i++)
        listeners[i] = listen_to(thrum_server_url(server));

    if (thrum_server_broadcast(server, THRUM_TEXT, news, strlen(news), &sent, &skipped) != THRUM_OK)
        return 1;
    printf("sent to %zu, passed over %zu\n", sent, skipped);

    for (int i = 0; i < LISTENERS; i++) {
        thrum_message m;
        if (thrum_recv(listeners[i], &m, 5000) != THRUM_OK)
            example_lost(listeners[i], "recv");
        printf("listener %d hears: %s\n", i + 1, (const char *)m.data);
        thrum_message_release(&m);
        thrum_conn_free(listeners[i]);
    }
    thrum_server_free(server);
    return 0;
}
