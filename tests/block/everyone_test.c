/* everyone_test.c: all of a server's connections: count, each, broadcast. */
#include "base/mem.h"
#include "block_test.h"
#include "block/server.h"

static thrum_server *s;

static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK)
        thrum_message_release(&m);
}

static int start(void **state)
{
    thrum_error e;
    (void)state;
    return thrum_serve(&s, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo, .send_high = 100000), &e) ==
                   THRUM_OK
               ? 0
               : -1;
}

static int stop(void **state)
{
    (void)state;
    (void)thrum_server_drain(s, 0, 0);
    thrum_server_free(s);
    return thread_library_settle(0, clock_after(clock_now(), PEER_MS)) ? 0 : -1;
}

static thrum_conn *connect_one(void)
{
    thrum_conn *c;
    thrum_error e;
    size_t n = thrum_server_count(s);
    if (thrum_connect(&c, thrum_server_url(s), NULL, &e) != THRUM_OK)
        fail_msg("connect: %s", e.text);
    await(thrum_server_count(s) == n + 1);
    return c;
}

static void test_arguments(void **state)
{
    size_t sent = 7, skipped = 7;
    (void)state;
    assert_status(thrum_server_broadcast(NULL, THRUM_TEXT, "a", 1, NULL, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_server_broadcast(s, (thrum_kind)0, "a", 1, NULL, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_server_broadcast(s, THRUM_TEXT, NULL, 1, NULL, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_server_broadcast(s, THRUM_TEXT, "\xff", 1, NULL, NULL), THRUM_E_UTF8);
    assert_status(thrum_server_each(NULL, NULL, NULL), THRUM_E_ARGUMENT);
    assert_status(thrum_server_each(s, NULL, NULL), THRUM_E_ARGUMENT);
    assert_int_equal(thrum_server_count(NULL), 0);
    /* To nobody is fine. */
    assert_status(thrum_server_broadcast(s, THRUM_TEXT, "a", 1, &sent, &skipped), THRUM_OK);
    assert_int_equal(sent, 0);
    assert_int_equal(skipped, 0);
}

static void test_of_the_parent(void **state)
{
    (void)state;
    s->generation++;
    assert_status(thrum_server_broadcast(s, THRUM_TEXT, "a", 1, NULL, NULL), THRUM_E_FORKED);
    assert_int_equal(thrum_server_count(s), 0);
    s->generation--;
}

static void expect(thrum_conn *c, thrum_kind kind, const char *text)
{
    thrum_message m;
    assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
    assert_int_equal(m.kind, kind);
    assert_string_equal((const char *)m.data, text);
    thrum_message_release(&m);
}

static void test_broadcast(void **state)
{
    enum { N = 5 };
    thrum_conn *c[N];
    size_t sent, skipped;
    (void)state;
    for (int i = 0; i < N; i++)
        c[i] = connect_one();
    assert_status(thrum_server_broadcast(s, THRUM_TEXT, "all", 3, &sent, &skipped), THRUM_OK);
    assert_int_equal(sent, N);
    assert_int_equal(skipped, 0);
    assert_status(thrum_server_broadcast(s, THRUM_BINARY, NULL, 0, NULL, NULL), THRUM_OK);
    for (int i = 0; i < N; i++) {
        expect(c[i], THRUM_TEXT, "all");
        expect(c[i], THRUM_BINARY, "");
        thrum_conn_free(c[i]);
    }
    await(thrum_server_count(s) == 0);
}

/* One that reads nothing is passed over when its queue is full; the others get everything, and in order. */
static void test_slow_one_is_passed_over(void **state)
{
    enum { SIZE = 60000 };
    static char big[SIZE + 1];
    size_t sent, skipped;
    (void)state;
    struct peer slow;
    assert_true(peer_connect(&slow, AF_INET, thrum_server_port(s)));
    assert_true(
        peer_puts(&slow, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"));
    await(thrum_server_count(s) == 1);
    thrum_conn *c = connect_one();
    memset(big, 'b', SIZE);
    int rounds = 0, to_one = 0;
    while (to_one < 3) {
        assert_status(thrum_server_broadcast(s, THRUM_TEXT, big, SIZE, &sent, &skipped), THRUM_OK);
        assert_int_equal(sent + skipped, 2);
        assert_true(sent >= 1);
        to_one += sent == 1;
        rounds++;
        assert_true(rounds < 10000);
        expect(c, THRUM_TEXT, big);
    }
    peer_close(&slow);
    thrum_conn_free(c);
}

static thrum_conn *kept;

static void keep(thrum_conn *c, void *arg)
{
    ++*(int *)arg;
    if (!kept)
        kept = thrum_conn_ref(c);
}

static void test_each_and_keep(void **state)
{
    int visited = 0;
    (void)state;
    thrum_conn *a = connect_one(), *b = connect_one();
    kept = NULL;
    assert_status(thrum_server_each(s, keep, &visited), THRUM_OK);
    assert_int_equal(visited, 2);
    assert_int_equal(thrum_conn_state(kept), THRUM_OPEN);
    thrum_conn_free(a);
    thrum_conn_free(b);
    await(thrum_server_count(s) == 0); /* the handlers are gone, the handle still answers */
    assert_int_equal(thrum_conn_state(kept), THRUM_CLOSED);
    thrum_conn_free(kept);
}

/* In the midst of a message in parts there is no place for another message. */
static void test_in_mid_parts_is_passed_over(void **state)
{
    int visited = 0;
    size_t sent, skipped;
    (void)state;
    thrum_conn *c = connect_one();
    kept = NULL;
    assert_status(thrum_server_each(s, keep, &visited), THRUM_OK);
    assert_status(thrum_send_part(kept, THRUM_TEXT, "a", 1, false), THRUM_OK);
    assert_status(thrum_server_broadcast(s, THRUM_TEXT, "x", 1, &sent, &skipped), THRUM_OK);
    assert_int_equal(sent, 0);
    assert_int_equal(skipped, 1);
    assert_status(thrum_send_part(kept, THRUM_TEXT, "b", 1, true), THRUM_OK);
    assert_status(thrum_server_broadcast(s, THRUM_TEXT, "y", 1, &sent, &skipped), THRUM_OK);
    assert_int_equal(sent, 1);
    expect(c, THRUM_TEXT, "ab");
    expect(c, THRUM_TEXT, "y");
    thrum_conn_free(kept);
    thrum_conn_free(c);
}

/* A connection that shakes hands still is not among those that are spoken to. */
static void test_half_open_is_not_counted(void **state)
{
    struct peer half;
    size_t sent, skipped;
    (void)state;
    assert_true(peer_connect(&half, AF_INET, thrum_server_port(s)));
    assert_true(peer_puts(&half, "GET / HT"));
    thrum_conn *c = connect_one();
    assert_status(thrum_server_broadcast(s, THRUM_TEXT, "x", 1, &sent, &skipped), THRUM_OK);
    assert_int_equal(sent, 1);
    assert_int_equal(skipped, 0);
    assert_int_equal(thrum_server_count(s), 1);
    peer_close(&half);
    thrum_conn_free(c);
}

static _Thread_local long
    grants; /* of the thread that counts; others, which the library has, get what they ask for */
static _Thread_local bool counts;

static void *sparing_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return !counts || grants-- > 0 ? malloc(n ? n : 1) : NULL;
}
static void *sparing_resize(void *ctx, void *q, size_t n)
{
    (void)ctx;
    return !counts || grants-- > 0 ? realloc(q, n ? n : 1) : NULL;
}
static void sparing_release(void *ctx, void *q)
{
    (void)ctx;
    free(q);
}
static void forget(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
}

static void test_no_memory(void **state)
{
    static const struct mem_hook sparing = {NULL, sparing_alloc, sparing_resize, sparing_release};
    size_t sent = 9, skipped = 9;
    (void)state;
    thrum_conn *c = connect_one();
    counts = true;
    mem_force_hook(&sparing);
    grants = 0; /* the frame */
    thrum_status frame = thrum_server_broadcast(s, THRUM_TEXT, "x", 1, NULL, NULL);
    grants = 1; /* the list of connections */
    thrum_status list = thrum_server_broadcast(s, THRUM_TEXT, "x", 1, NULL, NULL);
    grants = 0;
    thrum_status each = thrum_server_each(s, forget, NULL);
    grants = 2; /* the place in the queue of one */
    thrum_status place = thrum_server_broadcast(s, THRUM_TEXT, "x", 1, &sent, &skipped);
    mem_force_hook(NULL);
    counts = false;
    assert_status(frame, THRUM_E_MEMORY);
    assert_status(list, THRUM_E_MEMORY);
    assert_status(each, THRUM_E_MEMORY);
    assert_status(place, THRUM_OK);
    assert_int_equal(sent, 0);
    assert_int_equal(skipped, 1);
    thrum_conn_free(c);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_arguments),
        EACH(test_of_the_parent),
        EACH(test_broadcast),
        EACH(test_slow_one_is_passed_over),
        EACH(test_each_and_keep),
        EACH(test_in_mid_parts_is_passed_over),
        EACH(test_half_open_is_not_counted),
        EACH(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
