/* far_peer.c serve URL [CHAIN KEY] | DO URL CA: both ends of the bad line that far_test.py lays. It prints
 * what happens, a line each, and goes on when it is told to by a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/reconnect.h>
#include <thrum/server.h>
#include <thrum/tls.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 300000, MESSAGES = 12 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void say(const char *what, thrum_status s, double since, const char *text)
{
    printf("%s %s %.0f %s\n", what, thrum_status_name(s), now() - since, text);
    fflush(stdout);
}

static void await_line(void)
{
    char line[16];
    if (!fgets(line, sizeof line, stdin))
        exit(2);
}

/* ---- the server -----------------------------------------------------------------------------------------
 */

static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    thrum_status s;
    thrum_closing how = {.size = sizeof how};
    thrum_error e;
    const double from = now();
    (void)arg;
    while ((s = thrum_recv(c, &m, THRUM_FOREVER)) == THRUM_OK) {
        thrum_status sent = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (sent != THRUM_OK)
            break;
    }
    thrum_conn_error(c, &e);
    (void)thrum_conn_closing(c, &how);
    printf("ended %d ", how.recv_code);
    say("server", s, from, e.text);
}

static int serve(const char *url, const char *chain, const char *key)
{
    thrum_tls_options tls = {.size = sizeof tls, .cert_file = chain, .key_file = key};
    thrum_server *s;
    thrum_error e;
    if (thrum_serve(&s, url,
                    THRUM_SERVER(.serve = echo, .tls = chain ? &tls : NULL, .ping_interval = 500,
                                 .ping_timeout = 4000, .open_timeout = 20000, .close_timeout = 5000),
                    &e) != THRUM_OK) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    puts(thrum_server_url(s));
    fflush(stdout);
    await_line();
    thrum_server_free(s);
    return 0;
}

/* ---- the client -----------------------------------------------------------------------------------------
 */

static const char *url;
static thrum_tls_options trust = {.size = sizeof trust};

static thrum_client_options options(void)
{
    return (thrum_client_options){.size = sizeof(thrum_client_options), .tls = &trust, .open_timeout = 20000};
}

static thrum_conn *open_one(const thrum_client_options *o)
{
    const double from = now();
    thrum_conn *c = NULL;
    thrum_error e = {.status = THRUM_OK};
    thrum_status s = thrum_connect(&c, url, o, &e);
    say("open", s, from, s == THRUM_OK ? "" : e.text);
    return c;
}

static int open_within(const char *ms)
{
    thrum_client_options o = options();
    o.open_timeout = atoi(ms);
    thrum_conn_free(open_one(&o));
    return 0;
}

/* Messages of many sizes, all of them under way at once, and each comes back as it was. */
static int echoes(void)
{
    static uint8_t data[MOST];
    thrum_client_options o = options();
    thrum_conn *c = open_one(&o);
    thrum_status s = c ? THRUM_OK : THRUM_E_CLOSED;
    const double from = now();
    for (size_t i = 0; i < MOST; i++)
        data[i] = (uint8_t)(i * i >> 3);
    for (size_t i = 0; s == THRUM_OK && i < MESSAGES; i++)
        s = thrum_send(c, THRUM_BINARY, data + i, MOST / (i * i * i + 1));
    for (size_t i = 0; s == THRUM_OK && i < MESSAGES; i++) {
        thrum_message m;
        s = thrum_recv(c, &m, 60000);
        if (s != THRUM_OK)
            break;
        s = m.len == MOST / (i * i * i + 1) && memcmp(m.data, data + i, m.len) == 0 ? THRUM_OK
                                                                                    : THRUM_E_PROTOCOL;
        thrum_message_release(&m);
    }
    say("echoed", s, from, "");
    if (c)
        say("closed", thrum_close(c, 1000, "done"), from, "");
    thrum_conn_free(c);
    return 0;
}

/* Waits for a message that does not come, on a line that may be cut. */
static int keepalive(void)
{
    thrum_client_options o = options();
    thrum_message m;
    thrum_error e = {.status = THRUM_OK};
    o.ping_interval = 500;
    o.ping_timeout = 4000;
    thrum_conn *c = open_one(&o);
    if (!c)
        return 1;
    await_line();
    const double from = now();
    thrum_status s = thrum_recv(c, &m, THRUM_FOREVER);
    thrum_conn_error(c, &e);
    say("recv", s, from, e.text);
    thrum_conn_free(c);
    return 0;
}

static int closes(void)
{
    thrum_client_options o = options();
    thrum_error e = {.status = THRUM_OK};
    o.close_timeout = 1500;
    thrum_conn *c = open_one(&o);
    if (!c)
        return 1;
    await_line();
    const double from = now();
    thrum_status s = thrum_close(c, 1000, "done");
    thrum_conn_error(c, &e);
    say("closed", s, from, e.text);
    thrum_conn_free(c);
    return 0;
}

/* The end of the program with an open connection. */
static int leaves(void)
{
    thrum_client_options o = options();
    if (!open_one(&o))
        return 1;
    await_line();
    return 0;
}

static void on_phase(thrum_phase p, const thrum_error *why, thrum_span wait, void *arg)
{
    static const char *const names[] = {"idle", "connecting", "waiting", "open", "closed"};
    (void)wait;
    (void)arg;
    printf("phase %s %s\n", names[p], why ? why->text : "");
    fflush(stdout);
}

static int comes_back(void)
{
    thrum_client_options o = options();
    thrum_reconnect *r;
    thrum_message m;
    thrum_error e;
    o.ping_interval = 500;
    o.ping_timeout = 2000;
    o.open_timeout = 2000;
    if (thrum_reconnect_new(&r, url, &o,
                            THRUM_RECONNECT(.delay_first = 100, .delay_most = 500, .on_phase = on_phase),
                            &e) != THRUM_OK)
        return 1;
    for (int i = 0; i < 2; i++) {
        const double from = now();
        thrum_status s = thrum_reconnect_send(r, THRUM_TEXT, "hello", 5, 60000);
        s = s ? s : thrum_reconnect_recv(r, &m, 60000);
        say("echoed", s, from, "");
        if (s == THRUM_OK)
            thrum_message_release(&m);
        if (i == 0)
            await_line();
        if (i == 0) /* nobody says anything: the keepalive has to find out */
            say("recv", thrum_reconnect_recv(r, &m, 5000), from, "");
    }
    say("closed", thrum_reconnect_close(r, 1000, ""), now(), "");
    thrum_reconnect_free(r);
    return 0;
}

int main(int argc, char **argv)
{
    const char *does = argc > 1 ? argv[1] : "";
    if (strcmp(does, "serve") == 0 && argc > 2)
        return serve(argv[2], argc > 4 ? argv[3] : NULL, argc > 4 ? argv[4] : NULL);
    if (argc < 4) {
        fprintf(stderr, "usage: far_peer serve URL [CHAIN KEY] | open|echo|keepalive|close|leave|reconnect "
                        "URL CA [MS]\n");
        return 2;
    }
    url = argv[2];
    trust.ca_file = argv[3];
    return strcmp(does, "open") == 0        ? open_within(argc > 4 ? argv[4] : "1000")
           : strcmp(does, "echo") == 0      ? echoes()
           : strcmp(does, "keepalive") == 0 ? keepalive()
           : strcmp(does, "close") == 0     ? closes()
           : strcmp(does, "leave") == 0     ? leaves()
                                            : comes_back();
}
