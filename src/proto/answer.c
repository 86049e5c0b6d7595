/* answer.c: HTTP answers of a server that are not 101. The connection ends behind each of them: what the
 * client sent with or after its request is thrown away, never read as another request (smuggling, SECURITY.md
 * R16). */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include "proto/reply_int.h"
#include <string.h>

static bool is_head_request(const thrum_proto *p)
{
    return p->request && strcmp(p->request->method, "HEAD") == 0;
}

static bool put(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s)) == THRUM_OK;
}

/* A 426 must say what to upgrade to, and Connection must name Upgrade (RFC 9110 sections 7.8 and 15.5.22). */
static bool put_status(struct buf *b, int status)
{
    static const char upgrade[] =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    char line[96];
    text_format(line, sizeof line, "HTTP/1.1 %d %s\r\nConnection: close\r\n", status, http1_reason(status));
    return put(b, line) && (status != 426 || put(b, upgrade));
}

static bool put_content(struct buf *b, const char *type, size_t n)
{
    char line[64];
    text_format(line, sizeof line, "\r\nContent-Length: %zu\r\n", n);
    return put(b, "Content-Type: ") && put(b, type) && put(b, line);
}

/* Texts of any length go in whole: a line that is cut would run into the next. */
static bool compose(const thrum_proto *p, struct buf *b, int status, const struct thrum_reply *r,
                    const char *extra, const char *text)
{
    const char *name = p->set->server_name;
    const char *type = r && r->type ? r->type : "text/plain; charset=utf-8";
    const char *body = r && r->body ? r->body : text;
    size_t n = r && r->body ? r->n : strlen(text);
    bool bodiless = status == 204 || status == 304;
    return put_status(b, status) && (!name || (put(b, "Server: ") && put(b, name) && put(b, "\r\n"))) &&
           (!extra || put(b, extra)) && (!r || buf_append(b, r->fields.p, r->fields.len) == THRUM_OK) &&
           (bodiless || put_content(b, type, n)) && put(b, "\r\n") &&
           (bodiless || is_head_request(p) || buf_append(b, body, n) == THRUM_OK);
}

void answer_http(thrum_proto *p, int status, struct thrum_reply *r, const char *extra, const char *text)
{
    struct buf b;
    buf_init(&b, REPLY_BODY_MAX + 2 * REPLY_FIELDS_MAX);
    p->expect = EXPECT_NOTHING;
    p->http_answered = true;
    if (p->error.status == THRUM_OK)
        error_set(&p->error, THRUM_E_REFUSED, "the request was answered with %d %s", status,
                  http1_reason(status));
    p->error.http_status = (uint16_t)status;
    bool out = compose(p, &b, status, r, extra, text) && outbox_bytes(p, b.p, b.len) == THRUM_OK;
    buf_free(&b);
    LOG(LOG_HTTP, LOG_DEBUG, p->host.id, "> %d %s", status, http1_reason(status));
    if (!out) {
        proto_cut(p, THRUM_E_MEMORY, 0, "no memory for an HTTP answer", p->now);
        return;
    }
    int64_t ms = p->set->close_timeout;
    p->end_by = ms < 0 || ms > (INT64_MAX - p->now) / 1000000 ? INT64_MAX : p->now + ms * 1000000;
}

thrum_status proto_refuse(thrum_proto *p, int status, thrum_time now)
{
    p->now = now;
    if (!p->server || p->state != THRUM_CONNECTING || p->http_answered || p->failed)
        return THRUM_E_STATE;
    answer_http(p, status, NULL, NULL, status == 503 ? "This server is going away.\n" : "");
    return THRUM_OK;
}
