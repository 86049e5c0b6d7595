/* server.c: listening, accepting, draining. */
#include "block/server.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/text.h"
#include "conn/serve.h"
#include "wire/closecode.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SHED_MS = 50 /* pause after accept failed for want of a descriptor or memory */ };

thrum_status server_mine(const struct thrum_server *s)
{
    if (!s)
        return THRUM_E_ARGUMENT;
    return s->generation == atomic_load(&fork_generation) ? THRUM_OK : THRUM_E_FORKED;
}

void server_ref(struct thrum_server *s)
{
    lock_take(&s->lock);
    s->refs++;
    lock_give(&s->lock);
}

static void destroy(struct thrum_server *s, bool unlink_too)
{
    listen_close(&s->listener, unlink_too);
    if (s->wake >= 0)
        sys.close(s->wake);
    if (s->done >= 0)
        sys.close(s->done);
    settings_unshare(s->settings);
    lock_destroy(&s->lock);
    mem_free(s);
}

void server_unref(struct thrum_server *s)
{
    lock_take(&s->lock);
    bool last = --s->refs == 0;
    lock_give(&s->lock);
    if (last)
        destroy(s, s->settings->s.unlink_socket);
}

static void ring(int fd)
{
    (void)sys.write(fd, &(uint64_t){1}, sizeof(uint64_t)); /* full already: rung already */
}

/* Waits on the listening sockets and the bell. False: the server drains. */
static bool accept_round(struct thrum_server *s, struct pollfd *v, int n, bool *shed)
{
    /* After shedding only the bell is listened to for a moment, so that a full table does not make us spin.
     */
    int r = *shed ? sys.poll(v + n, 1, SHED_MS) : sys.poll(v, (nfds_t)n + 1, -1);
    *shed = r < 0 && errno != EINTR;
    while (atomic_load(&exit_begun)) /* E12: nothing new once the program ends */
        pause();
    lock_take(&s->lock);
    bool draining = s->draining;
    lock_give(&s->lock);
    if (draining)
        return false;
    for (int i = 0; r > 0 && i < n; i++) {
        struct stream *stream = NULL;
        int e = v[i].revents ? listen_accept(&s->listener, v[i].fd, &stream) : -EAGAIN;
        if (e == 0)
            session_start(s, stream);
        if (e == 0 || e == -EAGAIN)
            continue;
        *shed = true;
        LOG(LOG_SERVER, LOG_WARNING, 0, "cannot accept (errno %d): pausing %d ms", -e, SHED_MS);
    }
    for (int i = 0; i < n; i++)
        v[i].revents = 0;
    return true;
}

static void accept_main(void *arg)
{
    struct thrum_server *s = arg;
    struct pollfd v[sizeof s->listener.fds / sizeof s->listener.fds[0] + 1];
    int n = s->listener.n;
    for (int i = 0; i < n; i++)
        v[i] = (struct pollfd){.fd = s->listener.fds[i], .events = POLLIN};
    v[n] = (struct pollfd){.fd = s->wake, .events = POLLIN};
    bool shed = false;
    while (accept_round(s, v, n, &shed))
        ;
    listen_close(&s->listener, s->settings->s.unlink_socket);
    server_unref(s);
}

static thrum_status prepare(struct thrum_server *s, const char *url, const thrum_server_options *o,
                            thrum_error *err)
{
    s->settings = settings_share();
    if (!s->settings)
        return error_set(err, THRUM_E_MEMORY, "no memory for the options");
    thrum_status st = serve_settings(s->settings, o, err);
    if (st != THRUM_OK)
        return st;
    if (!s->settings->s.serve)
        return error_set(err, THRUM_E_ARGUMENT,
                         "the option .serve is NULL: it is what runs for each connection");
    s->wake = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->done = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake < 0 || s->done < 0)
        return error_os(err, THRUM_E_SYSTEM, errno, "no descriptor for the server's bell");
    st = serve_listen(&s->listener, url, s->settings, s->settings->s.reuse_port, err);
    if (st != THRUM_OK)
        return st;
    s->refs = 2;
    int e = thread_start(accept_main, s, "accept", 0);
    return e ? error_os(err, THRUM_E_SYSTEM, e, "no thread to accept connections") : THRUM_OK;
}

/* The look-up of a host name is a wait; this call is no cancellation point all the same. */
static thrum_status prepare_uncancelled(struct thrum_server *s, const char *url,
                                        const thrum_server_options *o, thrum_error *err)
{
    int state;
    struct thread *t = thread_self();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    if (t) {
        t->long_call = true;
        t->cancel_state = PTHREAD_CANCEL_DISABLE;
    }
    thrum_status st = prepare(s, url, o, err);
    if (t)
        t->long_call = false;
    pthread_setcancelstate(state, NULL);
    return st;
}

thrum_status thrum_serve(thrum_server **out, const char *url, const thrum_server_options *o, thrum_error *err)
{
    thrum_error mine;
    err = err ? err : &mine;
    memset(err, 0, sizeof *err);
    if (!out)
        return error_set(err, THRUM_E_ARGUMENT, "there is no place for the server: out is NULL");
    *out = NULL;
    thrum_status st = block_start(err);
    if (st != THRUM_OK)
        return st;
    struct thrum_server *s = mem_zalloc(sizeof *s);
    int e = s ? lock_init(&s->lock) : 0;
    if (!s || e) {
        mem_free(s);
        return error_set(err, THRUM_E_MEMORY, "no memory for a server");
    }
    s->generation = atomic_load(&fork_generation);
    s->wake = s->done = s->listener.spare = -1;
    list_init(&s->sessions);
    st = prepare_uncancelled(s, url, o, err);
    if (st == THRUM_OK)
        *out = s;
    else
        destroy(s, true);
    return st;
}

