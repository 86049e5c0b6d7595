/* buf_test.c: growth, the maximum on both sides, and that a failure changes nothing. */
#include "base/buf.h"
#include "base_test.h"
#include <string.h>

static void test_append_and_shift(void **state)
{
    (void)state;
    struct buf b;
    uint8_t want[3000];
    size_t n = 0;
    buf_init(&b, sizeof want);
    for (unsigned i = 0; n < sizeof want; i++) { /* pieces of 0, 1, 2 ... bytes */
        uint8_t piece[100];
        size_t k = i % 100 < sizeof want - n ? i % 100 : sizeof want - n;
        memset(piece, (int)(i & 255), sizeof piece);
        memcpy(want + n, piece, k);
        assert_int_equal(buf_append(&b, piece, k), THRUM_OK);
        n += k;
        assert_int_equal(b.len, n);
        assert_true(b.cap >= n && b.cap <= b.max);
    }
    assert_memory_equal(b.p, want, n);
    buf_shift(&b, 0);
    assert_int_equal(b.len, n);
    buf_shift(&b, 1234);
    assert_int_equal(b.len, n - 1234);
    assert_memory_equal(b.p, want + 1234, b.len);
    buf_shift(&b, b.len);
    assert_int_equal(b.len, 0);
    buf_free(&b);
}

static void test_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(buf_reserve(&b, 101), THRUM_E_TOO_BIG);
    assert_null(b.p);
    assert_int_equal(buf_append(&b, "0123456789", 10), THRUM_OK);
    assert_int_equal(buf_reserve(&b, 90), THRUM_OK);
    assert_int_equal(b.cap, 100); /* doubled would be over the maximum */
    uint8_t *p = b.p;
    assert_int_equal(buf_reserve(&b, 91), THRUM_E_TOO_BIG);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), THRUM_E_TOO_BIG);
    assert_ptr_equal(b.p, p);
    assert_int_equal(b.len, 10);
    buf_free(&b);
    assert_null(b.p);
    assert_int_equal(b.len + b.cap, 0);
    assert_int_equal(buf_append(&b, "x", 1), THRUM_OK); /* usable again, with its maximum */
    assert_int_equal(buf_reserve(&b, 100), THRUM_E_TOO_BIG);
    buf_free(&b);
    buf_init(&b, 0);
    assert_int_equal(buf_append(&b, NULL, 0), THRUM_OK);
    assert_int_equal(buf_append(&b, "x", 1), THRUM_E_TOO_BIG);
    buf_free(&b);
}

static void test_doubles(void **state)
{
    (void)state;
    struct buf b;
    counter_on();
    counter.asked = 0;
    buf_init(&b, SIZE_MAX);
    for (int i = 0; i < 1 << 16; i++)
        assert_int_equal(buf_append(&b, "x", 1), THRUM_OK);
    assert_in_range(counter.asked, 1, 17); /* not once a byte */
    buf_free(&b);
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct buf b;
    counter_on();
    buf_init(&b, 1000);
    counter.refuse_from = 0;
    assert_int_equal(buf_append(&b, "x", 1), THRUM_E_MEMORY);
    assert_null(b.p);
    counter.refuse_from = 1;
    assert_int_equal(buf_append(&b, "abc", 3), THRUM_OK);
    struct buf was = b;
    assert_int_equal(buf_reserve(&b, 900), THRUM_E_MEMORY);
    assert_memory_equal(&b, &was, sizeof b);
    assert_memory_equal(b.p, "abc", 3);
    counter.refuse_from = -1;
    assert_int_equal(buf_reserve(&b, 900), THRUM_OK);
    assert_memory_equal(b.p, "abc", 3);
    buf_free(&b);
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_shift),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
