/* proxy_test.c: what a proxy's URL may be, and the stream that all kinds share. */
#include "proxy_test.h"
#include "base/text.h"

static void test_urls(void **state)
{
    static const struct {
        const char *url, *host, *user, *password;
        enum proxy_kind kind;
        uint16_t port;
    } good[] = {
        {"http://proxy.test:3128", "proxy.test", NULL, "", PROXY_HTTP, 3128},
        {"proxy.test:3128/", "proxy.test", NULL, "", PROXY_HTTP, 3128},
        {"proxy.test", "proxy.test", NULL, "", PROXY_HTTP, 80},
        {"HTTPS://[2001:db8::1]", "2001:db8::1", NULL, "", PROXY_HTTPS, 443},
        {"socks4://u@h", "h", "u", "", PROXY_SOCKS4, 1080},
        {"socks4a://h:9", "h", NULL, "", PROXY_SOCKS4A, 9},
        {"socks5://u:@h", "h", "u", "", PROXY_SOCKS5, 1080},
        {"socks5h://a%40b:c%3Ad@[::1]:1", "::1", "a@b", "c:d", PROXY_SOCKS5H, 1},
        {"socks://h", "h", NULL, "", PROXY_SOCKS5H, 1080},
        {" http://u:p@q@h ", "h", "u", "p@q", PROXY_HTTP, 80},
    };
    static const char *const bad[] = {
        "",           "http://",     "ftp://h",       "http://h:0",    "http://h:65536",
        "http://h:x", "http://h:",   "http://[::1",   "http://[::1]x", "http://h/path",
        "http://h?x", "http://a b",  "http://u%00@h", "http://u%0a@h", "http://@",
        "://h",       "http://h\x80"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct proxy p;
        const char *why = "";
        if (!proxy_parse(&p, good[i].url, &why))
            fail_msg("%s: %s", good[i].url, why);
        assert_int_equal(p.kind, good[i].kind);
        assert_string_equal(p.host, good[i].host);
        assert_int_equal(p.port, good[i].port);
        assert_int_equal(p.has_user, good[i].user != NULL);
        assert_string_equal(p.user, good[i].user ? good[i].user : "");
        assert_string_equal(p.password, good[i].password);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct proxy p;
        const char *why = NULL;
        if (proxy_parse(&p, bad[i], &why))
            fail_msg("%s was taken", bad[i]);
        assert_non_null(why);
    }
}

static void test_kinds(void **state)
{
    (void)state;
    assert_string_equal(proxy_kind_name(PROXY_SOCKS5H), "socks5h");
    assert_string_equal(proxy_kind_name(PROXY_NONE), "none");
    assert_true(proxy_wants_address(PROXY_SOCKS5) && proxy_wants_address(PROXY_SOCKS4));
    assert_false(proxy_wants_address(PROXY_SOCKS5H) || proxy_wants_address(PROXY_HTTP));
}

/* The stream's other operations are those of what lies below. */
static void test_passes_through(void **state)
{
    char text[160], c;
    thrum_error e;
    (void)state;
    assert_int_equal(way_open("http://p", "h", 80), THRUM_OK);
    assert_false(stream_failed(way.s, &e));
    way.s->ops->describe(way.s, text, sizeof text);
    assert_true(strlen(text) > 0);
    assert_int_equal(way.s->ops->fd(way.s), way.s->below->ops->fd(way.s->below));
    assert_int_equal(way_write("early"), -EAGAIN); /* not before the way is open */
    assert_true(heard(text, sizeof text) > 0);
    say("HTTP/1.1 200 OK\r\n\r\n", 19);
    assert_open();
    assert_int_equal(stream_wants(way.s, POLLOUT), POLLOUT);
    assert_int_equal(way.s->ops->shut_out(way.s), 0);
    assert_int_equal(heard(text, sizeof text), 0);
    say("last", 4);
    close(way.peer);
    way.peer = -1;
    assert_int_equal(way_read(text, sizeof text), 4);
    assert_int_equal(way_read(&c, 1), 0);
    way.s->ops->cut(way.s);
    way_close();
}

static void test_peer_resets(void **state)
{
    struct peer p;
    struct proxy to;
    const char *why;
    int ours;
    (void)state;
    assert_true(peer_pair(&p, AF_INET, &ours));
    assert_true(proxy_parse(&to, "http://p", &why));
    assert_int_equal(stream_proxy(&way.s, below_on(ours), &to, slice("h"), 80, &way.err), THRUM_OK);
    peer_reset(&p);
    char c;
    ssize_t r;
    while ((r = way_read(&c, 1)) == -EAGAIN)
        ;
    assert_int_equal(r, -EPROTO);
    assert_broken(THRUM_E_PROXY, 0, "broke the connection");
    way_close();
    peer_close(&p);
}

/* A whole handshake, the proxy's words lying ready, with every allocation and every system call failing in
 * turn. */
struct fault_case {
    const char *url, *words;
    size_t n;
};

static void handshake(struct fault_report *r, void *arg)
{
    const struct fault_case *c = arg;
    struct stream *below = NULL, *top = NULL;
    struct proxy p;
    const char *why;
    thrum_error e;
    char got[8];
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 || send(fds[1], c->words, c->n, 0) < 0 ||
        !proxy_parse(&p, c->url, &why)) {
        fault_check(r, false, "the test's own means");
        return;
    }
    if (stream_socket(&below, fds[0]) != 0) {
        error_set(&e, THRUM_E_MEMORY, "no stream");
        (void)fault_note(r, "stream_socket", THRUM_E_MEMORY, &e);
    } else if (fault_note(r, "stream_proxy", stream_proxy(&top, below, &p, slice("h"), 80, &e), &e) ==
               THRUM_OK) {
        const struct iovec v = {got, sizeof got};
        ssize_t n = top->ops->read(top, &v, 1);
        for (int i = 0; n == -EAGAIN && i < 100; i++)
            n = top->ops->read(top, &v, 1);
        if (n < 0 && stream_failed(top, &e))
            (void)fault_note(r, "read", e.status, &e);
        else if (n > 0)
            (void)fault_check(r, n <= 4 && memcmp(got, "from", (size_t)n) == 0, "what the server said");
        top->ops->free(top);
    }
    close(fds[1]);
}

static void test_under_faults(void **state)
{
#define CASE(url, words)                                                                                     \
    {                                                                                                        \
        url, words, sizeof(words) - 1                                                                        \
    }
    static struct fault_case cases[] = {
        CASE("http://u:p@p", "HTTP/1.1 407 x\r\nProxy-Authenticate: Digest realm=\"r\", "
                             "nonce=\"n\"\r\nContent-Length: 2\r\n\r\n"
                             "noHTTP/1.1 200 OK\r\n\r\nfrom"),
        CASE("socks4a://u@p", "\0\x5a\0\0\0\0\0\0from"),
        CASE("socks5h://u:p@p", "\5\2\1\0\5\0\0\1\0\0\0\0\0\0from"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(
            fault_run(cases[i].url, handshake, &cases[i], &(struct fault_options){.same_thread = true}) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),           cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_passes_through), cmocka_unit_test(test_peer_resets),
        cmocka_unit_test(test_under_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
