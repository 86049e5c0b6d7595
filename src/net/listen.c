/* listen.c: listening sockets and what they accept. One listener is one port: where a name has several
 * addresses each gets a socket of its own with the same number. A listener belongs to one accepting thread
 * (the spare descriptor has no lock). */
#include "net/listen.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/text.h"
#include "net/address_int.h"
#include "net/resolve.h"
#include "net/socket_int.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FDS = sizeof((struct listener *)0)->fds / sizeof(int),
    PORT_TRIES = 16, /* how often a port that the first address picked may be taken on the next */
    DEAD_MAX = 64    /* how many dead connections one call passes over */
};

struct request { /* what does not change between addresses */
    const struct uri *u;
    int backlog;
    bool reuse_port, any; /* any: host "*", so IPv6 takes IPv4 as well */
};

static void close_fds(struct listener *l)
{
    while (l->n > 0)
        (void)sys.close(l->fds[--l->n]);
}

void listen_close(struct listener *l, bool unlink_too)
{
    /* The file first: as long as we listen, no other server takes it for stale and puts its own there. */
    if (unlink_too && l->path[0] != '\0')
        (void)unlink(l->path);
    l->path[0] = '\0';
    close_fds(l);
    if (l->spare >= 0)
        (void)sys.close(l->spare);
    l->spare = -1;
}

static thrum_status failed(thrum_error *err, int e, const struct address *a)
{
    char text[160];
    address_text(a, text, sizeof text);
    if (e == ENOMEM)
        return error_os(err, THRUM_E_MEMORY, e, "listening on %s", text);
    if (address_errno_is_local(e))
        return error_os(err, THRUM_E_SYSTEM, e, "listening on %s", text);
    if (e == EADDRINUSE)
        return error_os(err, THRUM_E_CONNECT, e, "%s is in use; stop the other server or take another port",
                        text);
    if (e == EACCES)
        return error_os(err, THRUM_E_CONNECT, e, "this user may not listen on %s", text);
    return error_os(err, THRUM_E_CONNECT, e, "cannot listen on %s", text);
}

static int set_option(int fd, int level, int name, int value)
{
    return sys.setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

static int prepare(int fd, const struct address *a, const struct request *q)
{
    int e = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (e == 0 && q->reuse_port)
        e = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (e == 0 && address_family(a) == AF_INET6)
        e = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !q->any);
    if (e == 0 && sys.bind(fd, (const struct sockaddr *)&a->a, a->len) != 0)
        e = errno;
    return e;
}

static int start_listening(int fd, struct address *a, int backlog)
{
    if (sys.listen(fd, backlog > 0 ? backlog : SOMAXCONN) != 0)
        return errno;
    a->len = sizeof a->a;
    return sys.getsockname(fd, (struct sockaddr *)&a->a, &a->len) == 0 ? 0 : errno;
}

/* Adds a socket that listens on *a; where *a has port 0, the number that it got is put there. 0 or an errno.
 */
static int add_tcp(struct listener *l, struct address *a, const struct request *q)
{
    int fd = sys.socket(address_family(a), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int e = prepare(fd, a, q);
    if (e == 0)
        e = start_listening(fd, a, q->backlog);
    if (e != 0) {
        (void)sys.close(fd);
        return e;
    }
    l->fds[l->n++] = fd;
    return 0;
}

/* An address of a family that this machine has switched off is passed over while another one works. */
static bool is_absent(int e)
{
    return e == EAFNOSUPPORT || e == EADDRNOTAVAIL || e == EPROTONOSUPPORT;
}

/* Binds them all on one port: 0, or an errno and *at whose it is. *first is the address of the first socket.
 */
static int add_all(struct listener *l, const struct address *found, size_t n, const struct request *q,
                   struct address *first, size_t *at)
{
    uint16_t port = q->u->port;
    int absent = 0;
    for (size_t i = 0; i < n && l->n < FDS; i++) {
        struct address a = found[i];
        address_set_port(&a, port);
        int e = add_tcp(l, &a, q);
        *at = i;
        if (e != 0 && !is_absent(e))
            return e;
        if (e != 0) {
            absent = e;
            continue;
        }
        if (l->n == 1)
            *first = a;
        port = address_port(&a);
        if (q->any)
            break; /* the dual-stack socket, or the IPv4 one where there is no IPv6 */
    }
    l->port = port;
    return l->n > 0 ? 0 : absent;
}

/* The URL that reaches the listener from this machine. */
static void write_url(struct listener *l, const struct address *bound, const struct request *q)
{
    struct address a = *bound;
    struct sockaddr_in s4;
    struct sockaddr_in6 s6;
    char text[160], zone[160] = "";
    memcpy(&s4, &a.a, sizeof s4);
    memcpy(&s6, &a.a, sizeof s6);
    if (q->any || (address_family(&a) == AF_INET && s4.sin_addr.s_addr == htonl(INADDR_ANY)))
        address_v4(&a, INADDR_LOOPBACK, l->port);
    else if (address_family(&a) == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&s6.sin6_addr))
        address_v6(&a, &in6addr_loopback, 0, l->port);
    address_text(&a, text, sizeof text);
    char *percent = strchr(text, '%'); /* RFC 6874: "%25" in a URI */
    if (percent != NULL) {
        text_format(zone, sizeof zone, "25%s", percent + 1);
        percent[1] = '\0';
    }
    text_format(l->url, sizeof l->url, "%s://%s%s/", q->u->tls ? "wss" : "ws", text, zone);
}

