/* tls_test.c: wss:// from end to end, as users see it. */
#include "block_test.h"
#include "lib/certs.h"
#include <thrum/response.h>
#include <thrum/tls.h>

static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        if (thrum_send(c, m.kind, m.data, m.len) != THRUM_OK)
            break;
        thrum_message_release(&m);
    }
    thrum_message_release(&m);
}

#define PEM(which, text) .which = (text), .which##_len = strlen(text)
#define OURS(c)          PEM(cert, (c)->cert), PEM(key, (c)->key)
#define TRUSTED          PEM(ca, certs_usual()->authority.cert)

static thrum_server *serve_with(const thrum_tls_options *tls)
{
    thrum_server *s = NULL;
    thrum_error e;
    if (thrum_serve(&s, "wss://127.0.0.1:0/", THRUM_SERVER(.serve = echo, .tls = tls), &e) != THRUM_OK)
        fail_msg("serve: %s", e.text);
    return s;
}
static thrum_server *serve(void)
{
    return serve_with(THRUM_TLS(OURS(&certs_usual()->server)));
}

static thrum_conn *dial_with(const char *url, const thrum_tls_options *tls)
{
    thrum_conn *c = NULL;
    thrum_error e;
    if (thrum_connect(&c, url, THRUM_CLIENT(.tls = tls), &e) != THRUM_OK)
        fail_msg("connect: %s", e.text);
    return c;
}
static thrum_conn *dial_trusting(thrum_server *s)
{
    return dial_with(thrum_server_url(s), THRUM_TLS(TRUSTED));
}

static void say_back(thrum_conn *c, size_t n)
{
    uint8_t *p = malloc(n + 1);
    thrum_message m;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 31 + n);
    assert_status(thrum_send(c, THRUM_BINARY, p, n), THRUM_OK);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
    assert_int_equal(m.len, n);
    assert_memory_equal(m.data, p, n);
    thrum_message_release(&m);
    free(p);
}

static void test_echo(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 1000000};
    thrum_tls_info info = {.size = sizeof info};
    (void)state;
    thrum_server *s = serve();
    assert_memory_equal(thrum_server_url(s), "wss://127.0.0.1:", 16);
    thrum_conn *c = dial_trusting(s);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        say_back(c, sizes[i]);
    assert_status(thrum_conn_tls(c, &info), THRUM_OK);
    assert_string_equal(info.version, "TLSv1.3");
    assert_string_equal(info.alpn, "http/1.1");
    assert_string_equal(info.subject, "CN=thrum test server");
    assert_int_equal(info.verified, 1);
    assert_status(thrum_close(c, 1000, "done"), THRUM_OK);
    thrum_conn_free(c);
    thrum_server_free(s);
}

/* ---- who is it? -----------------------------------------------------------------------------------------
 */

static void refused(const char *url, const thrum_tls_options *tls, thrum_status want, const char *says)
{
    thrum_conn *c = NULL;
    thrum_error e;
    thrum_status s = thrum_connect(&c, url, THRUM_CLIENT(.tls = tls), &e);
    if (s != want || !strstr(e.text, says))
        fail_msg("%s: %s, \"%s\"", url, thrum_status_name(s), e.text);
    assert_null(c);
}

static void refuses(const struct cert *server, const char *host, const thrum_tls_options *client,
                    thrum_status want, const char *says)
{
    char url[64];
    thrum_server *s = serve_with(THRUM_TLS(OURS(server)));
    snprintf(url, sizeof url, "wss://%s:%u/", host, thrum_server_port(s));
    refused(url, client, want, says);
    thrum_server_free(s);
}

