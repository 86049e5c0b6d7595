/* call.c: the calls of thrum.h on a loop's connection. They belong to the loop's thread and never wait; what
 * they leave to be written leaves when the turn ends, or with the call where no turn is under way. */
#include "base/text.h"
#include "base/thread.h"
#include "event/gate.h"
#include "net/tls.h"
#include <string.h>

static struct lconn *of(thrum_conn *c)
{
    return (struct lconn *)(void *)c;
}

static struct lconn *asked(const thrum_conn *c)
{
    return (struct lconn *)(uintptr_t)(const void *)c; /* asking changes nothing that the caller can see */
}

static inline thrum_status enter(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    thrum_status s = loop_mine(l);
    if (s != THRUM_OK)
        return s;
    if (!loop_is_here(l))
        return THRUM_E_THREAD;
    if (!l->turning) /* else it is off already */
        l->cancel = cancel_off();
    gate_in(l);
    return THRUM_OK;
}

static inline void step_out(struct thrum_loop *l)
{
    if (__builtin_expect(l->turning, 1)) {
        gate_out(l);
        return;
    }
    loop_after_call(l); /* then the connection may be gone */
    gate_out(l);
    cancel_back(l->cancel);
}

static void leave(struct lconn *c)
{
    step_out(c->home->loop);
}

static thrum_status loop_send(thrum_conn *h, thrum_kind k, const thrum_slice *v, size_t n,
                              thrum_switch compress, enum front_part part)
{
    struct lconn *c = of(h);
    thrum_status s = enter(c);
    if (s != THRUM_OK)
        return s;
    s = lconn_send(c, k, v, n, compress, part);
    leave(c);
    return s;
}

static thrum_status loop_send_one(thrum_conn *h, thrum_kind k, const void *p, size_t n)
{
    struct lconn *c = of(h);
    struct thrum_loop *l = c->home->loop;
    thrum_status s = enter(c);
    if (s != THRUM_OK)
        return s;
    if (!lconn_send_plain(c, k, p, n, &s)) {
        thrum_slice one = {p, n};
        s = lconn_send(c, k, &one, 1, THRUM_DEFAULT, FRONT_WHOLE);
    }
    step_out(l);
    return s;
}

static thrum_status loop_receive(thrum_conn *h, thrum_message *m, thrum_wait t, bool parts)
{
    (void)m;
    (void)t;
    (void)parts;
    thrum_status s = loop_mine(of(h)->home->loop);
    return s == THRUM_OK ? THRUM_E_STATE : s;
}

static thrum_status control(struct lconn *c, const void *p, size_t n, bool ping)
{
    thrum_status s = c->ended || c->deaf ? THRUM_E_CLOSED : THRUM_OK;
    if (s == THRUM_OK && !lconn_proto(c))
        s = THRUM_E_MEMORY;
    if (s != THRUM_OK)
        return s;
    thrum_slice x = {p, n};
    s = ping ? thrum_proto_ping(c->proto, x, c->home->loop->now, NULL) : thrum_proto_pong(c->proto, x);
    lconn_dirty(c);
    return s;
}

static thrum_status loop_ping(thrum_conn *h, const void *p, size_t n, thrum_wait t)
{
    struct lconn *c = of(h);
    if (t != 0)
        return THRUM_E_ARGUMENT;
    thrum_status s = enter(c);
    if (s != THRUM_OK)
        return s;
    s = control(c, p, n, true);
    leave(c);
    return s;
}

static thrum_status loop_pong(thrum_conn *h, const void *p, size_t n)
{
    struct lconn *c = of(h);
    thrum_status s = enter(c);
    if (s != THRUM_OK)
        return s;
    s = control(c, p, n, false);
    leave(c);
    return s;
}

