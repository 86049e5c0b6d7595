/* forwarded_test.c: whose word counts about who the client is. */
#include "proto_test.h"

static const char *const trusted[] = {"10.0.0.0/8", "fd00::/8", "unix", NULL};
static char who[128];

static int look(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)a;
    (void)arg;
    snprintf(who, sizeof who, "%s", thrum_request_peer(r));
    return 204;
}

static const char *peer_of(const char *connected, const char *fields, thrum_switch forwarded)
{
    thrum_host host = test_host;
    thrum_proto *p;
    thrum_error e;
    char request[4096];
    host.peer = connected;
    if (thrum_proto_server(
            &p, THRUM_SERVER(.on_request = look, .trusted_proxies = trusted, .forwarded_for = forwarded),
            &host, now, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: h.test\r\n%s\r\n", fields);
    who[0] = '\0';
    feed_text(p, request);
    thrum_proto_free(p);
    return who;
}
#define XFF(list) "X-Forwarded-For: " list "\r\n"

static void test_believed(void **state)
{
    (void)state;
    assert_string_equal(peer_of("10.1.2.3:5", XFF("203.0.113.9"), THRUM_ON), "203.0.113.9");
    assert_string_equal(peer_of("[fd00::1]:5", XFF("203.0.113.9:77"), THRUM_ON), "203.0.113.9:77");
    assert_string_equal(peer_of("unix:/tmp/s", XFF("2001:db8::9"), THRUM_ON), "2001:db8::9");
    assert_string_equal(peer_of("unix", XFF("[2001:db8::9]:1"), THRUM_ON), "[2001:db8::9]:1");
    /* The client can have written anything on the left; only what our own proxies wrote counts. */
    assert_string_equal(peer_of("10.1.2.3:5", XFF("1.1.1.1, 203.0.113.9"), THRUM_ON), "203.0.113.9");
    assert_string_equal(peer_of("10.1.2.3:5", XFF("1.1.1.1, 203.0.113.9, 10.9.9.9"), THRUM_ON),
                        "203.0.113.9");
    assert_string_equal(peer_of("10.1.2.3:5", XFF("203.0.113.9") XFF("10.9.9.9"), THRUM_ON), "203.0.113.9");
    assert_string_equal(peer_of("10.1.2.3:5", XFF("10.7.7.7, 10.9.9.9:1"), THRUM_ON),
                        "10.7.7.7"); /* all are ours */
}

static void test_not_believed(void **state)
{
    char many[2000] = "X-Forwarded-For: ";
    (void)state;
    assert_string_equal(peer_of("192.0.2.1:5", XFF("203.0.113.9"), THRUM_ON),
                        "192.0.2.1:5"); /* no proxy of ours */
    assert_string_equal(peer_of("10.1.2.3:5", XFF("203.0.113.9"), THRUM_DEFAULT), "10.1.2.3:5");
    assert_string_equal(peer_of("10.1.2.3:5", "", THRUM_ON), "10.1.2.3:5");
    assert_string_equal(peer_of("10.1.2.3:5", XFF("unknown"), THRUM_ON), "10.1.2.3:5");
    assert_string_equal(peer_of("10.1.2.3:5", XFF(" , ,"), THRUM_ON), "10.1.2.3:5");
    assert_string_equal(peer_of("10.1.2.3:5", XFF("203.0.113.9, evil<script>, 10.9.9.9"), THRUM_ON),
                        "10.9.9.9");
    assert_string_equal(peer_of("10.1.2.3:5", XFF("203.0.113.0/24"), THRUM_ON),
                        "10.1.2.3:5"); /* a block is no address */
    for (int i = 0; i < 100; i++)
        strcat(many, "10.2.2.2, ");
    strcat(many, "203.0.113.7, 10.3.3.3\r\n");
    assert_string_equal(peer_of("10.1.2.3:5", many, THRUM_ON), "203.0.113.7");
}

static void refused(const thrum_server_options *o, const char *says)
{
    thrum_proto *p;
    thrum_error e;
    assert_status(thrum_proto_server(&p, o, &test_host, now, &e), THRUM_E_ARGUMENT);
    if (!strstr(e.text, says))
        fail_msg("%s", e.text);
}

static void test_options(void **state)
{
    static const char *const name[] = {"proxy.test", NULL};
    (void)state;
    refused(THRUM_SERVER(.forwarded_for = THRUM_ON), "need .trusted_proxies");
    refused(THRUM_SERVER(.proxy_protocol = THRUM_ON), "need .trusted_proxies");
    refused(THRUM_SERVER(.trusted_proxies = name), "proxy.test");
    refused(THRUM_SERVER(.trusted_proxies = trusted, .forwarded_for = (thrum_switch)7), "THRUM_DEFAULT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_believed),
        cmocka_unit_test(test_not_believed),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