/* ---- the end ----------------------------------------------------------------------------------------------
 */

/* New connections are refused from here on, before the accepting thread has woken. */
static void stop_accepting(struct thrum_server *s)
{
    lock_take(&s->lock);
    bool first = !s->draining;
    s->draining = true;
    if (first)
        for (int i = 0; i < s->listener.n; i++)
            if (s->listener.fds[i] >= 0)
                sys.shutdown(s->listener.fds[i], SHUT_RD);
    if (s->count == 0)
        ring(s->done);
    lock_give(&s->lock);
    ring(s->wake);
}

static void end_one(struct thrum_conn *c, uint16_t code, bool cut)
{
    struct call k;
    if (call_enter(&k, c) != THRUM_OK)
        return;
    if (cut)
        conn_cut(c, THRUM_E_CLOSED, "the server has ended", k.now);
    else if (thrum_proto_state(c->proto) != THRUM_CONNECTING)
        (void)thrum_proto_close(c->proto, code, (thrum_slice){NULL, 0}, k.now);
    else if (!proto_asks(c->proto)) /* else its thread is deciding, and sees that we drain */
        (void)proto_refuse(c->proto, 503, k.now);
    conn_write(c, k.now);
    call_leave(&k);
}

static thrum_status end_all(struct thrum_server *s, uint16_t code, bool cut)
{
    size_t n;
    struct thrum_conn **v = server_snapshot(s, false, &n);
    if (!v && n > 0)
        return THRUM_E_MEMORY;
    for (size_t i = 0; i < n; i++)
        end_one(v[i], code, cut);
    snapshot_free(v, n);
    return THRUM_OK;
}

/* Until the bell `done` rings. */
static thrum_status wait_done(int done, int64_t deadline, bool interruptible)
{
    struct pollfd v = {.fd = done, .events = POLLIN};
    for (;;) {
        int64_t now = clock_now();
        int r = sys.poll(&v, 1, clock_poll_ms(now, deadline));
        if (r > 0)
            return THRUM_OK;
        if (r < 0 && errno == EINTR && interruptible)
            return THRUM_E_INTERRUPTED;
        if (r < 0 && errno != EINTR)
            return THRUM_E_SYSTEM;
        if (clock_now() >= deadline)
            return THRUM_E_TIMEOUT;
    }
}

thrum_status thrum_server_wait(thrum_server *s, thrum_wait t)
{
    thrum_status st = server_mine(s);
    if (st != THRUM_OK || (t < 0 && t != THRUM_FOREVER))
        return st != THRUM_OK ? st : THRUM_E_ARGUMENT;
    int cancel = cancel_off(); /* throughout: a reference is held, and the last one to go ends much */
    server_ref(s);
    st = wait_done(s->done, clock_after(clock_now(), t), s->settings->s.interruptible);
    server_unref(s);
    cancel_back(cancel);
    return st;
}

thrum_status thrum_server_drain(thrum_server *s, uint16_t code, thrum_wait t)
{
    thrum_status st = server_mine(s);
    if (st != THRUM_OK || (t < 0 && t != THRUM_FOREVER) || (code && !closecode_on_wire(code)))
        return st != THRUM_OK ? st : THRUM_E_ARGUMENT;
    int64_t deadline = clock_after(clock_now(), t);
    int cancel = cancel_off();
    server_ref(s);
    stop_accepting(s);
    st = end_all(s, code ? code : 1001, false);
    if (st == THRUM_OK)
        st = wait_done(s->done, deadline, false);
    if (st != THRUM_OK)
        (void)end_all(s, 0, true);
    server_unref(s);
    cancel_back(cancel);
    return st;
}

/* In a child of fork: the copies of the descriptors are closed, the parent's socket file stays. */
static void free_inherited(struct thrum_server *s)
{
    if (!lock_try(&s->lock)) { /* half-changed at the fork: its memory is left alone */
        for (int i = 0; i < s->listener.n; i++)
            if (s->listener.fds[i] >= 0)
                sys.close(s->listener.fds[i]);
        sys.close(s->wake);
        sys.close(s->done);
        if (s->listener.spare >= 0)
            sys.close(s->listener.spare);
        return;
    }
    lock_give(&s->lock);
    list_each_safe (l, next, &s->sessions) {
        struct session *n = list_of(l, struct session, link);
        list_remove(l);
        if (n->conn)
            thrum_conn_free(n->conn);
        else if (n->stream)
            n->stream->ops->free(n->stream);
        mem_free(n);
    }
    destroy(s, false);
}

void thrum_server_free(thrum_server *s)
{
    if (!s)
        return;
    if (server_mine(s) != THRUM_OK) {
        free_inherited(s);
        return;
    }
    int cancel = cancel_off();
    (void)thrum_server_drain(s, 0, 0);
    ring(s->done);
    server_unref(s);
    cancel_back(cancel);
}

uint16_t thrum_server_port(const thrum_server *s)
{
    return s ? s->listener.port : 0;
}

const char *thrum_server_url(const thrum_server *s)
{
    return s ? s->listener.url : "";
}
