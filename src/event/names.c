/* names.c: what of the opening handshake is kept for as long as the connection: as little as can be, in one
 * piece. */
#include "base/mem.h"
#include "event/event.h"
#include <string.h>

static size_t size_of(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static const char *put(char **at, const char *s)
{
    if (!s)
        return NULL;
    char *to = *at;
    size_t n = strlen(s) + 1;
    memcpy(to, s, n);
    *at += n;
    return to;
}

/* The socket knows its peer, unless a proxy has told who it speaks for. */
thrum_status names_keep(struct lconn *c)
{
    const thrum_proto *p = c->proto;
    const struct settings *s = lconn_settings(c);
    const char *target = thrum_proto_target(p), *sub = thrum_proto_subprotocol(p),
               *ext = thrum_proto_extensions(p);
    const char *peer = s->forwarded_for || s->proxy_protocol ? proto_peer(p) : NULL;
    if (target && strcmp(target, "/") == 0)
        target = NULL;
    size_t n = size_of(target) + size_of(sub) + size_of(ext) + size_of(peer);
    if (n == 0)
        return THRUM_OK;
    struct names *x = mem_alloc(sizeof *x + n);
    if (!x)
        return THRUM_E_MEMORY;
    char *at = x->text;
    x->asked = NULL;
    x->target = put(&at, target);
    x->subprotocol = put(&at, sub);
    x->extensions = put(&at, ext);
    x->peer = put(&at, peer);
    c->names = x;
    return THRUM_OK;
}

/* Most users never ask, so that connections at rest have no text of their peers'. No memory for it: it is
 * told, but not kept. */
const char *names_peer(struct lconn *c)
{
    const char *peer = lconn_peer(c);
    if (c->fd < 0 || !(c->opened || c->ended) || (c->names && (c->names->peer || c->names->asked)))
        return peer;
    size_t n = strlen(peer) + 1;
    struct names *x = c->names;
    if (x) {
        x->asked = mem_alloc(n);
        return x->asked ? memcpy(x->asked, peer, n) : peer;
    }
    x = mem_zalloc(sizeof *x + n);
    if (!x)
        return peer;
    c->names = x;
    return x->peer = memcpy(x->text, peer, n);
}

void names_free(struct lconn *c)
{
    if (c->names)
        mem_free(c->names->asked);
    mem_free(c->names);
    c->names = NULL;
}
