/* bench/server/by_thrum.c: thrum's event server: `thrum PORT MODE [CERT KEY]`, MODE echo, tls, deflate or
 * broadcast. THRUM_BACKEND in the environment: epoll, uring or poll; `thrum 0 check` ends with 0 where the
 * system has it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/loop.h>
#include <thrum/tls.h>

enum { MOST_MESSAGE = 16 << 20, MOST_WAITING = 64 << 20, MOST_CONNS = 1 << 20 };
static thrum_listener *listener;
static const char everyone[] = "all";

static void echo(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    if (thrum_send(c, m->kind, m->data, m->len) != THRUM_OK)
        fputs("by_thrum: a message could not be sent\n", stderr);
}

static void join(thrum_conn *c, void *arg)
{
    (void)arg;
    if (thrum_subscribe(c, everyone) != THRUM_OK)
        fputs("by_thrum: a connection could not be subscribed\n", stderr);
}

static void to_all(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)c;
    (void)arg;
    thrum_publish(listener, everyone, m->kind, m->data, m->len);
}

int main(int argc, char **argv)
{
    thrum_loop *loop;
    thrum_error err;
    char url[64];
    if (argc < 3 || (strcmp(argv[2], "tls") == 0 && argc < 5)) {
        fputs("usage: thrum PORT echo|tls|deflate|broadcast [CERT KEY]\n", stderr);
        return 2;
    }
    const bool tls = strcmp(argv[2], "tls") == 0, broadcast = strcmp(argv[2], "broadcast") == 0;
    const bool deflate = strcmp(argv[2], "deflate") == 0;
    const char *backend = getenv("THRUM_BACKEND");
    snprintf(url, sizeof url, "%s://127.0.0.1:%s/", tls ? "wss" : "ws", argv[1]);
    if (thrum_loop_new(&loop, &err) != THRUM_OK) {
        fprintf(stderr, "by_thrum: %s\n", err.text);
        return 1;
    }
    if (backend != NULL && strstr(thrum_loop_backend(loop), backend) == NULL) {
        fprintf(stderr, "by_thrum: asked for %s, got %s\n", backend, thrum_loop_backend(loop));
        return 1;
    }
    if (strcmp(argv[2], "check") == 0)
        return thrum_loop_free(loop) == THRUM_OK ? 0 : 1;
    /* The conditions that its peers have: no pings, all connections, all that may wait to be written. */
    thrum_server_options o = {
        .size = sizeof o,
        .handlers = broadcast ? THRUM_HANDLERS(.on_open = join, .on_message = to_all)
                              : THRUM_HANDLERS(.on_message = echo),
        .max_conns = MOST_CONNS,
        .max_message = MOST_MESSAGE,
        .send_high = MOST_WAITING,
        .ping_interval = THRUM_FOREVER,
        .compress_idle = 1000, /* quiet for a second: what may be given back is */
        .compression = deflate ? THRUM_ON : THRUM_OFF,
        .reuse_port = getenv("BENCH_REUSEPORT") != NULL ? THRUM_ON : THRUM_OFF,
        .tls = tls ? THRUM_TLS(.cert_file = argv[3], .key_file = argv[4]) : NULL,
    };
    if (thrum_listen(&listener, loop, url, &o, &err) != THRUM_OK) {
        fprintf(stderr, "by_thrum: %s\n", err.text);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    return thrum_loop_run(loop, THRUM_FOREVER) == THRUM_OK ? 0 : 1;
}
