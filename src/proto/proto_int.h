/* proto_int.h: the core's one object, and what its files ask of each other. */
#ifndef PROTO_PROTO_INT_H
#define PROTO_PROTO_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "proto/deflate.h"
#include "proto/proto.h"
#include "wire/chunked.h"
#include "wire/frame.h"
#include "wire/http1.h"
#include "wire/utf8.h"

enum { PING_LIMIT = 64, EVENT_LIMIT = 16, STAGE_MAX = 64 * 1024, BODY_MAX = 65536, BEHIND_MAX = 65536 };
enum { ANSWERS_MAX = 16 };  /* pongs that wait to be written */
enum { OFFERED_MAX = 128 }; /* subprotocols that one client may offer */

/* What the next byte of the wire belongs to. */
enum expect { EXPECT_HEAD, EXPECT_DECISION, EXPECT_BODY, EXPECT_FRAME, EXPECT_PAYLOAD, EXPECT_NOTHING };

struct item { /* of the outbox: one frame, or an HTTP message */
    struct list link;
    bool passes, pong, data; /* may go before fresh data; is a pong; is data */
    bool deflated;           /* is of a compressed message */
    bool whole;              /* is all of a message */
    bool answer;             /* a pong to a ping of the peer's: one of many later ones may replace it */
    struct shared *shared;
    thrum_slice *v; /* borrowed payload; NULL else */
    size_t nv;
    uint8_t key[4];
    bool masked;
    size_t head; /* bytes in own[]: all of an owned item, the header of a borrowed one */
    size_t n, done, payload;
    uint8_t own[];
};

struct event_node {
    struct list link;
    struct list inform; /* of pings and pongs, among their like */
    thrum_event e;
};

/* The peer broke a rule behind messages that the user has not answered yet: what will be said when it has. */
struct verdict {
    uint16_t code;
    thrum_status status;
    thrum_time by; /* whatever the user does */
    char why[200];
};

struct ping {
    uint64_t seq;
    thrum_time at;
    uint8_t n, p[FRAME_CONTROL_MAX];
};

struct thrum_request {
    char *text;                            /* of all: NUL-terminated pieces */
    char *method, *target, *peer, *reason; /* reason: of a response */
    size_t n;
    char **names, **values;
    const char *user, *password, *bearer; /* what Authorization shows; NULL: not that */
    size_t noffered;                      /* OFFERED_MAX + 1: there were more, and the handshake is refused */
    char **offered;                       /* subprotocols, NULL at the end */
};

struct thrum_proto {
    const struct settings *set;
    struct settings *own_set; /* of the public constructors */
    thrum_host host;
    char *peer;
    bool server, defer;
    thrum_state state;
    enum expect expect;
    thrum_time now;
    /* the opening handshake */
    struct http1_scan scan;
    struct buf head;               /* of the peer, as it came; a client's answer body behind it */
    struct buf behind;             /* what came behind a request that is being decided */
    struct http1_head *parsed;     /* slices into head; until the handshake is done */
    struct thrum_request *request; /* the peer's head, parsed: a server's request, a client's response */
    char *key, *subprotocol, *target;
    int skipped; /* 1xx answers */
    uint64_t body_left;
    bool body_known, http_answered;
    struct chunked *chunked; /* of the body that is being read; NULL: no such coding */
    thrum_time open_by;
    /* frames in */
    uint8_t fh[FRAME_HEAD_MAX];
    size_t fh_n;
    struct frame_head frame;
    uint64_t frame_at; /* bytes of its payload that have come */
    uint8_t control[FRAME_CONTROL_MAX];
    struct buf msg; /* the message that is being received; one byte of room behind len for a NUL */
    uint64_t msg_total, msg_frames;
    thrum_kind msg_kind;
    bool in_msg, parted, taker;
    bool inflating;          /* the message is a compressed one; msg_total counts what came out of it */
    struct deflate *deflate; /* NULL: permessage-deflate was not agreed on */
    char *extensions;        /* what was agreed on, as the server wrote it; NULL nothing */
    bool answering;          /* a message was taken, and its taker has not come back */
    struct utf8 utf8;
    /* events out */
    struct list events, informs; /* informs: the pings and pongs of events, the oldest first */
    size_t queued, queued_bytes, ninforms;
    bool paused, unread;
    /* frames out */
    struct list out;
    size_t pending;
    uint8_t *stage;
    size_t stage_at, stage_n; /* which bytes of the borrowed payload are masked in it */
    bool lost;                /* the frame proto_borrowed spoke of was dropped, not written */
    struct item *borrowed;    /* the frame proto_borrowed speaks of */
    bool sending;             /* a message of ours is in parts */
    thrum_kind sending_kind;
    struct utf8 sending_utf8, utf8_before; /* behind, and before, the last frame */
    /* control */
    struct ping *pings; /* of ours, not answered, the oldest first */
    size_t npings, pings_cap;
    uint64_t ping_seq, ponged;
    int64_t latency;
    thrum_time heard, ping_by; /* ping_by: when silence after our ping ends it; 0 no ping out */
    /* the end */
    struct verdict *held; /* NULL, or a failure that is put off; nothing is read any more */
    bool close_sent, close_recv, by_peer, in_ended, failed;
    thrum_time end_by; /* INT64_MAX: none */
    uint16_t sent_code, recv_code;
    char sent_reason[124], recv_reason[124];
    thrum_error error;
    thrum_stats stats;
};

