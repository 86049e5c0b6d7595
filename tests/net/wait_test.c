/* Twin of src/net/wait.c. */
#include "net/wait_int.h"
#include "net_test.h"
#include <pthread.h>
#include <unistd.h>

static atomic_int undone;
static void undo(void *arg)
{
    atomic_fetch_add(&undone, 1);
    sem_post(arg);
}

static int poll_eintr(struct pollfd *p, nfds_t n, int ms)
{
    (void)p;
    (void)n;
    (void)ms;
    errno = EINTR;
    return -1;
}

static void result_and_errno_are_those_of_poll(void **state)
{
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(wait_poll(&p, 1, 0, undo, NULL), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(wait_poll(&p, 1, -1, undo, NULL), 1);
    assert_int_equal(p.revents, POLLIN);
    close(fds[0]);
    close(fds[1]);
    sys.poll = poll_eintr;
    errno = 0;
    assert_int_equal(wait_poll(&p, 1, -1, undo, NULL), -1);
    assert_int_equal(errno, EINTR);
    sys = sys_real;
    assert_int_equal(atomic_load(&undone), 0);
}

/* Cancellation is off before and after, as it is inside the library. */
static void cancellation_is_off_again_after_it(void **state)
{
    int old;
    (void)state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    assert_int_equal(wait_poll(NULL, 0, 0, undo, NULL), 0);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    assert_int_equal(old, PTHREAD_CANCEL_DISABLE);
}

static void *wait_for_ever(void *arg)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    wait_poll(NULL, 0, -1, undo, arg);
    return NULL;
}

static void cancelled_in_it_undoes(void **state)
{
    pthread_t t;
    void *end = NULL;
    sem_t done;
    (void)state;
    sem_init(&done, 0, 0);
    assert_int_equal(pthread_create(&t, NULL, wait_for_ever, &done), 0);
    assert_int_equal(pthread_cancel(t), 0);
    assert_int_equal(pthread_join(t, &end), 0);
    assert_ptr_equal(end, PTHREAD_CANCELED);
    assert_int_equal(sem_trywait(&done), 0);
    assert_int_equal(atomic_load(&undone), 1);
}

static void *wait_uncancellable(void *arg)
{
    (void)arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    thread_self()->long_call = true;
    thread_self()->cancel_state = PTHREAD_CANCEL_DISABLE;
    pthread_cancel(pthread_self()); /* waits already when the poll begins */
    return wait_poll(NULL, 0, 0, undo, NULL) == 0 ? &undone : NULL;
}

/* An application that has cancellation off keeps it off. */
static void what_the_application_set_holds(void **state)
{
    pthread_t t;
    void *end = NULL;
    (void)state;
    atomic_store(&undone, 0);
    assert_int_equal(pthread_create(&t, NULL, wait_uncancellable, NULL), 0);
    assert_int_equal(pthread_join(t, &end), 0);
    assert_ptr_equal(end, &undone);
    assert_int_equal(atomic_load(&undone), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_and_errno_are_those_of_poll),
        cmocka_unit_test(cancellation_is_off_again_after_it),
        cmocka_unit_test(cancelled_in_it_undoes),
        cmocka_unit_test(what_the_application_set_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
