/* conn.c: birth and end of a connection, whichever front drives it. */
#include "conn/conn.h"

#include "base/fork.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include <stdio.h>

struct shared_settings *settings_share(void)
{
    struct shared_settings *s = mem_zalloc(sizeof *s);
    if (s)
        atomic_init(&s->refs, 1);
    return s;
}

void settings_unshare(struct shared_settings *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    settings_free(&s->s);
    thrum_tls_free(s->tls);
    thrum_tls_free(s->proxy_tls);
    mem_free(s);
}

thrum_id conn_next_id(void)
{
    static _Atomic(uint64_t) last;
    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

thrum_status conn_init(struct thrum_conn *c, struct stream *stream, struct shared_settings *settings,
                       void (*destroy)(struct thrum_conn *), thrum_error *err)
{
    list_init(&c->link);
    c->origin = &conn_origin;
    c->stream = stream;
    c->settings = settings;
    c->destroy = destroy;
    c->handles = 1;
    c->id = conn_next_id();
    c->generation = atomic_load(&fork_generation);
    int e = lock_init(&c->lock);
    if (e)
        return error_os(err, THRUM_E_SYSTEM, e, "no lock for the connection");
    stream->ops->describe(stream, c->peer, sizeof c->peer);
    return THRUM_OK;
}

static int host_random(void *ctx, uint8_t *p, size_t n)
{
    (void)ctx;
    return rand_bytes(p, n);
}

/* Messages are all that a blocking caller takes; pongs and the end are asked for by their own functions. */
static thrum_host host_of(const struct thrum_conn *c)
{
    return (thrum_host){
        .size = sizeof(thrum_host),
        .random = host_random,
        .events = 1u << THRUM_EVENT_MESSAGE,
        .id = c->id,
        .peer = c->peer,
    };
}

thrum_status conn_client(struct thrum_conn *c, const char *url, const struct client_more *more, int64_t now,
                         thrum_error *err)
{
    thrum_host h = host_of(c);
    return proto_new_client_with(&c->proto, url, more, &c->settings->s, &h, now, err);
}

thrum_status conn_server(struct thrum_conn *c, int64_t now, thrum_error *err)
{
    thrum_host h = host_of(c);
    return proto_new_server(&c->proto, &c->settings->s, &h, true, now, err);
}

void conn_list(struct thrum_conn *c)
{
    c->listed = true;
    registry_add(c);
}

void conn_done(struct thrum_conn *c)
{
    if (c->listed)
        registry_remove(c);
    else
        list_remove(&c->link); /* of the inherited ones, if it was among them */
    if (c->stream)
        c->stream->ops->free(c->stream);
    c->stream = NULL;
    thrum_proto_free(c->proto);
    c->proto = NULL;
    settings_unshare(c->settings);
    c->settings = NULL;
    lock_destroy(&c->lock);
}

bool conn_is_over(const struct thrum_conn *c)
{
    return c->handles == 0 && c->inside == 0 && !c->held;
}

thrum_status conn_mine(const struct thrum_conn *c)
{
    return c->generation == atomic_load_explicit(&fork_generation, memory_order_relaxed) ? THRUM_OK
                                                                                         : THRUM_E_FORKED;
}
