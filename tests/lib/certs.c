#include "lib/certs.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p, const char *what)
{
    if (!p) {
        fprintf(stderr, "certs: %s failed\n", what);
        abort();
    }
    return p;
}
static void must_be(bool ok, const char *what)
{
    (void)must(ok ? (void *)&ok : NULL, what);
}

static char *text_of(BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    char *out = must(malloc((size_t)n + 1), "malloc");
    memcpy(out, p, (size_t)n);
    out[n] = '\0';
    BIO_free(b);
    return out;
}

static EVP_PKEY *key_of(const struct cert *c)
{
    BIO *b = must(BIO_new_mem_buf(c->key, -1), "BIO");
    EVP_PKEY *k = must(PEM_read_bio_PrivateKey(b, NULL, NULL, NULL), "reading a key");
    BIO_free(b);
    return k;
}
static X509 *x509_of(const struct cert *c)
{
    BIO *b = must(BIO_new_mem_buf(c->cert, -1), "BIO");
    X509 *x = must(PEM_read_bio_X509(b, NULL, NULL, NULL), "reading a certificate");
    BIO_free(b);
    return x;
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = must(X509V3_EXT_conf_nid(NULL, &ctx, nid, value), value);
    must_be(X509_add_ext(x, e, -1) == 1, "X509_add_ext");
    X509_EXTENSION_free(e);
}

static void fill(X509 *x, const struct cert_how *how, X509 *issuer)
{
    static long serial = 1000;
    bool usual = how->from_days == 0 && how->to_days == 0;
    X509_NAME *name = X509_get_subject_name(x);
    must_be(X509_set_version(x, 2) == 1, "X509_set_version");
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), 86400L * (usual ? -1 : how->from_days));
    X509_gmtime_adj(X509_getm_notAfter(x), 86400L * (usual ? 1 : how->to_days));
    must_be(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)how->name, -1, -1,
                                       0) == 1,
            "the name");
    must_be(X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1, "the issuer");
    extend(x, issuer, NID_basic_constraints, how->authority ? "critical,CA:TRUE" : "CA:FALSE");
    extend(x, issuer, NID_subject_key_identifier, "hash");
    if (issuer != x)
        extend(x, issuer, NID_authority_key_identifier, "keyid");
    if (how->names)
        extend(x, issuer, NID_subject_alt_name, how->names);
}

void cert_make(struct cert *out, const struct cert_how *how)
{
    EVP_PKEY *key = must(EVP_EC_gen("P-256"), "making a key"), *by = how->by ? key_of(how->by) : key;
    X509 *x = must(X509_new(), "X509_new"), *issuer = how->by ? x509_of(how->by) : x;
    must_be(X509_set_pubkey(x, key) == 1, "X509_set_pubkey");
    fill(x, how, issuer);
    must_be(X509_sign(x, by, EVP_sha256()) > 0, "signing");
    BIO *c = must(BIO_new(BIO_s_mem()), "BIO"), *k = must(BIO_new(BIO_s_mem()), "BIO");
    must_be(PEM_write_bio_X509(c, x) == 1, "writing a certificate");
    must_be(PEM_write_bio_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) == 1, "writing a key");
    out->cert = text_of(c);
    out->key = text_of(k);
    if (how->by) {
        EVP_PKEY_free(by);
        X509_free(issuer);
    }
    EVP_PKEY_free(key);
    X509_free(x);
}

void cert_free(struct cert *c)
{
    free(c->cert);
    free(c->key);
    *c = (struct cert){NULL, NULL};
}

char *cert_file(const char *dir, const char *name, const char *text)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = must(malloc(n), "malloc");
    snprintf(path, n, "%s/%s", dir, name);
    FILE *f = must(fopen(path, "we"), path);
    must_be(fputs(text, f) >= 0 && fclose(f) == 0, path);
    return path;
}

static struct certs usual;

static void free_usual(void)
{
    cert_free(&usual.authority);
    cert_free(&usual.server);
    cert_free(&usual.client);
}

static void make_usual(void)
{
    cert_make(&usual.authority, &(struct cert_how){.name = "thrum test authority", .authority = true});
    cert_make(&usual.server, &(struct cert_how){.name = "thrum test server",
                                                .names = "DNS:localhost,DNS:pair.test,IP:127.0.0.1,IP:::1",
                                                .by = &usual.authority});
    cert_make(&usual.client, &(struct cert_how){.name = "thrum test client", .by = &usual.authority});
    must_be(atexit(free_usual) == 0, "atexit");
}

const struct certs *certs_usual(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_usual);
    return &usual;
}
