/* thrum/loop.h: the event front: many connections on one thread, by callbacks.
 *
 * Marks as in thrum.h, and one more, [loop]: only on the thread that drives the loop, inside a callback or
 * between two calls of thrum_loop_run or thrum_loop_step, and before the first of these on the thread that
 * made the loop; elsewhere E_THREAD.
 *
 * A connection of a loop belongs to the loop: it is given to callbacks, used with the calls of thrum.h, and
 * gone when on_close returns. Of these calls thrum_send, thrum_sendv, thrum_send_with, thrum_send_part,
 * thrum_ping (t is 0, else E_ARGUMENT), thrum_pong, thrum_close, thrum_conn_free (goodbye and cut) and all
 * that ask are [loop] and never wait; thrum_recv and thrum_recv_part answer E_STATE, as messages come to
 * on_message. What is sent is given to the system before the turn ends. What other threads have to say to a
 * connection they say by thrum_post or thrum_publish.
 *
 * The exit contract holds for loops as for all else.
 */
#ifndef THRUM_LOOP_H
#define THRUM_LOOP_H

#include <thrum/server.h>
#include <thrum/thrum.h>

THRUM_BEGIN

typedef struct thrum_loop thrum_loop;
typedef struct thrum_listener thrum_listener;

/* ---- callbacks ------------------------------------------------------------------------------------------
 * Any may be NULL. They run on the loop's thread, never one inside another. They may call anything marked
 * [loop] or [any], close and free the connection they were given included: it stays valid until they return.
 */
typedef struct thrum_handlers {
    size_t size;
    /* The opening handshake is done. What it said (thrum_conn_header, thrum_conn_param) holds until the
     * return. */
    void (*on_open)(thrum_conn *c, void *arg);
    /* One whole message; m->data holds until the return and data[len] is 0; not to be released. */
    void (*on_message)(thrum_conn *c, const thrum_message *m, void *arg);
    /* Instead of on_message where it is set: what has come of a message, as it comes; m->part tells first and
     * last (THRUM_PART_*). A message of any size is so received in bounded memory (set .max_message). */
    void (*on_part)(thrum_conn *c, const thrum_message *m, void *arg);
    /* A Ping (which the library has answered), a Pong; m->data as in on_message. */
    void (*on_ping)(thrum_conn *c, const thrum_message *m, void *arg);
    void (*on_pong)(thrum_conn *c, const thrum_message *m, void *arg);
    /* What waits to be written fell to send_low after it had been at send_high. */
    void (*on_drain)(thrum_conn *c, void *arg);
    /* The end: exactly once for each connection that was opened or asked for by thrum_open, and last. *why:
     * its status is E_CLOSED after a closing handshake, with the code in close_code. */
    void (*on_close)(thrum_conn *c, const thrum_error *why, void *arg);
} thrum_handlers;
#define THRUM_HANDLERS(...) (&(const thrum_handlers){.size = sizeof(thrum_handlers), __VA_ARGS__})

/* ---- loops ----------------------------------------------------------------------------------------------
 */
/* [any] A loop that no thread drives yet. The backend is the best that the system allows: epoll, io_uring or
 * poll; the environment's THRUM_BACKEND=uring, epoll or poll names one. Errors: E_ARGUMENT, E_MEMORY,
 * E_SYSTEM. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_loop_new(thrum_loop **out, thrum_error *err);
/* [one] [waits t] Drives the loop until thrum_loop_stop, until it has nothing left to wait for (THRUM_OK
 * both), or until t is over (E_TIMEOUT); it is no cancellation point. The calling thread is the loop's from
 * here on. E_STATE: from within a callback. E_SYSTEM: the system refuses to wait. E_FORKED. */
THRUM_API thrum_status thrum_loop_run(thrum_loop *l, thrum_wait t);
/* [one] [waits t] One turn: what is ready now, after waiting for it at most t. THRUM_OK: something is left to
 * wait for; E_CLOSED: nothing is. Errors as thrum_loop_run, but never E_TIMEOUT. */
THRUM_API thrum_status thrum_loop_step(thrum_loop *l, thrum_wait t);
/* [loop] A descriptor for another event loop: readable when thrum_loop_step(l, 0) has something to do, its
 * timers included; the loop's own, to be polled only. -1: this backend (poll) has none, or the system refused
 * one. */
