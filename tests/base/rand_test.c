/* rand_test.c: every byte is handed out once, also across a fork, and a system that gives none is told of. */
#include "base/fork.h"
#include "base/rand.h"
#include "base/sys.h"
#include "base_test.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* In getrandom's place: counts up in 32-bit words, so that a byte given out twice is seen. Takes n that are
 * no multiple of four too. */
static uint64_t given; /* bytes */
static int calls, interrupts, fail_with;
static size_t at_most = SIZE_MAX;

static ssize_t counting(void *p, size_t n, unsigned flags)
{
    (void)flags;
    calls++;
    if (interrupts > 0) {
        interrupts--;
        errno = EINTR;
        return -1;
    }
    if (fail_with) {
        errno = fail_with;
        return -1;
    }
    n = n < at_most ? n : at_most;
    for (size_t i = 0; i < n; i++, given++)
        ((uint8_t *)p)[i] = (uint8_t)(given / 4 >> 8 * (given % 4));
    return (ssize_t)n;
}

static void shim(void)
{
    given = 0;
    calls = interrupts = fail_with = 0;
    at_most = SIZE_MAX;
    sys.getrandom = counting;
}

static uint32_t draw4(void)
{
    uint8_t b[4];
    assert_int_equal(rand_bytes(b, 4), 0);
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void *pages(void *arg)
{
    (void)arg;
    shim();
    for (uint32_t i = 0; i < 3 * 1024; i++)
        assert_int_equal(draw4(), i);
    assert_int_equal(calls, 3);
    at_most = 100; /* short ones: still every byte once */
    for (uint32_t i = 3 * 1024; i < 4 * 1024; i++)
        assert_int_equal(draw4(), i);
    assert_int_equal(calls, 3 + 41);
    sys.getrandom = sys_real.getrandom;
    return NULL;
}

/* Each on a thread of its own, which begins without a page. */
static void on_thread(void *(*fn)(void *))
{
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, fn, NULL), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
}

static void test_every_byte_once(void **state)
{
    (void)state;
    on_thread(pages);
}

static void *sizes(void *arg)
{
    (void)arg;
    uint8_t b[8192];
    shim();
    assert_int_equal(rand_bytes(b, 0), 0);
    assert_int_equal(rand_bytes(b, 4095), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(rand_bytes(b, 1), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(rand_bytes(b, 4096), 0);
    assert_int_equal(calls, 2);
    assert_int_equal(rand_bytes(b, 4097), 0); /* over a page: straight from the system */
    assert_int_equal(calls, 3);
    assert_int_equal(given, 4096 + 4096 + 4097);
    assert_int_equal(rand_bytes(b, 4), 0);
    assert_int_equal(rand_bytes(b, 4093),
                     0); /* what is left is too little: a new page, the rest is not used */
    assert_int_equal(calls, 5);
    sys.getrandom = sys_real.getrandom;
    return NULL;
}

static void test_sizes(void **state)
{
    (void)state;
    on_thread(sizes);
}

static void *failures(void *arg)
{
    (void)arg;
    uint8_t b[5000], was[5000];
    memset(b, 0xa5, sizeof b);
    memcpy(was, b, sizeof b);
    shim();
    interrupts = 3;
    assert_int_equal(rand_bytes(b, 8), 0);
    assert_int_equal(calls, 4);
    assert_int_equal(rand_bytes(b, 4080), 0);
    memcpy(b, was, sizeof b);
    fail_with = ENOSYS;
    assert_int_equal(rand_bytes(b, 4096), ENOSYS);
    assert_memory_equal(b, was, sizeof b); /* nothing was handed out */
    assert_int_equal(rand_bytes(b, 5000), ENOSYS);
    assert_int_equal(rand_bytes(b, 4), ENOSYS); /* nor does half a page stay */
    fail_with = 0;
    at_most = 0;
    assert_int_equal(rand_bytes(b, 4), EIO);
    at_most = SIZE_MAX;
    assert_int_equal(rand_bytes(b, 4), 0);
    sys.getrandom = sys_real.getrandom;
    return NULL;
}

static void test_failures(void **state)
{
    (void)state;
    on_thread(failures);
}

static void test_R24_fork_drops_the_page(void **state)
{
    (void)state;
    int p[2];
    uint8_t mine[64], theirs[64];
    assert_int_equal(fork_watch(NULL, NULL, NULL), 0);
    assert_int_equal(pipe(p), 0);
    shim();
    assert_int_equal(rand_bytes(mine, 16), 0);
    pid_t pid = fork();
    if (pid == 0) {
        calls = 0;
        bool ok = rand_bytes(theirs, 64) == 0 && calls == 1 && write(p[1], theirs, 64) == 64;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(p[0], theirs, 64), 64);
    assert_int_equal(rand_bytes(mine, 64), 0);
    assert_int_equal(calls, 1); /* the parent goes on with its page */
    assert_memory_not_equal(mine, theirs, 64);
    sys.getrandom = sys_real.getrandom;
    close(p[0]);
    close(p[1]);
}

static void test_real_ones_differ(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    assert_int_equal(rand_bytes(a, 32), 0);
    assert_int_equal(rand_bytes(b, 32), 0);
    assert_memory_not_equal(a, b, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_once),  cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_failures),         cmocka_unit_test(test_R24_fork_drops_the_page),
        cmocka_unit_test(test_real_ones_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
