/* lock_test.c: exclusion between threads, the try with a deadline, and a lock that is held by a thread that a
 * fork has left behind. */
#include "base/clock.h"
#include "base/lock.h"
#include "base_test.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>

static struct lock lock = LOCK_INIT;
static long shared;
enum { ROUNDS = 20000, THREADS = 3 };

static void *count(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        lock_take(&lock);
        lock_assert_held(&lock);
        shared++;
        lock_give(&lock);
    }
    return arg;
}

static void test_excludes(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, count, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(shared, (long)ROUNDS * THREADS);
}

struct holder {
    struct lock lock;
    sem_t taken, give;
    _Atomic bool wanted;
};

static void *hold(void *arg)
{
    struct holder *h = arg;
    lock_take(&h->lock);
    sem_post(&h->taken);
    sem_wait(&h->give);
    while (!atomic_load(&h->wanted))
        sched_yield();
    lock_give(&h->lock);
    return NULL;
}

static void holder_start(struct holder *h, pthread_t *t)
{
    assert_int_equal(lock_init(&h->lock), 0);
    sem_init(&h->taken, 0, 0);
    sem_init(&h->give, 0, 0);
    atomic_init(&h->wanted, false);
    assert_int_equal(pthread_create(t, NULL, hold, h), 0);
    sem_wait(&h->taken);
}

static void holder_end(struct holder *h, pthread_t t)
{
    pthread_join(t, NULL);
    sem_destroy(&h->taken);
    sem_destroy(&h->give);
    lock_destroy(&h->lock);
}

static void test_try(void **state)
{
    (void)state;
    struct holder h;
    pthread_t t;
    holder_start(&h, &t);
    assert_false(lock_try(&h.lock));
    assert_false(lock_try_until(&h.lock, 0)); /* long past: one try */
    assert_false(lock_try_until(&h.lock, clock_after(clock_now(), 5)));
    sem_post(&h.give);
    atomic_store(&h.wanted, true); /* it is given while we try */
    assert_true(lock_try_until(&h.lock, clock_after(clock_now(), 30000)));
    lock_assert_held(&h.lock);
    lock_give(&h.lock);
    assert_true(lock_try(&h.lock));
    lock_give(&h.lock);
    assert_true(lock_try_until(&h.lock, 0)); /* free: a deadline that is past does no harm */
    lock_give(&h.lock);
    holder_end(&h, t);
}

static struct holder left;

static void reset_in_child(void)
{
    CHILD_CHECK(!lock_try(&left.lock)); /* its holder is not in this process */
    CHILD_CHECK(!lock_is_free(&left.lock));
    lock_reset(&left.lock);
    CHILD_CHECK(lock_is_free(&left.lock));
    lock_take(&left.lock);
    lock_assert_held(&left.lock);
    lock_give(&left.lock);
}

static void test_reset_after_fork(void **state)
{
    (void)state;
    pthread_t t;
    holder_start(&left, &t);
    assert_int_equal(in_child(reset_in_child), 0);
    atomic_store(&left.wanted, true);
    sem_post(&left.give);
    holder_end(&left, t);
}

#ifndef NDEBUG
static void assert_not_held(void)
{
    struct lock l = LOCK_INIT;
    signal(SIGABRT, SIG_DFL); /* cmocka's or a sanitizer's handler would print a trace */
    fclose(stderr);
    lock_assert_held(&l);
}

static void assert_held_by_another(void)
{
    signal(SIGABRT, SIG_DFL);
    fclose(stderr);
    lock_assert_held(&left.lock);
}

static void test_asserts(void **state)
{
    (void)state;
    pthread_t t;
    assert_int_equal(in_child(assert_not_held), 256 + SIGABRT);
    holder_start(&left, &t);
    assert_int_equal(in_child(assert_held_by_another), 256 + SIGABRT);
    atomic_store(&left.wanted, true);
    sem_post(&left.give);
    holder_end(&left, t);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_excludes),
        cmocka_unit_test(test_try),
        cmocka_unit_test(test_reset_after_fork),
#ifndef NDEBUG
        cmocka_unit_test(test_asserts),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
