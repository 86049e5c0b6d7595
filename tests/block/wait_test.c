/* wait_test.c: waiting: who reads, who is woken, what ends a wait, and what a wait that is cut short leaves
 * behind. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include "base/mem.h"
#include "base/sys.h"
#include "block_test.h"

static struct pair p;

static int open_pair(void **state)
{
    (void)state;
    pair_open(&p, AF_UNIX, false, NULL, NULL);
    return 0;
}

static int free_pair(void **state)
{
    (void)state;
    sys = sys_real;
    pair_free(&p);
    return 0;
}

struct job {
    thrum_conn *c;
    thrum_wait t;
    thrum_status status;
    char got;
    bool cancel_off;
    int type_after;
};

static void *recv_main(void *arg)
{
    struct job *j = arg;
    thrum_message m;
    if (j->cancel_off)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    j->status = thrum_recv(j->c, &m, j->t);
    j->got = j->status == THRUM_OK && m.len ? (char)m.data[0] : 0;
    thrum_message_release(&m);
    return NULL;
}

/* Is a call that has the reader role asleep? */
static bool is_reading(thrum_conn *c)
{
    bool found = false;
    lock_take(&c->lock);
    list_each (l, &block_of(c)->waiters)
        found |= list_of(l, struct call, link)->reads;
    lock_give(&c->lock);
    return found;
}

/* ---- the reader role ---- */

static void test_one_of_two_reads(void **state)
{
    struct job a = {.c = p.client, .t = THRUM_FOREVER}, b = a;
    pthread_t t[2];
    (void)state;
    pthread_create(&t[0], NULL, recv_main, &a);
    pthread_create(&t[1], NULL, recv_main, &b);
    await(waiting(p.client, 0) == 2);
    int readers = 0;
    lock_take(&p.client->lock);
    list_each (l, &block_of(p.client)->waiters)
        readers += list_of(l, struct call, link)->reads;
    assert_int_equal(block_of(p.client)->reader, READER_CALLER);
    lock_give(&p.client->lock);
    assert_int_equal(readers, 1);
    /* The one that reads leaves with the first message, and the other one takes the role over. */
    assert_status(thrum_send(p.server, THRUM_TEXT, "1", 1), THRUM_OK);
    await(waiting(p.client, 0) == 1);
    assert_status(thrum_send(p.server, THRUM_TEXT, "2", 1), THRUM_OK);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    assert_int_equal(a.got + b.got, '1' + '2');
    assert_true(look_at(p.client).reader != READER_CALLER);
}

/* The reader gives up by time: the other one that waits reads on. */
static void test_role_is_given_on_when_the_reader_times_out(void **state)
{
    struct job a = {.c = p.client, .t = 30}, b = {.c = p.client, .t = THRUM_FOREVER};
    pthread_t t[2];
    (void)state;
    pthread_create(&t[0], NULL, recv_main, &a);
    await(is_reading(p.client) || waiting(p.client, 0) == 0);
    pthread_create(&t[1], NULL, recv_main, &b);
    pthread_join(t[0], NULL);
    assert_status(a.status, THRUM_E_TIMEOUT);
    await(is_reading(p.client));
    assert_status(thrum_send(p.server, THRUM_TEXT, "b", 1), THRUM_OK);
    pthread_join(t[1], NULL);
    assert_int_equal(b.got, 'b');
}

/* A ping's wait reads for a recv that waits beside it, and the other way round. */
static void test_whoever_reads_serves_the_others(void **state)
{
    struct job a = {.c = p.client, .t = THRUM_FOREVER};
    pthread_t t;
    (void)state;
    pthread_create(&t, NULL, recv_main, &a);
    await(is_reading(p.client));
    assert_status(thrum_ping(p.client, "x", 1, PEER_MS),
                  THRUM_OK); /* the pong came by way of the other thread */
    assert_status(thrum_send(p.server, THRUM_TEXT, "m", 1), THRUM_OK);
    pthread_join(t, NULL);
    assert_int_equal(a.got, 'm');
}

/* ---- what ends a wait ---- */

static int poll_errno;
static _Atomic int poll_failures;

static int failing_poll(struct pollfd *v, nfds_t n, int ms)
{
    if (poll_failures > 0) {
        poll_failures--;
        errno = poll_errno;
        return -1;
    }
    return sys_real.poll(v, n, ms);
}

static thrum_status recv_with_poll(thrum_conn *c, int e, int times)
{
    thrum_message m;
    poll_errno = e;
    poll_failures = times;
    sys.poll = failing_poll;
    thrum_status s = thrum_recv(c, &m, 20);
    sys.poll = sys_real.poll;
    thrum_message_release(&m);
    return s;
}

