/* The fault driver's own test: each of its checks must be able to fail. It lives here because this is the
 * lowest room with both memory and system calls in it. */
#include "base/mem.h"
#include "net_test.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int strikes;

/* Runs it with its complaints thrown away: they are wanted here. */
static int quietly(fault_scenario fn, const struct fault_options *o)
{
    int kept = dup(2), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    atomic_store(&strikes, 0);
    dup2(null, 2);
    int n = fault_run("self-test", fn, NULL, o);
    dup2(kept, 2);
    close(kept);
    close(null);
    return n;
}

static void two_blocks(struct fault_report *r, void *arg)
{
    (void)arg;
    void *a = mem_alloc(10), *b = mem_alloc(10);
    fault_check(r, !r->harmless || (a != NULL && b != NULL), "a fault in a harmless run");
    atomic_fetch_add(&strikes, (a == NULL) + (b == NULL));
    mem_free(a);
    mem_free(b);
}

static void each_allocation_once_and_for_ever(void **state)
{
    (void)state;
    assert_int_equal(quietly(two_blocks, NULL), 4);
    assert_int_equal(atomic_load(&strikes), 1 + 2 + 1 + 1);
    assert_int_equal(quietly(two_blocks, &(struct fault_options){.no_memory = true}), 0);
    assert_int_equal(quietly(two_blocks, &(struct fault_options){.same_thread = true}), 4);
    setenv("THRUM_FAULT_STRIDE", "3", 1);
    assert_int_equal(quietly(two_blocks, NULL), 2);
    unsetenv("THRUM_FAULT_STRIDE");
}

static void *other_thread(void *arg)
{
    mem_free(mem_alloc(1));
    return arg;
}
static void block_of_another_thread(struct fault_report *r, void *arg)
{
    pthread_t t;
    (void)arg;
    fault_check(r, pthread_create(&t, NULL, other_thread, NULL) == 0, "no thread");
    pthread_join(t, NULL);
}

static void other_threads_only_where_wanted(void **state)
{
    (void)state;
    assert_int_equal(quietly(block_of_another_thread, NULL), 2);
    assert_int_equal(quietly(block_of_another_thread, &(struct fault_options){.own_thread = true}), 0);
}

static void three_reads(struct fault_report *r, void *arg)
{
    int fds[2];
    char b[4];
    (void)r;
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        abort();
    if (write(fds[1], "abcdefghijkl", 12) != 12)
        abort();
    for (int i = 0; i < 3; i++) {
        ssize_t n = sys.recv(fds[0], b, 4, 0);
        atomic_fetch_add(&strikes, n != 4);
    }
    close(fds[0]);
    close(fds[1]);
}

/* 8 kinds for 3 calls, once and for ever; for ever is 3, 2 and 1 calls, and 2, 1 and 1 for the 3 kinds that
 * mean "again". */
static void each_call_in_each_way(void **state)
{
    (void)state;
    assert_int_equal(quietly(three_reads, NULL), 3 * 8 * 2);
    assert_int_equal(atomic_load(&strikes), 3 * 8 + 5 * (3 + 2 + 1) + 3 * (2 + 1 + 1));
}

/* Lost to the driver, but not to LeakSanitizer. */
static void *kept[16];
static size_t kept_n;
static void keep(void *p)
{
    if (kept_n == 16)
        abort();
    kept[kept_n++] = p;
}

static void leaks_a_block_on_fault(struct fault_report *r, void *arg)
{
    (void)arg;
    void *a = mem_alloc(10), *b = mem_alloc(10);
    (void)r;
    if (b == NULL && a != NULL) {
        keep(a);
        return;
    }
    mem_free(a);
    mem_free(b);
}
static void leaks_a_descriptor_on_fault(struct fault_report *r, void *arg)
{
    (void)r;
    (void)arg;
    int fd = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    errno = 0;
    (void)sys.listen(fd, 1); /* not bound: fails in its own way without a fault */
    if (errno != ENOBUFS)
        sys.close(fd);
}
static void leaks_always(struct fault_report *r, void *arg)
{
    (void)r;
    (void)arg;
    keep(mem_alloc(1));
}
static void fails_without_text(struct fault_report *r, void *arg)
{
    thrum_error e = {.status = THRUM_E_MEMORY};
    (void)arg;
    void *a = mem_alloc(1);
    fault_note(r, "it", a == NULL ? THRUM_E_MEMORY : THRUM_OK, &e);
    mem_free(a);
}
static void fails_with_another_status(struct fault_report *r, void *arg)
{
    thrum_error e = {.status = THRUM_E_SYSTEM, .text = "no memory"};
    (void)arg;
    void *a = mem_alloc(1);
    fault_note(r, "it", a == NULL ? THRUM_E_MEMORY : THRUM_OK, &e);
    mem_free(a);
}
static void fails_without_fault(struct fault_report *r, void *arg)
{
    thrum_error e = {.status = THRUM_E_MEMORY, .text = "no memory"};
    (void)arg;
    fault_note(r, "it", THRUM_E_MEMORY, &e);
}

static void complaints(void **state)
{
    static const fault_scenario bad[] = {
        leaks_a_block_on_fault, leaks_a_descriptor_on_fault, leaks_always,
        fails_without_text,     fails_with_another_status,   fails_without_fault};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(quietly(bad[i], NULL), -1);
}

static void hangs_on_fault(struct fault_report *r, void *arg)
{
    (void)r;
    (void)arg;
    void *a = mem_alloc(1);
    while (a == NULL)
        pause();
    mem_free(a);
}

static void a_hang_ends_the_process(void **state)
{
    int status = 0;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        quietly(hangs_on_fault, &(struct fault_options){.limit_seconds = 1});
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 124);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_once_and_for_ever),
        cmocka_unit_test(other_threads_only_where_wanted),
        cmocka_unit_test(each_call_in_each_way),
        cmocka_unit_test(complaints),
        cmocka_unit_test(a_hang_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
