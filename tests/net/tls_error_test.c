/* tls_error_test.c: what went wrong, in words that name the cause (R23). */
#include "tls_pair.h"

static void refuses(const struct cert_how *how, const char *host, const thrum_tls_options *client,
                    thrum_status want, const char *says)
{
    struct cert k;
    struct tls_pair p;
    cert_make(&k, how);
    thrum_tls *c = made(client), *s = made(THRUM_TLS(OURS(&k)));
    pair_make(&p, c, s, host);
    assert_client_refuses(&p, want, says);
    pair_end(&p);
    thrum_tls_free(c);
    thrum_tls_free(s);
    cert_free(&k);
}

static void test_R23_certificates(void **state)
{
    const struct cert *by = &certs_usual()->authority;
    const thrum_tls_options *trusting = THRUM_TLS(TRUSTED);
    struct cert middle;
    (void)state;
    cert_make(&middle, &(struct cert_how){.name = "middle", .authority = true, .by = by});
#define HOW(...)   (&(struct cert_how){.name = "n", __VA_ARGS__})
#define FOR_H(...) HOW(.names = "DNS:h.test", __VA_ARGS__)
    refuses(FOR_H(.by = by, .from_days = -9, .to_days = -1), "h.test", trusting, THRUM_E_CERTIFICATE,
            "has expired (the peer's own on 2");
    refuses(FOR_H(.by = by, .from_days = 1, .to_days = 9), "h.test", trusting, THRUM_E_CERTIFICATE,
            "not valid yet (from 2");
    refuses(FOR_H(.by = by), "other.test", trusting, THRUM_E_CERTIFICATE, "another host: it has h.test");
    refuses(FOR_H(.by = by), "h.test.evil", trusting, THRUM_E_CERTIFICATE, "another host");
    refuses(HOW(.by = by, .names = "IP:192.0.2.1,IP:2001:db8::1"), "192.0.2.2", trusting, THRUM_E_CERTIFICATE,
            "192.0.2.1, 2001:db8:0:0:0:0:0:1");
    refuses(HOW(.by = by, .names = NULL), "n", trusting, THRUM_E_CERTIFICATE,
            "no name that counts"); /* the common name is none */
    refuses(HOW(.by = by, .names = "DNS:*.b.test"), "b.test", trusting, THRUM_E_CERTIFICATE, "*.b.test");
    refuses(HOW(.by = by, .names = "DNS:a*.b.test"), "ab.b.test", trusting, THRUM_E_CERTIFICATE,
            "another host");
    refuses(FOR_H(.by = NULL), "h.test", trusting, THRUM_E_CERTIFICATE, "self-signed");
    refuses(FOR_H(.by = by), "h.test", NULL, THRUM_E_CERTIFICATE, "CA is unknown");
    refuses(FOR_H(.by = &middle), "h.test", trusting, THRUM_E_CERTIFICATE,
            "CA is unknown"); /* the chain is not sent */
    cert_free(&middle);
}

static void test_names_that_cannot_be(void **state)
{
    struct stream *s;
    int fds[2];
    thrum_tls *c = made(THRUM_TLS(TRUSTED));
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_tls_client(&s, on_fd(fds[0]), c, slice("."), 443, false, &err), THRUM_E_ARGUMENT);
    assert_null(s);
    close(fds[1]);
    thrum_tls_free(c);
}

static void test_protocol(void **state)
{
    struct tls_pair p;
    ssize_t cr, sr;
    (void)state;
    thrum_tls *c = made(THRUM_TLS(TRUSTED, .least = 13, .ciphersuites = "TLS_AES_128_GCM_SHA256")),
              *s = made(THRUM_TLS(OURS(&certs_usual()->server), .least = 13,
                                  .ciphersuites = "TLS_AES_256_GCM_SHA384"));
    pair_make(&p, c, s, "localhost");
    shake_pair(&p, &cr, &sr);
    assert_int_equal(sr, -EPROTO);
    assert_true(stream_failed(p.server, &err));
    assert_int_equal(err.status, THRUM_E_TLS);
    assert_non_null(strstr(err.text, "cipher"));
    assert_int_equal(cr, -EPROTO);
    assert_true(stream_failed(p.client, &err));
    assert_int_equal(err.status, THRUM_E_TLS);
    assert_non_null(strstr(err.text, "localhost:443"));
    pair_end(&p);
    thrum_tls_free(c);
    thrum_tls_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R23_certificates),
        cmocka_unit_test(test_names_that_cannot_be),
        cmocka_unit_test(test_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
