/* dial.h: from a URL to a connected stream. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/resolve.h"
#include "net/stream.h"
#include "net/tls.h"
#include "wire/uri.h"
#include <stdbool.h>
#include <stdint.h>
#include <thrum/error.h>

struct dial_how {                /* all zero: the defaults */
    struct thrum_tls *tls;       /* for wss; NULL: a client's defaults */
    struct thrum_tls *proxy_tls; /* for an https proxy, likewise */
    const char *proxy;           /* its URL; NULL: what the environment says; "": none */
    const char *source;          /* the address to connect from, in digits; NULL: any */
    bool keepalive;              /* SO_KEEPALIVE */
    bool anonymous;              /* show no certificate of ours */
};

/* Opens what leads to u: a socket, and on it what proxy and TLS need. Those shake hands later, inside the
 * first reads and writes (stream.h).
 *
 * Resolves (resolve.h), then tries the addresses as RFC 8305 asks:
 * families interleaved, the first family the resolver's, the next attempt 250 ms after the last or as soon as
 * it failed, the first that connects wins, all others are closed. The text of a failure names host, port,
 * number of addresses tried and the last error. E_RESOLVE, E_CONNECT, E_TIMEOUT, E_INTERRUPTED, E_CANCELLED
 * (the bell), E_ARGUMENT (proxy or source cannot be used), E_TLS, E_MEMORY, E_SYSTEM. A cancellation point;
 * nothing leaks. */
thrum_status dial(struct stream **out, const struct uri *u, const struct dial_how *how,
                  const struct limits *l, thrum_error *err);
/* TLS over a stream that there is; on failure nothing is left of it. tls NULL: a client's defaults. */
thrum_status dial_tls(struct stream **stream, struct thrum_tls *tls, thrum_slice host, uint16_t port,
                      bool anonymous, thrum_error *err);

#endif
