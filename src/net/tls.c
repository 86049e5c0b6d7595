/* tls.c: a TLS session as a stream. Its BIO reads and writes the stream below, which never waits: OpenSSL's
 * "want read" is -EAGAIN here, and it never wants to write, as records that the stream below does not take
 * are kept and written by whoever comes next (flush).
 *
 * The handshake is made inside the first reads and writes. A record goes straight to the stream below; where
 * one call makes several, they are gathered and leave in one write. */
#include "net/tls.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/tls_int.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
    RECORD = 16 * 1024,      /* plaintext of a record at most */
    WRITE_MOST = 4 * RECORD, /* taken in one call, so that what is kept stays bounded */
    KEPT_MOST = 4 * WRITE_MOST,
    NAME_CAP = 280 /* "host:port" */
};

struct tls {
    struct stream stream;
    struct tls_left left;
    struct thrum_tls *settings;
    SSL *ssl;
    struct buf out; /* records that the stream below has not taken */
    size_t out_at;
    int broken_in, broken_out; /* the stream below: positive errnos */
    bool ended;                /* the stream below: its end of stream has come */
    bool short_in;             /* the stream below gave less than was asked for: it has no more just now */
    bool gather, last;         /* several records are being made; this is the last of them */
    bool client, anonymous, shaken, failed;
    bool more;     /* the last read ended for want of room */
    bool quiet;    /* close_notify has come: the peer says no more */
    bool shutting; /* our close_notify is in `out`; the stream below is to be shut behind it */
    thrum_status why;
    thrum_error *error;  /* of a failure; NULL: no memory for it */
    char name[NAME_CAP]; /* of a client: the server, "host:port" */
};

static struct tls *of(struct stream *s)
{
    return (struct tls *)(void *)s;
}

static const struct tls *of_const(const struct stream *s)
{
    return (const struct tls *)(const void *)s;
}

struct thrum_tls *tls_settings_of(const SSL *ssl)
{
    return ((struct tls *)SSL_get_app_data(ssl))->settings;
}

const char *tls_server_of(const SSL *ssl)
{
    const struct tls *t = SSL_get_app_data(ssl);
    return t->anonymous ? NULL : t->name;
}

/* ---- OpenSSL's side: the BIO ----------------------------------------------------------------------------
 */

/* Bytes taken by the stream below, 0 where it would wait, -1 where it is broken. */
static ssize_t put_all_below(struct tls *t, const struct iovec *v, int n)
{
    ssize_t r = t->stream.below->ops->write(t->stream.below, v, n);
    if (r == -EAGAIN)
        return 0;
    if (r < 0)
        t->broken_out = (int)-r;
    return r < 0 ? -1 : r;
}

static ssize_t put_below(struct tls *t, const void *p, size_t n)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    return put_all_below(t, &v, 1);
}

/* The records that were gathered leave with the last one, which is not copied for that. How many of its bytes
 * went. */
static size_t put_gathered(struct tls *t, const char *p, size_t n)
{
    size_t before = t->out.len - t->out_at;
    struct iovec v[2] = {{t->out.p + t->out_at, before}, {(void *)(uintptr_t)p, n}};
    ssize_t r = put_all_below(t, v, 2);
    size_t put = r > 0 ? (size_t)r : 0;
    if (put < before) {
        t->out_at += put;
        return 0;
    }
    t->out.len = t->out_at = 0;
    return put - before;
}

static int bio_write(BIO *b, const char *p, int n)
{
    struct tls *t = BIO_get_data(b);
    size_t done = 0;
    if (t->out.len == 0 && (!t->gather || t->last) && !t->broken_out) {
        ssize_t r = put_below(t, p, (size_t)n);
        done = r > 0 ? (size_t)r : 0; /* broken: the next write tells */
    } else if (t->last && !t->broken_out) {
        done = put_gathered(t, p, (size_t)n);
    }
    if (done < (size_t)n && buf_append(&t->out, p + done, (size_t)n - done) != THRUM_OK)
        return -1;
    return n;
}

/* OpenSSL asks for more than a record (read_ahead), so a short answer means that the stream below is empty:
 * asking once more would be a system call for nothing. */
static int bio_read(BIO *b, char *p, int n)
{
    struct tls *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (t->ended || t->broken_in)
        return 0;
    ssize_t r = -EAGAIN;
    if (!t->short_in) {
        struct iovec v = {p, (size_t)n};
        r = t->stream.below->ops->read(t->stream.below, &v, 1);
        t->short_in = r < n && !stream_buffered(t->stream.below);
    }
    if (r > 0)
        return (int)r;
    if (r == -EAGAIN) {
        BIO_set_retry_read(b);
        return -1;
    }
    t->ended = r == 0;
    t->broken_in = (int)-r;
    return 0;
}

