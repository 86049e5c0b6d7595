/* thrum/thrum.h: a WebSocket connection for people who want to connect, send, recv and close.
 *
 * Marks used in all headers of thrum, and nothing else decides them:
 *   [any]   any thread, at any time, also while another thread is inside a call on the same object
 *   [one]   any thread, but one caller at a time per object
 *   [waits] may block, never longer than the bound that is named; a call without this mark never blocks
 * A call answers THRUM_OK or a negative status; output goes through pointers. Every call on a connection can
 * also answer E_ARGUMENT (NULL where an object is needed) and E_FORKED (see thrum_conn_free). Input is read
 * during the call only. The exit contract (docs/guide/exit.md) holds for all of them: no thread of the
 * library delays, hangs or crashes the end of the program, and peers of a program that ends get Close 1001.
 */
#ifndef THRUM_THRUM_H
#define THRUM_THRUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/error.h>
#include <thrum/export.h>
#include <thrum/slice.h>
#include <thrum/status.h>
#include <thrum/version.h>

THRUM_BEGIN

typedef struct thrum_conn thrum_conn;
typedef uint64_t thrum_id;  /* of a connection; never reused, so a stale one is harmless */
typedef int64_t thrum_wait; /* of a call: milliseconds; 0 do not wait; THRUM_FOREVER */
typedef int64_t thrum_span; /* of an option: milliseconds; 0 the default; THRUM_FOREVER: never */
#define THRUM_FOREVER  INT64_C(-1)
#define THRUM_NO_LIMIT UINT64_MAX

typedef enum thrum_switch { THRUM_DEFAULT, THRUM_ON, THRUM_OFF } thrum_switch;
typedef enum thrum_kind { THRUM_TEXT = 1, THRUM_BINARY = 2 } thrum_kind; /* RFC 6455 section 5.6 */
typedef enum thrum_state { THRUM_CONNECTING, THRUM_OPEN, THRUM_CLOSING, THRUM_CLOSED } thrum_state;

/* ---- options ------------------------------------------------------------------------------------------
 * All-zero means all defaults. Fields are only ever appended; what a newer program sets and this library
 * does not know is refused with E_TOO_NEW. Strings and lists are copied. */
