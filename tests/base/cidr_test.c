/* cidr_test.c: addresses and blocks. */
#include "base/cidr.h"

#include "base_test.h"
#include <string.h>

static bool parses(const char *s)
{
    struct cidr c;
    return cidr_parse(&c, s, strlen(s));
}
static bool has(const char *block, const char *address)
{
    struct cidr b, a;
    assert_true(cidr_parse(&b, block, strlen(block)) && cidr_parse(&a, address, strlen(address)));
    return cidr_has(&b, &a);
}

static void test_parse(void **state)
{
    static const char *const bad[] = {
        "",        "x",    "1.2.3", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/x", "1.2.3.4/0001",
        "::1/129", "[::1", "::1]",  "1.2.3.4 ", "1.2.3.4/-1", "/8",        "[]"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parses(bad[i]))
            fail_msg("%s was taken", bad[i]);
    assert_true(parses("1.2.3.4") && parses("1.2.3.4/0") && parses("::/0") && parses("[2001:db8::1]") &&
                parses("[::1]/128"));
    struct cidr c;
    char large[100];
    memset(large, '1', sizeof large);
    assert_false(cidr_parse(&c, large, sizeof large));
}

static void test_has(void **state)
{
    (void)state;
    assert_true(has("192.0.2.0/24", "192.0.2.255"));
    assert_false(has("192.0.2.0/24", "192.0.3.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.200"));
    assert_false(has("192.0.2.128/25", "192.0.2.100"));
    assert_true(has("0.0.0.0/0", "203.0.113.1"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "203.0.113.1"));
    assert_true(has("192.0.2.1", "::ffff:192.0.2.1")); /* one address, two forms */
    assert_true(has("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::"));
    assert_false(has("192.0.2.0/24", "192.0.2.0/16"));
}

static void test_peers(void **state)
{
    static const struct {
        const char *peer, *address;
    } good[] = {{"192.0.2.1:443", "192.0.2.1"},
                {"[::1]:80", "::1"},
                {"[fe80::1%eth0]:80", "fe80::1"},
                {"192.0.2.1", "192.0.2.1"}};
    static const char *const bad[] = {"unix", "unix:/tmp/s", "", "[", "[::1", "h:80"};
    struct cidr c, a;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(cidr_parse_peer(&c, good[i].peer));
        assert_true(cidr_parse(&a, good[i].address, strlen(good[i].address)));
        assert_memory_equal(&c, &a, sizeof c);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cidr_parse_peer(&c, bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_has),
                                       cmocka_unit_test(test_peers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
