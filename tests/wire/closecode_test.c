/* closecode_test.c: all 65,536 codes. */
#include "wire/closecode.h"
#include "wire_test.h"

static void test_all(void **state)
{
    (void)state;
    static const struct {
        uint32_t from, to;
    } good[] = {{1000, 1003}, {1007, 1014}, {3000, 4999}};
    for (uint32_t code = 0; code <= 65535; code++) {
        bool want = false;
        for (size_t i = 0; i < COUNT(good); i++)
            want |= code >= good[i].from && code <= good[i].to;
        assert_int_equal(closecode_on_wire((uint16_t)code), want);
        bool named = code >= 1000 && code <= 1015 && code != 1004;
        assert_int_equal(strlen(closecode_name((uint16_t)code)) > 0, named);
    }
    assert_string_equal(closecode_name(CLOSE_GOING_AWAY), "going away");
    assert_string_equal(closecode_name(CLOSE_NORMAL), "normal closure");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
