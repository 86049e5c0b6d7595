/* tls.h: TLS as a stream on any other, by OpenSSL.
 *
 * OpenSSL never sees a socket: its BIO is the stream below, which never waits. So one session serves several
 * threads, as whoever calls holds the connection's lock, for computing only. At the end of the program a gate
 * is shut before OpenSSL's own exit handler runs, and no thread gets into OpenSSL after it (contract E12). */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "net/stream.h"
#include <stdint.h>
#include <thrum/slice.h>
#include <thrum/tls.h>

/* ---- tls_ctx.c: settings --------------------------------------------------------------------------------
 */
/* One more reference of the settings that `o` and `shared` (both may be NULL) stand for: `shared`; or new
 * ones of o; or, with neither, the process's default for clients. E_ARGUMENT where both are given. */
thrum_status tls_settings(struct thrum_tls **out, const thrum_tls_options *o, thrum_tls *shared,
                          thrum_error *err);
bool tls_has_certificate(struct thrum_tls *t); /* to serve with */
struct thrum_tls *tls_ref(struct thrum_tls *t);

/* ---- tls.c: streams -------------------------------------------------------------------------------------
 */
/* A client's over `below`, which is the new stream's from the call on, also on failure; takes no reference of
 * the caller's. host: the name or address to check and to send. anonymous: no certificate of ours is shown.
 * E_MEMORY, E_TLS, E_ARGUMENT (a name that cannot be one). */
thrum_status stream_tls_client(struct stream **out, struct stream *below, struct thrum_tls *t,
                               thrum_slice host, uint16_t port, bool anonymous, thrum_error *err);
thrum_status stream_tls_server(struct stream **out, struct stream *below, struct thrum_tls *t,
                               thrum_error *err);
/* The topmost TLS of a stack, or *out all empty. */
void stream_tls_info(struct stream *s, thrum_tls_info *out);

/* ---- tls_gate.c: fork and the end of the program
 * -----------------------------------------------------------------
 */
/* Around fork: nobody is inside OpenSSL or in the midst of changing settings, so that none of its locks is
 * held in the child; bounded, as a thread may fork in a callback of OpenSSL's. */
void tls_fork_lock(void);
void tls_fork_unlock(void); /* parent */
void tls_forked(void);      /* child */
/* Shuts the gate, and waits until `deadline` for threads that are inside; two seconds longer while they may
 * be kept from a CPU by others. */
void tls_gate_shut(int64_t deadline);

#endif
