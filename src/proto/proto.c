/* proto.c: the object, its doors for bytes, the one state setter and the one way to fail. */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include <assert.h>
#include <stdarg.h>
#include <string.h>

enum { HOLD_MS = 1000 };

static const char *const state_names[] = {"CONNECTING", "OPEN", "CLOSING", "CLOSED"};

void proto_set_state(thrum_proto *p, thrum_state s, const char *why)
{
    if (p->state == s)
        return;
    assert(s > p->state); /* never back */
    LOG(LOG_CONN, LOG_DEBUG, p->host.id, "%s -> %s (%s)", state_names[p->state], state_names[s], why);
    p->state = s;
}

static thrum_time deadline_of(thrum_time now, int64_t ms)
{
    return ms < 0 || ms > (INT64_MAX - now) / 1000000 ? INT64_MAX : now + ms * 1000000;
}

/* What must hold between two calls. */
static void check_state(const thrum_proto *p)
{
    assert(p->state != THRUM_OPEN || (!p->close_sent && !p->close_recv && !p->failed));
    assert(p->state != THRUM_CLOSED || p->error.status != THRUM_OK);
    assert(p->fh_n < FRAME_HEAD_MAX);
    assert(list_empty(&p->out) == (p->pending == 0));
    (void)p;
}

static void fail_now(thrum_proto *p, uint16_t code, thrum_status s, const char *why)
{
    bool was_open = p->state != THRUM_CONNECTING;
    error_set(&p->error, s, "%s", why);
    p->error.close_code = code;
    p->failed = true;
    p->expect = EXPECT_NOTHING;
    assemble_release(p);
    outbox_drop_fresh(p, false);
    if (was_open && code && !p->close_sent &&
        control_send_close(
            p, code, (thrum_slice){(const uint8_t *)why, strlen(why) < 123 ? strlen(why) : 0}) == THRUM_OK)
        return; /* then it waits for the peer's end, as long as close_timeout allows */
    if (was_open && p->close_sent) {
        proto_set_state(p, THRUM_CLOSING, why);
        return;
    }
    proto_end(p);
}

/* What came before the fault is as good as ever, and so is the answer to it: after the Close none could be
 * sent. */
static bool hold(thrum_proto *p, uint16_t code, thrum_status s, const char *why)
{
    bool of_peer = s == THRUM_E_PROTOCOL || s == THRUM_E_UTF8 || s == THRUM_E_TOO_BIG;
    bool answered = p->queued == 0 && !p->answering && !outbox_has_fresh(p);
    if (p->state != THRUM_OPEN || !of_peer || answered)
        return false;
    struct verdict *v = mem_alloc(sizeof *v);
    if (!v)
        return false;
    *v = (struct verdict){.code = code, .status = s, .by = deadline_of(p->now, HOLD_MS)};
    memcpy(v->why, why, strlen(why) + 1);
    p->held = v;
    p->expect = EXPECT_NOTHING;
    assemble_release(p);
    return true;
}

void proto_unhold(thrum_proto *p)
{
    struct verdict *v = p->held;
    if (!v)
        return;
    p->held = NULL;
    fail_now(p, v->code, v->status, v->why);
    mem_free(v);
}

void proto_fail(thrum_proto *p, uint16_t code, thrum_status s, const char *fmt, ...)
{
    char why[sizeof p->held->why];
    va_list ap;
    proto_unhold(p); /* the first failure wins */
    if (p->failed || p->state == THRUM_CLOSED)
        return;
    va_start(ap, fmt);
    text_vformat(why, sizeof why, fmt, ap);
    va_end(ap);
    if (!hold(p, code, s, why))
        fail_now(p, code, s, why);
}

void proto_end(thrum_proto *p)
{
    if (p->state == THRUM_CLOSED)
        return;
    if (p->error.status == THRUM_OK) {
        bool clean = p->close_sent && p->close_recv;
        error_set(&p->error, clean ? THRUM_E_CLOSED : THRUM_E_UNCLEAN, "%s",
                  clean ? "the connection was closed" : "the connection ended without a closing handshake");
        p->error.close_code = clean ? p->recv_code : 1006;
        p->error.by_peer = p->by_peer || !clean;
    }
    outbox_drop_all(p);
    assemble_release(p);
    p->expect = EXPECT_NOTHING;
    p->end_by = INT64_MAX;
    proto_set_state(p, THRUM_CLOSED, p->error.text);
    (void)event_push_copy(p, THRUM_EVENT_ENDED, p->error.close_code, (const uint8_t *)"", 0);
}

void proto_cut(thrum_proto *p, thrum_status s, int os_errno, const char *text, thrum_time now)
{
    p->now = now;
    if (p->state == THRUM_CLOSED)
        return;
    if (p->error.status == THRUM_OK) {
        error_set(&p->error, s, "%s", text);
        p->error.os_errno = os_errno;
        p->error.close_code = p->close_recv ? p->recv_code : 1006;
    }
    proto_end(p);
}

