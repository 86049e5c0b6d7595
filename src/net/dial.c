/* dial.c: the race of connection attempts (RFC 8305, "happy eyeballs"). All sockets of the race are in one
 * struct, so that every way out, cancellation included, closes the losers by one function. */
#include "net/dial.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/text.h"
#include "net/address_int.h"
#include "net/resolve.h"
#include "net/socket_int.h"
#include "net/wait_int.h"
#include <errno.h>
#include <string.h>

enum { STAGGER_MS = 250 /* RFC 8305 section 5 */, BUSY_MS = 10 };

struct race {
    struct address a[RESOLVE_MAX]; /* in the order of trying */
    size_t n, next;
    struct pollfd open[RESOLVE_MAX]; /* the attempts that run, and of which address */
    size_t of[RESOLVE_MAX], running;
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

/* Begins the next attempt: the descriptor if it connected at once (*which says where to), else -1. */
static int race_start(struct race *r, int64_t now, size_t *which)
{
    const size_t k = r->next++;
    int fd = open_socket(&r->a[k]);
    int e = fd < 0 ? errno : start_connect(fd, &r->a[k]);
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
static thrum_status race_run(struct race *r, int64_t deadline, bool interruptible, int *fd, size_t *which)
{
    for (;;) {
        int64_t now = clock_now();
        while (r->next < r->n && (r->running == 0 || now >= r->next_at))
            if ((*fd = race_start(r, now, which)) >= 0)
                return THRUM_OK;
        if (r->running == 0)
            return address_errno_is_local(r->error) ? THRUM_E_SYSTEM : THRUM_E_CONNECT;
        int64_t until = r->next < r->n && r->next_at < deadline ? r->next_at : deadline;
        int k = wait_poll(r->open, r->running, clock_poll_ms(now, until), race_end, r);
        if (k > 0 && (*fd = race_look(r, which)) >= 0)
            return THRUM_OK;
        if (k < 0 && errno == EINTR && interruptible)
            return THRUM_E_INTERRUPTED;
        if (k < 0 && errno != EINTR) {
            r->error = errno;
            return THRUM_E_SYSTEM;
        }
        if (k <= 0 && clock_now() >= deadline)
            return THRUM_E_TIMEOUT;
    }
}

static thrum_status race_failed(const struct race *r, thrum_status s, const struct uri *u, thrum_error *err)
{
    char host[100];
    unsigned tried = (unsigned)r->next, all = (unsigned)r->n;
    text_escape(host, sizeof host, u->host.p, u->host.n);
    switch (s) {
    case THRUM_E_TIMEOUT:
        return error_set(err, s,
                         "the time was up while connecting to %s port %u (%u of %u addresses tried)%s%s",
                         host, (unsigned)u->port, tried, all, r->error ? "; an earlier one said: " : "",
                         r->error ? strerrordesc_np(r->error) : "");
    case THRUM_E_INTERRUPTED:
        return error_os(err, s, EINTR, "connecting to %s port %u", host, (unsigned)u->port);
    case THRUM_E_SYSTEM:
        if (r->error == ENOMEM)
            s = THRUM_E_MEMORY;
        return error_os(err, s, r->error, "connecting to %s port %u", host, (unsigned)u->port);
    default:
        return error_os(err, s, r->error,
                        "no connection to %s port %u; %u of %u addresses tried, the last error", host,
                        (unsigned)u->port, tried, all);
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

static thrum_status dial_tcp(struct stream **out, const struct uri *u, int64_t deadline, bool interruptible,
                             thrum_error *err)
{
    struct address found[RESOLVE_MAX];
    struct race r;
    size_t n = 0, which = 0;
    int fd = -1;
    thrum_status s = resolve(found, &n, u->host, u->port, false, deadline, interruptible, err);
    if (s != THRUM_OK)
        return s;
    memset(&r, 0, sizeof r);
    race_order(&r, found, n);
    s = race_run(&r, deadline, interruptible, &fd, &which);
    race_end(&r);
    if (s != THRUM_OK)
        return race_failed(&r, s, u, err);
    return wrap(out, fd, &r.a[which], err);
}

static void close_one(void *arg)
{
    (void)sys.close(*(const int *)arg);
}

/* A Unix socket whose queue is full says EAGAIN and can be polled by nobody: ask again every now and then. OK
 * or an errno in *e. */
static thrum_status unix_connect(int fd, const struct address *a, int64_t deadline, bool interruptible,
                                 int *e)
{
    while ((*e = start_connect(fd, a)) == EAGAIN) {
        int64_t now = clock_now();
        int64_t soon = clock_after(now, BUSY_MS);
        if (now >= deadline)
            return THRUM_E_TIMEOUT;
        int k = wait_poll(NULL, 0, clock_poll_ms(now, soon < deadline ? soon : deadline), close_one, &fd);
        if (k < 0 && (errno != EINTR || interruptible)) {
            *e = errno;
            return *e == EINTR ? THRUM_E_INTERRUPTED : THRUM_E_SYSTEM;
        }
    }
    if (*e == 0)
        return THRUM_OK;
    return address_errno_is_local(*e) ? THRUM_E_SYSTEM : THRUM_E_CONNECT;
}

static thrum_status dial_unix(struct stream **out, const struct uri *u, int64_t deadline, bool interruptible,
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
    thrum_status s = unix_connect(fd, &a, deadline, interruptible, &e);
    if (s == THRUM_OK)
        return wrap(out, fd, &a, err);
    (void)sys.close(fd);
    if (s == THRUM_E_TIMEOUT)
        return error_set(err, s, "the time was up while connecting to %s: its queue of connections is full",
                         text);
    return error_os(err, s, e, "no connection to %s%s", text,
                    e == ENOENT || e == ECONNREFUSED ? " (does a server run there?)" : "");
}

thrum_status dial(struct stream **out, const struct uri *u, int64_t deadline, bool interruptible,
                  thrum_error *err)
{
    *out = NULL;
    return u->local ? dial_unix(out, u, deadline, interruptible, err)
                    : dial_tcp(out, u, deadline, interruptible, err);
}