typedef struct thrum_client_options {
    size_t size;                /* sizeof as the caller compiled it */
    const char *subprotocols;   /* offered, most wanted first, "chat.v2, chat.v1"; NULL none */
    const char *origin;         /* value of Origin; NULL none */
    const char *user_agent;     /* NULL "thrum/VERSION", "" none */
    const char *const *headers; /* name, value, name, value, NULL; no CR, LF or other control characters */
    thrum_span open_timeout;    /* resolve, connect and handshake together: 10 s */
    thrum_span close_timeout;   /* wait for the peer's Close, then for its end of stream: 10 s */
    thrum_span send_timeout;    /* one send against a peer that does not read: THRUM_FOREVER */
    thrum_span ping_interval;   /* ping when nothing was heard for so long: 20 s */
    thrum_span ping_timeout;    /* then fail with 1011 when nothing is heard for so long: 20 s */
    uint64_t max_message;       /* bytes of a received message: 1 MiB; THRUM_NO_LIMIT */
    uint64_t max_frame;         /* bytes of a received frame: as max_message */
    uint64_t max_fragments;     /* frames of a received message: 65,536 */
    uint64_t recv_high; /* bytes received and not yet taken at which reading pauses: 4 MiB (or 16 messages) */
    uint64_t recv_low;  /* ... and resumes: a quarter of recv_high (or 4 messages) */
    uint64_t send_high; /* bytes queued by broadcasts and pongs at which they are refused: 1 MiB */
    uint64_t spin_us;   /* microseconds to poll the socket before sleeping in recv: 0 */
    thrum_switch interruptible; /* ON: EINTR ends a wait with E_INTERRUPTED; default: waits resume */
    thrum_switch attended;      /* who answers pings while no call is inside (docs/guide/threads.md). ON: the
                                 * library's one thread, always; OFF: nobody, so never a thread; default: that
                                 * thread, but not for a program that keeps coming back at once */
    /* permessage-deflate (RFC 7692): docs/guide/compression.md */
    thrum_span compress_idle; /* what a message may refer back to is given up when none was sent for
                               * so long: 60 s */
    uint64_t compress_min;    /* bytes from which a message is compressed where the send does not
                               * say: 64 */
    thrum_switch compression; /* offered: default on */
    thrum_switch server_no_context_takeover; /* ON: the server is asked to compress each message by itself */
    thrum_switch client_no_context_takeover; /* ON: we do */
    uint32_t server_max_window_bits; /* the server is asked to refer back no farther than 2^n bytes, 8 to
                                      * 15: 12; what is kept for it is as large */
    uint32_t client_max_window_bits; /* how far we refer back at most, 8 to 15: 12 */
    uint32_t compress_level;         /* 1, the fastest, to 9, the smallest: 1 */
    uint32_t compress_memory;        /* 0: as fast as can be; 1 to 9: zlib, with states of that memLevel */
    uint32_t max_redirects;          /* followed at most: 10; THRUM_NO_REDIRECTS none */
    /* TLS: docs/guide/tls.md. Of .tls and .tls_shared one at most; neither: the system's trust store */
    const struct thrum_tls_options *tls;
    struct thrum_tls *tls_shared;
    /* The way there: docs/guide/proxies.md */
    const char *proxy; /* "http://user:password@host:3128", https:, socks4:, socks4a:, socks5:, socks5h:; ""
                        * none; NULL what the environment says (http_proxy, https_proxy, socks_proxy,
                        * all_proxy, no_proxy) */
    const struct thrum_tls_options *proxy_tls; /* to an https: proxy; NULL: the system's trust store */
    const char *source_address;                /* to connect from, in digits; NULL any */
    /* Who we are: docs/guide/authentication.md. None of it goes to another origin by a redirect */
    const char *user, *password; /* or "user:password@" in the URL: Basic or Digest, as the server asks */
    const char *bearer;          /* a token (RFC 6750) */
    const char *cookie;          /* value of Cookie: "a=1; b=2" */
    struct thrum_response **response; /* where the server's answer is put when it is HTTP (E_REFUSED), to be
                                       * freed with thrum_response_free; NULL otherwise */
    thrum_switch tcp_keepalive;       /* SO_KEEPALIVE: default off, as pings do more */
    uint32_t spare;                   /* zero */
    /* On a loop (thrum_open, thrum/loop.h) */
    uint64_t send_low;   /* bytes waiting to be written at which on_drain is called: a quarter of send_high */
    uint32_t when_full;  /* a thrum_full: at send_high bytes */
    uint32_t spare_loop; /* zero */
} thrum_client_options;
#define THRUM_NO_REDIRECTS UINT32_MAX
#define THRUM_CLIENT(...)  (&(const thrum_client_options){.size = sizeof(thrum_client_options), __VA_ARGS__})
/* [any] For C++ and FFI: zeroes *o and sets size; pass sizeof *o. NULL is fine. */
THRUM_API void thrum_client_options_init(thrum_client_options *o, size_t size);

/* ---- connect ------------------------------------------------------------------------------------------- */
/* [any] [waits open_timeout] Opens a connection: resolves, connects (RFC 8305), by a proxy and through TLS
 * where that is asked for, and shakes hands (RFC 6455 section 4.1). url:
 * ws://[user[:password]@]host[:port]/path?query, wss://..., or ws+unix:/socket/path:/request/path; a host may
 * be in any script (IDNA). Redirects (301, 302, 303, 307, 308) are followed, but never from wss to ws. o and
 * err may be NULL. On success *out is the caller's until thrum_conn_free; on failure *out is NULL and err
 * says why: E_ARGUMENT, E_TOO_NEW, E_MEMORY, E_SYSTEM, E_TIMEOUT, E_INTERRUPTED, E_RESOLVE, E_CONNECT,
 * E_RESET, E_TLS, E_CERTIFICATE, E_PROXY, E_HANDSHAKE, E_REFUSED, E_UNCLEAN (the peer ended the stream in the
 * handshake). */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_connect(thrum_conn **out, const char *url,
                                                      const thrum_client_options *o, thrum_error *err);
