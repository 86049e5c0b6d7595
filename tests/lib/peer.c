/* peer.c: see peer.h. Plain blocking sockets with poll before each step, so that a hang becomes a failed
 * check. */
#include "lib/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HOLE_MAX = 8 };
/* Clients that fill a blackhole's queue; kept until its peer_close. */
static int hole_fds[64];
static int hole_of[64];
static size_t hole_n;

static bool say(const char *what)
{
    fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
    return false;
}

static void clear(struct peer *p)
{
    memset(p, 0, sizeof *p);
    p->listening = p->fd = -1;
}

static socklen_t loopback(struct sockaddr_storage *a, int family, uint16_t port)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 s6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    memset(a, 0, sizeof *a);
    if (family == AF_INET6) {
        memcpy(a, &s6, sizeof s6);
        return sizeof s6;
    }
    s4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(a, &s4, sizeof s4);
    return sizeof s4;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a;
    struct sockaddr_in s4;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return 0;
    memcpy(&s4, &a, sizeof s4); /* the port is at the same place in both on Linux */
    return ntohs(s4.sin_port);
}

static bool ready(int fd, short what)
{
    struct pollfd q = {.fd = fd, .events = what};
    int r;
    do
        r = poll(&q, 1, PEER_MS);
    while (r < 0 && errno == EINTR);
    if (r == 0) {
        errno = ETIMEDOUT;
        say("wait");
    }
    return r == 1;
}

bool peer_has_ipv6(void)
{
    struct sockaddr_storage a;
    socklen_t n = loopback(&a, AF_INET6, 0);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool yes = bind(fd, (struct sockaddr *)&a, n) == 0;
    close(fd);
    return yes;
}

static bool listen_path(struct peer *p, int backlog)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(p->dir, sizeof p->dir, "/tmp/thrum-peer-XXXXXX");
    if (mkdtemp(p->dir) == NULL) {
        p->dir[0] = '\0';
        return say("mkdtemp");
    }
    snprintf(p->path, sizeof p->path, "%s/s", p->dir);
    snprintf(p->url, sizeof p->url, "ws+unix:%s", p->path);
    memcpy(un.sun_path, p->path, sizeof un.sun_path);
    p->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->listening < 0 || bind(p->listening, (struct sockaddr *)&un, sizeof un) != 0 ||
        listen(p->listening, backlog) != 0)
        return say("listen on a path");
    return true;
}

bool peer_listen(struct peer *p, int family, int backlog)
{
    struct sockaddr_storage a;
    clear(p);
    if (family == AF_UNIX)
        return listen_path(p, backlog);
    socklen_t n = loopback(&a, family, 0);
    p->listening = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->listening < 0 || bind(p->listening, (struct sockaddr *)&a, n) != 0 ||
        listen(p->listening, backlog) != 0)
        return say("listen");
    p->port = port_of(p->listening);
    snprintf(p->url, sizeof p->url, "ws://%s:%u/", family == AF_INET6 ? "[::1]" : "127.0.0.1",
             (unsigned)p->port);
    return true;
}

bool peer_accept(struct peer *p)
{
    peer_hang_up(p);
    if (!ready(p->listening, POLLIN))
        return false;
    p->fd = accept4(p->listening, NULL, NULL, SOCK_CLOEXEC);
    return p->fd >= 0 || say("accept");
}

bool peer_connect(struct peer *p, int family, uint16_t port)
{
    struct sockaddr_storage a;
    clear(p);
    socklen_t n = loopback(&a, family, port);
    p->port = port;
    p->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return (p->fd >= 0 && connect(p->fd, (struct sockaddr *)&a, n) == 0) || say("connect");
}

bool peer_connect_unix(struct peer *p, const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    clear(p);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return (p->fd >= 0 && connect(p->fd, (struct sockaddr *)&un, sizeof un) == 0) || say("connect to a path");
}

bool peer_pair(struct peer *p, int family, int *ours)
{
    struct peer client;
    int both[2];
    clear(p);
    *ours = -1;
    if (family == AF_UNIX) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0)
            return say("socketpair");
        p->fd = both[0];
        *ours = both[1];
        return true;
    }
    if (!peer_listen(p, family, 4) || !peer_connect(&client, family, p->port) || !peer_accept(p))
        return false;
    close(p->listening);
    p->listening = -1;
    *ours = client.fd;
    return true;
}

