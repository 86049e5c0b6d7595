/* client.c: thrum_connect: options, URL, stream, handshake. */
#include "base/clock.h"
#include "base/sys.h"
#include "base/text.h"
#include "block/block.h"
#include "net/dial.h"
#include "wire/uri.h"
#include <pthread.h>
#include <string.h>

static struct shared_settings *client_settings(const thrum_client_options *o, thrum_error *err)
{
    struct shared_settings *ss = settings_share();
    if (!ss) {
        error_set(err, THRUM_E_MEMORY, "no memory for the options");
        return NULL;
    }
    if (settings_client(&ss->s, o, err) != THRUM_OK) {
        settings_unshare(ss);
        return NULL;
    }
    return ss;
}

static thrum_status parse_url(struct uri *u, const char *url, thrum_error *err)
{
    const char *why = NULL;
    if (!url)
        return error_set(err, THRUM_E_ARGUMENT, "the URL is NULL: pass e.g. \"ws://localhost:8080/\"");
    thrum_slice s = {(const uint8_t *)url, strlen(url)};
    if (!uri_parse(u, s, false, &why)) {
        char shown[96];
        text_escape(shown, sizeof shown, url, s.n);
        return error_set(err, THRUM_E_ARGUMENT, "the URL \"%s\" cannot be used: %s", shown, why);
    }
    if (u->user.p)
        return error_set(err, THRUM_E_ARGUMENT,
                         "credentials in the URL are not supported yet; pass an Authorization header");
    if (u->tls)
        return error_set(err, THRUM_E_TLS, "wss:// needs TLS, which this build does not have");
    return THRUM_OK;
}

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

static void free_conn(void *arg)
{
    struct call *k = arg;
    k->b->c.handles = 0; /* step_out destroys it */
}

static void abandon_open(struct call *k)
{
    conn_cut(&k->b->c, THRUM_E_CANCELLED, "the thread that opened it was cancelled", k->now);
    free_conn(k);
}

/* The handshake over a stream, both of which are the library's from here on. */
static thrum_status open_stream(thrum_conn **out, struct stream *stream, const char *url,
                                struct shared_settings *ss, int64_t began, thrum_error *err)
{
    struct call k;
    struct block *b = block_new(stream, ss, err);
    if (!b)
        return err->status;
    thrum_status s = conn_client(&b->c, url, began, err);
    if (s != THRUM_OK) {
        b->c.destroy(&b->c);
        return s;
    }
    conn_list(&b->c);
    if (registry_count() == 2)
        warden_sweep();
    s = call_enter(&k, &b->c);
    if (s != THRUM_OK) {
        thrum_conn_free(&b->c);
        return error_set(err, s, "%s", thrum_status_text(s));
    }
    k.abandon = abandon_open;
    conn_write(&b->c, k.now);
    s = handshake_result(&k, call_wait(&k, WANT_OPEN, CLOCK_NEVER), err);
    if (s == THRUM_OK)
        *out = &b->c;
    else
        abandon_open(&k);
    call_leave(&k);
    return s;
}

static void drop_settings(void *ss)
{
    settings_unshare(ss);
}

/* dial is a cancellation point of its own; only the settings are ours to give back then. */
static thrum_status dial_out(struct stream **stream, const struct uri *u, struct shared_settings *ss,
                             int64_t began, thrum_error *err)
{
    thrum_status s;
    pthread_cleanup_push(drop_settings, ss);
    s = dial(stream, u, clock_after(began, ss->s.open_timeout), ss->s.interruptible, err);
    pthread_cleanup_pop(0);
    return s;
}

static thrum_status connect_either(thrum_conn **out, int fd, const char *url, const thrum_client_options *o,
                                   thrum_error *err)
{
    struct uri u;
    struct stream *stream = NULL;
    int64_t began = clock_now();
    thrum_status s = block_start(err);
    if (s == THRUM_OK)
        s = parse_url(&u, url, err);
    struct shared_settings *ss = s == THRUM_OK ? client_settings(o, err) : NULL;
    if (!ss) {
        if (fd >= 0)
            sys.close(fd);
        return err->status;
    }
    if (fd < 0) {
        s = dial_out(&stream, &u, ss, began, err);
    } else {
        int e = stream_socket(&stream, fd);
        if (e < 0)
            s = error_os(err, THRUM_E_ARGUMENT, -e, "descriptor %d is no connected stream socket", fd);
    }
    if (s != THRUM_OK) {
        settings_unshare(ss);
        return s;
    }
    return open_stream(out, stream, url, ss, began, err);
}

/* Clean-up of a cancelled thread whose waits undo themselves. */
static void end_long_call(void *arg)
{
    struct thread *t = arg;
    if (t)
        t->long_call = false;
}

/* In a function of its own, as pthread_cleanup_push saves registers like setjmp: here nothing is assigned. */
static thrum_status connect_long(thrum_conn **out, int fd, const char *url, const thrum_client_options *o,
                                 thrum_error *err)
{
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push(end_long_call, thread_self());
    s = connect_either(out, fd, url, o, err);
    pthread_cleanup_pop(1);
    return s;
}

static thrum_status connect_checked(thrum_conn **out, int fd, const char *url, const thrum_client_options *o,
                                    thrum_error *err)
{
    thrum_error mine;
    int state, type;
    err = err ? err : &mine;
    memset(err, 0, sizeof *err);
    if (!out) {
        if (fd >= 0)
            sys.close(fd);
        return error_set(err, THRUM_E_ARGUMENT, "there is no place for the connection: out is NULL");
    }
    *out = NULL;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    struct thread *t = thread_self();
    if (t) {
        t->long_call = true;
        t->cancel_state = state;
    }
    thrum_status s = connect_long(out, fd, url, o, err);
    pthread_setcanceltype(type, NULL);
    pthread_setcancelstate(state, NULL);
    return s;
}

thrum_status thrum_connect(thrum_conn **out, const char *url, const thrum_client_options *o, thrum_error *err)
{
    return connect_checked(out, -1, url, o, err);
}

thrum_status thrum_connect_fd(thrum_conn **out, int fd, const char *url, const thrum_client_options *o,
                              thrum_error *err)
{
    if (fd < 0) {
        if (out)
            *out = NULL;
        return error_set(err, THRUM_E_ARGUMENT, "%d is no descriptor", fd);
    }
    return connect_checked(out, fd, url, o, err);
}
