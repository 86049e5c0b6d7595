/* proxied.c: see proxied.h. */
#include "net/proxied.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/address_int.h"
#include "net/rest.h"
#include "wire/proxy_header.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

enum { PIECE = 512 };

struct proxied {
    struct stream stream;
    bool known, bad;
    const char *why;
    struct buf in; /* what has come of the header; then what came behind it */
    size_t in_at;
    char client[80]; /* "192.0.2.1:443"; "" as the stream below says */
};

static struct proxied *of(struct stream *s)
{
    return (struct proxied *)(void *)s;
}
static const struct proxied *of_const(const struct stream *s)
{
    return (const struct proxied *)(const void *)s;
}

/* False: that is no address. */
static bool set_client(struct proxied *t, const struct proxy_header *h)
{
    struct address a;
    struct in6_addr six;
    struct in_addr four;
    char text[64];
    if (h->kind == PROXY_HEADER_LOCAL || h->kind == PROXY_HEADER_UNIX)
        return true;
    if (h->kind == PROXY_HEADER_INET) {
        memcpy(h->address.n == 4 ? (void *)&four : (void *)&six, h->address.p, h->address.n);
    } else {
        text_format(text, sizeof text, "%.*s", (int)h->address.n, (const char *)h->address.p);
        if (inet_pton(AF_INET, text, &four) != 1 && inet_pton(AF_INET6, text, &six) != 1)
            return false;
    }
    if (h->kind == PROXY_HEADER_INET ? h->address.n == 4 : inet_pton(AF_INET, text, &four) == 1)
        address_v4(&a, ntohl(four.s_addr), h->port);
    else
        address_v6(&a, &six, 0, h->port);
    address_text(&a, t->client, sizeof t->client);
    return true;
}

static void parsed(struct proxied *t, const struct proxy_header *h, size_t used)
{
    char proxy[128];
    if (!set_client(t, h)) {
        t->bad = true;
        t->why = "the PROXY header's address is none";
        return;
    }
    t->known = true;
    buf_shift(&t->in, used);
    if (t->in.len == 0)
        buf_free(&t->in);
    stream_below_describe(&t->stream, proxy, sizeof proxy);
    LOG(LOG_NET, LOG_DEBUG, 0, "%s passes on a connection of %s", proxy,
        t->client[0] ? t->client : "its own");
}

/* 0 once the header is known, -EAGAIN, or what reading it came to. */
static ssize_t take_header(struct proxied *t)
{
    while (!t->known && !t->bad) {
        struct proxy_header h;
        size_t used = 0;
        if (buf_reserve(&t->in, PIECE) != THRUM_OK)
            return -ENOMEM;
        const struct iovec v = {t->in.p + t->in.len, PIECE};
        ssize_t n = t->stream.below->ops->read(t->stream.below, &v, 1);
        if (n <= 0)
            return n == 0 ? -ECONNRESET : n;
        t->in.len += (size_t)n;
        enum proxy_header_result r = proxy_header_parse(&h, t->in.p, t->in.len, &used, &t->why);
        t->bad = r == PROXY_HEADER_BAD;
        if (r == PROXY_HEADER_DONE)
            parsed(t, &h, used);
    }
    return t->bad ? -EPROTO : 0;
}

static ssize_t proxied_read(struct stream *s, const struct iovec *v, int n)
{
    struct proxied *t = of(s);
    ssize_t r = take_header(t);
    if (r != 0)
        return r;
    return t->in.len > 0 ? rest_read(&t->in, &t->in_at, v, n) : s->below->ops->read(s->below, v, n);
}

/* Nothing is said to a proxy that has not said whom it speaks for. */
static ssize_t proxied_write(struct stream *s, const struct iovec *v, int n)
{
    ssize_t r = take_header(of(s));
    return r != 0 ? r : s->below->ops->write(s->below, v, n);
}

static short proxied_wants(const struct stream *s, short asked)
{
    return stream_wants(s->below, of_const(s)->known ? asked : POLLIN);
}

static bool proxied_buffered(const struct stream *s)
{
    return of_const(s)->known && of_const(s)->in.len > 0;
}

static bool proxied_failed(const struct stream *s, thrum_error *err)
{
    const struct proxied *t = of_const(s);
    if (t->bad)
        error_set(err, THRUM_E_HANDSHAKE, "%s; .proxy_protocol asks for one", t->why);
    return t->bad;
}

static void proxied_describe(const struct stream *s, char *out, size_t cap)
{
    if (of_const(s)->client[0])
        text_format(out, cap, "%s", of_const(s)->client);
    else
        stream_below_describe(s, out, cap);
}

static void proxied_free(struct stream *s)
{
    s->below->ops->free(s->below);
    buf_free(&of(s)->in);
    mem_free(s);
}

static const struct stream_ops proxied_ops = {
    .read = proxied_read,
    .write = proxied_write,
    .shut_out = stream_below_shut_out,
    .cut = stream_below_cut,
    .fd = stream_below_fd,
    .describe = proxied_describe,
    .free = proxied_free,
    .wants = proxied_wants,
    .buffered = proxied_buffered,
    .failed = proxied_failed,
};

thrum_status stream_proxied(struct stream **out, struct stream *below, thrum_error *err)
{
    struct proxied *t = mem_zalloc(sizeof *t);
    *out = NULL;
    if (!t) {
        below->ops->free(below);
        return error_set(err, THRUM_E_MEMORY, "no memory for a connection");
    }
    t->stream = (struct stream){&proxied_ops, below};
    buf_init(&t->in, PROXY_HEADER_MAX + PIECE);
    *out = &t->stream;
    return THRUM_OK;
}
