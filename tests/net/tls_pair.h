/* tls_pair.h: both ends of TLS over a socket pair, driven by turns in one thread. */
#ifndef TESTS_NET_TLS_PAIR_H
#define TESTS_NET_TLS_PAIR_H

#include "lib/certs.h"
#include "net/tls.h"
#include "net_test.h"
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEM(which, text) .which = (text), .which##_len = strlen(text)
#define OURS(c)          PEM(cert, (c)->cert), PEM(key, (c)->key)
#define TRUSTED          PEM(ca, certs_usual()->authority.cert)

static thrum_error err;

static inline thrum_tls *made(const thrum_tls_options *o)
{
    thrum_tls *t;
    if (thrum_tls_new(&t, o, &err) != THRUM_OK)
        fail_msg("%s", err.text);
    return t;
}

static inline struct stream *on_fd(int fd)
{
    struct stream *s;
    assert_int_equal(stream_socket(&s, fd), 0);
    return s;
}

struct tls_pair {
    struct stream *client, *server;
};

static inline void pair_over(struct tls_pair *p, int a, int b, thrum_tls *client, thrum_tls *server,
                             const char *host)
{
    if (stream_tls_client(&p->client, on_fd(a), client, slice(host), 443, false, &err) != THRUM_OK)
        fail_msg("%s", err.text);
    if (stream_tls_server(&p->server, on_fd(b), server, &err) != THRUM_OK)
        fail_msg("%s", err.text);
}
static inline void pair_make(struct tls_pair *p, thrum_tls *client, thrum_tls *server, const char *host)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pair_over(p, fds[0], fds[1], client, server, host);
}
static inline void pair_end(struct tls_pair *p)
{
    if (p->client)
        p->client->ops->free(p->client);
    if (p->server)
        p->server->ops->free(p->server);
    *p = (struct tls_pair){NULL, NULL};
}

static inline ssize_t get(struct stream *s, void *p, size_t n)
{
    const struct iovec v = {p, n};
    return s->ops->read(s, &v, 1);
}
static inline ssize_t put(struct stream *s, const void *p, size_t n)
{
    const struct iovec v = {(void *)(uintptr_t)p, n};
    return s->ops->write(s, &v, 1);
}

/* Turns until both are done or one has failed: 0, or the failing side's -EPROTO in its own variable. */
static inline void shake_pair(struct tls_pair *p, ssize_t *client, ssize_t *server)
{
    char none;
    *client = *server = -EAGAIN;
    for (int i = 0; i < 20; i++) {
        if (*client == -EAGAIN)
            *client = get(p->client, &none, 1);
        if (*server == -EAGAIN)
            *server = get(p->server, &none, 1);
    }
}
static inline void assert_shaken(struct tls_pair *p)
{
    thrum_tls_info info = {.size = sizeof info};
    ssize_t client, server;
    shake_pair(p, &client, &server);
    if (client != -EAGAIN || server != -EAGAIN) {
        (void)(stream_failed(p->client, &err) || stream_failed(p->server, &err));
        fail_msg("client %zd, server %zd: %s", client, server, err.text);
    }
    stream_tls_info(p->client, &info);
    assert_true(info.version[0] != '\0');
}
/* The client refuses, with these words. */
static inline void assert_client_refuses(struct tls_pair *p, thrum_status want, const char *says)
{
    ssize_t client, server;
    shake_pair(p, &client, &server);
    assert_int_equal(client, -EPROTO);
    assert_true(stream_failed(p->client, &err));
    if (err.status != want || !strstr(err.text, says))
        fail_msg("%s: %s", thrum_status_name(err.status), err.text);
}

#endif