static void test_poll_fails(void **state)
{
    (void)state;
    pair_free(&p);
    pair_open(&p, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_OFF), THRUM_SERVER(.attended = THRUM_OFF));
    assert_status(recv_with_poll(p.client, ENOMEM, 1), THRUM_E_MEMORY);
    assert_status(recv_with_poll(p.client, EINVAL, 1), THRUM_E_SYSTEM);
    assert_status(recv_with_poll(p.client, EINTR, 3), THRUM_E_TIMEOUT); /* waits resume */
    assert_int_equal(poll_failures, 0);
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
    assert_int_equal(look_at(p.client).reader, READER_NOBODY);
    assert_status(thrum_send(p.server, THRUM_TEXT, "on", 2), THRUM_OK);
    assert_status(recv_with_poll(p.client, EINTR, 1), THRUM_OK);
}

static void test_interrupted(void **state)
{
    (void)state;
    pair_free(&p);
    pair_open(&p, AF_UNIX, false, THRUM_CLIENT(.interruptible = THRUM_ON, .attended = THRUM_OFF),
              THRUM_SERVER(.attended = THRUM_OFF));
    assert_status(recv_with_poll(p.client, EINTR, 1), THRUM_E_INTERRUPTED);
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
}

static int no_eventfd(unsigned value, int flags)
{
    (void)value;
    (void)flags;
    errno = EMFILE;
    return -1;
}

/* A thread that has never waited needs an eventfd and a scratch buffer: without, its call fails and nothing
 * else does. */
static void test_no_descriptor_to_wait_with(void **state)
{
    struct job a = {.c = p.client, .t = THRUM_FOREVER};
    pthread_t t;
    (void)state;
    sys.eventfd = no_eventfd;
    pthread_create(&t, NULL, recv_main, &a);
    pthread_join(t, NULL);
    sys.eventfd = sys_real.eventfd;
    assert_status(a.status, THRUM_E_SYSTEM);
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
}

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

static void test_no_memory_to_wait_with(void **state)
{
    static const struct mem_hook sparing = {NULL, sparing_alloc, sparing_resize, sparing_release};
    (void)state;
    pair_free(&p);
    pair_open(&p, AF_UNIX, false, THRUM_CLIENT(.attended = THRUM_OFF), THRUM_SERVER(.attended = THRUM_OFF));
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    for (long n = 0; n < 2; n++) { /* the thread's record, then its scratch buffer */
        struct job a = {.c = p.client, .t = THRUM_FOREVER};
        pthread_t t;
        grants = n;
        mem_force_hook(&sparing);
        pthread_create(&t, NULL, recv_main, &a);
        pthread_join(t, NULL);
        mem_force_hook(NULL);
        assert_status(a.status, THRUM_E_MEMORY);
    }
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
    assert_int_equal(p.client->inside, 0);
}

static void test_enter(void **state)
{
    struct call k;
    (void)state;
    cancels_in_a_wait();
    assert_status(call_enter(&k, NULL), THRUM_E_ARGUMENT);
    p.client->generation++;
    assert_status(call_enter(&k, p.client), THRUM_E_FORKED);
    p.client->generation--;
}

/* ---- cancellation (E10) ---- */