static long bio_ctrl(BIO *b, int what, long n, void *p)
{
    const struct tls *t = BIO_get_data(b);
    (void)n;
    (void)p;
    switch (what) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return t->ended || t->broken_in;
    default: return 0;
    }
}

/* One for the process, made at the first use and never freed: two threads may both make one, and one stays.
 */
static BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *_Atomic method;
    BIO_METHOD *m = atomic_load(&method), *none = NULL;
    if (m)
        return m;
    m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "thrum stream");
    if (!m)
        return NULL;
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_ctrl(m, bio_ctrl);
    if (atomic_compare_exchange_strong(&method, &none, m))
        return m;
    BIO_meth_free(m);
    return none;
}

/* ---- OpenSSL's errors -----------------------------------------------------------------------------------
 */

/* What an earlier call has left would be taken for this one's. Mostly there is nothing, and to look is far
 * cheaper than to clear. */
static void clear_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* ---- failing --------------------------------------------------------------------------------------------
 */

static ssize_t fail(struct tls *t, const char *what)
{
    char text[NAME_CAP + 64];
    thrum_error e;
    if (t->failed)
        return -EPROTO;
    text_format(text, sizeof text, "%s%s%s", what, t->name[0] ? " with " : "", t->name);
    t->failed = true;
    t->why = tls_explain(&e, t->ssl, text, t->ended, t->broken_in);
    t->error = mem_alloc(sizeof e);
    if (t->error)
        *t->error = e;
    return -EPROTO;
}

static bool tls_failed(const struct stream *s, thrum_error *err)
{
    const struct tls *t = of_const(s);
    if (!t->failed)
        return false;
    if (t->error)
        *err = *t->error;
    else
        error_set(err, t->why, "%s", thrum_status_text(t->why));
    return true;
}

/* ---- writing --------------------------------------------------------------------------------------------
 */

/* 0, -EAGAIN, or the errno of the stream below. */
static int flush_out(struct tls *t)
{
    while (t->out.len > t->out_at && !t->broken_out) {
        ssize_t r = put_below(t, t->out.p + t->out_at, t->out.len - t->out_at);
        if (r == 0)
            return -EAGAIN;
        if (r > 0)
            t->out_at += (size_t)r;
    }
    if (t->broken_out)
        return -t->broken_out;
    if (t->out.cap > 0)
        buf_free(&t->out); /* an idle session keeps none */
    t->out_at = 0;
    if (t->shutting) {
        t->shutting = false;
        (void)t->stream.below->ops->shut_out(t->stream.below);
    }
    return 0;
}

static int tls_flush(struct stream *s)
{
    return flush_out(of(s));
}

static size_t tls_unsent(const struct stream *s)
{
    return of_const(s)->out.len - of_const(s)->out_at;
}

/* ---- the handshake --------------------------------------------------------------------------------------
 */

static void log_shaken(const struct tls *t)
{
    LOG(LOG_NET, LOG_DEBUG, 0, "%s, %s%s", SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl),
        SSL_session_reused(t->ssl) ? ", resumed" : "");
}

/* A web browser, or a health check, that speaks plain HTTP to this port is told so in its own language. */
static void answer_http(struct tls *t)
{
    static const char page[] = "This port speaks TLS: use https:// or wss://.\n";
    char answer[256];
    size_t n = text_format(answer, sizeof answer,
                           "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
                           "Content-Length: %zu\r\n\r\n%s",
                           sizeof page - 1, page);
    (void)put_below(t, answer, n);
    (void)t->stream.below->ops->shut_out(t->stream.below);
}

