/* listener.c: a listener's life: on one loop of the user's, or on loops and threads of its own; draining; the
 * end. What concerns a home is done on its loop's thread, by letter. */
#include "event/listener.h"

#include "base/clock.h"
#include "base/exit.h"
#include "base/fork.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/sys.h"
#include "base/text.h"
#include "base/thread.h"
#include "conn/serve.h"
#include "event/gate.h"
#include "event/subscribe.h"
#include "wire/closecode.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LOOPS_MAX = 1024, ROUTE_NAMES = UINT16_MAX };

static thrum_status mine(const struct thrum_listener *s)
{
    if (!s)
        return THRUM_E_ARGUMENT;
    return s->generation == atomic_load(&fork_generation) ? THRUM_OK : THRUM_E_FORKED;
}

static void ring(int fd)
{
    (void)sys.write(fd, &(uint64_t){1}, sizeof(uint64_t));
}

static void ref(struct thrum_listener *s)
{
    lock_take(&s->lock);
    s->refs++;
    lock_give(&s->lock);
}

static void destroy(struct thrum_listener *s)
{
    if (s->done >= 0)
        (void)sys.close(s->done);
    if (s->gone >= 0)
        (void)sys.close(s->gone);
    routes_free(s->routes);
    mem_free(s->ways);
    mem_free(s->homes);
    mem_free(s->loops);
    settings_unshare(s->settings);
    lock_destroy(&s->lock);
    mem_free(s);
}

void listener_unref(struct thrum_listener *s)
{
    lock_take(&s->lock);
    bool last = --s->refs == 0;
    lock_give(&s->lock);
    if (last)
        destroy(s);
}

/* ---- options
 * ------------------------------------------------------------------------------------------------------ */

static thrum_status read_handlers(struct way *w, const thrum_handlers *h, thrum_error *err)
{
    thrum_status s = options_read(&w->on, sizeof w->on, h, err);
    w->sockets = h != NULL;
    return s;
}

static size_t count_routes(const thrum_route *r)
{
    size_t n = 0;
    while (r[n].path)
        n++;
    return n;
}

static thrum_status read_ways(struct thrum_listener *s, const thrum_server_options *o, thrum_error *err)
{
    thrum_status st = o->routes ? routes_new(&s->routes, o->routes, err) : THRUM_OK;
    if (st != THRUM_OK)
        return st;
    s->nways = o->routes ? count_routes(o->routes) : 1;
    s->ways = mem_zalloc((s->nways + 1) * sizeof *s->ways);
    if (!s->ways)
        return error_set(err, THRUM_E_MEMORY, "no memory for the routes");
    if (!o->routes) {
        s->ways[0] = (struct way){.on_request = o->on_request, .arg = o->arg};
        return read_handlers(&s->ways[0], o->handlers, err);
    }
    for (size_t i = 0; i < s->nways && st == THRUM_OK; i++) {
        s->ways[i] = (struct way){.on_request = o->routes[i].on_request, .arg = o->routes[i].arg};
        st = read_handlers(&s->ways[i], o->routes[i].handlers, err);
    }
    return st;
}

static thrum_status read_options(struct thrum_listener *s, const thrum_server_options *given, int const **fds,
                                 thrum_error *err)
{
    thrum_server_options o;
    s->settings = settings_share();
    if (!s->settings)
        return error_set(err, THRUM_E_MEMORY, "no memory for the options");
    thrum_status st = serve_settings(s->settings, given, err);
    st = st ? st : options_read(&o, sizeof o, given, err);
    if (st != THRUM_OK)
        return st;
    if (o.serve || !o.handlers == !o.routes)
        return error_set(
            err, THRUM_E_ARGUMENT,
            o.serve
                ? ".serve is a thread for each connection: on loops, .handlers or .routes say what is done"
                : "one of .handlers and .routes says what is done: set it");
    if (o.routes && o.on_request)
        return error_set(err, THRUM_E_ARGUMENT, ".on_request is set beside .routes: each route has its own");
    struct settings *set = &s->settings->s;
    set->routed = o.routes != NULL;
    /* What a client may refer to would have to be kept for as long as it is silent. */
    set->client_takeover = o.client_no_context_takeover == THRUM_OFF && o.when_full != THRUM_FULL_DROP_OLDEST;
    *fds = o.fds;
    return read_ways(s, &o, err);
}

