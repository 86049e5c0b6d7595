/* proxied_test.c: a connection with a PROXY header in front. */
#include "net/proxied.h"

#include "net_test.h"
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct stream *s;
static int peer;
static thrum_error err;

static void begin(void)
{
    struct stream *below;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_socket(&below, fds[0]), 0);
    assert_int_equal(stream_proxied(&s, below, &err), THRUM_OK);
    peer = fds[1];
}
static void end(void)
{
    s->ops->free(s);
    close(peer);
}
static ssize_t get(char *p, size_t n)
{
    const struct iovec v = {p, n};
    return s->ops->read(s, &v, 1);
}
static void say(const char *text, size_t n)
{
    assert_int_equal(send(peer, text, n, 0), n);
}
static void shows(const char *who)
{
    char text[128];
    s->ops->describe(s, text, sizeof text);
    assert_string_equal(text, who);
}

static void test_text(void **state)
{
    static const char header[] = "PROXY TCP4 192.0.2.7 192.0.2.2 56324 443\r\n";
    char in[32];
    (void)state;
    begin();
    assert_int_equal(stream_wants(s, POLLOUT), POLLIN); /* nothing is said before the header */
    const struct iovec v = {in, 1};
    assert_int_equal(s->ops->write(s, &v, 1), -EAGAIN);
    for (size_t i = 0; i < sizeof header - 1; i++) {
        shows("unix");
        assert_int_equal(get(in, sizeof in), -EAGAIN);
        say(header + i, 1);
    }
    assert_int_equal(get(in, sizeof in), -EAGAIN);
    shows("192.0.2.7:56324");
    say("hello", 5);
    assert_int_equal(get(in, sizeof in), 5);
    assert_int_equal(stream_wants(s, POLLOUT), POLLOUT);
    assert_int_equal(s->ops->write(s, &v, 1), 1);
    end();
}

static void test_behind_it(void **state)
{
    static const char text[] = "PROXY TCP6 2001:db8::7 ::1 9 443\r\nfrom the client";
    char in[64];
    (void)state;
    begin();
    say(text, sizeof text - 1);
    assert_int_equal(get(in, 4), 4);
    assert_memory_equal(in, "from", 4);
    assert_true(stream_buffered(s));
    assert_int_equal(get(in, sizeof in), 11);
    assert_false(stream_buffered(s));
    shows("[2001:db8::7]:9");
    end();
    begin(); /* the proxy itself: a health check */
    say("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0x", 17);
    assert_int_equal(get(in, sizeof in), 1);
    shows("unix");
    end();
    begin();
    say("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\7\0\0\0\0\0\x50\0\0x", 29);
    assert_int_equal(get(in, sizeof in), 1);
    shows("192.0.2.7:80");
    end();
}

static void test_bad(void **state)
{
    static const char *const bad[] = {"GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 999.0.2.7 192.0.2.2 1 443\r\n",
                                      "PROXY TCP4 a b 1 2\r\n"};
    char in[8];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin();
        assert_false(stream_failed(s, &err));
        say(bad[i], strlen(bad[i]));
        assert_int_equal(get(in, sizeof in), -EPROTO);
        assert_int_equal(get(in, sizeof in), -EPROTO);
        assert_true(stream_failed(s, &err));
        assert_int_equal(err.status, THRUM_E_HANDSHAKE);
        assert_non_null(strstr(err.text, "PROXY header"));
        end();
    }
    begin();
    say("PROXY TCP4", 10);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    assert_int_equal(get(in, sizeof in), -ECONNRESET);
    end();
}

static void take(struct fault_report *r, void *arg)
{
    static const char text[] = "PROXY TCP4 192.0.2.7 192.0.2.2 9 443\r\nfrom";
    struct stream *below = NULL, *top;
    thrum_error e;
    char in[8];
    int fds[2];
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 ||
        send(fds[1], text, sizeof text - 1, 0) < 0)
        return;
    if (stream_socket(&below, fds[0]) != 0) {
        e = (thrum_error){.status = THRUM_E_MEMORY, .text = "no stream"};
        (void)fault_note(r, "stream_socket", THRUM_E_MEMORY, &e);
    } else if (fault_note(r, "stream_proxied", stream_proxied(&top, below, &e), &e) == THRUM_OK) {
        const struct iovec v = {in, sizeof in};
        ssize_t n = top->ops->read(top, &v, 1);
        for (int i = 0; n == -EAGAIN && i < 100; i++)
            n = top->ops->read(top, &v, 1);
        (void)fault_check(r, n < 0 || (n <= 4 && memcmp(in, "from", (size_t)n) == 0), "what came behind it");
        top->ops->free(top);
    }
    close(fds[1]);
}

static void test_under_faults(void **state)
{
    (void)state;
    assert_true(fault_run("PROXY header", take, NULL, &(struct fault_options){.same_thread = true}) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_behind_it),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_under_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
