/* tls_ctx.c: settings of TLS: from the user's options to an SSL_CTX, shared, reloaded, chosen by name.
 *
 * One lock for all settings of the process: it is held for counting references and swapping pointers only,
 * and fork takes it, so that a child never meets settings half-changed. Making an SSL_CTX, which reads files,
 * is done outside. */
#include "net/tls.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/options.h"
#include "base/thread.h"
#include "net/tls_int.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(thrum_tls_options) % 8 == 0, "option structs have no padding");

static struct lock lock = LOCK_INIT;
static struct thrum_tls *default_settings; /* of clients; made at the first use, for good */

void tls_lock(void)
{
    lock_take(&lock);
}

void tls_unlock(void)
{
    lock_give(&lock);
}

void thrum_tls_options_init(thrum_tls_options *o, size_t size)
{
    if (!o || size < sizeof o->size)
        return;
    memset(o, 0, size);
    o->size = size;
}

/* ---- what is read from files or memory --------------------------------------------------------------------
 */

/* Without this OpenSSL would ask at the terminal. */
static int give_password(char *to, int cap, int writing, void *arg)
{
    const char *password = arg;
    (void)writing;
    size_t n = password ? strlen(password) : 0;
    if (n == 0 || n > (size_t)cap)
        return -1;
    return (int)((char *)mempcpy(to, password, n) - to); /* the bytes alone */
}

static BIO *memory_bio(const void *p, size_t n)
{
    return n <= INT_MAX ? BIO_new_mem_buf(p, (int)n) : NULL;
}

/* What was not finished when the gate was shut. */
struct unfinished {
    struct tls_left left; /* first */
    SSL_CTX *ctx;
    BIO *b;
};

static void leave_unfinished(SSL_CTX *ctx, BIO *b)
{
    struct unfinished *u = mem_zalloc(sizeof *u);
    if (!u)
        return;
    u->ctx = ctx;
    u->b = b;
    tls_abandon(&u->left);
}

static bool is_trust_the_systems(const thrum_tls_options *o)
{
    return !o->ssl_ctx && !o->ca_file && !o->ca_dir && !o->ca;
}

/* The system's: SSL_CERT_FILE and SSL_CERT_DIR count; no file: nobody is trusted, and the handshake says so.
 * That is a hundred certificates and more, for which OpenSSL takes longer than the end of the program may
 * wait; so one at a time. False: it has ended, and we are not inside any more. */
static bool load_systems_trust(SSL_CTX *ctx)
{
    const char *file = secure_getenv(X509_get_default_cert_file_env());
    BIO *b = BIO_new_file(file ? file : X509_get_default_cert_file(), "r");
    (void)SSL_CTX_set_default_verify_dir(ctx);
    for (X509 *x; b && (x = PEM_read_bio_X509_AUX(b, NULL, give_password, NULL));) {
        (void)X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x);
        X509_free(x);
        tls_leave();
        if (!tls_enter()) {
            leave_unfinished(ctx, b);
            return false;
        }
    }
    BIO_free(b);
    ERR_clear_error();
    return true;
}

static thrum_status load_trust(SSL_CTX *ctx, const thrum_tls_options *o, thrum_error *err)
{
    if (o->ca_file && SSL_CTX_load_verify_file(ctx, o->ca_file) != 1)
        return tls_explain_setting(err, THRUM_E_CERTIFICATE, ".ca_file", o->ca_file);
    if (o->ca_dir && SSL_CTX_load_verify_dir(ctx, o->ca_dir) != 1)
        return tls_explain_setting(err, THRUM_E_CERTIFICATE, ".ca_dir", o->ca_dir);
    if (!o->ca)
        return THRUM_OK;
    BIO *b = memory_bio(o->ca, o->ca_len);
    int n = 0;
    for (X509 *x; b && (x = PEM_read_bio_X509(b, NULL, give_password, NULL)); n++) {
        (void)X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x); /* twice is fine */
        X509_free(x);
    }
    BIO_free(b);
    if (n == 0)
        return tls_explain_setting(err, THRUM_E_CERTIFICATE, ".ca", "in memory");
    ERR_clear_error(); /* the end of the text */
    return THRUM_OK;
}

