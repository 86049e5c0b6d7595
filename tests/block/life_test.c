/* life_test.c: handles: who may be inside when they go, and what is left behind. */
#include <sys/wait.h>
#include "base/mem.h"
#include "base/sys.h"
#include "block_test.h"

static void settle(void)
{
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
}

static void test_start(void **state)
{
    thrum_error e;
    (void)state;
    assert_status(block_start(&e), THRUM_OK);
    assert_status(block_start(NULL), THRUM_OK); /* once is enough, twice is fine */
}

static void test_null(void **state)
{
    (void)state;
    thrum_conn_free(NULL);
    assert_null(thrum_conn_ref(NULL));
}

/* The last handle says goodbye, with what the kernel takes at once, and closes. */
static void test_goodbye(void **state)
{
    struct peer peer;
    uint8_t first, close[125];
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    assert_true(peer_puts(&peer, "unread"));
    thrum_conn_free(c);
    assert_int_equal(raw_frame(&peer, &first, close, sizeof close), 2);
    assert_int_equal(first, 0x88);
    assert_int_equal(close[0] << 8 | close[1], 1001);
    assert_int_equal(peer_drain(&peer, NULL), 0); /* an end, not a reset */
    peer_close(&peer);
}

static void test_several_handles(void **state)
{
    struct pair p;
    thrum_message m;
    (void)state;
    pair_open(&p, AF_UNIX, false, NULL, NULL);
    assert_ptr_equal(thrum_conn_ref(p.client), p.client);
    thrum_conn_free(p.client);
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
    assert_status(thrum_send(p.client, THRUM_TEXT, "still", 5), THRUM_OK);
    assert_status(thrum_recv(p.server, &m, PEER_MS), THRUM_OK);
    thrum_message_release(&m);
    thrum_conn_free(p.client);
    assert_status(thrum_recv(p.server, &m, PEER_MS), THRUM_E_CLOSED);
    thrum_conn_free(p.server);
}

struct job {
    thrum_conn *c;
    thrum_status status;
};

static void *recv_main(void *arg)
{
    struct job *j = arg;
    thrum_message m;
    j->status = thrum_recv(j->c, &m, THRUM_FOREVER);
    return NULL;
}

static void *ping_main(void *arg)
{
    struct job *j = arg;
    j->status = thrum_ping(j->c, "x", 1, THRUM_FOREVER);
    return NULL;
}

/* Threads that are inside are told; the last of them to leave frees the rest. */
static void test_freed_with_threads_inside(void **state)
{
    struct peer peer;
    pthread_t t[3];
    (void)state;
    settle();
    long blocks = fault_live_blocks();
    int descriptors = fault_open_descriptors(), listed = registry_count();
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    struct job j[3] = {{.c = c}, {.c = c}, {.c = c}};
    pthread_create(&t[0], NULL, recv_main, &j[0]);
    pthread_create(&t[1], NULL, recv_main, &j[1]);
    await(waiting(c, WANT_MESSAGE) == 2);
    pthread_create(&t[2], NULL, ping_main, &j[2]);
    await(is_waiting(c, WANT_PONG));
    thrum_conn_free(c);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], NULL);
        assert_status(j[i].status, THRUM_E_CLOSED);
    }
    settle();
    peer_close(&peer);
    assert_int_equal(registry_count(), listed);
    assert_int_equal(fault_open_descriptors(), descriptors);
    assert_int_equal(fault_live_blocks(), blocks);
}

/* A message is the user's: it lives on without its connection. */
static void test_message_outlives_its_connection(void **state)
{
    struct pair p;
    thrum_message m;
    (void)state;
    pair_open(&p, AF_UNIX, false, NULL, NULL);
    assert_status(thrum_send(p.server, THRUM_TEXT, "kept", 4), THRUM_OK);
    assert_status(thrum_recv(p.client, &m, PEER_MS), THRUM_OK);
    pair_free(&p);
    assert_string_equal((const char *)m.data, "kept");
    thrum_message_release(&m);
}

/* An ended connection gives its descriptor back before its user gives back the handle. */
static void test_descriptor_of_an_ended_connection(void **state)
{
    struct peer peer;
    thrum_message m;
    (void)state;
    settle();
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_OFF));
    int descriptors = fault_open_descriptors();
    peer_hang_up(&peer);
    thrum_status s = thrum_recv(c, &m, PEER_MS);
    assert_true(s == THRUM_E_UNCLEAN || s == THRUM_E_RESET);
    assert_int_equal(fault_open_descriptors(), descriptors - 2); /* the peer's, and ours */
    assert_status(thrum_recv(c, &m, PEER_MS), s);
    assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    assert_true(strlen(thrum_conn_peer(c)) > 0);
    thrum_conn_free(c);
    peer_close(&peer);
}

