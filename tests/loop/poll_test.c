/* Twin of src/loop/poll.c. */
#define BACKEND "poll"
#include "poller_checks.h"

int main(void)
{
    const struct CMUnitTest tests[] = {COMMON_CHECKS};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
