/* client_test.c: thrum_connect and how it fails. */
#include "block_test.h"

static void refused(const char *url, const thrum_client_options *o, thrum_status want, const char *says)
{
    thrum_conn *c = (thrum_conn *)&c;
    thrum_error e;
    int descriptors = fault_open_descriptors();
    thrum_status s = thrum_connect(&c, url, o, &e);
    if (s != want || e.status != want || !strstr(e.text, says))
        fail_msg("%s: %s, \"%s\"", url ? url : "NULL", thrum_status_name(s), e.text);
    assert_null(c);
    assert_int_equal(fault_open_descriptors(), descriptors);
    assert_status(thrum_connect(&c, url, o, NULL), want); /* nobody need want the reason */
}

static void test_urls(void **state)
{
    (void)state;
    thrum_error e;
    thrum_conn *warm;
    assert_status(thrum_connect(&warm, "ws://127.0.0.1:1/", NULL, &e),
                  THRUM_E_CONNECT); /* what is kept per thread */
    refused(NULL, NULL, THRUM_E_ARGUMENT, "NULL");
    refused("", NULL, THRUM_E_ARGUMENT, "ws://");
    refused("http://localhost/", NULL, THRUM_E_ARGUMENT, "ws://");
    refused("ws://", NULL, THRUM_E_ARGUMENT, "host");
    refused("ws://h:70000/", NULL, THRUM_E_ARGUMENT, "port");
    refused("ws://h/#x", NULL, THRUM_E_ARGUMENT, "%23");
    refused("ws://h/\r\nX: y", NULL, THRUM_E_ARGUMENT, "");
    refused("ws://u%0A:p@h/", NULL, THRUM_E_ARGUMENT, "control character");
    refused("ws://127.0.0.1:1/", NULL, THRUM_E_CONNECT, "refused");
    refused("ws+unix:/nowhere/thrum.sock", NULL, THRUM_E_CONNECT, "/nowhere");
    assert_status(thrum_connect(NULL, "ws://localhost/", NULL, &e), THRUM_E_ARGUMENT);
}

static void test_options(void **state)
{
    const char *const injected[] = {"X-A", "b\r\nX-C: d", NULL}, *const ours[] = {"Upgrade", "h2c", NULL},
                      *const odd[] = {"X-A", NULL}, *const name[] = {"X A", "b", NULL};
    struct {
        thrum_client_options o;
        uint64_t more[2];
    } newer = {.o = {.size = sizeof newer}};
    (void)state;
    refused("ws://127.0.0.1:1/", THRUM_CLIENT(.headers = injected), THRUM_E_ARGUMENT, "control character");
    refused("ws://127.0.0.1:1/", THRUM_CLIENT(.headers = ours), THRUM_E_ARGUMENT, "Upgrade");
    refused("ws://127.0.0.1:1/", THRUM_CLIENT(.headers = odd), THRUM_E_ARGUMENT, "no value");
    refused("ws://127.0.0.1:1/", THRUM_CLIENT(.headers = name), THRUM_E_ARGUMENT, "token");
    refused("ws://127.0.0.1:1/", THRUM_CLIENT(.origin = "a\nb"), THRUM_E_ARGUMENT, "origin");
    refused("ws://127.0.0.1:1/", THRUM_CLIENT(.subprotocols = "a, a"), THRUM_E_ARGUMENT, "twice");
    refused("ws://127.0.0.1:1/", THRUM_CLIENT(.open_timeout = -5), THRUM_E_ARGUMENT, "open_timeout");
    refused("ws://127.0.0.1:1/", &newer.o, THRUM_E_CONNECT, "refused"); /* more room, but nothing wished */
    newer.more[1] = 1;
    refused("ws://127.0.0.1:1/", &newer.o, THRUM_E_TOO_NEW, "does not know");
    newer.o.size = 12;
    refused("ws://127.0.0.1:1/", &newer.o, THRUM_E_ARGUMENT, "size");
}

struct answering {
    struct peer peer;
    const char *text; /* NULL: nothing at all */
    bool hang_up;
};

static void *answer_main(void *arg)
{
    struct answering *a = arg;
    char head[4096];
    if (!peer_accept(&a->peer) || peer_read_until(&a->peer, head, sizeof head, "\r\n\r\n") < 0)
        return (void *)1;
    if (a->text)
        peer_puts(&a->peer, a->text);
    if (a->hang_up)
        peer_hang_up(&a->peer);
    return NULL;
}

