/* thrum/server.h: a WebSocket server, a thread per connection. Marks as in thrum.h. */
#ifndef THRUM_SERVER_H
#define THRUM_SERVER_H

#include <thrum/thrum.h>

THRUM_BEGIN

typedef struct thrum_server thrum_server;
typedef struct thrum_request thrum_request; /* the client's opening handshake; holds during the callback */
typedef struct thrum_reply thrum_reply;     /* what an HTTP answer will say */

/* [any] during the callback. Texts end in NUL and hold until the callback returns. */
THRUM_API const char *thrum_request_method(const thrum_request *r);
THRUM_API const char *thrum_request_target(const thrum_request *r);
THRUM_API const char *thrum_request_header(const thrum_request *r, const char *name, size_t n);
THRUM_API const char *thrum_request_peer(const thrum_request *r);
/* [any] during the callback. What the client shows of itself (RFC 7617): false where it shows nothing, or not
 * that. */
THRUM_API bool thrum_request_basic(const thrum_request *r, const char **user, const char **password);
/* [any] during the callback. The token (RFC 6750), or NULL. */
THRUM_API const char *thrum_request_bearer(const thrum_request *r);
/* [any] Is a guess the secret? Takes a time that depends on the guess's length alone. NULL is equal to
 * nothing. */
THRUM_API bool thrum_equal(const char *guess, const char *secret);
/* [one] Adds a header field to the answer (to a 101 as well). E_ARGUMENT where name is no token, value holds
 * a control character, or the field is one that the handshake itself sets; E_MEMORY; E_FULL over 64 fields.
 */
THRUM_API thrum_status thrum_reply_header(thrum_reply *r, const char *name, const char *value);
/* [one] Sets the body of an answer that is not 101; copied. type: Content-Type. E_ARGUMENT, E_MEMORY. */
THRUM_API thrum_status thrum_reply_body(thrum_reply *r, const char *type, const void *p, size_t n);

typedef struct thrum_server_options {
    size_t size;
    /* Runs in a thread of its own for each connection, once it is open. When it returns, the connection is
     * closed with 1000 if it still is open, and freed: keep it longer with thrum_conn_ref. */
    void (*serve)(thrum_conn *c, void *arg);
    void *arg;
    /* NULL, or asked for every request that parses, also one that is no WebSocket handshake: 0 go on, else
     * the HTTP status (200-599) to answer with. Runs in the connection's thread. */
    int (*on_request)(const thrum_request *r, thrum_reply *a, void *arg);
    /* NULL, or chooses among the n subprotocols that the client offers: an index, -1 for none, -2 to refuse
     * (400). */
    int (*on_subprotocol)(const thrum_request *r, const char *const *offered, size_t n, void *arg);
    const char *subprotocols;   /* without on_subprotocol: ours, most wanted first; NULL none */
    const char *const *origins; /* allowed values of Origin, NULL at the end; {"*", NULL} any; NULL: same
                                 * origin only. A request without Origin is no browser's and passes */
    const char *const *hosts;   /* allowed values of Host ("example.org", or with a port), NULL at the end;
                                 * NULL: any   one that is well formed */
    const char *server_name;    /* value of Server; NULL "thrum/VERSION", "" none */
    thrum_span open_timeout, close_timeout, send_timeout, ping_interval, ping_timeout; /* as for a client */
    uint64_t max_message, max_frame, max_fragments, recv_high, recv_low, send_high, spin_us;
    uint64_t max_conns;  /* open or shaking hands at once: 10,000; over it: 503 at once */
    uint64_t backlog;    /* of listen(2): 511 */
    uint64_t stack_size; /* bytes of each handler's stack: 0 the system's */
    thrum_switch interruptible, attended;
    thrum_switch reuse_port; /* SO_REUSEPORT: default off */
    thrum_switch
        unlink_socket;        /* Unix: remove a stale socket file before, and the own one after: default on */
    thrum_span compress_idle; /* permessage-deflate, as for a client: */
    uint64_t compress_min;
    thrum_switch compression;                /* accepted: default on */
    thrum_switch server_no_context_takeover; /* ON: we compress each message by itself */
    thrum_switch client_no_context_takeover; /* ON: the client is told to */
    uint32_t server_max_window_bits;         /* how far we refer back at most: 12 */
    uint32_t client_max_window_bits;         /* how far the client may, where it lets us say: 12 */
    uint32_t compress_level, compress_memory;
    uint32_t spare; /* zero */
    /* wss:// needs one of these, with a certificate: docs/guide/tls.md */
    const struct thrum_tls_options *tls;
    struct thrum_tls *tls_shared;
    /* Who may come in: docs/guide/authentication.md. With any of the two lists a request without one of them
     * gets 401, after on_request has let it pass */
    const char *const *users;  /* for Basic: user, password, user, password, NULL */
    const char *const *tokens; /* for Bearer, NULL at the end */
    const char *realm;         /* what is asked for in that answer: "WebSocket" */
    /* Behind a proxy: docs/guide/proxies.md */
    const char *const
        *trusted_proxies; /* addresses, blocks ("10.0.0.0/8", "fd00::/8"), "unix"; NULL at the end */
    thrum_switch
        proxy_protocol; /* ON: only these may connect, and begin with the PROXY protocol's header (1 or 2) */
    thrum_switch forwarded_for; /* ON: of their requests the peer is who X-Forwarded-For says */
    /* On loops (thrum_listen, thrum_serve_loops; thrum/loop.h): .serve is NULL, and one of these two is set
     */
    const struct thrum_handlers *handlers; /* for every path; with .arg */
    const struct thrum_route *routes;      /* by path; .path NULL at the end */
    const int *fds;    /* sockets that listen already, handed over to this process; -1 at the end; NULL: none.
                        * The    library's from the call on; the URL then only says ws or wss */
    uint64_t send_low; /* bytes waiting to be written at which on_drain is called: a quarter of send_high */
    uint32_t when_full;  /* a thrum_full: at send_high */
    uint32_t spare_loop; /* zero */
} thrum_server_options;
#define THRUM_SERVER(...) (&(const thrum_server_options){.size = sizeof(thrum_server_options), __VA_ARGS__})
/* [any] For C++ and FFI: zeroes *o and sets size. */
THRUM_API void thrum_server_options_init(thrum_server_options *o, size_t size);

