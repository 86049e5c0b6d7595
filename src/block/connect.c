/* connect.c: from a URL to an open connection: dialling, the opening handshake, and again where the server
 * sends us elsewhere (a redirect) or asks who we are (401).
 *
 * All that one connect holds is in one struct, which a cancelled thread's clean-up frees. What its waits hold
 * (a socket that is being connected, a connection whose handshake is in progress) they give back themselves.
 */
#include "block/connect.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/text.h"
#include "block/block.h"
#include "conn/target.h"
#include "net/dial.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- the token ------------------------------------------------------------------------------------------
 */

int connect_token_init(struct connect_token *t)
{
    *t = (struct connect_token){.bell = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (t->bell < 0)
        return errno;
    int e = lock_init(&t->lock);
    if (e)
        (void)sys.close(t->bell);
    return e;
}

void connect_token_free(struct connect_token *t)
{
    lock_destroy(&t->lock);
    (void)sys.close(t->bell);
}

void connect_token_cancel(struct connect_token *t)
{
    lock_take(&t->lock);
    t->cancelled = true;
    (void)sys.write(t->bell, &(uint64_t){1}, sizeof(uint64_t));
    thrum_conn *c = t->conn ? thrum_conn_ref(t->conn) : NULL;
    lock_give(&t->lock);
    thrum_cancel(c);
    thrum_conn_free(c);
}

/* What the token shows has a handle of the token's: who cancels may come at any time, also just as the
 * handshake fails. False: it is cancelled. */
static bool token_show(struct connect_token *t, struct thrum_conn *c)
{
    if (!t)
        return true;
    lock_take(&t->lock);
    bool go = !t->cancelled;
    t->conn = go ? thrum_conn_ref(c) : NULL;
    lock_give(&t->lock);
    return go;
}

static void token_hide(struct connect_token *t)
{
    if (!t)
        return;
    lock_take(&t->lock);
    thrum_conn *c = t->conn;
    t->conn = NULL;
    lock_give(&t->lock);
    thrum_conn_free(c);
}

/* ---- one handshake --------------------------------------------------------------------------------------
 */

struct attempt {
    struct shared_settings *ss;
    struct connect_token *token;
    thrum_response **answer; /* NULL: nobody wants it */
    thrum_error *err;
    int64_t began;
    struct target target; /* where to now, and as whom */
    unsigned redirects;
    struct thrum_response *response;
};

/* Why a handshake did not end in an open connection; OK when it did, even if the peer has closed since. */
static thrum_status handshake_result(struct call *k, thrum_status waited, thrum_error *err)
{
    struct thrum_conn *c = &k->b->c;
    thrum_state state = thrum_proto_state(c->proto);
    thrum_error e;
    thrum_proto_error(c->proto, &e);
    if (waited == THRUM_OK && (state == THRUM_OPEN || state == THRUM_CLOSING))
        return THRUM_OK;
    if (e.status == THRUM_E_CLOSED)
        return THRUM_OK; /* it was open, and both sides have closed already */
    if (e.status != THRUM_OK) {
        if (err)
            *err = e;
        return e.status;
    }
    return error_set(err, waited, "the opening handshake with %s was not finished: %s", c->peer,
                     thrum_status_text(waited));
}

static void abandon_open(struct call *k)
{
    conn_cut(&k->b->c, THRUM_E_CANCELLED, "the thread that opened it was cancelled", k->now);
    k->b->c.handles--; /* ours; with none left, step_out destroys it */
}

/* The waiting part of a handshake. On failure nothing is left of the connection but, in a, the server's
 * answer. */
static thrum_status shake_hands(thrum_conn **out, struct attempt *a, struct block *b)
{
    struct call k;
    thrum_status s = call_enter(&k, &b->c);
    if (s != THRUM_OK) {
        thrum_conn_free(&b->c);
        return error_set(a->err, s, "%s", thrum_status_text(s));
    }
    k.abandon = abandon_open;
    conn_write(&b->c, k.now);
    bool go =
        !a->token || !a->token->cancelled; /* cancelled between showing and entering: not to be missed */
    s = handshake_result(&k, go ? call_wait(&k, WANT_OPEN, CLOCK_NEVER) : THRUM_E_CANCELLED, a->err);
    if (s == THRUM_OK) {
        *out = &b->c;
    } else {
        if (s == THRUM_E_REFUSED)
            a->response = proto_take_response(b->c.proto);
        abandon_open(&k);
    }
    call_leave(&k);
    return s;
}

static thrum_status open_stream(thrum_conn **out, struct attempt *a, struct stream *stream)
{
    const char *fields[TARGET_FIELDS];
    const struct client_more more = {.fields = target_fields(&a->target, a->ss, fields),
                                     .foreign = a->target.foreign};
    atomic_fetch_add(&a->ss->refs, 1);
    struct block *b = block_new(stream, a->ss, a->err);
    if (!b)
        return a->err->status;
    thrum_status s = conn_client(&b->c, a->target.url, &more, a->began, a->err);
    if (s != THRUM_OK) {
        b->c.destroy(&b->c);
        return s;
    }
    conn_list(&b->c);
    if (registry_count() == 2)
        warden_sweep();
    if (!token_show(a->token, &b->c)) {
        thrum_conn_free(&b->c);
        return error_set(a->err, THRUM_E_CANCELLED, "connecting was cancelled");
    }
    s = shake_hands(out, a, b);
    token_hide(a->token);
    return s;
}

static thrum_status dial_out(struct stream **stream, const struct attempt *a)
{
    const struct settings *set = &a->ss->s;
    const struct limits l = {clock_after(a->began, set->open_timeout), set->interruptible,
                             a->token ? a->token->bell : -1};
    const struct dial_how how = {
        .tls = a->ss->tls,
        .proxy_tls = a->ss->proxy_tls,
        .proxy = set->proxy,
        .source = set->source_address,
        .keepalive = set->tcp_keepalive,
        .anonymous = a->target.foreign,
    };
    return dial(stream, &a->target.uri, &how, &l, a->err);
}

/* ---- what an HTTP answer leads to -----------------------------------------------------------------------
 */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* True: a->target is the next to try. False: the answer stands; err says so, or says why it could not be
 * followed. */
static bool go_on(struct attempt *a)
{
    struct thrum_response *r = a->response;
    int status = thrum_response_status(r);
    const char *location = thrum_response_header(r, "Location", 0);
    if (!r || a->target.given_stream)
        return false;
    if (is_redirect(status) && location && a->ss->s.max_redirects > 0) {
        if (a->redirects++ == a->ss->s.max_redirects) {
            error_set(a->err, THRUM_E_REFUSED, "the server redirects again and again: over %u times",
                      (unsigned)a->ss->s.max_redirects);
            a->err->http_status = (uint16_t)status;
            return false;
        }
        return target_redirect(&a->target, location, status, a->err) == THRUM_OK;
    }
    return status == 401 && target_authorize(&a->target, r, a->err) == THRUM_OK;
}

static void drop_response(struct attempt *a)
{
    thrum_response_free(a->response);
    a->response = NULL;
}

static thrum_status run(thrum_conn **out, struct attempt *a)
{
    for (;;) {
        struct stream *stream = NULL;
        thrum_status s = dial_out(&stream, a);
        if (s == THRUM_OK)
            s = open_stream(out, a, stream);
        if (s != THRUM_E_REFUSED || !go_on(a))
            return s == THRUM_E_REFUSED ? a->err->status : s;
        drop_response(a);
    }
}

static void attempt_free(void *arg)
{
    struct attempt *a = arg;
    token_hide(a->token); /* where its thread was cancelled */
    drop_response(a);
    target_free(&a->target);
}

static void give_response(struct attempt *a)
{
    if (!a->answer)
        return;
    *a->answer = a->response;
    a->response = NULL;
}

/* Small, as what saves registers like setjmp should be. */
static thrum_status run_cleanly(thrum_conn **out, struct attempt *a)
{
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push(attempt_free, a);
    s = run(out, a);
    give_response(a);
    pthread_cleanup_pop(1);
    return s;
}

thrum_status connect_shared(thrum_conn **out, const char *url, struct shared_settings *ss,
                            struct connect_token *token, thrum_response **answer, thrum_error *err)
{
    thrum_error mine;
    struct attempt a = {
        .ss = ss, .token = token, .answer = answer, .err = err ? err : &mine, .began = clock_now()};
    *out = NULL;
    if (answer)
        *answer = NULL;
    thrum_status s = target_first(&a.target, url, ss, a.err);
    if (s != THRUM_OK) {
        attempt_free(&a);
        return s;
    }
    return run_cleanly(out, &a);
}

static thrum_status run_stream(thrum_conn **out, struct attempt *a, struct stream *stream)
{
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push(attempt_free, a);
    s = open_stream(out, a, stream);
    give_response(a);
    pthread_cleanup_pop(1);
    return s;
}

thrum_status connect_stream(thrum_conn **out, int fd, const char *url, struct shared_settings *ss,
                            thrum_response **answer, thrum_error *err)
{
    struct attempt a = {.ss = ss, .answer = answer, .err = err, .began = clock_now()};
    struct stream *stream = NULL;
    thrum_status s = target_first(&a.target, url, ss, err);
    int e = s == THRUM_OK ? stream_socket(&stream, fd) : 0;
    if (s != THRUM_OK)
        (void)sys.close(fd);
    else if (e < 0)
        s = error_os(err, THRUM_E_ARGUMENT, -e, "descriptor %d is no connected stream socket", fd);
    if (s == THRUM_OK && a.target.uri.tls)
        s = dial_tls(&stream, ss->tls, a.target.uri.host, a.target.uri.port, false, err);
    if (s != THRUM_OK) {
        attempt_free(&a);
        return s;
    }
    a.target.given_stream = true;
    return run_stream(out, &a, stream);
}

/* ---- as a call of several waits -------------------------------------------------------------------------
 */

/* Clean-up of a cancelled thread whose waits undo themselves. */
static void end_long_call(void *arg)
{
    struct thread *t = arg;
    if (t)
        t->long_call = false;
}

/* In a function of its own, as pthread_cleanup_push saves registers like setjmp: here nothing is assigned. */
static thrum_status run_long(thrum_status (*fn)(void *arg), void *arg)
{
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push(end_long_call, thread_self());
    s = fn(arg);
    pthread_cleanup_pop(1);
    return s;
}

thrum_status connect_long_call(thrum_status (*fn)(void *arg), void *arg)
{
    int state, type;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    struct thread *t = thread_self();
    if (t) {
        t->long_call = true;
        t->cancel_state = state;
    }
    thrum_status s = run_long(fn, arg);
    pthread_setcanceltype(type, NULL);
    pthread_setcancelstate(state, NULL);
    return s;
}
