/* warden_test.c: what happens to a connection while no call is inside. All of it twice: over epoll and over
 * poll. How the warden ends a process is in tests/exit; once here, so that its own test reaches that code. */
#include <errno.h>
#include <sys/wait.h>
#include "base/mem.h"
#include "base/sys.h"
#include "block_test.h"
#include "lib/main_leaves.h"

static bool settled(void)
{
    return thread_library_settle(0, clock_after(clock_now(), PEER_MS));
}

static int before(void **state)
{
    (void)state;
    return settled() ? 0 : -1;
}

/* Ends what the test left failing, and waits for the warden's end: it comes by itself when nothing is left.
 */
static int after(void **state)
{
    (void)state;
    sys = sys_real;
    fault_count_memory();
    return settled() ? 0 : -1;
}

static void expect_frame(struct peer *peer, uint8_t want, const char *payload)
{
    uint8_t first, got[256];
    size_t n = raw_frame(peer, &first, got, sizeof got);
    assert_int_equal(first, want);
    assert_int_equal(n, strlen(payload));
    assert_memory_equal(got, payload, n);
}

static void ping(struct peer *peer)
{
    assert_true(peer_write(peer, "\x89\x03you", 5));
}

static void drop(thrum_conn *c, struct peer *peer)
{
    thrum_conn_free(c);
    peer_close(peer);
}

/* ---- what it does ---- */

static void test_answers_pings(void **state)
{
    struct peer peer;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    for (int i = 0; i < 3; i++) {
        ping(&peer);
        expect_frame(&peer, 0x8a, "you");
    }
    assert_int_equal(thrum_library_threads(), 1);
    drop(c, &peer);
}

static void test_one_thread_for_all(void **state)
{
    enum { N = 20 };
    struct peer peer[N];
    thrum_conn *c[N];
    (void)state;
    for (int i = 0; i < N; i++)
        c[i] = raw_client(&peer[i], AF_UNIX, false, NULL);
    for (int i = 0; i < N; i++)
        ping(&peer[i]);
    for (int i = N; i-- > 0;)
        expect_frame(&peer[i], 0x8a, "you");
    assert_int_equal(thrum_library_threads(), 1);
    for (int i = 0; i < N; i++)
        drop(c[i], &peer[i]);
}

static void test_receives_for_later(void **state)
{
    struct peer peer;
    thrum_message m;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    assert_true(peer_write(&peer, "\x81\x05later", 7));
    await(counter(c, queued_messages) == 1);
    assert_status(thrum_recv(c, &m, 0), THRUM_OK);
    assert_string_equal((const char *)m.data, "later");
    thrum_message_release(&m);
    drop(c, &peer);
}

/* Up to the water mark, and no further; taking makes it read on. */
static void test_pauses_at_the_water_mark(void **state)
{
    enum { N = 40 };
    struct peer peer;
    thrum_message m;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.recv_high = 10, .attended = THRUM_ON));
    for (int i = 0; i < N; i++)
        assert_true(peer_write(&peer, "\x81\x05more.", 7));
    await(counter(c, queued_messages) > 0);
    for (int i = 0; i < N; i++) {
        assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
        thrum_message_release(&m);
    }
    ping(&peer);
    expect_frame(&peer, 0x8a, "you");
    drop(c, &peer);
}

static void test_keepalive(void **state)
{
    struct peer peer;
    uint8_t first, got[125];
    thrum_error e;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.ping_interval = 20, .ping_timeout = 100));
    size_t n = raw_frame(&peer, &first, got, sizeof got);
    assert_int_equal(first, 0x89);
    uint8_t pong[127] = {0x8a, (uint8_t)n};
    memcpy(pong + 2, got, n);
    assert_true(peer_write(&peer, pong, n + 2));
    await(thrum_latency(c) > 0);
    n = raw_frame(&peer, &first, got, sizeof got); /* the next one, which is not answered */
    assert_int_equal(first, 0x89);
    n = raw_frame(&peer, &first, got, sizeof got);
    assert_int_equal(first, 0x88);
    assert_true(n >= 2);
    assert_int_equal(got[0] << 8 | got[1], 1011);
    peer_half_close(&peer);
    await(thrum_conn_state(c) == THRUM_CLOSED);
    thrum_conn_error(c, &e);
    assert_status(e.status, THRUM_E_UNCLEAN);
    assert_true(strlen(e.text) > 0);
    drop(c, &peer);
}