THRUM_API int thrum_loop_fd(thrum_loop *l);
/* [any] and from a signal handler: thrum_loop_run returns; run again goes on. NULL is fine. */
THRUM_API void thrum_loop_stop(thrum_loop *l);
/* [any] "io_uring", "epoll" or "poll"; static text. */
THRUM_API const char *thrum_loop_backend(const thrum_loop *l);
/* [loop] Says goodbye (1001) to what is open, ends its listeners, calls on_close for each connection, frees.
 * What was posted and not run is run with c NULL. NULL is fine. From within a callback: E_STATE. */
THRUM_API thrum_status thrum_loop_free(thrum_loop *l);

/* [any] fn runs on the loop's thread, once, with the connection that has the id, or with NULL where it has
 * gone (or id is 0). What one thread posts runs in that order. E_MEMORY; E_FORKED; E_CLOSED: the loop of a
 * listener's has ended. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_post(thrum_loop *l, thrum_id to,
                                                   void (*fn)(thrum_conn *c, void *arg), void *arg);
/* [loop] fn runs once on the loop, t milliseconds from now (0 or more). *timer (may be NULL) is for
 * thrum_loop_cancel, which answers false where it has run. E_ARGUMENT, E_MEMORY. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_loop_after(thrum_loop *l, thrum_wait t, void (*fn)(void *arg),
                                                         void *arg, thrum_id *timer);
THRUM_API bool thrum_loop_cancel(thrum_loop *l, thrum_id timer);

/* ---- client ---------------------------------------------------------------------------------------------
 */
/* [loop] Begins to open a connection as thrum_connect does (o->tls, o->proxy, subprotocols and so on;
 * redirects are not followed and 401 is not answered: on_close is told E_REFUSED with the status; .response
 * is left alone). The result comes to on_open, or to on_close, never before this returns. *id may be NULL.
 * Errors: E_ARGUMENT, E_TOO_NEW, E_MEMORY, E_TLS. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_open(thrum_loop *l, const char *url,
                                                   const thrum_client_options *o, const thrum_handlers *h,
                                                   void *arg, thrum_id *id, thrum_error *err);

/* ---- server ---------------------------------------------------------------------------------------------
 */
/* One way that requests go. The first whose path matches is taken; none: 404. */
typedef struct thrum_route {
    const char *path; /* "/chat/:room": ":room" is any one segment and a parameter; a last "*" is any rest.
                       * NULL ends the list */
    const thrum_handlers *handlers; /* of WebSockets that come by this path; NULL: none may, only HTTP */
    /* NULL, or asked as .on_request of the options is: 0 go on, else the HTTP status to answer with. Runs on
     * the loop. Without handlers it must give a status, else 426. */
    int (*on_request)(const thrum_request *r, thrum_reply *a, void *arg);
    void *arg; /* for all callbacks of the route */
} thrum_route;

/* [loop] Listens at url on this loop, which accepts and serves. As thrum_serve, but o->handlers or o->routes
 * say what is done (o->serve must be NULL), and nothing of it runs before the loop does. Errors as
 * thrum_serve. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_listen(thrum_listener **out, thrum_loop *l, const char *url,
                                                     const thrum_server_options *o, thrum_error *err);
/* [any] [waits open_timeout, for a host name's address only] The same on n loops of its own, each in a thread
 * of the library, sharing one port; n 0: one for each processor. Callbacks of one connection run on one
 * thread, those of different ones at the same time. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_serve_loops(thrum_listener **out, unsigned n, const char *url,
                                                          const thrum_server_options *o, thrum_error *err);
/* [any] */
THRUM_API uint16_t thrum_listener_port(const thrum_listener *s);   /* the real one when the URL said 0 */
THRUM_API const char *thrum_listener_url(const thrum_listener *s); /* that reaches it; holds as long as s */
THRUM_API size_t thrum_listener_count(const thrum_listener *s); /* connections open now, on all its loops */
/* [any] How many loops it has, and the i-th, for thrum_post; NULL over the count. */
THRUM_API size_t thrum_listener_loops(const thrum_listener *s);
THRUM_API thrum_loop *thrum_listener_loop(const thrum_listener *s, size_t i);
/* [any] Up to max descriptors of its listening sockets, copies to be closed by the caller, to be handed over
 * to another process (.fds of its options): then no connection is refused between the two, as who shakes
 * hands when this one is drained is let in first, and a Unix socket's file stays. How many there are, or a
 * negative status. */
THRUM_API int thrum_listener_fds(const thrum_listener *s, int *fds, size_t max);
/* [any] The listening sockets that systemd, or whoever does as it does, has passed to this process
 * (sd_listen_fds): as .fds wants them, -1 at the end; NULL: none. Static; asked once, the environment is left
 * as it is. */
