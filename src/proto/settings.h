/* settings.h: the options of a client or server, normalised once: defaults filled in, strings and lists
 * copied. */
#ifndef PROTO_SETTINGS_H
#define PROTO_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"
#include <thrum/loop.h>

struct settings { /* spans in milliseconds, -1 for never; limits in bytes, UINT64_MAX for none */
    int64_t open_timeout, close_timeout, send_timeout, ping_interval, ping_timeout;
    uint64_t max_message, max_frame, max_fragments;
    uint64_t recv_high, recv_low, send_high, send_low, spin_us;
    size_t recv_high_messages, recv_low_messages; /* 16 and 4 */
    bool interruptible;
    thrum_switch attended;
    uint32_t when_full; /* a thrum_full */
    /* permessage-deflate */
    bool compression, server_takeover, client_takeover;
    uint8_t server_bits, client_bits, compress_level, compress_memory;
    uint64_t compress_min;
    int64_t compress_idle;
    /* client */
    char *origin, *user_agent;                                /* NULL: not sent */
    char **headers;                                           /* name, value, ..., NULL; NULL none */
    char *proxy;                                              /* NULL: the environment's; "" none */
    char *source_address, *user, *password, *bearer, *cookie; /* NULL none */
    uint32_t max_redirects;
    bool tcp_keepalive;
    /* both */
    char **subprotocols; /* NULL at the end; NULL none */
    /* server */
    char **origins, **hosts; /* NULL: see server.h */
    char *server_name;
    uint64_t max_conns, backlog, stack_size;
    bool reuse_port, unlink_socket;
    bool routed;            /* requests of any kind are asked about, by path */
    char **users, **tokens; /* NULL: nobody is asked who he is */
    char *realm;
    struct cidr *trusted; /* proxies before us */
    size_t ntrusted;
    bool trusts_unix, proxy_protocol, forwarded_for;
    void (*serve)(thrum_conn *c, void *arg);
    int (*on_request)(const thrum_request *r, thrum_reply *a, void *arg);
    int (*on_subprotocol)(const thrum_request *r, const char *const *offered, size_t n, void *arg);
    void *arg;
};

/* Check and copy; on failure nothing is kept and *err says which option is wrong and what it may be. o may be
 * NULL. Reads min(o->size, own size); what lies beyond the own size must be zero, else E_TOO_NEW; a size that
 * is not a multiple of 8, or is smaller than the first field, is E_ARGUMENT. */
thrum_status settings_client(struct settings *s, const thrum_client_options *o, thrum_error *err);
thrum_status settings_server(struct settings *s, const thrum_server_options *o, thrum_error *err);
void settings_free(struct settings *s);
/* Is the peer ("192.0.2.1:443", "unix:/path") one of .trusted_proxies? */
bool settings_trusts(const struct settings *s, const char *peer);
/* The options of one send; o may be NULL. E_ARGUMENT, E_TOO_NEW. */
thrum_status settings_send(thrum_send_options *to, const thrum_send_options *o);

#endif
