/* proxy_header_test.c: both versions of the PROXY protocol, whole, in pieces and wrong. */
#include "wire/proxy_header.h"

#include "wire_test.h"
#include <string.h>

static struct proxy_header h;
static size_t used;
static const char *why;

/* Fed byte by byte: MORE until the last, and then what comes of it. */
static enum proxy_header_result slowly(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const enum proxy_header_result r = proxy_header_parse(&h, p, i, &used, &why);
        if (r == PROXY_HEADER_BAD)
            return r;
        assert_int_equal(r, PROXY_HEADER_MORE);
    }
    return proxy_header_parse(&h, p, n, &used, &why);
}

static void line(const char *text, enum proxy_header_kind kind, const char *address, unsigned port)
{
    assert_int_equal(slowly(text, strlen(text)), PROXY_HEADER_DONE);
    assert_int_equal(used, strlen(text));
    assert_int_equal(h.kind, kind);
    assert_int_equal(h.port, port);
    assert_int_equal(h.address.n, strlen(address));
    if (h.address.n > 0)
        assert_memory_equal(h.address.p, address, h.address.n);
}

static void test_version_1(void **state)
{
    (void)state;
    line("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", PROXY_HEADER_TEXT, "192.0.2.1", 56324);
    line("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", PROXY_HEADER_TEXT, "2001:db8::1", 1);
    line("PROXY UNKNOWN\r\n", PROXY_HEADER_LOCAL, "", 0);
    line("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", PROXY_HEADER_LOCAL, "", 0);
    static const char more[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n";
    assert_int_equal(proxy_header_parse(&h, (const uint8_t *)more, sizeof more - 1, &used, &why),
                     PROXY_HEADER_DONE);
    assert_memory_equal(more + used, "GET /", 5);
}

static void test_bad_version_1(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "PROXX",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 x 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY \r\n",
    };
    char endless[200];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (slowly(bad[i], strlen(bad[i])) != PROXY_HEADER_BAD)
            fail_msg("taken: %s", bad[i]);
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_header_parse(&h, (const uint8_t *)endless, 106, &used, &why), PROXY_HEADER_MORE);
    assert_int_equal(proxy_header_parse(&h, (const uint8_t *)endless, 107, &used, &why), PROXY_HEADER_BAD);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static size_t binary(uint8_t *out, unsigned command, unsigned family, const void *body, size_t n)
{
    memcpy(out, SIGNATURE, 12);
    out[12] = (uint8_t)command;
    out[13] = (uint8_t)family;
    out[14] = (uint8_t)(n >> 8);
    out[15] = (uint8_t)n;
    memcpy(out + 16, body, n);
    return 16 + n;
}

static void test_version_2(void **state)
{
    static const uint8_t four[] = {192,  0, 2, 1,    192, 0, 2, 2,
                                   0xdc, 4, 1, 0xbb, 3,   0, 1, 9 /* an extension */};
    static const uint8_t six[36] = {0x20, 1, 0xd, 0xb8, [15] = 1, [32] = 0, [33] = 80};
    static const uint8_t local[216] = {0};
    uint8_t m[300];
    (void)state;
    assert_int_equal(slowly(m, binary(m, 0x21, 0x11, four, sizeof four)), PROXY_HEADER_DONE);
    assert_int_equal(h.kind, PROXY_HEADER_INET);
    assert_int_equal(h.address.n, 4);
    assert_memory_equal(h.address.p, four, 4);
    assert_int_equal(h.port, 0xdc04);
    assert_int_equal(used, 16 + sizeof four);
    assert_int_equal(slowly(m, binary(m, 0x21, 0x21, six, sizeof six)), PROXY_HEADER_DONE);
    assert_int_equal(h.address.n, 16);
    assert_int_equal(h.port, 80);
    assert_int_equal(slowly(m, binary(m, 0x21, 0x31, local, sizeof local)), PROXY_HEADER_DONE);
    assert_int_equal(h.kind, PROXY_HEADER_UNIX);
    assert_int_equal(slowly(m, binary(m, 0x20, 0x00, "", 0)), PROXY_HEADER_DONE); /* LOCAL: a health check */
    assert_int_equal(h.kind, PROXY_HEADER_LOCAL);
    assert_int_equal(slowly(m, binary(m, 0x21, 0x00, "abc", 3)), PROXY_HEADER_DONE);
    assert_int_equal(h.kind, PROXY_HEADER_LOCAL);
}

static void test_bad_version_2(void **state)
{
    static const uint8_t zeros[64] = {0};
    uint8_t m[100];
    (void)state;
    assert_int_equal(slowly(m, binary(m, 0x11, 0x11, zeros, 12)), PROXY_HEADER_BAD); /* version 1 in binary */
    assert_int_equal(slowly(m, binary(m, 0x22, 0x11, zeros, 12)), PROXY_HEADER_BAD); /* no such command */
    assert_int_equal(slowly(m, binary(m, 0x21, 0x11, zeros, 11)), PROXY_HEADER_BAD);
    assert_int_equal(slowly(m, binary(m, 0x21, 0x21, zeros, 35)), PROXY_HEADER_BAD);
    assert_int_equal(slowly(m, binary(m, 0x21, 0x31, zeros, 64)), PROXY_HEADER_BAD);
    binary(m, 0x21, 0x11, zeros, 12);
    m[14] = 0xff; /* 65,292 bytes are to come: not before anybody is known */
    assert_int_equal(proxy_header_parse(&h, m, 28, &used, &why), PROXY_HEADER_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_bad_version_1),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_bad_version_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
