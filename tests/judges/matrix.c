/* matrix.c: thrum's side of the matrix that judges.py plays against other implementations.
 *   matrix server MODE          echoes; prints its URL, and of each connection that ends: "ended CODE REASON"
 *   matrix client MODE URL      says every message twice, expects each one back, closes with 3001 "bye";
 * prints "agreed EXTENSIONS" and "answered CODE"; then has itself closed with 4001 and prints "told CODE
 *                               REASON"
 * MODE: on, off, no-takeover. The text "close me" asks either server to close with 4001 "as asked". */
#include "matrix.h"
#include <thrum/server.h>
#include <unistd.h>

static void expect(thrum_conn *c, thrum_kind k, size_t n)
{
    thrum_message m;
    check(thrum_recv(c, &m, PATIENCE_MS), "no echo");
    compare(&m, k, n);
    thrum_message_release(&m);
}

static void say_all(thrum_conn *c, thrum_kind k)
{
    for (size_t i = 0; i < SIZES; i++)
        for (int twice = 0; twice < 2; twice++) {
            fill(k, sizes[i]);
            check(thrum_send(c, k, message, sizes[i]), "send");
            expect(c, k, sizes[i]);
        }
    say_parts(c, k);
    expect(c, k, PARTS * PART);
}

static void be_closed(const char *url, const thrum_client_options *o)
{
    thrum_conn *c;
    thrum_error e;
    thrum_message m;
    check(thrum_connect(&c, url, o, &e), "connect");
    check(thrum_send(c, THRUM_TEXT, "close me", 8), "send");
    if (thrum_recv(c, &m, PATIENCE_MS) != THRUM_E_CLOSED)
        give_up("it did not close");
    thrum_closing end;
    if (!has_ended(c, &end))
        give_up("closing");
    printf("told %u %s\n", end.recv_code, end.recv_reason);
    thrum_conn_free(c);
}

static int be_client(const thrum_client_options *o, const char *url)
{
    thrum_conn *c;
    thrum_error e;
    if (thrum_connect(&c, url, o, &e) != THRUM_OK)
        give_up(e.text);
    print_agreed(c);
    say_all(c, THRUM_TEXT);
    say_all(c, THRUM_BINARY);
    check(thrum_close(c, 3001, "bye"), "close");
    thrum_closing end;
    if (!has_ended(c, &end))
        give_up("closing");
    printf("answered %u\n", end.recv_code);
    thrum_conn_free(c);
    be_closed(url, o);
    return 0;
}

static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s =
            is_close_me(&m) ? thrum_close(c, 4001, "as asked") : thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            break;
    }
    thrum_closing end;
    if (has_ended(c, &end))
        printf("ended %u %s\n", end.recv_code, end.recv_reason);
    fflush(stdout);
}

static int be_server(const thrum_server_options *o)
{
    thrum_server *s;
    thrum_error e;
    char end;
    if (thrum_serve(&s, "ws://127.0.0.1:0/", o, &e) != THRUM_OK)
        give_up(e.text);
    puts(thrum_server_url(s));
    fflush(stdout);
    while (read(STDIN_FILENO, &end, 1) > 0) /* until judges.py lets go */
        ;
    thrum_server_free(s);
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const any[] = {"*", NULL};
    const char *mode = argc > 2 ? argv[2] : "";
    thrum_switch on = wants_compression(mode), alone = wants_no_takeover(mode);
    if (argc == 3 && strcmp(argv[1], "server") == 0)
        return be_server(THRUM_SERVER(.serve = echo, .origins = any, .max_message = LIMIT, .compression = on,
                                      .server_no_context_takeover = alone,
                                      .client_no_context_takeover = alone));
    if (argc == 4 && strcmp(argv[1], "client") == 0)
        return be_client(THRUM_CLIENT(.max_message = LIMIT, .compression = on,
                                      .server_no_context_takeover = alone,
                                      .client_no_context_takeover = alone),
                         argv[3]);
    give_up("usage: matrix server|client on|off|no-takeover [URL]");
}
