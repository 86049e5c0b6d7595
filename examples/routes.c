/* routes.c: pages and WebSockets on one port, told apart by their paths. A segment of a path can be a
 * parameter, and what is decided before a connection is open can be handed on to it. Give it a URL to look at
 * it with a browser; without one it asks for each of its paths itself. */
#include "example.h"

#include <string.h>
#include <thrum/loop.h>
#include <thrum/response.h>

/* ---- HTTP: a route without handlers answers with a status, and a body if it likes ---- */

static int front_page(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)r;
    const char *page = arg;
    if (thrum_reply_header(a, "Cache-Control", "no-store") != THRUM_OK ||
        thrum_reply_body(a, "text/html; charset=utf-8", page, strlen(page)) != THRUM_OK)
        return 500;
    return 200;
}

static int greet(const thrum_request *r, thrum_reply *a, void *arg)
{
    char text[128];
    (void)arg;
    const int n = snprintf(text, sizeof text, "hello, %s\n", thrum_request_param(r, "name"));
    const size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    return thrum_reply_body(a, "text/plain; charset=utf-8", text, len) == THRUM_OK ? 200 : 500;
}

/* ---- a WebSocket: asked first, then opened ---- */

/* 0 goes on with the handshake; anything else is the answer, and there is no connection. */
static int may_enter(const thrum_request *r, thrum_reply *a, void *arg)
{
    static char members[] = "a member", guests[] = "a guest";
    (void)arg;
    if (strcmp(thrum_request_param(r, "room"), "cellar") == 0)
        return 403;
    thrum_reply_user(a, thrum_request_header(r, "X-Member", 0) ? members : guests); /* for thrum_conn_user */
    return 0;
}

static void on_open(thrum_conn *c, void *arg)
{
    char text[128];
    (void)arg;
    const int n = snprintf(text, sizeof text, "%s is in %s", (const char *)thrum_conn_user(c),
                           thrum_conn_param(c, "room"));
    if (thrum_send(c, THRUM_TEXT, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1) != THRUM_OK)
        thrum_conn_free(c);
}

/* ---- the other end ---- */

static int ask(const char *base, const char *path, const thrum_client_options *o)
{
    char url[256];
    thrum_conn *ws;
    thrum_error err;
    thrum_message m;
    snprintf(url, sizeof url, "%.*s%s", (int)strlen(base) - 1, base, path); /* base ends in "/" */
    if (thrum_connect(&ws, url, o, &err) == THRUM_OK) {
        if (thrum_recv(ws, &m, 5000) != THRUM_OK)
            example_lost(ws, path);
        printf("%-16s a WebSocket: %s\n", path, (const char *)m.data);
        thrum_message_release(&m);
        thrum_conn_free(ws);
        return 101;
    }
    if (err.status != THRUM_E_REFUSED)
        example_die(path, &err);
    size_t n;
    const char *body = (const char *)thrum_response_body(*o->response, &n);
    printf("%-16s %d %.*s\n", path, thrum_response_status(*o->response), (int)strcspn(body, "\n"), body);
    thrum_response_free(*o->response);
    return err.http_status;
}

static int ask_for_all(const char *url)
{
    static const char *const header[] = {"X-Member", "yes", NULL};
    thrum_response *r = NULL;
    const thrum_client_options *plain = THRUM_CLIENT(.response = &r);
    return ask(url, "/", plain) == 200 && ask(url, "/hello/G%C3%A9za", plain) == 200 &&
                   ask(url, "/rooms/attic", THRUM_CLIENT(.response = &r, .headers = header)) == 101 &&
                   ask(url, "/rooms/cellar", plain) == 403 && ask(url, "/nowhere", plain) == 404
               ? 0
               : 1;
}

int main(int argc, char **argv)
{
    static char page[] =
        "<!doctype html><title>routes</title><p id=p>connecting\n"
        "<script>const ws = new WebSocket(location.origin.replace('http', 'ws') + '/rooms/attic')\n"
        "ws.onmessage = (m) => { p.textContent = m.data }</script>\n";
    const thrum_route routes[] = {
        {.path = "/", .on_request = front_page, .arg = page},
        {.path = "/hello/:name", .on_request = greet},
        {.path = "/rooms/:room", .on_request = may_enter, .handlers = THRUM_HANDLERS(.on_open = on_open)},
        {.path = NULL}, /* anything else: 404 */
    };
    thrum_listener *server;
    thrum_error err;

    if (thrum_serve_loops(&server, 1, argc > 1 ? argv[1] : "ws://127.0.0.1:0/",
                          THRUM_SERVER(.routes = routes), &err) != THRUM_OK)
        example_die("serve", &err);
    printf("listening on %s\n", thrum_listener_url(server));
    fflush(stdout);
    if (argc > 1)
        return thrum_listener_wait(server, THRUM_FOREVER) == THRUM_OK ? 0 : 1;
    const int result = ask_for_all(thrum_listener_url(server));
    thrum_listener_free(server);
    return result;
}