static thrum_status listen_tcp(struct listener *l, const struct request *q, int64_t deadline,
                               thrum_error *err)
{
    struct address found[RESOLVE_MAX], first = {0};
    size_t n = 0, at = 0;
    const struct limits wait = {deadline, false, -1};
    thrum_status s = resolve(found, &n, q->u->host, q->u->port, true, &wait, err);
    if (s != THRUM_OK)
        return s;
    int e = EADDRINUSE;
    /* Port 0: what the first address picked may be taken on another; then all pick anew. */
    for (int tries = 0; e == EADDRINUSE && tries < (q->u->port == 0 ? PORT_TRIES : 1); tries++) {
        close_fds(l);
        e = add_all(l, found, n, q, &first, &at);
    }
    if (e != 0) {
        address_set_port(&found[at], q->u->port);
        return failed(err, e, &found[at]);
    }
    write_url(l, &first, q);
    return THRUM_OK;
}

static void path_of(const struct address *a, char *out, size_t cap)
{
    struct sockaddr_un un;
    memcpy(&un, &a->a, sizeof un);
    text_format(out, cap, "%s", un.sun_path);
}

/* Does anybody listen there? 0: no, the file may go; else an errno (0 is the only leave to delete something).
 */
static int is_stale(const struct address *a)
{
    int fd = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int e;
    if (fd < 0)
        return errno;
    do
        e = sys.connect(fd, (const struct sockaddr *)&a->a, a->len) == 0 ? EADDRINUSE : errno;
    while (e == EINTR);
    (void)sys.close(fd);
    if (e == ECONNREFUSED || e == ENOENT)
        return 0;
    return address_errno_is_local(e) ? e : EADDRINUSE; /* EAGAIN: its queue is full, so it lives */
}

/* Called when the path is taken: OK when it has been made free. */
static thrum_status make_room(const struct address *a, bool may_unlink, thrum_error *err)
{
    char path[sizeof(struct sockaddr_un)];
    struct stat st;
    path_of(a, path, sizeof path);
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? THRUM_OK
                               : error_os(err, THRUM_E_CONNECT, errno, "cannot look at unix:%s", path);
    if (!S_ISSOCK(st.st_mode))
        return error_os(err, THRUM_E_CONNECT, EADDRINUSE,
                        "unix:%s is a file, not a socket; take another path", path);
    int e = is_stale(a);
    if (e != 0)
        return failed(err, e, a);
    if (!may_unlink)
        return error_os(err, THRUM_E_CONNECT, EADDRINUSE,
                        "unix:%s was left behind by a server that has ended; remove it, or let this be done",
                        path);
    if (unlink(path) != 0 && errno != ENOENT)
        return error_os(err, THRUM_E_CONNECT, errno, "cannot remove the stale socket unix:%s", path);
    LOG(LOG_NET, LOG_INFO, 0, "removed the stale socket unix:%s", path);
    return THRUM_OK;
}

static thrum_status bind_unix(int fd, const struct address *a, bool may_unlink, thrum_error *err)
{
    for (int tries = 0; tries < 2; tries++) {
        if (sys.bind(fd, (const struct sockaddr *)&a->a, a->len) == 0)
            return THRUM_OK;
        if (errno != EADDRINUSE)
            break;
        thrum_status s = make_room(a, may_unlink, err);
        if (s != THRUM_OK)
            return s;
        errno = EADDRINUSE; /* another server was quicker, if it comes to that */
    }
    return failed(err, errno, a);
}