/* ---- birth
 * -------------------------------------------------------------------------------------------------------- */

static thrum_status make_listener(struct thrum_listener **out, size_t n, bool owns, thrum_error *err)
{
    struct thrum_listener *s = mem_zalloc(sizeof *s);
    if (!s || lock_init(&s->lock)) {
        mem_free(s);
        return error_set(err, THRUM_E_MEMORY, "no memory for a listener");
    }
    *out = s;
    s->generation = atomic_load(&fork_generation);
    s->refs = 1;
    s->owns_loops = owns;
    s->done = s->gone = -1;
    s->homes = mem_zalloc(n * sizeof(struct home *));
    s->loops = mem_zalloc(n * sizeof(struct thrum_loop *));
    if (!s->homes || !s->loops)
        return error_set(err, THRUM_E_MEMORY, "no memory for a listener");
    s->done = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->gone = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return s->done < 0 || s->gone < 0
               ? error_os(err, THRUM_E_SYSTEM, errno, "no descriptor for a listener's bell")
               : THRUM_OK;
}

/* One more home, on this loop, with a socket that is open. Takes the socket, also on failure. */
static thrum_status add_home(struct thrum_listener *s, struct thrum_loop *l, struct listener *net,
                             thrum_error *err)
{
    struct home *h = mem_zalloc(sizeof *h);
    struct home_accept *a = mem_zalloc(sizeof *a);
    struct home_topics *t = h && a ? topics_of_home(err) : NULL;
    if (!t) {
        mem_free(h);
        mem_free(a);
        listen_close(net, s->nhomes == 0);
        return error_set(err, THRUM_E_MEMORY, "no memory for a listener");
    }
    a->home = h;
    a->net = *net;
    *h = (struct home){.origin = {&loop_front},
                       .loop = l,
                       .listener = s,
                       .settings = s->settings,
                       .ways = s->ways,
                       .refs = 1,
                       .is_roomy = s->settings->s.send_high > CHUNK_ROOM,
                       .topics = t,
                       .accept = a};
    atomic_fetch_add(&s->settings->refs, 1);
    list_push(&l->listeners, &h->link);
    s->loops[s->nhomes] = l;
    s->homes[s->nhomes++] = h;
    s->left++;
    s->refs++;
    return THRUM_OK;
}

static thrum_status open_first(struct thrum_listener *s, struct listener *net, const char *url,
                               const int *fds, bool share, thrum_error *err)
{
    memset(net, 0, sizeof *net);
    net->spare = -1;
    bool tls = s->settings->tls != NULL;
    thrum_status st = fds ? listen_given(net, fds, tls, err)
                          : serve_listen(net, url, s->settings, share || s->settings->s.reuse_port, err);
    if (st != THRUM_OK) {
        listen_close(net, true);
        return st;
    }
    s->port = net->port;
    memcpy(s->url, net->url, sizeof s->url);
    return THRUM_OK;
}

/* Descriptors that are given are ours from the call on. */
static void close_given(const thrum_server_options *o)
{
    thrum_server_options x;
    if (options_read(&x, sizeof x, o, NULL) == THRUM_OK && x.fds)
        for (const int *fd = x.fds; *fd >= 0; fd++)
            (void)sys.close(*fd);
}

thrum_status thrum_listen(thrum_listener **out, thrum_loop *l, const char *url, const thrum_server_options *o,
                          thrum_error *err)
{
    thrum_error none;
    struct thrum_listener *s = NULL;
    struct listener net;
    const int *fds = NULL;
    err = err ? err : &none;
    memset(err, 0, sizeof *err);
    if (!out) {
        close_given(o);
        return error_set(err, THRUM_E_ARGUMENT, "there is no place for the listener: out is NULL");
    }
    *out = NULL;
    thrum_status st = loop_mine(l);
    if (st == THRUM_OK && !loop_is_here(l))
        st = THRUM_E_THREAD;
    if (st == THRUM_OK && l->ending)
        st = THRUM_E_CLOSED;
    if (st != THRUM_OK) {
        close_given(o);
        return error_set(err, st, "%s", thrum_status_text(st));
    }
    int cancel = cancel_off();
    gate_in(l);
    st = make_listener(&s, 1, false, err);
    if (st == THRUM_OK)
        st = read_options(s, o, &fds, err);
    if (st != THRUM_OK)
        close_given(o);
    if (st == THRUM_OK)
        st = open_first(s, &net, url, fds, false, err);
    if (st == THRUM_OK)
        st = add_home(s, l, &net, err);
    if (st == THRUM_OK) {
        accept_begin(s->homes[0]);
        *out = s;
    } else if (s) {
        destroy(s);
    }
    loop_after_call(l);
    gate_out(l);
    cancel_back(cancel);
    return st;
}