static void answered(const char *text, bool hang_up, thrum_status want, int http, const char *says)
{
    struct answering a = {.text = text, .hang_up = hang_up};
    pthread_t t;
    thrum_conn *c;
    thrum_error e;
    assert_true(peer_listen(&a.peer, AF_INET, 8));
    pthread_create(&t, NULL, answer_main, &a);
    thrum_status s = thrum_connect(&c, a.peer.url, THRUM_CLIENT(.open_timeout = 150), &e);
    pthread_join(t, NULL);
    if (s != want || e.http_status != http || !strstr(e.text, says))
        fail_msg("%s: %s, %d, \"%s\"", text ? text : "silence", thrum_status_name(s), e.http_status, e.text);
    assert_null(c);
    peer_close(&a.peer);
}

static void test_answers(void **state)
{
    (void)state;
    answered("HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nno such room", false, THRUM_E_REFUSED, 404,
             "404 Not Found: no such room");
    answered("HTTP/1.1 503 Service Unavailable\r\n\r\nlater\nmore", true, THRUM_E_REFUSED, 503, "later");
    answered("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
             false, THRUM_E_HANDSHAKE, 101, "Accept");
    answered("SSH-2.0-OpenSSH\r\n", false, THRUM_E_HANDSHAKE, 0, "HTTP");
    answered("", true, THRUM_E_UNCLEAN, 0, "handshake");
    answered(NULL, false, THRUM_E_TIMEOUT, 0, "nothing");
    answered("HTTP/1.1 101 Sw", false, THRUM_E_TIMEOUT, 0, "not whole");
}

static void test_descriptor_is_the_librarys(void **state)
{
    thrum_conn *c;
    thrum_error e;
    struct peer peer;
    int ours, pipes[2], before = fault_open_descriptors();
    (void)state;
    assert_true(peer_pair(&peer, AF_UNIX, &ours));
    assert_status(thrum_connect_fd(&c, ours, "no url", NULL, &e), THRUM_E_ARGUMENT);
    peer_close(&peer);
    assert_true(peer_pair(&peer, AF_UNIX, &ours));
    assert_status(thrum_connect_fd(NULL, ours, "ws://h/", NULL, &e), THRUM_E_ARGUMENT);
    peer_close(&peer);
    assert_true(peer_pair(&peer, AF_UNIX, &ours));
    peer_close(&peer);
    thrum_status s = thrum_connect_fd(&c, ours, "ws://h/", NULL, &e);
    assert_true(s == THRUM_E_RESET || s == THRUM_E_UNCLEAN);
    assert_int_equal(pipe(pipes), 0);
    assert_status(thrum_connect_fd(&c, pipes[0], "ws://h/", NULL, &e), THRUM_E_ARGUMENT);
    assert_non_null(strstr(e.text, "socket"));
    close(pipes[1]);
    assert_status(thrum_connect_fd(&c, -1, "ws://h/", NULL, &e), THRUM_E_ARGUMENT);
    assert_int_equal(fault_open_descriptors(), before);
}

static void test_what_the_server_sees(void **state)
{
    struct pair p;
    const char *const headers[] = {"X-One", "1", "X-Two", "2", NULL};
    (void)state;
    pair_open(&p, AF_UNIX, false,
              THRUM_CLIENT(.headers = headers, .user_agent = "test", .subprotocols = "b, a"),
              THRUM_SERVER(.subprotocols = "a"));
    assert_string_equal(thrum_conn_header(p.server, "x-two", 0), "2");
    assert_string_equal(thrum_conn_header(p.server, "User-Agent", 0), "test");
    assert_null(thrum_conn_header(p.server, "X-Two", 1));
    assert_string_equal(thrum_conn_target(p.server), "/here?q=1");
    assert_string_equal(thrum_conn_subprotocol(p.client), "a");
    assert_string_equal(thrum_conn_subprotocol(p.server), "a");
    pair_free(&p);
}

static void *connect_main(void *arg)
{
    thrum_conn *c;
    (void)!thrum_connect(&c, arg, NULL, NULL);
    return NULL;
}

/* A thread that is cancelled inside connect leaves nothing behind. */
static void test_cancelled_inside(void **state)
{
    struct peer peer;
    char head[4096];
    pthread_t t;
    void *result;
    (void)state;
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    assert_true(peer_listen(&peer, AF_INET, 8));
    long blocks = fault_live_blocks();
    int descriptors = fault_open_descriptors();
    pthread_create(&t, NULL, connect_main, peer.url);
    assert_true(peer_accept(&peer));
    assert_true(peer_read_until(&peer, head, sizeof head, "\r\n\r\n") > 0); /* it waits for the answer now */
    pthread_cancel(t);
    pthread_join(t, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_true(thread_library_settle(0, clock_after(clock_now(), PEER_MS)));
    peer_hang_up(&peer);
    assert_int_equal(fault_open_descriptors(), descriptors);
    assert_int_equal(fault_live_blocks(), blocks);
    peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_descriptor_is_the_librarys),
        cmocka_unit_test(test_what_the_server_sees),
        cmocka_unit_test(test_cancelled_inside),
    };
    fault_count_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
