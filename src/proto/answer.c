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

static bool compose(thrum_proto *p, struct buf *b, int status, const struct thrum_reply *r, const char *extra,
                    const char *text)
{
    char line[512];
    const char *type = r && r->type ? r->type : "text/plain; charset=utf-8";
    const char *body = r && r->body ? r->body : text;
    size_t n = r && r->body ? r->n : strlen(text);
    bool bodiless = status == 204 || status == 304;
    size_t len = text_format(line, sizeof line, "HTTP/1.1 %d %s\r\nConnection: close\r\n%s%s%s%s", status,
                             http1_reason(status), p->set->server_name ? "Server: " : "",
                             p->set->server_name ? p->set->server_name : "",
                             p->set->server_name ? "\r\n" : "", extra ? extra : "");
    if (buf_append(b, line, len) != THRUM_OK || (r && buf_append(b, r->fields.p, r->fields.len) != THRUM_OK))
        return false;
    if (!bodiless) {
        len = text_format(line, sizeof line, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, n);
        if (buf_append(b, line, len) != THRUM_OK)
            return false;
    }
    if (buf_append(b, "\r\n", 2) != THRUM_OK)
        return false;
    return bodiless || is_head_request(p) || buf_append(b, body, n) == THRUM_OK;
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
