/* open.c: clients of a loop. Looking a name up and trying its addresses takes waits, which a loop has not; so
 * that is done by a helper thread of the library, at most DIALERS of them at once, and the connected socket
 * comes back by letter. Who gives up leaves the helper to throw away what it gets. */
#include "event/opening.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/sys.h"
#include "base/text.h"
#include "base/thread.h"
#include "conn/target.h"
#include "event/gate.h"
#include "net/dial.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

enum { DIALERS = 16 };

/* Two have it: the loop until it gives up or the letter is opened, and the helper until the letter is posted.
 */
struct job {
    struct letter letter; /* first */
    struct list link;     /* in the queue; the loop's own */
    struct list mine;     /* of the loop */
    struct lock lock;
    unsigned refs;           /* under lock, as what follows */
    struct thrum_loop *loop; /* NULL: it has given up */
    thrum_id conn;
    /* the helper's until the letter */
    struct shared_settings *settings;
    struct target target;
    int64_t began;
    int bell; /* readable: give up */
    struct stream *stream;
    thrum_error err;
};

static struct lock queue_lock = LOCK_INIT;
static struct list queue = LIST_INIT(queue);
static unsigned dialers;

static void job_unref(struct job *j)
{
    lock_take(&j->lock);
    bool last = --j->refs == 0;
    lock_give(&j->lock);
    if (!last)
        return;
    if (j->stream)
        j->stream->ops->free(j->stream);
    if (j->bell >= 0)
        (void)sys.close(j->bell);
    target_free(&j->target);
    settings_unshare(j->settings);
    lock_destroy(&j->lock);
    mem_free(j);
}

/* ---- on the loop's thread
 * ------------------------------------------------------------------------------------------- */

/* A bare socket needs no stream object: what reads for itself can then read it. */
static void take_stream(struct lconn *c, struct stream *s)
{
    int fd = socket_unwrap(s);
    c->stream = fd >= 0 ? NULL : s;
    c->fd = fd >= 0 ? fd : s->ops->fd(s);
    c->connecting = false;
}

static void open_job(struct thrum_loop *l, struct letter *x)
{
    struct job *j = (struct job *)(void *)x;
    if (!l)
        return; /* opening_free_inherited has it */
    lock_take(&j->lock);
    struct lconn *c = j->loop && !l->ending ? lconn_find(l, j->conn) : NULL;
    bool counted = j->loop != NULL;
    j->loop = NULL;
    lock_give(&j->lock);
    if (counted) {
        list_remove(&j->mine);
        job_unref(j);
    }
    if (c && j->stream) {
        take_stream(c, j->stream);
        j->stream = NULL;
    } else if (c) {
        proto_cut_because(c->proto, &j->err, l->now);
    }
    if (c)
        lconn_settle(c);
    job_unref(j);
}

void opening_event(void *job, const struct poller_event *e)
{
    (void)job;
    (void)e;
}

static void give_up(struct job *j)
{
    lock_take(&j->lock);
    j->loop = NULL;
    (void)sys.write(j->bell, &(uint64_t){1}, sizeof(uint64_t));
    lock_give(&j->lock);
    list_remove(&j->mine);
    job_unref(j);
}

void opening_forget(struct lconn *c)
{
    struct thrum_loop *l = c->home->loop;
    list_each_safe (n, next, &l->jobs) {
        struct job *j = list_of(n, struct job, mine);
        if (j->conn == c->id)
            give_up(j);
    }
}

void opening_end_all(struct thrum_loop *l)
{
    while (!list_empty(&l->jobs))
        give_up(list_of(l->jobs.next, struct job, mine));
}

/* ---- the helpers
 * ------------------------------------------------------------------------------------------------------ */

static void dial_job(struct job *j)
{
    const struct settings *set = &j->settings->s;
    const struct limits l = {clock_after(j->began, set->open_timeout), false, j->bell};
    const struct dial_how how = {
        .tls = j->settings->tls,
        .proxy_tls = j->settings->proxy_tls,
        .proxy = set->proxy,
        .source = set->source_address,
        .keepalive = set->tcp_keepalive,
    };
    (void)dial(&j->stream, &j->target.uri, &how, &l, &j->err);
    lock_take(&j->lock);
    bool posted = j->loop && post_letter(j->loop, &j->letter) == THRUM_OK;
    lock_give(&j->lock);
    if (!posted)
        job_unref(j);
}

static struct job *next_job(void)
{
    struct job *j = NULL;
    lock_take(&queue_lock);
    if (!list_empty(&queue)) {
        j = list_of(queue.next, struct job, link);
        list_remove(&j->link);
    } else {
        dialers--;
    }
    lock_give(&queue_lock);
    return j;
}

static void dialer_main(void *arg)
{
    (void)arg;
    for (struct job *j; (j = next_job());)
        dial_job(j);
}

static int enqueue(struct job *j)
{
    int e = 0;
    lock_take(&queue_lock);
    list_push(&queue, &j->link);
    if (dialers < DIALERS) {
        e = thread_start(dialer_main, NULL, "dial", 0);
        if (e == 0)
            dialers++;
        else if (dialers > 0)
            e = 0; /* those that there are will come to it */
    }
    if (e)
        list_remove(&j->link);
    lock_give(&queue_lock);
    return e;
}

/* Neither the parent's helper nor its letter will come. */
void opening_free_inherited(struct thrum_loop *l)
{
    list_each_safe (n, next, &l->jobs) {
        struct job *j = list_of(n, struct job, mine);
        lock_reset(&j->lock);
        list_remove(&j->letter.link);
        list_remove(&j->mine);
        j->refs = 1;
        job_unref(j);
    }
}