static thrum_status listen_unix(struct listener *l, const struct request *q, bool may_unlink,
                                thrum_error *err)
{
    struct address a;
    const char *why;
    if (!address_unix(&a, q->u->path, &why))
        return error_set(err, THRUM_E_ARGUMENT, "%s", why);
    if (q->u->path.n + sizeof "ws+unix:" > sizeof l->url)
        return error_set(err, THRUM_E_ARGUMENT, "the path of the Unix socket is too long as it is written");
    int fd = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(err, errno, &a);
    l->fds[l->n++] = fd; /* from here on listen_close undoes it */
    thrum_status s = bind_unix(fd, &a, may_unlink, err);
    if (s != THRUM_OK)
        return s;
    path_of(&a, l->path, sizeof l->path);
    if (sys.listen(fd, q->backlog > 0 ? q->backlog : SOMAXCONN) != 0)
        return failed(err, errno, &a);
    text_format(l->url, sizeof l->url, "ws+unix:%.*s", (int)q->u->path.n, (const char *)q->u->path.p);
    return THRUM_OK;
}

static bool is_any(const struct uri *u)
{
    return u->host.n == 1 && u->host.p[0] == '*';
}

thrum_status listen_open(struct listener *l, const struct uri *u, int backlog, bool reuse_port, bool unlink,
                         int64_t deadline, thrum_error *err)
{
    struct request q = {.u = u, .backlog = backlog, .reuse_port = reuse_port, .any = !u->local && is_any(u)};
    thrum_status s;
    memset(l, 0, sizeof *l);
    l->spare = -1; /* comes last: a thread cancelled while resolving leaves nothing behind */
    s = u->local ? listen_unix(l, &q, unlink, err) : listen_tcp(l, &q, deadline, err);
    if (s == THRUM_OK && (l->spare = sys.eventfd(0, EFD_CLOEXEC)) < 0)
        s = error_os(err, THRUM_E_SYSTEM, errno, "no descriptor to keep back for the listener %s", l->url);
    if (s != THRUM_OK)
        listen_close(l, true);
    else
        LOG(LOG_NET, LOG_INFO, 0, "listening on %s (%d sockets)", l->url, l->n);
    return s;
}

/* No descriptor is left. The waiting connection would keep the listener readable for ever: take it with the
 * spare one and close it, so that its peer knows and the queue moves. Returns -e, or -EAGAIN: nobody was
 * waiting (Linux looks for a descriptor before it looks at the queue). */
static int shed(struct listener *l, int fd, int e)
{
    if (l->spare >= 0) {
        (void)sys.close(l->spare);
        int victim = sys.accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (victim < 0 && errno == EAGAIN)
            e = EAGAIN;
        if (victim >= 0) {
            (void)sys.close(victim);
            LOG(LOG_NET, LOG_WARNING, 0, "no descriptor left: a connection to %s was turned away", l->url);
        }
    }
    l->spare = sys.eventfd(0, EFD_CLOEXEC); /* -1: somebody was quicker; the next call tries again */
    return -e;
}

/* accept(2) on Linux hands on the errors that a connection met while it waited in the queue. */
static bool died_in_queue(int e)
{
    return e == ECONNABORTED || e == EPROTO || e == ENETDOWN || e == ENOPROTOOPT || e == EHOSTDOWN ||
           e == ENONET || e == EHOSTUNREACH || e == ENETUNREACH;
}

static int accept_some(struct listener *l, int fd, struct address *peer)
{
    for (int i = 0; i < DEAD_MAX; i++) {
        socklen_t n = sizeof peer->a;
        int got = sys.accept4(fd, (struct sockaddr *)&peer->a, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        peer->len = n;
        if (got >= 0)
            return got;
        int e = errno;
        if (e == EINTR || died_in_queue(e))
            continue;
        if (e == EMFILE || e == ENFILE)
            return shed(l, fd, e);
        return -e;
    }
    return -EAGAIN; /* the caller polls, and comes back */
}

int listen_accept(struct listener *l, int fd, struct stream **out)
{
    struct address peer;
    memset(&peer, 0, sizeof peer);
    *out = NULL;
    int got = accept_some(l, fd, &peer);
    return got < 0 ? got : socket_wrap(out, got, &peer);
}

int listen_accept_fd(struct listener *l, int fd)
{
    struct address peer;
    return accept_some(l, fd, &peer);
}

/* What accept gives inherits it, on Linux, and that saves a call for each connection. */
void listen_no_delay(const struct listener *l)
{
    const int on = 1;
    for (int i = 0; i < l->n; i++)
        (void)sys.setsockopt(l->fds[i], IPPROTO_TCP, TCP_NODELAY, &on,
                             sizeof on); /* fails on a Unix socket */
}

static int given_flags(int fd)
{
    int listens = 0, flags = sys.get_flags(fd);
    socklen_t n = sizeof listens;
    if (flags < 0 || sys.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) != 0)
        return errno;
    if (!listens)
        return EINVAL;
    if (sys.set_flags(fd, flags | O_NONBLOCK) != 0 || sys.set_cloexec(fd) != 0)
        return errno;
    return 0;
}