static void test_sees_the_end(void **state)
{
    struct peer peer;
    thrum_message m;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    assert_true(peer_write(&peer, "\x81\x04last\x88\x02\x03\xe8", 10));
    expect_frame(&peer, 0x88, "\x03\xe8");
    peer_hang_up(&peer);
    await(thrum_conn_state(c) == THRUM_CLOSED);
    assert_true(settled()); /* nothing is left to do */
    assert_status(thrum_recv(c, &m, 0), THRUM_OK);
    thrum_message_release(&m);
    assert_status(thrum_recv(c, &m, 0), THRUM_E_CLOSED);
    drop(c, &peer);
}

/* close_timeout is kept also where the closing thread has left, cancelled. */
static void *close_main(void *arg)
{
    (void)thrum_close(arg, 1000, NULL);
    return NULL;
}

static void test_keeps_the_closing_deadline(void **state)
{
    struct peer peer;
    pthread_t t;
    (void)state;
    cancels_in_a_wait();
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.close_timeout = 60));
    pthread_create(&t, NULL, close_main, c);
    await(is_waiting(c, WANT_END) || thrum_conn_state(c) == THRUM_CLOSED);
    pthread_cancel(t);
    pthread_join(t, NULL);
    await(thrum_conn_state(c) == THRUM_CLOSED);
    drop(c, &peer);
}

/* It never holds a caller up, nor the other way round: in, out and left alone, in turn. */
static void test_in_and_out(void **state)
{
    struct peer peer;
    thrum_message m;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    for (int i = 0; i < 10; i++) {
        assert_true(peer_write(&peer, "\x81\x01m", 3));
        assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
        thrum_message_release(&m);
        ping(&peer);
        if (i % 2)
            assert_status(thrum_recv(c, &m, 1), THRUM_E_TIMEOUT);
        expect_frame(&peer, 0x8a, "you");
    }
    drop(c, &peer);
}

static void test_freed_while_it_watches(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct peer peer;
        thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_ON));
        if (i % 4 == 1)
            await(look_at(c).reader == READER_WARDEN);
        if (i % 4 == 2) {
            ping(&peer);
            expect_frame(&peer, 0x8a, "you");
        }
        if (i % 4 == 3)
            ping(&peer); /* its answer may meet the end */
        drop(c, &peer);
    }
}

/* ---- when there is one ---- */

static void test_attended_off(void **state)
{
    struct peer peer;
    thrum_message m;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_OFF));
    assert_int_equal(thrum_library_threads(), 0);
    ping(&peer);
    assert_status(thrum_send(c, THRUM_TEXT, "x", 1), THRUM_OK);
    assert_int_equal(thrum_library_threads(), 0);
    expect_frame(&peer, 0x81, "x");
    assert_status(thrum_recv(c, &m, 0), THRUM_E_TIMEOUT); /* inside a call it is answered */
    expect_frame(&peer, 0x8a, "you");
    assert_int_equal(thrum_library_threads(), 0);
    drop(c, &peer);
}

static void come_back_at_once(thrum_conn *c)
{
    thrum_message m;
    do
        assert_status(thrum_recv(c, &m, 0), THRUM_E_TIMEOUT);
    while (thrum_library_threads() > 0 || look_at(c).prompt < 8);
}

/* A program that keeps coming back needs no thread; one that stays away does. */
static void test_comes_back_at_once(void **state)
{
    struct peer peer;
    thrum_message m;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    come_back_at_once(c);
    assert_status(thrum_recv(c, &m, 0), THRUM_E_TIMEOUT);
    assert_int_equal(thrum_library_threads(), 0);
    drop(c, &peer);
}

static void test_attended_on(void **state)
{
    struct peer peer;
    thrum_message m;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_ON));
    for (int i = 0; i < 20; i++)
        assert_status(thrum_recv(c, &m, 0), THRUM_E_TIMEOUT);
    ping(&peer);
    expect_frame(&peer, 0x8a, "you"); /* though it came back at once so often */
    drop(c, &peer);
}

