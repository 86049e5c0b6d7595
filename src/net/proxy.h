/* proxy.h: which proxy leads to a server, and the streams that lead through it (RFC 9110 section 9.3.6, RFC
 * 1928, RFC 1929, SOCKS 4 and 4a). Each shakes hands inside its first reads and writes, as stream.h says, and
 * is transparent afterwards. */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include "net/stream.h"
#include "wire/uri.h"
#include <stdbool.h>
#include <stdint.h>
#include <thrum/error.h>
#include <thrum/slice.h>

enum proxy_kind {
    PROXY_NONE,
    PROXY_HTTP,
    PROXY_HTTPS,
    PROXY_SOCKS4,
    PROXY_SOCKS4A,
    PROXY_SOCKS5,
    PROXY_SOCKS5H
};
struct proxy { /* texts end in NUL; user and password without percent-encoding */
    enum proxy_kind kind;
    char host[256]; /* without brackets */
    uint16_t port;
    bool has_user;
    char user[256], password[256];
};
/* http://, https://, socks4://, socks4a://, socks5://, socks5h:// (socks:// is socks5h), no scheme is http,
 * all with [user[:password]@]host[:port][/]; ports 80 (curl: 1080), 443, 1080 by default. False and a
 * sentence. */
bool proxy_parse(struct proxy *p, const char *url, const char **why);
/* What the environment says for u, by curl's rules: ws_proxy or wss_proxy, then http_proxy (lower case only,
 * as HTTP_PROXY can be a CGI client's header) or https_proxy/HTTPS_PROXY, then socks_proxy/SOCKS_PROXY, then
 * all_proxy/ALL_PROXY; no_proxy/NO_PROXY lists hosts, domains (with or without a leading dot), addresses and
 * CIDR blocks, "*" all. OK with kind PROXY_NONE where none is to be used; E_ARGUMENT names the variable that
 * is bad. */
thrum_status proxy_from_environment(struct proxy *p, const struct uri *u, thrum_error *err);
const char *proxy_kind_name(enum proxy_kind k);
/* Does the kind want the target's address rather than its name (SOCKS4, SOCKS5)? */
bool proxy_wants_address(enum proxy_kind k);

/* A stream through p to host:port, over `below`, which is the new stream's from the call on, also on failure.
 * For HTTPS `below` is TLS already. OK, E_MEMORY, E_ARGUMENT (a name or credential that the kind cannot
 * carry). */
thrum_status stream_proxy(struct stream **out, struct stream *below, const struct proxy *p, thrum_slice host,
                          uint16_t port, thrum_error *err);

#endif
