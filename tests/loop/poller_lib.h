/* poller_lib.h: a poller of the backend BACKEND and a socket pair for each check. */
#ifndef TESTS_LOOP_POLLER_LIB_H
#define TESTS_LOOP_POLLER_LIB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/sys.h"
#include "lib/fault.h"
#include "lib/peer.h"
#include "loop/poller.h"
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONG_MS = 20000 };

#ifndef MAKE
#    define MAKE(out) poller_new_loop(out, BACKEND)
#endif

static struct poller *p;
static struct poller_event e[8];
static int a[2]; /* a socket pair: [0] is watched */
static long blocks;
static int descriptors;
static int one, two; /* their addresses are data */

static inline int set_up(void **state)
{
    (void)state;
    fault_count_memory();
    blocks = fault_live_blocks();
    descriptors = fault_open_descriptors();
    assert_int_equal(MAKE(&p), 0);
    assert_string_equal(poller_name(p), strcmp(BACKEND, "uring") == 0 ? "io_uring" : BACKEND);
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, a);
}

static inline int tear_down(void **state)
{
    (void)state;
    sys = sys_real;
    close(a[0]);
    if (a[1] >= 0)
        close(a[1]);
    poller_free(p);
    assert_int_equal(fault_live_blocks(), blocks);
    assert_int_equal(fault_open_descriptors(), descriptors);
    return 0;
}

static inline void put(void)
{
    assert_int_equal(write(a[1], "x", 1), 1);
}

static inline void nothing(void)
{
    assert_int_equal(poller_wait(p, e, 8, 0), 0);
}

static inline void event(const void *data, unsigned what)
{
    memset(e, 0, sizeof e);
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 1);
    assert_ptr_equal(e[0].data, data);
    assert_int_equal(e[0].what, what);
}

static sem_t inside;
static inline int announced_poll(struct pollfd *q, nfds_t n, int ms)
{
    sem_post(&inside);
    return sys_real.poll(q, n, ms);
}
static inline int announced_epoll(int fd, struct epoll_event *q, int n, int ms)
{
    sem_post(&inside);
    return sys_real.epoll_wait(fd, q, n, ms);
}

#ifdef THRUM_URING
static inline int announced_uring(unsigned fd, unsigned submit, unsigned n, unsigned flags, sigset_t *arg,
                                  size_t sz)
{
    if (n > 0)
        sem_post(&inside);
    return sys_real.uring_enter(fd, submit, n, flags, arg, sz);
}
#endif

static inline void *wait_for_event(void *arg)
{
    return (void *)(intptr_t)poller_wait(p, arg, 8, LONG_MS);
}

/* Runs fn on this thread when another is inside poller_wait; what that answers. */
static inline int during_a_wait(void (*fn)(void))
{
    pthread_t t;
    void *n;
    sem_init(&inside, 0, 0);
    sys.poll = announced_poll;
    sys.epoll_wait = announced_epoll;
#ifdef THRUM_URING
    sys.uring_enter = announced_uring;
#endif
    memset(e, 0, sizeof e);
    assert_int_equal(pthread_create(&t, NULL, wait_for_event, e), 0);
    while (sem_wait(&inside) != 0)
        continue;
    fn();
    pthread_join(t, &n);
    sys = sys_real;
    return (int)(intptr_t)n;
}

static inline bool readable(int fd, int ms)
{
    struct pollfd q = {.fd = fd, .events = POLLIN};
    int r;
    do
        r = poll(&q, 1, ms);
    while (r < 0 && errno == EINTR);
    return r == 1 && (q.revents & POLLIN) != 0;
}

#define CHECK(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
