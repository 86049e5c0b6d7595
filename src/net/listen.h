/* listen.h: listening sockets. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include "net/stream.h"
#include "wire/uri.h"
#include <stdbool.h>
#include <stdint.h>
#include <thrum/error.h>

enum { LISTEN_MAX = 64 }; /* sockets of one listener: that many may be handed over */
struct listener {
    int fds[LISTEN_MAX]; /* host "*" with port 0 or not: one IPv6 socket that takes IPv4 too where the system
                          * has IPv6
                          */
    int n;
    uint16_t port;  /* the real one; 0 for a Unix socket */
    char url[256];  /* that reaches it: "ws://127.0.0.1:4000/"; "*" shows as 127.0.0.1; "ws+unix:/path" */
    char path[128]; /* of the Unix socket to unlink; "" none */
    int spare;      /* a descriptor kept back, to be able to accept and close when there is none left; -1 */
};

/* SO_REUSEADDR always; a Unix socket file that nobody listens on is removed first where `unlink` is set (one
 * that answers is E_CONNECT "in use"). E_RESOLVE, E_CONNECT, E_ARGUMENT (Unix path too long), E_MEMORY,
 * E_SYSTEM. */
thrum_status listen_open(struct listener *l, const struct uri *u, int backlog, bool reuse_port, bool unlink,
                         int64_t deadline, thrum_error *err);
/* The next connection as a stream: 0; -EAGAIN where there is none; -EMFILE and the like after shedding: with
 * no descriptor left, the spare one is used to accept and close one connection, so that the queue moves and
 * the caller, who waits a little then, does not spin. Connections that died in the queue (ECONNABORTED) are
 * passed over. */
int listen_accept(struct listener *l, int fd, struct stream **out);
/* The same, as a bare descriptor (non-blocking, close-on-exec) or a negative errno. */
int listen_accept_fd(struct listener *l, int fd);
void listen_no_delay(const struct listener *l); /* TCP_NODELAY for all that will be accepted */
/* Sockets that listen already, -1 at the end; on failure they are in *l as far as they were looked at, for
 * listen_close. E_ARGUMENT, E_SYSTEM. */
thrum_status listen_given(struct listener *l, const int *fds, bool tls, thrum_error *err);
/* The i-th of n parts of a listener: its sockets by turns; where there are fewer than parts, copies. Takes
 * what it takes from *all. On failure listen_close undoes what there is. */
thrum_status listen_share(struct listener *l, struct listener *all, size_t i, size_t n, thrum_error *err);
/* One more listener at the same place: sockets of its own where the system shares a port (SO_REUSEPORT, which
 * the first must have), else copies. On failure listen_close undoes what there is. */
thrum_status listen_again(struct listener *l, const struct listener *first, int backlog, thrum_error *err);
/* Stops listening; unlink_too: removes the Unix socket file (not in a child of fork). Fine on a closed one.
 */
void listen_close(struct listener *l, bool unlink_too);

#endif
