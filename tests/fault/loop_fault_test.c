/* loop_fault_test.c: whole scenarios of the event front in which every allocation and every system call
 * fails, each in turn (tests/lib/fault.h): as fault_test.c does it for the blocking front. Both ends are on
 * one loop, so a fault may hit either. Whatever fails: nothing leaks, hangs or crashes, each failing status
 * says why in words, and each connection that was begun is told its end, once.
 *
 * loop_fault_test [NAME...] runs these scenarios only. */
#include "base/clock.h"
#include "lib/fault.h"
#include "lib/peer.h"
#include "loop/poller.h"
#include "proto/codec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <thrum/loop.h>

enum { FAULT_MS = 60, LARGE = 100000 };

/* How long to wait: unharmed as long as it takes, under a fault not for what will never come. */
static int patience(const struct fault_report *r)
{
    return r->harmless ? PEER_MS : FAULT_MS;
}

struct play {
    struct fault_report *r;
    thrum_loop *l;
    thrum_listener *s;
    int opens, closes; /* of the server's side */
    int begun, client_opens, client_closes;
    int echoes, news;
    bool drained;
    uint8_t *large;
};

static void note(struct play *x, const char *call, thrum_status s)
{
    (void)fault_note(x->r, call, s, NULL);
}

/* ---- the server: an echo, whose connections hear the news ---- */

static void server_open(thrum_conn *c, void *arg)
{
    struct play *x = arg;
    x->opens++;
    note(x, "subscribe", thrum_subscribe(c, "news/today"));
    note(x, "subscribe", thrum_subscribe(c, "news/*"));
}

static void server_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct play *x = arg;
    note(x, "send", thrum_send(c, m->kind, m->data, m->len));
}

static void server_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct play *x = arg;
    (void)c;
    x->closes++;
    fault_check(x->r, why->status != THRUM_OK && why->text[0], "an end without a reason in words");
}

/* ---- the client: small, large, compressible, in parts; then the news, and the end ---- */

static void say(struct play *x, thrum_conn *c)
{
    static char text[3000];
    memset(text, 'c', sizeof text);
    note(x, "send", thrum_send(c, THRUM_TEXT, "small", 5));
    note(x, "send", thrum_send(c, THRUM_BINARY, x->large, LARGE));
    note(x, "send", thrum_send(c, THRUM_TEXT, text, sizeof text));
    note(x, "ping", thrum_ping(c, "p", 1, 0));
    thrum_status s = thrum_send_part(c, THRUM_TEXT, "in ", 3, false);
    note(x, "send_part", s);
    if (s == THRUM_OK)
        note(x, "send_part", thrum_send_part(c, THRUM_TEXT, "parts", 5, true));
}

static void client_open(thrum_conn *c, void *arg)
{
    struct play *x = arg;
    x->client_opens++;
    say(x, c);
}

static void drained(thrum_listener *s, void *arg)
{
    (void)s;
    ((struct play *)arg)->drained = true;
}

static void publish_later(thrum_conn *c, void *arg)
{
    struct play *x = arg;
    (void)c;
    note(x, "publish", thrum_publish(x->s, "news/today", THRUM_TEXT, "the news", 8));
}

static void drain_later(void *arg)
{
    struct play *x = arg;
    note(x, "drain", thrum_listener_drain(x->s, 1012, patience(x->r), drained, x));
}

static void client_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct play *x = arg;
    if (m->len == 8 && memcmp(m->data, "the news", 8) == 0) {
        x->news++;
        note(x, "pause", thrum_pause(c));
        note(x, "resume", thrum_resume(c));
        note(x, "after", thrum_loop_after(x->l, 0, drain_later, x, NULL));
        return;
    }
    fault_check(x->r, m->len != LARGE || memcmp(m->data, x->large, LARGE) == 0, "the echo is another");
    if (++x->echoes == 4)
        note(x, "post", thrum_post(x->l, 0, publish_later, x));
}

static void client_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct play *x = arg;
    (void)c;
    x->client_closes++;
    fault_check(x->r, why->status != THRUM_OK && why->text[0], "an end without a reason in words");
    fault_check(x->r, !x->r->harmless || why->close_code == 1012, "not closed for the restart");
}

static const thrum_handlers serving = {.size = sizeof serving,
                                       .on_open = server_open,
                                       .on_message = server_message,
                                       .on_close = server_close},
                            asking = {.size = sizeof asking,
                                      .on_open = client_open,
                                      .on_message = client_message,
                                      .on_close = client_close};

static void begin(struct play *x)
{
    thrum_error e;
    const thrum_server_options so = {.size = sizeof so,
                                     .handlers = &serving,
                                     .arg = x,
                                     .subprotocols = "a",
                                     .open_timeout = patience(x->r),
                                     .close_timeout = patience(x->r)};
    const thrum_client_options co = {.size = sizeof co,
                                     .subprotocols = "a, b",
                                     .open_timeout = patience(x->r),
                                     .close_timeout = patience(x->r)};
    if (fault_note(x->r, "listen", thrum_listen(&x->s, x->l, "ws://127.0.0.1:0/", &so, &e), &e) != THRUM_OK)
        return;
    thrum_status s = thrum_open(x->l, thrum_listener_url(x->s), &co, &asking, x, NULL, &e);
    x->begun += fault_note(x->r, "open", s, &e) == THRUM_OK;
}

