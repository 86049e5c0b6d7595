/* dial.c: the race of connection attempts (RFC 8305, "happy eyeballs"). All sockets of the race are in one
 * struct, so that every way out, cancellation included, closes the losers by one function. */
#include "net/dial.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/text.h"
#include "net/address_int.h"
#include "net/proxy.h"
#include "net/resolve.h"
#include "net/socket_int.h"
#include "net/wait_int.h"
#include <errno.h>
#include <string.h>

enum { STAGGER_MS = 250 /* RFC 8305 section 5 */, BUSY_MS = 10 };

struct race {
    struct address a[RESOLVE_MAX]; /* in the order of trying */
    size_t n, next;
    struct pollfd
        open[RESOLVE_MAX + 1]; /* the attempts that run, and of which address; behind them the bell */
    size_t of[RESOLVE_MAX], running;
    struct address source; /* to connect from; len 0: any */
    bool keepalive;
    int64_t next_at; /* when the next attempt may begin though others run */
    int error;       /* the last one that tells something; 0 none yet */
};

static void race_end(void *arg)
{
    struct race *r = arg;
    while (r->running > 0)
        (void)sys.close(r->open[--r->running].fd);
}

/* "No such address family here" says less than the refusal that came before it. */
static void race_error(struct race *r, int e)
{
    bool dull = e == EAFNOSUPPORT || e == ENETUNREACH || e == EADDRNOTAVAIL;
    if (!dull || r->error == 0)
        r->error = e;
}

/* RFC 8305 section 4: the resolver's order within a family, the families by turns. */
static void race_order(struct race *r, const struct address *in, size_t n)
{
    size_t i[2] = {0, 0};
    const int first = n > 0 ? address_family(&in[0]) : AF_INET;
    r->n = 0;
    for (int turn = 0; r->n < n; turn ^= 1) {
        size_t *k = &i[turn];
        while (*k < n && (address_family(&in[*k]) == first) != (turn == 0))
            ++*k;
        if (*k < n)
            r->a[r->n++] = in[(*k)++];
    }
}

/* 0 connected, EINPROGRESS, or another errno. A connect that a signal interrupts goes on by itself: asked
 * again it says how it stands. */
static int start_connect(int fd, const struct address *a)
{
    int e;
    do
        e = sys.connect(fd, (const struct sockaddr *)&a->a, a->len) == 0 ? 0 : errno;
    while (e == EINTR);
    if (e == EISCONN)
        return 0;
    return e == EALREADY ? EINPROGRESS : e;
}