/* With a second connection in the process the first may have been left alone. */
static void test_second_connection(void **state)
{
    struct peer peer, other;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    come_back_at_once(c);
    thrum_conn *d = raw_client(&other, AF_UNIX, false, NULL);
    ping(&peer);
    expect_frame(&peer, 0x8a, "you");
    drop(c, &peer);
    drop(d, &other);
}

/* ---- when the system refuses ---- */
static _Atomic int refusals, refused;

static bool refuse(int e)
{
    if (refusals <= 0)
        return false;
    refusals--;
    refused++;
    errno = e;
    return true;
}
/* Only in the warden's thread: where the poller itself cannot be made is another test. */
static int failing_ctl(int set, int op, int fd, struct epoll_event *e)
{
    bool arms = op != EPOLL_CTL_DEL && thread_self()->library;
    return arms && refuse(ENOMEM) ? -1 : sys_real.epoll_ctl(set, op, fd, e);
}
static int failing_create(int flags)
{
    return refuse(EMFILE) ? -1 : sys_real.epoll_create1(flags);
}
static int failing_eventfd(unsigned value, int flags)
{
    return refuse(EMFILE) ? -1 : sys_real.eventfd(value, flags);
}
static int failing_thread(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    return refuse(EAGAIN) ? EAGAIN : sys_real.thread_create(t, a, fn, arg);
}

static bool is_epoll(void)
{
    const char *backend = getenv("THRUM_BACKEND");
    return !backend || strcmp(backend, "epoll") == 0;
}

/* No memory in the kernel: tried again at the next tick. */
static void test_arming_fails(void **state)
{
    struct peer peer;
    (void)state;
    if (!is_epoll())
        return;
    refusals = 4;
    refused = 0;
    sys.epoll_ctl = failing_ctl;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    ping(&peer);
    expect_frame(&peer, 0x8a, "you");
    await(refused == 4);
    ping(&peer);
    expect_frame(&peer, 0x8a, "you");
    drop(c, &peer);
}

/* No warden now: calls work, and the next call that leaves tries anew. */
static void no_warden_now(void)
{
    struct peer peer;
    thrum_message m;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    assert_int_equal(refusals, 0); /* connect has left, and nobody could be started */
    assert_int_equal(thrum_library_threads(), 0);
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    ping(&peer);
    assert_status(thrum_recv(c, &m, 20), THRUM_E_TIMEOUT);
    expect_frame(&peer, 0x8a, "you");
    ping(&peer); /* nobody is inside any more: it was started when recv left */
    expect_frame(&peer, 0x8a, "you");
    drop(c, &peer);
}

static void test_no_thread(void **state)
{
    (void)state;
    refusals = 1;
    sys.thread_create = failing_thread;
    no_warden_now();
}

static void test_no_poller(void **state)
{
    (void)state;
    if (!is_epoll())
        return;
    refusals = 1;
    sys.epoll_create1 = failing_create;
    no_warden_now();
}

static void test_no_descriptor_for_its_bell(void **state)
{
    (void)state;
    assert_true(thread_wake_fd(thread_self()) >= 0); /* ours is there: the next one is the warden's */
    refusals = 1;
    sys.eventfd = failing_eventfd;
    no_warden_now();
}

static _Atomic long grants;
static _Atomic bool sparing_on;

static void *sparing_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return !sparing_on || grants-- > 0 ? malloc(n ? n : 1) : NULL;
}
static void *sparing_resize(void *ctx, void *q, size_t n)
{
    (void)ctx;
    return !sparing_on || grants-- > 0 ? realloc(q, n ? n : 1) : NULL;
}
static void sparing_release(void *ctx, void *q)
{
    (void)ctx;
    free(q);
}

/* It has no memory for its timers, and none for its scratch buffer: it goes on, and keeps trying. */
static void test_no_memory(void **state)
{
    static const struct mem_hook sparing = {NULL, sparing_alloc, sparing_resize, sparing_release};
    struct peer peer;
    thrum_message m;
    (void)state;
    mem_force_hook(&sparing);
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_OFF));
    c->settings->s.attended = THRUM_DEFAULT;
    grants = 4; /* the thread, poller and a little more */
    sparing_on = true;
    assert_status(thrum_recv(c, &m, 0), THRUM_E_TIMEOUT);
    await(grants < 0);
    sparing_on = false;
    ping(&peer);
    expect_frame(&peer, 0x8a, "you");
    drop(c, &peer);
    assert_true(settled());
}