/* [any] [waits open_timeout] As thrum_connect over a connected stream socket that the caller opened; url
 * gives Host and target only. The descriptor is the library's from the call on, whatever the call answers. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_connect_fd(thrum_conn **out, int fd, const char *url,
                                                         const thrum_client_options *o, thrum_error *err);

/* ---- receive ------------------------------------------------------------------------------------------- */
enum { THRUM_PART_FIRST = 1, THRUM_PART_LAST = 2, THRUM_PART_WHOLE = 3 };
typedef struct thrum_message { /* the caller's; frozen */
    thrum_kind kind;
    uint32_t part;       /* THRUM_PART_*: of thrum_recv always THRUM_PART_WHOLE */
    size_t len;          /* bytes */
    const uint8_t *data; /* never NULL; data[len] is 0, so that text can be printed; holds until release */
    void *hold;          /* the library's */
} thrum_message;

/* [any] [waits t] Takes the next message, in order; m->data holds until thrum_message_release. While it waits
 * it answers pings and keeps time for keepalive. Several threads may call it: each message goes to one.
 * Messages that arrived whole before the end can still be taken after it. Errors: E_TIMEOUT, E_CANCELLED,
 * E_INTERRUPTED, E_STATE (a message was begun with thrum_recv_part: finish it), E_MEMORY, and once nothing is
 * left to take: E_CLOSED after a closing handshake, else why it ended (see thrum_conn_error). Any call that
 * waits can answer E_SYSTEM where the system refuses a descriptor to wait with. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_recv(thrum_conn *c, thrum_message *m, thrum_wait t);
/* [one] [waits t] Takes what has arrived of the next message, in pieces that need not be the peer's
 * fragments; a message of any size is so read in bounded memory (set .max_message). m->part tells first and
 * last. Text is valid UTF-8 as a whole, but a piece may end inside a character. Errors as thrum_recv. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_recv_part(thrum_conn *c, thrum_message *m, thrum_wait t);
/* [any] Gives the memory of a message back and zeroes *m. NULL and a zeroed message are fine. */
THRUM_API void thrum_message_release(thrum_message *m);

/* ---- send ---------------------------------------------------------------------------------------------- */
/* [any] [waits send_timeout] Sends one message; when it answers THRUM_OK the kernel has taken all of it.
 * Threads take turns by message. TEXT must be UTF-8 (E_UTF8; nothing is sent). Errors: E_UTF8, E_STATE (this
 * thread is in the midst of thrum_send_part), E_MEMORY, E_TIMEOUT, E_CANCELLED, E_INTERRUPTED (of these
 * three: nothing has left, the call may be repeated), E_UNFINISHED (begun; the library finishes it),
 * E_CLOSED, or why the connection ended. RFC 6455 section 6.1. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_send(thrum_conn *c, thrum_kind k, const void *p, size_t n);
/* [any] [waits send_timeout] As thrum_send, of n slices as one message in one frame. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_sendv(thrum_conn *c, thrum_kind k, const thrum_slice *v,
                                                    size_t n);
/* [any] [waits send_timeout] As thrum_sendv, with options; o may be NULL. Errors as thrum_sendv, and
 * E_ARGUMENT, E_TOO_NEW for the options. */
typedef struct thrum_send_options {
    size_t size;
    thrum_switch compress; /* RFC 7692 section 5.1: default: where it was agreed on and the message has
                            * compress_min bytes; ON: where it was agreed on; OFF: not. Of a message in parts
                            * the first one's counts */
    thrum_switch more; /* ON: more of this message follows, as thrum_send_part without last, one caller at a
                        * time; that thread's next call without it sends the last part */
} thrum_send_options;
#define THRUM_SEND(...) (&(const thrum_send_options){.size = sizeof(thrum_send_options), __VA_ARGS__})
THRUM_API THRUM_MUST_CHECK thrum_status thrum_send_with(thrum_conn *c, thrum_kind k, const thrum_slice *v,
                                                        size_t n, const thrum_send_options *o);
