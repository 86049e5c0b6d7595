/* uri.h: RFC 6455 section 3 on RFC 3986, strictly. No IDNA yet: a host is ASCII. */
#ifndef WIRE_URI_H
#define WIRE_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/slice.h>

struct uri {                    /* slices into the text that was parsed */
    bool tls, local;            /* wss; ws+unix */
    thrum_slice user, password; /* as they stand, percent-encoded; p NULL where absent */
    thrum_slice host;           /* without the brackets of an IPv6 address */
    bool ipv6;                  /* the host was in brackets */
    uint16_t port;              /* 80 or 443 where none is given */
    bool port_given;
    thrum_slice path;   /* of the socket, for local */
    thrum_slice target; /* path and query; n 0 means "/"; may begin with '?', which means "/?" */
};
/* ws://[user[:password]@]host[:port][/path][?query], wss://..., ws+unix:/socket/path[:/path][?query]. Scheme
 * and host: case does not matter. True, or false and a sentence in *why: fragment, empty host, bad port
 * (listening: 0 is fine; so is the host "*"), control characters, spaces, non-ASCII, bad percent-encoding,
 * another scheme. */
bool uri_parse(struct uri *u, thrum_slice s, bool listening, const char **why);
/* Takes percent-encoding off; a NUL is put behind. The length, or -1: it does not fit in cap, or holds a NUL.
 */
ptrdiff_t uri_unescape(char *out, size_t cap, thrum_slice s);
/* The value of Host: brackets put back, the port where it is not the scheme's. Returns the length; 0: does
 * not fit. */
size_t uri_host(const struct uri *u, char *out, size_t cap);
/* Is s a well-formed Host value: host [":" port]? *host and *port (0: none given) may be NULL. */
bool uri_is_host(thrum_slice s, thrum_slice *host, uint16_t *port);
/* An Origin: scheme "://" host [":" port]. False for "null" and all else. *port: 0 where none is given. */
bool uri_is_origin(thrum_slice s, thrum_slice *scheme, thrum_slice *host, uint16_t *port);
/* A request target in origin-form ("/..." of RFC 3986 characters, no fragment). */
bool uri_is_target(thrum_slice s);

#endif
