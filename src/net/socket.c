/* socket.c: a connected socket as a stream. Every call is made non-blocking twice over, by the descriptor and
 * by MSG_DONTWAIT: the descriptor's flag belongs to the open file, which a forked child or the giver of the
 * descriptor may share and change. */
#include "net/stream.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/text.h"
#include "net/address_int.h"
#include "net/socket_int.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

enum { FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };

struct socket {
    struct stream stream; /* first: the v-table's pointer is the socket's */
    int fd;
    char peer[160]; /* kept, since the kernel forgets it when the peer goes */
};

static struct socket *of(struct stream *s)
{
    return (struct socket *)(void *)s;
}

static const struct socket *of_const(const struct stream *s)
{
    return (const struct socket *)(const void *)s;
}

/* One slice is the common case, and cheaper without a msghdr. */
static ssize_t socket_read(struct stream *s, const struct iovec *v, int n)
{
    int fd = of(s)->fd;
    struct msghdr m;
    ssize_t r;
    if (n < 1)
        return -EINVAL; /* 0 would read as the end of the stream */
    memset(&m, 0, sizeof m);
    m.msg_iov = (struct iovec *)(uintptr_t)v; /* POSIX forgot the const; it is not written through */
    m.msg_iovlen = (size_t)n;
    do
        r = n == 1 ? sys.recv(fd, v->iov_base, v->iov_len, FLAGS) : sys.recvmsg(fd, &m, FLAGS);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static ssize_t socket_write(struct stream *s, const struct iovec *v, int n)
{
    int fd = of(s)->fd;
    struct msghdr m;
    ssize_t r;
    if (n < 1)
        return -EINVAL;
    memset(&m, 0, sizeof m);
    m.msg_iov = (struct iovec *)(uintptr_t)v;
    m.msg_iovlen = (size_t)n;
    do
        r = n == 1 ? sys.send(fd, v->iov_base, v->iov_len, FLAGS) : sys.sendmsg(fd, &m, FLAGS);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static int socket_shut_out(struct stream *s)
{
    return sys.shutdown(of(s)->fd, SHUT_WR) == 0 ? 0 : -errno;
}

static void socket_cut(struct stream *s)
{
    /* Fails only where the peer has cut already. */
    (void)sys.shutdown(of(s)->fd, SHUT_RDWR);
}

static int socket_fd(const struct stream *s)
{
    return of_const(s)->fd;
}

static void socket_describe(const struct stream *s, char *out, size_t cap)
{
    text_format(out, cap, "%s", of_const(s)->peer);
}

static void socket_free(struct stream *s)
{
    /* EINTR or not, Linux has closed it. */
    (void)sys.close(of(s)->fd);
    mem_free(of(s));
}

static const struct stream_ops socket_ops = {
    .read = socket_read,
    .write = socket_write,
    .shut_out = socket_shut_out,
    .cut = socket_cut,
    .fd = socket_fd,
    .describe = socket_describe,
    .free = socket_free,
};

/* Frames are sent whole, so waiting for more to send only costs time. A socket without it works, only slower.
 */
static void no_delay(int fd)
{
    const int on = 1;
    if (sys.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        LOG(LOG_NET, LOG_WARNING, 0, "TCP_NODELAY cannot be set on descriptor %d (errno %d)", fd, errno);
}

int socket_wrap(struct stream **out, int fd, const struct address *peer)
{
    struct socket *s = mem_zalloc(sizeof *s);
    *out = NULL;
    if (s == NULL) {
        (void)sys.close(fd);
        return -ENOMEM;
    }
    s->stream.ops = &socket_ops;
    s->fd = fd;
    address_text(peer, s->peer, sizeof s->peer);
    if (address_family(peer) != AF_UNIX)
        no_delay(fd);
    *out = &s->stream;
    return 0;
}

/* A linger time set by the giver would make close() wait; an abort (time 0) is left as it is. */
static void no_linger(int fd)
{
    struct linger l = {0, 0};
    socklen_t n = sizeof l;
    if (sys.getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &n) == 0 && l.l_onoff && l.l_linger > 0) {
        l.l_onoff = 0;
        (void)sys.setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    }
}

static int given_check(int fd, struct address *peer)
{
    int type = 0;
    socklen_t n = sizeof type;
    if (sys.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0)
        return -errno;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;
    memset(peer, 0, sizeof *peer);
    peer->len = sizeof peer->a;
    if (sys.getpeername(fd, (struct sockaddr *)&peer->a, &peer->len) != 0)
        return -errno;
    return 0;
}

static int given_prepare(int fd)
{
    int flags = sys.get_flags(fd);
    if (flags < 0)
        return -errno;
    if ((flags & O_NONBLOCK) == 0 && sys.set_flags(fd, flags | O_NONBLOCK) != 0)
        return -errno;
    if (sys.set_cloexec(fd) != 0)
        return -errno;
    no_linger(fd);
    return 0;
}

int stream_socket(struct stream **out, int fd)
{
    struct address peer;
    *out = NULL;
    if (fd < 0)
        return -EBADF;
    int r = given_check(fd, &peer);
    if (r == -EBADF)
        return r; /* nobody's: by now the number may be another thread's file, so no close */
    if (r == 0)
        r = given_prepare(fd);
    if (r == 0)
        return socket_wrap(out, fd, &peer);
    (void)sys.close(fd);
    return r;
}

int socket_unwrap(struct stream *s)
{
    if (s->ops != &socket_ops)
        return -1;
    int fd = of(s)->fd;
    mem_free(of(s));
    return fd;
}

void socket_peer(int fd, char *out, size_t cap)
{
    struct address a;
    memset(&a, 0, sizeof a);
    a.len = sizeof a.a;
    if (sys.getpeername(fd, (struct sockaddr *)&a.a, &a.len) == 0)
        address_text(&a, out, cap);
    else
        text_format(out, cap, "%s", "unknown"); /* it has gone already */
}
