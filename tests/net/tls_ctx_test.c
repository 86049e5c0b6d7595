/* tls_ctx_test.c: every option of TLS, right and wrong. */
#include "tls_pair.h"
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/stat.h>

static char dir[] = "/tmp/thrum-tls-XXXXXX";
static char *chain_file, *key_file, *ca_file, *both_file, *none_file;

static int set_up(void **state)
{
    const struct certs *k = certs_usual();
    char both[8192];
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(both, sizeof both, "%s%s", k->server.cert, k->server.key);
    chain_file = cert_file(dir, "chain.pem", k->server.cert);
    key_file = cert_file(dir, "key.pem", k->server.key);
    ca_file = cert_file(dir, "ca.pem", k->authority.cert);
    both_file = cert_file(dir, "both.pem", both);
    none_file = cert_file(dir, "none.pem", "nothing of use\n");
    return 0;
}
static int tear_down(void **state)
{
    char *all[] = {chain_file, key_file, ca_file, both_file, none_file};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        unlink(all[i]);
        free(all[i]);
    }
    return rmdir(dir);
}

static void refused(const thrum_tls_options *o, thrum_status want, const char *says)
{
    thrum_tls *t = (thrum_tls *)&t;
    thrum_status s = thrum_tls_new(&t, o, &err);
    if (s != want || err.status != want || !strstr(err.text, says))
        fail_msg("%s: %s", thrum_status_name(s), err.text);
    assert_null(t);
    assert_int_equal(thrum_tls_new(&t, o, NULL), want);
}

static void test_refused(void **state)
{
    const struct certs *k = certs_usual();
    struct {
        thrum_tls_options o;
        uint64_t more;
    } newer = {.o = {.size = sizeof newer}, .more = 1};
    (void)state;
    refused(THRUM_TLS(.ca_file = "/nowhere/ca.pem"), THRUM_E_CERTIFICATE, "/nowhere/ca.pem");
    refused(THRUM_TLS(.ca_file = none_file), THRUM_E_CERTIFICATE, ".ca_file");
    refused(THRUM_TLS(PEM(ca, "no certificate")), THRUM_E_CERTIFICATE, ".ca");
    refused(THRUM_TLS(.cert_file = "/nowhere/c.pem"), THRUM_E_CERTIFICATE, "/nowhere/c.pem");
    refused(THRUM_TLS(.cert_file = chain_file), THRUM_E_CERTIFICATE, ".key_file"); /* no key in it */
    refused(THRUM_TLS(.cert_file = chain_file, .key_file = none_file), THRUM_E_CERTIFICATE, "none.pem");
    refused(THRUM_TLS(.key_file = key_file), THRUM_E_ARGUMENT, "without its certificate");
    refused(THRUM_TLS(PEM(cert, k->server.cert), PEM(key, k->client.key)), THRUM_E_CERTIFICATE, "key");
    refused(THRUM_TLS(.ciphers = "NO-SUCH-CIPHER"), THRUM_E_ARGUMENT, "NO-SUCH-CIPHER");
    refused(THRUM_TLS(.ciphersuites = "TLS_NO_SUCH"), THRUM_E_ARGUMENT, "TLS_NO_SUCH");
    refused(THRUM_TLS(.least = 11), THRUM_E_ARGUMENT, ".least is 11");
    refused(THRUM_TLS(.alpn = "h2"), THRUM_E_ARGUMENT, "h2");
    refused(&newer.o, THRUM_E_TOO_NEW, "does not know");
    newer.o.size = 12;
    refused(&newer.o, THRUM_E_ARGUMENT, "size");
    assert_int_equal(thrum_tls_new(NULL, NULL, &err), THRUM_E_ARGUMENT);
    assert_int_equal(thrum_tls_reload(NULL, NULL, &err), THRUM_E_ARGUMENT);
    thrum_tls_free(NULL);
}

static void works(const thrum_tls_options *co, const thrum_tls_options *so, const char *host)
{
    struct tls_pair p;
    thrum_tls *c = made(co), *s = made(so);
    pair_make(&p, c, s, host);
    thrum_tls_free(c); /* the streams keep them */
    thrum_tls_free(s);
    assert_shaken(&p);
    pair_end(&p);
}