static thrum_status begin_close(struct lconn *c, uint16_t code, const char *why)
{
    if (c->ended)
        return THRUM_OK;
    thrum_proto *p = lconn_proto(c);
    if (!p)
        return THRUM_E_MEMORY;
    thrum_slice reason = {(const uint8_t *)why, why ? strlen(why) : 0};
    thrum_status s = thrum_proto_close(p, code, reason, c->home->loop->now);
    if (s == THRUM_OK)
        c->deaf = true;
    lconn_dirty(c);
    return s;
}

static thrum_status loop_close(thrum_conn *h, uint16_t code, const char *why)
{
    struct lconn *c = of(h);
    thrum_status s = enter(c);
    if (s != THRUM_OK)
        return s;
    s = begin_close(c, code, why);
    leave(c);
    return s;
}

static void loop_cancel(thrum_conn *h) /* nobody waits */
{
    (void)h;
}

static void loop_free(thrum_conn *h)
{
    struct lconn *c = of(h);
    if (enter(c) != THRUM_OK)
        return;
    if (!c->ended) {
        lconn_goodbye(c, 1001);
        lconn_cut(c, THRUM_E_CLOSED, "the connection was freed");
        c->deaf = true;
    }
    leave(c);
}

static thrum_conn *loop_ref(thrum_conn *h)
{
    (void)h;
    return NULL;
}

/* ---- asking
 * ------------------------------------------------------------------------------------------------------ */

/* Who asks goes in, too: the thread that ends the program speaks through the same proto. True: it has; where
 * any thread may ask, not at the side of the loop's own. */
static bool look_in(const struct lconn *c)
{
    bool here = loop_is_here(c->home->loop);
    if (here)
        gate_in(c->home->loop);
    return here;
}

static void look_out(const struct lconn *c, bool here)
{
    if (here)
        gate_out(c->home->loop);
}

static void loop_error(const thrum_conn *h, thrum_error *err)
{
    struct lconn *c = asked(h);
    thrum_status s = loop_mine(c->home->loop);
    bool here = look_in(c);
    s = s == THRUM_OK && !here ? THRUM_E_THREAD : s;
    if (s != THRUM_OK)
        error_set(err, s, "%s", thrum_status_text(s));
    else
        lconn_why(c, err);
    look_out(c, here);
}

static thrum_status loop_closing(const thrum_conn *h, thrum_closing *out)
{
    const struct lconn *c = asked(h);
    thrum_status s = loop_mine(c->home->loop);
    bool here = look_in(c);
    if (s == THRUM_OK && !here)
        s = THRUM_E_THREAD;
    else if (s == THRUM_OK && c->proto)
        s = thrum_proto_closing(c->proto, out);
    else if (s == THRUM_OK && out->size < sizeof *out)
        s = THRUM_E_ARGUMENT;
    else if (s == THRUM_OK)
        *out = (thrum_closing){.size = out->size};
    look_out(c, here);
    return s;
}

static thrum_status loop_tls(const thrum_conn *h, thrum_tls_info *out)
{
    const struct lconn *c = asked(h);
    thrum_status s = loop_mine(c->home->loop);
    bool here = s == THRUM_OK && look_in(c);
    if (!here)
        return s == THRUM_OK ? THRUM_E_THREAD : s;
    *out = (thrum_tls_info){.size = sizeof *out};
    if (c->stream)
        stream_tls_info(c->stream, out);
    look_out(c, here);
    return c->fd >= 0 ? THRUM_OK : THRUM_E_CLOSED;
}

static thrum_status loop_stats(const thrum_conn *h, thrum_stats *all)
{
    const struct lconn *c = asked(h);
    thrum_status s = loop_mine(c->home->loop);
    bool here = s == THRUM_OK && look_in(c);
    if (!here)
        return s == THRUM_OK ? THRUM_E_THREAD : s;
    if (c->proto)
        proto_stats(c->proto, all);
    else
        parked_stats(&c->parked, all);
    if (c->out)
        all->queued_out += c->out->n;
    if (c->stream)
        all->queued_out += stream_unsent(c->stream);
    look_out(c, here);
    return THRUM_OK;
}

