/* status_test.c: status.def against the public header. That the header has no status which the list lacks is
 * seen by the compiler: the switches of status.c have no default. */
#include "base_test.h"
#include <string.h>
#include <thrum/status.h>
#include <thrum/version.h>

static const struct {
    int number;
    thrum_status status;
    const char *name, *sentence;
} all[] = {
#define THRUM_STATUS(number, NAME, sentence) {number, THRUM_##NAME, #NAME, sentence},
#include "base/status.def"
#undef THRUM_STATUS
};
enum { ALL = sizeof all / sizeof *all };

static void test_list(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++) {
        assert_int_equal(all[i].number, all[i].status);
        const char *bare = strncmp(all[i].name, "E_", 2) == 0 ? all[i].name + 2 : all[i].name;
        assert_string_equal(thrum_status_name(all[i].status), bare);
        assert_string_equal(thrum_status_text(all[i].status), all[i].sentence);
        assert_int_equal(all[i].sentence[strlen(all[i].sentence) - 1], '.');
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(all[i].number, all[j].number);
            assert_string_not_equal(all[i].name, all[j].name);
        }
    }
    assert_string_equal(thrum_status_name(THRUM_E_TIMEOUT), "TIMEOUT");
    assert_string_equal(thrum_status_name(THRUM_OK), "OK");
}

static void test_no_status(void **state)
{
    (void)state;
    static const int none[] = {1, -1, -99, -106, -199, -702, -100000, 100};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_string_equal(thrum_status_name((thrum_status)none[i]), "?");
        assert_true(strlen(thrum_status_text((thrum_status)none[i])) > 0);
    }
}

static void test_version(void **state)
{
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", THRUM_VERSION_MAJOR, THRUM_VERSION_MINOR, THRUM_VERSION_PATCH);
    assert_string_equal(thrum_version(), text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_no_status),
        cmocka_unit_test(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