static void test_sources(void **state)
{
    const struct certs *k = certs_usual();
    thrum_tls_options o;
    (void)state;
    works(THRUM_TLS(.ca_file = ca_file), THRUM_TLS(.cert_file = chain_file, .key_file = key_file),
          "localhost");
    works(THRUM_TLS(.ca_file = ca_file), THRUM_TLS(.cert_file = both_file), "127.0.0.1");
    works(THRUM_TLS(TRUSTED), THRUM_TLS(OURS(&k->server)), "::1");
    works(THRUM_TLS(TRUSTED), THRUM_TLS(PEM(cert, k->server.cert), .key_file = key_file), "localhost.");
    works(THRUM_TLS(TRUSTED, .server_name = "pair.test"), THRUM_TLS(OURS(&k->server)), "192.0.2.1");
    works(
        THRUM_TLS(TRUSTED, .ciphers = "ECDHE+AESGCM", .ciphersuites = "TLS_AES_128_GCM_SHA256", .least = 13),
        THRUM_TLS(OURS(&k->server)), "localhost");
    works(THRUM_TLS(.insecure = THRUM_ON), THRUM_TLS(OURS(&k->server)), "anything.test");
    setenv("SSL_CERT_FILE", ca_file, 1);
    works(NULL, THRUM_TLS(OURS(&k->server)), "localhost");
    unsetenv("SSL_CERT_FILE");
    thrum_tls_options_init(&o, sizeof o);
    o.insecure = THRUM_ON;
    works(&o, THRUM_TLS(OURS(&k->server)), "localhost");
    thrum_tls_options_init(NULL, sizeof o);
}

static void test_directory(void **state)
{
    char command[200], hash[200];
    (void)state;
    snprintf(command, sizeof command, "ln -s ca.pem %s/$(openssl x509 -noout -subject_hash -in %s).0", dir,
             ca_file);
    assert_int_equal(system(command), 0);
    works(THRUM_TLS(.ca_dir = dir), THRUM_TLS(OURS(&certs_usual()->server)), "localhost");
    snprintf(hash, sizeof hash, "rm %s/*.0", dir);
    assert_int_equal(system(hash), 0);
}

static void test_encrypted_key(void **state)
{
    const struct certs *k = certs_usual();
    BIO *in = BIO_new_mem_buf(k->server.key, -1), *out = BIO_new(BIO_s_mem());
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    char *text;
    (void)state;
    assert_int_equal(
        PEM_write_bio_PrivateKey(out, key, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)(uintptr_t) "sesame"),
        1);
    size_t n = (size_t)BIO_get_mem_data(out, &text);
    works(THRUM_TLS(TRUSTED),
          THRUM_TLS(PEM(cert, k->server.cert), .key = text, .key_len = n, .key_password = "sesame"),
          "localhost");
    refused(THRUM_TLS(PEM(cert, k->server.cert), .key = text, .key_len = n, .key_password = "wrong"),
            THRUM_E_CERTIFICATE, ".key");
    refused(THRUM_TLS(PEM(cert, k->server.cert), .key = text, .key_len = n), THRUM_E_CERTIFICATE,
            ".key"); /* nobody is asked */
    EVP_PKEY_free(key);
    BIO_free(in);
    BIO_free(out);
}

static void test_keylog(void **state)
{
    char path[100], text[400] = "";
    struct stat st;
    (void)state;
    snprintf(path, sizeof path, "%s/keys", dir);
    works(THRUM_TLS(TRUSTED, .keylog_file = path), THRUM_TLS(OURS(&certs_usual()->server)), "localhost");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    assert_non_null(strstr(text, "SECRET"));
    fclose(f);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0); /* nobody else can read it */
    unlink(path);
    setenv("SSLKEYLOGFILE", path, 1);
    works(THRUM_TLS(TRUSTED, .keylog_file = ""), THRUM_TLS(OURS(&certs_usual()->server), .keylog_file = ""),
          "localhost");
    assert_int_equal(access(path, F_OK), -1);
    works(THRUM_TLS(TRUSTED), THRUM_TLS(OURS(&certs_usual()->server)), "localhost");
    assert_int_equal(access(path, F_OK), 0);
    unsetenv("SSLKEYLOGFILE");
    unlink(path);
}

