/* authentication.c: a server that asks who you are, on one port with a page and a health check, and clients
 * that say so. */
#include "example.h"

#include <string.h>
#include <thrum/response.h>

/* Passwords are compared in a time that tells nothing. Where they are many, or hashed, look them up in
 * on_request instead, with thrum_request_basic and thrum_equal. */
static const char *const users[] = {"alice", "wonderland", "bob", "builder", NULL};
static const char *const tokens[] = {"a-token-that-was-issued", NULL};

/* Asked about every request, also one that is no WebSocket: what it answers itself needs no user. */
static int on_request(const thrum_request *r, thrum_reply *a, void *arg)
{
    static const char page[] = "<!doctype html><title>thrum</title><p>This is a WebSocket server.\n";
    (void)arg;
    if (strcmp(thrum_request_target(r), "/healthz") == 0)
        return thrum_reply_body(a, "text/plain", "ok\n", 3) == THRUM_OK ? 200 : 500;
    if (strcmp(thrum_request_target(r), "/") == 0 && !thrum_request_header(r, "Upgrade", 0))
        return thrum_reply_body(a, "text/html", page, sizeof page - 1) == THRUM_OK ? 200 : 500;
    return 0;
}

static int attempt(const char *who, const char *url, thrum_client_options o)
{
    thrum_response *answer;
    thrum_conn *ws;
    thrum_error err;
    o.size = sizeof o;
    o.response = &answer;
    const thrum_status s = thrum_connect(&ws, url, &o, &err);
    if (s == THRUM_OK)
        printf("%-16s welcome\n", who);
    else
        printf("%-16s %d, asked for: %s\n", who, thrum_response_status(answer),
               thrum_response_header(answer, "WWW-Authenticate", 0));
    thrum_response_free(answer);
    thrum_conn_free(ws);
    return s == THRUM_OK;
}

int main(void)
{
    thrum_server *server;
    thrum_error err;
    char with_user[80];

    if (thrum_serve(&server, "ws://127.0.0.1:0/",
                    THRUM_SERVER(.serve = example_echo, .on_request = on_request, .users = users,
                                 .tokens = tokens, .realm = "the example"),
                    &err) != THRUM_OK)
        example_die("serve", &err);
    const char *url = thrum_server_url(server);
    snprintf(with_user, sizeof with_user, "ws://alice:wonderland@127.0.0.1:%u/",
             (unsigned)thrum_server_port(server));

    int welcome = attempt("nobody", url, (thrum_client_options){0});
    welcome += attempt("a wrong password", url,
                       (thrum_client_options){.user = "alice", .password = "looking-glass"});
    welcome += attempt("alice", with_user, (thrum_client_options){0});
    welcome += attempt("bob", url, (thrum_client_options){.user = "bob", .password = "builder"});
    welcome += attempt("a token", url, (thrum_client_options){.bearer = "a-token-that-was-issued"});
    thrum_server_free(server);
    return welcome == 3 ? 0 : 1;
}