/* 1 done, 0 not yet, -1 failed. */
static int shake(struct tls *t)
{
    if (t->shaken || t->failed)
        return t->failed ? -1 : 1;
    clear_errors();
    t->gather = true;
    int r = SSL_do_handshake(t->ssl);
    t->gather = false;
    bool waits = r != 1 && SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ;
    (void)flush_out(t); /* also an alert */
    if (waits)
        return 0;
    if (r == 1) {
        t->shaken = true;
        log_shaken(t);
        return 1;
    }
    if (!t->client && ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
        answer_http(t);
    fail(t, "the TLS handshake");
    return -1;
}

/* ---- reading --------------------------------------------------------------------------------------------
 */

/* What SSL_read's failure means for the stream: -EAGAIN, 0 its end, -EPROTO. */
static ssize_t read_result(struct tls *t)
{
    switch (SSL_get_error(t->ssl, 0)) {
    case SSL_ERROR_WANT_READ: return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: t->quiet = true; return 0;
    default: break;
    }
    if (t->ended) { /* without close_notify: WebSocket's own Close tells whether that was all */
        LOG(LOG_NET, LOG_DEBUG, 0, "the stream ended without TLS's close_notify");
        clear_errors();
        t->quiet = true;
        return 0;
    }
    if (t->broken_in) {
        clear_errors();
        return -t->broken_in;
    }
    return fail(t, "TLS");
}

static ssize_t read_records(struct tls *t, const struct iovec *v, int n)
{
    ssize_t total = 0;
    t->more = false;
    clear_errors();
    for (int i = 0; i < n; i++) {
        size_t at = 0;
        while (at < v[i].iov_len) {
            size_t got = 0;
            if (SSL_read_ex(t->ssl, (uint8_t *)v[i].iov_base + at, v[i].iov_len - at, &got) != 1) {
                ssize_t r = read_result(t);
                t->more = total > 0 && r != -EAGAIN; /* the next read tells */
                return total > 0 ? total : r;
            }
            at += got;
            total += (ssize_t)got;
        }
    }
    t->more = true;
    return total;
}

static ssize_t tls_read(struct stream *s, const struct iovec *v, int n)
{
    struct tls *t = of(s);
    if (n < 1)
        return -EINVAL;
    if (t->failed || t->quiet)
        return t->failed ? -EPROTO : 0;
    if (!tls_enter())
        return -ECANCELED;
    t->short_in = false;
    int shaken = shake(t);
    ssize_t r = shaken > 0 ? read_records(t, v, n) : shaken < 0 ? -EPROTO : -EAGAIN;
    (void)flush_out(t); /* reading can answer: an alert, a new key */
    tls_leave();
    return r;
}

static bool tls_buffered(const struct stream *s)
{
    return of_const(s)->more;
}

/* ---- writing, by the user -------------------------------------------------------------------------------
 */

/* A header and the payload behind it are one record, not two: short slices are put together. */
struct piece {
    uint8_t bytes[RECORD];
    size_t n;
};

struct cursor {
    const struct iovec *v;
    int n;
    size_t at;
};

static size_t records_of(size_t n)
{
    return (n + RECORD - 1) / RECORD;
}

/* A header whose payload fills its records to the brim makes a record more anyhow. If that is its own, the
 * payload is not copied. */
static bool stands_alone(const struct cursor *c)
{
    size_t head = c->v->iov_len, n = c->n == 2 ? c->v[1].iov_len : 0;
    return c->at == 0 && n >= RECORD && records_of(head + n) == records_of(head) + records_of(n);
}

/* The next record's plaintext: *p, and how much. 0: there is no more. */
static size_t next_record(struct cursor *c, struct piece *room, const uint8_t **p)
{
    while (c->n > 0 && c->at == c->v->iov_len)
        c->v++, c->n--, c->at = 0;
    if (c->n == 0)
        return 0;
    size_t left = c->v->iov_len - c->at;
    if (left >= RECORD || c->n == 1 || stands_alone(c)) {
        *p = (const uint8_t *)c->v->iov_base + c->at;
        left = left < RECORD ? left : RECORD;
        c->at += left;
        return left;
    }
    for (room->n = 0; c->n > 0 && room->n < RECORD;) {
        left = c->v->iov_len - c->at;
        size_t take = left < RECORD - room->n ? left : RECORD - room->n;
        if (take > 0)
            memcpy(room->bytes + room->n, (const uint8_t *)c->v->iov_base + c->at, take);
        room->n += take;
        c->at += take;
        if (c->at == c->v->iov_len)
            c->v++, c->n--, c->at = 0;
    }
    *p = room->bytes;
    return room->n;
}

static size_t length_of(const struct iovec *v, int n)
{
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += v[i].iov_len;
    return total;
}

static ssize_t write_records(struct tls *t, const struct iovec *v, int n)
{
    struct piece room;
    struct cursor c = {v, n, 0};
    const uint8_t *p = NULL;
    size_t total = 0, all = length_of(v, n), k, put;
    bool good = true;
    t->gather = all > RECORD;
    clear_errors();
    while (good && total < WRITE_MOST && (k = next_record(&c, &room, &p)) > 0) {
        total += k;
        t->last = t->gather && (total == all || total >= WRITE_MOST);
        good = SSL_write_ex(t->ssl, p, k, &put) == 1;
    }
    t->gather = t->last = false;
    return good ? (ssize_t)total : fail(t, "TLS");
}

static ssize_t tls_write(struct stream *s, const struct iovec *v, int n)
{
    struct tls *t = of(s);
    if (n < 1)
        return -EINVAL;
    if (t->failed)
        return -EPROTO;
    if (!tls_enter())
        return -ECANCELED;
    t->short_in = false;
    int shaken = shake(t);
    ssize_t r = shaken < 0 ? -EPROTO : -EAGAIN;
    if (shaken > 0) {
        r = flush_out(t);
        if (r == 0)
            r = write_records(t, v, n);
        if (r > 0)
            (void)flush_out(t);
    }
    tls_leave();
    return r;
}

static int tls_shut_out(struct stream *s)
{
    struct tls *t = of(s);
    if (!t->shaken || t->failed || !tls_enter())
        return stream_below_shut_out(s);
    clear_errors();
    (void)SSL_shutdown(t->ssl); /* 0: our close_notify is out, which is all that is wanted */
    clear_errors();
    t->shutting = true;
    int r = flush_out(t);
    tls_leave();
    return r == -EAGAIN ? 0 : r;
}

static short tls_wants(const struct stream *s, short asked)
{
    const struct tls *t = of_const(s);
    if (!t->shaken)
        asked = POLLIN;
    if (tls_unsent(s) > 0)
        asked |= POLLOUT;
    return stream_wants(s->below, asked);
}

/* ---- birth and end --------------------------------------------------------------------------------------
 */

static void tls_free(struct stream *s)
{
    struct tls *t = of(s);
    bool open = tls_enter();
    if (open) {
        if (t->ssl) {
            SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* nothing is to be said */
            SSL_free(t->ssl);
        }
        tls_leave();
    }
    s->below->ops->free(s->below);
    thrum_tls_free(t->settings);
    buf_free(&t->out);
    mem_free(t->error);
    if (open)
        mem_free(t);
    else
        tls_abandon(&t->left);
}

static const struct stream_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .shut_out = tls_shut_out,
    .cut = stream_below_cut,
    .fd = stream_below_fd,
    .describe = stream_below_describe,
    .free = tls_free,
    .wants = tls_wants,
    .buffered = tls_buffered,
    .flush = tls_flush,
    .unsent = tls_unsent,
    .failed = tls_failed,
};