static thrum_state loop_state(const thrum_conn *h)
{
    const struct lconn *c = asked(h);
    bool here = look_in(c);
    thrum_state s = c->ended ? THRUM_CLOSED : c->proto ? thrum_proto_state(c->proto) : THRUM_OPEN;
    look_out(c, here);
    return s;
}

static thrum_id loop_id(const thrum_conn *h)
{
    return asked(h)->id;
}

static const char *loop_subprotocol(const thrum_conn *h)
{
    const struct lconn *c = asked(h);
    return c->names ? c->names->subprotocol : NULL;
}

static const char *loop_extensions(const thrum_conn *h)
{
    const struct lconn *c = asked(h);
    return c->names ? c->names->extensions : NULL;
}

static const char *loop_target(const thrum_conn *h)
{
    const struct lconn *c = asked(h);
    return c->names && c->names->target ? c->names->target : "/";
}

static const char *loop_header(const thrum_conn *h, const char *name, size_t n)
{
    const struct lconn *c = asked(h);
    bool here = look_in(c);
    const char *value =
        c->home->loop->opening == c && c->proto ? thrum_proto_header(c->proto, name, n) : NULL;
    look_out(c, here);
    return value;
}

static const char *loop_peer(const thrum_conn *h)
{
    struct lconn *c = asked(h);
    bool here = look_in(c);
    const char *peer = names_peer(c);
    look_out(c, here);
    return peer;
}

static int64_t loop_latency(const thrum_conn *h)
{
    const struct lconn *c = asked(h);
    bool here = look_in(c);
    int64_t ns = c->proto ? proto_latency(c->proto) : c->parked.latency;
    look_out(c, here);
    return ns;
}

static void loop_set_user(thrum_conn *h, void *user)
{
    of(h)->user = user;
}

static void *loop_user(const thrum_conn *h)
{
    return asked(h)->user;
}

const struct front loop_front = {
    .send_one = loop_send_one,
    .send = loop_send,
    .receive = loop_receive,
    .ping = loop_ping,
    .pong = loop_pong,
    .close = loop_close,
    .cancel = loop_cancel,
    .free = loop_free,
    .ref = loop_ref,
    .error = loop_error,
    .closing = loop_closing,
    .tls = loop_tls,
    .stats = loop_stats,
    .state = loop_state,
    .id = loop_id,
    .subprotocol = loop_subprotocol,
    .extensions = loop_extensions,
    .target = loop_target,
    .header = loop_header,
    .peer = loop_peer,
    .latency = loop_latency,
    .set_user = loop_set_user,
    .user = loop_user,
};

/* ---- flow
 * -------------------------------------------------------------------------------------------------------- */

/* A connection of another front is not for these. */
static thrum_status enter_any(const thrum_conn *h)
{
    if (!h || front_of(h) != &loop_front)
        return THRUM_E_ARGUMENT;
    return enter(asked(h));
}

static thrum_status set_paused(thrum_conn *h, bool paused)
{
    thrum_status s = enter_any(h);
    if (s != THRUM_OK)
        return s;
    struct lconn *c = of(h);
    c->paused = paused;
    if (!paused && c->proto)
        proto_set_unread(c->proto, false);
    if (!paused && !c->proto)
        c->parked.heard = c->home->loop->now; /* the silence was ours */
    c->rereads |= !paused && c->stream != NULL;
    lconn_dirty(c);
    leave(c);
    return THRUM_OK;
}

thrum_status thrum_pause(thrum_conn *c)
{
    return set_paused(c, true);
}

thrum_status thrum_resume(thrum_conn *c)
{
    return set_paused(c, false);
}

size_t thrum_conn_pending(const thrum_conn *h)
{
    if (!h || front_of(h) != &loop_front)
        return 0;
    bool here = look_in(asked(h));
    size_t n = lconn_pending(asked(h));
    look_out(asked(h), here);
    return n;
}

thrum_loop *thrum_conn_loop(const thrum_conn *h)
{
    return h && front_of(h) == &loop_front ? asked(h)->home->loop : NULL;
}