/* Verification is on by default, and each refusal says in words what is wrong. */
static void test_R23_verification(void **state)
{
    struct cert old, early, self, other, elsewhere;
    const struct cert *by = &certs_usual()->authority;
    const thrum_tls_options *trusting = THRUM_TLS(TRUSTED);
    (void)state;
    cert_make(&old, &(struct cert_how){
                        .name = "old", .names = "IP:127.0.0.1", .from_days = -9, .to_days = -2, .by = by});
    cert_make(&early, &(struct cert_how){
                          .name = "early", .names = "IP:127.0.0.1", .from_days = 2, .to_days = 9, .by = by});
    cert_make(&self, &(struct cert_how){.name = "self", .names = "IP:127.0.0.1"});
    cert_make(&other, &(struct cert_how){.name = "other", .names = "DNS:a.test,DNS:*.b.test", .by = by});
    cert_make(&elsewhere, &(struct cert_how){.name = "localhost", .names = "DNS:127.0.0.1", .by = by});
    refuses(&certs_usual()->server, "127.0.0.1", NULL, THRUM_E_CERTIFICATE, "CA is unknown");
    refuses(&old, "127.0.0.1", trusting, THRUM_E_CERTIFICATE, "expired");
    refuses(&early, "127.0.0.1", trusting, THRUM_E_CERTIFICATE, "not valid yet");
    refuses(&self, "127.0.0.1", trusting, THRUM_E_CERTIFICATE, "self-signed");
    refuses(&other, "127.0.0.1", trusting, THRUM_E_CERTIFICATE, "a.test");
    refuses(&other, "localhost", trusting, THRUM_E_CERTIFICATE, "*.b.test");
    refuses(&elsewhere, "127.0.0.1", trusting, THRUM_E_CERTIFICATE, "127.0.0.1"); /* a name is no address */
    cert_free(&old);
    cert_free(&early);
    cert_free(&self);
    cert_free(&other);
    cert_free(&elsewhere);
}

static void test_insecure_is_asked_for(void **state)
{
    thrum_tls_info info = {.size = sizeof info};
    (void)state;
    thrum_server *s = serve();
    thrum_conn *c = dial_with(thrum_server_url(s), THRUM_TLS(.insecure = THRUM_ON));
    say_back(c, 10);
    assert_status(thrum_conn_tls(c, &info), THRUM_OK);
    assert_int_equal(info.verified, 0);
    thrum_conn_free(c);
    thrum_server_free(s);
}

static void test_without_tls(void **state)
{
    char url[64];
    thrum_tls_info info = {.size = sizeof info, .version = "x"};
    struct pair p;
    thrum_error e;
    thrum_conn *c;
    (void)state;
    thrum_server *s = serve();
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", thrum_server_port(s));
    assert_status(thrum_connect(&c, url, NULL, &e), THRUM_E_REFUSED);
    assert_int_equal(e.http_status, 400);
    assert_non_null(strstr(e.text, "TLS"));
    thrum_server_free(s);
    assert_status(thrum_serve(&s, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo), &e), THRUM_OK);
    snprintf(url, sizeof url, "wss://127.0.0.1:%u/", thrum_server_port(s));
    refused(url, NULL, THRUM_E_TLS, "HTTP");
    thrum_server_free(s);
    pair_open(&p, AF_UNIX, false, NULL, NULL);
    assert_status(thrum_conn_tls(p.client, &info), THRUM_OK);
    assert_string_equal(info.version, "");
    info.size = 3;
    assert_status(thrum_conn_tls(p.client, &info), THRUM_E_ARGUMENT);
    pair_free(&p);
}

static void test_client_certificate(void **state)
{
    const struct certs *k = certs_usual();
    thrum_tls_info info = {.size = sizeof info};
    (void)state;
    thrum_server *s = serve_with(THRUM_TLS(OURS(&k->server), TRUSTED, .peer_certificate = THRUM_ON));
    refused(thrum_server_url(s), THRUM_TLS(TRUSTED), THRUM_E_CERTIFICATE, "certificate");
    thrum_conn *c = dial_with(thrum_server_url(s), THRUM_TLS(TRUSTED, OURS(&k->client)));
    say_back(c, 1000);
    assert_status(thrum_conn_tls(c, &info), THRUM_OK);
    thrum_conn_free(c);
    thrum_server_free(s);
}

/* ---- settings that are shared ---------------------------------------------------------------------------
 */

static thrum_tls *shared(const thrum_tls_options *o)
{
    thrum_tls *t;
    thrum_error e;
    if (thrum_tls_new(&t, o, &e) != THRUM_OK)
        fail_msg("thrum_tls_new: %s", e.text);
    return t;
}