/* ---- threads of the application ---- */

static void *enter_and_end(void *arg)
{
    thrum_message m;
    assert_status(thrum_recv(arg, &m, 0), THRUM_E_TIMEOUT);
    return NULL;
}

/* A thread that ends while others live ends nothing. */
static void test_a_thread_ends(void **state)
{
    struct peer peer;
    pthread_t t;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_ON));
    await(thrum_library_threads() == 1);
    for (int i = 0; i < 3; i++) {
        pthread_create(&t, NULL, enter_and_end, c);
        pthread_join(t, NULL);
    }
    assert_status(thrum_thread_background(true), THRUM_OK); /* the main thread still counts others... */
    assert_status(thrum_thread_background(false), THRUM_OK);
    ping(&peer);
    expect_frame(&peer, 0x8a, "you");
    drop(c, &peer);
}

static void *last_thread(void *arg)
{
    thrum_message m;
    (void)!thrum_recv(arg, &m, 10);
    return NULL;
}

/* E2: main has called pthread_exit, the last application thread ends: so does the process, with status 0 and
 * a goodbye. */
static void test_last_thread(void **state)
{
    struct peer peer;
    int status, ours;
    (void)state;
    assert_true(peer_pair(&peer, AF_UNIX, &ours));
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        thrum_conn *c;
        pthread_t t;
        close(peer.fd);
        if (thrum_connect_fd(&c, ours, "ws://h/", THRUM_CLIENT(.attended = THRUM_ON), NULL) != THRUM_OK ||
            pthread_create(&t, NULL, last_thread, c) != 0)
            _exit(1);
        pthread_exit(NULL);
    }
    close(ours);
    raw_answer(&peer);
    expect_frame(&peer, 0x88, "\x03\xe9");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    peer_close(&peer);
}

/* A child of fork has a warden of its own, and the parent's goes on. */
static void test_fork(void **state)
{
    struct peer peer, childs;
    int status, ours;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_ON));
    ping(&peer);
    expect_frame(&peer, 0x8a, "you");
    assert_true(peer_pair(&childs, AF_UNIX, &ours));
    fflush(NULL);
    pid_t pid = fork_at_rest();
    assert_true(pid >= 0);
    if (pid == 0) {
        thrum_conn *mine;
        close(childs.fd);
        if (thrum_library_threads() != 0)
            _exit(1);
        if (thrum_connect_fd(&mine, ours, "ws://h/", THRUM_CLIENT(.attended = THRUM_ON), NULL) != THRUM_OK)
            _exit(2);
        await(thrum_conn_state(mine) == THRUM_CLOSED); /* by the child's warden */
        child_exit(thrum_library_threads() <= 1 ? 0 : 3);
    }
    close(ours);
    raw_answer(&childs);
    ping(&childs);
    expect_frame(&childs, 0x8a, "you");
    peer_close(&childs);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    ping(&peer);
    expect_frame(&peer, 0x8a, "you");
    drop(c, &peer);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_answers_pings),
        EACH(test_one_thread_for_all),
        EACH(test_receives_for_later),
        EACH(test_pauses_at_the_water_mark),
        EACH(test_keepalive),
        EACH(test_sees_the_end),
        EACH(test_keeps_the_closing_deadline),
        EACH(test_in_and_out),
        EACH(test_freed_while_it_watches),
        EACH(test_attended_off),
        EACH(test_comes_back_at_once),
        EACH(test_attended_on),
        EACH(test_second_connection),
        EACH(test_arming_fails),
        EACH(test_no_thread),
        EACH(test_no_poller),
        EACH(test_no_descriptor_for_its_bell),
        EACH(test_no_memory),
        EACH(test_a_thread_ends),
        EACH(test_last_thread),
        EACH(test_fork),
    };
    fault_count_memory();
    int failed = 0;
    static const char *const backends[] = {"epoll", "poll"};
    for (size_t i = 0; i < 2; i++) {
        setenv("THRUM_BACKEND", backends[i], 1);
        failed += cmocka_run_group_tests_name(backends[i], tests, NULL, NULL);
    }
    return failed;
}