/* ---- loops of its own
 * --------------------------------------------------------------------------------------------- */

static void drive_main(void *arg)
{
    struct home *h = arg;
    struct thrum_listener *s = h->listener;
    struct thrum_loop *l = h->loop;
    loop_drive(l);
    if (loop_mine(l) != THRUM_OK) /* in a child of fork, called in a callback: this thread is all there is */
        return;
    loop_destroy(l);
    if (atomic_fetch_sub(&s->threads, 1) == 1)
        ring(s->gone);
    listener_unref(s);
}

static thrum_status start_thread(struct home *h, thrum_error *err)
{
    struct thrum_listener *s = h->listener;
    ref(s);
    atomic_fetch_add(&s->threads, 1);
    int e = thread_start(drive_main, h, "loop", 0);
    if (e == 0)
        return THRUM_OK;
    atomic_fetch_sub(&s->threads, 1);
    listener_unref(s);
    return error_os(err, THRUM_E_SYSTEM, e, "no thread for a loop");
}

/* Sockets that were given are shared out, from the last loop to the first (listen_share); else each has its
 * own. */
static thrum_status open_next(struct thrum_listener *s, struct listener *net, const char *url,
                              struct listener *given, unsigned i, unsigned n, thrum_error *err)
{
    thrum_status st;
    if (given->n > 0)
        st = listen_share(net, given, n - 1 - i, n, err);
    else if (i == 0)
        return open_first(s, net, url, NULL, n > 1, err);
    else
        st = listen_again(net, &s->homes[0]->accept->net, (int)s->settings->s.backlog, err);
    if (st != THRUM_OK)
        listen_close(net, false);
    return st;
}

static thrum_status add_loop(struct thrum_listener *s, const char *url, struct listener *given, unsigned i,
                             unsigned n, thrum_error *err)
{
    struct thrum_loop *l = NULL;
    struct listener net = {.spare = -1};
    thrum_status st = loop_make(&l, true, err);
    if (st != THRUM_OK)
        return st;
    st = open_next(s, &net, url, given, i, n, err);
    st = st ? st : add_home(s, l, &net, err);
    if (st != THRUM_OK)
        loop_destroy(l);
    return st;
}

static thrum_status add_loops(struct thrum_listener *s, const char *url, const int *fds, unsigned n,
                              thrum_error *err)
{
    struct listener given = {.spare = -1};
    thrum_status st = fds ? open_first(s, &given, url, fds, false, err) : THRUM_OK;
    for (unsigned i = 0; i < n && st == THRUM_OK; i++)
        st = add_loop(s, url, &given, i, n, err);
    listen_close(&given, false); /* what was not taken */
    return st;
}

static unsigned processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)n;
}

/* A thread looks for this when it has been woken. */
static void stop_loop(struct thrum_loop *l)
{
    atomic_store(&l->stop, true);
    poller_wake(l->poller);
}

static void undo_loops(struct thrum_listener *s, size_t started)
{
    for (size_t i = 0; i < s->nhomes; i++)
        if (i < started)
            stop_loop(s->loops[i]);
        else
            loop_destroy(s->loops[i]);
}

thrum_status thrum_serve_loops(thrum_listener **out, unsigned n, const char *url,
                               const thrum_server_options *o, thrum_error *err)
{
    thrum_error none;
    struct thrum_listener *s = NULL;
    const int *fds = NULL;
    size_t started = 0;
    err = err ? err : &none;
    memset(err, 0, sizeof *err);
    n = n ? n : processors();
    if (out)
        *out = NULL;
    if (!out || n > LOOPS_MAX) {
        close_given(o);
        return error_set(err, THRUM_E_ARGUMENT,
                         out ? "that are over 1,024 loops"
                             : "there is no place for the listener: out is NULL");
    }
    int cancel = cancel_off();
    thrum_status st = event_start(err);
    st = st ? st : make_listener(&s, n, true, err);
    if (st == THRUM_OK)
        st = read_options(s, o, &fds, err);
    if (st != THRUM_OK)
        close_given(o);
    st = st ? st : add_loops(s, url, fds, n, err);
    for (size_t i = 0; st == THRUM_OK && i < s->nhomes; i++)
        accept_begin(s->homes[i]);
    if (st == THRUM_OK)
        *out = s; /* a callback may look for it as soon as there is a thread */
    for (; st == THRUM_OK && started < s->nhomes; started += st == THRUM_OK)
        st = start_thread(s->homes[started], err);
    if (st != THRUM_OK && s) {
        *out = NULL;
        undo_loops(s, started);
        listener_unref(s);
    }
    cancel_back(cancel);
    return st;
}