/* [any] [waits open_timeout, for a host name's address only] Listens at url (ws://host:port, port 0: any free
 * one; host "*": all addresses; or ws+unix:/path) and returns at once; connections are served on threads of
 * the library. *out is the caller's until thrum_server_free. Errors: E_ARGUMENT, E_TOO_NEW, E_MEMORY,
 * E_SYSTEM, E_RESOLVE, E_CONNECT, E_TIMEOUT, E_TLS. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_serve(thrum_server **out, const char *url,
                                                    const thrum_server_options *o, thrum_error *err);
/* [any] [waits open_timeout] The server's side over one connected socket, without a server: shakes hands and
 * gives the connection (o->serve is not called). The descriptor is the library's from the call on. Errors as
 * thrum_connect. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_accept_fd(thrum_conn **out, int fd,
                                                        const thrum_server_options *o, thrum_error *err);
/* [any] The TCP port listened on, also when the URL said 0; 0 for a Unix socket. */
THRUM_API uint16_t thrum_server_port(const thrum_server *s);
/* [any] The URL that reaches it, e.g. "ws://127.0.0.1:40123/"; holds as long as the server. */
THRUM_API const char *thrum_server_url(const thrum_server *s);
/* [any] Open connections now. */
THRUM_API size_t thrum_server_count(const thrum_server *s);
/* [any] Runs fn for each open connection, with no lock held; keep one with thrum_conn_ref. Returns E_MEMORY.
 */
THRUM_API thrum_status thrum_server_each(thrum_server *s, void (*fn)(thrum_conn *c, void *arg), void *arg);
/* [any] Sends one message to every open connection without waiting, encoded once. A connection with send_high
 * bytes queued, or in the midst of a message sent in parts, is passed over; *sent and *skipped (may be NULL)
 * count. E_UTF8, E_MEMORY. */
THRUM_API thrum_status thrum_server_broadcast(thrum_server *s, thrum_kind k, const void *p, size_t n,
                                              size_t *sent, size_t *skipped);
/* [any] [waits t] Until the server is drained or freed by another thread (THRUM_OK), or E_TIMEOUT,
 * E_INTERRUPTED (a signal, where .interruptible is on). */
THRUM_API thrum_status thrum_server_wait(thrum_server *s, thrum_wait t);
/* [any] [waits t] Stops accepting; connections that shake hands get 503; open ones Close code (0: 1001); then
 * waits until every handler has returned. At t the rest is cut and the answer is E_TIMEOUT: handlers that are
 * not inside a call of the library go on, to be told E_CLOSED at their next. E_ARGUMENT: a code that may not
 * be sent; E_MEMORY, E_SYSTEM. */
THRUM_API thrum_status thrum_server_drain(thrum_server *s, uint16_t code, thrum_wait t);
/* [one] Drain without waiting, then let go; handlers that still run finish by themselves. NULL is fine. */
THRUM_API void thrum_server_free(thrum_server *s);

THRUM_END

#endif