void proto_cut_because(thrum_proto *p, const thrum_error *why, thrum_time now)
{
    if (p->state != THRUM_CLOSED && p->error.status == THRUM_OK) {
        p->error = *why;
        p->error.close_code = p->close_recv ? p->recv_code : 1006;
    }
    proto_cut(p, why->status, why->os_errno, why->text, now);
}

void proto_out_end(thrum_proto *p, int os_errno, thrum_time now)
{
    if (p->close_recv && p->error.status == THRUM_OK) {
        error_set(&p->error, THRUM_E_CLOSED,
                  "the connection was closed, and the peer did not wait for the answer");
        p->error.close_code = p->recv_code;
        p->error.by_peer = p->by_peer;
    }
    proto_cut(p, THRUM_E_RESET, os_errno, "the connection broke while frames were being written", now);
}

void proto_goodbye(thrum_proto *p, uint16_t code)
{
    proto_unhold(p);
    if (p->state != THRUM_OPEN)
        return;
    outbox_drop_fresh(p, true);
    (void)control_send_close(p, code, (thrum_slice){NULL, 0});
}

/* ---- making
 * ------------------------------------------------------------------------------------------------------ */

thrum_proto *proto_make(const struct settings *s, const thrum_host *h, bool server, thrum_time now)
{
    thrum_proto *p = mem_zalloc(sizeof *p);
    if (!p)
        return NULL;
    p->set = s;
    p->host = *h;
    p->server = server;
    p->now = p->heard = now;
    p->open_by = deadline_of(now, s->open_timeout);
    p->end_by = INT64_MAX;
    p->latency = -1;
    list_init(&p->out);
    list_init(&p->events);
    list_init(&p->informs);
    buf_init(&p->head, HTTP1_HEAD_MAX + BODY_MAX);
    buf_init(&p->behind, BEHIND_MAX);
    buf_init(&p->msg, SIZE_MAX);
    if (h->peer && !(p->peer = mem_strdup(h->peer))) {
        mem_free(p);
        return NULL;
    }
    return p;
}

const char *proto_peer(const thrum_proto *p)
{
    return p->peer ? p->peer : "";
}

thrum_status proto_set_peer(thrum_proto *p, const char *peer)
{
    char *copy = mem_strdup(peer);
    if (!copy)
        return THRUM_E_MEMORY;
    mem_free(p->peer);
    p->peer = copy;
    return THRUM_OK;
}

static thrum_status check_host(thrum_proto **out, const thrum_host *h, thrum_error *err)
{
    if (!out)
        return error_set(err, THRUM_E_ARGUMENT, "there is no place for the object: out is NULL");
    *out = NULL;
    if (!h || h->size < sizeof *h || !h->random)
        return error_set(err, THRUM_E_ARGUMENT, "thrum_host must have its size and .random set");
    return THRUM_OK;
}

thrum_status proto_new_client(thrum_proto **out, const char *url, const struct settings *s,
                              const thrum_host *h, thrum_time now, thrum_error *err)
{
    static const struct client_more none;
    return proto_new_client_with(out, url, &none, s, h, now, err);
}

thrum_status proto_new_client_with(thrum_proto **out, const char *url, const struct client_more *more,
                                   const struct settings *s, const thrum_host *h, thrum_time now,
                                   thrum_error *err)
{
    thrum_proto *p = proto_make(s, h, false, now);
    *out = NULL;
    if (!p)
        return error_set(err, THRUM_E_MEMORY, "no memory for a connection");
    thrum_status st = client_begin(p, url, more, err);
    if (st != THRUM_OK)
        thrum_proto_free(p);
    else
        *out = p;
    return st;
}

thrum_status proto_new_server(thrum_proto **out, const struct settings *s, const thrum_host *h, bool defer,
                              thrum_time now, thrum_error *err)
{
    *out = proto_make(s, h, true, now);
    if (!*out)
        return error_set(err, THRUM_E_MEMORY, "no memory for a connection");
    (*out)->defer = defer;
    return THRUM_OK;
}

/* The public constructors own their settings. */
static struct settings *own_settings(thrum_error *err)
{
    struct settings *s = mem_zalloc(sizeof *s);
    if (!s)
        error_set(err, THRUM_E_MEMORY, "no memory for the options");
    return s;
}

static thrum_status adopt(thrum_proto **out, struct settings *s, thrum_status st)
{
    if (st == THRUM_OK) {
        (*out)->own_set = s;
        (*out)->taker = true; /* its user takes what there is and cannot say when it would */
        return st;
    }
    settings_free(s);
    mem_free(s);
    return st;
}