/* proto.c */
thrum_proto *proto_make(const struct settings *s, const thrum_host *h, bool server, thrum_time now);
void proto_set_state(thrum_proto *p, thrum_state s, const char *why);
/* The one way to fail: keeps the first error, sends Close with the code where that is possible, ends reading.
 * A rule that the peer broke behind messages still to be answered ends reading only; the rest is put off
 * until the user asks for more than there is, and what he has sent has left (events_come_back), or a second
 * has gone by. */
void proto_fail(thrum_proto *p, uint16_t code, thrum_status s, const char *fmt, ...) THRUM_PRINTF(4, 5);
void proto_unhold(thrum_proto *p);
void proto_end(thrum_proto *p); /* the stream can be closed */
/* What the peer's end of stream, or an errno, means for the connection. */
void proto_in_over(thrum_proto *p, int os_errno);
/* credentials.c */
size_t credentials_size(const struct http1_head *h); /* bytes that credentials_read writes at most */
void credentials_read(struct thrum_request *r, char *at);
bool credentials_suffice(const struct thrum_request *r, const struct settings *s);
thrum_status credentials_ask(struct thrum_reply *a, const struct settings *s); /* 401's fields */
/* forwarded.c: p->peer becomes who X-Forwarded-For says, where that is believed. */
void forwarded_peer(thrum_proto *p);

/* open_client.c, open_server.c, answer.c */
thrum_status client_begin(thrum_proto *p, const char *url, const struct client_more *more, thrum_error *err);
void client_head_done(thrum_proto *p);
void client_body(thrum_proto *p, const uint8_t *d, size_t n);
void client_refused(thrum_proto *p);
void server_head_done(thrum_proto *p);
void answer_http(thrum_proto *p, int status, struct thrum_reply *r, const char *extra, const char *text);
void open_done(thrum_proto *p);
thrum_request *request_new(const thrum_proto *p, const struct http1_head *h);
void request_free(thrum_request *r);
const char *request_field(const thrum_request *r, const char *name, size_t n);
/* negotiate.c */
const char *negotiate_origin(const thrum_proto *p); /* NULL: allowed; else why not */
const char *negotiate_host(const thrum_proto *p);
const char *negotiate_chosen(thrum_proto *p, const char **chosen);
int negotiate_subprotocol(const thrum_request *r, const struct settings *s);
/* extension.c */
thrum_status extension_offer(const struct settings *s, struct buf *to); /* a client's field value */
bool extension_offers_parse(const thrum_proto *p);                      /* a server: the grammar holds */
thrum_status extension_accept(thrum_proto *p);  /* a server: takes the first offer it can; E_MEMORY */
const char *extension_answered(thrum_proto *p); /* a client: what is wrong with the answer, or NULL */
/* assemble.c */
void assemble_feed(thrum_proto *p, uint8_t *d, size_t n);
void assemble_payload(thrum_proto *p, uint8_t *d, size_t n, bool in_place);
void assemble_release(thrum_proto *p);
/* control.c */
void control_frame(thrum_proto *p);
thrum_status control_send_close(thrum_proto *p, uint16_t code, thrum_slice reason);
void control_heard(thrum_proto *p);
void control_tick(thrum_proto *p);
thrum_time control_deadline(const thrum_proto *p);
void control_check_end(thrum_proto *p);
/* outbox.c */
thrum_status outbox_bytes(thrum_proto *p, const void *d, size_t n);
thrum_status outbox_control(thrum_proto *p, uint8_t opcode, thrum_slice s);
thrum_status outbox_answer(thrum_proto *p, thrum_slice s); /* the Pong to a Ping of the peer's */
bool outbox_has_fresh(const thrum_proto *p);               /* data that has not begun to be written */
void outbox_drop_fresh(thrum_proto *p, bool control_too);
void outbox_drop_all(thrum_proto *p);
void outbox_free(thrum_proto *p);
/* events.c */
bool event_push(thrum_proto *p, thrum_event_kind what, uint16_t code, thrum_message m);
bool event_push_copy(thrum_proto *p, thrum_event_kind what, uint16_t code, const uint8_t *d, size_t n);
void events_free(thrum_proto *p);
/* A failure that was put off is put off no longer, where nothing is to be answered any more. */
void events_come_back(thrum_proto *p);
void events_review(thrum_proto *p); /* the water mark may have been crossed */

#endif
