/* client_cases.c URL: the cases of a client against the server that tests/peers/peers_test.py runs. One line
 * for each, "ok NAME" or "FAIL NAME: why"; status 1 when any failed. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/stats.h>
#include <thrum/thrum.h>

enum { PATIENCE_MS = 20000, MOST = 1 << 20 };

static char base[256];
static unsigned failed;
static const char *name = "";
static char why[512];

/* The first thing that is wrong with the case. */
static bool is(bool ok, const char *what)
{
    if (!ok && !why[0])
        snprintf(why, sizeof why, "%s", what);
    return ok;
}

static bool is_ok(thrum_status s, const char *what)
{
    char text[160];
    snprintf(text, sizeof text, "%s: %s", what, thrum_status_name(s));
    return is(s == THRUM_OK, text);
}

static void judge(void)
{
    if (why[0])
        printf("FAIL %s: %s\n", name, why);
    else
        printf("ok %s\n", name);
    failed += why[0] != 0;
    why[0] = '\0';
}

static thrum_conn *open_at(const char *path, const thrum_client_options *o)
{
    char url[320];
    thrum_conn *c;
    thrum_error e;
    snprintf(url, sizeof url, "%s%s", base, path);
    if (thrum_connect(&c, url, o, &e) != THRUM_OK)
        is(false, e.text);
    return c;
}

static bool take(thrum_conn *c, thrum_kind kind, const void *data, size_t n)
{
    thrum_message m;
    if (!is_ok(thrum_recv(c, &m, PATIENCE_MS), "recv"))
        return false;
    bool same = is(m.kind == kind, "another kind came back") && is(m.len == n, "another length came back") &&
                is(memcmp(m.data, data, n) == 0, "other bytes came back");
    thrum_message_release(&m);
    return same;
}

static void leave(thrum_conn *c)
{
    if (c)
        is_ok(thrum_close(c, 1000, NULL), "close");
    thrum_conn_free(c);
}

static void case_sizes(const uint8_t *data, thrum_kind kind)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, MOST};
    name = kind == THRUM_TEXT ? "text of every length form" : "binary of every length form";
    thrum_conn *c = open_at("/echo", NULL);
    for (size_t i = 0; c && !why[0] && i < sizeof sizes / sizeof sizes[0]; i++)
        if (is_ok(thrum_send(c, kind, data, sizes[i]), "send"))
            take(c, kind, data, sizes[i]);
    leave(c);
    judge();
}

static void case_unicode(void)
{
    static const char text[] = "h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x8c\x8d";
    name = "text beyond ASCII";
    thrum_conn *c = open_at("/echo", NULL);
    if (c && is_ok(thrum_send(c, THRUM_TEXT, text, strlen(text)), "send"))
        take(c, THRUM_TEXT, text, strlen(text));
    leave(c);
    judge();
}

static void case_fragments_out(void)
{
    name = "fragments to the peer, a ping between, cut inside a character";
    thrum_conn *c = open_at("/echo", NULL);
    if (c && is_ok(thrum_send_part(c, THRUM_TEXT, "caf\xc3", 4, false), "first part") &&
        is_ok(thrum_ping(c, "between", 7, PATIENCE_MS), "ping between parts") &&
        is_ok(thrum_send_part(c, THRUM_TEXT, "", 0, false), "empty part") &&
        is_ok(thrum_send_part(c, THRUM_TEXT, "\xa9!", 2, true), "last part"))
        take(c, THRUM_TEXT, "caf\xc3\xa9!", 6);
    leave(c);
    judge();
}

static void case_fragments_in(void)
{
    name = "fragments from the peer, whole";
    thrum_conn *c = open_at("/fragments", NULL);
    if (c) {
        take(c, THRUM_TEXT, "one two three", 13);
        take(c, THRUM_BINARY, "\0\1\2", 3);
    }
    leave(c);
    judge();
    name = "fragments from the peer, in parts";
    c = open_at("/fragments", NULL);
    char got[64];
    size_t n = 0;
    thrum_message m = {0};
    while (c && !(m.part & THRUM_PART_LAST)) {
        thrum_message_release(&m);
        if (!is_ok(thrum_recv_part(c, &m, PATIENCE_MS), "recv_part") ||
            !is(n + m.len < sizeof got, "too long"))
            break;
        memcpy(got + n, m.data, m.len);
        n += m.len;
    }
    thrum_message_release(&m);
    is(!c || (n == 13 && memcmp(got, "one two three", 13) == 0), "the parts are another message");
    leave(c);
    judge();
}

