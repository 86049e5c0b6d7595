/* response.c: the server's answer where it was no 101, as the user of a client sees it. Head and body are
 * moved out of the proto, which has ended. */
#include "base/mem.h"
#include "proto/proto_int.h"
#include <thrum/response.h>

struct thrum_response {
    int status;
    struct thrum_request *head;
    struct buf body;
};

static const uint8_t nothing[1];

thrum_response *proto_take_response(thrum_proto *p)
{
    if (p->error.status != THRUM_E_REFUSED || !p->request || !p->parsed)
        return NULL;
    struct thrum_response *r = mem_zalloc(sizeof *r);
    if (!r)
        return NULL;
    r->status = p->parsed->status;
    r->head = p->request;
    p->request = NULL;
    r->body = p->head;
    buf_init(&p->head, 0);
    if (buf_append(&r->body, nothing, 1) == THRUM_OK) /* a NUL behind it */
        r->body.len--;
    else
        buf_free(&r->body);
    return r;
}

int thrum_response_status(const thrum_response *r)
{
    return r ? r->status : 0;
}

const char *thrum_response_reason(const thrum_response *r)
{
    return r ? r->head->reason : "";
}

const char *thrum_response_header(const thrum_response *r, const char *name, size_t n)
{
    return r && name ? request_field(r->head, name, n) : NULL;
}

const uint8_t *thrum_response_body(const thrum_response *r, size_t *n)
{
    if (n)
        *n = r ? r->body.len : 0;
    return r && r->body.p ? r->body.p : nothing;
}

void thrum_response_free(thrum_response *r)
{
    if (!r)
        return;
    request_free(r->head);
    buf_free(&r->body);
    mem_free(r);
}
