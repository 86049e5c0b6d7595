/* Twin of src/loop/poller.c: the choice of the backend. What a backend does is in poller_checks.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/sys.h"
#include "loop/poller.h"
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- for a loop ---- */
static bool kernel_has_uring(void)
{
    struct poller *p;
    int r = poller_new_loop(&p, "uring");
    if (r == 0)
        poller_free(p);
    return r == 0;
}

static void loop_is(const char *name)
{
    struct poller *p;
    assert_int_equal(poller_new_loop(&p, NULL), 0);
    assert_string_equal(poller_name(p), name);
    poller_free(p);
}

static void a_loop_is_given_what_is_named(void **state)
{
    struct poller *p;
    (void)state;
    unsetenv("THRUM_BACKEND");
    loop_is("epoll");
    setenv("THRUM_BACKEND", "", 1);
    loop_is("epoll");
    setenv("THRUM_BACKEND", "poll", 1);
    loop_is("poll");
    assert_int_equal(poller_new_loop(&p, "epoll"), 0); /* the caller's word goes before the environment's */
    assert_string_equal(poller_name(p), "epoll");
    poller_free(p);
    setenv("THRUM_BACKEND", "kqueue", 1);
    assert_int_equal(poller_new_loop(&p, NULL), EINVAL);
    assert_null(p);
    unsetenv("THRUM_BACKEND");
    assert_int_equal(poller_new_loop(&p, "io_uring"), EINVAL);
    if (!kernel_has_uring())
        assert_int_equal(poller_new_loop(&p, "uring"), ENOSYS);
    assert_null(p);
    setenv("THRUM_BACKEND", "uring", 1); /* which the warden does not know */
    is("epoll");
    loop_is(kernel_has_uring() ? "io_uring" : "epoll");
    unsetenv("THRUM_BACKEND");
}

#ifdef THRUM_URING
static int uring_error, probe_error;
static int no_uring(unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
    return uring_error != 0 ? -uring_error : sys_real.uring_init(entries, ring, p);
}
static int no_probe(unsigned fd, unsigned what, const void *arg, unsigned n)
{
    return probe_error != 0 ? -probe_error : sys_real.uring_register(fd, what, arg, n);
}

static char logged[400];
static void keep(enum log_area area, enum log_level level, uint64_t conn, int64_t ns, const char *text,
                 void *arg)
{
    (void)conn;
    (void)ns;
    (void)arg;
    if (area == LOG_LOOP && level == LOG_DEBUG)
        snprintf(logged, sizeof logged, "%s", text);
}

/* A kernel without it, a sandbox that forbids it, memory that may not be locked: said to who wants to know.
 */
static void where_there_is_no_uring(void **state)
{
    static const int errors[] = {ENOSYS, EPERM, EACCES, EINVAL, ENOMEM};
    struct poller *p;
    (void)state;
    sys.uring_init = no_uring;
    assert_int_equal(log_set(keep, NULL, "loop=debug"), 0);
    setenv("THRUM_BACKEND", "uring", 1);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        uring_error = errors[i];
        logged[0] = '\0';
        loop_is("epoll");
        assert_string_equal(logged, "no uring here (errno 38)");
        assert_int_equal(poller_new_loop(&p, "uring"), ENOSYS);
        assert_null(p);
    }
    uring_error = EMFILE; /* no answer to the question whether there is one */
    assert_int_equal(poller_new_loop(&p, "uring"), EMFILE);
    uring_error = 0;
    sys.uring_register = no_probe;
    probe_error = EINVAL; /* an old one */
    loop_is("epoll");
    assert_int_equal(poller_new_loop(&p, "uring"), ENOSYS);
    uring_error = ENOSYS;
    sys.epoll_create1 = no_epoll;
    epoll_error = ENOSYS;
    loop_is("poll");
    assert_string_equal(logged, "no uring here (errno 38)");
    unsetenv("THRUM_BACKEND");
    assert_int_equal(log_set(NULL, NULL, NULL), 0);
    sys = sys_real;
}
#else
static void where_there_is_no_uring(void **state)
{
    (void)state;
    skip();
}
#endif

/* What hits all is told, as the last has met it. */
static int no_eventfd(unsigned value, int flags)
{
    (void)value;
    (void)flags;
    errno = EMFILE;
    return -1;
}
static void where_there_are_no_descriptors(void **state)
{
    struct poller *p;
    (void)state;
    sys.eventfd = no_eventfd;
    assert_int_equal(poller_new_loop(&p, NULL), EMFILE);
    assert_null(p);
    sys = sys_real;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_chooses),        cmocka_unit_test(where_there_is_no_epoll),
        cmocka_unit_test(a_loop_is_given_what_is_named),  cmocka_unit_test(where_there_is_no_uring),
        cmocka_unit_test(where_there_are_no_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