/* ---- by name --------------------------------------------------------------------------------------------
 */

struct choice {
    thrum_tls *for_a;
    char asked[64];
};
static const thrum_tls *choose(const char *name, void *arg)
{
    struct choice *c = arg;
    snprintf(c->asked, sizeof c->asked, "%s", name);
    return strcmp(name, "a.test") == 0 ? c->for_a : NULL;
}

static void test_server_name(void **state)
{
    const struct certs *k = certs_usual();
    struct cert a;
    struct choice choice = {.asked = ""};
    thrum_tls_info info = {.size = sizeof info};
    struct tls_pair p;
    (void)state;
    cert_make(&a, &(struct cert_how){.name = "a", .names = "DNS:a.test", .by = &k->authority});
    choice.for_a = made(THRUM_TLS(OURS(&a)));
    thrum_tls *c = made(THRUM_TLS(TRUSTED)),
              *s = made(THRUM_TLS(OURS(&k->server), .on_server_name = choose, .arg = &choice));
    pair_make(&p, c, s, "a.test");
    assert_shaken(&p);
    stream_tls_info(p.client, &info);
    assert_string_equal(info.subject, "CN=a");
    pair_end(&p);
    pair_make(&p, c, s, "pair.test");
    assert_shaken(&p);
    assert_string_equal(choice.asked, "pair.test");
    pair_end(&p);
    choice.asked[0] = '\0';
    pair_make(&p, c, s, "127.0.0.1"); /* an address is no name (RFC 6066 section 3) */
    assert_shaken(&p);
    assert_string_equal(choice.asked, "");
    pair_end(&p);
    thrum_tls_free(c);
    thrum_tls_free(s);
    thrum_tls_free(choice.for_a);
    cert_free(&a);
}

static void test_peer_certificate(void **state)
{
    const struct certs *k = certs_usual();
    struct cert stranger;
    struct tls_pair p;
    ssize_t cr, sr;
    (void)state;
    cert_make(&stranger, &(struct cert_how){.name = "stranger"});
    works(THRUM_TLS(TRUSTED, OURS(&k->client)),
          THRUM_TLS(TRUSTED, OURS(&k->server), .peer_certificate = THRUM_ON), "localhost");
    thrum_tls *s = made(THRUM_TLS(TRUSTED, OURS(&k->server), .peer_certificate = THRUM_ON));
    thrum_tls *without = made(THRUM_TLS(TRUSTED)), *wrong = made(THRUM_TLS(TRUSTED, OURS(&stranger)));
    thrum_tls *right = made(THRUM_TLS(TRUSTED, OURS(&k->client)));
    pair_make(&p, without, s, "localhost");
    shake_pair(&p, &cr, &sr);
    assert_int_equal(sr, -EPROTO);
    assert_true(stream_failed(p.server, &err));
    assert_int_equal(err.status, THRUM_E_CERTIFICATE);
    pair_end(&p);
    pair_make(&p, wrong, s, "localhost");
    shake_pair(&p, &cr, &sr);
    assert_int_equal(sr, -EPROTO);
    assert_int_equal(cr, -EPROTO); /* told by an alert, behind its own handshake */
    assert_true(stream_failed(p.client, &err));
    assert_int_equal(err.status, THRUM_E_CERTIFICATE);
    pair_end(&p);
    /* Redirected to another origin we show none (R21). */
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_tls_client(&p.client, on_fd(fds[0]), right, slice("localhost"), 443, true, &err),
                     THRUM_OK);
    assert_int_equal(stream_tls_server(&p.server, on_fd(fds[1]), s, &err), THRUM_OK);
    shake_pair(&p, &cr, &sr);
    assert_int_equal(sr, -EPROTO);
    pair_end(&p);
    thrum_tls_free(s);
    thrum_tls_free(without);
    thrum_tls_free(wrong);
    thrum_tls_free(right);
    cert_free(&stranger);
}