static void case_ping(void)
{
    char payload[126] = "";
    name = "ping of 0 and 125 bytes";
    memset(payload, 'p', 125);
    thrum_conn *c = open_at("/echo", NULL);
    if (c) {
        is_ok(thrum_ping(c, "", 0, PATIENCE_MS), "empty ping");
        is_ok(thrum_ping(c, payload, 125, PATIENCE_MS), "long ping");
        is(thrum_latency(c) > 0, "no latency");
    }
    leave(c);
    judge();
    name = "the peer's ping is answered";
    c = open_at("/ping", NULL);
    if (c)
        take(c, THRUM_TEXT, "ponged", 6);
    leave(c);
    judge();
}

static void case_subprotocol(void)
{
    name = "subprotocol";
    thrum_conn *c = open_at("/subprotocol", THRUM_CLIENT(.subprotocols = "chat.v1, chat.v2"));
    const char *agreed = c ? thrum_conn_subprotocol(c) : NULL;
    is(agreed && strcmp(agreed, "chat.v2") == 0, "not the one that the server wants most");
    if (c)
        take(c, THRUM_TEXT, "chat.v2", 7);
    leave(c);
    judge();
}

static void case_header(void)
{
    static const char *const headers[] = {"X-Mine", "a b", NULL};
    name = "headers of our own";
    thrum_conn *c = open_at("/header", THRUM_CLIENT(.headers = headers, .origin = "http://peer.test"));
    if (c)
        take(c, THRUM_TEXT, "a b|http://peer.test", 20);
    leave(c);
    judge();
}

static void case_refused(void)
{
    char url[320];
    thrum_conn *c;
    thrum_error e;
    name = "an HTTP answer";
    snprintf(url, sizeof url, "%s/nowhere", base);
    thrum_status s = thrum_connect(&c, url, NULL, &e);
    is(s == THRUM_E_REFUSED && e.http_status == 404 && !c, "not refused with 404");
    is(strstr(e.text, "no such room") != NULL, e.text);
    judge();
}

static void case_close_by_us(uint16_t code, const char *reason)
{
    char label[64];
    thrum_closing end = {.size = sizeof end};
    snprintf(label, sizeof label, "we close with %u", code);
    name = label;
    thrum_conn *c = open_at("/echo", NULL);
    if (c && is_ok(thrum_close(c, code, reason), "close") && is_ok(thrum_conn_closing(c, &end), "closing")) {
        is(end.clean && !end.by_peer, "not clean, or not ours");
        is(end.recv_code == (code ? code : 1005), "the peer answered another code");
    }
    thrum_conn_free(c);
    judge();
}

static void case_close_by_peer(uint16_t code, const char *reason)
{
    char label[64], path[64];
    thrum_closing end = {.size = sizeof end};
    thrum_message m;
    snprintf(label, sizeof label, "the peer closes with %u", code);
    snprintf(path, sizeof path, "/close/%u/%s", code, reason);
    name = label;
    thrum_conn *c = open_at(path, NULL);
    if (c && is(thrum_recv(c, &m, PATIENCE_MS) == THRUM_E_CLOSED, "recv did not answer CLOSED") &&
        is_ok(thrum_conn_closing(c, &end), "closing")) {
        is(end.clean && end.by_peer, "not clean, or not the peer's");
        is(end.recv_code == code, "another code");
        is(strcmp(end.recv_reason, reason) == 0, "another reason");
    }
    thrum_conn_free(c);
    judge();
}

int main(int argc, char **argv)
{
    uint8_t *data = malloc(MOST);
    if (argc != 2 || !data) {
        fprintf(stderr, "usage: client_cases URL\n");
        return 2;
    }
    snprintf(base, sizeof base, "%s", argv[1]);
    for (size_t i = 0; i < MOST; i++)
        data[i] = (uint8_t)('a' + i * 7 % 26);
    case_sizes(data, THRUM_TEXT);
    case_sizes(data, THRUM_BINARY);
    free(data);
    case_unicode();
    case_fragments_out();
    case_fragments_in();
    case_ping();
    case_subprotocol();
    case_header();
    case_refused();
    case_close_by_us(1000, "bye");
    case_close_by_us(1001, NULL);
    case_close_by_us(4999, "");
    case_close_by_us(0, NULL);
    case_close_by_peer(1000, "done");
    case_close_by_peer(1011, "oops");
    case_close_by_peer(3000, "registered");
    return failed ? 1 : 0;
}
