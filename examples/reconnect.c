/* reconnect.c: a subscriber that survives its server: it connects again by itself, subscribes anew, and what
 * it sends meanwhile waits. `reconnect URL` follows a server of yours until Ctrl-C; without a URL the program
 * takes a server of its own down and up again. */
#include "example.h"

#include <string.h>
#include <thrum/reconnect.h>

/* Runs for each new connection, before anybody else has it. */
static thrum_status subscribe(thrum_conn *c, void *arg)
{
    return thrum_send(c, THRUM_TEXT, arg, strlen(arg));
}

static void tell(thrum_phase p, const thrum_error *why, thrum_span wait, void *arg)
{
    static const char *const names[] = {"idle", "connecting", "waiting", "open", "closed"};
    (void)arg;
    (void)wait; /* drawn at random, up to 200 ms at first */
    printf("[%s]%s%s\n", names[p], why ? " after: " : "", why ? why->text : "");
}

static thrum_server *serve(unsigned port)
{
    thrum_server *s;
    thrum_error err;
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
    if (thrum_serve(&s, url, THRUM_SERVER(.serve = example_echo), &err) != THRUM_OK)
        example_die("serve", &err);
    return s;
}

static void receive(thrum_reconnect *r)
{
    thrum_message m;
    thrum_error err;
    if (thrum_reconnect_recv(r, &m, 20000) != THRUM_OK) {
        thrum_reconnect_error(r, &err);
        example_die("recv", &err);
    }
    printf("received: %s\n", (const char *)m.data);
    thrum_message_release(&m);
}

int main(int argc, char **argv)
{
    thrum_server *server = argc > 1 ? NULL : serve(0);
    const unsigned port = server ? thrum_server_port(server) : 0;
    static char news[] = "subscribe to news";
    thrum_reconnect *r;
    thrum_error err;
    thrum_message m;

    if (thrum_reconnect_new(&r, server ? thrum_server_url(server) : argv[1], NULL,
                            THRUM_RECONNECT(.delay_first = 200, .delay_most = 5000, .on_connected = subscribe,
                                            .arg = news, .on_phase = tell, .outbox_messages = 100,
                                            .outbox_bytes = 1 << 20),
                            &err) != THRUM_OK)
        example_die("reconnect", &err);
    while (!server)
        receive(r); /* Ctrl-C ends the program; the server is told 1001 */

    receive(r); /* the echo of our subscription */
    (void)thrum_server_drain(server, 1012, 1000);
    thrum_server_free(server);
    if (thrum_reconnect_recv(r, &m, 100) !=
        THRUM_E_TIMEOUT) /* it finds the connection lost, and waits for another */
        return 1;
    if (thrum_reconnect_send(r, THRUM_TEXT, "sent meanwhile", 14, 0) != THRUM_OK) /* into the outbox */
        return 1;
    server = serve(port); /* "restarted" */
    receive(r);           /* subscribed anew */
    receive(r);           /* and what had waited */

    (void)thrum_reconnect_close(r, 1000, NULL);
    thrum_reconnect_free(r);
    thrum_server_free(server);
    return 0;
}
