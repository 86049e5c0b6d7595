/* tls_resume_test.c: sessions are kept by host and port, used once, and not for ever. */
#include "tls_pair.h"
#include "net/tls_int.h"
#include <stdio.h>

static thrum_tls *client, *server;

static int set_up(void **state)
{
    (void)state;
    client = made(THRUM_TLS(TRUSTED));
    server = made(THRUM_TLS(OURS(&certs_usual()->server)));
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    thrum_tls_free(client);
    thrum_tls_free(server);
    return 0;
}

static bool resumes(const char *host, bool anonymous)
{
    thrum_tls_info info = {.size = sizeof info};
    struct tls_pair p;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_tls_client(&p.client, on_fd(fds[0]), client, slice(host), 443, anonymous, &err),
                     THRUM_OK);
    assert_int_equal(stream_tls_server(&p.server, on_fd(fds[1]), server, &err), THRUM_OK);
    assert_shaken(&p);
    stream_tls_info(p.client, &info);
    assert_true(info.verified);
    pair_end(&p);
    return info.resumed;
}

static void test_by_host(void **state)
{
    (void)state;
    assert_false(resumes("localhost", false));
    assert_true(resumes("localhost", false));
    assert_false(resumes("pair.test", false));
    assert_true(resumes("localhost", false));
    assert_true(resumes("pair.test", false));
    assert_false(resumes("localhost", true)); /* another origin than the first is not told who we were */
    assert_true(resumes("localhost", false));
}

static void test_off(void **state)
{
    (void)state;
    assert_int_equal(thrum_tls_reload(client, THRUM_TLS(TRUSTED, .resume = THRUM_OFF), &err), THRUM_OK);
    assert_false(resumes("localhost", false));
    assert_false(resumes("localhost", false));
}

static void test_once_and_bounded(void **state)
{
    char name[32];
    (void)state;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "host-%d:443", i);
        tls_lock();
        assert_true(tls_resume_keep(client, name, SSL_SESSION_new()));
        tls_unlock();
    }
    assert_int_equal(client->nsessions, 32);
    tls_lock();
    assert_null(tls_resume_take(client, "host-0:443")); /* the oldest went */
    SSL_SESSION *s = tls_resume_take(client, "host-39:443");
    assert_non_null(s);
    SSL_SESSION_free(s);
    assert_null(tls_resume_take(client, "host-39:443")); /* once */
    tls_resume_forget(client);
    tls_unlock();
    assert_int_equal(client->nsessions, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_once_and_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