void opening_forked(void)
{
    lock_reset(&queue_lock);
    list_init(&queue);
    dialers = 0;
}

/* ---- thrum_open
 * ------------------------------------------------------------------------------------------------------- */

static thrum_status client_settings(struct shared_settings *ss, const thrum_client_options *given,
                                    thrum_error *err)
{
    thrum_client_options o;
    thrum_status s = settings_client(&ss->s, given, err);
    s = s ? s : options_read(&o, sizeof o, given, err);
    if (s == THRUM_OK && (o.tls || o.tls_shared))
        s = tls_settings(&ss->tls, o.tls, o.tls_shared, err);
    if (s == THRUM_OK && o.proxy_tls)
        s = tls_settings(&ss->proxy_tls, o.proxy_tls, NULL, err);
    return s;
}

static struct home *make_home(struct thrum_loop *l, const thrum_client_options *o, const thrum_handlers *on,
                              void *arg, thrum_error *err)
{
    struct home *h = mem_zalloc(sizeof *h);
    struct way *w = mem_zalloc(sizeof *w);
    struct shared_settings *ss = settings_share();
    if (!h || !w || !ss)
        error_set(err, THRUM_E_MEMORY, "no memory for a connection");
    if (err->status == THRUM_OK && client_settings(ss, o, err) == THRUM_OK &&
        options_read(&w->on, sizeof w->on, on, err) == THRUM_OK) {
        w->arg = arg;
        *h = (struct home){.origin = {&loop_front},
                           .loop = l,
                           .settings = ss,
                           .ways = w,
                           .refs = 1,
                           .is_roomy = ss->s.send_high > CHUNK_ROOM};
        list_init(&h->link);
        return h;
    }
    settings_unshare(ss);
    mem_free(w);
    mem_free(h);
    return NULL;
}

static thrum_status make_job(struct job **out, struct home *h, const char *url, thrum_error *err)
{
    struct job *j = *out = mem_zalloc(sizeof *j);
    if (!j || lock_init(&j->lock)) {
        mem_free(j);
        *out = NULL;
        return error_set(err, THRUM_E_MEMORY, "no memory for a connection");
    }
    j->refs = 1;
    j->letter.open = open_job;
    list_init(&j->letter.link);
    list_init(&j->link);
    list_init(&j->mine);
    atomic_fetch_add(&h->settings->refs, 1);
    j->settings = h->settings;
    j->began = h->loop->now;
    j->bell = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (j->bell < 0)
        return error_os(err, THRUM_E_SYSTEM, errno, "no descriptor to give up connecting by");
    return target_first(&j->target, url, h->settings, err);
}

static thrum_status make_client(struct lconn **out, struct home *h, const struct job *j, thrum_error *err)
{
    const char *fields[TARGET_FIELDS];
    const struct client_more more = {.fields = target_fields(&j->target, h->settings, fields)};
    struct lconn *c = lconn_new(h, -1, NULL, err);
    if (!c)
        return THRUM_E_MEMORY;
    c->connecting = true;
    *out = c;
    return lconn_make_proto(c, j->target.url, &more, err);
}

/* Its helper, or an error: then it has never been. */
static thrum_status begin(struct job *j, struct thrum_loop *l, struct lconn *c, thrum_error *err)
{
    j->loop = l;
    j->conn = c->id;
    j->refs = 2;
    list_push(&l->jobs, &j->mine);
    int e = enqueue(j);
    if (e) {
        give_up(j);
        return error_os(err, THRUM_E_SYSTEM, e, "no thread to connect with");
    }
    lconn_dirty(c);
    return THRUM_OK;
}

static thrum_status open_on(struct thrum_loop *l, const char *url, const thrum_client_options *o,
                            const thrum_handlers *on, void *arg, thrum_id *id, thrum_error *err)
{
    struct job *j = NULL;
    struct lconn *c = NULL;
    struct home *h = make_home(l, o, on, arg, err);
    if (!h)
        return err->status;
    if (!l->turning)
        l->now = clock_now();
    thrum_status s = make_job(&j, h, url, err);
    s = s ? s : make_client(&c, h, j, err);
    if (s == THRUM_OK && id)
        *id = c->id;
    if (s == THRUM_OK)
        s = begin(j, l, c, err);
    if (s != THRUM_OK) {
        if (j)
            job_unref(j);
        if (c)
            lconn_undo(c);
    }
    home_unref(h);
    return s;
}

thrum_status thrum_open(thrum_loop *l, const char *url, const thrum_client_options *o,
                        const thrum_handlers *h, void *arg, thrum_id *id, thrum_error *err)
{
    thrum_error none;
    err = err ? err : &none;
    memset(err, 0, sizeof *err);
    thrum_status s = loop_mine(l);
    if (s == THRUM_OK && !loop_is_here(l))
        s = THRUM_E_THREAD;
    if (s == THRUM_OK && l->ending)
        s = THRUM_E_CLOSED;
    if (s != THRUM_OK || !url || !h)
        return error_set(err, s ? s : THRUM_E_ARGUMENT, "%s",
                         s ? thrum_status_text(s) : "the URL or the handlers are NULL");
    int cancel = cancel_off();
    gate_in(l);
    s = open_on(l, url, o, h, arg, id, err);
    loop_after_call(l);
    gate_out(l);
    cancel_back(cancel);
    return s;
}
