/* thrum/reconnect.h: a client that connects again when its connection is lost. Marks as in thrum.h.
 *
 * It connects on a thread of the library, which lives only while there is no connection. Messages that were
 * taken by the kernel when a connection broke may or may not have come; none is sent twice. */
#ifndef THRUM_RECONNECT_H
#define THRUM_RECONNECT_H

#include <thrum/thrum.h>

THRUM_BEGIN

typedef struct thrum_reconnect thrum_reconnect;

typedef enum thrum_phase {
    THRUM_PHASE_IDLE,       /* nobody has asked for a connection yet */
    THRUM_PHASE_CONNECTING, /* a connect is in progress */
    THRUM_PHASE_WAITING,    /* for the time of the next one */
    THRUM_PHASE_OPEN,
    THRUM_PHASE_CLOSED /* for good: thrum_reconnect_close, or a failure that is final */
} thrum_phase;

typedef struct thrum_reconnect_options {
    size_t size;
    /* The wait before the n-th connect in a row (n from 0) is drawn from [0, min(delay_most, delay_first *
     * 2^n)]. A connection that held for as long as that could have been begins anew */
    thrum_span delay_first; /* 500 ms */
    thrum_span delay_most;  /* 30 s */
    thrum_span retry_after; /* Retry-After of a 503 or 429 is kept to, up to this: 1 h; THRUM_FOREVER:
                               whatever it says */
    thrum_span give_up;     /* without a connection for so long: final; THRUM_FOREVER */
    uint64_t attempts;      /* that fail in a row: final; 0: no limit */
    /* What is sent while there is no connection waits here; 0 of either: nothing does */
    uint64_t outbox_messages, outbox_bytes;
    /* Callbacks, NULL none. They run on the library's thread with nothing locked; thrum_reconnect_close and
     * _free from within are fine, waiting for the reconnecting client itself is not. */
    /* A new connection, before anybody else has it: subscribe again. Not THRUM_OK: it is closed, and counts
     * as failed */
    thrum_status (*on_connected)(thrum_conn *c, void *arg);
    /* why: the failure that led to it (WAITING, CLOSED), else NULL; wait: of WAITING, milliseconds */
    void (*on_phase)(thrum_phase p, const thrum_error *why, thrum_span wait, void *arg);
    /* A message of the outbox that will not be sent: pushed out by a newer one (.drop_oldest), or left at the
     * end */
    void (*on_dropped)(thrum_kind k, const void *p, size_t n, void *arg);
    /* Is this failure final? 1 yes, 0 no, -1 as the library thinks: a 4xx other than 408, 425 and 429; a
     * certificate that is not trusted; a URL or option that cannot be used */
    int (*is_final)(const thrum_error *why, void *arg);
    void *arg;
    thrum_switch
        drop_oldest; /* ON: a full outbox drops its oldest messages; default: the send answers E_FULL */
    uint32_t spare;  /* zero */
} thrum_reconnect_options;
#define THRUM_RECONNECT(...)                                                                                 \
    (&(const thrum_reconnect_options){.size = sizeof(thrum_reconnect_options), __VA_ARGS__})
/* [any] For C++ and FFI: zeroes *o and sets size. */
THRUM_API void thrum_reconnect_options_init(thrum_reconnect_options *o, size_t size);

/* [any] Makes one; nothing is connected before the first call that needs it. co and o may be NULL. *out is
 * the caller's until thrum_reconnect_free. E_ARGUMENT, E_TOO_NEW, E_MEMORY, E_SYSTEM, E_TLS, E_CERTIFICATE
 * (options). */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_reconnect_new(thrum_reconnect **out, const char *url,
                                                            const thrum_client_options *co,
                                                            const thrum_reconnect_options *o,
                                                            thrum_error *err);
/* [any] [waits t] Until there is a connection. E_TIMEOUT, E_CLOSED (closed by us), or the failure that was
 * final. So all the calls below, and E_SYSTEM where the system refuses a thread, E_FORKED, E_INTERRUPTED. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_reconnect_wait(thrum_reconnect *r, thrum_wait t);
/* [any] [waits t] As thrum_recv, of whichever connection there is. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_reconnect_recv(thrum_reconnect *r, thrum_message *m,
                                                             thrum_wait t);
/* [any] [waits t for a connection, then send_timeout] As thrum_send. Without a connection the message goes
 * into the outbox, if there is one and room (else E_FULL), and the call answers at once; messages leave in
 * the order of the calls. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_reconnect_send(thrum_reconnect *r, thrum_kind k, const void *p,
                                                             size_t n, thrum_wait t);
/* [any] A handle on the present connection, to be freed with thrum_conn_free; NULL: there is none. */
THRUM_API thrum_conn *thrum_reconnect_conn(thrum_reconnect *r);
/* [any] */
THRUM_API thrum_phase thrum_reconnect_phase(const thrum_reconnect *r);
/* [any] Why there is no connection, or was none: the last failure; status THRUM_OK before the first. */
THRUM_API void thrum_reconnect_error(const thrum_reconnect *r, thrum_error *err);
typedef struct thrum_reconnect_counts {
    size_t size;
    uint64_t attempts, connections;           /* since it was made */
    uint64_t outbox_messages, outbox_bytes;   /* now */
    uint64_t dropped_messages, dropped_bytes; /* since it was made */
} thrum_reconnect_counts;
/* [any] Fills *out (its size set by the caller). E_ARGUMENT for an unknown size. */
THRUM_API thrum_status thrum_reconnect_count(const thrum_reconnect *r, thrum_reconnect_counts *out);
/* [any] [waits close_timeout, where there is a connection] For good: ends a look-up, a connect, a handshake
 * or a wait that is in progress within milliseconds, and closes the connection as thrum_close does. All other
 * calls answer E_CLOSED. */
THRUM_API thrum_status thrum_reconnect_close(thrum_reconnect *r, uint16_t code, const char *why);
/* [one] As thrum_reconnect_close, but without waiting for the peer: an open connection gets 1001. When it has
 * returned no callback runs any more: it waits for one that does, unless it is called from it. NULL is fine.
 */
THRUM_API void thrum_reconnect_free(thrum_reconnect *r);

THRUM_END

#endif
