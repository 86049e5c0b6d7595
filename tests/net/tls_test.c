/* tls_test.c: TLS as a stream: bytes both ways, sockets that are full, ends of every kind, TLS in TLS. */
#include "tls_pair.h"
#include "base/exit.h"
#include <openssl/pem.h>
#include <openssl/ssl.h>

static thrum_tls *client, *server;

static int set_up(void **state)
{
    (void)state;
    client = made(THRUM_TLS(TRUSTED));
    server = made(THRUM_TLS(OURS(&certs_usual()->server)));
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    thrum_tls_free(client);
    thrum_tls_free(server);
    return 0;
}

/* Sends n bytes through a pair by turns and compares them. */
static void carry(struct stream *from, struct stream *to, size_t n)
{
    uint8_t *out = malloc(n + 1), *in = malloc(n + 1);
    size_t sent = 0, came = 0;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(i * 7 + i / 256);
    while (came < n) {
        ssize_t w = sent < n ? put(from, out + sent, n - sent) : -EAGAIN;
        if (w > 0)
            sent += (size_t)w;
        (void)stream_flush(from);
        ssize_t r = get(to, in + came, n - came);
        if (r > 0)
            came += (size_t)r;
        assert_true((w > 0 || w == -EAGAIN) && (r > 0 || r == -EAGAIN));
    }
    assert_memory_equal(in, out, n);
    free(out);
    free(in);
}

static void test_bytes(void **state)
{
    static const size_t sizes[] = {1, 100, 16384, 16385, 70000, 1 << 20};
    struct tls_pair p;
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        carry(p.client, p.server, sizes[i]);
        carry(p.server, p.client, sizes[i]);
    }
    pair_end(&p);
}

static void test_vectors(void **state)
{
    struct tls_pair p;
    char a[3], b[4], c[10];
    char d[] = "abcdefg";
    struct iovec out[3] = {{d, 2}, {d, 0}, {d + 2, 5}}, in[3] = {{a, 3}, {b, 4}, {c, 10}};
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    assert_int_equal(p.client->ops->write(p.client, out, 3), 7);
    assert_int_equal(p.server->ops->read(p.server, in, 3), 7);
    assert_memory_equal(a, "abc", 3);
    assert_memory_equal(b, "defg", 4);
    pair_end(&p);
}

/* A socket that takes so many bytes at its next write, and then all. */
static size_t first_takes;

/* OpenSSL gives its buffers back between any two bytes of a record, and none of them is lost (CVE-2024-4741).
 * The record is taken from under the server, and given to it byte by byte. */
static void test_record_byte_by_byte(void **state)
{
    enum { SIZE = 300 };
    uint8_t sent[SIZE], record[2 * SIZE], got[SIZE];
    struct tls_pair p;
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    memset(sent, 's', sizeof sent);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(put(p.client, sent, SIZE), SIZE);
        const ssize_t n = recv(p.server->ops->fd(p.server), record, sizeof record, 0);
        assert_true(n > SIZE);
        for (ssize_t i = 0; i < n; i++) {
            assert_int_equal(send(p.client->ops->fd(p.client), record + i, 1, 0), 1);
            const ssize_t r = get(p.server, got, sizeof got);
            assert_int_equal(r, i < n - 1 ? -EAGAIN : SIZE);
        }
        assert_memory_equal(got, sent, SIZE);
        carry(p.server, p.client, SIZE);
    }
    pair_end(&p);
}

static ssize_t sparing_sendmsg(int fd, const struct msghdr *m, int flags)
{
    size_t most = first_takes, n = 0;
    struct iovec v[2];
    first_takes = SIZE_MAX;
    if (most == SIZE_MAX)
        return sys_real.sendmsg(fd, m, flags);
    if (most == 0) {
        errno = EAGAIN;
        return -1;
    }
    for (; n < m->msg_iovlen && n < 2; n++) {
        v[n] = m->msg_iov[n];
        v[n].iov_len = v[n].iov_len < most ? v[n].iov_len : most;
        most -= v[n].iov_len;
    }
    struct msghdr some = {.msg_iov = v, .msg_iovlen = n};
    return sys_real.sendmsg(fd, &some, flags);
}

static ssize_t sparing_send(int fd, const void *p, size_t n, int flags)
{
    struct iovec v = {(void *)(uintptr_t)p, n};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    return sparing_sendmsg(fd, &m, flags);
}

