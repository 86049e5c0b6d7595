/* Twin of src/net/address.c. */
#include "net/address_int.h"
#include "net_test.h"
#include <net/if.h>
#include <stdio.h>

static int numeric(struct address *a, const char *host, const char **why)
{
    memset(a, 0xAA, sizeof *a);
    return address_numeric(a, slice(host), 80, why);
}

static void check_text(const char *host, const char *expected)
{
    struct address a;
    char text[160];
    const char *why = NULL;
    assert_int_equal(numeric(&a, host, &why), 1);
    address_text(&a, text, sizeof text);
    assert_string_equal(text, expected);
}

static void digits(void **state)
{
    (void)state;
    check_text("192.0.2.1", "192.0.2.1:80");
    check_text("::1", "[::1]:80");
    check_text("2001:DB8::0:1", "[2001:db8::1]:80");
    check_text("::ffff:192.0.2.7", "192.0.2.7:80"); /* as a dual-stack socket sees an IPv4 peer */
}

static void names(void **state)
{
    static const char *const all[] = {
        "",
        "localhost",
        "256.0.0.1",
        "1.2.3",
        "::g",
        "1.2.3.4.",
        "[::1]",
        "1.2.3.4%lo",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct address a;
    const char *why = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        assert_int_equal(numeric(&a, all[i], &why), 0);
    assert_int_equal(address_numeric(&a, (thrum_slice){(const uint8_t *)"::1\0x", 5}, 80, &why), 0);
}

static void zones(void **state)
{
    char expected[64];
    struct address a;
    const char *why = NULL;
    (void)state;
    unsigned lo = if_nametoindex("lo");
    if (lo == 0)
        skip();
    snprintf(expected, sizeof expected, "[fe80::1%%lo]:80");
    check_text("fe80::1%lo", expected);
    check_text("fe80::1%25lo", expected);
    snprintf(expected, sizeof expected, "fe80::1%%25%u", lo);
    check_text(expected, "[fe80::1%lo]:80");
    check_text("fe80::1%99999999",
               "[fe80::1%99999999]:80"); /* a number without an interface is shown as it is */
    assert_int_equal(numeric(&a, "fe80::1%nosuchif", &why), -1);
    assert_non_null(why);
    assert_int_equal(numeric(&a, "fe80::1%", &why), -1);
    assert_int_equal(numeric(&a, "fe80::1%0", &why), -1);
}

static void ports(void **state)
{
    struct address a;
    struct in6_addr one = IN6ADDR_LOOPBACK_INIT;
    const char *why;
    (void)state;
    address_v4(&a, 0x7F000001, 1);
    assert_int_equal(address_family(&a), AF_INET);
    assert_int_equal(address_port(&a), 1);
    address_set_port(&a, 65535);
    assert_int_equal(address_port(&a), 65535);
    address_v6(&a, &one, 0, 443);
    assert_int_equal(address_family(&a), AF_INET6);
    assert_int_equal(address_port(&a), 443);
    address_set_port(&a, 258);
    assert_int_equal(address_port(&a), 258);
    assert_true(address_unix(&a, slice("/x"), &why));
    address_set_port(&a, 258);
    assert_int_equal(address_port(&a), 0);
}

static void check_unix(const char *path, const char *expected)
{
    struct address a;
    char text[600];
    const char *why;
    assert_true(address_unix(&a, slice(path), &why));
    address_text(&a, text, sizeof text);
    assert_string_equal(text, expected);
}

static void unix_paths(void **state)
{
    struct address a;
    const char *why = NULL;
    char path[109];
    (void)state;
    check_unix("/run/a.sock", "unix:/run/a.sock");
    check_unix("/a%20b%3Ac%3a", "unix:/a b:c:");
    check_unix("/100%", "unix:/100%"); /* not an escape: stands for itself */
    check_unix("/%4", "unix:/%4");
    check_unix("/%g0", "unix:/%g0");
    check_unix("/%0A", "unix:/\\n"); /* never raw in a log */
    memset(path, 'x', sizeof path);
    assert_true(address_unix(&a, (thrum_slice){(uint8_t *)path, 107}, &why));
    assert_false(address_unix(&a, (thrum_slice){(uint8_t *)path, 108}, &why));
    assert_non_null(strstr(why, "107"));
    assert_false(address_unix(&a, slice(""), &why));
    assert_non_null(strstr(why, "empty"));
    assert_false(address_unix(&a, slice("%00abstract"), &why));
    assert_non_null(strstr(why, "abstract"));
    assert_false(address_unix(&a, (thrum_slice){(const uint8_t *)"a\0b", 3}, &why));
}

static void nameless(void **state)
{
    struct address a = {.len = sizeof(sa_family_t)};
    char text[32], small[6];
    (void)state;
    a.a.ss_family = AF_UNIX;
    address_text(&a, text, sizeof text);
    assert_string_equal(text, "unix");
    a.a.ss_family = AF_UNSPEC;
    address_text(&a, text, sizeof text);
    assert_string_equal(text, "?");
    address_v4(&a, 0x7F000001, 80);
    address_text(&a, small, sizeof small); /* cut, but ended */
    assert_string_equal(small, "127.0");
}

static void local_errors(void **state)
{
    (void)state;
    assert_true(address_errno_is_local(EMFILE) && address_errno_is_local(ENFILE));
    assert_true(address_errno_is_local(ENOMEM) && address_errno_is_local(ENOBUFS));
    assert_false(address_errno_is_local(ECONNREFUSED) || address_errno_is_local(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits),       cmocka_unit_test(names),      cmocka_unit_test(zones),
        cmocka_unit_test(ports),        cmocka_unit_test(unix_paths), cmocka_unit_test(nameless),
        cmocka_unit_test(local_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
