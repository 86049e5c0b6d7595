/* bench/server/load/conn.c: connections: connect, TLS, the opening handshake, bytes out and in. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A source address has some 28,000 ports; more connections than this take the next one of 127.0.0.0/8. */
enum { PER_ADDRESS = 20000, ANSWER = 4096 };
int poller = -1;
static SSL_CTX *context;

static void watch(struct conn *c, int how)
{
    struct epoll_event e = {.events = EPOLLIN | (c->wants_out ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(poller, how, c->fd, &e) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void want_out(struct conn *c, bool wanted)
{
    if (c->wants_out == wanted)
        return;
    c->wants_out = wanted;
    watch(c, EPOLL_CTL_MOD);
}

/* ---- TLS ------------------------------------------------------------------------------------------------
 */

static void make_context(void)
{
    context = SSL_CTX_new(TLS_client_method());
    /* One cipher for all servers: what is compared is how they use it. */
    if (context == NULL || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256"))
        die("OpenSSL refuses TLS 1.3 with AES-128-GCM");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL); /* a certificate of bench/run-server's own making */
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 64 * 1024);
}

/* Says what a result of OpenSSL's means: true to go on, false to wait. */
static bool tls_goes_on(struct conn *c, int result, const char *doing)
{
    if (result > 0)
        return true;
    const int error = SSL_get_error(c->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        die("TLS, %s: %s", doing, ERR_reason_error_string(ERR_peek_error()));
    want_out(c, error == SSL_ERROR_WANT_WRITE);
    return false;
}

/* ---- bytes ----------------------------------------------------------------------------------------------
 */

void conn_flush(struct conn *c)
{
    while (c->out_left > 0) {
        ssize_t n;
        if (c->ssl != NULL) {
            n = SSL_write(c->ssl, c->out, (int)c->out_left);
            if (!tls_goes_on(c, (int)n, "sending"))
                return;
        } else {
            n = send(c->fd, c->out, c->out_left, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) {
                want_out(c, true);
                return;
            }
            if (n < 0)
                die("send: %s", strerror(errno));
        }
        c->out += n;
        c->out_left -= (size_t)n;
    }
    want_out(c, false);
}

void conn_send(struct conn *c, const uint8_t *p, size_t n)
{
    if (c->out_left != 0)
        die("a burst was to be sent before the last one was gone");
    c->out = p;
    c->out_left = n;
    conn_flush(c);
}

size_t conn_read(struct conn *c, uint8_t *room, size_t size, bool *more)
{
    if (c->ssl != NULL) {
        ERR_clear_error();
        const int n = SSL_read(c->ssl, room, (int)size);
        *more =
            n > 0; /* a record at a time: what else has come is OpenSSL's, and epoll does not tell of it */
        if (n <= 0 && SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
            die("the server ended a TLS connection");
        return n > 0 ? (size_t)n : 0;
    }
    const ssize_t n = recv(c->fd, room, size, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        die("the server ended a connection: %s", n < 0 ? strerror(errno) : "end of stream");
    *more = (size_t)n == size;
    return (size_t)n;
}

/* ---- the opening ----------------------------------------------------------------------------------------
 */

static void send_request(struct conn *c)
{
    static char text[512];
    static int n;
    if (n == 0)
        n = snprintf(text, sizeof text,
                     "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                     opt.port,
                     opt.deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                                 : "");
    c->stage = STAGE_GREETING;
    conn_send(c, (const uint8_t *)text, (size_t)n);
}

/* The value of a parameter, or `without` where the parameter is missing. */
static int parameter(const char *extensions, const char *name, int without)
{
    const char *p = strcasestr(extensions, name);
    if (p == NULL)
        return without;
    p += strlen(name);
    p += strspn(p, " =\"");
    return *p >= '0' && *p <= '9' ? atoi(p) : 15;
}

static void read_answer(char *answer, struct agreement *a)
{
    if (strncmp(answer, "HTTP/1.1 101", 12) != 0 || strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == NULL)
        die("the server's answer is no handshake: %.60s", answer);
    char *extensions = strcasestr(answer, "\r\nSec-WebSocket-Extensions:");
    if (extensions != NULL)
        extensions[2 + strcspn(extensions + 2, "\r")] = '\0';
    if ((extensions != NULL) != opt.deflate)
        die("the server %s", opt.deflate ? "does not compress" : "compresses without having been asked");
    if (extensions == NULL)
        return;
    *a = (struct agreement){
        .compressed = strcasestr(extensions, "permessage-deflate") != NULL,
        .client_takeover = strcasestr(extensions, "client_no_context_takeover") == NULL,
        .server_takeover = strcasestr(extensions, "server_no_context_takeover") == NULL,
        .client_bits = parameter(extensions, "client_max_window_bits", 15),
        .server_bits = parameter(extensions, "server_max_window_bits", 15),
    };
}

static void greet(struct conn *c, struct agreement *a)
{
    char answer[ANSWER];
    bool more;
    if (c->out_left > 0)
        conn_flush(c);
    /* It comes whole in all likelihood, and nothing comes behind it; a part of it is looked at again. */
    const ssize_t there =
        c->ssl != NULL ? SSL_peek(c->ssl, answer, ANSWER - 1) : recv(c->fd, answer, ANSWER - 1, MSG_PEEK);
    if (there == 0 || (there < 0 && c->ssl == NULL && errno != EAGAIN))
        die("the server ended a connection during the handshake");
    if (there < 0)
        return;
    answer[there] = '\0';
    const char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL)
        return;
    conn_read(c, (uint8_t *)answer, (size_t)(end - answer) + 4, &more);
    read_answer(answer, a);
    c->stage = STAGE_OPEN;
}

void conn_open(struct conn *c, struct agreement *a)
{
    if (c->stage == STAGE_CONNECTING) {
        int error = 0;
        socklen_t n = sizeof error;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0)
            die("connect: %s", strerror(error));
        want_out(c, false);
        c->stage = STAGE_TLS;
    }
    if (c->stage == STAGE_TLS) {
        if (c->ssl != NULL && !tls_goes_on(c, SSL_connect(c->ssl), "handshake"))
            return;
        if (opt.raw)
            c->stage = STAGE_OPEN;
        else
            send_request(c);
    }
    if (c->stage == STAGE_GREETING)
        greet(c, a);
}

void conn_begin(struct conn *c, size_t index)
{
    const int one = 1;
    const struct sockaddr_in from = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / PER_ADDRESS))};
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)opt.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (opt.conns > PER_ADDRESS) { /* the port is chosen by connect, not yet by bind, which knows no peer */
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(c->fd, (const struct sockaddr *)&from, sizeof from) != 0)
            die("bind: %s", strerror(errno));
    }
    if (connect(c->fd, (const struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    if (opt.tls) {
        if (context == NULL)
            make_context();
        c->ssl = SSL_new(context);
        if (c->ssl == NULL || !SSL_set_fd(c->ssl, c->fd))
            die("OpenSSL gives no connection");
    }
    c->stage = STAGE_CONNECTING;
    c->wants_out = true;
    watch(c, EPOLL_CTL_ADD);
}

/* By a reset: 10,000 connections in TIME_WAIT would be the kernel's work while the next server is measured.
 */
void conn_end(struct conn *c)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    if (c->ssl != NULL)
        SSL_free(c->ssl);
    close(c->fd);
}
