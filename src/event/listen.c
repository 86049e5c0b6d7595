/* listen.c: accepting, and what a request is answered. */
#include "event/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/text.h"
#include "conn/serve.h"
#include "event/gate.h"
#include "proto/reply_int.h"
#include <errno.h>

/* The thread's own, since on_request is given a request only. */
static _Thread_local struct thrum_loop *deciding;

enum {
    ACCEPT_MANY = 64, /* at once, before connections have their turn */
    PAUSE_MS = 50     /* after accepting failed for want of a descriptor or memory */
};

/* Over the limit, or draining: as much of an answer as can be had for nothing. */
static void turn_away(int fd)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    enum { READS = 16 };
    uint8_t trash[4096];
    (void)sys.send(fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sys.shutdown(fd, SHUT_WR);
    for (int i = 0; i < READS && sys.recv(fd, trash, sizeof trash, MSG_DONTWAIT) > 0; i++)
        ; /* unread bytes would reset the answer away */
    (void)sys.close(fd);
}

/* What stands between the socket and WebSocket, if anything does. */
static thrum_status stream_for(struct stream **out, int *fd, struct shared_settings *ss, thrum_error *err)
{
    *out = NULL;
    if (!ss->tls && !ss->s.proxy_protocol)
        return THRUM_OK;
    int given = *fd, e = stream_socket(out, given);
    *fd = -1;
    if (e)
        return error_os(err, THRUM_E_SYSTEM, -e, "an accepted socket cannot be used");
    *fd = given;
    return serve_wrap(out, ss, err);
}

static void greet(struct home *h, int fd)
{
    thrum_error err = {0};
    struct stream *stream = NULL;
    struct thrum_listener *s = h->listener;
    bool full = atomic_load(&s->conns) >= s->settings->s.max_conns;
    if (full)
        LOG(LOG_SERVER, LOG_WARNING, 0, "a connection is turned away: %llu are open",
            (unsigned long long)s->settings->s.max_conns);
    if (full || (h->draining && !s->handed_over)) {
        turn_away(fd);
        return;
    }
    struct lconn *c = NULL;
    if (stream_for(&stream, &fd, h->settings, &err) == THRUM_OK)
        c = lconn_new(h, fd, stream, &err);
    if (c) {
        atomic_fetch_add(&s->conns, 1);
        c->peer_later = s->settings->s.proxy_protocol;
        if (lconn_make_proto(c, NULL, NULL, &err) == THRUM_OK) {
            lconn_settle(c);
            return;
        }
        c->out_of_memory = true;
        lconn_settle(c);
    }
    LOG(LOG_SERVER, LOG_WARNING, 0, "a connection was dropped: %s", err.text);
}

static void arm_all(struct home_accept *a, bool on)
{
    struct poller *p = a->home->loop->poller;
    for (int i = 0; i < a->net.n; i++) {
        int e = on && a->home->loop->reads_itself
                    ? poller_accept(p, a->net.fds[i], source_of(a, SOURCE_ACCEPT))
                    : ENOSYS;
        if (e == ENOSYS)
            e = poller_arm(p, a->net.fds[i], on ? POLLER_IN | POLLER_STAY : 0, source_of(a, SOURCE_ACCEPT));
        if (e)
            LOG(LOG_SERVER, LOG_ERROR, 0, "a listening socket cannot be watched (errno %d)", e);
    }
}

static void pause_over(struct later *x)
{
    struct home_accept *a = list_of(x, struct home_accept, pause);
    a->paused = false;
    arm_all(a, true);
}

/* A full table of descriptors must not make us spin. */
static void pause_accept(struct home_accept *a, int e)
{
    LOG(LOG_SERVER, LOG_WARNING, 0, "cannot accept (errno %d): pausing %d ms", e, PAUSE_MS);
    if (a->paused)
        return;
    a->paused = true;
    arm_all(a, false);
    a->pause.fn = pause_over;
    wheel_set(&a->home->loop->others, &a->pause.timer, clock_after(a->home->loop->now, PAUSE_MS));
}

static void accept_from(struct home_accept *a, int fd)
{
    struct home *h = a->home;
    for (int i = 0; i < ACCEPT_MANY && h->accept == a; i++) {
        int got = listen_accept_fd(&a->net, fd);
        if (got == -EAGAIN)
            return;
        if (got < 0) {
            pause_accept(a, -got);
            return;
        }
        greet(h, got);
    }
}

static void accept_all(struct home_accept *a)
{
    for (int i = 0; a->home->accept == a && i < a->net.n && !a->paused; i++)
        accept_from(a, a->net.fds[i]);
}

/* The poller has met an error and accepts no more. The error is met once more here, where it is known what to
 * do. */
static void accept_stopped(struct home_accept *a, int e)
{
    accept_all(a);
    if (a->home->accept == a && !a->paused)
        pause_accept(a, e);
}

