/* proxy_header.h: HAProxy's PROXY protocol, versions 1 and 2: the header with which a proxy tells whose
 * connection it passes on. */
#ifndef WIRE_PROXY_HEADER_H
#define WIRE_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>
#include <thrum/slice.h>

enum { PROXY_HEADER_MAX = 4096 }; /* a longer one, by its extensions, is refused */

enum proxy_header_kind {
    PROXY_HEADER_LOCAL, /* the proxy's own connection, or one that it does not tell of */
    PROXY_HEADER_TEXT,  /* version 1: address, an IPv4 or IPv6 address in digits */
    PROXY_HEADER_INET,  /* version 2: address, 4 or 16 bytes */
    PROXY_HEADER_UNIX   /* version 2: no address that says anything */
};
struct proxy_header {
    enum proxy_header_kind kind;
    thrum_slice address; /* the client's; into the bytes that were parsed */
    uint16_t port;
};
enum proxy_header_result { PROXY_HEADER_MORE, PROXY_HEADER_DONE, PROXY_HEADER_BAD };
/* Looks at all bytes since the connection's first. DONE: *used of them are the header. BAD: it is none; *why
 * is a sentence. */
enum proxy_header_result proxy_header_parse(struct proxy_header *h, const uint8_t *p, size_t n, size_t *used,
                                            const char **why);

#endif
