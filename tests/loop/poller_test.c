/* Twin of src/loop/poller.c: the choice of the backend. What a backend does is in poller_checks.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sys.h"
#include "loop/poller.h"
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

static void is(const char *name)
{
    struct poller *p;
    assert_int_equal(poller_new(&p), 0);
    assert_string_equal(poller_name(p), name);
    poller_free(p);
}

static void the_environment_chooses(void **state)
{
    (void)state;
    unsetenv("THRUM_BACKEND");
    is("epoll");
    setenv("THRUM_BACKEND", "poll", 1);
    is("poll");
    setenv("THRUM_BACKEND", "epoll", 1);
    is("epoll");
    setenv("THRUM_BACKEND", "kqueue", 1);
    is("epoll");
    setenv("THRUM_BACKEND", "", 1);
    is("epoll");
    poller_free(NULL);
}

static int epoll_error;
static int no_epoll(int flags)
{
    (void)flags;
    errno = epoll_error;
    return -1;
}

static void where_there_is_no_epoll(void **state)
{
    struct poller *p;
    (void)state;
    sys.epoll_create1 = no_epoll;
    epoll_error = ENOSYS;
    is("poll");
    epoll_error = EMFILE; /* poll would not get far either: the truth is better */
    assert_int_equal(poller_new(&p), EMFILE);
    assert_null(p);
    sys = sys_real;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_chooses),
        cmocka_unit_test(where_there_is_no_epoll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