static bool use_chain_bio(SSL_CTX *ctx, BIO *b)
{
    X509 *x = b ? PEM_read_bio_X509_AUX(b, NULL, give_password, NULL) : NULL;
    bool ok = x && SSL_CTX_use_certificate(ctx, x) == 1;
    X509_free(x);
    while (ok && (x = PEM_read_bio_X509(b, NULL, give_password, NULL))) {
        ok = SSL_CTX_add0_chain_cert(ctx, x) == 1;
        if (!ok)
            X509_free(x);
    }
    if (ok)
        ERR_clear_error();
    return ok;
}

static bool use_key_bio(SSL_CTX *ctx, BIO *b, const char *password)
{
    EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, give_password, (void *)(uintptr_t)password) : NULL;
    bool ok = k && SSL_CTX_use_PrivateKey(ctx, k) == 1;
    EVP_PKEY_free(k);
    return ok;
}

static BIO *source(const void *memory, size_t n, const char *file)
{
    return memory ? memory_bio(memory, n) : BIO_new_file(file, "r");
}

static thrum_status load_identity(SSL_CTX *ctx, const thrum_tls_options *o, struct tls_config *config,
                                  thrum_error *err)
{
    bool key = o->key || o->key_file;
    if (!o->cert && !o->cert_file)
        return key ? error_set(err, THRUM_E_ARGUMENT, "a key is given without its certificate") : THRUM_OK;
    const char *cert_name = o->cert ? "in memory" : o->cert_file;
    BIO *b = source(o->cert, o->cert_len, o->cert_file);
    bool ok = use_chain_bio(ctx, b);
    BIO_free(b);
    if (!ok)
        return tls_explain_setting(err, THRUM_E_CERTIFICATE, o->cert ? ".cert" : ".cert_file", cert_name);
    bool in_memory = o->key || (!key && o->cert);
    const char *key_file = o->key_file ? o->key_file : o->cert_file;
    b = o->key ? memory_bio(o->key, o->key_len)
        : key  ? source(NULL, 0, key_file)
               : source(o->cert, o->cert_len, key_file);
    ok = use_key_bio(ctx, b, o->key_password);
    BIO_free(b);
    if (!ok)
        return tls_explain_setting(err, THRUM_E_CERTIFICATE, in_memory ? ".key" : ".key_file",
                                   in_memory ? "in memory" : key_file);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return tls_explain_setting(err, THRUM_E_CERTIFICATE, ".key and .cert", cert_name);
    config->has_certificate = true;
    return THRUM_OK;
}

/* ---- what OpenSSL calls -----------------------------------------------------------------------------------
 */

static void free_keylog(void *ctx, void *file, CRYPTO_EX_DATA *ad, int index, long l, void *p)
{
    (void)ctx, (void)ad, (void)index, (void)l, (void)p;
    mem_free(file);
}

/* The file's name lives as long as its SSL_CTX. */
static int keylog_index(void)
{
    static _Atomic int index = -1;
    int i = atomic_load(&index), none = -1;
    if (i >= 0)
        return i;
    i = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, free_keylog);
    return atomic_compare_exchange_strong(&index, &none, i) ? i : none;
}

/* A line at a time, opened anew for each, so that no descriptor is kept. */
static void log_key(const SSL *ssl, const char *line)
{
    const char *file = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keylog_index());
    char text[600];
    int fd = file ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    size_t n = text_format(text, sizeof text - 1, "%s", line);
    text[n] = '\n';
    (void)!write(fd, text, n + 1);
    close(fd);
}