void accept_event(struct home_accept *a, const struct poller_event *e)
{
    struct home *h = a->home;
    if (e->what & POLLER_ACCEPTED) {
        if (e->n >= 0 && h->accept == a)
            greet(h, (int)e->n);
        else if (e->n >= 0)
            (void)sys.close((int)e->n);
        else if (!h->draining)
            accept_stopped(a, (int)-e->n);
        return;
    }
    accept_all(a);
}

void accept_begin(struct home *h)
{
    listen_no_delay(&h->accept->net);
    h->loop->others_alive++;
    arm_all(h->accept, true);
}

static void stopped_yet(struct later *x)
{
    struct home_accept *a = list_of(x, struct home_accept, pause);
    home_stop(a->home);
}

/* Whom the poller has accepted already is not to be shut out: true once there is nobody left of these. */
bool accept_stop(struct home *h)
{
    struct home_accept *a = h->accept;
    bool still = false;
    for (int i = 0; a && h->loop->reads_itself && i < a->net.n; i++) {
        poller_receive_stop(h->loop->poller, a->net.fds[i]);
        still |= poller_reads_still(h->loop->poller, a->net.fds[i]);
    }
    if (still) {
        a->pause.fn = stopped_yet;
        wheel_set(&h->loop->others, &a->pause.timer, h->loop->now);
    } else if (a && h->loop->reads_itself && h->listener->handed_over) {
        /* Of those who accept from a socket the kernel wakes one. Where that was our request, which has been
         * taken back since, nobody else knows of the connection: who leaves a socket to others looks once
         * more. */
        accept_all(a);
    }
    return !still;
}

/* Its memory stays until the turn is over: an event of this turn may name it. */
void accept_end(struct home *h)
{
    struct home_accept *a = h->accept;
    if (!a)
        return;
    h->accept = NULL;
    h->loop->others_alive--;
    wheel_cancel(&h->loop->others, &a->pause.timer);
    for (int i = 0; i < a->net.n; i++)
        poller_forget(h->loop->poller, a->net.fds[i]);
    listen_close(&a->net, h->settings->s.unlink_socket && !h->listener->handed_over);
    h->was_accept = a;
}

/* ---- requests
 * ----------------------------------------------------------------------------------------------------- */

static thrum_status plain(struct decision *d, int status)
{
    *d = (struct decision){.status = status, .subprotocol = -1, .reply = reply_new()};
    return d->reply ? THRUM_OK : THRUM_E_MEMORY;
}

static int status_of(enum route_answer a)
{
    return a == ROUTE_NONE ? 404 : a == ROUTE_BAD ? 400 : 503;
}

/* Runs the user's callback for the request, with the loop's gate open. */
static thrum_status ask(struct lconn *c, const thrum_request *r, struct decision *d)
{
    struct thrum_loop *l = c->home->loop;
    struct thrum_listener *s = c->home->listener;
    size_t way = 0;
    l->params = NULL;
    if (s->routes) {
        enum route_answer a = route_find(s->routes, thrum_request_target(r), &way, &l->params);
        if (a != ROUTE_FOUND)
            return plain(d, status_of(a));
    }
    c->way = (uint16_t)way;
    const struct way *w = lconn_way(c);
    l->asked = r;
    l->opening = c;
    deciding = l;
    gate_out(l);
    thrum_status st = proto_decide_by(r, lconn_settings(c), w->on_request, w->arg, d);
    gate_in(l);
    l->asked = NULL;
    deciding = NULL;
    if (st == THRUM_OK && d->status == 0 && !w->sockets)
        d->status = 426;
    return st;
}

/* Then on_open, which may ask for the parameters of the path still. */
void home_decide(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    struct decision d = {0};
    const thrum_request *r = proto_asks(c->proto);
    thrum_status st = ask(c, r, &d);
    if (st == THRUM_OK && d.reply)
        c->user = d.reply->user;
    if (proto_asks(c->proto) == r) {
        if (c->home->draining && !c->home->listener->handed_over)
            (void)proto_refuse(c->proto, 503, l->now);
        else if (st == THRUM_OK)
            (void)proto_answer(c->proto, &d, l->now);
        else
            (void)proto_refuse(c->proto, 500, l->now);
    }
    decision_free(&d);
    lconn_events(c);
    mem_free(l->params);
    l->params = NULL;
    l->opening = NULL;
}

static const char *param(const struct lconn *c, const char *name)
{
    const struct thrum_loop *l = c->home->loop;
    return l->params ? route_param(c->home->listener->routes, c->way, l->params, name) : NULL;
}

const char *thrum_request_param(const thrum_request *r, const char *name)
{
    return r && name && deciding && deciding->asked == r ? param(deciding->opening, name) : NULL;
}

const char *thrum_conn_param(const thrum_conn *h, const char *name)
{
    if (!h || !name || front_of(h) != &loop_front)
        return NULL;
    const struct lconn *c = (const struct lconn *)(const void *)h;
    return c->home->listener && c->home->loop->opening == c ? param(c, name) : NULL;
}

void thrum_reply_user(thrum_reply *a, void *user)
{
    if (a)
        a->user = user;
}
