/* behind_test.c: a server behind a proxy, and one that asks who comes in, seen from outside. */
#include "block_test.h"
#include "lib/certs.h"
#include <semaphore.h>
#include <thrum/tls.h>

static char seen[128];
static sem_t served;

static void tell_peer(thrum_conn *c, void *arg)
{
    (void)arg;
    snprintf(seen, sizeof seen, "%s", thrum_conn_peer(c));
    sem_post(&served);
}
static int check_health(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)arg;
    if (strcmp(thrum_request_target(r), "/healthz") != 0)
        return 0;
    return thrum_reply_body(a, "text/plain", "ok\n", 3) == THRUM_OK ? 200 : 500;
}

static thrum_server *serve(const char *url, const thrum_server_options *o)
{
    thrum_server *s = NULL;
    thrum_error e;
    if (thrum_serve(&s, url, o, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return s;
}

static const char *const here[] = {"127.0.0.0/8", NULL}, *const elsewhere[] = {"192.0.2.0/24", NULL};

/* As a proxy does: a header, then the client's own bytes. */
static thrum_status pass_on(const thrum_server *s, const char *header, const thrum_client_options *o,
                            thrum_error *e)
{
    struct peer p;
    thrum_conn *c;
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&p, header));
    thrum_status st = thrum_connect_fd(&c, p.fd, thrum_server_url(s), o, e);
    p.fd = -1;
    if (st == THRUM_OK) {
        while (sem_wait(&served) != 0)
            ;
        thrum_conn_free(c);
    }
    peer_close(&p);
    return st;
}

static void test_proxy_protocol(void **state)
{
    const struct certs *k = certs_usual();
    thrum_error e;
    (void)state;
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = tell_peer, .trusted_proxies = here,
                                                              .proxy_protocol = THRUM_ON));
    assert_status(pass_on(s, "PROXY TCP4 203.0.113.7 127.0.0.1 4000 80\r\n", NULL, &e), THRUM_OK);
    assert_string_equal(seen, "203.0.113.7:4000");
    assert_true(pass_on(s, "", NULL, &e) != THRUM_OK);
    thrum_server_free(s);
    s = serve("wss://127.0.0.1:0/",
              THRUM_SERVER(.serve = tell_peer, .trusted_proxies = here, .proxy_protocol = THRUM_ON,
                           .tls = THRUM_TLS(.cert = k->server.cert, .cert_len = strlen(k->server.cert),
                                            .key = k->server.key, .key_len = strlen(k->server.key))));
    assert_status(
        pass_on(s, "PROXY TCP6 2001:db8::7 ::1 4000 443\r\n",
                THRUM_CLIENT(.tls = THRUM_TLS(.ca = k->authority.cert, .ca_len = strlen(k->authority.cert))),
                &e),
        THRUM_OK);
    assert_string_equal(seen, "[2001:db8::7]:4000");
    thrum_server_free(s);
    /* Who is no proxy of ours says nothing that counts, and is not even let in. */
    s = serve("ws://127.0.0.1:0/",
              THRUM_SERVER(.serve = tell_peer, .trusted_proxies = elsewhere, .proxy_protocol = THRUM_ON));
    assert_true(pass_on(s, "PROXY TCP4 203.0.113.7 127.0.0.1 4000 80\r\n", NULL, &e) != THRUM_OK);
    thrum_server_free(s);
}

static void test_unfinished_header(void **state)
{
    struct peer p;
    (void)state;
    thrum_server *s =
        serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = tell_peer, .trusted_proxies = here,
                                                .proxy_protocol = THRUM_ON, .open_timeout = 100));
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&p, "PROXY TCP4 203.0"));
    (void)peer_drain(&p, NULL); /* it ends */
    peer_close(&p);
    thrum_server_free(s);
}

static void test_forwarded_for(void **state)
{
    const char *const headers[] = {"X-Forwarded-For", "1.1.1.1, 203.0.113.9", NULL};
    thrum_conn *c;
    (void)state;
    for (int trusts = 0; trusts < 2; trusts++) {
        thrum_server *s = serve("ws://127.0.0.1:0/",
                                THRUM_SERVER(.serve = tell_peer, .trusted_proxies = trusts ? here : elsewhere,
                                             .forwarded_for = THRUM_ON));
        assert_status(thrum_connect(&c, thrum_server_url(s), THRUM_CLIENT(.headers = headers), NULL),
                      THRUM_OK);
        while (sem_wait(&served) != 0)
            ;
        if (trusts)
            assert_string_equal(seen, "203.0.113.9");
        else
            assert_memory_equal(seen, "127.0.0.1:", 10);
        thrum_conn_free(c);
        thrum_server_free(s);
    }
}

static void test_R22_users(void **state)
{
    static const char *const users[] = {"me", "pw", NULL}, *const tokens[] = {"t0ken", NULL};
    thrum_conn *c;
    thrum_error e;
    struct peer p;
    char text[1000];
    (void)state;
    thrum_server *s = serve("ws://127.0.0.1:0/", THRUM_SERVER(.serve = tell_peer, .users = users,
                                                              .tokens = tokens, .on_request = check_health));
    assert_status(thrum_connect(&c, thrum_server_url(s), NULL, &e), THRUM_E_REFUSED);
    assert_int_equal(e.http_status, 401);
    assert_status(thrum_connect(&c, thrum_server_url(s), THRUM_CLIENT(.user = "me", .password = "no"), &e),
                  THRUM_E_REFUSED);
    assert_status(thrum_connect(&c, thrum_server_url(s), THRUM_CLIENT(.user = "me", .password = "pw"), &e),
                  THRUM_OK);
    thrum_conn_free(c);
    assert_status(thrum_connect(&c, thrum_server_url(s), THRUM_CLIENT(.bearer = "t0ken"), &e), THRUM_OK);
    thrum_conn_free(c);
    /* A health check is no WebSocket, and nobody in particular. */
    assert_true(peer_connect(&p, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&p, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(peer_read_until(&p, text, sizeof text, "ok\n") > 0);
    assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
    peer_close(&p);
    thrum_server_free(s);
}

int main(void)
{
    sem_init(&served, 0, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proxy_protocol),
        cmocka_unit_test(test_unfinished_header),
        cmocka_unit_test(test_forwarded_for),
        cmocka_unit_test(test_R22_users),
    };
    return cmocka_run_group_tests(tests, NULL, all_threads_end);
}