thrum_status thrum_proto_client(thrum_proto **out, const char *url, const thrum_client_options *o,
                                const thrum_host *h, thrum_time now, thrum_error *err)
{
    thrum_status st = check_host(out, h, err);
    struct settings *s = st == THRUM_OK ? own_settings(err) : NULL;
    if (!s)
        return st == THRUM_OK ? THRUM_E_MEMORY : st;
    st = settings_client(s, o, err);
    if (st == THRUM_OK)
        st = proto_new_client(out, url, s, h, now, err);
    return adopt(out, s, st);
}

thrum_status thrum_proto_server(thrum_proto **out, const thrum_server_options *o, const thrum_host *h,
                                thrum_time now, thrum_error *err)
{
    thrum_status st = check_host(out, h, err);
    struct settings *s = st == THRUM_OK ? own_settings(err) : NULL;
    if (!s)
        return st == THRUM_OK ? THRUM_E_MEMORY : st;
    st = settings_server(s, o, err);
    if (st == THRUM_OK)
        st = proto_new_server(out, s, h, false, now, err);
    return adopt(out, s, st);
}

void thrum_proto_free(thrum_proto *p)
{
    if (!p)
        return;
    outbox_free(p);
    events_free(p);
    assemble_release(p);
    buf_free(&p->head);
    mem_free(p->chunked);
    buf_free(&p->behind);
    deflate_free(p->deflate);
    mem_free(p->extensions);
    mem_free(p->parsed);
    mem_free(p->pings);
    mem_free(p->held);
    request_free(p->request);
    mem_free(p->key);
    mem_free(p->subprotocol);
    mem_free(p->target);
    mem_free(p->peer);
    if (p->own_set) {
        settings_free(p->own_set);
        mem_free(p->own_set);
    }
    mem_free(p);
}

/* ---- door 1
 * ------------------------------------------------------------------------------------------------------ */

static void refuse_head(thrum_proto *p, enum http1_result r, const char *why)
{
    static const int status[] = {[HTTP1_BAD] = 400, [HTTP1_LONG_TARGET] = 414, [HTTP1_LONG_HEAD] = 431};
    if (!p->server) {
        proto_fail(p, 0, THRUM_E_HANDSHAKE, "the server's answer is not HTTP/1.1: %s", why);
        return;
    }
    error_set(&p->error, THRUM_E_HANDSHAKE, "the request is refused: %s", why);
    p->error.http_status = (uint16_t)status[r];
    answer_http(p, status[r], NULL, NULL, why);
}

/* Takes bytes of the peer's head; returns how many. */
static size_t feed_head(thrum_proto *p, const uint8_t *d, size_t n)
{
    size_t used = 0;
    const char *why = NULL;
    enum http1_result r = http1_scan(&p->scan, d, n, &used, &why);
    if (r != HTTP1_MORE && r != HTTP1_DONE) {
        refuse_head(p, r, why);
        return n;
    }
    if (buf_append(&p->head, d, used) != THRUM_OK) {
        proto_fail(p, 0, THRUM_E_MEMORY, "no memory for the peer's head");
        return n;
    }
    if (r == HTTP1_DONE) {
        if (p->server)
            server_head_done(p);
        else
            client_head_done(p);
    }
    return used;
}

static void feed_behind(thrum_proto *p, const uint8_t *d, size_t n)
{
    if (buf_append(&p->behind, d, n) != THRUM_OK)
        proto_cut(p, THRUM_E_HANDSHAKE, 0, "the client sent too much before its handshake was answered",
                  p->now);
}

static void feed_some(thrum_proto *p, uint8_t *d, size_t n)
{
    while (n > 0) {
        size_t used = n;
        switch (p->expect) {
        case EXPECT_HEAD: used = feed_head(p, d, n); break;
        case EXPECT_DECISION: feed_behind(p, d, n); break;
        case EXPECT_BODY: client_body(p, d, n); break;
        case EXPECT_FRAME:
        case EXPECT_PAYLOAD: assemble_feed(p, d, n); break;
        case EXPECT_NOTHING: break;
        }
        d += used;
        n -= used;
    }
}

thrum_status proto_status(const thrum_proto *p)
{
    return p->error.status;
}

thrum_status thrum_proto_feed(thrum_proto *p, uint8_t *data, size_t n, thrum_time now)
{
    check_state(p);
    p->now = now;
    p->stats.wire_in += n;
    control_heard(p);
    feed_some(p, data, n);
    control_check_end(p);
    check_state(p);
    return proto_status(p);
}

