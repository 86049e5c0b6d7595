/* open_client.c: the client's opening handshake (RFC 6455 section 4.1).
 *
 *   client_begin (request out) --client_head_done--> EXPECT_FRAME (101)
 *                              |--1xx--> EXPECT_HEAD again
 *                              '--any other status--> EXPECT_BODY --client_refused--> the end */
#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha1.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include "wire/field.h"
#include "wire/uri.h"
#include <string.h>

enum { REQUEST_MAX = 128 * 1024, INTERIM_MAX = 8, KEY_SIZE = BASE64_SIZE(16) };

static thrum_status put(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

static thrum_status put_field(struct buf *b, const char *name, const char *value)
{
    if (!value)
        return THRUM_OK;
    thrum_status s = put(b, name);
    s = s ? s : put(b, ": ");
    s = s ? s : put(b, value);
    return s ? s : put(b, "\r\n");
}

static thrum_status put_subprotocols(struct buf *b, char **v)
{
    if (!v || !v[0])
        return THRUM_OK;
    thrum_status s = put(b, "Sec-WebSocket-Protocol: ");
    for (size_t i = 0; v[i]; i++) {
        s = s || i == 0 ? s : put(b, ", ");
        s = s ? s : put(b, v[i]);
    }
    return s ? s : put(b, "\r\n");
}

static thrum_status put_extensions(struct buf *b, const struct settings *set)
{
    if (!set->compression)
        return THRUM_OK;
    thrum_status s = put(b, "Sec-WebSocket-Extensions: ");
    s = s ? s : extension_offer(set, b);
    return s ? s : put(b, "\r\n");
}

/* What tells who the user is. */
static bool is_private(const char *name)
{
    static const char *const names[] = {"Authorization", "Proxy-Authorization", "Cookie", "Cookie2"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (field_equal_case(field_text(name), names[i]))
            return true;
    return false;
}

static thrum_status put_headers(struct buf *b, const struct settings *set, const struct client_more *more)
{
    thrum_status s = THRUM_OK;
    for (size_t i = 0; set->headers && set->headers[i] && s == THRUM_OK; i += 2)
        if (!more->foreign || !is_private(set->headers[i]))
            s = put_field(b, set->headers[i], set->headers[i + 1]);
    for (size_t i = 0; more->fields && more->fields[i] && s == THRUM_OK; i += 2)
        s = put_field(b, more->fields[i], more->fields[i + 1]);
    return s;
}

static thrum_status compose(const thrum_proto *p, struct buf *b, const char *host,
                            const struct client_more *more)
{
    const struct settings *set = p->set;
    thrum_status s = put(b, "GET ");
    s = s ? s : put(b, p->target);
    s = s ? s : put(b, " HTTP/1.1\r\n");
    s = s ? s : put_field(b, "Host", host);
    s = s ? s : put(b, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    s = s ? s : put_field(b, "Sec-WebSocket-Key", p->key);
    s = s ? s : put(b, "Sec-WebSocket-Version: 13\r\n");
    s = s ? s : put_field(b, "Origin", set->origin);
    s = s ? s : put_subprotocols(b, set->subprotocols);
    s = s ? s : put_extensions(b, set);
    s = s ? s : put_field(b, "User-Agent", set->user_agent);
    s = s ? s : put_headers(b, set, more);
    return s ? s : put(b, "\r\n");
}

static thrum_status queue_request(thrum_proto *p, const char *host, const struct client_more *more,
                                  thrum_error *err)
{
    struct buf b;
    buf_init(&b, REQUEST_MAX);
    thrum_status s = p->target ? compose(p, &b, host, more) : THRUM_E_MEMORY;
    s = s ? s : outbox_bytes(p, b.p, b.len);
    buf_free(&b);
    if (s == THRUM_E_TOO_BIG)
        return error_set(err, THRUM_E_ARGUMENT,
                         "the request is over 128 KiB: make the URL or .headers shorter");
    return s ? error_set(err, s, "no memory for the request") : THRUM_OK;
}

static thrum_status make_key(thrum_proto *p, thrum_error *err)
{
    uint8_t bytes[16];
    if (p->host.random(p->host.ctx, bytes, sizeof bytes) != 0)
        return error_set(err, THRUM_E_SYSTEM, "the system gives no random bytes for the handshake");
    p->key = mem_alloc(KEY_SIZE + 1);
    if (!p->key)
        return error_set(err, THRUM_E_MEMORY, "no memory for the handshake");
    base64_encode(p->key, bytes, sizeof bytes);
    return THRUM_OK;
}

/* The target as it is sent: "/" where the URL has none, "/?x" where it has a query only. */
static char *make_target(const struct uri *u)
{
    bool slash = u->target.n == 0 || u->target.p[0] == '?';
    char *s = mem_alloc(u->target.n + 2);
    if (!s)
        return NULL;
    s[0] = '/';
    if (u->target.n > 0)
        memcpy(s + slash, u->target.p, u->target.n);
    s[u->target.n + slash] = '\0';
    return s;
}

static thrum_status read_url(struct uri *u, const char *url, thrum_error *err)
{
    const char *why = "it is NULL";
    if (!url || !uri_parse(u, field_text(url), false, &why))
        return error_set(err, THRUM_E_ARGUMENT, "the URL cannot be used: %s", why);
    if (u->user.p)
        return error_set(err, THRUM_E_ARGUMENT,
                         "the core does not use credentials in a URL: pass an Authorization header");
    return THRUM_OK;
}

thrum_status client_begin(thrum_proto *p, const char *url, const struct client_more *more, thrum_error *err)
{
    struct uri u;
    char host[300];
    thrum_status s = read_url(&u, url, err);
    s = s ? s : make_key(p, err);
    if (s != THRUM_OK)
        return s;
    p->target = make_target(&u);
    if (uri_host(&u, host, sizeof host) == 0)
        return error_set(err, THRUM_E_ARGUMENT, "the host in the URL is too long");
    LOG(LOG_HTTP, LOG_DEBUG, p->host.id, "> GET request to %s", host);
    return queue_request(p, host, more, err);
}

/* ---- the answer
 * --------------------------------------------------------------------------------------------------- */

static bool is_accepted(const thrum_proto *p, thrum_slice value)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_SIZE + sizeof guid], want[BASE64_SIZE(20) + 1];
    uint8_t digest[20];
    memcpy(text, p->key, KEY_SIZE);
    memcpy(text + KEY_SIZE, guid, sizeof guid - 1);
    sha1(digest, text, KEY_SIZE + sizeof guid - 1);
    base64_encode(want, digest, sizeof digest);
    return field_equal(value, want);
}

/* What is wrong with a 101, or NULL (RFC 6455 section 4.1, the numbered list at its end). */
static const char *judge(thrum_proto *p, const char **subprotocol)
{
    const struct http1_head *h = p->parsed;
    if (h->minor == 0)
        return "the server speaks HTTP/1.0";
    if (http1_count(h, "Upgrade") != 1 || !field_equal_case(http1_get(h, "Upgrade", 0), "websocket"))
        return "the server's answer has not exactly one Upgrade: websocket";
    if (http1_count(h, "Connection") != 1 || !field_list_has(http1_get(h, "Connection", 0), "upgrade"))
        return "the server's answer has no Connection: Upgrade";
    if (http1_count(h, "Sec-WebSocket-Accept") != 1 ||
        !is_accepted(p, http1_get(h, "Sec-WebSocket-Accept", 0)))
        return "the server's Sec-WebSocket-Accept does not fit our key";
    const char *why = extension_answered(p);
    return why ? why : negotiate_chosen(p, subprotocol);
}

static void switched(thrum_proto *p)
{
    const char *subprotocol = NULL, *why = judge(p, &subprotocol);
    if (why) {
        proto_fail(p, 0, THRUM_E_HANDSHAKE, "%s", why);
        p->error.http_status = 101;
        return;
    }
    if (subprotocol && !(p->subprotocol = mem_strdup(subprotocol))) {
        proto_fail(p, 0, THRUM_E_MEMORY, "no memory for the handshake");
        return;
    }
    open_done(p);
}

/* How the body ends: RFC 9112 section 6.3. */
static void expect_body(thrum_proto *p)
{
    const struct http1_head *h = p->parsed;
    thrum_slice s = http1_get(h, "Content-Length", 0);
    uint64_t n = 0;
    bool coded = http1_count(h, "Transfer-Encoding") > 0;
    p->body_known = s.n > 0 && s.n < 10 && !coded;
    for (size_t i = 0; i < s.n && p->body_known; i++) {
        p->body_known = s.p[i] >= '0' && s.p[i] <= '9';
        n = n * 10 + (uint64_t)(s.p[i] - '0');
    }
    p->body_left = p->body_known && n < BODY_MAX ? n : BODY_MAX;
    if (coded && field_equal_case(http1_get(h, "Transfer-Encoding", 0), "chunked"))
        p->chunked = mem_zalloc(sizeof *p->chunked); /* without memory the body shows its coding */
    p->head.len = 0;
    p->expect = EXPECT_BODY;
    if (p->body_left == 0 || h->status == 204 || h->status == 304)
        client_refused(p);
}

static bool parse(thrum_proto *p)
{
    const char *why = NULL;
    struct http1_head *h = p->parsed ? p->parsed : mem_alloc(sizeof *h);
    p->parsed = h;
    if (!h) {
        proto_fail(p, 0, THRUM_E_MEMORY, "no memory for the server's head");
        return false;
    }
    int bad = http1_parse_response(h, p->head.p, p->head.len, &why);
    request_free(p->request);
    p->request = bad ? NULL : request_new(p, h);
    if (bad)
        proto_fail(p, 0, THRUM_E_HANDSHAKE, "the server's answer is not HTTP/1.1: %s", why);
    else if (!p->request)
        proto_fail(p, 0, THRUM_E_MEMORY, "no memory for the server's head");
    return p->request != NULL;
}

void client_head_done(thrum_proto *p)
{
    if (!parse(p))
        return;
    uint16_t status = p->parsed->status;
    LOG(LOG_HTTP, LOG_DEBUG, p->host.id, "< %d", status);
    if (status == 101) {
        switched(p);
    } else if (status >= 200) {
        expect_body(p);
    } else if (++p->skipped > INTERIM_MAX) {
        proto_fail(p, 0, THRUM_E_HANDSHAKE, "the server sends interim answers without end");
    } else {
        p->head.len = 0;
        p->scan = (struct http1_scan){0};
    }
}

static void keep_body(thrum_proto *p, thrum_slice s)
{
    size_t take = s.n < p->body_left ? s.n : (size_t)p->body_left;
    (void)buf_append(&p->head, s.p, take); /* without memory it is shorter */
    p->body_left -= take;
}

void client_body(thrum_proto *p, const uint8_t *d, size_t n)
{
    thrum_slice in = {d, n}, piece;
    enum chunked_result r = CHUNKED_MORE;
    if (!p->chunked)
        keep_body(p, in);
    while (p->chunked && p->body_left > 0 && (r = chunked_next(p->chunked, &in, &piece)) == CHUNKED_DATA)
        keep_body(p, piece);
    if (p->body_left == 0 || r == CHUNKED_END || r == CHUNKED_BAD)
        client_refused(p);
}

void client_refused(thrum_proto *p)
{
    char line[120] = "";
    const uint8_t *lf = p->head.len ? memchr(p->head.p, '\n', p->head.len) : NULL;
    size_t n = lf ? (size_t)(lf - p->head.p) : p->head.len;
    while (n > 0 && (p->head.p[n - 1] == '\r' || p->head.p[n - 1] == ' '))
        n--;
    if (n > 0)
        text_escape(line, sizeof line, p->head.p, n);
    int status = p->parsed->status;
    const char *phrase = http1_reason(status); /* the server's own stood where the body is now */
    proto_fail(p, 0, THRUM_E_REFUSED, "the server answered %d%s%s%s%s", status, phrase[0] ? " " : "", phrase,
               line[0] ? ": " : "", line);
    p->error.http_status = (uint16_t)status;
    p->error.by_peer = 1;
}
