/* echo_server.c [CLOSE_TIMEOUT_MS]: the server that tests/peers talks to. It prints its URL, then a line for
 * each connection that has ended, as it saw the end; it serves until its standard input ends. What a
 * connection does is said by its target. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <thrum/server.h>
#include <thrum/thrum.h>

enum { PATIENCE_MS = 20000 };

static void echo(thrum_conn *c)
{
    thrum_message m;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            return;
    }
}

/* As it comes, in parts: each goes back before the next has been read. */
static void echo_parts(thrum_conn *c)
{
    thrum_message m;
    while (thrum_recv_part(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s = thrum_send_part(c, m.kind, m.data, m.len, m.part & THRUM_PART_LAST);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            return;
    }
}

static void ping(thrum_conn *c)
{
    char text[64];
    thrum_status s = thrum_ping(c, "are you there?", 14, PATIENCE_MS);
    int n = snprintf(text, sizeof text, "%s %s", thrum_status_name(s),
                     thrum_latency(c) > 0 ? "timed" : "untimed");
    (void)!thrum_send(c, THRUM_TEXT, text, (size_t)n);
    echo(c);
}

static void say_subprotocol(thrum_conn *c)
{
    const char *name = thrum_conn_subprotocol(c);
    name = name ? name : "none";
    (void)!thrum_send(c, THRUM_TEXT, name, strlen(name));
    echo(c);
}

/* /close/CODE[/REASON] */
static void close_as_asked(thrum_conn *c, const char *target)
{
    char *rest;
    unsigned long code = strtoul(target, &rest, 10);
    (void)thrum_close(c, (uint16_t)code, *rest == '/' ? rest + 1 : NULL);
}

static void serve(thrum_conn *c, void *arg)
{
    const char *t = thrum_conn_target(c);
    thrum_closing end = {.size = sizeof end};
    (void)arg;
    if (strncmp(t, "/close/", 7) == 0)
        close_as_asked(c, t + 7);
    else if (strcmp(t, "/parts") == 0)
        echo_parts(c);
    else if (strcmp(t, "/ping") == 0)
        ping(c);
    else if (strcmp(t, "/subprotocol") == 0)
        say_subprotocol(c);
    else
        echo(c);
    (void)thrum_close(c, 1000, NULL);
    (void)thrum_conn_closing(c, &end);
    printf("end %s received %u \"%s\" sent %u \"%s\" by_peer %d clean %d\n", t, end.recv_code,
           end.recv_reason, end.sent_code, end.sent_reason, end.by_peer, end.clean);
    fflush(stdout);
}

static int on_request(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)arg;
    if (strcmp(thrum_request_target(r), "/health") == 0)
        return thrum_reply_body(a, "text/plain", "fine\n", 5) == THRUM_OK ? 200 : 500;
    if (strcmp(thrum_request_target(r), "/nowhere") != 0)
        return 0;
    if (thrum_reply_header(a, "X-Why", "not here") != THRUM_OK ||
        thrum_reply_body(a, "text/plain", "no such room\n", 13) != THRUM_OK)
        return 500;
    return 404;
}

int main(int argc, char **argv)
{
    thrum_server *s;
    thrum_error e;
    char trash[256];
    if (thrum_serve(&s, "ws://127.0.0.1:0/",
                    THRUM_SERVER(.serve = serve, .on_request = on_request, .subprotocols = "chat.v2, chat.v1",
                                 .close_timeout = argc > 1 ? atol(argv[1]) : 0),
                    &e) != THRUM_OK) {
        fprintf(stderr, "echo_server: %s\n", e.text);
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
