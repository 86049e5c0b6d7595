/* stream.h: a byte stream that never waits. One may sit on another (TLS on a proxy on TCP); the top one owns
 * those below. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;
struct stream_ops {
    /* > 0 bytes; 0 the peer's end of stream (read only); a negative errno, -EAGAIN where it would wait (EINTR
     * is retried inside). No SIGPIPE, ever. */
    ssize_t (*read)(struct stream *s, const struct iovec *v, int n);
    ssize_t (*write)(struct stream *s, const struct iovec *v, int n);
    int (*shut_out)(struct stream *s); /* no more writes; 0 or a negative errno */
    void (*cut)(struct stream *s);     /* both directions at once; threads that poll the descriptor wake up */
    int (*fd)(const struct stream *s); /* what to poll */
    void (*describe)(const struct stream *s, char *out,
                     size_t cap);   /* the peer: "192.0.2.1:443", "unix:/path" */
    void (*free)(struct stream *s); /* closes the descriptor; never waits */
};
struct stream {
    const struct stream_ops *ops;
    struct stream *below; /* NULL at the bottom */
};

/* A connected stream socket (TCP or Unix) as a stream: makes it non-blocking and close-on-exec, TCP_NODELAY
 * on. Owns fd from the call on (closed on failure). 0 or a negative errno: -ENOTSOCK and -EPROTOTYPE for what
 * is no stream socket, -ENOTCONN. src/net/socket.c */
int stream_socket(struct stream **out, int fd);

#endif