THRUM_API const int *thrum_passed_fds(void);
/* [any] Stops accepting; who shakes hands gets 503 (but see thrum_listener_fds); open ones Close code (0:
 * 1001; 1012 for a restart); what is left after t is cut. Then on_drained (may be NULL) runs, on a loop of
 * the listener's, once; not where the listener or its loop is freed before. Returns at once. Again: only a
 * nearer deadline counts. E_ARGUMENT, E_MEMORY, E_FORKED. */
THRUM_API thrum_status thrum_listener_drain(thrum_listener *s, uint16_t code, thrum_wait t,
                                            void (*on_drained)(thrum_listener *s, void *arg), void *arg);
/* [any, not on a loop of its own: E_THREAD] [waits t] Until it is drained or freed (THRUM_OK), or E_TIMEOUT.
 */
THRUM_API thrum_status thrum_listener_wait(thrum_listener *s, thrum_wait t);
/* [one] Ends it at once: open ones get a goodbye (1001) and are cut; then lets go. Of thrum_listen: [loop].
 * Of thrum_serve_loops: waits for its threads to leave their callbacks, unless it is called on one of them.
 * NULL is fine. */
THRUM_API void thrum_listener_free(thrum_listener *s);

/* [any] during on_request, [loop] until on_open returns. The segment that a parameter of the route stands
 * for, percent-decoded; "*": the rest; NULL: the route has none of that name. */
THRUM_API const char *thrum_request_param(const thrum_request *r, const char *name);
THRUM_API const char *thrum_conn_param(const thrum_conn *c, const char *name);
/* [any] during on_request. What thrum_conn_user will give. */
THRUM_API void thrum_reply_user(thrum_reply *a, void *user);

/* ---- flow -----------------------------------------------------------------------------------------------
 */
/* What happens to a send where send_high bytes wait already. In each case the memory is bounded by send_high
 * and one message. */
typedef enum thrum_full {
    THRUM_FULL_REFUSE,      /* E_FULL, and on_drain tells when to go on; a publish passes this one over */
    THRUM_FULL_PAUSE,       /* the same, and nothing is read from this peer meanwhile */
    THRUM_FULL_DROP_OLDEST, /* the oldest messages that have not begun to be written make room */
    THRUM_FULL_CLOSE        /* the connection ends with Close 1013 */
} thrum_full;
/* [loop] Stops and resumes reading: messages wait at the peer, and keepalive does not judge it meanwhile. */
THRUM_API thrum_status thrum_pause(thrum_conn *c);
THRUM_API thrum_status thrum_resume(thrum_conn *c);
/* [loop] Bytes that wait to be written. */
THRUM_API size_t thrum_conn_pending(const thrum_conn *c);
/* [loop] The loop of a connection; NULL where it has none (it is a blocking one). */
THRUM_API thrum_loop *thrum_conn_loop(const thrum_conn *c);

/* ---- topics ---------------------------------------------------------------------------------------------
 */
/* [loop] From here on the connection, one of a listener's, gets what is published under the topic: up to 255
 * bytes of any text; with "*" at the end under every topic that begins so. Again: THRUM_OK. A message that
 * several of its subscriptions match comes once. E_STATE: not a listener's, or not open; E_MEMORY,
 * E_ARGUMENT. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_subscribe(thrum_conn *c, const char *topic);
/* [loop] E_ARGUMENT: it was not subscribed. The end of a connection unsubscribes it from all. */
THRUM_API thrum_status thrum_unsubscribe(thrum_conn *c, const char *topic);
/* [any] Sends one message to all subscribers of a topic on all loops of the listener, encoded and compressed
 * once. What one thread publishes arrives in that order. A subscriber with send_high bytes waiting is dealt
 * with as .when_full says. E_UTF8, E_ARGUMENT, E_MEMORY, E_FORKED. */
THRUM_API thrum_status thrum_publish(thrum_listener *s, const char *topic, thrum_kind k, const void *p,
                                     size_t n);
/* [loop] The same from a connection, to all others: it does not get its own message. */
THRUM_API thrum_status thrum_publish_from(thrum_conn *c, const char *topic, thrum_kind k, const void *p,
                                          size_t n);
/* [any] Subscriptions of exactly this topic now, on all loops. */
THRUM_API size_t thrum_subscribers(const thrum_listener *s, const char *topic);

THRUM_END

#endif
