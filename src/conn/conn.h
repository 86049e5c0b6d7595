/* conn.h: one proto on one stream, its life, and the process's list of all connections.
 *
 * conn_* functions that say [held] want the connection's lock; none of them waits. A front (block/) embeds
 * struct thrum_conn as the first member of its own and adds how threads wait. */
#ifndef CONN_CONN_H
#define CONN_CONN_H

#include "base/list.h"
#include "base/lock.h"
#include "conn/front.h"
#include "net/stream.h"
#include "net/tls.h"
#include "proto/proto.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <thrum/stats.h>
#include <thrum/thrum.h>

/* Settings shared by the connections of a server, or of one client. */
struct shared_settings {
    _Atomic(size_t) refs;
    struct settings s;
    struct thrum_tls *tls, *proxy_tls; /* NULL: not made yet, or none */
};
struct shared_settings *settings_share(void); /* zeroed, refs 1; NULL: no memory */
void settings_unshare(struct shared_settings *s);

struct thrum_conn {
    const struct origin *origin; /* first: see front.h */
    struct lock lock;
    struct list link;    /* in the registry, under its lock */
    uint32_t generation; /* of fork, at birth */
    uint32_t handles;    /* the user's; under lock, as all that follows */
    uint32_t inside;     /* calls in progress */
    bool held;           /* by a helper of the front (the warden): memory stays */
    bool torn;           /* in a child of fork: its lock was held by a thread that is no more */
    bool listed;         /* in the registry */
    thrum_id id;
    struct stream *stream; /* NULL: closed */
    thrum_proto *proto;
    struct shared_settings *settings;
    bool shut_out;   /* our end of stream is sent */
    bool peer_later; /* the stream's first bytes tell who the peer is */
    bool in_ended;   /* the peer's has come, or reading has failed */
    void *_Atomic user;
    char peer[128];
    void (*destroy)(struct thrum_conn *c); /* the front's: calls conn_done and frees the whole object */
};

thrum_id conn_next_id(void); /* never the same twice */
/* Takes stream and one reference of settings, also on failure. The proto is made by conn_open_client or
 * _server. */
thrum_status conn_init(struct thrum_conn *c, struct stream *stream, struct shared_settings *settings,
                       void (*destroy)(struct thrum_conn *), thrum_error *err);
/* Makes the proto; `url` of a client; a server's callbacks are deferred (proto_asks). */
thrum_status conn_client(struct thrum_conn *c, const char *url, const struct client_more *more, int64_t now,
                         thrum_error *err);
thrum_status conn_server(struct thrum_conn *c, int64_t now, thrum_error *err);
/* Puts it into the registry: from here on exit says goodbye for it, and fork marks it. */
void conn_list(struct thrum_conn *c);
/* Takes it out, closes and frees all parts of it; not c itself. */
void conn_done(struct thrum_conn *c);
/* [held] Nobody can reach it any more: the caller unlocks and calls c->destroy(c). */
bool conn_is_over(const struct thrum_conn *c);
/* Gives E_FORKED for a connection of the parent process, else OK. No lock is needed. */
thrum_status conn_mine(const struct thrum_conn *c);

/* ---- pump.c [held] --------------------------------------------------------------------------------------
 */
/* Reads once, into `scratch` or straight into a message, and feeds. True: bytes, end or error came; false:
 * nothing was there. */
bool conn_read(struct thrum_conn *c, uint8_t *scratch, size_t n, int64_t now);
/* Writes what the kernel takes, then shuts down what the proto wants shut. */
void conn_write(struct thrum_conn *c, int64_t now);
/* Runs the proto's timers that are due. */
void conn_tick(struct thrum_conn *c, int64_t now);
/* POLLIN and POLLOUT as far as the proto wants them now; 0 once ended. */
short conn_wants(const struct thrum_conn *c);
bool conn_ended(const struct thrum_conn *c);
/* Bytes that have come wait in the stream (TLS has decrypted them): read without a poll. */
bool conn_buffered(const struct thrum_conn *c);
/* Bytes that the proto has written wait in the stream: the kernel has not taken them. */
bool conn_unsent(const struct thrum_conn *c);
/* Goodbye as E3 says: whole frames only, what the kernel takes at once. */
void conn_goodbye(struct thrum_conn *c, uint16_t code, int64_t now);
/* Ends it here: fails the proto if it is alive, and shuts the socket down, so that every poll on it ends. */
void conn_cut(struct thrum_conn *c, thrum_status s, const char *text, int64_t now);
/* The status that a call gets from a connection that has ended. */
thrum_status conn_end_status(const struct thrum_conn *c);

/* ---- ask.c: a front's part of struct front, of connections like these
 * ---------------------------------------
 */
void ask_error(const thrum_conn *c, thrum_error *err);
thrum_status ask_closing(const thrum_conn *c, thrum_closing *out);
thrum_status ask_tls(const thrum_conn *c, thrum_tls_info *out);
thrum_status ask_stats(const thrum_conn *c, thrum_stats *all);
thrum_state ask_state(const thrum_conn *c);
thrum_id ask_id(const thrum_conn *c);
const char *ask_subprotocol(const thrum_conn *c);
const char *ask_extensions(const thrum_conn *c);
const char *ask_target(const thrum_conn *c);
const char *ask_header(const thrum_conn *c, const char *name, size_t n);
const char *ask_peer(const thrum_conn *c);
int64_t ask_latency(const thrum_conn *c);
void ask_set_user(thrum_conn *c, void *user);
void *ask_user(const thrum_conn *c);
#define CONN_ASKS                                                                                            \
    .error = ask_error, .closing = ask_closing, .tls = ask_tls, .stats = ask_stats, .state = ask_state,      \
    .id = ask_id, .subprotocol = ask_subprotocol, .extensions = ask_extensions, .target = ask_target,        \
    .header = ask_header, .peer = ask_peer, .latency = ask_latency, .set_user = ask_set_user,                \
    .user = ask_user

/* ---- registry.c -----------------------------------------------------------------------------------------
 */
/* Sets exit and fork handlers up, once, and takes note of a front (at most FRONTS_MAX, each once). 0 or an
 * errno. Any thread. */
enum { FRONTS_MAX = 4 };
struct registry_front {
    void (*before_fork)(void),
        (*after_fork)(void); /* NULL, or in the parent: holds still what a child gets */
    void (*forked)(void);    /* NULL, or runs in a child of fork */
    /* NULL, or at the end of the program: says goodbye to what is not in the registry. Waits for who is
     * inside until `tries` at most, and writes until `writes`. */
    void (*goodbye)(int64_t tries, int64_t writes);
    /* NULL, or after that, again and again: reads what has come; true while a peer's answer is still to come.
     */
    bool (*lingers)(void);
};
int registry_start(const struct registry_front *f);
bool registry_is_to_linger(void); /* at the end of the program, for the peers' answers */
/* ... and that is now: what has come may be the peer's Close, and is not to be thrown away. */
bool registry_lingers(void);
void registry_add(struct thrum_conn *c);
void registry_remove(struct thrum_conn *c);
int registry_count(void); /* of connections that are listed */
/* fn for each connection, with its lock; not from under a connection's lock. */
void registry_each(void (*fn)(struct thrum_conn *c));
thrum_status registry_set_exit(thrum_exit_policy p, int64_t linger);

#endif
