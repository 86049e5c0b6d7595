/* session.c: a server's connection, on a thread of its own: handshake, the user's handler, the end. */
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/text.h"
#include "block/server.h"
#include "conn/serve.h"
#include <string.h>

static bool is_draining(struct thrum_server *s)
{
    if (!s)
        return false;
    lock_take(&s->lock);
    bool draining = s->draining;
    lock_give(&s->lock);
    return draining;
}

/* The user's callbacks run with the connection unlocked; nobody answers the request meanwhile, since who
 * drains the server leaves a request that is being decided to us. */
static thrum_status decide(struct call *k, struct thrum_server *server)
{
    struct thrum_conn *c = &k->b->c;
    struct decision d;
    const thrum_request *r = proto_asks(c->proto);
    lock_give(&c->lock);
    thrum_status s = proto_decide(r, proto_settings(c->proto), &d);
    bool late = is_draining(server);
    lock_take(&c->lock);
    k->now = clock_now();
    if (s == THRUM_OK && proto_asks(c->proto) == r)
        s = late ? proto_refuse(c->proto, 503, k->now) : proto_answer(c->proto, &d, k->now);
    else if (s != THRUM_OK)
        (void)proto_refuse(c->proto, 500, k->now);
    decision_free(&d);
    conn_write(c, k->now);
    return s;
}

/* [held] From accepted to open; or, once an HTTP answer is out, to the end of the stream. */
static thrum_status shake_hands(struct call *k, struct thrum_server *server)
{
    struct thrum_conn *c = &k->b->c;
    for (;;) {
        thrum_status s = call_wait(k, WANT_OPEN, CLOCK_NEVER);
        if (s != THRUM_OK)
            return s;
        if (proto_asks(c->proto)) {
            s = decide(k, server);
            if (s != THRUM_OK)
                return s;
            continue;
        }
        thrum_state state = thrum_proto_state(c->proto);
        if (state == THRUM_OPEN || state == THRUM_CLOSING)
            return THRUM_OK;
        s = call_wait(k, WANT_END, CLOCK_NEVER); /* the proto's own deadlines bound it */
        return s == THRUM_OK ? conn_end_status(c) : s;
    }
}

static thrum_status make_conn(struct thrum_conn **out, struct stream *stream, struct shared_settings *ss,
                              thrum_error *err)
{
    thrum_status s = serve_wrap(&stream, ss, err);
    if (s != THRUM_OK)
        return s;
    atomic_fetch_add(&ss->refs, 1);
    struct block *b = block_new(stream, ss, err);
    if (!b)
        return err->status;
    b->c.peer_later = ss->s.proxy_protocol;
    s = conn_server(&b->c, clock_now(), err);
    if (s != THRUM_OK) {
        b->c.destroy(&b->c);
        return s;
    }
    conn_list(&b->c);
    if (registry_count() == 2)
        warden_sweep();
    *out = &b->c;
    return THRUM_OK;
}

/* The thread that accepts by itself is cancelled in its handshake: nobody else has a handle. */
static void abandon_accept(struct call *k)
{
    conn_cut(&k->b->c, THRUM_E_CANCELLED, "the thread that accepted it was cancelled", k->now);
    k->b->c.handles = 0;
}

static thrum_status open_conn(struct thrum_conn *c, struct thrum_server *server, thrum_error *err)
{
    struct call k;
    thrum_status s = call_enter(&k, c);
    if (s != THRUM_OK)
        return error_set(err, s, "%s", thrum_status_text(s));
    k.abandon = server ? NULL : abandon_accept;
    s = shake_hands(&k, server);
    if (s == THRUM_OK) /* before anybody has a handle */
        text_format(c->peer, sizeof c->peer, "%s", proto_peer(c->proto));
    thrum_proto_error(c->proto, err);
    if (s != THRUM_OK && err->status != s)
        error_set(err, s, "the opening handshake with %s was not finished: %s", c->peer,
                  thrum_status_text(s));
    call_leave(&k);
    return s;
}

static void serve(struct session *n)
{
    struct thrum_server *s = n->server;
    const struct settings *set = &s->settings->s;
    thrum_error err = {0};
    struct thrum_conn *c = NULL;
    struct stream *stream = n->stream;
    if (make_conn(&c, stream, s->settings, &err) != THRUM_OK) {
        LOG(LOG_SERVER, LOG_WARNING, 0, "a connection was dropped: %s", err.text);
        return;
    }
    lock_take(&s->lock);
    n->conn = c;
    bool late = s->draining;
    lock_give(&s->lock);
    if (late) {
        lock_take(&c->lock);
        (void)proto_refuse(c->proto, 503, clock_now());
        lock_give(&c->lock);
    }
    thrum_status st = open_conn(c, s, &err);
    lock_take(&s->lock);
    n->open = st == THRUM_OK;
    lock_give(&s->lock);
    if (st == THRUM_OK) {
        LOG(LOG_SERVER, LOG_DEBUG, c->id, "open: %s from %s", thrum_conn_target(c), c->peer);
        set->serve(c, set->arg);
        (void)thrum_close(c, 1000, NULL);
    } else {
        LOG(LOG_SERVER, LOG_INFO, c->id, "not opened: %s", err.text);
    }
}

