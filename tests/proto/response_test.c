/* response_test.c: the server's answer where it was no 101. */
#include <thrum/response.h>
#include "lib/fault.h"
#include "proto_test.h"

static thrum_response *answered(const char *text, bool end)
{
    thrum_proto *p = new_client(NULL, NULL);
    feed_text(p, text);
    if (end)
        (void)thrum_proto_in_end(p, 0, now);
    thrum_response *r = proto_take_response(p);
    assert_null(proto_take_response(p)); /* once */
    thrum_proto_free(p);
    return r;
}

static void test_answer(void **state)
{
    size_t n;
    (void)state;
    thrum_response *r = answered(
        "HTTP/1.1 503 Try Later\r\nRetry-After: 5\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 4\r\n\r\nbusy",
        false);
    assert_int_equal(thrum_response_status(r), 503);
    assert_string_equal(thrum_response_reason(r), "Try Later");
    assert_string_equal(thrum_response_header(r, "RETRY-AFTER", 0), "5");
    assert_string_equal(thrum_response_header(r, "X-A", 1), "2");
    assert_null(thrum_response_header(r, "X-A", 2));
    assert_null(thrum_response_header(r, NULL, 0));
    assert_memory_equal(thrum_response_body(r, &n), "busy", 5);
    assert_int_equal(n, 4);
    thrum_response_free(r);
}

static void test_bodies(void **state)
{
    size_t n;
    (void)state;
    thrum_response *r = answered(
        "HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno \r\n3\r\nway\r\n0\r\n\r\n", false);
    assert_string_equal((const char *)thrum_response_body(r, &n), "no way");
    thrum_response_free(r);
    r = answered("HTTP/1.1 403 x\r\n\r\nuntil the end", true);
    assert_string_equal((const char *)thrum_response_body(r, &n), "until the end");
    thrum_response_free(r);
    r = answered("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n", false);
    assert_string_equal((const char *)thrum_response_body(r, &n), "");
    assert_int_equal(n, 0);
    thrum_response_free(r);
    char *large = malloc(200000);
    memset(large, 'y', 200000 - 1);
    large[200000 - 1] = '\0';
    memcpy(large, "HTTP/1.1 403 x\r\n\r\n", 18);
    r = answered(large, true);
    assert_non_null(r);
    (void)thrum_response_body(r, &n);
    assert_int_equal(n, 65536); /* no more is kept */
    thrum_response_free(r);
    free(large);
}

static void test_none(void **state)
{
    size_t n = 1;
    (void)state;
    assert_null(answered("HTTP/1.1 101 x\r\n\r\n", false)); /* a bad handshake is no refusal */
    assert_null(answered("nonsense\r\n\r\n", false));
    assert_null(answered("", true));
    assert_int_equal(thrum_response_status(NULL), 0);
    assert_string_equal(thrum_response_reason(NULL), "");
    assert_null(thrum_response_header(NULL, "A", 0));
    assert_string_equal((const char *)thrum_response_body(NULL, &n), "");
    assert_int_equal(n, 0);
    thrum_response_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
