/* tls_int.h: what the files of TLS share. */
#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

#include "base/list.h"
#include "net/tls.h"
#include <openssl/ssl.h>
#include <stdbool.h>

/* What holds something of OpenSSL's when the gate is shut is not freed any more: it hangs in a list, where a
 * leak checker finds it. */
struct tls_left {
    struct tls_left *next;
};

struct thrum_tls { /* under the one lock of tls_ctx.c, but for what never changes */
    size_t refs;
    SSL_CTX *ctx; /* changes with a reload */
    struct tls_config {
        char *server_name;
        const thrum_tls *(*on_server_name)(const char *name, void *arg);
        void *arg;
        bool insecure, asks_certificate, has_certificate, resume, own_ctx;
    } config;             /* changes with a reload */
    struct list sessions; /* to be resumed, the last used first */
    size_t nsessions;
    struct tls_left left;
};

/* ---- tls_gate.c ---- */
/* OpenSSL is set up, and our exit handler runs before its, if it has one. */
void tls_start(void);
/* Every use of OpenSSL stands between these. False: the program is ending, stay out. */
bool tls_enter(void);
void tls_leave(void);
void tls_abandon(struct tls_left *l);

/* ---- tls_ctx.c ---- */
/* A new session of t's present settings, with *config as of now (server_name: a copy of the caller's to
 * free). NULL: no memory. */
SSL *tls_session_new(struct thrum_tls *t, struct tls_config *config);

/* ---- tls_resume.c: sessions of servers, by host and port; with the lock of tls_ctx.c ---- */
void tls_lock(void);
void tls_unlock(void);
bool tls_resume_keep(struct thrum_tls *t, const char *server, SSL_SESSION *s); /* true: it has taken s */
SSL_SESSION *tls_resume_take(struct thrum_tls *t, const char *server);         /* NULL none; the caller's */
void tls_resume_forget(struct thrum_tls *t);

/* ---- tls.c ---- */
struct thrum_tls *tls_settings_of(const SSL *ssl);
const char *
tls_server_of(const SSL *ssl); /* "host:port"; a client's; NULL: it is not to be told from others */

/* ---- tls_error.c ---- */
/* Why OpenSSL failed, in words, from its error queue (which is emptied) and the session's state. `what`: "the
 * TLS handshake with example.org". ended: the stream below ended; os_errno: or broke. */
thrum_status tls_explain(thrum_error *err, const SSL *ssl, const char *what, bool ended, int os_errno);
/* Of settings that could not be made: the same, with "what". */
thrum_status tls_explain_setting(thrum_error *err, thrum_status s, const char *what, const char *name);

#endif
