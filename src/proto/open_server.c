/* open_server.c: the server's opening handshake (RFC 6455 section 4.2), each step named for what it expects.
 *
 *   EXPECT_HEAD --server_head_done--> EXPECT_DECISION --proto_answer--> EXPECT_FRAME (101), or an HTTP answer
 * and the end */
#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha1.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include "proto/reply_int.h"
#include "wire/field.h"
#include "wire/uri.h"
#include <string.h>

struct refusal {
    int status;
    const char *why, *extra;
};

static struct refusal no(int status, const char *why)
{
    return (struct refusal){status, why, NULL};
}

static void refuse(thrum_proto *p, struct refusal r)
{
    char text[256];
    if (p->error.status == THRUM_OK)
        error_set(&p->error, THRUM_E_HANDSHAKE, "the request is refused: %s", r.why);
    text_format(text, sizeof text, "%s.\n", r.why);
    answer_http(p, r.status, NULL, r.extra, text);
}

/* What every HTTP/1.1 request must keep to, WebSocket or not. */
static struct refusal judge_http(const thrum_proto *p)
{
    const struct http1_head *h = p->parsed;
    if (h->minor == 0)
        return no(505, "HTTP/1.1 is needed");
    if (http1_count(h, "Host") != 1)
        return no(400, "there must be exactly one Host");
    if (!uri_is_host(http1_get(h, "Host", 0), NULL, NULL))
        return no(400, "the Host is malformed");
    if (http1_count(h, "Transfer-Encoding") > 0)
        return no(400, "a request here has no body");
    for (size_t i = 0; i < http1_count(h, "Content-Length"); i++)
        if (!field_equal(http1_get(h, "Content-Length", i), "0"))
            return no(400, "a request here has no body");
    const char *why = negotiate_host(p);
    return why ? no(403, why) : no(0, NULL);
}

static bool is_in_lists(const struct http1_head *h, const char *name, const char *token)
{
    for (size_t i = 0; i < http1_count(h, name); i++)
        if (field_list_has(http1_get(h, name, i), token))
            return true;
    return false;
}

static bool is_key(thrum_slice s)
{
    uint8_t bytes[18];
    return s.n == 24 && base64_decode(bytes, sizeof bytes, (const char *)s.p, s.n) == 16;
}

/* RFC 6455 section 4.2.1. */
static struct refusal judge_websocket(const thrum_proto *p)
{
    const struct http1_head *h = p->parsed;
    if (!field_equal(h->method, "GET"))
        return (struct refusal){405, "only GET is allowed", "Allow: GET\r\n"};
    if (!uri_is_target(h->target))
        return no(400, "the request target must begin with a slash");
    if (!is_in_lists(h, "Upgrade", "websocket"))
        return no(426, "this is a WebSocket server");
    if (!is_in_lists(h, "Connection", "upgrade"))
        return no(400, "Connection does not name upgrade");
    if (http1_count(h, "Sec-WebSocket-Version") != 1 ||
        !field_equal(http1_get(h, "Sec-WebSocket-Version", 0), "13"))
        return no(426, "only version 13 is spoken");
    if (http1_count(h, "Sec-WebSocket-Key") != 1 || !is_key(http1_get(h, "Sec-WebSocket-Key", 0)))
        return no(400, "Sec-WebSocket-Key must be 16 bytes of base64");
    if (p->request->noffered > OFFERED_MAX)
        return no(400, "more than 128 subprotocols are offered");
    for (size_t i = 0; i < p->request->noffered; i++)
        if (!field_is_token(field_text(p->request->offered[i])))
            return no(400, "Sec-WebSocket-Protocol is malformed");
    if (!extension_offers_parse(p))
        return no(400, "Sec-WebSocket-Extensions is malformed");
    const char *why = negotiate_origin(p);
    return why ? no(403, why) : no(0, NULL);
}

void server_head_done(thrum_proto *p)
{
    struct http1_head *h = p->parsed = mem_alloc(sizeof *h);
    const char *why = NULL;
    if (!h) {
        proto_fail(p, 0, THRUM_E_MEMORY, "no memory for the client's head");
        return;
    }
    int status = http1_parse_request(h, p->head.p, p->head.len, &why);
    if (status == 0 && p->set->forwarded_for)
        forwarded_peer(p);
    if (status == 0)
        p->request = request_new(p, h);
    if (status) {
        refuse(p, no(status, why));
        return;
    }
    if (!p->request || !(p->target = mem_strdup(p->request->target))) {
        proto_fail(p, 0, THRUM_E_MEMORY, "no memory for the client's head");
        return;
    }
    LOG(LOG_HTTP, LOG_DEBUG, p->host.id, "< %s request from %s", p->request->method, proto_peer(p));
    struct refusal r = judge_http(p);
    if (r.status) {
        refuse(p, r);
        return;
    }
    /* A callback may answer a request that is no handshake at all; without one there is nothing to ask. */
    r = judge_websocket(p);
    if (r.status && !p->set->on_request && !p->set->routed) {
        refuse(p, r);
        return;
    }
    p->expect = EXPECT_DECISION;
    if (p->defer)
        return;
    struct decision d;
    thrum_status s = proto_decide(p->request, p->set, &d);
    if (s == THRUM_OK)
        (void)proto_answer(p, &d, p->now);
    else
        (void)proto_refuse(p, 500, p->now);
    decision_free(&d);
}

