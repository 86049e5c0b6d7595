/* proxy_socks_test.c: the handshakes of SOCKS, to the byte. */
#include "proxy_test.h"

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static void assert_heard(const uint8_t *want, size_t n)
{
    uint8_t got[600];
    assert_int_equal(heard(got, sizeof got), n);
    assert_memory_equal(got, want, n);
}
static void look(void)
{
    char c;
    assert_int_equal(way_read(&c, 1), -EAGAIN);
}

static void test_socks4(void **state)
{
    (void)state;
    assert_int_equal(way_open("socks4://me@p", "192.0.2.9", 443), THRUM_OK);
    assert_int_equal(stream_wants(way.s, POLLIN), POLLOUT); /* it has something to say first */
    look();
    assert_int_equal(stream_wants(way.s, POLLOUT), POLLIN); /* and waits for the answer */
    assert_heard(BYTES(4, 1, 1, 0xbb, 192, 0, 2, 9, 'm', 'e', 0));
    assert_int_equal(say_slowly(BYTES(0, 90, 0, 0, 0, 0, 0, 0)), -EAGAIN);
    assert_open();
    way_close();
    assert_int_equal(way_open("socks4a://p", "name.test", 80), THRUM_OK);
    look();
    assert_heard(BYTES(4, 1, 0, 80, 0, 0, 0, 1, 0, 'n', 'a', 'm', 'e', '.', 't', 'e', 's', 't', 0));
    say(BYTES(0, 91, 0, 0, 0, 0, 0, 0));
    assert_broken(THRUM_E_PROXY, 0, "code 91");
    way_close();
    assert_int_equal(way_open("socks4://p", "name.test", 80), THRUM_E_ARGUMENT);
    way_close();
    assert_int_equal(way_open("socks4a://p", "2001:db8::1", 80), THRUM_E_ARGUMENT);
    assert_non_null(strstr(way.err.text, "socks5"));
    way_close();
}

static void answer4(const uint8_t *p, size_t n, const char *says)
{
    assert_int_equal(way_open("socks4a://u@p", "h", 80), THRUM_OK);
    look();
    say(p, n);
    if (n < 8)
        assert_int_equal(shutdown(way.peer, SHUT_WR), 0);
    assert_broken(THRUM_E_PROXY, 0, says);
    way_close();
}

static void test_socks4_answers(void **state)
{
    (void)state;
    answer4(BYTES(0, 92, 0, 0, 0, 0, 0, 0), "user \"u\"");
    answer4(BYTES('H', 'T', 'T', 'P', '/', '1', '.', '1'), "does not speak SOCKS 4");
    answer4(BYTES(0, 90, 0), "closed the connection");
}

static void ask5(const char *proxy, const char *host)
{
    assert_int_equal(way_open(proxy, host, 443), THRUM_OK);
    look();
    assert_heard(BYTES(5, 1, 0));
    say(BYTES(5, 0));
    look();
}

static void test_socks5(void **state)
{
    (void)state;
    ask5("socks5h://p", "h.test");
    assert_heard(BYTES(5, 1, 0, 3, 6, 'h', '.', 't', 'e', 's', 't', 1, 0xbb));
    assert_int_equal(say_slowly(BYTES(5, 0, 0, 1, 10, 0, 0, 1, 4, 0)), -EAGAIN);
    assert_open();
    way_close();
    ask5("socks5://p", "192.0.2.1");
    assert_heard(BYTES(5, 1, 0, 1, 192, 0, 2, 1, 1, 0xbb));
    assert_int_equal(say_slowly(BYTES(5, 0, 0, 3, 2, 'x', 'y', 4, 0)), -EAGAIN); /* bound to a name */
    assert_open();
    way_close();
    ask5("socks5://p", "2001:db8::2");
    assert_heard(BYTES(5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0xbb));
    /* What comes with the last byte of the answer is the server's. */
    say(BYTES(5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 'f', 'r', 'o', 'm'));
    char got[8];
    assert_int_equal(way_read(got, sizeof got), 4);
    assert_memory_equal(got, "from", 4);
    assert_open();
    way_close();
}