static thrum_status set_keylog(SSL_CTX *ctx, const char *given, thrum_error *err)
{
    const char *file = given ? given : secure_getenv("SSLKEYLOGFILE");
    if (!file || !*file)
        return THRUM_OK;
    char *copy = mem_strdup(file);
    if (!copy || SSL_CTX_set_ex_data(ctx, keylog_index(), copy) != 1) {
        mem_free(copy);
        return error_set(err, THRUM_E_MEMORY, "no memory for the settings of TLS");
    }
    SSL_CTX_set_keylog_callback(ctx, log_key);
    LOG(LOG_NET, LOG_WARNING, 0, "the keys of TLS are written to %s: who can read it can read all", copy);
    return THRUM_OK;
}

/* A server that resumes gives tickets after its handshake; the last one is kept. 1: the session is ours now.
 */
static int keep_session(SSL *ssl, SSL_SESSION *s)
{
    struct thrum_tls *t = tls_settings_of(ssl);
    const char *server = tls_server_of(ssl);
    tls_lock();
    bool kept = server && t->config.resume && tls_resume_keep(t, server, s);
    tls_unlock();
    return kept;
}

/* RFC 6066 section 3. The settings that the user chooses replace certificate and keys, and what is asked of
 * the client. */
static int choose_by_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    (void)arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct thrum_tls *t = tls_settings_of(ssl);
    tls_lock();
    const thrum_tls *(*fn)(const char *, void *) = t->config.on_server_name;
    void *fn_arg = t->config.arg;
    tls_unlock();
    const thrum_tls *chosen = fn && name ? fn(name, fn_arg) : NULL;
    if (!chosen || chosen == t)
        return fn && name ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
    tls_lock();
    SSL_CTX *ctx = chosen->ctx;
    SSL_CTX_up_ref(ctx);
    bool asks = chosen->config.asks_certificate;
    tls_unlock();
    bool ok = SSL_set_SSL_CTX(ssl, ctx) != NULL;
    SSL_set_verify(ssl, asks ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, NULL);
    SSL_CTX_free(ctx);
    return ok ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* RFC 7301 section 3.2: a client that offers, and not ours, is refused. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                       unsigned in_n, void *arg)
{
    (void)ssl;
    const char *ours = arg; /* with its length in front, as the wire has it */
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, n, (const unsigned char *)ours, (unsigned)strlen(ours), in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- an SSL_CTX from options
 * --------------------------------------------------------------------------------
 */

static thrum_status set_alpn(SSL_CTX *ctx, const char *alpn, thrum_error *err)
{
    static const char http[] = "\x08http/1.1";
    if (alpn && strcmp(alpn, "http/1.1") != 0 && *alpn)
        return error_set(err, THRUM_E_ARGUMENT,
                         ".alpn is \"%s\": this library speaks http/1.1 (\"\" for none)", alpn);
    if (alpn && !*alpn)
        return THRUM_OK;
    if (SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)http, sizeof http - 1) != 0)
        return error_set(err, THRUM_E_MEMORY, "no memory for the settings of TLS");
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, (void *)(uintptr_t)http);
    return THRUM_OK;
}

