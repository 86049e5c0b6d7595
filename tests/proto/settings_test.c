/* settings_test.c: options to settings: defaults, bad values named, structs older and newer than the library.
 */
#include "proto_test.h"

static void bad_client(const thrum_client_options *o, const char *says)
{
    struct settings s;
    thrum_error e;
    assert_status(settings_client(&s, o, &e), THRUM_E_ARGUMENT);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" does not say %s", e.text, says);
}

static void bad_server(const thrum_server_options *o, const char *says)
{
    struct settings s;
    thrum_error e;
    assert_status(settings_server(&s, o, &e), THRUM_E_ARGUMENT);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" does not say %s", e.text, says);
}

static void test_defaults(void **state)
{
    struct settings c, s;
    (void)state;
    assert_status(settings_client(&c, NULL, NULL), THRUM_OK);
    assert_int_equal(c.open_timeout, 10000);
    assert_int_equal(c.close_timeout, 10000);
    assert_int_equal(c.send_timeout, -1);
    assert_int_equal(c.ping_interval, 20000);
    assert_int_equal(c.ping_timeout, 20000);
    assert_int_equal(c.max_message, 1 << 20);
    assert_int_equal(c.max_frame, 1 << 20);
    assert_int_equal(c.max_fragments, 65536);
    assert_int_equal(c.recv_high, 4 << 20);
    assert_int_equal(c.recv_low, 1 << 20);
    assert_int_equal(c.send_high, 1 << 20);
    assert_string_equal(c.user_agent, "thrum/" THRUM_VERSION);
    settings_free(&c);
    assert_status(settings_server(&s, NULL, NULL), THRUM_OK);
    assert_int_equal(s.max_conns, 10000);
    assert_int_equal(s.backlog, 511);
    assert_true(s.unlink_socket);
    assert_false(s.reuse_port);
    settings_free(&s);
}

static void test_values(void **state)
{
    struct settings c;
    (void)state;
    assert_status(settings_client(
                      &c,
                      THRUM_CLIENT(.ping_interval = THRUM_FOREVER, .max_message = 7, .subprotocols = " a ,b"),
                      NULL),
                  THRUM_OK);
    assert_int_equal(c.ping_interval, -1);
    assert_int_equal(c.max_frame, 7); /* as max_message */
    assert_string_equal(c.subprotocols[1], "b");
    assert_null(c.subprotocols[2]);
    settings_free(&c);
}

static void test_bad_values(void **state)
{
    const char *const crlf[] = {"A", "b\r\nc", NULL}, *const host[] = {"Host", "x", NULL},
                      *const odd[] = {"A", NULL}, *const origin[] = {"a.test", NULL},
                      *const hosts[] = {"a b", NULL};
    (void)state;
    bad_client(THRUM_CLIENT(.close_timeout = -2), "close_timeout");
    bad_client(THRUM_CLIENT(.send_timeout = -2), "send_timeout");
    bad_client(THRUM_CLIENT(.ping_interval = -9), "ping_interval");
    bad_client(THRUM_CLIENT(.ping_timeout = -9), "ping_timeout");
    bad_client(THRUM_CLIENT(.recv_high = 1, .recv_low = 2), "recv_low");
    bad_client(THRUM_CLIENT(.spin_us = 2000000), "spin_us");
    bad_client(THRUM_CLIENT(.attended = (thrum_switch)3), "attended");
    bad_client(THRUM_CLIENT(.subprotocols = "a b"), "subprotocols");
    bad_client(THRUM_CLIENT(.subprotocols = "a,a"), "twice");
    bad_client(THRUM_CLIENT(.user_agent = "a\x01"), "user_agent");
    bad_client(THRUM_CLIENT(.headers = crlf), "control");
    bad_client(THRUM_CLIENT(.headers = host), "Host");
    bad_client(THRUM_CLIENT(.headers = odd), "no value");
    bad_server(THRUM_SERVER(.origins = origin), "origins");
    bad_server(THRUM_SERVER(.hosts = hosts), "hosts");
    bad_server(THRUM_SERVER(.backlog = 70000), "backlog");
    bad_server(THRUM_SERVER(.stack_size = 100), "stack_size");
    bad_server(THRUM_SERVER(.reuse_port = (thrum_switch)9), "reuse_port");
    bad_server(THRUM_SERVER(.server_name = "a\r"), "server_name");
}

static void test_sizes(void **state)
{
    struct {
        thrum_client_options o;
        uint64_t more[4];
    } newer = {.o = {.size = sizeof newer, .max_message = 9}};
    thrum_client_options older = {.size = offsetof(thrum_client_options, close_timeout),
                                  .open_timeout = 5,
                                  .close_timeout = -77 /* beyond its size: not looked at */};
    struct settings s;
    thrum_error e;
    (void)state;
    assert_status(settings_client(&s, &newer.o, &e), THRUM_OK);
    assert_int_equal(s.max_message, 9);
    settings_free(&s);
    newer.more[3] = 1;
    assert_status(settings_client(&s, &newer.o, &e), THRUM_E_TOO_NEW);
    assert_status(settings_client(&s, &older, &e), THRUM_OK);
    assert_int_equal(s.open_timeout, 5);
    assert_int_equal(s.close_timeout, 10000);
    settings_free(&s);
    older.size = 0;
    assert_status(settings_client(&s, &older, &e), THRUM_E_ARGUMENT);
    older.size = 17;
    assert_status(settings_client(&s, &older, &e), THRUM_E_ARGUMENT);
    thrum_client_options_init(&older, sizeof older);
    assert_int_equal(older.size, sizeof older);
    assert_int_equal(older.close_timeout, 0);
    thrum_client_options_init(NULL, 8);
    thrum_server_options_init(NULL, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
