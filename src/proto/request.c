/* request.c: the peer's head as the user sees it: texts that end in NUL; and the reply that a callback makes.
 */
#include "base/mem.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include "proto/reply_int.h"
#include "wire/field.h"
#include <string.h>

static char *put(char **at, thrum_slice s)
{
    char *begin = *at;
    if (s.n > 0)
        memcpy(begin, s.p, s.n);
    begin[s.n] = '\0';
    *at += s.n + 1;
    return begin;
}

/* The subprotocols that are offered, as one list over all fields of that name (RFC 9110 section 5.3). A head
 * has room for tens of thousands: of too many only so many are kept as show it. */
static size_t split_offered(thrum_slice offered[OFFERED_MAX + 1], const struct http1_head *h)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        thrum_slice rest = h->fields[i].value;
        if (!field_equal_case(h->fields[i].name, "Sec-WebSocket-Protocol"))
            continue;
        while (n <= OFFERED_MAX && field_list_next(&rest, &offered[n]))
            n++;
    }
    return n;
}

thrum_request *request_new(const thrum_proto *p, const struct http1_head *h)
{
    thrum_request *r = mem_zalloc(sizeof *r);
    if (!r)
        return NULL;
    thrum_slice offered[OFFERED_MAX + 1];
    r->n = h->n;
    r->noffered = split_offered(offered, h);
    size_t size = h->method.n + h->target.n + h->reason.n + strlen(proto_peer(p)) + 4 + credentials_size(h);
    for (size_t i = 0; i < h->n; i++)
        size += h->fields[i].name.n + h->fields[i].value.n + 2;
    for (size_t i = 0; i < r->noffered; i++)
        size += offered[i].n + 1;
    r->names = mem_zalloc(((h->n + 1) * 2 + r->noffered + 1) * sizeof *r->names);
    char *at = r->text = mem_alloc(size);
    if (!r->names || !at) {
        request_free(r);
        return NULL;
    }
    r->values = r->names + h->n + 1;
    r->offered = r->values + h->n + 1;
    r->method = put(&at, h->method);
    r->target = put(&at, h->target);
    r->reason = put(&at, h->reason);
    r->peer = put(&at, field_text(proto_peer(p)));
    for (size_t i = 0; i < h->n; i++) {
        r->names[i] = put(&at, h->fields[i].name);
        r->values[i] = put(&at, h->fields[i].value);
    }
    for (size_t i = 0; i < r->noffered; i++)
        r->offered[i] = put(&at, offered[i]);
    credentials_read(r, at);
    return r;
}

void request_free(thrum_request *r)
{
    if (!r)
        return;
    mem_free(r->names);
    mem_free(r->text);
    mem_free(r);
}

const char *request_field(const thrum_request *r, const char *name, size_t n)
{
    for (size_t i = 0; i < r->n; i++)
        if (field_equal_case(field_text(r->names[i]), name) && n-- == 0)
            return r->values[i];
    return NULL;
}

const char *thrum_request_method(const thrum_request *r)
{
    return r ? r->method : "";
}

const char *thrum_request_target(const thrum_request *r)
{
    return r ? r->target : "";
}

const char *thrum_request_header(const thrum_request *r, const char *name, size_t n)
{
    return r && name ? request_field(r, name, n) : NULL;
}

const char *thrum_request_peer(const thrum_request *r)
{
    return r ? r->peer : "";
}

/* ---- reply
 * ---------------------------------------------------------------------------------------------------------
 */

struct thrum_reply *reply_new(void)
{
    struct thrum_reply *a = mem_zalloc(sizeof *a);
    if (a)
        buf_init(&a->fields, REPLY_FIELDS_MAX);
    return a;
}

void reply_free(struct thrum_reply *a)
{
    if (!a)
        return;
    buf_free(&a->fields);
    mem_free(a->body);
    mem_free(a->type);
    mem_free(a);
}

static bool is_ours(thrum_slice name)
{
    static const char *const names[] = {"Upgrade",           "Connection",   "Content-Length",
                                        "Transfer-Encoding", "Content-Type", "Server"};
    static const char ws[] = "Sec-WebSocket-";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (field_equal_case(name, names[i]))
            return true;
    return name.n >= sizeof ws - 1 && field_equal_case((thrum_slice){name.p, sizeof ws - 1}, ws);
}

thrum_status thrum_reply_header(thrum_reply *a, const char *name, const char *value)
{
    if (!a || !name || !value || !field_is_token(field_text(name)) || !field_is_value(field_text(value)) ||
        is_ours(field_text(name)))
        return THRUM_E_ARGUMENT;
    if (a->nfields == REPLY_FIELDS)
        return THRUM_E_FULL;
    size_t had = a->fields.len;
    const char *const pieces[] = {name, ": ", value, "\r\n"};
    for (size_t i = 0; i < 4; i++) {
        thrum_status s = buf_append(&a->fields, pieces[i], strlen(pieces[i]));
        if (s != THRUM_OK) {
            a->fields.len = had;
            return s == THRUM_E_TOO_BIG ? THRUM_E_FULL : s;
        }
    }
    a->nfields++;
    return THRUM_OK;
}

thrum_status thrum_reply_body(thrum_reply *a, const char *type, const void *p, size_t n)
{
    if (!a || (!p && n > 0) || n > REPLY_BODY_MAX ||
        (type && (strlen(type) > REPLY_TYPE_MAX || !field_is_value(field_text(type)))))
        return THRUM_E_ARGUMENT;
    char *body = mem_copy(p, n), *kind = mem_strdup(type && *type ? type : "text/plain; charset=utf-8");
    if (!body || !kind) {
        mem_free(body);
        mem_free(kind);
        return THRUM_E_MEMORY;
    }
    mem_free(a->body);
    mem_free(a->type);
    a->body = body;
    a->type = kind;
    a->n = n;
    return THRUM_OK;
}