/* ---- without memory ---- */
static _Atomic long grants;

static void *sparing_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return grants-- > 0 ? malloc(n ? n : 1) : NULL;
}
static void *sparing_resize(void *ctx, void *q, size_t n)
{
    (void)ctx;
    return grants-- > 0 ? realloc(q, n ? n : 1) : NULL;
}
static void sparing_release(void *ctx, void *q)
{
    (void)ctx;
    free(q);
}

static void *start_main(void *arg)
{
    return (void *)(intptr_t)block_start(arg);
}

static void test_no_memory(void **state)
{
    static const struct mem_hook sparing = {NULL, sparing_alloc, sparing_resize, sparing_release};
    thrum_error e = {0};
    struct peer peer;
    struct stream *s;
    pthread_t t;
    void *got;
    int ours;
    (void)state;
    settle();
    int descriptors = fault_open_descriptors();
    assert_true(peer_pair(&peer, AF_UNIX, &ours));
    assert_int_equal(stream_socket(&s, ours), 0);
    struct shared_settings *ss = settings_share();
    assert_non_null(ss);
    grants = 0;
    mem_force_hook(&sparing);
    struct block *b = block_new(s, ss, &e); /* takes both, also where it fails */
    pthread_create(&t, NULL, start_main, &e);
    pthread_join(t, &got);
    fault_count_memory();
    assert_null(b);
    assert_status((thrum_status)(intptr_t)got, THRUM_E_MEMORY);
    assert_status(e.status, THRUM_E_MEMORY);
    assert_true(strlen(e.text) > 0);
    peer_close(&peer);
    assert_int_equal(fault_open_descriptors(), descriptors);
}

/* ---- in a child of fork ---- */

static int free_in_child(struct pair *p, struct pair *torn, int descriptors)
{
    thrum_conn_ref(p->client); /* does nothing, and does not crash */
    pair_free(p);
    pair_free(torn);
    /* All four sockets of the parent's are closed here. */
    return fault_open_descriptors() <= descriptors - 4 ? 0 : 1;
}

static void *hold_lock(void *arg)
{
    struct block *b = arg;
    lock_take(&b->c.lock);
    while (!atomic_load(&b->mailed)) /* set by the test when it is done */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    lock_give(&b->c.lock);
    return NULL;
}

/* Freed without a byte sent, also those whose lock another thread held at the fork. */
static void test_freed_in_a_child(void **state)
{
    struct pair p, torn;
    struct peer peer;
    thrum_message m;
    pthread_t t;
    int status;
    (void)state;
    pair_open(&p, AF_UNIX, false, NULL, NULL);
    pair_open(&torn, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_OFF),
              THRUM_SERVER(.attended = THRUM_OFF));
    thrum_conn *raw = raw_client(&peer, AF_UNIX, false, THRUM_CLIENT(.ping_interval = THRUM_FOREVER));
    pthread_create(&t, NULL, hold_lock, torn.client);
    while (lock_try(&torn.client->lock)) {
        lock_give(&torn.client->lock);
        sched_yield();
    }
    fflush(NULL);
    pid_t pid = fork_at_rest();
    assert_true(pid >= 0);
    if (pid == 0) {
        int wrong = free_in_child(&p, &torn, fault_open_descriptors());
        thrum_conn_free(raw);
        child_exit(wrong);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    block_of(torn.client)->mailed = true;
    pthread_join(t, NULL);
    block_of(torn.client)->mailed = false;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(peer_is_silent(&peer));
    assert_status(thrum_send(p.client, THRUM_TEXT, "on", 2), THRUM_OK);
    assert_status(thrum_recv(p.server, &m, PEER_MS), THRUM_OK);
    thrum_message_release(&m);
    assert_status(thrum_send(torn.client, THRUM_TEXT, "on", 2), THRUM_OK);
    assert_status(thrum_recv(torn.server, &m, PEER_MS), THRUM_OK);
    thrum_message_release(&m);
    pair_free(&p);
    pair_free(&torn);
    thrum_conn_free(raw);
    peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_goodbye),
        cmocka_unit_test(test_several_handles),
        cmocka_unit_test(test_freed_with_threads_inside),
        cmocka_unit_test(test_message_outlives_its_connection),
        cmocka_unit_test(test_descriptor_of_an_ended_connection),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_freed_in_a_child),
    };
    fault_count_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