/* [one] [waits send_timeout] Sends one fragment of a message (RFC 6455 section 5.4); last ends the message.
 * From the first to the last fragment other senders wait for their turn; control frames pass between. k is
 * the same in every call of a message. A TEXT fragment may end inside a character, the message may not. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_send_part(thrum_conn *c, thrum_kind k, const void *p, size_t n,
                                                        bool last);
/* [any] [waits t] Sends a Ping (n <= 125 bytes; p NULL: eight bytes of the library's choice) and waits for
 * its Pong; t 0 only sends. Errors: E_ARGUMENT (over 125 bytes), E_FULL (64 pings wait already), E_TIMEOUT,
 * E_CANCELLED, E_INTERRUPTED, E_MEMORY, E_CLOSED or why the connection ended. RFC 6455 section 5.5.2. */
THRUM_API thrum_status thrum_ping(thrum_conn *c, const void *p, size_t n, thrum_wait t);
/* [any] Sends an unasked Pong, a heartbeat to the peer (RFC 6455 section 5.5.3). Never blocks: queued, and
 * E_FULL over send_high. */
THRUM_API thrum_status thrum_pong(thrum_conn *c, const void *p, size_t n);

/* ---- close --------------------------------------------------------------------------------------------- */
/* [any] [waits close_timeout] Shakes hands for the end (RFC 6455 section 7): sends Close with code (0 none,
 * else one that may be sent: 1000-1003, 1007-1014, 3000-4999) and why (UTF-8, at most 123 bytes; NULL none),
 * waits for the peer's Close and end of stream, and releases every thread waiting on the connection. Messages
 * that had come stay to be taken; while the peer's Close is looked for, those over recv_high are dropped.
 * Again, or after the end: THRUM_OK. Errors: E_ARGUMENT (nothing is sent), E_TIMEOUT (the peer did not
 * answer; the connection is cut), E_CANCELLED, E_INTERRUPTED, E_MEMORY, E_SYSTEM, E_UNCLEAN (it ended the
 * stream without a Close). */
THRUM_API thrum_status thrum_close(thrum_conn *c, uint16_t code, const char *why);
/* [any] Every call that waits on the connection now returns E_CANCELLED (a send in mid-message:
 * E_UNFINISHED). Frames stay whole, the connection stays open. */
THRUM_API void thrum_cancel(thrum_conn *c);
/* [one] Lets go of a handle; NULL is fine; never blocks. The last handle of an open connection says Close
 * 1001 as far as the kernel takes it at once, then closes the socket; threads inside a call get E_CLOSED. In
 * a child of fork every call on an inherited connection answers E_FORKED, and this call frees it without a
 * byte sent. */
THRUM_API void thrum_conn_free(thrum_conn *c);
/* [any] One more handle on the same connection, to be freed as the first is. Returns c. */
THRUM_API thrum_conn *thrum_conn_ref(thrum_conn *c);