/* A queue of 0 takes one connection; how many SYNs beyond it Linux still answers depends on its mood, so try
 * until one is not answered. */
bool peer_blackhole(struct peer *p, int family)
{
    struct sockaddr_storage a;
    if (!peer_listen(p, family, 0))
        return false;
    socklen_t n = loopback(&a, family, p->port);
    for (int i = 0; i < HOLE_MAX && hole_n < sizeof hole_fds / sizeof hole_fds[0]; i++) {
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            return say("socket");
        hole_of[hole_n] = p->listening;
        hole_fds[hole_n++] = fd;
        if (connect(fd, (struct sockaddr *)&a, n) == 0)
            continue;
        /* Loopback answers within the call or, with a full queue, not for the first second at the least. */
        struct pollfd q = {.fd = fd, .events = POLLOUT};
        if (poll(&q, 1, 100) == 0)
            return true;
    }
    errno = EINVAL;
    return say("the queue never became full");
}

bool peer_write(struct peer *p, const void *b, size_t n)
{
    const char *at = b;
    while (n > 0) {
        if (!ready(p->fd, POLLOUT))
            return false;
        ssize_t k = send(p->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (k < 0)
            return say("write");
        at += k;
        n -= (size_t)k;
    }
    return true;
}

bool peer_puts(struct peer *p, const char *text)
{
    return peer_write(p, text, strlen(text));
}

bool peer_read(struct peer *p, void *b, size_t n)
{
    char *at = b;
    while (n > 0) {
        if (!ready(p->fd, POLLIN))
            return false;
        ssize_t k = recv(p->fd, at, n, MSG_DONTWAIT);
        if (k < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (k == 0) {
            fprintf(stderr, "peer: the stream ended with %zu bytes missing\n", n);
            return false;
        }
        if (k < 0)
            return say("read");
        at += k;
        n -= (size_t)k;
    }
    return true;
}

ssize_t peer_read_until(struct peer *p, char *b, size_t cap, const char *marker)
{
    const size_t m = strlen(marker);
    size_t n = 0;
    while (n + 1 < cap && peer_read(p, b + n, 1)) {
        b[++n] = '\0';
        if (n >= m && memcmp(b + n - m, marker, m) == 0)
            return (ssize_t)n;
    }
    return -1;
}

int peer_drain(struct peer *p, size_t *bytes)
{
    char b[4096];
    size_t sum = 0;
    int e = ETIMEDOUT;
    while (ready(p->fd, POLLIN)) {
        ssize_t k = recv(p->fd, b, sizeof b, MSG_DONTWAIT);
        if (k < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        e = k == 0 ? 0 : errno;
        if (k <= 0)
            break;
        sum += (size_t)k;
    }
    if (bytes != NULL)
        *bytes = sum;
    return e;
}

bool peer_is_silent(struct peer *p)
{
    struct pollfd q = {.fd = p->fd, .events = POLLIN};
    return poll(&q, 1, 0) == 0;
}

bool peer_small_buffers(int fd)
{
    const int least = 1; /* the kernel raises it to its minimum */
    return (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least) == 0 &&
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least) == 0) ||
           say("set buffer sizes");
}

void peer_half_close(struct peer *p)
{
    shutdown(p->fd, SHUT_WR);
}

void peer_reset(struct peer *p)
{
    const struct linger abort_it = {.l_onoff = 1, .l_linger = 0};
    setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof abort_it);
    peer_hang_up(p);
}

void peer_hang_up(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

void peer_close(struct peer *p)
{
    peer_hang_up(p);
    for (size_t i = hole_n; i-- > 0;) {
        if (p->listening < 0 || hole_of[i] != p->listening)
            continue;
        close(hole_fds[i]);
        hole_n--;
        hole_fds[i] = hole_fds[hole_n];
        hole_of[i] = hole_of[hole_n];
    }
    if (p->listening >= 0)
        close(p->listening);
    p->listening = -1;
    if (p->path[0] != '\0')
        unlink(p->path);
    if (p->dir[0] != '\0')
        rmdir(p->dir);
    p->path[0] = p->dir[0] = '\0';
}
