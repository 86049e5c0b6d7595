/* negotiate.c: who may speak, and which subprotocol (RFC 6455 sections 4.2.2, 10.2). */
#include "proto/proto_int.h"
#include "wire/field.h"
#include "wire/uri.h"
#include <string.h>

static uint16_t port_of(thrum_slice scheme, uint16_t port)
{
    return port ? port : field_equal_case(scheme, "https") ? 443 : 80;
}

static bool same(thrum_slice a, thrum_slice b)
{
    char text[256];
    if (b.n >= sizeof text)
        return false;
    if (b.n > 0)
        memcpy(text, b.p, b.n);
    text[b.n] = '\0';
    return field_equal_case(a, text);
}

/* Same host and port as the request was sent to. The scheme is not compared: behind a proxy that ends TLS we
 * do not know it; so a Host without a port matches both of the origin's default ones. */
static bool is_same_origin(thrum_slice origin, thrum_slice host)
{
    thrum_slice scheme, oh, hh;
    uint16_t op, hp;
    if (!uri_is_origin(origin, &scheme, &oh, &op) || !uri_is_host(host, &hh, &hp) || !same(oh, hh))
        return false;
    return hp == 0 ? op == 0 || op == port_of(scheme, 0) : port_of(scheme, op) == hp;
}

const char *negotiate_origin(const thrum_proto *p)
{
    const struct http1_head *h = p->parsed;
    char **allowed = p->set->origins;
    if (http1_count(h, "Origin") == 0)
        return NULL;
    if (http1_count(h, "Origin") > 1)
        return "there is more than one Origin";
    thrum_slice origin = http1_get(h, "Origin", 0);
    if (!allowed)
        return is_same_origin(origin, http1_get(h, "Host", 0)) ? NULL
                                                               : "that Origin is not this server's own";
    for (size_t i = 0; allowed[i]; i++)
        if (strcmp(allowed[i], "*") == 0 || field_equal_case(origin, allowed[i]))
            return NULL;
    return "that Origin is not allowed here";
}

const char *negotiate_host(const thrum_proto *p)
{
    thrum_slice host = http1_get(p->parsed, "Host", 0), name;
    uint16_t port;
    char **allowed = p->set->hosts;
    if (!allowed || !uri_is_host(host, &name, &port))
        return NULL; /* its form was judged before */
    for (size_t i = 0; allowed[i]; i++) {
        thrum_slice a;
        uint16_t ap;
        if (uri_is_host(field_text(allowed[i]), &a, &ap) && same(name, a) &&
            (ap == 0 || ap == (port ? port : 80)))
            return NULL;
    }
    return "that Host is not served here";
}

/* The server's choice must be one of ours, and one only. */
const char *negotiate_chosen(thrum_proto *p, const char **chosen)
{
    const struct http1_head *h = p->parsed;
    size_t n = http1_count(h, "Sec-WebSocket-Protocol");
    *chosen = NULL;
    if (n == 0)
        return NULL;
    if (n > 1)
        return "the server's answer has two Sec-WebSocket-Protocol fields";
    thrum_slice s = http1_get(h, "Sec-WebSocket-Protocol", 0);
    for (char **ours = p->set->subprotocols; ours && *ours; ours++)
        if (field_equal(s, *ours)) {
            *chosen = *ours;
            return NULL;
        }
    return "the server chose a subprotocol that was not offered";
}

/* Ours, most wanted first. */
int negotiate_subprotocol(const thrum_request *r, const struct settings *s)
{
    for (char **ours = s->subprotocols; ours && *ours; ours++)
        for (size_t i = 0; i < r->noffered; i++)
            if (strcmp(r->offered[i], *ours) == 0)
                return (int)i;
    return -1;
}