static int open_socket(const struct address *a)
{
    return sys.socket(address_family(a), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* 0 or an errno. */
static int prepare_socket(const struct race *r, int fd, const struct address *to)
{
    const int on = 1;
    if (r->keepalive && sys.setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0)
        return errno;
    if (r->source.len == 0)
        return 0;
    if (address_family(&r->source) != address_family(to))
        return EAFNOSUPPORT;
    return sys.bind(fd, (const struct sockaddr *)&r->source.a, r->source.len) == 0 ? 0 : errno;
}

/* Begins the next attempt: the descriptor if it connected at once (*which says where to), else -1. */
static int race_start(struct race *r, int64_t now, size_t *which)
{
    const size_t k = r->next++;
    int fd = open_socket(&r->a[k]);
    int e = fd < 0 ? errno : prepare_socket(r, fd, &r->a[k]);
    if (e == 0)
        e = start_connect(fd, &r->a[k]);
    r->next_at = now; /* holds unless this one runs */
    if (e == 0) {
        *which = k;
        return fd;
    }
    if (e == EINPROGRESS) {
        r->open[r->running] = (struct pollfd){.fd = fd, .events = POLLOUT};
        r->of[r->running++] = k;
        r->next_at = clock_after(now, STAGGER_MS);
        return -1;
    }
    if (fd >= 0)
        (void)sys.close(fd);
    race_error(r, e);
    return -1;
}

static void race_drop(struct race *r, size_t i)
{
    r->running--;
    r->open[i] = r->open[r->running];
    r->of[i] = r->of[r->running];
}

/* Looks at the attempts that poll has marked: the first that is connected leaves the race and is returned;
 * else -1. */
static int race_look(struct race *r, size_t *which)
{
    for (size_t i = r->running; i-- > 0;) {
        int e = 0, fd = r->open[i].fd;
        socklen_t n = sizeof e;
        if (r->open[i].revents == 0)
            continue;
        if (sys.getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0)
            e = errno;
        *which = r->of[i];
        race_drop(r, i);
        if (e == 0)
            return fd;
        (void)sys.close(fd);
        race_error(r, e);
        r->next_at = 0;
    }
    return -1;
}

/* OK and *fd, or why there is none; the text is the caller's work. */
static thrum_status race_run(struct race *r, const struct limits *l, int *fd, size_t *which)
{
    for (;;) {
        int64_t now = clock_now();
        while (r->next < r->n && (r->running == 0 || now >= r->next_at))
            if ((*fd = race_start(r, now, which)) >= 0)
                return THRUM_OK;
        if (r->running == 0)
            return address_errno_is_local(r->error) ? THRUM_E_SYSTEM : THRUM_E_CONNECT;
        int64_t until = r->next < r->n && r->next_at < l->deadline ? r->next_at : l->deadline;
        r->open[r->running] = (struct pollfd){.fd = l->bell, .events = POLLIN};
        int k = wait_poll(r->open, r->running + 1, clock_poll_ms(now, until), race_end, r);
        if (k > 0 && r->open[r->running].revents)
            return THRUM_E_CANCELLED;
        if (k > 0 && (*fd = race_look(r, which)) >= 0)
            return THRUM_OK;
        if (k < 0 && errno == EINTR && l->interruptible)
            return THRUM_E_INTERRUPTED;
        if (k < 0 && errno != EINTR) {
            r->error = errno;
            return THRUM_E_SYSTEM;
        }
        if (k <= 0 && clock_now() >= l->deadline)
            return THRUM_E_TIMEOUT;
    }
}

/* Where to: a URL's host, or a proxy. */
struct place {
    const char *what; /* "", "the proxy " */
    thrum_slice host;
    uint16_t port;
};

static thrum_status race_failed(const struct race *r, thrum_status s, const struct place *to,
                                thrum_error *err)
{
    char host[120];
    unsigned tried = (unsigned)r->next, all = (unsigned)r->n;
    size_t n = text_format(host, sizeof host, "%s", to->what);
    text_escape(host + n, sizeof host - n, to->host.p, to->host.n);
    switch (s) {
    case THRUM_E_TIMEOUT:
        return error_set(err, s,
                         "the time was up while connecting to %s port %u (%u of %u addresses tried)%s%s",
                         host, (unsigned)to->port, tried, all, r->error ? "; an earlier one said: " : "",
                         r->error ? strerrordesc_np(r->error) : "");
    case THRUM_E_INTERRUPTED:
        return error_os(err, s, EINTR, "connecting to %s port %u", host, (unsigned)to->port);
    case THRUM_E_CANCELLED:
        return error_set(err, s, "connecting to %s port %u was cancelled", host, (unsigned)to->port);
    case THRUM_E_SYSTEM:
        if (r->error == ENOMEM)
            s = THRUM_E_MEMORY;
        return error_os(err, s, r->error, "connecting to %s port %u", host, (unsigned)to->port);
    default:
        return error_os(err, s, r->error,
                        "no connection to %s port %u; %u of %u addresses tried, the last error", host,
                        (unsigned)to->port, tried, all);
    }
}

static thrum_status wrap(struct stream **out, int fd, const struct address *peer, thrum_error *err)
{
    char text[160];
    address_text(peer, text, sizeof text);
    if (socket_wrap(out, fd, peer) != 0)
        return error_set(err, THRUM_E_MEMORY, "no memory for a connection to %s", text);
    LOG(LOG_NET, LOG_DEBUG, 0, "connected to %s", text);
    return THRUM_OK;
}

static thrum_status set_source(struct race *r, const char *source, thrum_error *err)
{
    const char *why = "it is no address in digits";
    if (!source)
        return THRUM_OK;
    thrum_slice text = {(const uint8_t *)source, strlen(source)};
    if (address_numeric(&r->source, text, 0, &why) == 1)
        return THRUM_OK;
    return error_set(err, THRUM_E_ARGUMENT, "\"%.60s\" cannot be the address to connect from: %s", source,
                     why);
}

static thrum_status dial_tcp(struct stream **out, const struct place *to, const struct dial_how *how,
                             const struct limits *l, thrum_error *err)
{
    struct address found[RESOLVE_MAX];
    struct race r;
    size_t n = 0, which = 0;
    int fd = -1;
    memset(&r, 0, sizeof r);
    r.keepalive = how->keepalive;
    thrum_status s = set_source(&r, how->source, err);
    s = s ? s : resolve(found, &n, to->host, to->port, false, l, err);
    if (s != THRUM_OK)
        return s;
    race_order(&r, found, n);
    s = race_run(&r, l, &fd, &which);
    race_end(&r);
    if (s != THRUM_OK)
        return race_failed(&r, s, to, err);
    return wrap(out, fd, &r.a[which], err);
}

static void close_one(void *arg)
{
    (void)sys.close(*(const int *)arg);
}

/* A Unix socket whose queue is full says EAGAIN and can be polled by nobody: ask again every now and then. OK
 * or an errno in *e. */
static thrum_status unix_connect(int fd, const struct address *a, const struct limits *l, int *e)
{
    struct pollfd bell = {.fd = l->bell, .events = POLLIN};
    while ((*e = start_connect(fd, a)) == EAGAIN) {
        int64_t now = clock_now();
        int64_t soon = clock_after(now, BUSY_MS);
        if (now >= l->deadline)
            return THRUM_E_TIMEOUT;
        int k =
            wait_poll(&bell, 1, clock_poll_ms(now, soon < l->deadline ? soon : l->deadline), close_one, &fd);
        if (k > 0)
            return THRUM_E_CANCELLED;
        if (k < 0 && (errno != EINTR || l->interruptible)) {
            *e = errno;
            return *e == EINTR ? THRUM_E_INTERRUPTED : THRUM_E_SYSTEM;
        }
    }
    if (*e == 0)
        return THRUM_OK;
    return address_errno_is_local(*e) ? THRUM_E_SYSTEM : THRUM_E_CONNECT;
}

static thrum_status dial_unix(struct stream **out, const struct uri *u, const struct limits *l,
                              thrum_error *err)
{
    struct address a;
    char text[160];
    const char *why;
    int e = 0;
    if (!address_unix(&a, u->path, &why))
        return error_set(err, THRUM_E_CONNECT, "%s", why);
    address_text(&a, text, sizeof text);
    int fd = open_socket(&a);
    if (fd < 0)
        return error_os(err, THRUM_E_SYSTEM, errno, "no socket to connect to %s with", text);
    thrum_status s = unix_connect(fd, &a, l, &e);
    if (s == THRUM_OK)
        return wrap(out, fd, &a, err);
    (void)sys.close(fd);
    if (s == THRUM_E_TIMEOUT)
        return error_set(err, s, "the time was up while connecting to %s: its queue of connections is full",
                         text);
    if (s == THRUM_E_CANCELLED)
        return error_set(err, s, "connecting to %s was cancelled", text);
    return error_os(err, s, e, "no connection to %s%s", text,
                    e == ENOENT || e == ECONNREFUSED ? " (does a server run there?)" : "");
}

thrum_status dial_tls(struct stream **stream, struct thrum_tls *given, thrum_slice host, uint16_t port,
                      bool anonymous, thrum_error *err)
{
    struct thrum_tls *t = NULL;
    struct stream *below = *stream;
    *stream = NULL;
    thrum_status s = tls_settings(&t, NULL, given, err);
    if (s == THRUM_OK)
        s = stream_tls_client(stream, below, t, host, port, anonymous, err);
    else
        below->ops->free(below);
    thrum_tls_free(t);
    return s;
}

/* SOCKS 4 and 5 take an address: the name is looked up here. Otherwise `text` is the host as it is. */
static thrum_status proxied_host(char *text, size_t cap, const struct uri *u, const struct proxy *p,
                                 const struct limits *l, thrum_error *err)
{
    struct address found[RESOLVE_MAX];
    size_t n = 0, k = 0;
    text_format(text, cap, "%.*s", (int)(u->host.n < cap ? u->host.n : cap - 1), (const char *)u->host.p);
    if (!proxy_wants_address(p->kind))
        return THRUM_OK;
    thrum_status s = resolve(found, &n, u->host, u->port, false, l, err);
    if (s != THRUM_OK)
        return s;
    while (p->kind == PROXY_SOCKS4 && k < n && address_family(&found[k]) != AF_INET)
        k++;
    if (k == n)
        return error_set(err, THRUM_E_RESOLVE,
                         "the host \"%s\" has no IPv4 address, which is all that SOCKS 4 takes", text);
    address_host_text(&found[k], text, cap);
    return THRUM_OK;
}

static thrum_status dial_proxied(struct stream **out, const struct uri *u, const struct proxy *p,
                                 const struct dial_how *how, const struct limits *l, thrum_error *err)
{
    char host[300];
    const thrum_slice proxy_host = {(const uint8_t *)p->host, strlen(p->host)};
    const struct place to = {"the proxy ", proxy_host, p->port};
    struct stream *below = NULL;
    thrum_status s = proxied_host(host, sizeof host, u, p, l, err);
    s = s ? s : dial_tcp(&below, &to, how, l, err);
    if (s == THRUM_OK && p->kind == PROXY_HTTPS)
        s = dial_tls(&below, how->proxy_tls, proxy_host, p->port, false, err);
    if (s != THRUM_OK)
        return s;
    return stream_proxy(out, below, p, (thrum_slice){(const uint8_t *)host, strlen(host)}, u->port, err);
}

static thrum_status choose_proxy(struct proxy *p, const struct uri *u, const struct dial_how *how,
                                 thrum_error *err)
{
    const char *why = NULL;
    memset(p, 0, sizeof *p);
    if (u->local || (how->proxy && !*how->proxy))
        return THRUM_OK;
    if (!how->proxy)
        return proxy_from_environment(p, u, err);
    if (proxy_parse(p, how->proxy, &why))
        return THRUM_OK;
    return error_set(err, THRUM_E_ARGUMENT, "the proxy's URL cannot be used: %s", why);
}

thrum_status dial(struct stream **out, const struct uri *u, const struct dial_how *how,
                  const struct limits *l, thrum_error *err)
{
    const struct place target = {"", u->host, u->port};
    struct proxy p;
    *out = NULL;
    thrum_status s = choose_proxy(&p, u, how, err);
    if (s != THRUM_OK)
        return s;
    if (u->local)
        s = dial_unix(out, u, l, err);
    else if (p.kind != PROXY_NONE)
        s = dial_proxied(out, u, &p, how, l, err);
    else
        s = dial_tcp(out, &target, how, l, err);
    explicit_bzero(&p, sizeof p);
    return s == THRUM_OK && u->tls ? dial_tls(out, how->tls, u->host, u->port, how->anonymous, err) : s;
}