static void loop_scenario(struct fault_report *r, void *arg)
{
    struct play x = {.r = r, .large = calloc(1, LARGE)};
    thrum_error e;
    (void)arg;
    memset(x.large, 'l', LARGE);
    if (fault_note(r, "loop_new", thrum_loop_new(&x.l, &e), &e) == THRUM_OK) {
        begin(&x);
        if (x.begun)
            note(&x, "run", thrum_loop_run(x.l, patience(r)));
        fault_check(r, !r->harmless || (x.echoes == 4 && x.news == 1 && x.drained), "not all was said");
        fault_check(r, thrum_loop_free(x.l) == THRUM_OK, "the loop is not freed");
        thrum_listener_free(x.s);
    }
    fault_check(r, x.client_closes == x.begun, "a client that was begun is not told its end once");
    fault_check(r, x.closes == x.opens, "a connection that was open is not told its end once");
    fault_check(r, !r->harmless || x.opens == 1, "not opened once");
    codec_trim(); /* what it lends, it may keep */
    free(x.large);
}

/* ---- loops on threads of the library's, and a peer of bytes ---- */

#define REQUEST                                                                                              \
    "GET / HTTP/1.1\r\nHost: f\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "      \
    "13\r\n"                                                                                                 \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

struct crew {
    _Atomic int opens, closes;
};

static void crew_open(thrum_conn *c, void *arg)
{
    ((struct crew *)arg)->opens++;
    (void)!thrum_subscribe(c, "t"); /* without it there is no news */
}

static void crew_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    (void)!thrum_send(c, m->kind, m->data, m->len);
}

static void crew_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)c, (void)why;
    ((struct crew *)arg)->closes++;
}

static const thrum_handlers crewing = {
    .size = sizeof crewing, .on_open = crew_open, .on_message = crew_message, .on_close = crew_close};

/* The peer's next bytes, as far as they come in time. */
static size_t get(int fd, char *b, size_t n, int ms)
{
    size_t at = 0;
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    while (at < n) {
        ssize_t k = recv(fd, b + at, n - at, 0);
        if (k <= 0)
            break;
        at += (size_t)k;
    }
    return at;
}

static bool talk(int fd, int ms)
{
    char head[1024] = "";
    size_t n = 0;
    while (n + 1 < sizeof head && get(fd, head + n, 1, ms) == 1)
        if (++n >= 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0)
            break;
    return n > 4 && strstr(head, " 101 ") && send(fd, "\x81\x82\0\0\0\0hi", 8, MSG_NOSIGNAL) == 8 &&
           get(fd, head, 4, ms) == 4 && memcmp(head, "\x81\2hi", 4) == 0;
}

static void crew_scenario(struct fault_report *r, void *arg)
{
    struct crew crew = {0};
    struct peer p;
    char got[8];
    thrum_listener *s;
    thrum_error e;
    (void)arg;
    const thrum_server_options o = {.size = sizeof o,
                                    .handlers = &crewing,
                                    .arg = &crew,
                                    .open_timeout = patience(r),
                                    .close_timeout = patience(r)};
    if (fault_note(r, "serve_loops", thrum_serve_loops(&s, 2, "ws://127.0.0.1:0/", &o, &e), &e) != THRUM_OK)
        return;
    if (peer_connect(&p, AF_INET, thrum_listener_port(s)) &&
        send(p.fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) > 0) {
        fault_check(r, talk(p.fd, patience(r)) || !r->harmless, "no echo without a fault");
        (void)fault_note(r, "publish", thrum_publish(s, "t", THRUM_TEXT, "news", 4), NULL);
        fault_check(r, get(p.fd, got, 6, patience(r)) == 6 || !r->harmless, "no news without a fault");
    }
    (void)fault_note(r, "drain", thrum_listener_drain(s, 0, patience(r), NULL, NULL), NULL);
    (void)send(p.fd, "\x88\x82\0\0\0\0\x03\xe9", 8, MSG_NOSIGNAL);
    peer_close(&p);
    (void)fault_note(r, "wait", thrum_listener_wait(s, patience(r)), NULL);
    thrum_listener_free(s);
    fault_check(r, crew.opens == crew.closes, "a connection that was open is not told its end once");
}

/* ---- all of them ---- */

static const struct scenario {
    const char *name;
    fault_scenario fn;
    const char *stride; /* where nothing else is asked for: all points of all scenarios take minutes */
} scenarios[] = {{"loop", loop_scenario, "5"}, {"loops", crew_scenario, "7"}};

static void run(void **state)
{
    const struct scenario *x = *state;
    bool asked = getenv("THRUM_FAULT_STRIDE") != NULL;
    if (!asked)
        setenv("THRUM_FAULT_STRIDE", x->stride, 1);
    int points = fault_run(x->name, x->fn, NULL, NULL);
    if (!asked)
        unsetenv("THRUM_FAULT_STRIDE");
    assert_true(points > 0);
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int k = 1; k < argc; k++)
        if (strcmp(argv[k], name) == 0)
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    enum { N = sizeof scenarios / sizeof scenarios[0] };
    struct CMUnitTest tests[N];
    struct poller *p = NULL;
    size_t n = 0;
    int e = poller_new_loop(&p, NULL);
    poller_free(p);
    if (e == ENOSYS) {
        printf("skipped: this machine has no %s\n", getenv("THRUM_BACKEND"));
        return 77;
    }
    for (size_t i = 0; i < N; i++)
        if (is_wanted(scenarios[i].name, argc, argv))
            tests[n++] = (struct CMUnitTest){.name = scenarios[i].name,
                                             .test_func = run,
                                             .initial_state = (void *)(uintptr_t)&scenarios[i]};
    if (n == 0) {
        fprintf(stderr, "%s: no scenario of that name\n", argv[0]);
        return 2;
    }
    return _cmocka_run_group_tests("loop_fault", tests, n, NULL, NULL);
}