static struct tls *tls_new(struct stream *below, struct thrum_tls *settings, struct tls_config *config)
{
    struct tls *t = mem_zalloc(sizeof *t);
    if (!t)
        return NULL;
    t->stream = (struct stream){&tls_ops, below};
    t->settings = tls_ref(settings);
    buf_init(&t->out, KEPT_MOST);
    t->ssl = tls_session_new(settings, config);
    BIO_METHOD *m = t->ssl ? bio_method() : NULL;
    BIO *b = m ? BIO_new(m) : NULL;
    if (!b) {
        if (t->ssl)
            SSL_free(t->ssl);
        thrum_tls_free(t->settings);
        mem_free(t);
        return NULL;
    }
    BIO_set_data(b, t);
    BIO_set_init(b, 1);
    SSL_set_bio(t->ssl, b, b);
    SSL_set_app_data(t->ssl, t);
    SSL_set_mode(
        t->ssl,
        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
            SSL_MODE_NO_AUTO_CHAIN); /* what is given is sent: nothing is looked up for each handshake */
    SSL_set_read_ahead(t->ssl, 1);
    SSL_set_options(t->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return t;
}

static bool is_address(const char *host)
{
    uint8_t ip[16];
    return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

/* The name or address that the certificate must be for, and the name to ask for (RFC 6066: never an address).
 */
static bool expect_host(struct tls *t, const char *host)
{
    X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(p, host) == 1;
    size_t n = strlen(host);
    while (n > 0 && host[n - 1] == '.') /* "example.org." is what certificates call example.org */
        n--;
    /* RFC 9525 section 2: a common name is no host's name. */
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    char name[256];
    if (n == 0 || n >= sizeof name)
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    return X509_VERIFY_PARAM_set1_host(p, name, n) == 1 && SSL_set_tlsext_host_name(t->ssl, name) == 1;
}

static thrum_status prepare_client(struct tls *t, const struct tls_config *config, const char *host,
                                   thrum_error *err)
{
    SSL_set_connect_state(t->ssl);
    SSL_set_verify(t->ssl, config->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (config->insecure)
        LOG(LOG_NET, LOG_WARNING, 0, "TLS with %s is insecure, as asked: nothing is checked", t->name);
    if (!expect_host(t, host) && !config->insecure)
        return error_set(err, THRUM_E_ARGUMENT, "\"%s\" cannot be the name of a TLS server", host);
    if (config->resume && !t->anonymous) { /* a session tells who we were */
        tls_lock();
        SSL_SESSION *s = tls_resume_take(t->settings, t->name);
        tls_unlock();
        if (s) {
            (void)SSL_set_session(t->ssl, s);
            SSL_SESSION_free(s);
        }
    }
    return THRUM_OK;
}

static thrum_status no_memory(struct stream *below, thrum_error *err)
{
    below->ops->free(below);
    return error_set(err, THRUM_E_MEMORY, "no memory for TLS");
}

thrum_status stream_tls_client(struct stream **out, struct stream *below, struct thrum_tls *settings,
                               thrum_slice host, uint16_t port, bool anonymous, thrum_error *err)
{
    struct tls_config config = {0};
    char name[256];
    *out = NULL;
    if (!tls_enter())
        return no_memory(below, err);
    struct tls *t = tls_new(below, settings, &config);
    thrum_status s = THRUM_OK;
    if (t) {
        t->client = true;
        t->anonymous = anonymous;
        if (anonymous)
            SSL_certs_clear(t->ssl);
        if (config.server_name)
            text_format(name, sizeof name, "%s", config.server_name);
        else
            text_format(name, sizeof name, "%.*s", (int)(host.n < 254 ? host.n : 254), (const char *)host.p);
        text_format(t->name, sizeof t->name, "%s:%u", name, (unsigned)port);
        s = prepare_client(t, &config, name, err);
    }
    mem_free(config.server_name);
    tls_leave();
    if (!t)
        return no_memory(below, err);
    if (s == THRUM_OK)
        *out = &t->stream;
    else
        tls_free(&t->stream);
    return s;
}

thrum_status stream_tls_server(struct stream **out, struct stream *below, struct thrum_tls *settings,
                               thrum_error *err)
{
    struct tls_config config = {0};
    *out = NULL;
    if (!tls_enter())
        return no_memory(below, err);
    struct tls *t = tls_new(below, settings, &config);
    if (t) {
        SSL_set_accept_state(t->ssl);
        if (config.asks_certificate)
            SSL_set_verify(t->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    mem_free(config.server_name);
    tls_leave();
    if (!t)
        return no_memory(below, err);
    *out = &t->stream;
    return THRUM_OK;
}

/* ---- ask ------------------------------------------------------------------------------------------------
 */

static void name_text(char *out, size_t cap, X509_NAME *name)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *p = NULL;
    if (b && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253) >= 0) {
        long n = BIO_get_mem_data(b, &p);
        text_format(out, cap, "%.*s", n > 0 ? (int)n : 0, p ? p : "");
    }
    BIO_free(b);
}

static void fill_info(const struct tls *t, thrum_tls_info *out)
{
    const unsigned char *alpn = NULL;
    unsigned n = 0;
    text_format(out->version, sizeof out->version, "%s", SSL_get_version(t->ssl));
    text_format(out->cipher, sizeof out->cipher, "%s", SSL_get_cipher_name(t->ssl));
    SSL_get0_alpn_selected(t->ssl, &alpn, &n);
    if (n > 0)
        text_format(out->alpn, sizeof out->alpn, "%.*s", (int)n, (const char *)alpn);
    out->resumed = SSL_session_reused(t->ssl) == 1;
    X509 *peer = SSL_get0_peer_certificate(t->ssl);
    if (!peer)
        return;
    name_text(out->subject, sizeof out->subject, X509_get_subject_name(peer));
    name_text(out->issuer, sizeof out->issuer, X509_get_issuer_name(peer));
    out->verified =
        SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE && SSL_get_verify_result(t->ssl) == X509_V_OK;
}

void stream_tls_info(struct stream *s, thrum_tls_info *out)
{
    while (s && s->ops != &tls_ops)
        s = s->below;
    if (!s || !of(s)->shaken || !tls_enter())
        return;
    fill_info(of(s), out);
    clear_errors();
    tls_leave();
}