static void test_callers_ctx(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    (void)state;
    assert_int_equal(SSL_CTX_load_verify_file(ctx, ca_file), 1);
    works(THRUM_TLS(.ssl_ctx = ctx), THRUM_TLS(OURS(&certs_usual()->server)), "localhost");
    struct tls_pair p;
    thrum_tls *c = made(THRUM_TLS(.ssl_ctx = ctx)), *s = made(THRUM_TLS(OURS(&certs_usual()->server)));
    SSL_CTX_free(ctx);
    pair_make(&p, c, s, "elsewhere.test"); /* checked even so */
    assert_client_refuses(&p, THRUM_E_CERTIFICATE, "another host");
    pair_end(&p);
    thrum_tls_free(c);
    thrum_tls_free(s);
}

/* ---- changing -------------------------------------------------------------------------------------------
 */

static void test_reload(void **state)
{
    const struct certs *k = certs_usual();
    struct cert next;
    struct tls_pair before, after;
    thrum_tls_info info = {.size = sizeof info};
    char in[4];
    (void)state;
    cert_make(&next, &(struct cert_how){.name = "next", .names = "DNS:localhost", .by = &k->authority});
    thrum_tls *c = made(THRUM_TLS(TRUSTED)), *s = made(THRUM_TLS(OURS(&k->server)));
    pair_make(&before, c, s, "localhost");
    assert_shaken(&before);
    assert_int_equal(thrum_tls_reload(s, THRUM_TLS(.cert_file = none_file), &err), THRUM_E_CERTIFICATE);
    assert_int_equal(thrum_tls_reload(s, THRUM_TLS(OURS(&next)), &err), THRUM_OK);
    pair_make(&after, c, s, "localhost");
    assert_shaken(&after);
    stream_tls_info(after.client, &info);
    assert_string_equal(info.subject, "CN=next");
    assert_false(info.resumed);
    assert_int_equal(put(before.client, "on", 2), 2);
    assert_int_equal(get(before.server, in, 4), 2);
    pair_end(&before);
    pair_end(&after);
    thrum_tls_free(c);
    thrum_tls_free(s);
    cert_free(&next);
}

static void test_settings(void **state)
{
    thrum_tls *a, *b, *t = made(NULL);
    (void)state;
    assert_int_equal(tls_settings(&a, NULL, NULL, &err), THRUM_OK);
    assert_int_equal(tls_settings(&b, NULL, NULL, &err), THRUM_OK);
    assert_ptr_equal(a, b); /* a client's defaults are made once */
    thrum_tls_free(a);
    thrum_tls_free(b);
    assert_int_equal(tls_settings(&a, NULL, t, &err), THRUM_OK);
    assert_ptr_equal(a, t);
    thrum_tls_free(a);
    assert_int_equal(tls_settings(&a, THRUM_TLS(.least = 13), t, &err), THRUM_E_ARGUMENT);
    assert_int_equal(tls_settings(&a, THRUM_TLS(.cert_file = both_file), NULL, &err), THRUM_OK);
    assert_true(tls_has_certificate(a));
    assert_false(tls_has_certificate(t));
    thrum_tls_free(a);
    thrum_tls_free(t);
}

static void make_and_free(struct fault_report *r, void *arg)
{
    thrum_tls *t;
    thrum_error e;
    (void)arg;
    (void)fault_note(r, "thrum_tls_new",
                     thrum_tls_new(&t,
                                   THRUM_TLS(.ca_file = ca_file, .cert_file = both_file, .server_name = "x",
                                             .keylog_file = "k"),
                                   &e),
                     &e);
    thrum_tls_free(t);
}

static void test_under_faults(void **state)
{
    (void)state;
    assert_true(
        fault_run("settings of TLS", make_and_free, NULL, &(struct fault_options){.same_thread = true}) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_sources),
        cmocka_unit_test(test_directory),        cmocka_unit_test(test_encrypted_key),
        cmocka_unit_test(test_keylog),           cmocka_unit_test(test_server_name),
        cmocka_unit_test(test_peer_certificate), cmocka_unit_test(test_callers_ctx),
        cmocka_unit_test(test_reload),           cmocka_unit_test(test_settings),
        cmocka_unit_test(test_under_faults),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