static void test_socks5_password(void **state)
{
    (void)state;
    assert_int_equal(way_open("socks5h://me:se%3Acret@p", "h", 80), THRUM_OK);
    look();
    assert_heard(BYTES(5, 2, 0, 2));
    say(BYTES(5, 2));
    look();
    assert_heard(BYTES(1, 2, 'm', 'e', 7, 's', 'e', ':', 'c', 'r', 'e', 't'));
    assert_int_equal(say_slowly(BYTES(1, 0)), -EAGAIN);
    assert_heard(BYTES(5, 1, 0, 3, 1, 'h', 0, 80));
    say(BYTES(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    assert_open();
    way_close();
}

static void refused5(const char *proxy, const uint8_t *p, size_t n, const char *says)
{
    assert_int_equal(way_open(proxy, "h", 80), THRUM_OK);
    look();
    say(p, n);
    (void)shutdown(way.peer, SHUT_WR);
    assert_broken(THRUM_E_PROXY, 0, says);
    assert_int_equal(stream_wants(way.s, POLLIN), POLLIN);
    way_close();
}

static void test_socks5_refusals(void **state)
{
    (void)state;
    refused5("socks5://p", BYTES(5, 0xff), "asks for a user");
    refused5("socks5://p", BYTES(5, 2), "asks for a user");
    refused5("socks5://u:p@p", BYTES(5, 0xff), "neither");
    refused5("socks5://u:p@p", BYTES(5, 2, 1, 1), "password of \"u\"");
    refused5("socks5://p", BYTES('H', 'T'), "does not speak SOCKS 5");
    refused5("socks5://p", BYTES(5, 0, 5, 5, 0, 1, 0), "connection was refused");
    refused5("socks5://p", BYTES(5, 0, 5, 2, 0, 1, 0), "rules forbid");
    refused5("socks5://p", BYTES(5, 0, 5, 77, 0, 1, 0), "without a name");
    refused5("socks5://p", BYTES(5, 0, 5, 0, 0, 9, 0), "type of address");
    refused5("socks5://p", BYTES(5, 0, 4, 0, 0, 1, 0), "no SOCKS 5");
    refused5("socks5://p", BYTES(5, 0, 5, 0, 0, 1, 0, 0), "closed the connection");
    refused5("socks5://p", BYTES(5), "closed the connection");
}

/* SOCKS 4 within SOCKS 5: they compose, whoever is below. */
static void test_socks_within_socks(void **state)
{
    struct proxy p;
    const char *why;
    (void)state;
    assert_int_equal(way_open("socks5h://outer", "inner", 1080), THRUM_OK);
    struct stream *below = way.s;
    assert_true(proxy_parse(&p, "socks4a://inner", &why));
    assert_int_equal(stream_proxy(&way.s, below, &p, slice("h"), 80, &way.err), THRUM_OK);
    look();
    assert_heard(BYTES(5, 1, 0));
    assert_int_equal(say_slowly(BYTES(5, 0)), -EAGAIN);
    assert_heard(BYTES(5, 1, 0, 3, 5, 'i', 'n', 'n', 'e', 'r', 4, 0x38));
    assert_int_equal(say_slowly(BYTES(5, 0, 0, 1, 0, 0, 0, 0, 0, 0)), -EAGAIN);
    assert_heard(BYTES(4, 1, 0, 80, 0, 0, 0, 1, 0, 'h', 0));
    assert_int_equal(say_slowly(BYTES(0, 90, 0, 0, 0, 0, 0, 0)), -EAGAIN);
    assert_open();
    way_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socks4),          cmocka_unit_test(test_socks4_answers),
        cmocka_unit_test(test_socks5),          cmocka_unit_test(test_socks5_password),
        cmocka_unit_test(test_socks5_refusals), cmocka_unit_test(test_socks_within_socks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
