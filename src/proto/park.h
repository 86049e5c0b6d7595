/* park.h: an open connection at rest is little: no frame half read or half written, no event, no ping
 * unanswered. What is left of its proto then fits into a struct of a few words, and the proto's own memory is
 * given back until something happens that needs one. */
#ifndef PROTO_PARK_H
#define PROTO_PARK_H

#include "proto/proto.h"

struct deflate;
struct parked {
    struct deflate *deflate; /* NULL: permessage-deflate was not agreed on */
    int64_t latency;         /* as proto_latency */
    thrum_time heard;        /* when something came */
    uint64_t messages_in, messages_out, bytes_in, bytes_out, wire_in, wire_out;
    uint32_t pings_in, pings_out, pongs_in, pongs_out;
};

bool proto_rests(const thrum_proto *p); /* open, and nothing else */
/* Of one that rests: fills *to and frees p. Subprotocol, extensions, target, header fields and peer go with
 * it: the caller has copied what it wants to keep. */
void proto_park(thrum_proto *p, struct parked *to);
/* The other way; *from is emptied on success. NULL: no memory, and *from is as it was. */
thrum_proto *proto_unpark(struct parked *from, bool server, const struct settings *s, const thrum_host *h,
                          thrum_time now);
void parked_free(struct parked *p);
void parked_sent(struct parked *p, size_t payload, thrum_time now); /* a message, by the caller itself */
void parked_stats(const struct parked *p, thrum_stats *out);        /* all fields but size */
/* When keepalive (or compress_idle) wants to be told of the time, as thrum_proto_deadline would say. */
thrum_time parked_deadline(const struct parked *p, const struct settings *s);

/* ---- around a proto that is in use
 * ------------------------------------------------------------------------- */
/* How many of the next bytes of an open connection can be fed before there may be something to take, or to
 * park: up to the end of the frame that is being read. At least 1. */
size_t proto_next(const thrum_proto *p);
/* Bytes of the wire that go before all that is queued: the rest of what the caller has begun to write by
 * itself. */
thrum_status proto_put_first(thrum_proto *p, const uint8_t *d, size_t n);
/* The same of several slices, of which the first `done` bytes have been written. */
thrum_status proto_put_rest(thrum_proto *p, const thrum_slice *v, size_t n, size_t done);
/* What shared frame a connection with this deflate (or NULL) is sent, see shared_new. */
struct shared *shared_form(const struct settings *set, const struct deflate *d, struct shared *s);
/* ... and that it was sent to it. */
void shared_told(struct deflate *d, const struct shared *s, const struct shared *form);
/* Queues a form of which `done` bytes have been written; where done is not 0 it is put first. */
thrum_status proto_send_form(thrum_proto *p, struct shared *s, struct shared *form, size_t done);
/* Drops the oldest messages of which nothing has been written until no more than `most` bytes wait; how many.
 * Not to be used where what is sent refers to what was (server_no_context_takeover). */
size_t proto_drop_oldest(thrum_proto *p, size_t most);
/* Too much waits for a peer that does not read: the end, with 1013. */
void proto_overflow(thrum_proto *p, thrum_time now);
/* As proto_send_borrow, but all is copied. */
thrum_status proto_send_copy(thrum_proto *p, thrum_kind k, const thrum_slice *v, size_t n, bool last,
                             thrum_switch compress);
void proto_wrote(thrum_proto *p, size_t n); /* bytes that never were in its outbox: counts them */
/* May a large frame's payload, of which nothing has come, be put into memory that the caller has at hand? How
 * large it should be; 0: there is none. Then it may be given, from mem_alloc, and is the proto's. */
size_t proto_wants_memory(const thrum_proto *p, size_t least);
void proto_give_memory(thrum_proto *p, uint8_t *memory, size_t n);
/* What comes is not read by the user's wish: keepalive does not judge the peer meanwhile. */
void proto_set_unread(thrum_proto *p, bool unread);
const struct deflate *proto_deflate(const thrum_proto *p);
uint64_t proto_wire_in(const thrum_proto *p);

#endif