static void given_url(struct listener *l, bool tls)
{
    struct address a;
    char text[128];
    memset(&a, 0, sizeof a);
    a.len = sizeof a.a;
    if (sys.getsockname(l->fds[0], (struct sockaddr *)&a.a, &a.len) != 0)
        return;
    address_text(&a, text, sizeof text);
    l->port = address_port(&a);
    if (address_family(&a) == AF_UNIX)
        text_format(l->url, sizeof l->url, "ws+%s", text);
    else
        text_format(l->url, sizeof l->url, "%s://%s/", tls ? "wss" : "ws", text);
}

thrum_status listen_given(struct listener *l, const int *fds, bool tls, thrum_error *err)
{
    thrum_status s = THRUM_OK;
    memset(l, 0, sizeof *l);
    l->spare = -1;
    for (; fds[l->n] >= 0 && s == THRUM_OK; l->n++) {
        if (l->n == LISTEN_MAX)
            return error_set(err, THRUM_E_ARGUMENT, ".fds has over %d descriptors: is -1 at its end?",
                             LISTEN_MAX);
        int e = given_flags(fds[l->n]);
        if (e)
            s = error_os(err, THRUM_E_ARGUMENT, e, "descriptor %d of .fds is no socket that listens",
                         fds[l->n]);
        l->fds[l->n] = fds[l->n];
    }
    if (s == THRUM_OK && l->n == 0)
        s = error_set(err, THRUM_E_ARGUMENT, ".fds is empty");
    if (s == THRUM_OK && (l->spare = sys.eventfd(0, EFD_CLOEXEC)) < 0)
        s = error_os(err, THRUM_E_SYSTEM, errno, "no descriptor to keep back for the listener");
    if (s == THRUM_OK)
        given_url(l, tls);
    return s;
}

static int listen_beside(int fd, int backlog)
{
    struct address a;
    const int on = 1;
    int only = 0;
    socklen_t n = sizeof only;
    memset(&a, 0, sizeof a);
    a.len = sizeof a.a;
    if (sys.getsockname(fd, (struct sockaddr *)&a.a, &a.len) != 0 || address_family(&a) == AF_UNIX)
        return -1;
    int also = sys.socket(address_family(&a), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (also < 0)
        return -1;
    if (address_family(&a) == AF_INET6 && sys.getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) == 0)
        (void)sys.setsockopt(also, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    if (sys.setsockopt(also, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        sys.setsockopt(also, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        sys.bind(also, (const struct sockaddr *)&a.a, a.len) == 0 && sys.listen(also, backlog) == 0)
        return also;
    (void)sys.close(also);
    return -1;
}

thrum_status listen_again(struct listener *l, const struct listener *first, int backlog, thrum_error *err)
{
    *l = *first;
    l->n = 0;
    l->path[0] = '\0'; /* the first one's to remove */
    l->spare = sys.eventfd(0, EFD_CLOEXEC);
    for (int i = 0; i < first->n; i++) {
        int fd = listen_beside(first->fds[i], backlog > 0 ? backlog : SOMAXCONN);
        l->fds[i] = fd >= 0 ? fd : sys.dup(first->fds[i]);
        l->n += l->fds[i] >= 0;
        if (l->fds[i] < 0 || l->spare < 0)
            return error_os(err, THRUM_E_SYSTEM, errno, "no descriptor to listen on %s with one more loop",
                            l->url);
    }
    return THRUM_OK;
}

/* Takes the k-th socket, or a copy of it; false: none was to be had. */
static bool share_one(struct listener *l, struct listener *all, int k, bool copy)
{
    int fd = copy ? sys.dup(all->fds[k]) : all->fds[k];
    if (fd < 0)
        return false;
    if (!copy)
        all->fds[k] = -1;
    l->fds[l->n++] = fd;
    return true;
}

/* Copies first, the sockets themselves last: so it goes from the last part to the first. */
thrum_status listen_share(struct listener *l, struct listener *all, size_t i, size_t n, thrum_error *err)
{
    size_t have = (size_t)all->n;
    *l = *all;
    l->n = 0;
    if (i > 0)
        l->path[0] = '\0';
    l->spare = sys.eventfd(0, EFD_CLOEXEC);
    bool done = l->spare >= 0;
    if (i >= have)
        done = done && share_one(l, all, (int)(i % have), true);
    for (size_t k = i; done && k < have; k += n)
        done = share_one(l, all, (int)k, false);
    return done ? THRUM_OK
                : error_os(err, THRUM_E_SYSTEM, errno, "no descriptor for one more loop on %s", l->url);
}
