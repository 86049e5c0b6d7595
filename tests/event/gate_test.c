/* gate_test.c: a loop's thread and the one that ends the program are never inside together, and the second
 * never waits for a thread that is outside. exit_begun is set by hand and taken back. */
#include "driven.h"
#include "event/gate.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void wake_up(int sig)
{
    (void)sig;
}

static struct guard {
    struct thrum_loop loop; /* only its place is used */
    _Atomic bool ends;
    _Atomic long rounds;
    _Atomic bool other_is_in;
    bool broken;
} g;

static void *loop_main(void *arg)
{
    (void)arg;
    while (!g.ends) {
        gate_in(&g.loop);
        g.broken |= g.other_is_in;
        g.rounds++;
        gate_out(&g.loop);
    }
    return NULL;
}

/* As end.c does it: shut, barrier, look. */
static bool shut(void)
{
    atomic_store(&exit_begun, true);
    gate_barrier();
    for (int i = 0; i < 100; i++) {
        if (atomic_load(&g.loop.place) == GATE_OUT)
            return true;
        sched_yield();
    }
    return false;
}

static void both_ways(bool strict)
{
    pthread_t t;
    memset(&g, 0, sizeof g);
    gate_open();
    if (strict)
        atomic_store(&gate_strict, true);
    assert_int_equal(pthread_create(&t, NULL, loop_main, NULL), 0);
    int seen = 0;
    for (int i = 0; i < 100; i++) {
        long rounds = g.rounds;
        if (i % 16 == 0)
            await(g.rounds > rounds);
        if (shut()) {
            seen++;
            g.other_is_in = true;
            rounds = g.rounds;
            if (i % 64 == 0)
                sched_yield();
            assert_int_equal(g.rounds, rounds); /* it stays outside */
            g.other_is_in = false;
        }
        rounds = g.rounds;
        atomic_store(&exit_begun, false);
        do
            pthread_kill(t, SIGUSR1), sched_yield(); /* out of its sleep */
        while (g.rounds == rounds);
    }
    g.ends = true;
    while (pthread_tryjoin_np(t, NULL) != 0)
        pthread_kill(t, SIGUSR1), sched_yield();
    assert_true(seen > 0);
    assert_false(g.broken);
    gate_open();
}

static void test_one_of_two(void **state)
{
    (void)state;
    signal(SIGUSR1, wake_up);
    both_ways(false);
    both_ways(true);
    signal(SIGUSR1, SIG_DFL);
}

enum { PASSED = 7 };

static void at_the_end(void)
{
    gate_in(&g.loop);
    gate_out(&g.loop);
    _exit(PASSED);
}

/* The thread that ends the program is let through: it says goodbye by the same functions. */
static void test_the_ender_passes(void **state)
{
    int status = 0;
    (void)state;
    memset(&g, 0, sizeof g);
    pid_t child = fork();
    if (child == 0) {
        if (exit_watch(at_the_end) != 0)
            _exit(1);
        exit(2);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), PASSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_of_two),
                                       cmocka_unit_test(test_the_ender_passes)};
    return run_on_backend(tests);
}
