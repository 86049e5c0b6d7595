/* server.h: what the files of the server share. Lock order: server, then connection. */
#ifndef BLOCK_SERVER_H
#define BLOCK_SERVER_H

#include "block/block.h"
#include "net/listen.h"

struct thrum_server {
    struct lock lock;
    uint32_t generation; /* of fork, at birth */
    size_t refs; /* the user's handle, the accepting thread, each session, each call that waits; under lock */
    bool draining;
    struct list sessions;
    size_t count; /* of sessions */
    struct listener listener;
    struct shared_settings *settings;
    int wake; /* eventfd: the accepting thread is to look at `draining` */
    int done; /* eventfd, never emptied: drained and the last session gone, or freed */
};

/* One accepted connection, from accept to the end of its handler; its thread owns it. */
struct session {
    struct list link; /* in server->sessions, under the server's lock, as what follows */
    struct thrum_server *server;
    struct thrum_conn *conn; /* NULL until it is made; a handle */
    bool open;
    struct stream *stream; /* until conn is made */
};

/* E_FORKED in a child, E_ARGUMENT for NULL, else OK. */
thrum_status server_mine(const struct thrum_server *s);
void server_ref(struct thrum_server *s);
void server_unref(struct thrum_server *s);
/* Takes the stream: a thread of its own serves it, or it is answered 503 at once. */
void session_start(struct thrum_server *s, struct stream *stream);
/* The sessions' connections, each with a handle of its own to be freed; only open ones, or all. NULL with *n
 * 0: there is none; NULL with *n not 0: no memory. */
struct thrum_conn **server_snapshot(struct thrum_server *s, bool open_only, size_t *n);
void snapshot_free(struct thrum_conn **v, size_t n);

#endif
