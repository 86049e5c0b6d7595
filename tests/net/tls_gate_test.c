/* tls_gate_test.c: the gate that keeps threads out of OpenSSL at the end of the program, and forks out of the
 * midst of it. What it does to whole programs is in tests/exit. */
#include "tls_pair.h"
#include "lib/rest.h"
#include "net/tls_int.h"
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

static thrum_tls *client, *server;

static int set_up(void **state)
{
    (void)state;
    client = made(THRUM_TLS(TRUSTED));
    server = made(THRUM_TLS(OURS(&certs_usual()->server)));
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    thrum_tls_free(client);
    thrum_tls_free(server);
    return 0;
}

static atomic_bool stop;
static void *be_inside(void *arg)
{
    atomic_int *rounds = arg;
    while (!atomic_load(&stop) && tls_enter()) {
        atomic_fetch_add(rounds, 1);
        sched_yield();
        tls_leave();
    }
    return NULL;
}

/* The child: its parent's threads, inside or not, are not in it. */
static void child(struct tls_pair *p)
{
    char in[8];
    thrum_tls *t;
    tls_forked();
    if (!tls_enter())
        _exit(1);
    tls_leave();
    if (thrum_tls_new(&t, NULL, NULL) != THRUM_OK)
        _exit(2);
    thrum_tls_free(t);
    tls_gate_shut(clock_after(clock_now(), 100));
    if (tls_enter())
        _exit(3);
    if (get(p->client, in, sizeof in) != -ECANCELED || put(p->client, "x", 1) != -ECANCELED)
        _exit(4);
    if (thrum_tls_new(&t, THRUM_TLS(.least = 13), &err) != THRUM_E_TLS)
        _exit(5);
    pair_end(p); /* frees nothing of OpenSSL's, and does not crash */
    thrum_tls_free(client);
    _exit(0);
}

static void test_fork_and_end(void **state)
{
    atomic_int rounds = 0;
    struct tls_pair p;
    pthread_t t;
    int status;
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&t, NULL, be_inside, &rounds), 0);
    while (atomic_load(&rounds) == 0) /* no longer in the midst of what a sanitizer does for a new thread */
        sched_yield();
    for (int i = 0; i < 10; i++) {
        int before = atomic_load(&rounds);
        tls_fork_lock();
        pid_t pid = fork();
        if (pid == 0)
            child(&p);
        tls_fork_unlock();
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        while (atomic_load(&rounds) == before) /* the parent's thread goes on */
            sched_yield();
    }
    atomic_store(&stop, true);
    pthread_join(t, NULL);
    pair_end(&p);
}

/* In a child each, as the gate stays shut: one that computes inside is waited for, however long ago the
 * deadline was; one that sleeps there is not. */
static atomic_bool is_in, is_out;
static void *compute_inside(void *arg)
{
    struct timespec t;
    (void)arg;
    if (!tls_enter())
        _exit(1);
    atomic_store(&is_in, true);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while (t.tv_sec == 0 && t.tv_nsec < 100 * 1000 * 1000);
    atomic_store(&is_out, true);
    tls_leave();
    return NULL;
}
static void *sleep_inside(void *arg)
{
    (void)arg;
    if (!tls_enter())
        _exit(1);
    atomic_store(&is_in, true);
    for (;;)
        pause();
}
/* By exit, so that coverage counts; not where a leak checker would look. */
static void leave(int status)
{
    if (AT_REST)
        _exit(status);
    exit(status);
}
static void end_with(void *(*fn)(void *), bool out)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        if (pthread_create(&t, NULL, fn, NULL) != 0)
            _exit(2);
        pthread_detach(t);
        while (!atomic_load(&is_in))
            sched_yield();
        tls_gate_shut(clock_now());
        leave(atomic_load(&is_out) == out ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}
static void test_end_on_a_busy_machine(void **state)
{
    (void)state;
    end_with(compute_inside, true);
    end_with(sleep_inside, false);
}

/* A thread that ends after the gate was shut keeps away from OpenSSL until the ender waits, here for it. */
static atomic_bool may_end;
static void *end_late(void *arg)
{
    (void)arg;
    if (!tls_enter())
        _exit(1);
    tls_leave();
    atomic_store(&is_in, true);
    while (!atomic_load(&may_end))
        sched_yield();
    return NULL;
}
static void test_a_late_thread(void **state)
{
    int status;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        if (pthread_create(&t, NULL, end_late, NULL) != 0)
            _exit(2);
        while (!atomic_load(&is_in))
            sched_yield();
        tls_gate_shut(clock_now());
        atomic_store(&may_end, true);
        leave(pthread_join(t, NULL));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A thread that has used TLS gives back what OpenSSL keeps for it (a leak checker would tell). */
static void *use_once(void *arg)
{
    struct tls_pair p;
    (void)arg;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    pair_end(&p);
    return NULL;
}
static void test_threads_that_end(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, use_once, NULL), 0);
        pthread_join(t, NULL);
    }
    assert_true(tls_enter());
    tls_leave();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_and_end),
        cmocka_unit_test(test_end_on_a_busy_machine),
        cmocka_unit_test(test_a_late_thread),
        cmocka_unit_test(test_threads_that_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
