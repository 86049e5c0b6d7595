/* Twin of src/loop/epoll.c, as the warden has it: any thread arms. A loop's is busy_test.c's. */
#define BACKEND   "epoll"
#define MAKE(out) epoll_poller_new(out)
#include "loop/poller_int.h"
#include "poller_checks.h"

int main(void)
{
    const struct CMUnitTest tests[] = {COMMON_CHECKS};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
