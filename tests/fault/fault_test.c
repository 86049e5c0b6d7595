/* fault_test.c: whole scenarios in which every allocation and every system call fails, each in turn, once and
 * from then on (tests/lib/fault.h). Whatever fails: nothing leaks, hangs or crashes, and every failing status
 * says why in words.
 *
 * The peers are bare sockets, so the faults do not hit them, and they bear anything: a scenario only judges
 * what the library answers. Unharmed it must succeed, so its waits are long then; under a fault they are
 * short, since what does not come for want of a system call is not to be waited for.
 *
 * fault_test [NAME...] runs these scenarios only. THRUM_FAULT_STRIDE=k takes every kth point of each; 1 all
 * of them. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/time.h>
#include "block/block_test.h"

enum { FAULT_MS = 100, LARGE = 100000 };

/* How long to wait for the peer, or for the library. */
static int patience(const struct fault_report *r)
{
    return r->harmless ? PEER_MS : FAULT_MS;
}

/* ---- the bare peer: no word of complaint when the other side is gone ---- */

static void set_patience(int fd, int ms)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

static bool put(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

static bool get(int fd, void *p, size_t n)
{
    for (char *at = p; n > 0;) {
        ssize_t k = recv(fd, at, n, 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

static bool get_head(int fd, char *head, size_t cap)
{
    size_t n = 0;
    while (n + 1 < cap && get(fd, head + n, 1)) {
        head[++n] = '\0';
        if (n >= 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

static void get_all(int fd)
{
    char trash[4096];
    while (recv(fd, trash, sizeof trash, 0) > 0)
        ;
}

/* A frame's first byte and payload, unmasked; -1: none came. */
static ssize_t get_frame(int fd, uint8_t *first, uint8_t *out, size_t cap)
{
    uint8_t h[2], ext[8], key[4] = {0};
    if (!get(fd, h, 2))
        return -1;
    uint64_t n = h[1] & 0x7f;
    size_t more = n == 126 ? 2 : n == 127 ? 8 : 0;
    if (more && !get(fd, ext, more))
        return -1;
    for (size_t i = 0; i < more; i++)
        n = (i ? n << 8 : 0) | ext[i];
    if (n > cap || ((h[1] & 0x80) && !get(fd, key, 4)) || !get(fd, out, (size_t)n))
        return -1;
    for (size_t i = 0; i < n; i++)
        out[i] ^= key[i % 4];
    *first = h[0];
    return (ssize_t)n;
}

/* A masked frame (its key is zero) or a bare one, of any length. */
static bool put_frame(int fd, uint8_t first, bool masked, const void *p, size_t n)
{
    uint8_t h[14] = {first};
    size_t more = n < 126 ? 0 : n < 65536 ? 2 : 8;
    h[1] = (uint8_t)((masked ? 0x80 : 0) | (more == 0 ? n : more == 2 ? 126 : 127));
    for (size_t i = 0; i < more; i++)
        h[2 + i] = (uint8_t)((uint64_t)n >> (8 * (more - 1 - i)));
    return put(fd, h, 2 + more + (masked ? 4 : 0)) && put(fd, p, n);
}

/* A server: shakes hands, then gives every frame back until Close, which it answers, or the end. */
struct serving {
    struct peer p;
    bool accepts, refuses; /* takes the connection first; answers 404 */
    int ms;
    uint8_t *room;
};

static void serve_frames(struct serving *s)
{
    uint8_t first;
    for (ssize_t n; (n = get_frame(s->p.fd, &first, s->room, LARGE)) >= 0;) {
        first = first == 0x89 ? 0x8a : first;
        if (!put_frame(s->p.fd, first, false, s->room, (size_t)n) || first == 0x88)
            break;
    }
}

/* Reads the request and answers it: 101, or 404. True: frames may follow. */
static bool answer(struct serving *s)
{
    static const char no[] =
        "HTTP/1.1 404 Not Found\r\nX-Why: not here\r\nContent-Length: 8\r\n\r\nno room\n";
    char head[4096], value[29], yes[256];
    const char *key = get_head(s->p.fd, head, sizeof head) ? strstr(head, "Sec-WebSocket-Key: ") : NULL;
    if (!key)
        return false;
    if (s->refuses)
        return put(s->p.fd, no, sizeof no - 1) && false;
    accept_value(value, key + 19, strcspn(key + 19, "\r"));
    int n = snprintf(
        yes, sizeof yes,
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
        value);
    return put(s->p.fd, yes, (size_t)n);
}

static void *answer_main(void *arg)
{
    (void)answer(arg);
    return NULL;
}

static void *serve_main(void *arg)
{
    struct serving *s = arg;
    if (s->accepts) {
        set_patience(s->p.listening, s->ms); /* of accept, too */
        s->p.fd = accept(s->p.listening, NULL, NULL);
        if (s->p.fd < 0)
            return NULL;
    }
    set_patience(s->p.fd, PEER_MS); /* the library's end of the stream is what ends it */
    if (answer(s))
        serve_frames(s);
    shutdown(s->p.fd, SHUT_WR);
    get_all(s->p.fd);
    return NULL;
}

/* ---- clients ---- */

/* Unattended there is no warden, whose end each run would have to wait for; the scenario "idle" has one. */
static void set_options(thrum_client_options *o, const struct fault_report *r, thrum_switch attended)
{
    *o = (thrum_client_options){.size = sizeof *o,
                                .subprotocols = "a, b",
                                .attended = attended,
                                .open_timeout = patience(r),
                                .close_timeout = patience(r),
                                .send_timeout = patience(r)};
}

/* A status of a call on a connection: where it failed, the connection, if it has ended, can say why. */
static thrum_status note(struct fault_report *r, thrum_conn *c, const char *call, thrum_status s)
{
    thrum_error e;
    (void)fault_note(r, call, s, NULL);
    thrum_conn_error(c, &e);
    fault_check(r, e.status == THRUM_OK || e.text[0], "an end without a reason in words");
    fault_check(r, s == THRUM_OK || thrum_status_text(s)[0], "a status without a text");
    return s;
}

static void take(struct fault_report *r, thrum_conn *c, const void *want, size_t n)
{
    thrum_message m;
    if (note(r, c, "recv", thrum_recv(c, &m, patience(r))) == THRUM_OK) {
        fault_check(r, m.len == n && memcmp(m.data, want, n) == 0, "the echo is not what was sent");
        thrum_message_release(&m);
    }
}

static void use_echo(struct fault_report *r, thrum_conn *c)
{
    static const thrum_slice v[2] = {{(const uint8_t *)"hel", 3}, {(const uint8_t *)"lo", 2}};
    if (note(r, c, "sendv", thrum_sendv(c, THRUM_TEXT, v, 2)) == THRUM_OK)
        take(r, c, "hello", 5);
    (void)note(r, c, "close", thrum_close(c, 1000, "done"));
}

static void use_large(struct fault_report *r, thrum_conn *c)
{
    static uint8_t data[LARGE];
    memset(data, 'x', sizeof data);
    if (note(r, c, "send", thrum_send(c, THRUM_BINARY, data, sizeof data)) == THRUM_OK)
        take(r, c, data, sizeof data);
    (void)note(r, c, "close", thrum_close(c, 1000, NULL));
}

static void use_parts(struct fault_report *r, thrum_conn *c)
{
    static uint8_t part[3000];
    thrum_message m = {0};
    size_t got = 0;
    memset(part, 'p', sizeof part);
    for (int i = 0; i < 3; i++)
        if (note(r, c, "send_part", thrum_send_part(c, THRUM_TEXT, part, sizeof part, i == 2)) != THRUM_OK)
            return;
    while (!(m.part & THRUM_PART_LAST)) {
        thrum_message_release(&m);
        if (note(r, c, "recv_part", thrum_recv_part(c, &m, patience(r))) != THRUM_OK)
            return;
        got += m.len;
    }
    thrum_message_release(&m);
    fault_check(r, got == 3 * sizeof part, "the parts are not what was sent");
}

static void use_ping(struct fault_report *r, thrum_conn *c)
{
    for (int i = 0; i < 2; i++)
        (void)note(r, c, "ping", thrum_ping(c, i ? "you" : NULL, i ? 3 : 0, patience(r)));
    (void)note(r, c, "pong", thrum_pong(c, "heartbeat", 9));
    fault_check(r, !r->harmless || thrum_latency(c) > 0, "no latency after a pong");
}

struct client {
    int family; /* 0: over a pair, else thrum_connect to a listening socket */
    void (*use)(struct fault_report *r, thrum_conn *c); /* NULL: the server answers 404 */
};

static void client_scenario(struct fault_report *r, void *arg)
{
    static uint8_t room[LARGE];
    const struct client *how = arg;
    struct serving s = {.accepts = how->family != 0, .refuses = !how->use, .ms = patience(r), .room = room};
    thrum_client_options o;
    thrum_conn *c;
    thrum_error e;
    pthread_t t;
    int ours = -1;
    bool there = s.accepts ? peer_listen(&s.p, how->family, 4) : peer_pair(&s.p, AF_UNIX, &ours);
    if (!fault_check(r, there && pthread_create(&t, NULL, serve_main, &s) == 0, "no peer"))
        return;
    set_options(&o, r, THRUM_OFF);
    thrum_status st =
        s.accepts ? thrum_connect(&c, s.p.url, &o, &e) : thrum_connect_fd(&c, ours, "ws://f.test/", &o, &e);
    if (!how->use) {
        fault_check(r, st != THRUM_OK && c == NULL && e.status == st && e.text[0], "a refusal that is none");
        fault_check(r, !r->harmless || (st == THRUM_E_REFUSED && e.http_status == 404),
                    "not the 404 that was said");
    } else if (fault_note(r, "connect", st, &e) == THRUM_OK) {
        how->use(r, c);
    }
    thrum_conn_free(c);
    pthread_join(t, NULL);
    peer_close(&s.p);
}

/* Left alone: the warden answers the peer's ping, or, under a fault, does not; then the connection is
 * dropped. */
static void idle_scenario(struct fault_report *r, void *arg)
{
    struct serving s = {.ms = patience(r)};
    thrum_client_options o;
    thrum_conn *c;
    thrum_error e;
    uint8_t first, got[64];
    pthread_t t;
    int ours;
    (void)arg;
    if (!fault_check(r, peer_pair(&s.p, AF_UNIX, &ours) && pthread_create(&t, NULL, answer_main, &s) == 0,
                     "no peer"))
        return;
    set_options(&o, r, THRUM_DEFAULT);
    thrum_status st = thrum_connect_fd(&c, ours, "ws://f.test/", &o, &e);
    (void)fault_note(r, "connect", st, &e);
    pthread_join(t, NULL); /* where connect has failed, it finds the end of the stream */
    set_patience(s.p.fd, patience(r));
    if (st == THRUM_OK) {
        bool ponged =
            put_frame(s.p.fd, 0x89, false, "you", 3) && get_frame(s.p.fd, &first, got, sizeof got) == 3;
        fault_check(r, ponged || !r->harmless, "no pong without a fault");
    }
    thrum_conn_free(c);
    get_all(s.p.fd);
    peer_close(&s.p);
}

/* ---- servers ---- */

#define REQUEST                                                                                              \
    "GET / HTTP/1.1\r\nHost: f\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "      \
    "13\r\n"                                                                                                 \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: b, a\r\n\r\n"

/* Everything a client of bytes says; it stops where the server does not answer. True: it had its echo. */
static bool talk(int fd)
{
    char head[4096];
    uint8_t first, got[64];
    return put(fd, REQUEST, sizeof REQUEST - 1) && get_head(fd, head, sizeof head) && strstr(head, " 101 ") &&
           put_frame(fd, 0x81, true, "hello", 5) && get_frame(fd, &first, got, sizeof got) == 5;
}

static void *talk_main(void *arg)
{
    struct peer *p = arg;
    if (talk(p->fd))
        (void)put_frame(p->fd, 0x88, true, "\x03\xe8", 2);
    shutdown(p->fd, SHUT_WR); /* where a fault has kept it from saying Close */
    get_all(p->fd);
    return NULL;
}

static int on_request(const thrum_request *q, thrum_reply *a, void *arg)
{
    (void)q;
    if (thrum_reply_header(a, "X-Fault", "test") != THRUM_OK)
        return 500;
    if (arg && thrum_reply_body(a, NULL, "not here\n", 9) != THRUM_OK)
        return 500;
    return arg ? 404 : 0;
}

static void use_accepted(struct fault_report *r, thrum_conn *c)
{
    thrum_message m;
    if (note(r, c, "recv", thrum_recv(c, &m, patience(r))) == THRUM_OK) {
        (void)note(r, c, "send", thrum_send(c, m.kind, m.data, m.len));
        thrum_message_release(&m);
    }
    thrum_status s = thrum_recv(c, &m, patience(r));
    (void)note(r, c, "recv the end", s == THRUM_E_CLOSED ? THRUM_OK : s);
    thrum_message_release(&m);
}

static void accept_scenario(struct fault_report *r, void *arg)
{
    struct peer p;
    thrum_conn *c;
    thrum_error e;
    pthread_t t;
    int ours;
    const thrum_server_options o = {.size = sizeof o,
                                    .subprotocols = "a",
                                    .attended = THRUM_OFF,
                                    .on_request = on_request,
                                    .arg = arg,
                                    .open_timeout = patience(r),
                                    .close_timeout = patience(r),
                                    .send_timeout = patience(r)};
    if (!fault_check(r, peer_pair(&p, AF_UNIX, &ours) && pthread_create(&t, NULL, talk_main, &p) == 0,
                     "no peer"))
        return;
    thrum_status s = thrum_accept_fd(&c, ours, &o, &e);
    if (arg)
        fault_check(r, s != THRUM_OK && e.status == s && e.text[0], "a refusal that is none");
    else if (fault_note(r, "accept", s, &e) == THRUM_OK)
        use_accepted(r, c);
    thrum_conn_free(c);
    pthread_join(t, NULL);
    peer_close(&p);
}

static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            return;
    }
}

static void count_one(thrum_conn *c, void *arg)
{
    (void)c;
    ++*(int *)arg;
}

static void use_server(struct fault_report *r, thrum_server *s, int fd)
{
    uint8_t first, got[64];
    size_t sent = 0, skipped = 0;
    int seen = 0;
    set_patience(fd, patience(r));
    fault_check(r, talk(fd) || !r->harmless, "no echo without a fault");
    (void)fault_note(r, "broadcast", thrum_server_broadcast(s, THRUM_TEXT, "all", 3, &sent, &skipped), NULL);
    (void)fault_note(r, "each", thrum_server_each(s, count_one, &seen), NULL);
    fault_check(r, !r->harmless || (sent == 1 && seen == 1), "the one connection was not seen");
    fault_check(r, !r->harmless || get_frame(fd, &first, got, sizeof got) == 3,
                "no broadcast without a fault");
    (void)put_frame(fd, 0x88, true, "\x03\xe8", 2);
    shutdown(fd, SHUT_WR);
    get_all(fd);
}

struct serve {
    const char *url;
    thrum_switch attended;
};

/* A whole server with its threads: a client talks, hears a broadcast, and the server drains. */
static void serve_scenario(struct fault_report *r, void *arg)
{
    const struct serve *how = arg;
    thrum_server *s;
    thrum_error e;
    struct peer p;
    const thrum_server_options o = {.size = sizeof o,
                                    .serve = echo,
                                    .attended = how->attended,
                                    .on_request = on_request,
                                    .open_timeout = patience(r),
                                    .close_timeout = patience(r),
                                    .send_timeout = patience(r)};
    if (fault_note(r, "serve", thrum_serve(&s, how->url, &o, &e), &e) != THRUM_OK)
        return;
    bool local = thrum_server_port(s) == 0;
    if (local ? peer_connect_unix(&p, thrum_server_url(s) + strlen("ws+unix:"))
              : peer_connect(&p, AF_INET, thrum_server_port(s)))
        use_server(r, s, p.fd);
    peer_close(&p);
    (void)fault_note(r, "drain", thrum_server_drain(s, 0, patience(r)), NULL);
    thrum_server_free(s);
}

/* ---- all of them ---- */

static char socket_url[64];
static const struct client dialled = {AF_INET, use_echo}, dialled_unix = {AF_UNIX, use_echo},
                           refused = {0, NULL}, echoing = {0, use_echo}, large = {0, use_large},
                           parts = {0, use_parts}, pinging = {0, use_ping};
static const struct serve tcp = {"ws://127.0.0.1:0/", THRUM_OFF}, watched = {"ws://127.0.0.1:0/", THRUM_ON},
                          local_socket = {socket_url, THRUM_OFF};

static const struct scenario {
    const char *name;
    fault_scenario fn;
    const void *arg;
    bool own_thread;    /* else the faults hit the library's threads, too */
    const char *stride; /* where nothing else is asked for: all points of all scenarios take minutes */
} scenarios[] = {
    {"connect", client_scenario, &dialled, true, "1"},
    {"connect-unix", client_scenario, &dialled_unix, true, "1"},
    {"connect-refused", client_scenario, &refused, true, "1"},
    {"echo", client_scenario, &echoing, true, "1"},
    {"large", client_scenario, &large, true, "1"},
    {"parts", client_scenario, &parts, true, "1"},
    {"ping", client_scenario, &pinging, true, "1"},
    {"idle", idle_scenario, NULL, false, "5"},
    {"accept", accept_scenario, NULL, true, "1"},
    {"accept-refused", accept_scenario, "refuse", true, "1"},
    {"serve", serve_scenario, &tcp, false, "3"},
    {"serve-watched", serve_scenario, &watched, false, "7"},
    {"serve-unix", serve_scenario, &local_socket, false, "5"},
};

static void run(void **state)
{
    const struct scenario *x = *state;
    bool asked = getenv("THRUM_FAULT_STRIDE") != NULL;
    if (!asked)
        setenv("THRUM_FAULT_STRIDE", x->stride, 1);
    int points = fault_run(x->name, x->fn, (void *)(uintptr_t)x->arg,
                           &(struct fault_options){.own_thread = x->own_thread});
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
    size_t n = 0;
    snprintf(socket_url, sizeof socket_url, "ws+unix:/tmp/thrum-fault-%d.sock", (int)getpid());
    for (size_t i = 0; i < N; i++)
        if (is_wanted(scenarios[i].name, argc, argv))
            tests[n++] = (struct CMUnitTest){.name = scenarios[i].name,
                                             .test_func = run,
                                             .initial_state = (void *)(uintptr_t)&scenarios[i]};
    if (n == 0) {
        fprintf(stderr, "%s: no scenario of that name\n", argv[0]);
        return 2;
    }
    return _cmocka_run_group_tests("fault", tests, n, NULL, NULL);
}
