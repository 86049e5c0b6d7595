/* echo_client.c: the smallest client. Connect, send, receive, close. */
#include "example.h"

int main(int argc, char **argv)
{
    thrum_server *server;
    thrum_conn *ws;
    thrum_error err;
    thrum_message m;

    if (thrum_connect(&ws, example_url(argc, argv, &server), NULL, &err) != THRUM_OK)
        example_die("connect", &err);
    if (thrum_send(ws, THRUM_TEXT, "hello", 5) != THRUM_OK || thrum_recv(ws, &m, 5000) != THRUM_OK)
        example_lost(ws, "echo");
    printf("received: %s\n", (const char *)m.data);
    thrum_message_release(&m);

    thrum_close(ws, 1000, "bye"); /* optional: a program that just ends says 1001 by itself */
    thrum_conn_free(ws);
    thrum_server_free(server);
    return 0;
}
