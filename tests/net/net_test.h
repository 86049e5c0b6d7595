/* net_test.h: what the tests of this room share: URIs made by hand (this room needs no parser), a resolver
 * that says what it is told, and checks for leaks. */
#ifndef TESTS_NET_NET_TEST_H
#define TESTS_NET_NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/sys.h"
#include "base/thread.h"
#include "lib/fault.h"
#include "lib/peer.h"
#include "net/resolve.h"
#include "wire/uri.h"
#include <cmocka.h>
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SOON_MS = 20000 }; /* a deadline that no passing test comes near */

static inline int64_t soon(void)
{
    return clock_after(clock_now(), SOON_MS);
}

static inline thrum_slice slice(const char *s)
{
    return (thrum_slice){.p = (const uint8_t *)s, .n = strlen(s)};
}

static inline struct uri uri_tcp(const char *host, uint16_t port)
{
    struct uri u = {.host = slice(host), .port = port};
    return u;
}

static inline struct uri uri_unix(const char *path)
{
    struct uri u = {.local = true, .path = slice(path)};
    return u;
}

/* The faked resolver: answers any name with these numeric addresses, after `gate` where that is set. */
struct fake_names {
    const char *const *hosts;
    size_t n;
    int gai, os_errno;
    atomic_int asked;
    bool gated;
    sem_t entered, gate;
};
static struct fake_names fake_names;

static inline int fake_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                                   struct addrinfo **out)
{
    struct addrinfo h = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, **last = out;
    (void)host;
    (void)hints;
    *out = NULL;
    atomic_fetch_add(&fake_names.asked, 1);
    if (fake_names.gated) {
        sem_post(&fake_names.entered);
        while (sem_wait(&fake_names.gate) != 0)
            continue;
    }
    if (fake_names.gai != 0) {
        errno = fake_names.os_errno;
        return fake_names.gai;
    }
    for (size_t i = 0; i < fake_names.n; i++) {
        if (getaddrinfo(fake_names.hosts[i], service, &h, last) != 0)
            abort();
        last = &(*last)->ai_next;
    }
    return 0;
}

static inline void fake_names_set(const char *const *hosts, size_t n, int gai)
{
    memset(&fake_names, 0, sizeof fake_names);
    fake_names.hosts = hosts;
    fake_names.n = n;
    fake_names.gai = gai;
    sem_init(&fake_names.entered, 0, 0);
    sem_init(&fake_names.gate, 0, 0);
    resolve_getaddrinfo = fake_getaddrinfo;
}

/* Waits until no helper thread is left, and puts the real resolver back. */
static inline void fake_names_end(void)
{
    assert_true(thread_library_settle(0, soon()));
    resolve_getaddrinfo = getaddrinfo;
}

struct leaks {
    long blocks;
    int descriptors;
};

static inline struct leaks leaks_before(void)
{
    fault_count_memory();
    /* The calling thread's record and eventfd are made once and stay. */
    assert_non_null(thread_self());
    assert_true(thread_wake_fd(thread_self()) >= 0);
    return (struct leaks){.blocks = fault_live_blocks(), .descriptors = fault_open_descriptors()};
}

static inline void leaks_none(struct leaks before)
{
    assert_true(thread_library_settle(0, soon()));
    assert_int_equal(fault_live_blocks(), before.blocks);
    assert_int_equal(fault_open_descriptors(), before.descriptors);
}

#endif
