/* way_server.c URL [cert CHAIN KEY] [proxy-protocol] [forwarded-for]: the server at the end of the ways that
 * way_test.py tries. It prints its URL, and tells each connection who it takes the peer to be, then echoes;
 * it serves until its standard input ends. */
#include <stdio.h>
#include <string.h>
#include <thrum/server.h>
#include <thrum/tls.h>
#include <unistd.h>

static void serve(thrum_conn *c, void *arg)
{
    const char *peer = thrum_conn_peer(c);
    thrum_message m;
    (void)arg;
    if (thrum_send(c, THRUM_TEXT, peer, strlen(peer)) != THRUM_OK)
        return;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            return;
    }
}

int main(int argc, char **argv)
{
    static const char *const here[] = {"127.0.0.0/8", NULL}, *const any[] = {"*", NULL};
    thrum_tls_options tls = {.size = 0};
    thrum_server_options o = {.size = sizeof o, .serve = serve, .origins = any};
    thrum_server *s;
    thrum_error e;
    char byte;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "cert") == 0 && i + 2 < argc) {
            tls = (thrum_tls_options){.size = sizeof tls, .cert_file = argv[i + 1], .key_file = argv[i + 2]};
            o.tls = &tls;
            i += 2;
        } else {
            o.trusted_proxies = here;
            o.proxy_protocol = strcmp(argv[i], "proxy-protocol") == 0 ? THRUM_ON : o.proxy_protocol;
            o.forwarded_for = strcmp(argv[i], "forwarded-for") == 0 ? THRUM_ON : o.forwarded_for;
        }
    }
    if (argc < 2 || thrum_serve(&s, argv[1], &o, &e) != THRUM_OK) {
        fprintf(stderr, "%s\n", argc < 2 ? "usage: way_server URL ..." : e.text);
        return 1;
    }
    puts(thrum_server_url(s));
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    thrum_server_free(s);
    return 0;
}