/* ---- ask ----------------------------------------------------------------------------------------------- */
/* What was said at the end: each side's Close as it stood on the wire (RFC 6455 section 7.1.5). */
typedef struct thrum_closing {
    size_t size;
    uint16_t sent_code, recv_code; /* 0: no Close frame; 1005: a Close frame without a code */
    uint8_t by_peer;               /* 1 if the peer's Close came first */
    uint8_t clean;                 /* 1 if both were exchanged */
    uint8_t reserved[2];
    char sent_reason[124], recv_reason[124];
} thrum_closing;
/* [any] Why the connection ended; status THRUM_OK while it has not. */
THRUM_API void thrum_conn_error(const thrum_conn *c, thrum_error *err);
/* [any] Fills *out (its size set by the caller). E_ARGUMENT when size is unknown. */
THRUM_API thrum_status thrum_conn_closing(const thrum_conn *c, thrum_closing *out);
/* [any] THRUM_OPEN until a Close was sent or received. */
THRUM_API thrum_state thrum_conn_state(const thrum_conn *c);
/* [any] Never 0, never reused in this process. */
THRUM_API thrum_id thrum_conn_id(const thrum_conn *c);
/* [any] The subprotocol agreed on, or NULL; holds as long as the connection. */
THRUM_API const char *thrum_conn_subprotocol(const thrum_conn *c);
/* [any] The extensions agreed on, as the server's answer names them; NULL when none. Holds as long as c. */
THRUM_API const char *thrum_conn_extensions(const thrum_conn *c);
/* [any] The request target, e.g. "/feed?x=1"; holds as long as the connection. */
THRUM_API const char *thrum_conn_target(const thrum_conn *c);
/* [any] The n-th (from 0) value of a header field that the peer sent in the opening handshake, or NULL. */
THRUM_API const char *thrum_conn_header(const thrum_conn *c, const char *name, size_t n);
/* [any] The peer's address, "192.0.2.1:443", "[::1]:80", "unix:/path" or "unix"; holds as long as the
 * connection. */
THRUM_API const char *thrum_conn_peer(const thrum_conn *c);
/* [any] Nanoseconds of the last round trip of a Ping and its Pong; -1 before the first. */
THRUM_API int64_t thrum_latency(const thrum_conn *c);
/* [any] A pointer of the user's, NULL at first. */
THRUM_API void thrum_conn_set_user(thrum_conn *c, void *user);
THRUM_API void *thrum_conn_user(const thrum_conn *c);

/* ---- process ------------------------------------------------------------------------------------------- */
typedef enum thrum_log_level {
    THRUM_LOG_ERROR,
    THRUM_LOG_WARNING,
    THRUM_LOG_INFO,
    THRUM_LOG_DEBUG,
    THRUM_LOG_TRACE
} thrum_log_level;
typedef struct thrum_log_record {
    size_t size;
    int level;               /* a thrum_log_level */
    const char *area, *text; /* text: control characters of the peer's are escaped, secrets left out */
    thrum_id conn;           /* 0: of no connection */
    int64_t ns;              /* CLOCK_MONOTONIC */
} thrum_log_record;
/* [any] Sends log lines to fn (any thread may run it; it must not call thrum). filter: a level, then
 * area=level: "warning,frame=trace"; areas: frame, http, net, conn, warden, server, loop. NULL fn: no log
 * (the default). E_ARGUMENT: the filter does not parse, the old one stays; E_FULL: 64 different pairs of fn
 * and arg were set. */
THRUM_API thrum_status thrum_set_log(void (*fn)(const thrum_log_record *r, void *arg), void *arg,
                                     const char *filter);
typedef struct thrum_memory {
    size_t size;
    void *ctx;
    void *(*alloc)(void *ctx, size_t n);
    void *(*resize)(void *ctx, void *p, size_t n);
    void (*release)(void *ctx, void *p);
} thrum_memory;
/* [any] All memory of the library from here on comes from m. Before any other call, else E_STATE. */
THRUM_API thrum_status thrum_set_memory(const thrum_memory *m);

typedef enum thrum_exit_policy {
    THRUM_GOODBYE, /* Close 1001 as far as the kernel takes it at once: the default */
    THRUM_LINGER,  /* then wait up to the given time for the peers' Close */
    THRUM_CUT      /* nothing: the peers see 1006 */
} thrum_exit_policy;
/* [any] What the end of the program says to the peers of its open connections. E_ARGUMENT. */
THRUM_API thrum_status thrum_set_exit(thrum_exit_policy p, thrum_wait linger);
/* [any] true: the calling thread does not keep the process alive once main has called pthread_exit; the twin
 * of Python's daemon threads. E_SYSTEM, E_MEMORY. */
THRUM_API thrum_status thrum_thread_background(bool background);
/* [any] How many threads of the library the process has now (server threads included). */
THRUM_API int thrum_library_threads(void);

THRUM_END

#endif
