/* resolve.h: host names to addresses within a deadline. getaddrinfo cannot be bounded or cancelled, so it
 * runs on a helper thread of the library (thread_start: detached, signals blocked), which nobody ever joins:
 * who gives up waiting leaves the answer to be thrown away by the helper. Numeric addresses and "localhost"
 * take no thread. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <thrum/error.h>
#include <thrum/slice.h>

struct address {
    socklen_t len;
    struct sockaddr_storage a;
};
enum { RESOLVE_MAX = 32 };

/* How long a call may wait, and what else ends its waits. */
struct limits {
    int64_t deadline;   /* clock_now */
    bool interruptible; /* a signal: E_INTERRUPTED */
    int bell;           /* this descriptor readable: E_CANCELLED; -1 none */
};

/* At most RESOLVE_MAX addresses, in the resolver's order. passive: for listening, host "*" is all of them
 * (IPv6 first). E_RESOLVE, E_TIMEOUT, E_INTERRUPTED, E_CANCELLED, E_MEMORY, E_SYSTEM. A
 * cancellation point. */
thrum_status resolve(struct address *out, size_t *n, thrum_slice host, uint16_t port, bool passive,
                     const struct limits *l, thrum_error *err);
/* "localhost" as resolve gives it: 127.0.0.1 and ::1. For tests: replaces getaddrinfo. */
struct addrinfo;
extern int (*resolve_getaddrinfo)(const char *host, const char *service, const struct addrinfo *hints,
                                  struct addrinfo **out);
void address_text(const struct address *a, char *out,
                  size_t cap); /* "192.0.2.1:80", "[::1]:80", "unix:/path", "unix" */

#endif