static void expect_cancelled(pthread_t t)
{
    void *result;
    pthread_cancel(t);
    pthread_join(t, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
}

static void works_on(void)
{
    thrum_message m;
    assert_int_equal(p.client->inside, 0);
    assert_int_equal(thrum_conn_state(p.client), THRUM_OPEN);
    assert_status(thrum_send(p.client, THRUM_TEXT, "to", 2), THRUM_OK);
    assert_status(thrum_recv(p.server, &m, PEER_MS), THRUM_OK);
    thrum_message_release(&m);
    assert_status(thrum_send(p.server, THRUM_TEXT, "fro", 3), THRUM_OK);
    assert_status(thrum_recv(p.client, &m, PEER_MS), THRUM_OK);
    assert_string_equal((const char *)m.data, "fro");
    thrum_message_release(&m);
    assert_status(thrum_close(p.client, 1000, NULL), THRUM_OK);
}

static void test_cancelled_in_recv(void **state)
{
    struct job a = {.c = p.client, .t = THRUM_FOREVER};
    pthread_t t;
    (void)state;
    cancels_in_a_wait();
    pthread_create(&t, NULL, recv_main, &a);
    await(is_reading(p.client));
    expect_cancelled(t);
    works_on();
}

static void test_cancelled_reader_gives_the_role_on(void **state)
{
    struct job a = {.c = p.client, .t = THRUM_FOREVER}, b = a;
    pthread_t t[2];
    (void)state;
    cancels_in_a_wait();
    pthread_create(&t[0], NULL, recv_main, &a);
    await(is_reading(p.client));
    pthread_create(&t[1], NULL, recv_main, &b);
    await(waiting(p.client, 0) == 2);
    expect_cancelled(t[0]);
    assert_status(thrum_send(p.server, THRUM_TEXT, "b", 1), THRUM_OK);
    pthread_join(t[1], NULL);
    assert_int_equal(b.got, 'b');
    works_on();
}

static void *ping_main(void *arg)
{
    (void)thrum_ping(arg, "p", 1, THRUM_FOREVER);
    return NULL;
}

static void *part_main(void *arg)
{
    thrum_message m;
    (void)!thrum_recv_part(arg, &m, THRUM_FOREVER);
    return NULL;
}

static void *close_main(void *arg)
{
    (void)thrum_close(arg, 1000, NULL);
    return NULL;
}

static void *send_main(void *arg)
{
    (void)!thrum_send(arg, THRUM_TEXT, "waits", 5);
    return NULL;
}

static void test_cancelled_in_other_calls(void **state)
{
    struct peer peer;
    pthread_t t;
    (void)state;
    cancels_in_a_wait();
    thrum_conn *c = raw_client(&peer, AF_UNIX, false, NULL);
    pthread_create(&t, NULL, ping_main, c);
    await(is_waiting(c, WANT_PONG));
    expect_cancelled(t);
    pthread_create(&t, NULL, part_main, c);
    await(is_waiting(c, WANT_PART));
    expect_cancelled(t);
    assert_status(thrum_send_part(c, THRUM_TEXT, "a", 1, false), THRUM_OK);
    pthread_create(&t, NULL, send_main, c);
    await(is_waiting(c, WANT_TURN));
    expect_cancelled(t);
    assert_true(look_at(c).turn); /* the part's, not the cancelled one's */
    assert_status(thrum_send_part(c, THRUM_TEXT, "b", 1, true), THRUM_OK);
    assert_false(look_at(c).turn);
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    pthread_create(&t, NULL, close_main, c);
    await(is_waiting(c, WANT_END));
    expect_cancelled(t);
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSING);
    assert_int_equal(c->inside, 0);
    thrum_conn_free(c);
    peer_close(&peer);
}

static void *send_much(void *arg)
{
    size_t n = 4 << 20;
    uint8_t *data = calloc(1, n);
    pthread_cleanup_push(free, data);
    (void)!thrum_send(arg, THRUM_BINARY, data, n);
    pthread_cleanup_pop(1);
    return NULL;
}

static void *read_much(void *arg)
{
    uint8_t first, *data = malloc(4 << 20);
    size_t n = raw_frame(arg, &first, data, 4 << 20), other = 0;
    for (size_t i = 0; i < n; i++)
        other += data[i] != 0;
    assert_int_equal(n, 4 << 20);
    assert_int_equal(other, 0);
    assert_int_equal(raw_frame(arg, &first, data, 100), 4);
    assert_memory_equal(data, "next", 4);
    free(data);
    return NULL;
}

/* In the midst of a frame: the rest was copied, is written by the next call, and the framing stays true. */
static void test_cancelled_in_mid_frame(void **state)
{
    struct peer peer;
    pthread_t t, r;
    (void)state;
    cancels_in_a_wait();
    thrum_conn *c = raw_client(&peer, AF_UNIX, true, NULL);
    pthread_create(&t, NULL, send_much, c);
    await(is_waiting(c, WANT_WRITTEN));
    expect_cancelled(t);
    assert_false(look_at(c).turn);
    pthread_create(&r, NULL, read_much, &peer);
    assert_status(thrum_send(c, THRUM_TEXT, "next", 4), THRUM_OK);
    pthread_join(r, NULL);
    thrum_conn_free(c);
    peer_close(&peer);
}

static void *cancel_off_main(void *arg)
{
    struct job *j = arg;
    int state, type;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    recv_main(j);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    j->type_after = type == PTHREAD_CANCEL_ASYNCHRONOUS && state == PTHREAD_CANCEL_DISABLE;
    return NULL;
}

/* Who has cancellation off is not cancelled, and finds state and type as it left them. */
static void test_cancellation_is_off_where_the_caller_has_it_off(void **state)
{
    struct job a = {.c = p.client, .t = THRUM_FOREVER};
    pthread_t t;
    void *result;
    (void)state;
    pthread_create(&t, NULL, cancel_off_main, &a);
    await(is_reading(p.client));
    pthread_cancel(t);
    assert_status(thrum_send(p.server, THRUM_TEXT, "x", 1), THRUM_OK);
    pthread_join(t, &result);
    assert_null(result);
    assert_int_equal(a.got, 'x');
    assert_true(a.type_after);
}