/* ---- asking
 * ------------------------------------------------------------------------------------------------------- */

uint16_t thrum_listener_port(const thrum_listener *s)
{
    return s ? s->port : 0;
}

const char *thrum_listener_url(const thrum_listener *s)
{
    return s ? s->url : "";
}

size_t thrum_listener_loops(const thrum_listener *s)
{
    return s ? s->nhomes : 0;
}

thrum_loop *thrum_listener_loop(const thrum_listener *s, size_t i)
{
    return s && i < s->nhomes ? s->loops[i] : NULL;
}

/* Its lock: asking changes nothing else. */
static struct thrum_listener *hold(const thrum_listener *s)
{
    struct thrum_listener *m = (struct thrum_listener *)(uintptr_t)s;
    lock_take(&m->lock);
    return m;
}

size_t thrum_listener_count(const thrum_listener *s)
{
    size_t n = 0;
    if (mine(s) != THRUM_OK)
        return 0;
    struct thrum_listener *m = hold(s);
    for (size_t i = 0; i < m->nhomes; i++)
        n += m->homes[i] ? atomic_load(&m->homes[i]->open) : 0;
    lock_give(&m->lock);
    return n;
}

int thrum_listener_fds(const thrum_listener *s, int *fds, size_t max)
{
    thrum_status st = mine(s);
    size_t n = 0;
    if (st != THRUM_OK || (!fds && max > 0))
        return st != THRUM_OK ? st : THRUM_E_ARGUMENT;
    struct thrum_listener *m = hold(s);
    for (size_t i = 0; i < m->nhomes && st == THRUM_OK; i++) {
        const struct home_accept *a = m->homes[i] ? m->homes[i]->accept : NULL;
        for (int k = 0; a && k < a->net.n; k++, n++)
            if (n < max && (fds[n] = sys.dup(a->net.fds[k])) < 0) {
                st = THRUM_E_SYSTEM;
                break;
            }
    }
    lock_give(&m->lock);
    for (size_t i = 0; st != THRUM_OK && i < n && i < max; i++)
        (void)sys.close(fds[i]);
    if (st == THRUM_OK && n > 0 && max > 0)
        atomic_store(&m->handed_over, true);
    return st == THRUM_OK ? (int)n : st;
}

const int *thrum_passed_fds(void)
{
    enum { FIRST = 3, MANY = 64 }; /* as sd_listen_fds(3) has it */
    static int fds[MANY + 1];
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid())
        return NULL;
    long n = strtol(count, NULL, 10);
    if (n < 1 || n > MANY)
        return NULL;
    for (long i = 0; i < n; i++)
        fds[i] = FIRST + (int)i;
    fds[n] = -1;
    return fds;
}

/* ---- the end
 * ------------------------------------------------------------------------------------------------------ */

/* One home has nothing left. The last one tells whoever waits. */
static void home_done(struct home *h)
{
    struct thrum_listener *s = h->listener;
    struct thrum_loop *l = h->loop;
    if (h->drained)
        return;
    h->drained = true;
    lock_take(&s->lock);
    bool last = --s->left == 0;
    void (*fn)(struct thrum_listener *, void *) = last && s->draining && !s->told ? s->on_drained : NULL;
    void *arg = s->arg;
    s->told |= last;
    lock_give(&s->lock);
    if (!last)
        return;
    ring(s->done);
    if (!fn)
        return;
    gate_out(l);
    fn(s, arg);
    gate_in(l);
}

/* Nobody is left, and nobody comes. */
static void check_drained(struct home *h)
{
    if (!h->draining || h->conns > 0 || h->accept)
        return;
    wheel_cancel(&h->loop->others, &h->deadline.timer);
    home_done(h);
}

