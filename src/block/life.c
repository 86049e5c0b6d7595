/* life.c: birth and end of a blocking connection. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "block/block.h"
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_errno;

static void start_once(void)
{
    static const struct registry_front front = {.forked = warden_forked};
    thread_on_end(warden_announce);
    once_errno = registry_start(&front);
}

thrum_status block_start(thrum_error *err)
{
    pthread_once(&once, start_once);
    if (once_errno)
        return error_os(err, THRUM_E_SYSTEM, once_errno,
                        "the exit and fork handlers could not be registered");
    if (!thread_self())
        return error_set(err, THRUM_E_MEMORY, "no memory for the calling thread's record");
    return THRUM_OK;
}

static const struct origin block_origin;

static void destroy(struct thrum_conn *c)
{
    conn_done(c);
    mem_free(block_of(c));
}

struct block *block_new(struct stream *stream, struct shared_settings *settings, thrum_error *err)
{
    struct block *b = mem_zalloc(sizeof *b);
    if (!b) {
        error_set(err, THRUM_E_MEMORY, "no memory for a connection");
        stream->ops->free(stream);
        settings_unshare(settings);
        return NULL;
    }
    list_init(&b->waiters);
    list_init(&b->mail);
    list_init(&b->watch);
    if (conn_init(&b->c, stream, settings, destroy, err) != THRUM_OK) {
        stream->ops->free(stream);
        settings_unshare(settings);
        mem_free(b);
        return NULL;
    }
    b->c.origin = &block_origin;
    b->left_at = clock_now();
    return b;
}

void block_unlock(struct block *b)
{
    bool over = conn_is_over(&b->c);
    lock_give(&b->c.lock);
    if (over)
        b->c.destroy(&b->c);
}

void block_close_stream(struct block *b)
{
    struct thrum_conn *c = &b->c;
    if (!c->stream)
        return;
    warden_forget(b);
    c->stream->ops->free(c->stream);
    c->stream = NULL;
}

/* The last handle is gone: a goodbye, and the end for whoever is still inside. */
static void drop(struct block *b)
{
    struct thrum_conn *c = &b->c;
    b->dropped = true;
    if (!c->stream)
        return;
    int64_t now = clock_now();
    conn_goodbye(c, 1001, now);
    conn_cut(c, THRUM_E_CLOSED, "the connection was freed", now);
    block_wake(b);
    if (c->inside == 0) /* else the last one to leave does it */
        block_close_stream(b);
    if (c->held)
        warden_notice(b); /* to let go of the memory */
}

/* In a child of fork: no byte leaves, the parent's stream is not shut; the memory of one that was
 * half-changed at the fork is left alone. */
static void free_inherited(struct thrum_conn *c)
{
    if (c->handles == 0 || --c->handles > 0)
        return;
    if (!c->torn) {
        lock_reset(&c->lock);
        c->destroy(c);
    } else if (c->stream) {
        c->stream->ops->free(c->stream);
        c->stream = NULL;
    }
}

static void block_free(thrum_conn *c)
{
    if (conn_mine(c) != THRUM_OK) {
        free_inherited(c);
        return;
    }
    int cancel = cancel_off();
    lock_take(&c->lock);
    if (--c->handles == 0)
        drop(block_of(c));
    block_unlock(block_of(c));
    cancel_back(cancel);
}

static thrum_conn *block_ref(thrum_conn *c)
{
    if (conn_mine(c) != THRUM_OK)
        return c;
    lock_take(&c->lock);
    c->handles++;
    lock_give(&c->lock);
    return c;
}

static const struct front block_front = {
    .send_one = block_send_one,
    .send = block_send,
    .receive = block_receive,
    .ping = block_ping,
    .pong = block_pong,
    .close = block_close,
    .cancel = block_cancel,
    .free = block_free,
    .ref = block_ref,
    CONN_ASKS,
};
static const struct origin block_origin = {&block_front};