static void test_resumption(void **state)
{
    thrum_tls_info info = {.size = sizeof info};
    thrum_conn *c;
    (void)state;
    thrum_server *s = serve();
    thrum_tls *t = shared(THRUM_TLS(TRUSTED));
    for (int i = 0; i < 3; i++) {
        assert_status(thrum_connect(&c, thrum_server_url(s), THRUM_CLIENT(.tls_shared = t), NULL), THRUM_OK);
        say_back(c, 100);
        assert_status(thrum_conn_tls(c, &info), THRUM_OK);
        assert_int_equal(info.resumed, i > 0);
        assert_int_equal(info.verified, 1);
        assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
        thrum_conn_free(c);
    }
    thrum_tls_free(t);
    thrum_server_free(s);
}

static void test_reload(void **state)
{
    const struct certs *k = certs_usual();
    struct cert next;
    thrum_server *s;
    thrum_error e;
    thrum_tls_info info = {.size = sizeof info};
    (void)state;
    cert_make(&next, &(struct cert_how){.name = "next year's", .names = "IP:127.0.0.1", .by = &k->authority});
    thrum_tls *t = shared(THRUM_TLS(OURS(&k->server)));
    assert_status(thrum_serve(&s, "wss://127.0.0.1:0/", THRUM_SERVER(.serve = echo, .tls_shared = t), &e),
                  THRUM_OK);
    thrum_conn *before = dial_trusting(s);
    assert_status(thrum_tls_reload(t, THRUM_TLS(PEM(cert, next.cert), PEM(key, k->server.key)), &e),
                  THRUM_E_CERTIFICATE);
    thrum_conn *between = dial_trusting(s);
    assert_status(thrum_tls_reload(t, THRUM_TLS(OURS(&next)), &e), THRUM_OK);
    thrum_conn *after = dial_trusting(s);
    say_back(before, 1000); /* it is not dropped */
    say_back(between, 1000);
    say_back(after, 1000);
    assert_status(thrum_conn_tls(between, &info), THRUM_OK);
    assert_string_equal(info.subject, "CN=thrum test server");
    assert_status(thrum_conn_tls(after, &info), THRUM_OK);
    assert_string_equal(info.subject, "CN=next year's");
    thrum_conn_free(before);
    thrum_conn_free(between);
    thrum_conn_free(after);
    thrum_server_free(s);
    thrum_tls_free(t);
    cert_free(&next);
}

static void test_settings(void **state)
{
    thrum_tls *t = shared(NULL);
    thrum_server *s;
    thrum_conn *c;
    thrum_error e;
    (void)state;
    assert_status(
        thrum_connect(&c, "wss://127.0.0.1:1/", THRUM_CLIENT(.tls = THRUM_TLS(), .tls_shared = t), &e),
        THRUM_E_ARGUMENT);
    assert_status(thrum_serve(&s, "wss://127.0.0.1:0/", THRUM_SERVER(.serve = echo, .tls_shared = t), &e),
                  THRUM_E_CERTIFICATE);
    assert_status(thrum_serve(&s, "wss://127.0.0.1:0/", THRUM_SERVER(.serve = echo), &e),
                  THRUM_E_CERTIFICATE);
    assert_non_null(strstr(e.text, "certificate"));
    thrum_tls_free(t);
}

/* ---- both directions at once ----------------------------------------------------------------------------
 * Each side sends and receives on threads of their own, against small socket buffers and messages that do not
 * fit in them: where a lock were held across a wait, all four would stand still. THRUM_TEST_SECONDS says how
 * long: a minute in CI. */

struct duplex {
    thrum_conn *c;
    uint64_t sent, received;
    _Atomic bool *stop;
};

static void *duplex_send(void *arg)
{
    enum { SIZE = 300000 };
    struct duplex *d = arg;
    uint8_t *p = malloc(SIZE);
    memset(p, 'x', SIZE);
    while (!atomic_load(d->stop) && thrum_send(d->c, THRUM_BINARY, p, SIZE) == THRUM_OK)
        d->sent++;
    if (thrum_send(d->c, THRUM_TEXT, "end", 3) != THRUM_OK)
        d->sent = 0;
    free(p);
    return NULL;
}

static void *duplex_recv(void *arg)
{
    struct duplex *d = arg;
    thrum_message m;
    while (thrum_recv(d->c, &m, PEER_MS) == THRUM_OK && m.kind == THRUM_BINARY) {
        d->received++;
        thrum_message_release(&m);
    }
    thrum_message_release(&m);
    return NULL;
}

