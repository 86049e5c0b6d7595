/* corner_test.c: where two rules of the core meet: the peer's end of stream with our last word, a limit with
 * a growing buffer, a long text with a short line. Each of these was wrong once. */
#include "base/mem.h"
#include "proto_test.h"

static char wire[16384];

/* ---- last words -----------------------------------------------------------------------------------------
 */

/* A peer that breaks the protocol and shuts its sending side can still read, and is told why. */
static void test_half_closed_peer_is_told(void **state)
{
    (void)state;
    thrum_proto *p = open_server(NULL);
    say(p, 0xc1, "x", 1);
    (void)thrum_proto_in_end(p, 0, now);
    assert_int_equal(thrum_proto_state(p), THRUM_CLOSING);
    assert_true(take_out(p, wire, sizeof wire) > 4);
    assert_memory_equal(wire + 2, "\x03\xea", 2);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    expect_error(p, THRUM_E_PROTOCOL, 1002);
    thrum_proto_free(p);
    p = open_server(NULL); /* a stream that broke carries no word */
    say(p, 0xc1, "x", 1);
    (void)thrum_proto_in_end(p, 104, now);
    assert_true(thrum_proto_flags(p) & THRUM_ENDED);
    thrum_proto_free(p);
}

/* An answer whose body does not end is a refusal, not a lack of time. */
static void test_R27_refusal_without_end(void **state)
{
    thrum_error e;
    (void)state;
    thrum_proto *p = new_client(THRUM_CLIENT(.open_timeout = 1000), NULL);
    feed_text(p, "HTTP/1.1 404 Not Found\r\n\r\nno such place\n");
    assert_int_equal(thrum_proto_state(p), THRUM_CONNECTING);
    now += 999 * MS;
    thrum_proto_tick(p, now);
    assert_int_equal(thrum_proto_state(p), THRUM_CONNECTING);
    now += MS;
    thrum_proto_tick(p, now);
    expect_error(p, THRUM_E_REFUSED, 0);
    thrum_proto_error(p, &e);
    assert_int_equal(e.http_status, 404);
    assert_non_null(strstr(e.text, "no such place"));
    thrum_proto_free(p);
}

/* ---- keepalive ------------------------------------------------------------------------------------------
 */

/* No place for one more ping does not mean that the peer is alive. */
static void test_R27_silent_peer_with_all_pings_out(void **state)
{
    (void)state;
    thrum_proto *p = open_server(THRUM_SERVER(.ping_interval = 1000, .ping_timeout = 500));
    for (int i = 0; i < 64; i++)
        assert_status(thrum_proto_ping(p, (thrum_slice){NULL, 0}, now, NULL), THRUM_OK);
    take_out(p, wire, sizeof wire);
    now += 1000 * MS;
    thrum_proto_tick(p, now);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    assert_int_equal(take_out(p, wire, sizeof wire), 0);
    now += 499 * MS;
    thrum_proto_tick(p, now);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    now += MS;
    thrum_proto_tick(p, now);
    expect_error(p, THRUM_E_UNCLEAN, 1011);
    thrum_proto_free(p);
}

/* ---- parts ----------------------------------------------------------------------------------------------
 */

static void test_last_part_behind_a_ping(void **state)
{
    thrum_event e;
    (void)state;
    thrum_proto *p = open_server(NULL);
    say(p, 0x02, "abc", 3);
    assert_true(thrum_proto_event_part(p, &e));
    thrum_message_release(&e.message);
    say(p, 0x89, "", 0);
    say(p, 0x80, "d", 1);
    assert_true(proto_in_parts(p));
    assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
    assert_int_equal(e.message.part, THRUM_PART_LAST);
    thrum_message_release(&e.message);
    assert_false(proto_in_parts(p));
    thrum_proto_free(p);
}

/* ---- memory ---------------------------------------------------------------------------------------------
 */

static size_t largest;
static long refuse_at = -1; /* which request from now on is refused; -1 none */

static bool is_refused(void)
{
    return refuse_at >= 0 && refuse_at-- == 0;
}

static void *watching_alloc(void *ctx, size_t n)
{
    (void)ctx;
    largest = n > largest ? n : largest;
    return is_refused() ? NULL : malloc(n);
}

static void *watching_resize(void *ctx, void *p, size_t n)
{
    (void)ctx;
    largest = n > largest ? n : largest;
    return is_refused() ? NULL : realloc(p, n);
}

