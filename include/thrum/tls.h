/* thrum/tls.h: TLS for wss://, by OpenSSL 3. Marks as in thrum.h.
 *
 * A client needs none of this: wss:// then means the system's trust store, the host's name or address
 * checked, and TLS 1.2 or newer. A server needs a certificate: .tls = THRUM_TLS(.cert_file = "chain.pem",
 * .key_file = "key.pem"). What several connections or servers share, or what is to be reloaded, is made once
 * by thrum_tls_new and given as .tls_shared. */
#ifndef THRUM_TLS_H
#define THRUM_TLS_H

#include <thrum/thrum.h>

THRUM_BEGIN

typedef struct thrum_tls thrum_tls; /* settings made ready for use, shared by reference */

typedef struct thrum_tls_options {
    size_t size;
    /* Who is trusted: any of these replaces the system's trust store. PEM. */
    const char *ca_file, *ca_dir;
    const void *ca;
    size_t ca_len;
    /* Who we are: certificate chain (ours first) and private key, by file or in memory. PEM. */
    const char *cert_file, *key_file; /* key_file NULL: it is in cert_file too */
    const void *cert;
    size_t cert_len;
    const void *key;
    size_t key_len;
    const char *key_password; /* NULL: a key that asks for one is an error, nobody is asked */
    const char *server_name;  /* client: the name to send (RFC 6066) and to check instead of the URL's host */
    const char *alpn;         /* RFC 7301: NULL "http/1.1", "" none */
    const char *ciphers;      /* TLS 1.2, as OpenSSL writes them; NULL its default */
    const char *ciphersuites; /* TLS 1.3, likewise; NULL: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305 */
    const char
        *keylog_file; /* NULL: what SSLKEYLOGFILE says, "" none; with it, who can read it can read all */
    void *ssl_ctx;    /* SSL_CTX * of the caller's, used as it is (a reference is taken): of the fields here
                       * only server_name, insecure, peer_certificate and on_server_name count then */
    /* Server, NULL: none: asked for each client that names a host (RFC 6066): what to use for it; NULL: these
     * settings. It runs in the handshake's thread and calls nothing on a connection. What it returns must
     * live as long as the settings that it is part of. */
    const thrum_tls *(*on_server_name)(const char *name, void *arg);
    void *arg;
    thrum_switch peer_certificate; /* server: ON: the client must show a certificate that we trust; DEFAULT
                                    * and OFF: it is not asked */
    thrum_switch insecure; /* client: ON: NOTHING is checked, anybody can answer for anybody: for tests only;
                            * a warning is logged for each connection */
    thrum_switch resume;   /* client: OFF: no session is kept for the next connection to the same host */
    uint32_t least;        /* 0 and 12: TLS 1.2 or newer; 13: only 1.3 */
} thrum_tls_options;
#define THRUM_TLS(...) (&(const thrum_tls_options){.size = sizeof(thrum_tls_options), __VA_ARGS__})
/* [any] For C++ and FFI: zeroes *o and sets size. */
THRUM_API void thrum_tls_options_init(thrum_tls_options *o, size_t size);

/* [any] Reads the files and makes the settings ready; o NULL: a client's defaults. *out is the caller's until
 * thrum_tls_free; connections and servers that use it keep it alive by themselves. E_ARGUMENT, E_TOO_NEW,
 * E_MEMORY, E_CERTIFICATE (a file cannot be read, key and certificate do not belong together: err says
 * which), E_TLS. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_tls_new(thrum_tls **out, const thrum_tls_options *o,
                                                      thrum_error *err);
/* [any] Reads anew: handshakes that begin from now on use it; connections that are open are not touched. On
 * failure, errors as thrum_tls_new's, all stays as it was. */
THRUM_API THRUM_MUST_CHECK thrum_status thrum_tls_reload(thrum_tls *t, const thrum_tls_options *o,
                                                         thrum_error *err);
/* [any] Lets go of the caller's handle; NULL is fine. */
THRUM_API void thrum_tls_free(thrum_tls *t);

/* What a connection agreed on. */
typedef struct thrum_tls_info {
    size_t size;
    char version[16];  /* "TLSv1.3"; "" where the connection is without TLS */
    char cipher[64];   /* "TLS_AES_256_GCM_SHA384" */
    char alpn[16];     /* "" none */
    char subject[256]; /* of the peer's certificate, RFC 2253; "" none */
    char issuer[256];
    uint8_t resumed;  /* 1: without a full handshake */
    uint8_t verified; /* 1: the peer's certificate was checked and is good */
    uint8_t reserved[6];
} thrum_tls_info;
/* [any] Fills *out (its size set by the caller). E_ARGUMENT for an unknown size, E_CLOSED once the stream is
 * closed. */
THRUM_API thrum_status thrum_conn_tls(const thrum_conn *c, thrum_tls_info *out);

THRUM_END

#endif