static thrum_status set_ciphers(SSL_CTX *ctx, const thrum_tls_options *o, thrum_error *err)
{
    if (o->least != 0 && o->least != 12 && o->least != 13)
        return error_set(err, THRUM_E_ARGUMENT, ".least is %lu: it may be 12 (TLS 1.2) or 13",
                         (unsigned long)o->least);
    SSL_CTX_set_min_proto_version(ctx, o->least == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    /* A server picks, by its own order, but for a client that puts ChaCha20 first since it has no AES in
     * hardware. AES-128 before AES-256: it is as far out of reach, and takes 10 rounds instead of 14. */
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    const char *suites = o->ciphersuites
                             ? o->ciphersuites
                             : "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    if (o->ciphers && SSL_CTX_set_cipher_list(ctx, o->ciphers) != 1)
        return tls_explain_setting(err, THRUM_E_ARGUMENT, ".ciphers", o->ciphers);
    if (SSL_CTX_set_ciphersuites(ctx, suites) != 1)
        return tls_explain_setting(err, THRUM_E_ARGUMENT, ".ciphersuites", suites);
    return THRUM_OK;
}

static thrum_status fill_ctx(SSL_CTX *ctx, const thrum_tls_options *o, struct tls_config *config,
                             thrum_error *err)
{
    static const unsigned char context[] = "thrum";
    thrum_status s = set_ciphers(ctx, o, err);
    s = s || is_trust_the_systems(o) ? s : load_trust(ctx, o, err);
    s = s ? s : load_identity(ctx, o, config, err);
    s = s ? s : set_alpn(ctx, o->alpn, err);
    s = s ? s : set_keylog(ctx, o->keylog_file, err);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_id_context(ctx, context, sizeof context - 1);
    SSL_CTX_set_tlsext_servername_callback(ctx, choose_by_name);
    return s;
}

static thrum_status no_memory(thrum_error *err)
{
    return error_set(err, THRUM_E_MEMORY, "no memory for the settings of TLS");
}

static void config_free(struct tls_config *c)
{
    mem_free(c->server_name);
    c->server_name = NULL;
}

/* The context and all that belongs to it; nothing is kept on failure. */
static thrum_status make(SSL_CTX **out, struct tls_config *config, const thrum_tls_options *o,
                         thrum_error *err)
{
    *config = (struct tls_config){
        .on_server_name = o->on_server_name,
        .arg = o->arg,
        .insecure = o->insecure == THRUM_ON,
        .asks_certificate = o->peer_certificate == THRUM_ON,
        .resume = o->resume != THRUM_OFF && !o->ssl_ctx,
        .own_ctx = !o->ssl_ctx,
    };
    if (o->server_name && !(config->server_name = mem_strdup(o->server_name)))
        return no_memory(err);
    if (o->ssl_ctx) {
        *out = o->ssl_ctx;
        SSL_CTX_up_ref(*out);
        config->has_certificate = SSL_CTX_get0_certificate(*out) != NULL;
        return THRUM_OK;
    }
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    thrum_status s = ctx ? fill_ctx(ctx, o, config, err) : no_memory(err);
    if (s == THRUM_OK) {
        *out = ctx;
        return s;
    }
    SSL_CTX_free(ctx);
    config_free(config);
    return s;
}

/* Reads as many of the fields as both know; E_TOO_NEW as for all structs of options. */
static thrum_status read_options(thrum_tls_options *o, const thrum_tls_options *given, thrum_error *err)
{
    thrum_status s = options_read(o, sizeof *o, given, err);
    if (s != THRUM_OK)
        return s;
    bool switches = o->peer_certificate <= THRUM_OFF && o->insecure <= THRUM_OFF && o->resume <= THRUM_OFF;
    if (!switches)
        return error_set(err, THRUM_E_ARGUMENT,
                         ".peer_certificate, .insecure and .resume are THRUM_DEFAULT, THRUM_ON or THRUM_OFF");
    return THRUM_OK;
}

static thrum_status make_from(SSL_CTX **ctx, struct tls_config *config, const thrum_tls_options *given,
                              thrum_error *err)
{
    thrum_tls_options o;
    thrum_status s = read_options(&o, given, err);
    if (s != THRUM_OK)
        return s;
    tls_start();
    bool inside = tls_enter();
    if (inside) {
        s = make(ctx, config, &o, err);
        if (s == THRUM_OK && is_trust_the_systems(&o))
            inside = load_systems_trust(*ctx);
    }
    if (!inside) {
        config_free(config);
        return error_set(err, THRUM_E_TLS, "the program is ending");
    }
    ERR_clear_error();
    tls_leave();
    return s;
}

/* ---- objects
 * ------------------------------------------------------------------------------------------------
 */

static thrum_status new_settings(thrum_tls **out, const thrum_tls_options *o, thrum_error *err)
{
    SSL_CTX *ctx = NULL;
    struct tls_config config = {0};
    thrum_status s = make_from(&ctx, &config, o, err);
    if (s != THRUM_OK)
        return s;
    struct thrum_tls *t = mem_zalloc(sizeof *t);
    if (!t) {
        SSL_CTX_free(ctx);
        config_free(&config);
        return no_memory(err);
    }
    t->refs = 1;
    t->ctx = ctx;
    t->config = config;
    list_init(&t->sessions);
    *out = t;
    return THRUM_OK;
}

thrum_status thrum_tls_new(thrum_tls **out, const thrum_tls_options *o, thrum_error *err)
{
    thrum_error mine;
    err = err ? err : &mine;
    memset(err, 0, sizeof *err);
    if (!out)
        return error_set(err, THRUM_E_ARGUMENT, "there is no place for the settings: out is NULL");
    *out = NULL;
    return new_settings(out, o, err);
}

thrum_status thrum_tls_reload(thrum_tls *t, const thrum_tls_options *o, thrum_error *err)
{
    thrum_error mine;
    SSL_CTX *ctx = NULL;
    struct tls_config config = {0};
    err = err ? err : &mine;
    memset(err, 0, sizeof *err);
    if (!t)
        return error_set(err, THRUM_E_ARGUMENT, "there are no settings: t is NULL");
    thrum_status s = make_from(&ctx, &config, o, err);
    if (s != THRUM_OK)
        return s;
    tls_lock();
    SSL_CTX *old = t->ctx;
    struct tls_config old_config = t->config;
    t->ctx = ctx;
    t->config = config;
    tls_resume_forget(t); /* they were agreed on under other rules */
    tls_unlock();
    config_free(&old_config);
    if (tls_enter()) {
        SSL_CTX_free(old); /* sessions that use it keep it alive */
        tls_leave();
    }
    return THRUM_OK;
}

struct thrum_tls *tls_ref(struct thrum_tls *t)
{
    tls_lock();
    t->refs++;
    tls_unlock();
    return t;
}

void thrum_tls_free(thrum_tls *t)
{
    if (!t)
        return;
    int cancel = cancel_off();
    tls_lock();
    bool last = --t->refs == 0;
    tls_unlock();
    if (last && tls_enter()) {
        tls_resume_forget(t);
        SSL_CTX_free(t->ctx);
        tls_leave();
        config_free(&t->config);
        mem_free(t);
    } else if (last) {
        tls_abandon(&t->left);
    }
    cancel_back(cancel);
}

static thrum_status default_ref(thrum_tls **out, thrum_error *err)
{
    struct thrum_tls *mine = NULL;
    tls_lock();
    struct thrum_tls *t = default_settings;
    tls_unlock();
    if (!t) { /* reading the system's trust store takes a while, so not under the lock: two may both do it */
        thrum_status s = new_settings(&mine, NULL, err);
        if (s != THRUM_OK)
            return s;
    }
    tls_lock();
    if (!default_settings) {
        default_settings = mine;
        mine = NULL;
    }
    t = default_settings;
    t->refs++;
    tls_unlock();
    thrum_tls_free(mine);
    *out = t;
    return THRUM_OK;
}

thrum_status tls_settings(struct thrum_tls **out, const thrum_tls_options *o, thrum_tls *shared,
                          thrum_error *err)
{
    *out = NULL;
    if (o && shared)
        return error_set(err, THRUM_E_ARGUMENT, ".tls and .tls_shared are both set: one of them says it");
    if (shared) {
        *out = tls_ref(shared);
        return THRUM_OK;
    }
    return o ? new_settings(out, o, err) : default_ref(out, err);
}

bool tls_has_certificate(struct thrum_tls *t)
{
    tls_lock();
    bool has = t->config.has_certificate;
    tls_unlock();
    return has;
}

SSL *tls_session_new(struct thrum_tls *t, struct tls_config *config)
{
    tls_lock();
    SSL_CTX *ctx = t->ctx;
    SSL_CTX_up_ref(ctx);
    *config = t->config;
    config->server_name = t->config.server_name ? mem_strdup(t->config.server_name) : NULL;
    bool copied = config->server_name || !t->config.server_name;
    tls_unlock();
    SSL *ssl = copied ? SSL_new(ctx) : NULL;
    SSL_CTX_free(ctx);
    return ssl;
}
