/* peer.h: the other side of a connection, as raw bytes. It uses the system directly, never the library or its
 * table of system calls, so that faults put into the library do not hit it. Every wait has the generous bound
 * PEER_MS; calls that can fail say so and print why. */
#ifndef TESTS_LIB_PEER_H
#define TESTS_LIB_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PEER_MS = 20000 };

struct peer {
    int listening; /* -1 none */
    int fd;        /* the connection; -1 none */
    uint16_t port;
    char path[108]; /* of the Unix socket; "" none */
    char dir[64];   /* the directory made for it */
    char url[160];  /* "ws://127.0.0.1:4000/", "ws://[::1]:4000/", "ws+unix:/tmp/..." */
};

bool peer_has_ipv6(void); /* may ::1 be bound here? */
/* Listens on 127.0.0.1, ::1 (port 0) or a new path. backlog as listen(2). False: printed why. */
bool peer_listen(struct peer *p, int family, int backlog);
bool peer_accept(struct peer *p); /* into p->fd; closes the connection that was there */
/* As a client; p is zeroed by it. */
bool peer_connect(struct peer *p, int family, uint16_t port);
bool peer_connect_unix(struct peer *p, const char *path);
/* A connected pair: *ours a descriptor for the library, p the other end. family AF_UNIX: a socketpair. */
bool peer_pair(struct peer *p, int family, int *ours);
/* A listening port of family that takes no further connection: SYNs stay unanswered. Fills the queue by
 * itself. */
bool peer_blackhole(struct peer *p, int family);

bool peer_write(struct peer *p, const void *b, size_t n); /* all of it */
bool peer_puts(struct peer *p, const char *text);
bool peer_read(struct peer *p, void *b, size_t n); /* exactly n */
/* Reads byte by byte until the marker has come; b is NUL-terminated. The length with marker, or -1. */
ssize_t peer_read_until(struct peer *p, char *b, size_t cap, const char *marker);
/* Reads and drops all until the end of the stream: 0, or the errno that ended it; bytes may be NULL. */
int peer_drain(struct peer *p, size_t *bytes);
bool peer_is_silent(struct peer *p); /* nothing has come so far; does not wait */

bool peer_small_buffers(int fd); /* the least SO_SNDBUF and SO_RCVBUF; fd any socket */
void peer_half_close(struct peer *p);
void peer_reset(struct peer *p);   /* RST on TCP (SO_LINGER 0); closes */
void peer_hang_up(struct peer *p); /* closes the connection, keeps listening */
void peer_close(struct peer *p);   /* everything; fine on a closed one */

#endif
