/* ask.c: what one may ask of a connection that has a lock. Texts that hold as long as the connection are set
 * once, in the handshake, before the user has a handle; so they are read without it. */
#include "base/text.h"
#include "conn/conn.h"

/* The lock of a const object: asking changes nothing that the caller can see. */
static struct thrum_conn *hold(const thrum_conn *c)
{
    struct thrum_conn *mine = (struct thrum_conn *)(uintptr_t)c;
    if (conn_mine(c) != THRUM_OK)
        return NULL;
    lock_take(&mine->lock);
    return mine;
}

void ask_error(const thrum_conn *c, thrum_error *err)
{
    struct thrum_conn *m = hold(c);
    if (!m) {
        error_set(err, THRUM_E_FORKED, "%s", thrum_status_text(THRUM_E_FORKED));
        return;
    }
    thrum_proto_error(m->proto, err);
    lock_give(&m->lock);
}

thrum_status ask_closing(const thrum_conn *c, thrum_closing *out)
{
    struct thrum_conn *m = hold(c);
    if (!m)
        return THRUM_E_FORKED;
    thrum_status s = thrum_proto_closing(m->proto, out);
    lock_give(&m->lock);
    return s;
}

thrum_status ask_tls(const thrum_conn *c, thrum_tls_info *out)
{
    struct thrum_conn *m = hold(c);
    if (!m)
        return THRUM_E_FORKED;
    *out = (thrum_tls_info){.size = sizeof *out};
    if (m->stream)
        stream_tls_info(m->stream, out);
    thrum_status s = m->stream ? THRUM_OK : THRUM_E_CLOSED;
    lock_give(&m->lock);
    return s;
}

thrum_state ask_state(const thrum_conn *c)
{
    struct thrum_conn *m = hold(c);
    if (!m)
        return THRUM_CLOSED;
    thrum_state s = thrum_proto_state(m->proto);
    lock_give(&m->lock);
    return s;
}

thrum_id ask_id(const thrum_conn *c)
{
    return c->id;
}

const char *ask_extensions(const thrum_conn *c)
{
    return thrum_proto_extensions(c->proto);
}

const char *ask_subprotocol(const thrum_conn *c)
{
    return thrum_proto_subprotocol(c->proto);
}

const char *ask_target(const thrum_conn *c)
{
    return thrum_proto_target(c->proto);
}

const char *ask_header(const thrum_conn *c, const char *name, size_t n)
{
    return thrum_proto_header(c->proto, name, n);
}

const char *ask_peer(const thrum_conn *c)
{
    return c->peer;
}

int64_t ask_latency(const thrum_conn *c)
{
    struct thrum_conn *m = hold(c);
    if (!m)
        return -1;
    int64_t ns = proto_latency(m->proto);
    lock_give(&m->lock);
    return ns;
}

void ask_set_user(thrum_conn *c, void *user)
{
    atomic_store(&c->user, user);
}

void *ask_user(const thrum_conn *c)
{
    return atomic_load(&c->user);
}

thrum_status ask_stats(const thrum_conn *c, thrum_stats *all)
{
    struct thrum_conn *m = hold(c);
    if (!m)
        return THRUM_E_FORKED;
    proto_stats(m->proto, all);
    if (m->stream)
        all->queued_out += stream_unsent(m->stream);
    lock_give(&m->lock);
    return THRUM_OK;
}

static const struct front conn_front = {CONN_ASKS};
const struct origin conn_origin = {&conn_front};
