/* thrum/proto.h: one WebSocket connection without I/O, for those who bring their own. Every call is [one];
 * none blocks, reads a clock, opens a descriptor, takes a lock or starts a thread. Time, randomness and bytes
 * come in; bytes, events and the next deadline go out, by four doors: 1 the wire's bytes in    2 bytes for
 * the wire out    3 events out    4 what the user wants to say in */
#ifndef THRUM_PROTO_H
#define THRUM_PROTO_H

#include <thrum/server.h>
#include <thrum/thrum.h>

THRUM_BEGIN

typedef struct thrum_proto thrum_proto;
typedef int64_t thrum_time; /* nanoseconds on the caller's own monotonic clock */

typedef struct thrum_host { /* what the core needs from outside */
    size_t size;
    void *ctx;
    int (*random)(void *ctx, uint8_t *p,
                  size_t n); /* n bytes no peer can foretell; 0, or not 0 for failure */
    uint64_t events;         /* bits 1 << thrum_event_kind to report; 0 all */
    thrum_id id;             /* for log lines; 0 none */
    const char *peer;        /* for thrum_request_peer; copied; NULL "" */
} thrum_host;

typedef enum thrum_event_kind {
    THRUM_EVENT_NONE,
    THRUM_EVENT_OPEN,    /* the handshake is done */
    THRUM_EVENT_MESSAGE, /* message: whole, or a part where parts were asked for */
    THRUM_EVENT_PING,    /* message.data: its payload; the Pong is on its way already */
    THRUM_EVENT_PONG,
    THRUM_EVENT_CLOSE, /* code, message.data: the peer's Close */
    THRUM_EVENT_ENDED  /* nothing comes after this one: see thrum_proto_error */
} thrum_event_kind;
typedef struct thrum_event {
    thrum_event_kind what;
    uint16_t code;
    thrum_message message; /* the caller's from here on: thrum_message_release */
} thrum_event;

enum {
    THRUM_WANT_IN = 1,   /* reading is welcome: not paused by the water mark, and the end has not come */
    THRUM_WANT_OUT = 2,  /* door 2 has bytes */
    THRUM_HAS_EVENT = 4, /* door 3 has an event */
    THRUM_MAY_SEND = 8,  /* door 4 takes messages */
    THRUM_SHUT_OUT =
        16, /* all is written: shut the sending side down (a server after both Closes, any failure) */
    THRUM_ENDED = 32 /* the stream can be closed */
};

/* A client's connection to url, or a server's, before its handshake; copies what it keeps of the options. The
 * deadline of the handshake counts from now. E_ARGUMENT, E_TOO_NEW, E_MEMORY, E_SYSTEM (no randomness). */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_proto_client(thrum_proto **out, const char *url,
                                                           const thrum_client_options *o, const thrum_host *h,
                                                           thrum_time now, thrum_error *err);
THRUM_API THRUM_MUST_CHECK thrum_status thrum_proto_server(thrum_proto **out, const thrum_server_options *o,
                                                           const thrum_host *h, thrum_time now,
                                                           thrum_error *err);
/* NULL is fine. Frees events not taken; messages taken stay the taker's. */
THRUM_API void thrum_proto_free(thrum_proto *p);
/* A set of the flags above. */
THRUM_API unsigned thrum_proto_flags(const thrum_proto *p);
THRUM_API thrum_state thrum_proto_state(const thrum_proto *p);

/* Door 1, copying: n bytes from the wire (the core may unmask them in place). All are consumed. The status is
 * that of the connection; a peer's error is not the caller's: keep serving doors 2 and 3 until ENDED. */
THRUM_API thrum_status thrum_proto_feed(thrum_proto *p, uint8_t *data, size_t n, thrum_time now);
/* Door 1, without a copy: where the next *room bytes of the wire may be put (inside the payload of a large
 * message), else NULL; then the number put. */
THRUM_API uint8_t *thrum_proto_in(thrum_proto *p, size_t *room);
THRUM_API thrum_status thrum_proto_in_done(thrum_proto *p, size_t n, thrum_time now);
/* The peer's end of stream; or, with an errno, that the stream broke. Idempotent. */
THRUM_API thrum_status thrum_proto_in_end(thrum_proto *p, int os_errno, thrum_time now);

/* Door 2: up to max slices of bytes for the wire, in order; they hold until the next call on p. Returns how
 * many slices. Then how many bytes were written. */
THRUM_API size_t thrum_proto_out(thrum_proto *p, thrum_slice *v, size_t max);
THRUM_API void thrum_proto_out_done(thrum_proto *p, size_t n, thrum_time now);

/* Door 3: the next event; false when there is none. A message comes whole; but the rest of one that was begun
 * by thrum_proto_event_part comes as its last part. */
THRUM_API bool thrum_proto_event(thrum_proto *p, thrum_event *e);
/* As thrum_proto_event, but what has come of an unfinished message is handed out as a part. */
THRUM_API bool thrum_proto_event_part(thrum_proto *p, thrum_event *e);

/* Door 4: copies what it is given. last false: a fragment, more follow. E_STATE (no THRUM_MAY_SEND, or
 * another kind than the fragment before), E_UTF8, E_MEMORY, E_SYSTEM (no randomness for a mask), E_CLOSED. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_proto_send(thrum_proto *p, thrum_kind k, thrum_slice s,
                                                         bool last);
/* As thrum_proto_send; compress as in thrum_send_options. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_proto_send_with(thrum_proto *p, thrum_kind k, thrum_slice s,
                                                              bool last, thrum_switch compress);
/* *seq (may be NULL) is the ping's number: answered once thrum_proto_ponged() >= it. E_FULL, E_ARGUMENT. */
THRUM_API thrum_status thrum_proto_ping(thrum_proto *p, thrum_slice s, thrum_time now, uint64_t *seq);
THRUM_API uint64_t thrum_proto_ponged(const thrum_proto *p);
THRUM_API thrum_status thrum_proto_pong(thrum_proto *p, thrum_slice s);
/* Begins the closing handshake; before the handshake is done it fails the connection. Again: THRUM_OK.
 * E_ARGUMENT for a code that may not be sent, or a reason over 123 bytes or not UTF-8. */
THRUM_API thrum_status thrum_proto_close(thrum_proto *p, uint16_t code, thrum_slice reason, thrum_time now);

/* When to call tick; INT64_MAX: not at all. */
THRUM_API thrum_time thrum_proto_deadline(const thrum_proto *p);
THRUM_API void thrum_proto_tick(thrum_proto *p, thrum_time now);

/* Why it ended; status THRUM_OK while it has not. */
THRUM_API void thrum_proto_error(const thrum_proto *p, thrum_error *err);
THRUM_API thrum_status thrum_proto_closing(const thrum_proto *p, thrum_closing *out);
THRUM_API const char *thrum_proto_subprotocol(const thrum_proto *p);
/* The extensions agreed on; NULL none; holds as long as p. */
THRUM_API const char *thrum_proto_extensions(const thrum_proto *p);
THRUM_API const char *thrum_proto_target(const thrum_proto *p);
THRUM_API const char *thrum_proto_header(const thrum_proto *p, const char *name, size_t n);

THRUM_END

#endif
