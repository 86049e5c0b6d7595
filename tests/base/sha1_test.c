/* sha1_test.c: the examples of FIPS 180, and of RFC 6455 section 1.3. */
#include "base/sha1.h"
#include "base_test.h"
#include "lib/guard.h"
#include <string.h>

static void expect(const void *p, size_t n, const char *hex)
{
    uint8_t out[20];
    char text[41];
    uint8_t *in = guard_copy(p, n);
    sha1(out, in, n);
    for (int i = 0; i < 20; i++)
        snprintf(text + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(text, hex);
    guard_free(in, n);
}

static void test_examples(void **state)
{
    (void)state;
    static char million[1000000];
    memset(million, 'a', sizeof million);
    expect("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    expect("abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    expect("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
           "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    expect(million, sizeof million, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    expect("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 60,
           "b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_examples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