const thrum_request *proto_asks(const thrum_proto *p)
{
    return p->expect == EXPECT_DECISION ? p->request : NULL;
}

thrum_status proto_decide(const thrum_request *r, const struct settings *s, struct decision *d)
{
    return proto_decide_by(r, s, s->on_request, s->arg, d);
}

thrum_status proto_decide_by(const thrum_request *r, const struct settings *s,
                             int (*on_request)(const thrum_request *r, thrum_reply *a, void *arg), void *arg,
                             struct decision *d)
{
    *d = (struct decision){.subprotocol = -1, .reply = reply_new()};
    if (!d->reply)
        return THRUM_E_MEMORY;
    if (on_request)
        d->status = on_request(r, d->reply, arg);
    if (d->status != 0 && d->status != 101)
        return THRUM_OK;
    if (!credentials_suffice(r, s)) {
        d->status = 401;
        return credentials_ask(d->reply, s);
    }
    if (s->on_subprotocol)
        d->subprotocol = s->on_subprotocol(r, (const char *const *)r->offered, r->noffered, s->arg);
    else
        d->subprotocol = negotiate_subprotocol(r, s);
    return THRUM_OK;
}

void decision_free(struct decision *d)
{
    reply_free(d->reply);
    d->reply = NULL;
}

static void accept_value(char out[BASE64_SIZE(20) + 1], thrum_slice key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */
    char text[24 + sizeof guid];
    uint8_t digest[20];
    memcpy(text, key.p, 24);
    memcpy(text + 24, guid, sizeof guid - 1);
    sha1(digest, text, 24 + sizeof guid - 1);
    base64_encode(out, digest, sizeof digest);
}

static bool put(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s)) == THRUM_OK;
}

static bool compose_101(thrum_proto *p, struct buf *b, const struct thrum_reply *r)
{
    char accept[BASE64_SIZE(20) + 1];
    accept_value(accept, http1_get(p->parsed, "Sec-WebSocket-Key", 0));
    bool done = put(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n") &&
                put(b, "Sec-WebSocket-Accept: ") && put(b, accept) && put(b, "\r\n");
    if (p->subprotocol)
        done = done && put(b, "Sec-WebSocket-Protocol: ") && put(b, p->subprotocol) && put(b, "\r\n");
    if (p->extensions)
        done = done && put(b, "Sec-WebSocket-Extensions: ") && put(b, p->extensions) && put(b, "\r\n");
    if (p->set->server_name)
        done = done && put(b, "Server: ") && put(b, p->set->server_name) && put(b, "\r\n");
    return done && (!r || buf_append(b, r->fields.p, r->fields.len) == THRUM_OK) && put(b, "\r\n");
}

void open_done(thrum_proto *p)
{
    p->expect = EXPECT_FRAME;
    control_heard(p);
    proto_set_state(p, THRUM_OPEN, "the opening handshake is done");
    mem_free(p->parsed);
    p->parsed = NULL;
    buf_free(&p->head);
    if (!event_push_copy(p, THRUM_EVENT_OPEN, 0, NULL, 0))
        proto_fail(p, 1011, THRUM_E_MEMORY, "no memory to say that the handshake is done");
}

static void switch_protocols(thrum_proto *p, const struct decision *d)
{
    struct buf b;
    buf_init(&b, (size_t)2 * REPLY_FIELDS_MAX);
    bool out = true;
    if (d->subprotocol >= 0 && (size_t)d->subprotocol < p->request->noffered)
        out = (p->subprotocol = mem_strdup(p->request->offered[d->subprotocol])) != NULL;
    out = out && extension_accept(p) == THRUM_OK;
    out = out && compose_101(p, &b, d->reply) && outbox_bytes(p, b.p, b.len) == THRUM_OK;
    buf_free(&b);
    if (!out) {
        proto_fail(p, 0, THRUM_E_MEMORY, "no memory for the answer to the handshake");
        return;
    }
    open_done(p);
    struct buf behind = p->behind;
    buf_init(&p->behind, BEHIND_MAX);
    if (behind.len > 0)
        assemble_feed(p, behind.p, behind.len);
    buf_free(&behind);
}

thrum_status proto_answer(thrum_proto *p, struct decision *d, thrum_time now)
{
    p->now = now;
    if (p->expect != EXPECT_DECISION)
        return THRUM_E_STATE;
    if (d->status != 0 && d->status != 101) {
        int status = d->status < 200 || d->status > 599 ? 500 : d->status;
        answer_http(p, status, d->reply, NULL, d->reply->body ? "" : http1_reason(status));
        return THRUM_OK;
    }
    struct refusal r = judge_websocket(p);
    if (r.status == 0 && d->subprotocol == -2)
        r = no(400, "none of the subprotocols offered will do");
    if (r.status)
        refuse(p, r);
    else
        switch_protocols(p, d);
    if (p->in_ended && p->state != THRUM_CLOSED) /* while it was being decided */
        proto_in_over(p, 0);
    return THRUM_OK;
}
