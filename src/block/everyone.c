/* everyone.c: what concerns all of a server's connections: listing and broadcasting. */
#include "base/clock.h"
#include "base/mem.h"
#include "block/server.h"
#include "wire/utf8.h"

struct thrum_conn **server_snapshot(struct thrum_server *s, bool open_only, size_t *n)
{
    struct thrum_conn **v = NULL;
    size_t k = 0;
    lock_take(&s->lock);
    *n = s->count;
    if (s->count > 0)
        v = mem_alloc(s->count * sizeof *v);
    if (v) {
        list_each (l, &s->sessions) {
            struct session *x = list_of(l, struct session, link);
            if (x->conn && (x->open || !open_only))
                v[k++] = thrum_conn_ref(x->conn);
        }
        *n = k;
    }
    lock_give(&s->lock);
    return v;
}

void snapshot_free(struct thrum_conn **v, size_t n)
{
    for (size_t i = 0; v && i < n; i++)
        thrum_conn_free(v[i]);
    mem_free(v);
}

size_t thrum_server_count(const thrum_server *s)
{
    size_t n = 0;
    if (server_mine(s) != THRUM_OK)
        return 0;
    struct thrum_server *m = (struct thrum_server *)(uintptr_t)s; /* its lock: asking changes nothing else */
    lock_take(&m->lock);
    list_each (l, &m->sessions)
        n += list_of(l, struct session, link)->open;
    lock_give(&m->lock);
    return n;
}

thrum_status thrum_server_each(thrum_server *s, void (*fn)(thrum_conn *c, void *arg), void *arg)
{
    size_t n;
    thrum_status st = fn ? server_mine(s) : THRUM_E_ARGUMENT;
    if (st != THRUM_OK)
        return st;
    int cancel = cancel_off(); /* the list would be lost with the thread */
    struct thrum_conn **v = server_snapshot(s, true, &n);
    for (size_t i = 0; v && i < n; i++)
        fn(v[i], arg);
    snapshot_free(v, n);
    cancel_back(cancel);
    return v || n == 0 ? THRUM_OK : THRUM_E_MEMORY;
}

static bool send_one(struct thrum_conn *c, struct shared *frame)
{
    struct call k;
    if (call_enter(&k, c) != THRUM_OK)
        return false;
    bool sent = proto_send_shared(c->proto, frame) == THRUM_OK;
    if (sent)
        conn_write(c, k.now);
    call_leave(&k); /* wakes who is to write what is left, or tells the warden */
    return sent;
}

static thrum_status broadcast(struct thrum_server *s, thrum_kind kind, const void *p, size_t n, size_t *sent,
                              size_t *skipped)
{
    size_t conns, ok = 0;
    thrum_status st = server_mine(s);
    if (st == THRUM_OK && ((kind != THRUM_TEXT && kind != THRUM_BINARY) || (!p && n > 0)))
        st = THRUM_E_ARGUMENT;
    if (st != THRUM_OK)
        return st;
    if (kind == THRUM_TEXT && !utf8_valid(p, n))
        return THRUM_E_UTF8;
    struct shared *frame = shared_new(kind, (thrum_slice){p, n});
    struct thrum_conn **v = frame ? server_snapshot(s, true, &conns) : NULL;
    if (!frame || (!v && conns > 0)) {
        shared_drop(frame);
        return THRUM_E_MEMORY;
    }
    for (size_t i = 0; i < conns; i++)
        ok += send_one(v[i], frame);
    snapshot_free(v, conns);
    shared_drop(frame);
    if (sent)
        *sent = ok;
    if (skipped)
        *skipped = conns - ok;
    return THRUM_OK;
}

thrum_status thrum_server_broadcast(thrum_server *s, thrum_kind kind, const void *p, size_t n, size_t *sent,
                                    size_t *skipped)
{
    int cancel = cancel_off();
    thrum_status st = broadcast(s, kind, p, n, sent, skipped);
    cancel_back(cancel);
    return st;
}