thrum_status thrum_proto_in_done(thrum_proto *p, size_t n, thrum_time now)
{
    check_state(p);
    p->now = now;
    p->stats.wire_in += n;
    control_heard(p);
    assert(n == 0 ||
           (p->expect == EXPECT_PAYLOAD && n < p->msg.cap - p->msg.len && n <= p->frame.len - p->frame_at));
    if (n > 0)
        assemble_payload(p, p->msg.p + p->msg.len, n, true);
    control_check_end(p);
    check_state(p);
    return proto_status(p);
}

thrum_status thrum_proto_in_end(thrum_proto *p, int os_errno, thrum_time now)
{
    p->now = now;
    if (p->in_ended || p->state == THRUM_CLOSED)
        return proto_status(p);
    p->in_ended = true;
    proto_unhold(p);
    if (p->expect == EXPECT_BODY)
        client_refused(p);
    else if (os_errno || p->expect != EXPECT_DECISION) /* else its answer is still to be given */
        proto_in_over(p, os_errno);
    check_state(p);
    return proto_status(p);
}

void proto_in_over(thrum_proto *p, int os_errno)
{
    bool closed = p->close_sent && p->close_recv;
    if (p->error.status == THRUM_OK && !closed && os_errno) {
        error_os(&p->error, THRUM_E_RESET, os_errno, "the connection broke");
        p->error.close_code = 1006;
    } else if (p->error.status == THRUM_OK && !closed) {
        error_set(&p->error, THRUM_E_UNCLEAN, "%s",
                  p->state == THRUM_CONNECTING ? "the peer ended the stream in the opening handshake"
                                               : "the peer ended the stream without a Close");
        p->error.close_code = 1006;
        p->error.by_peer = 1;
    }
    /* Our last word may still be on its way; a peer that has only shut its sending side reads it. */
    bool last_word = closed || p->failed || p->http_answered;
    if (os_errno || !last_word || list_empty(&p->out))
        proto_end(p);
}

/* ---- asking
 * ------------------------------------------------------------------------------------------------------ */

unsigned thrum_proto_flags(const thrum_proto *p)
{
    unsigned f = list_empty(&p->events) ? 0 : THRUM_HAS_EVENT;
    if (p->state == THRUM_CLOSED)
        return f | THRUM_ENDED;
    bool out = !list_empty(&p->out);
    f |= out ? THRUM_WANT_OUT : 0u;
    if (!p->in_ended &&
        (!p->paused || p->state != THRUM_OPEN)) /* in closing, the peer's Close is looked for */
        f |= THRUM_WANT_IN;
    if (p->state == THRUM_OPEN && p->pending < p->set->send_high)
        f |= THRUM_MAY_SEND;
    bool last_word = p->failed || p->http_answered || (p->server && p->close_sent && p->close_recv);
    return last_word && !out ? f | THRUM_SHUT_OUT : f;
}

thrum_state thrum_proto_state(const thrum_proto *p)
{
    return p->state;
}

thrum_time thrum_proto_deadline(const thrum_proto *p)
{
    return control_deadline(p);
}

void thrum_proto_tick(thrum_proto *p, thrum_time now)
{
    check_state(p);
    p->now = now;
    control_tick(p);
    check_state(p);
}

void thrum_proto_error(const thrum_proto *p, thrum_error *err)
{
    *err = p->error;
}

thrum_status thrum_proto_closing(const thrum_proto *p, thrum_closing *out)
{
    if (!out || out->size < sizeof *out)
        return THRUM_E_ARGUMENT;
    size_t size = out->size;
    *out = (thrum_closing){
        .size = size,
        .sent_code = p->sent_code,
        .recv_code = p->recv_code,
        .by_peer = p->by_peer,
        .clean = p->close_sent && p->close_recv,
    };
    memcpy(out->sent_reason, p->sent_reason, sizeof out->sent_reason);
    memcpy(out->recv_reason, p->recv_reason, sizeof out->recv_reason);
    return THRUM_OK;
}

const char *thrum_proto_extensions(const thrum_proto *p)
{
    return p->extensions;
}

const char *thrum_proto_subprotocol(const thrum_proto *p)
{
    return p->subprotocol;
}

const char *thrum_proto_target(const thrum_proto *p)
{
    return p->target;
}

const char *thrum_proto_header(const thrum_proto *p, const char *name, size_t n)
{
    return p->request ? request_field(p->request, name, n) : NULL;
}

const struct settings *proto_settings(const thrum_proto *p)
{
    return p->set;
}

bool proto_sending_parts(const thrum_proto *p)
{
    return p->sending;
}

void proto_stats(const thrum_proto *p, thrum_stats *out)
{
    size_t size = out->size;
    *out = p->stats;
    out->size = size;
    out->queued_messages = p->queued;
    out->queued_in = p->queued_bytes + p->msg.len;
    out->queued_out = p->pending;
    out->latency_ns = p->latency;
    out->compress_held = p->deflate ? deflate_held(p->deflate) : 0;
    out->compress_held_process = codec_held();
}