/* A thread that is cancelled in thrum_accept_fd leaves nothing behind. */
static void *accept_main(void *arg)
{
    thrum_conn *c;
    (void)!thrum_accept_fd(&c, *(int *)arg, NULL, NULL);
    return NULL;
}

static void test_cancelled_in_accept(void **state)
{
    struct peer peer;
    pthread_t t;
    int ours;
    (void)state;
    cancels_in_a_wait();
    pair_free(&p);
    p = (struct pair){0};
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    long blocks = fault_live_blocks();
    int descriptors = fault_open_descriptors(), listed = registry_count();
    assert_true(peer_pair(&peer, AF_UNIX, &ours));
    assert_true(peer_puts(&peer, "GET / HT"));
    pthread_create(&t, NULL, accept_main, &ours);
    await(registry_count() == listed + 1);
    expect_cancelled(t);
    peer_close(&peer);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    assert_int_equal(registry_count(), listed);
    assert_int_equal(fault_open_descriptors(), descriptors);
    assert_int_equal(fault_live_blocks(), blocks);
}

/* ---- the habit (E13) ---- */

static void test_habit(void **state)
{
    struct block *b = block_of(p.client);
    thrum_message m;
    (void)state;
    for (int i = 0; i < 20; i++) {
        lock_take(&p.client->lock);
        b->left_at = clock_now();
        lock_give(&p.client->lock);
        assert_status(thrum_recv(p.client, &m, 0), THRUM_E_TIMEOUT);
    }
    assert_true(b->prompt >= 20);
    assert_false(b->fickle);
    lock_take(&p.client->lock);
    b->left_at = clock_now() - 100 * CLOCK_MS; /* not at once, but no long absence either */
    lock_give(&p.client->lock);
    assert_status(thrum_recv(p.client, &m, 0), THRUM_E_TIMEOUT);
    assert_in_range(b->prompt, 10, 32); /* it was half forgiven */
    assert_false(b->fickle);
    for (int i = 0; i < 9; i++) {
        b->left_at = clock_now();
        assert_status(thrum_recv(p.client, &m, 0), THRUM_E_TIMEOUT);
    }
    lock_take(&p.client->lock);
    b->left_at = clock_now() - 2000 * CLOCK_MS;
    lock_give(&p.client->lock);
    assert_status(thrum_recv(p.client, &m, 0), THRUM_E_TIMEOUT);
    assert_true(b->fickle); /* it had looked as if it kept coming back */
}

/* ---- a message that the peer's Close overtook was not sent ---- */

/* A frame that has not begun when the peer's Close comes is dropped: its sender is told so. */
static void test_dropped_by_the_peers_close(void **state)
{
    struct peer peer;
    (void)state;
    thrum_conn *c = raw_client(&peer, AF_UNIX, true, THRUM_CLIENT(.send_timeout = 20));
    uint8_t *data = calloc(1, 4 << 20);
    assert_status(thrum_send(c, THRUM_BINARY, data, 4 << 20),
                  THRUM_E_UNFINISHED); /* so that the next cannot begin */
    free(data);
    lock_take(&c->lock);
    c->settings->s.send_timeout = THRUM_FOREVER; /* the next one ends by the peer's Close only */
    lock_give(&c->lock);
    assert_true(peer_write(&peer, "\x88\x02\x03\xe8", 4));
    assert_status(thrum_send(c, THRUM_TEXT, "dropped", 7), THRUM_E_CLOSED);
    thrum_conn_free(c);
    peer_close(&peer);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, open_pair, free_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_one_of_two_reads),
        EACH(test_role_is_given_on_when_the_reader_times_out),
        EACH(test_whoever_reads_serves_the_others),
        EACH(test_poll_fails),
        EACH(test_interrupted),
        EACH(test_no_descriptor_to_wait_with),
        EACH(test_no_memory_to_wait_with),
        EACH(test_enter),
        EACH(test_cancelled_in_recv),
        EACH(test_cancelled_reader_gives_the_role_on),
        EACH(test_cancelled_in_other_calls),
        EACH(test_cancelled_in_mid_frame),
        EACH(test_cancellation_is_off_where_the_caller_has_it_off),
        EACH(test_cancelled_in_accept),
        EACH(test_habit),
        EACH(test_dropped_by_the_peers_close),
    };
    fault_count_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
