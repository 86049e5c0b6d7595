/* call.c: the calls of thrum.h on a connection: what any front would check is checked, then its own does the
 * work. */
#include "base/text.h"
#include "conn/front.h"
#include "proto/settings.h"
#include <string.h>

static thrum_status send_data(thrum_conn *c, thrum_kind k, const thrum_slice *v, size_t n,
                              thrum_switch compress, enum front_part part)
{
    if (!c || (k != THRUM_TEXT && k != THRUM_BINARY) || (!v && n > 0))
        return THRUM_E_ARGUMENT;
    for (size_t i = 0; i < n; i++)
        if (!v[i].p && v[i].n > 0)
            return THRUM_E_ARGUMENT;
    return front_of(c)->send(c, k, v, n, compress, part);
}

thrum_status thrum_send(thrum_conn *c, thrum_kind k, const void *p, size_t n)
{
    if (!c || (k != THRUM_TEXT && k != THRUM_BINARY) || (!p && n > 0))
        return THRUM_E_ARGUMENT;
    return front_of(c)->send_one(c, k, p, n);
}

thrum_status thrum_sendv(thrum_conn *c, thrum_kind k, const thrum_slice *v, size_t n)
{
    return send_data(c, k, v, n, THRUM_DEFAULT, FRONT_WHOLE);
}

thrum_status thrum_send_part(thrum_conn *c, thrum_kind k, const void *p, size_t n, bool last)
{
    thrum_slice one = {p, n};
    return send_data(c, k, &one, 1, THRUM_DEFAULT, last ? FRONT_LAST_PART : FRONT_PART);
}

thrum_status thrum_send_with(thrum_conn *c, thrum_kind k, const thrum_slice *v, size_t n,
                             const thrum_send_options *given)
{
    thrum_send_options o;
    thrum_status s = settings_send(&o, given);
    if (s != THRUM_OK)
        return s;
    return send_data(c, k, v, n, o.compress, o.more == THRUM_ON ? FRONT_PART : FRONT_LAST_OR_WHOLE);
}

static thrum_status receive(thrum_conn *c, thrum_message *m, thrum_wait t, bool parts)
{
    if (!m)
        return THRUM_E_ARGUMENT;
    *m = (thrum_message){0};
    if (!c || (t < 0 && t != THRUM_FOREVER))
        return THRUM_E_ARGUMENT;
    return front_of(c)->receive(c, m, t, parts);
}

thrum_status thrum_recv(thrum_conn *c, thrum_message *m, thrum_wait t)
{
    return receive(c, m, t, false);
}

thrum_status thrum_recv_part(thrum_conn *c, thrum_message *m, thrum_wait t)
{
    return receive(c, m, t, true);
}

thrum_status thrum_ping(thrum_conn *c, const void *p, size_t n, thrum_wait t)
{
    if (!c || (!p && n > 0) || (t < 0 && t != THRUM_FOREVER))
        return THRUM_E_ARGUMENT;
    return front_of(c)->ping(c, p, n, t);
}

thrum_status thrum_pong(thrum_conn *c, const void *p, size_t n)
{
    return !c || (!p && n > 0) ? THRUM_E_ARGUMENT : front_of(c)->pong(c, p, n);
}

thrum_status thrum_close(thrum_conn *c, uint16_t code, const char *why)
{
    return c ? front_of(c)->close(c, code, why) : THRUM_E_ARGUMENT;
}

void thrum_cancel(thrum_conn *c)
{
    if (c)
        front_of(c)->cancel(c);
}

void thrum_conn_free(thrum_conn *c)
{
    if (c)
        front_of(c)->free(c);
}

thrum_conn *thrum_conn_ref(thrum_conn *c)
{
    return c ? front_of(c)->ref(c) : NULL;
}

/* ---- asking
 * ------------------------------------------------------------------------------------------------ */

void thrum_conn_error(const thrum_conn *c, thrum_error *err)
{
    if (!err)
        return;
    if (c)
        front_of(c)->error(c, err);
    else
        error_set(err, THRUM_E_ARGUMENT, "%s", thrum_status_text(THRUM_E_ARGUMENT));
}

thrum_status thrum_conn_closing(const thrum_conn *c, thrum_closing *out)
{
    return c && out ? front_of(c)->closing(c, out) : THRUM_E_ARGUMENT;
}

thrum_status thrum_conn_tls(const thrum_conn *c, thrum_tls_info *out)
{
    if (!c || !out || out->size != sizeof *out)
        return THRUM_E_ARGUMENT;
    return front_of(c)->tls(c, out);
}

thrum_status thrum_conn_stats(const thrum_conn *c, thrum_stats *out)
{
    if (!c || !out || out->size <= sizeof out->size || out->size % 8 != 0)
        return THRUM_E_ARGUMENT;
    thrum_stats all = {0};
    thrum_status s = front_of(c)->stats(c, &all);
    if (s != THRUM_OK)
        return s;
    size_t size = out->size, known = size < sizeof all ? size : sizeof all;
    all.size = size;
    memset(out, 0, size);
    memcpy(out, &all, known);
    return THRUM_OK;
}

thrum_state thrum_conn_state(const thrum_conn *c)
{
    return c ? front_of(c)->state(c) : THRUM_CLOSED;
}

thrum_id thrum_conn_id(const thrum_conn *c)
{
    return c ? front_of(c)->id(c) : 0;
}

const char *thrum_conn_subprotocol(const thrum_conn *c)
{
    return c ? front_of(c)->subprotocol(c) : NULL;
}

const char *thrum_conn_extensions(const thrum_conn *c)
{
    return c ? front_of(c)->extensions(c) : NULL;
}

const char *thrum_conn_target(const thrum_conn *c)
{
    return c ? front_of(c)->target(c) : NULL;
}

const char *thrum_conn_header(const thrum_conn *c, const char *name, size_t n)
{
    return c && name ? front_of(c)->header(c, name, n) : NULL;
}

const char *thrum_conn_peer(const thrum_conn *c)
{
    return c ? front_of(c)->peer(c) : "";
}

int64_t thrum_latency(const thrum_conn *c)
{
    return c ? front_of(c)->latency(c) : -1;
}

void thrum_conn_set_user(thrum_conn *c, void *user)
{
    if (c)
        front_of(c)->set_user(c, user);
}

void *thrum_conn_user(const thrum_conn *c)
{
    return c ? front_of(c)->user(c) : NULL;
}
