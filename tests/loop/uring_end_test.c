/* The poller on io_uring: descriptors that are forgotten in each state that they can be in, drivers that go,
 * processes that part. */
#include "uring_lib.h"

#ifdef THRUM_URING
#    include <sys/wait.h>

/* ---- forgetting, in each state ---- */
static void begin(void)
{
    assert_int_equal(poller_arm(p, a[0], POLLER_END | POLLER_STAY, &one), 0);
    assert_int_equal(poller_receive(p, a[0], &one), 0);
}

/* Another file has the number now: it gets nothing of the first one's, and all of its own. */
static void another_takes_its_place(void)
{
    int other[2];
    another_file_at(a[0], other);
    closed_for(a[1]); /* nothing was left in the kernel of it */
    silence();
    assert_int_equal(poller_receive(p, a[0], &two), 0);
    assert_int_equal(write(other[1], "new", 3), 3);
    data_is(&two, "new");
    close(a[1]);
    a[1] = other[1];
}

static void forgotten_before_the_kernel_heard_of_it(void **state)
{
    (void)state;
    begin();
    poller_forget(p, a[0]);
    another_takes_its_place();
}

static void forgotten_while_watched(void **state)
{
    (void)state;
    begin();
    silence();
    poller_forget(p, a[0]);
    another_takes_its_place();
}

static void forgotten_with_news_on_the_way(void **state)
{
    (void)state;
    begin();
    silence();
    for (int i = 0; i < 40; i++) { /* the buffers have to come back */
        say("old");
        poller_flush(p);
    }
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &one), 0);
    poller_flush(p);
    poller_forget(p, a[0]);
    another_takes_its_place();
}

static void forgotten_when_stopped(void **state)
{
    (void)state;
    begin();
    silence();
    poller_receive_stop(p, a[0]);
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &one), 0);
    poller_forget(p, a[0]);
    another_takes_its_place();
}

static void forgotten_after_the_end(void **state)
{
    (void)state;
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    assert_int_equal(shutdown(a[1], SHUT_WR), 0);
    assert_int_equal(news(POLLER_DATA, &one)->n, 0);
    poller_forget(p, a[0]);
    another_takes_its_place();
}

static void forgotten_again_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        int other[2];
        begin();
        if (i % 2)
            poller_flush(p);
        if (i % 3)
            assert_true(write(a[1], "old", 3) == 3);
        if (i % 5 == 0)
            poller_flush(p);
        poller_forget(p, a[0]);
        another_file_at(a[0], other);
        close(a[1]);
        a[1] = other[1];
    }
    silence();
    begin();
    say("new");
    data_is(&one, "new");
}

/* ---- threads and processes ---- */
static void *one_wait(void *arg)
{
    return (void *)(intptr_t)poller_wait(p, arg, 8, LONG_MS);
}

static int wait_elsewhere(void)
{
    pthread_t t;
    void *n;
    memset(e, 0, sizeof e);
    assert_int_equal(pthread_create(&t, NULL, one_wait, e), 0);
    pthread_join(t, &n);
    return (int)(intptr_t)n;
}

/* The threads come and go, and with each go the requests that it made. */
static void driven_by_one_after_another(void **state)
{
    struct sockaddr_in at = {0};
    int l = listener(&at);
    (void)state;
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    assert_int_equal(poller_accept(p, l, &two), 0);
    silence();
    for (int i = 0; i < 6; i++) {
        int c = -1;
        if (i % 2)
            c = caller(&at);
        else
            assert_true(peer_puts(&peer, "ping"));
        if (i < 4)
            assert_int_equal(wait_elsewhere(), 1);
        else
            assert_int_equal(poller_wait(p, e, 8, LONG_MS), 1);
        assert_ptr_equal(e[0].data, i % 2 ? &two : &one);
        if (i % 2) {
            assert_true(e[0].n >= 0);
            close((int)e[0].n);
            close(c);
        } else {
            assert_int_equal(e[0].n, 4);
        }
        poller_wake(p);
        assert_int_equal(i < 3 ? wait_elsewhere() : poller_wait(p, e, 8, LONG_MS), 0);
    }
    poller_forget(p, l);
    close(l);
}

static atomic_bool leave;
static atomic_int interrupted;
static void *drive_then_sleep(void *arg)
{
    struct epoll_event x;
    int own = epoll_create1(EPOLL_CLOEXEC), n = poller_wait(p, arg, 8, 0);
    sem_post(&inside);
    while (!atomic_load(&leave))
        if (epoll_wait(own, &x, 1, 10) < 0)
            atomic_fetch_add(&interrupted, 1);
    close(own);
    return (void *)(intptr_t)n;
}

/* The earlier driver lives on. It is not troubled for what comes now. */
static void driven_by_another_now(void **state)
{
    pthread_t t;
    (void)state;
    sem_init(&inside, 0, 0);
    atomic_store(&leave, false);
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_END, &one), 0);
    assert_int_equal(pthread_create(&t, NULL, drive_then_sleep, e), 0);
    while (sem_wait(&inside) != 0)
        continue;
    say("x");
    data_is(&one, "x");
    poller_wake(p);
    assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    const int before = atomic_load(&interrupted);
    for (int i = 0; i < 50; i++) {
        say("y");
        data_is(&one, "y");
        poller_wake(p);
        assert_int_equal(poller_wait(p, e, 8, LONG_MS), 0);
    }
    assert_int_equal(atomic_load(&interrupted), before);
    atomic_store(&leave, true);
    pthread_join(t, NULL);
    say("z");
    data_is(&one, "z");
}

/* At the end of the program another thread does this, while the loop's sleeps. */
static void say_goodbye(void)
{
    poller_receive_stop(p, a[0]);
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &two), 0);
}

static void used_by_another_during_the_wait(void **state)
{
    (void)state;
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    int n = during_a_wait(say_goodbye);
    assert_in_range(n, 1, 2);
    while (!(e[n - 1].what & POLLER_OUT))
        n = poller_wait(p, e, 8, LONG_MS);
    assert_ptr_equal(e[n - 1].data, &two);
    say("not read any more");
    silence();
}

static void a_child_leaves_it_alone(void **state)
{
    int status, hold[2];
    char c;
    (void)state;
    assert_int_equal(poller_receive(p, a[0], &one), 0);
    assert_int_equal(poller_arm(p, a[0], POLLER_OUT, &one), 0);
    (void)news(POLLER_OUT, &one);
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        poller_free(p);
        _exit(3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 3);
    say("x");
    data_is(&one, "x");
    /* One that keeps all it has got keeps no connection open but by its own copy. */
    child = fork();
    if (child == 0) {
        close(a[0]);
        close(a[1]);
        close(hold[1]);
        while (read(hold[0], &c, 1) < 0)
            continue;
        _exit(4);
    }
    poller_free(p);
    p = NULL;
    close(a[0]);
    closed_for(a[1]);
    close(hold[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 4);
    close(hold[0]);
    a[0] = dup(a[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(forgotten_before_the_kernel_heard_of_it),
        TEST(forgotten_while_watched),
        TEST(forgotten_with_news_on_the_way),
        TEST(forgotten_when_stopped),
        TEST(forgotten_after_the_end),
        TEST(forgotten_again_and_again),
        TCP(driven_by_one_after_another),
        TEST(driven_by_another_now),
        TEST(used_by_another_during_the_wait),
        TEST(a_child_leaves_it_alone),
    };
    return is_to_be_had() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
#else
int main(void)
{
    return is_to_be_had() ? 1 : 77;
}
#endif