static void send_two(struct tls_pair *p, size_t head, size_t payload, size_t takes)
{
    enum { MOST = 80000 };
    static uint8_t out[MOST], in[MOST];
    struct iovec v[2] = {{out, head}, {out + head, payload}};
    for (size_t i = 0; i < head + payload; i++)
        out[i] = (uint8_t)(i * 13 + i / 256);
    first_takes = takes;
    sys.send = sparing_send;
    sys.sendmsg = sparing_sendmsg;
    ssize_t sent = p->server->ops->write(p->server, v, 2);
    sys = sys_real;
    assert_true(sent > 0 && (size_t)sent <= head + payload);
    for (size_t came = 0; came < (size_t)sent;) {
        ssize_t k = get(p->client, in + came, sizeof in - came);
        came += k > 0 ? (size_t)k : 0;
        assert_true(k > 0 || k == -EAGAIN);
        assert_true(stream_flush(p->server) == 0 || takes < SIZE_MAX);
    }
    assert_memory_equal(in, out, (size_t)sent);
    assert_int_equal(stream_unsent(p->server), 0);
}

/* A header, and a payload of all but full, full, and more than full records, whatever the socket takes of it.
 */
static void test_header_and_payload(void **state)
{
    static const size_t heads[] = {2, 4, 10, 14},
                        payloads[] = {16370, 16380, 16384, 16385, 32768, 65536, 70000},
                        takes[] = {0, 1, 25, 26, 27, 5000, 16400, 40000, SIZE_MAX};
    struct tls_pair p;
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
        for (size_t n = 0; n < sizeof payloads / sizeof *payloads; n++)
            for (size_t t = 0; t < sizeof takes / sizeof *takes; t++)
                send_two(&p, heads[h], payloads[n], takes[t]);
    pair_end(&p);
}

/* A record that is larger than the read: the rest lies in the stream, and poll would not tell. */
static void test_buffered(void **state)
{
    struct tls_pair p;
    char in[10];
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    assert_int_equal(put(p.client, "0123456789", 10), 10);
    assert_int_equal(get(p.server, in, 4), 4);
    assert_true(stream_buffered(p.server));
    assert_int_equal(get(p.server, in, 10), 6);
    assert_memory_equal(in, "456789", 6);
    assert_int_equal(get(p.server, in, 10), -EAGAIN);
    assert_false(stream_buffered(p.server));
    pair_end(&p);
}

