/* proto.h: what conn may ask of the core beyond include/thrum/proto.h. Same rules: no I/O, no clock, no lock,
 * no thread; memory through base/mem.h. */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include "proto/settings.h"
#include <stdatomic.h>
#include <thrum/proto.h>
#include <thrum/stats.h>

/* The same as thrum_proto_client/_server with settings that are shared and outlive the proto. `defer`: a
 * server's callbacks are not run inside feed; the proto stops at proto_asks() until proto_answer(). */
thrum_status proto_new_client(thrum_proto **out, const char *url, const struct settings *s,
                              const thrum_host *h, thrum_time now, thrum_error *err);
/* What one attempt to connect has beyond the settings. */
struct client_more {
    const char *const *fields; /* name, value, ..., NULL: sent behind .headers; NULL none */
    bool foreign; /* another origin than the one that the settings were made for (RFC 9110 section 15.4):
                   * Authorization, Cookie and the like of .headers stay out */
};
thrum_status proto_new_client_with(thrum_proto **out, const char *url, const struct client_more *more,
                                   const struct settings *s, const thrum_host *h, thrum_time now,
                                   thrum_error *err);
/* A client that has ended with E_REFUSED: the answer, once; NULL: no memory, or none. */
struct thrum_response *proto_take_response(thrum_proto *p);
thrum_status proto_new_server(thrum_proto **out, const struct settings *s, const thrum_host *h, bool defer,
                              thrum_time now, thrum_error *err);

/* Who the other end is, in words: the host's, or, of a server, who X-Forwarded-For says. */
const char *proto_peer(const thrum_proto *p);
/* A server's, before its request has come: E_MEMORY leaves it as it was. */
thrum_status proto_set_peer(thrum_proto *p, const char *peer);

/* ---- server: the decision, outside of any lock ----------------------------------------------------------
 */
/* The request that waits for a decision, or NULL. It does not change until proto_answer or proto_refuse. */
const thrum_request *proto_asks(const thrum_proto *p);
/* Runs on_request and on_subprotocol of the settings; touches nothing but the request (read) and its own
 * result. */
struct decision {
    int status;                /* 0 or 101: go on; else the HTTP answer */
    int subprotocol;           /* index into the offered ones; -1 none */
    struct thrum_reply *reply; /* header fields and body; owned */
};
thrum_status proto_decide(const thrum_request *r, const struct settings *s, struct decision *d);
/* The same with another callback than the settings', or none. */
thrum_status proto_decide_by(const thrum_request *r, const struct settings *s,
                             int (*on_request)(const thrum_request *r, thrum_reply *a, void *arg), void *arg,
                             struct decision *d);
/* Takes d->reply. Then feeds what the client had sent behind its request. */
thrum_status proto_answer(thrum_proto *p, struct decision *d, thrum_time now);
void decision_free(struct decision *d); /* fine after proto_answer */
/* Answers a handshake that is not done, however far it came, with a plain HTTP status, and ends. E_STATE once
 * open or where an answer is on its way already. */
thrum_status proto_refuse(thrum_proto *p, int status, thrum_time now);

/* ---- sending without a copy ------------------------------------------------------------------------------
 */
/* Queues one frame of data whose payload stays in the caller's memory until proto_settle: door 2 shows it
 * from there (a client's is masked piece by piece, at most 64 KiB at a time, into memory of the proto's).
 * Only one such frame at a time: the caller holds the turn to send. UTF-8 is checked before anything is
 * queued. Payloads up to PROTO_COPY_MAX are copied, and then nothing is borrowed. Errors as thrum_proto_send.
 */
enum { PROTO_COPY_MAX = 1024 };
thrum_status proto_send_borrow(thrum_proto *p, thrum_kind k, const thrum_slice *v, size_t n, bool last,
                               thrum_switch compress);
enum proto_borrow {
    PROTO_BORROW_NONE,  /* nothing borrowed: all was taken or copied, or the connection failed */
    PROTO_BORROW_FRESH, /* not a byte of its frame has been shown as written */
    PROTO_BORROW_BEGUN
};
/* Also right for a copied small frame: FRESH until its first byte is written, NONE when all of it is written.
 */
enum proto_borrow proto_borrowed(const thrum_proto *p);
/* NONE because it was dropped: the peer's Close came before it had begun, or the connection failed. */
bool proto_lost(const thrum_proto *p);
/* The caller leaves: a FRESH frame is taken back (returns FRESH; the message, if it was its first fragment,
 * never was); of a BEGUN one the rest is copied and will be written (returns BEGUN; with no memory for it the
 * connection fails with E_MEMORY). Afterwards the caller's memory is not touched again. */
enum proto_borrow proto_settle(thrum_proto *p);

/* A frame encoded once for many connections (server role: unmasked). */
enum { SHARED_BITS = 8 };
struct shared {
    _Atomic(size_t) refs;
    /* The same compressed, for windows of 8 to 15 bits, made when one is needed; itself: that is no smaller
     */
    _Atomic(struct shared *) deflated[SHARED_BITS];
    thrum_kind kind;
    size_t payload; /* bytes of payload */
    size_t n;
    uint8_t p[]; /* header and payload */
};
struct shared *shared_new(thrum_kind k, thrum_slice payload); /* NULL: no memory; refs 1 */
void shared_drop(struct shared *s);
/* Queues it by reference. E_FULL when proto_pending() is at send_high, E_STATE in mid-message or for a
 * client. */
thrum_status proto_send_shared(thrum_proto *p, struct shared *s);

/* ---- the end ---------------------------------------------------------------------------------------------
 */
/* For the end of the program: what has not begun to be written is dropped, and Close goes behind what has.
 * Nothing is queued when a Close was sent already or the handshake is not done. */
void proto_goodbye(thrum_proto *p, uint16_t code);
/* Ends the connection here and now with this error; queues nothing, drops what is queued. First failure wins.
 */
void proto_cut(thrum_proto *p, thrum_status s, int os_errno, const char *text, thrum_time now);

/* The same, where the stream knows why. */
void proto_cut_because(thrum_proto *p, const thrum_error *why, thrum_time now);

/* Nothing can be written any more. With the peer's Close here that is an end like others: it does not wait
 * for ours. */
void proto_out_end(thrum_proto *p, int os_errno, thrum_time now);

/* ---- ask -------------------------------------------------------------------------------------------------
 */
const struct settings *proto_settings(const thrum_proto *p);
size_t proto_pending(const thrum_proto *p);     /* bytes queued for the wire, borrowed ones included */
bool proto_in_parts(const thrum_proto *p);      /* a message is being taken with thrum_proto_event_part */
bool proto_sending_parts(const thrum_proto *p); /* a fragmented message of ours is not finished */
/* Something to take: an event for thrum_proto_event; with parts, also bytes of an unfinished message. */
bool proto_has_event(const thrum_proto *p, bool parts);
bool proto_paused(const thrum_proto *p); /* at or over the water mark */
/* A call waits for a message: then the bytes of an unfinished one do not make the reading pause. */
void proto_set_taker(thrum_proto *p, bool taker);
void proto_stats(const thrum_proto *p, thrum_stats *out); /* all fields */
thrum_status proto_status(const thrum_proto *p);          /* of thrum_proto_error, without the rest */
int64_t proto_latency(const thrum_proto *p);              /* nanoseconds; -1 */

#endif