static void wait_seconds(double s)
{
    struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}

static thrum_conn *_Atomic kept;
static _Atomic bool let_go;
static void keep(thrum_conn *c, void *arg)
{
    (void)arg;
    atomic_store(&kept, thrum_conn_ref(c));
    await(atomic_load(&let_go));
}

static void test_full_duplex(void **state)
{
    _Atomic bool stop = false;
    const char *seconds = getenv("THRUM_TEST_SECONDS");
    pthread_t t[4];
    thrum_server *s;
    (void)state;
    kept = NULL;
    assert_status(thrum_serve(&s, "wss://127.0.0.1:0/",
                              THRUM_SERVER(.serve = keep, .compression = THRUM_OFF,
                                           .tls = THRUM_TLS(OURS(&certs_usual()->server))),
                              NULL),
                  THRUM_OK);
    struct duplex side[2] = {{.c = dial_trusting(s), .stop = &stop}, {.stop = &stop}};
    await(atomic_load(&kept));
    side[1].c = kept;
    for (int i = 0; i < 2; i++) {
        pthread_create(&t[2 * i], NULL, duplex_send, &side[i]);
        pthread_create(&t[2 * i + 1], NULL, duplex_recv, &side[i]);
    }
    wait_seconds(seconds ? atof(seconds) : 1);
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    print_message("%.0f s: %llu messages of 300,000 bytes one way, %llu the other\n",
                  seconds ? atof(seconds) : 1, (unsigned long long)side[0].sent,
                  (unsigned long long)side[1].sent);
    assert_true(side[0].sent > 1 && side[1].sent > 1);
    assert_int_equal(side[0].sent, side[1].received);
    assert_int_equal(side[1].sent, side[0].received);
    atomic_store(&let_go, true);
    thrum_conn_free(side[0].c);
    thrum_conn_free(side[1].c);
    thrum_server_free(s);
}

/* ---- a peer that does not do its part -------------------------------------------------------------------
 */

static void test_silent_server(void **state)
{
    struct peer p;
    thrum_conn *c;
    thrum_error e;
    char url[64];
    (void)state;
    assert_true(peer_listen(&p, AF_INET, 8)); /* takes connections by the kernel, never says a word */
    snprintf(url, sizeof url, "wss://127.0.0.1:%u/", p.port);
    assert_status(thrum_connect(&c, url, THRUM_CLIENT(.open_timeout = 100), &e), THRUM_E_TIMEOUT);
    assert_null(c);
    peer_close(&p);
}

static void test_silent_client(void **state)
{
    struct peer p;
    thrum_server *s;
    (void)state;
    assert_status(thrum_serve(&s, "wss://127.0.0.1:0/",
                              THRUM_SERVER(.serve = echo, .open_timeout = 100,
                                           .tls = THRUM_TLS(OURS(&certs_usual()->server))),
                              NULL),
                  THRUM_OK);
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_write(&p, "\x16\x03\x01\x02", 4)); /* a hello that never ends */
    (void)peer_drain(&p, NULL);
    peer_close(&p);
    thrum_conn *c = dial_trusting(s); /* and others are served */
    say_back(c, 10);
    thrum_conn_free(c);
    thrum_server_free(s);
}

/* The end of TCP without close_notify and without a Close is no clean end. */
static void test_R23_truncation(void **state)
{
    thrum_closing how = {.size = sizeof how};
    thrum_message m;
    (void)state;
    thrum_server *s = serve();
    thrum_conn *c = dial_trusting(s);
    say_back(c, 10);
    struct stream *t = block_of(c)->c.stream;
    assert_int_equal(shutdown(t->ops->fd(t), SHUT_RD), 0);
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_E_UNCLEAN);
    assert_status(thrum_conn_closing(c, &how), THRUM_OK);
    assert_int_equal(how.clean, 0);
    thrum_conn_free(c);
    thrum_server_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_R23_verification),
        cmocka_unit_test(test_insecure_is_asked_for),
        cmocka_unit_test(test_without_tls),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_full_duplex),
        cmocka_unit_test(test_silent_server),
        cmocka_unit_test(test_silent_client),
        cmocka_unit_test(test_R23_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, all_threads_end);
}