static void watching_release(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static const struct mem_hook watching = {NULL, watching_alloc, watching_resize, watching_release};

/* A buffer that doubles does not run over the end of a message whose end is known. */
static void test_R2_no_more_than_the_last_frame(void **state)
{
    static uint8_t f[80014], d[80000];
    (void)state;
    thrum_proto *p = open_server(NULL);
    size_t n = frame(f, 0x82, d, sizeof d, true), first = 50000;
    mem_force_hook(&watching);
    largest = 0;
    feed(p, f, first);
    feed(p, f + first, n - first - 1);
    assert_int_equal(largest, sizeof d + 1);
    mem_force_hook(NULL);
    thrum_proto_free(p);
}

/* Whichever allocation fails: who is told OPEN by the state is told so by an event, too. */
static void test_no_open_without_its_event(void **state)
{
    thrum_event e;
    int opened = 0, failed = 0;
    (void)state;
    mem_force_hook(&watching);
    for (long at = 0; at < 40; at++) {
        thrum_proto *p = new_server(NULL);
        char request[sizeof good_request];
        memcpy(request, good_request, sizeof request);
        refuse_at = at;
        (void)thrum_proto_feed(p, (uint8_t *)request, sizeof request - 1, now);
        refuse_at = -1;
        bool open = thrum_proto_state(p) == THRUM_OPEN, told = next_of(p, THRUM_EVENT_OPEN, &e);
        if (told)
            thrum_message_release(&e.message);
        else
            assert_int_not_equal(proto_status(p), THRUM_OK); /* no memory, or a 500 */
        assert_int_equal(open, told);
        opened += open;
        failed += !open;
        thrum_proto_free(p);
    }
    mem_force_hook(NULL);
    assert_true(opened > 0 && failed > 5);
}

/* ---- texts ----------------------------------------------------------------------------------------------
 */

static int with_type(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)r;
    return thrum_reply_body(a, arg, "hi", 2) == THRUM_OK ? 200 : 500;
}

/* A long value goes out whole, and the lines behind it stay lines of their own. */
static void test_R18_long_values(void **state)
{
    static char type[1026], name[2001];
    (void)state;
    memset(name, 'n', sizeof name - 1);
    for (size_t n = 1024; n <= 1025; n++) {
        memset(type, 't', n);
        type[1] = '/';
        type[n] = '\0';
        thrum_proto *p = new_server(THRUM_SERVER(.on_request = with_type, .arg = type, .server_name = name));
        feed_text(p, good_request);
        take_out(p, wire, sizeof wire);
        const char *server = strstr(wire, "\r\nServer: "), *value = strstr(wire, "\r\nContent-Type: ");
        assert_true(server && value);
        assert_memory_equal(server + 10, name, sizeof name - 1);
        assert_memory_equal(server + 10 + sizeof name - 1, "\r\n", 2);
        assert_int_equal(memcmp(value + 16, type, n) == 0, n == 1024); /* one over: refused, so 500 */
        assert_non_null(strstr(wire, n == 1024 ? "HTTP/1.1 200 " : "HTTP/1.1 500 "));
        assert_non_null(strstr(wire, n == 1024 ? "\r\nContent-Length: 2\r\n\r\nhi" : "\r\nContent-Length: "));
        thrum_proto_free(p);
    }
}

/* RFC 9110 section 7.8: what sends Upgrade names it in Connection. */
static void test_upgrade_is_named_in_connection(void **state)
{
    (void)state;
    thrum_proto *p = new_server(NULL);
    feed_text(p, "GET / HTTP/1.1\r\nHost: h.test\r\n\r\n");
    take_out(p, wire, sizeof wire);
    assert_non_null(strstr(wire, "HTTP/1.1 426 "));
    assert_non_null(strstr(wire, "\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(wire, "\r\nConnection: Upgrade\r\n"));
    thrum_proto_free(p);
}

/* A request that is too long is the caller's mistake, and no lack of memory. */
static void test_request_too_long(void **state)
{
    static char value[8001];
    const char *headers[36 + 1] = {NULL};
    thrum_error e;
    thrum_proto *p;
    (void)state;
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 32; i += 2) {
        headers[i] = "X-Long";
        headers[i + 1] = value;
    }
    assert_status(
        thrum_proto_client(&p, "ws://h.test/", THRUM_CLIENT(.headers = headers), &test_host, now, &e),
        THRUM_OK);
    thrum_proto_free(p);
    headers[32] = "X-Long";
    headers[33] = value;
    assert_status(
        thrum_proto_client(&p, "ws://h.test/", THRUM_CLIENT(.headers = headers), &test_host, now, &e),
        THRUM_E_ARGUMENT);
    assert_null(p);
    assert_non_null(strstr(e.text, "128 KiB"));
}

/* Empty slices of a gather send take no place at door 2. */
static void test_empty_slices_are_passed_over(void **state)
{
    static uint8_t d[1200];
    const thrum_slice v[] = {{NULL, 0}, {d, 600}, {NULL, 0}, {NULL, 0}, {d, 600}, {NULL, 0}};
    thrum_slice o[8];
    (void)state;
    thrum_proto *p = open_server(NULL);
    assert_status(proto_send_borrow(p, THRUM_BINARY, v, 6, true, THRUM_DEFAULT), THRUM_OK);
    assert_int_equal(thrum_proto_out(p, o, 8), 3); /* header and two */
    assert_int_equal(take_out(p, wire, sizeof wire), 4 + 1200);
    assert_int_equal(proto_borrowed(p), PROTO_BORROW_NONE);
    thrum_proto_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_closed_peer_is_told),
        cmocka_unit_test(test_R27_refusal_without_end),
        cmocka_unit_test(test_R27_silent_peer_with_all_pings_out),
        cmocka_unit_test(test_last_part_behind_a_ping),
        cmocka_unit_test(test_R2_no_more_than_the_last_frame),
        cmocka_unit_test(test_no_open_without_its_event),
        cmocka_unit_test(test_R18_long_values),
        cmocka_unit_test(test_upgrade_is_named_in_connection),
        cmocka_unit_test(test_request_too_long),
        cmocka_unit_test(test_empty_slices_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
