/* connect.h: opening a connection, as thrum_connect and the reconnecting client share it. */
#ifndef BLOCK_CONNECT_H
#define BLOCK_CONNECT_H

#include "conn/conn.h"
#include <thrum/response.h>

/* How another thread ends a connect that is in progress: in a look-up, a TCP connect, a handshake of TLS, of
 * a proxy or of WebSocket, or between two redirects. */
struct connect_token {
    struct lock lock;
    _Atomic bool cancelled;  /* for good */
    struct thrum_conn *conn; /* the one whose handshake is in progress */
    int bell;                /* eventfd, readable once cancelled */
};
/* 0 or an errno (no descriptor). */
int connect_token_init(struct connect_token *t);
void connect_token_free(struct connect_token *t);
/* [any thread] The connect that uses t, now or later, ends with E_CANCELLED within milliseconds. */
void connect_token_cancel(struct connect_token *t);

/* Opens a connection to url, redirects followed as the settings allow. Uses, but does not take, the caller's
 * reference of ss. token and answer may be NULL. Where the peer answers with HTTP, *answer is its answer
 * (E_REFUSED). May wait until the settings' open_timeout; a cancellation point where the thread's record says
 * long_call. */
thrum_status connect_shared(thrum_conn **out, const char *url, struct shared_settings *ss,
                            struct connect_token *token, thrum_response **answer, thrum_error *err);
/* The same over a connected stream socket of the caller's, which is the library's from the call on. */
thrum_status connect_stream(thrum_conn **out, int fd, const char *url, struct shared_settings *ss,
                            thrum_response **answer, thrum_error *err);
/* Runs fn(arg) as thrum_connect runs: cancellation deferred, and let in only in the waits. */
thrum_status connect_long_call(thrum_status (*fn)(void *arg), void *arg);

#endif
