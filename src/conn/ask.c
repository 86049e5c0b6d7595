/* ask.c: what one may ask of a connection. Texts that hold as long as the connection are set once, in the
 * handshake, before the user has a handle; so they are read without the lock. */
#include "base/text.h"
#include "conn/conn.h"
#include "net/tls.h"
#include <string.h>

/* The lock of a const object: asking changes nothing that the caller can see. */
static struct thrum_conn *hold(const thrum_conn *c)
{
    struct thrum_conn *mine = (struct thrum_conn *)(uintptr_t)c;
    if (!c || conn_mine(c) != THRUM_OK)
        return NULL;
    lock_take(&mine->lock);
    return mine;
}

void thrum_conn_error(const thrum_conn *c, thrum_error *err)
{
    if (!err)
        return;
    struct thrum_conn *m = hold(c);
    if (!m) {
        thrum_status s = c ? THRUM_E_FORKED : THRUM_E_ARGUMENT;
        error_set(err, s, "%s", thrum_status_text(s));
        return;
    }
    thrum_proto_error(m->proto, err);
    lock_give(&m->lock);
}

thrum_status thrum_conn_closing(const thrum_conn *c, thrum_closing *out)
{
    if (!out)
        return THRUM_E_ARGUMENT;
    struct thrum_conn *m = hold(c);
    if (!m)
        return c ? THRUM_E_FORKED : THRUM_E_ARGUMENT;
    thrum_status s = thrum_proto_closing(m->proto, out);
    lock_give(&m->lock);
    return s;
}

thrum_status thrum_conn_tls(const thrum_conn *c, thrum_tls_info *out)
{
    if (!out || out->size != sizeof *out)
        return THRUM_E_ARGUMENT;
    struct thrum_conn *m = hold(c);
    if (!m)
        return c ? THRUM_E_FORKED : THRUM_E_ARGUMENT;
    *out = (thrum_tls_info){.size = sizeof *out};
    if (m->stream)
        stream_tls_info(m->stream, out);
    thrum_status s = m->stream ? THRUM_OK : THRUM_E_CLOSED;
    lock_give(&m->lock);
    return s;
}

thrum_state thrum_conn_state(const thrum_conn *c)
{
    struct thrum_conn *m = hold(c);
    if (!m)
        return THRUM_CLOSED;
    thrum_state s = thrum_proto_state(m->proto);
    lock_give(&m->lock);
    return s;
}

thrum_id thrum_conn_id(const thrum_conn *c)
{
    return c ? c->id : 0;
}

const char *thrum_conn_extensions(const thrum_conn *c)
{
    return c ? thrum_proto_extensions(c->proto) : NULL;
}

const char *thrum_conn_subprotocol(const thrum_conn *c)
{
    return c ? thrum_proto_subprotocol(c->proto) : NULL;
}

const char *thrum_conn_target(const thrum_conn *c)
{
    return c ? thrum_proto_target(c->proto) : NULL;
}

const char *thrum_conn_header(const thrum_conn *c, const char *name, size_t n)
{
    return c && name ? thrum_proto_header(c->proto, name, n) : NULL;
}

const char *thrum_conn_peer(const thrum_conn *c)
{
    return c ? c->peer : "";
}

int64_t thrum_latency(const thrum_conn *c)
{
    struct thrum_conn *m = hold(c);
    if (!m)
        return -1;
    int64_t ns = proto_latency(m->proto);
    lock_give(&m->lock);
    return ns;
}

void thrum_conn_set_user(thrum_conn *c, void *user)
{
    if (c)
        atomic_store(&c->user, user);
}

void *thrum_conn_user(const thrum_conn *c)
{
    return c ? atomic_load(&c->user) : NULL;
}

thrum_status thrum_conn_stats(const thrum_conn *c, thrum_stats *out)
{
    if (!out || out->size <= sizeof out->size || out->size % 8 != 0)
        return THRUM_E_ARGUMENT;
    struct thrum_conn *m = hold(c);
    if (!m)
        return c ? THRUM_E_FORKED : THRUM_E_ARGUMENT;
    thrum_stats all = {.size = out->size};
    proto_stats(m->proto, &all);
    lock_give(&m->lock);
    size_t size = out->size, known = size < sizeof all ? size : sizeof all;
    all.size = size;
    memset(out, 0, size);
    memcpy(out, &all, known);
    return THRUM_OK;
}