void home_conn_gone(struct home *h)
{
    if (!h->listener)
        return;
    atomic_fetch_sub(&h->listener->conns, 1);
    check_drained(h);
}

static void each_conn(struct home *h, void (*fn)(struct lconn *c))
{
    for (uint32_t i = 0; i < h->loop->nslots; i++) {
        struct lconn *c = loop_conn(h->loop, i);
        if (c && c->home == h)
            fn(c);
    }
}

static void close_conn(struct lconn *c)
{
    (void)thrum_proto_close(c->proto, c->home->listener->code, (thrum_slice){NULL, 0}, c->home->loop->now);
    c->deaf = true;
}

/* Where somebody goes on with the sockets, nobody is turned away: who shakes hands is let in, and asked to
 * come again as all others are. */
static void drain_conn(struct lconn *c)
{
    thrum_proto *p = lconn_proto(c);
    thrum_state state = p ? thrum_proto_state(p) : THRUM_CLOSED;
    if (state == THRUM_CONNECTING && !proto_asks(p) && !c->home->listener->handed_over)
        (void)proto_refuse(p, 503, c->home->loop->now);
    else if (state == THRUM_OPEN)
        close_conn(c);
    lconn_dirty(c);
}

void home_opened(struct lconn *c)
{
    if (c->home->draining && !c->deaf && c->proto)
        close_conn(c);
}

static void cut_conn(struct lconn *c)
{
    lconn_cut(c, THRUM_E_CLOSED, "the listener has ended");
}

static void deadline_over(struct later *x)
{
    struct home *h = list_of(x, struct home, deadline);
    lock_take(&h->listener->lock);
    accept_end(h);
    lock_give(&h->listener->lock);
    each_conn(h, cut_conn);
    check_drained(h);
}

void home_stop(struct home *h)
{
    if (!accept_stop(h))
        return;
    lock_take(&h->listener->lock);
    accept_end(h);
    lock_give(&h->listener->lock);
    check_drained(h);
}

static void drain_home(struct home *h)
{
    struct thrum_listener *s = h->listener;
    bool first = !h->draining;
    lock_take(&s->lock);
    int64_t deadline = s->deadline;
    lock_give(&s->lock);
    h->draining = true;
    if (first)
        each_conn(h, drain_conn);
    h->deadline.fn = deadline_over;
    wheel_set(&h->loop->others, &h->deadline.timer, deadline);
    home_stop(h);
}

static void end_conn(struct lconn *c)
{
    lconn_end_now(c, "the listener was freed");
}

void home_end(struct home *h)
{
    struct thrum_listener *s = h->listener;
    if (h->over)
        return;
    h->over = true;
    lock_take(&s->lock);
    accept_end(h);
    for (size_t i = 0; i < s->nhomes; i++)
        if (s->homes[i] == h)
            s->homes[i] = NULL;
    lock_give(&s->lock);
    each_conn(h, end_conn);
    wheel_cancel(&h->loop->others, &h->deadline.timer);
    list_remove(&h->link);
    home_done(h);
    h->next_over = h->loop->homes_over;
    h->loop->homes_over = h;
}

void home_unref(struct home *h)
{
    if (atomic_fetch_sub(&h->refs, 1) > 1)
        return;
    struct thrum_listener *s = h->listener;
    if (s)
        topics_of_home_free(h->topics);
    else
        mem_free(h->ways);
    mem_free(h->was_accept);
    settings_unshare(h->settings);
    mem_free(h);
    if (s)
        listener_unref(s);
}

/* ---- letters to each home
 * ----------------------------------------------------------------------------------------- */

/* [its listener's lock is held, so that it has not ended] The letter has a reference, which its opening gives
 * back: the home may end before that. */
thrum_status home_post(struct home *h, struct letter *x)
{
    atomic_fetch_add(&h->refs, 1);
    thrum_status st = post_letter(h->loop, x);
    if (st != THRUM_OK) /* not the last one */
        atomic_fetch_sub(&h->refs, 1);
    return st;
}

struct to_home {
    struct letter letter; /* first */
    struct home *home;
    void (*fn)(struct home *h);
};

static void open_to_home(struct thrum_loop *l, struct letter *x)
{
    struct to_home *t = (struct to_home *)(void *)x;
    if (l && !t->home->over)
        t->fn(t->home);
    home_unref(t->home);
    mem_free(t);
}

