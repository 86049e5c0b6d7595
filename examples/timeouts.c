/* timeouts.c: nothing waits for ever unless you say so. recv takes the time it may wait; connecting, closing
 * and sending have theirs in the options; and a silent peer is found out by pings. */
#include "example.h"

int main(int argc, char **argv)
{
    thrum_server *server;
    thrum_conn *ws;
    thrum_error err;
    thrum_message m;

    const thrum_client_options o = {
        .size = sizeof o,
        .open_timeout = 3000,   /* resolve, connect and handshake together */
        .send_timeout = 2000,   /* one send against a peer that does not read */
        .close_timeout = 1000,  /* wait for the peer's Close */
        .ping_interval = 10000, /* ping after so long without a word... */
        .ping_timeout = 5000,   /* ... and give up after so long without an answer */
    };
    if (thrum_connect(&ws, example_url(argc, argv, &server), &o, &err) != THRUM_OK)
        example_die("connect", &err);

    /* Nobody has anything to say: the call comes back, the connection stays open. */
    const thrum_status s = thrum_recv(ws, &m, 100);
    printf("recv with 100 ms: %s\n", thrum_status_name(s));
    if (thrum_recv(ws, &m, 0) != THRUM_E_TIMEOUT) /* 0: look, do not wait */
        return 1;

    if (thrum_ping(ws, NULL, 0, 1000) != THRUM_OK)
        example_lost(ws, "ping");
    printf("the peer is alive: its pong took %s than a second\n",
           thrum_latency(ws) < 1000000000 ? "less" : "more");

    const thrum_status closed = thrum_close(ws, 1000, NULL);
    printf("close: %s\n", thrum_status_name(closed));
    thrum_conn_free(ws);
    thrum_server_free(server);
    return s == THRUM_E_TIMEOUT && closed == THRUM_OK ? 0 : 1;
}