/* Also where a handler ends its thread by pthread_exit, or is cancelled. */
static void session_end(void *arg)
{
    struct session *n = arg;
    struct thrum_server *s = n->server;
    lock_take(&s->lock);
    struct thrum_conn *c = n->conn;
    n->conn = NULL;
    n->open = false;
    lock_give(&s->lock);
    thrum_conn_free(c);
    lock_take(&s->lock);
    list_remove(&n->link);
    s->count--;
    if (s->draining && s->count == 0)
        (void)sys.write(s->done, &(uint64_t){1}, sizeof(uint64_t));
    lock_give(&s->lock);
    mem_free(n);
    server_unref(s);
}

static void session_main(void *arg)
{
    pthread_cleanup_push(session_end, arg);
    serve(arg);
    pthread_cleanup_pop(1);
}

/* Over the limit or without memory: as much of an answer as can be had for nothing. */
static void turn_away(struct stream *stream)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    uint8_t trash[4096];
    struct iovec v = {(void *)(uintptr_t)answer, sizeof answer - 1}, in = {trash, sizeof trash};
    (void)stream->ops->write(stream, &v, 1);
    (void)stream->ops->shut_out(stream);
    for (int i = 0; i < 16 && stream->ops->read(stream, &in, 1) > 0;
         i++) /* unread bytes would reset the answer away */
        ;
    stream->ops->free(stream);
}

void session_start(struct thrum_server *s, struct stream *stream)
{
    struct session *n = mem_zalloc(sizeof *n);
    lock_take(&s->lock);
    bool room = n && s->count < s->settings->s.max_conns && !s->draining;
    if (room) {
        n->server = s;
        n->stream = stream;
        list_push(&s->sessions, &n->link);
        s->count++;
        s->refs++;
    }
    lock_give(&s->lock);
    int e = room ? thread_start(session_main, n, "serve", (size_t)s->settings->s.stack_size) : 0;
    if (room && e == 0)
        return;
    if (room) {
        lock_take(&s->lock);
        list_remove(&n->link);
        s->count--;
        s->refs--; /* the accepting thread has one more */
        lock_give(&s->lock);
    }
    LOG(LOG_SERVER, LOG_WARNING, 0, "a connection is turned away: %s",
        e      ? "no thread"
        : room ? ""
               : "no room");
    mem_free(n);
    turn_away(stream);
}

static void drop_settings(void *ss)
{
    settings_unshare(ss);
}

/* Small, as what saves registers like setjmp should be. */
static thrum_status open_alone(thrum_conn *c, struct shared_settings *ss, thrum_error *err)
{
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push(drop_settings, ss);
    s = open_conn(c, NULL, err);
    pthread_cleanup_pop(0);
    return s;
}

thrum_status thrum_accept_fd(thrum_conn **out, int fd, const thrum_server_options *o, thrum_error *err)
{
    thrum_error mine;
    struct stream *stream = NULL;
    err = err ? err : &mine;
    memset(err, 0, sizeof *err);
    if (out)
        *out = NULL;
    if (fd < 0 || !out)
        error_set(err, THRUM_E_ARGUMENT, fd < 0 ? "that is no descriptor" : "out is NULL");
    struct shared_settings *ss =
        err->status == THRUM_OK && block_start(err) == THRUM_OK ? settings_share() : NULL;
    if (!ss && err->status == THRUM_OK)
        error_set(err, THRUM_E_MEMORY, "no memory for the options");
    if (err->status == THRUM_OK && serve_settings(ss, o, err) == THRUM_OK) {
        int e = stream_socket(&stream, fd);
        fd = -1; /* the stream's, or closed */
        if (e < 0)
            error_os(err, THRUM_E_ARGUMENT, -e, "that descriptor is no connected stream socket");
    }
    struct thrum_conn *c = NULL;
    thrum_status s = stream ? make_conn(&c, stream, ss, err) : err->status;
    if (s == THRUM_OK)
        s = open_alone(c, ss, err);
    if (s == THRUM_OK)
        *out = c;
    else
        thrum_conn_free(c);
    if (fd >= 0)
        sys.close(fd);
    settings_unshare(ss);
    return s;
}