/* E_MEMORY: not all were told. */
static thrum_status tell_homes(struct thrum_listener *s, void (*fn)(struct home *h))
{
    thrum_status st = THRUM_OK;
    lock_take(&s->lock);
    for (size_t i = 0; i < s->nhomes && st == THRUM_OK; i++) {
        struct to_home *t = s->homes[i] ? mem_alloc(sizeof *t) : NULL;
        if (!s->homes[i])
            continue;
        if (!t) {
            st = THRUM_E_MEMORY;
            break;
        }
        *t = (struct to_home){.letter.open = open_to_home, .home = s->homes[i], .fn = fn};
        if (home_post(s->homes[i], &t->letter) != THRUM_OK)
            mem_free(t);
    }
    lock_give(&s->lock);
    return st;
}

thrum_status thrum_listener_drain(thrum_listener *s, uint16_t code, thrum_wait t,
                                  void (*on_drained)(thrum_listener *s, void *arg), void *arg)
{
    thrum_status st = mine(s);
    if (st != THRUM_OK || (t < 0 && t != THRUM_FOREVER) || (code && !closecode_on_wire(code)))
        return st != THRUM_OK ? st : THRUM_E_ARGUMENT;
    int64_t deadline = clock_after(clock_now(), t);
    int cancel = cancel_off();
    lock_take(&s->lock);
    if (!s->draining || deadline < s->deadline)
        s->deadline = deadline;
    if (!s->draining) {
        s->code = code ? code : 1001;
        s->on_drained = on_drained;
        s->arg = arg;
    }
    s->draining = true;
    lock_give(&s->lock);
    st = tell_homes(s, drain_home);
    cancel_back(cancel);
    return st;
}

static bool is_on_own_loop(const struct thrum_listener *s)
{
    for (size_t i = 0; i < s->nhomes; i++)
        if (s->homes[i] && loop_is_here(s->loops[i]))
            return true;
    return false;
}

static thrum_status wait_bell(int fd, int64_t deadline)
{
    struct pollfd v = {.fd = fd, .events = POLLIN};
    for (;;) {
        int r = sys.poll(&v, 1, clock_poll_ms(clock_now(), deadline));
        if (r > 0)
            return THRUM_OK;
        if (r < 0 && errno != EINTR)
            return THRUM_E_SYSTEM;
        if (clock_now() >= deadline)
            return THRUM_E_TIMEOUT;
    }
}

thrum_status thrum_listener_wait(thrum_listener *s, thrum_wait t)
{
    thrum_status st = mine(s);
    if (st != THRUM_OK || (t < 0 && t != THRUM_FOREVER))
        return st != THRUM_OK ? st : THRUM_E_ARGUMENT;
    int cancel = cancel_off();
    struct thrum_listener *m = hold(s);
    bool here = is_on_own_loop(m);
    m->refs += !here;
    lock_give(&m->lock);
    st = THRUM_E_THREAD;
    if (!here) {
        st = wait_bell(s->done, clock_after(clock_now(), t));
        listener_unref(s);
    }
    cancel_back(cancel);
    return st;
}

static void free_own_loops(struct thrum_listener *s)
{
    struct thrum_listener *m = hold(s);
    bool here = is_on_own_loop(m);
    for (size_t i = 0; i < s->nhomes; i++)
        if (s->homes[i])
            stop_loop(s->loops[i]);
    lock_give(&m->lock);
    while (!here && atomic_load(&s->threads) > 0 && !atomic_load(&exit_begun))
        (void)wait_bell(s->gone, clock_after(clock_now(), 50));
}

void thrum_listener_free(thrum_listener *s)
{
    if (!s)
        return;
    if (mine(s) != THRUM_OK) {
        end_free_inherited_listener(s);
        return;
    }
    int cancel = cancel_off();
    if (s->owns_loops) {
        free_own_loops(s);
    } else {
        struct thrum_listener *m = hold(s);
        struct home *h = m->homes[0];
        lock_give(&m->lock);
        if (h && loop_is_here(h->loop)) {
            struct thrum_loop *l = h->loop;
            bool turning = l->turning;
            gate_in(l);
            l->turning = true; /* as callbacks run */
            home_end(h);
            l->turning = turning;
            loop_after_call(l);
            gate_out(l);
        }
    }
    ring(s->done);
    listener_unref(s);
    cancel_back(cancel);
}