static void test_full_socket(void **state)
{
    static uint8_t page[200000];
    struct tls_pair p;
    size_t taken = 0, came = 0;
    ssize_t n;
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    while ((n = put(p.client, page, sizeof page)) > 0)
        taken += (size_t)n;
    assert_int_equal(n, -EAGAIN);
    assert_true(stream_unsent(p.client) > 0);
    assert_int_equal(stream_wants(p.client, POLLIN), POLLIN | POLLOUT); /* it has something to send itself */
    assert_int_equal(stream_flush(p.client), -EAGAIN);
    while (came < taken) {
        (void)stream_flush(p.client);
        n = get(p.server, page, sizeof page);
        assert_true(n > 0 || n == -EAGAIN);
        came += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(stream_unsent(p.client), 0);
    assert_int_equal(stream_flush(p.client), 0);
    assert_int_equal(came, taken);
    pair_end(&p);
}

/* ---- ends -----------------------------------------------------------------------------------------------
 */

static void test_end(void **state)
{
    struct tls_pair p;
    char in[10];
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    assert_int_equal(put(p.client, "last", 4), 4);
    assert_int_equal(p.client->ops->shut_out(p.client), 0);
    assert_int_equal(get(p.server, in, 10), 4);
    assert_int_equal(get(p.server, in, 10), 0);
    assert_int_equal(get(p.server, in, 10), 0);
    assert_int_equal(put(p.server, "still", 5), 5); /* the other direction is open */
    assert_int_equal(get(p.client, in, 10), 5);
    p.server->ops->cut(p.server);
    assert_true(get(p.client, in, 10) <= 0);
    pair_end(&p);
}

static void test_R23_truncation(void **state)
{
    struct tls_pair p;
    char in[10];
    (void)state;
    pair_make(&p, client, server, "localhost");
    assert_shaken(&p);
    assert_int_equal(put(p.client, "half", 4), 4);
    p.client->below->ops->free(p.client->below); /* the descriptor is closed: no close_notify */
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    p.client->below = on_fd(fds[0]);
    close(fds[1]);
    assert_int_equal(get(p.server, in, 10), 4);
    assert_int_equal(get(p.server, in, 10),
                     0); /* an end of stream; WebSocket's Close tells whether that was all */
    pair_end(&p);
}

/* Somebody else at the other end. */
static void other_end(const char *words, bool end, bool as_client, thrum_status want, const char *says)
{
    int fds[2];
    struct stream *s;
    char in[10];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    if (as_client)
        assert_int_equal(stream_tls_client(&s, on_fd(fds[0]), client, slice("h"), 443, false, &err),
                         THRUM_OK);
    else
        assert_int_equal(stream_tls_server(&s, on_fd(fds[0]), server, &err), THRUM_OK);
    assert_int_equal(get(s, in, 10), -EAGAIN);
    if (words)
        assert_true(send(fds[1], words, strlen(words), 0) > 0);
    if (end)
        assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    ssize_t n = get(s, in, 10);
    n = n == -EAGAIN ? get(s, in, 10) : n; /* the end comes behind the words */
    if (n != -EPROTO)
        fail_msg("\"%s\"%s: %zd", words ? words : "", end ? " and the end" : "", n);
    assert_int_equal(put(s, "x", 1), -EPROTO);
    assert_true(stream_failed(s, &err));
    if (err.status != want || !strstr(err.text, says))
        fail_msg("%s: %s", thrum_status_name(err.status), err.text);
    s->ops->free(s);
    close(fds[1]);
}

static void test_R31_ends_in_the_handshake(void **state)
{
    (void)state;
    other_end("HTTP/1.1 400 Bad Request\r\n\r\n", false, true, THRUM_E_TLS, "HTTP");
    other_end("SSH-2.0-OpenSSH_9\r\n", false, true, THRUM_E_TLS, "does not speak TLS");
    other_end(NULL, true, true, THRUM_E_TLS, "ended");
    other_end("\x16\x03\x01", true, true, THRUM_E_TLS, "ended");
    other_end("GET / HTTP/1.1\r\n\r\n", false, false, THRUM_E_TLS, "plain HTTP");
    other_end("\x16\x03\x01\x02\x01", true, false, THRUM_E_TLS, "ended");
    other_end("nonsense nonsense", false, false, THRUM_E_TLS, "");
}

static void test_answers_plain_http(void **state)
{
    int fds[2];
    struct stream *s;
    char in[300] = "";
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_tls_server(&s, on_fd(fds[0]), server, &err), THRUM_OK);
    assert_true(send(fds[1], "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27, 0) > 0);
    assert_int_equal(get(s, in, 10), -EPROTO);
    assert_true(recv(fds[1], in, sizeof in - 1, 0) > 0);
    assert_memory_equal(in, "HTTP/1.1 400 ", 13);
    const char *body = strstr(in, "\r\n\r\n"), *length = strstr(in, "Content-Length: ");
    assert_true(body && length);
    assert_int_equal(strlen(body + 4), strtoul(length + 16, NULL, 10));
    assert_non_null(strstr(in, "https:// or wss://"));
    s->ops->free(s);
    close(fds[1]);
}

/* ---- what is agreed on ----------------------------------------------------------------------------------
 */

static void agrees(const thrum_tls_options *co, const thrum_tls_options *so, const char *version,
                   const char *alpn)
{
    thrum_tls_info info = {.size = sizeof info};
    struct tls_pair p;
    thrum_tls *c = made(co), *s = made(so);
    pair_make(&p, c, s, "localhost");
    assert_shaken(&p);
    stream_tls_info(p.client, &info);
    assert_string_equal(info.version, version);
    assert_string_equal(info.alpn, alpn);
    assert_true(info.verified);
    memset(&info, 0, sizeof info);
    stream_tls_info(p.server, &info);
    assert_string_equal(info.version, version);
    assert_false(info.verified); /* nobody was asked */
    pair_end(&p);
    thrum_tls_free(c);
    thrum_tls_free(s);
}

static void test_agreed(void **state)
{
    const struct cert *k = &certs_usual()->server;
    (void)state;
    agrees(THRUM_TLS(TRUSTED), THRUM_TLS(OURS(k)), "TLSv1.3", "http/1.1");
    agrees(THRUM_TLS(TRUSTED, .alpn = ""), THRUM_TLS(OURS(k)), "TLSv1.3", "");
    agrees(THRUM_TLS(TRUSTED), THRUM_TLS(OURS(k), .alpn = ""), "TLSv1.3", "");
    SSL_CTX *old = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
    BIO *b = BIO_new_mem_buf(k->cert, -1), *kb = BIO_new_mem_buf(k->key, -1);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(kb, NULL, NULL, NULL);
    assert_int_equal(SSL_CTX_use_certificate(old, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(old, key), 1);
    agrees(THRUM_TLS(TRUSTED), THRUM_TLS(.ssl_ctx = old), "TLSv1.2", "");
    struct tls_pair p;
    thrum_tls *c = made(THRUM_TLS(TRUSTED, .least = 13)), *s = made(THRUM_TLS(.ssl_ctx = old));
    pair_make(&p, c, s, "localhost");
    assert_client_refuses(&p, THRUM_E_TLS, "version");
    pair_end(&p);
    thrum_tls_free(c);
    thrum_tls_free(s);
    SSL_CTX_free(old);
    X509_free(x);
    EVP_PKEY_free(key);
    BIO_free(b);
    BIO_free(kb);
}

/* ---- TLS in TLS -----------------------------------------------------------------------------------------
 */

static void test_tls_in_tls(void **state)
{
    struct tls_pair outer, inner;
    thrum_tls_info info = {.size = sizeof info};
    (void)state;
    pair_make(&outer, client, server, "localhost");
    assert_int_equal(
        stream_tls_client(&inner.client, outer.client, client, slice("pair.test"), 443, false, &err),
        THRUM_OK);
    assert_int_equal(stream_tls_server(&inner.server, outer.server, server, &err), THRUM_OK);
    assert_shaken(&inner);
    carry(inner.client, inner.server, 300000);
    carry(inner.server, inner.client, 300000);
    stream_tls_info(inner.client, &info);
    assert_string_equal(info.version, "TLSv1.3");
    assert_int_equal(put(inner.client, "x", 1), 1);
    assert_int_equal(inner.client->ops->shut_out(inner.client), 0);
    char in[4];
    assert_int_equal(get(inner.server, in, 4), 1);
    assert_int_equal(get(inner.server, in, 4), 0);
    pair_end(&inner);
}

/* ---- without memory -------------------------------------------------------------------------------------
 */

static void talk(struct fault_report *r, void *arg)
{
    int fds[2];
    struct stream *below[2] = {NULL, NULL}, *top[2] = {NULL, NULL};
    thrum_error e;
    char in[8];
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return;
    for (int i = 0; i < 2; i++)
        if (stream_socket(&below[i], fds[i]) != 0)
            below[i] = NULL;
    if (!below[0] || !below[1]) {
        e = (thrum_error){.status = THRUM_E_MEMORY, .text = "no stream"};
        (void)fault_note(r, "stream_socket", THRUM_E_MEMORY, &e);
    } else {
        thrum_status s = stream_tls_client(&top[0], below[0], client, slice("localhost"), 443, false, &e);
        below[0] = NULL;
        (void)fault_note(r, "client", s, &e);
        s = stream_tls_server(&top[1], below[1], server, &e);
        below[1] = NULL;
        (void)fault_note(r, "server", s, &e);
    }
    for (int i = 0; i < 20 && top[0] && top[1]; i++) {
        ssize_t n = i == 10 ? put(top[0], "hello", 5) : get(top[0], in, sizeof in);
        if (n < 0 && n != -EAGAIN && stream_failed(top[0], &e))
            (void)fault_note(r, "client's", e.status, &e);
        n = get(top[1], in, sizeof in);
        if (n < 0 && n != -EAGAIN && stream_failed(top[1], &e))
            (void)fault_note(r, "server's", e.status, &e);
        if (n > 0)
            (void)fault_check(r, n <= 5 && memcmp(in, "hello", (size_t)n) == 0, "what was said");
    }
    for (int i = 0; i < 2; i++) {
        if (below[i])
            below[i]->ops->free(below[i]);
        if (top[i])
            top[i]->ops->free(top[i]);
    }
}

static void test_R31_under_faults(void **state)
{
    (void)state;
    assert_true(fault_run("TLS", talk, NULL, &(struct fault_options){.same_thread = true}) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_header_and_payload),
        cmocka_unit_test(test_record_byte_by_byte),
        cmocka_unit_test(test_buffered),
        cmocka_unit_test(test_full_socket),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_R23_truncation),
        cmocka_unit_test(test_R31_ends_in_the_handshake),
        cmocka_unit_test(test_answers_plain_http),
        cmocka_unit_test(test_agreed),
        cmocka_unit_test(test_tls_in_tls),
        cmocka_unit_test(test_R31_under_faults),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
