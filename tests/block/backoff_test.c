/* backoff_test.c: waits without a clock. */
#include "block/backoff.h"

#include "block_test.h"

static void test_ceilings(void **state)
{
    struct backoff b = {.first = 500, .most = 30000};
    static const int64_t want[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_int_equal(backoff_ceiling(&b), want[i]);
        const int64_t most = backoff_next(&b, UINT64_MAX / 2);
        assert_true(most >= 0 && most <= want[i]);
    }
    for (int i = 0; i < 200; i++)
        (void)backoff_next(&b, 1);
    assert_int_equal(backoff_ceiling(&b), 30000); /* it never overflows */
    b = (struct backoff){.first = INT64_MAX / 2, .most = INT64_MAX - 1};
    for (int i = 0; i < 70; i++)
        assert_true(backoff_next(&b, UINT64_MAX) >= 0);
}

/* All of [0, ceiling] is drawn from, both ends too. */
static void test_full_jitter(void **state)
{
    bool seen[9] = {false};
    (void)state;
    for (uint64_t i = 0; i < 9; i++) {
        struct backoff b = {.first = 8, .most = 8};
        seen[backoff_next(&b, i)] = true;
    }
    for (size_t i = 0; i < 9; i++)
        assert_true(seen[i]);
    struct backoff none = {.first = 0, .most = 0};
    assert_int_equal(backoff_next(&none, UINT64_MAX), 0);
}

static void test_retry_after(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "-1",
                                      "1.5",
                                      "12 ",
                                      "Sun, 06 Nov 1994 08:49:37 CET",
                                      "Sun, 06 Xxx 1994 08:49:37 GMT",
                                      "Sun, 06 anF 1994 08:49:37 GMT",
                                      "06 Nov 1994"};
    const time_t then = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 section 5.6.7 */
    (void)state;
    assert_int_equal(backoff_retry_after("0", then), 0);
    assert_int_equal(backoff_retry_after("120", then), 120000);
    assert_true(backoff_retry_after("99999999999999999999999999", then) > INT64_C(1) << 40);
    assert_int_equal(backoff_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", then - 5), 5000);
    assert_int_equal(backoff_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", then + 5), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (backoff_retry_after(bad[i], then) != -1)
            fail_msg("\"%s\" was taken", bad[i]);
}

static void test_final(void **state)
{
    static const int final[] = {400, 401, 403, 404, 407, 410, 426, 451},
                     not [] = {408, 425, 429, 500, 502, 503, 302};
    static const thrum_status statuses[] = {THRUM_E_CERTIFICATE, THRUM_E_ARGUMENT, THRUM_E_TOO_NEW},
                              others[] = {THRUM_E_RESOLVE, THRUM_E_CONNECT, THRUM_E_TIMEOUT, THRUM_E_TLS,
                                          THRUM_E_MEMORY,  THRUM_E_SYSTEM,  THRUM_E_RESET,   THRUM_E_CLOSED};
    (void)state;
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++)
        assert_true(
            backoff_is_final(&(thrum_error){.status = THRUM_E_REFUSED, .http_status = (uint16_t) final[i]}));
    for (size_t i = 0; i < sizeof not / sizeof not [0]; i++)
        assert_false(
            backoff_is_final(&(thrum_error){.status = THRUM_E_REFUSED, .http_status = (uint16_t) not [i]}));
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        assert_true(backoff_is_final(&(thrum_error){.status = statuses[i]}));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(backoff_is_final(&(thrum_error){.status = others[i]}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_full_jitter),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
