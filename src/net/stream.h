/* stream.h: a byte stream that never waits. One may sit on another (TLS on a proxy on TCP); the top one owns
 * those below. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <thrum/error.h>

struct stream;
struct stream_ops {
    /* > 0 bytes; 0 the peer's end of stream (read only); a negative errno, -EAGAIN where it would wait (EINTR
     * is retried inside). No SIGPIPE, ever. A stream that shakes hands first (TLS, a proxy) does so inside
     * its reads and writes, which answer -EAGAIN until that is done, and a negative errno when it failed. */
    ssize_t (*read)(struct stream *s, const struct iovec *v, int n);
    ssize_t (*write)(struct stream *s, const struct iovec *v, int n);
    int (*shut_out)(struct stream *s); /* no more writes; 0 or a negative errno */
    void (*cut)(struct stream *s);     /* both directions at once; threads that poll the descriptor wake up */
    int (*fd)(const struct stream *s); /* what to poll */
    void (*describe)(const struct stream *s, char *out,
                     size_t cap);   /* the peer: "192.0.2.1:443", "unix:/path" */
    void (*free)(struct stream *s); /* closes the descriptor; never waits */

    /* The rest may be NULL: the stream adds nothing to what the one below it answers. */
    /* What to poll the descriptor for (POLLIN, POLLOUT) where the user of s wants `asked` of s. */
    short (*wants)(const struct stream *s, short asked);
    /* Bytes that have come lie in s itself: a read will give some without a poll. */
    bool (*buffered)(const struct stream *s);
    /* Writes what s has taken and the stream below has not: 0, -EAGAIN while some is left, a negative errno.
     */
    int (*flush)(struct stream *s);
    size_t (*unsent)(const struct stream *s); /* how much that is */
    /* After a negative errno: true and *err where s itself knows why. */
    bool (*failed)(const struct stream *s, thrum_error *err);
};
struct stream {
    const struct stream_ops *ops;
    struct stream *below; /* NULL at the bottom */
};

/* ---- stream.c: asks down the stack ----------------------------------------------------------------------
 */
short stream_wants(const struct stream *s, short asked);
bool stream_buffered(const struct stream *s);
int stream_flush(struct stream *s);
size_t stream_unsent(const struct stream *s);
bool stream_failed(const struct stream *s, thrum_error *err);
/* For a stream that sits on another and shows it unchanged. */
int stream_below_shut_out(struct stream *s);
void stream_below_cut(struct stream *s);
int stream_below_fd(const struct stream *s);
void stream_below_describe(const struct stream *s, char *out, size_t cap);

/* A connected stream socket (TCP or Unix) as a stream: makes it non-blocking and close-on-exec, TCP_NODELAY
 * on. Owns fd from the call on (closed on failure). 0 or a negative errno: -ENOTSOCK and -EPROTOTYPE for what
 * is no stream socket, -ENOTCONN. src/net/socket.c */
int stream_socket(struct stream **out, int fd);
/* If s is nothing but a socket: its descriptor, which is the caller's then, and s is gone. Else -1. */
int socket_unwrap(struct stream *s);
/* The peer of a connected socket, as describe gives it. */
void socket_peer(int fd, char *out, size_t cap);

#endif
