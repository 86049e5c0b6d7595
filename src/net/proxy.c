/* proxy.c: what a proxy's URL says, and the stream through it. The kinds shake hands in steps: words out, an
 * awaited number of bytes in; what is the same in all of them is here. */
#include "net/proxy.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/proxy_int.h"
#include "net/rest.h"
#include "wire/field.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* ---- the URL --------------------------------------------------------------------------------------------
 */

static const struct scheme {
    const char *name;
    enum proxy_kind kind;
    uint16_t port;
} schemes[] = {
    {"http", PROXY_HTTP, 80},         {"https", PROXY_HTTPS, 443},    {"socks4", PROXY_SOCKS4, 1080},
    {"socks4a", PROXY_SOCKS4A, 1080}, {"socks5", PROXY_SOCKS5, 1080}, {"socks5h", PROXY_SOCKS5H, 1080},
    {"socks", PROXY_SOCKS5H, 1080},
};

const char *proxy_kind_name(enum proxy_kind k)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (schemes[i].kind == k)
            return schemes[i].name;
    return "none";
}

bool proxy_wants_address(enum proxy_kind k)
{
    return k == PROXY_SOCKS4 || k == PROXY_SOCKS5;
}

static thrum_slice cut(thrum_slice *s, size_t n, size_t skip)
{
    thrum_slice head = {s->p, n};
    *s = (thrum_slice){s->p + n + skip, s->n - n - skip};
    return head;
}

static bool copy_decoded(char *out, size_t cap, thrum_slice s)
{
    ptrdiff_t n = uri_unescape(out, cap, s);
    for (ptrdiff_t i = 0; i < n; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            n = -1;
    return n >= 0;
}

static bool parse_user(struct proxy *p, thrum_slice s, const char **why)
{
    const uint8_t *colon = memchr(s.p, ':', s.n);
    thrum_slice user = colon ? cut(&s, (size_t)(colon - s.p), 1) : cut(&s, s.n, 0);
    p->has_user = true;
    *why = "its user or password is too long, or has a control character";
    return copy_decoded(p->user, sizeof p->user, user) && copy_decoded(p->password, sizeof p->password, s);
}

static bool parse_port(struct proxy *p, thrum_slice s)
{
    unsigned long n = 0;
    if (s.n == 0 || s.n > 5)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (unsigned long)(s.p[i] - '0');
    }
    p->port = (uint16_t)n;
    return n > 0 && n <= UINT16_MAX;
}

static bool is_host(thrum_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || strchr("/?#@[]<>\"\\", s.p[i]))
            return false;
    return s.n > 0 && s.n < sizeof((struct proxy *)0)->host;
}

static bool parse_host(struct proxy *p, thrum_slice s, const char **why)
{
    thrum_slice host;
    *why = "its host is missing or is none";
    if (s.n > 0 && s.p[0] == '[') {
        const uint8_t *end = memchr(s.p, ']', s.n);
        if (!end)
            return false;
        cut(&s, 1, 0);
        host = cut(&s, (size_t)(end - s.p), 1);
    } else {
        const uint8_t *colon = memchr(s.p, ':', s.n);
        host = cut(&s, colon ? (size_t)(colon - s.p) : s.n, 0);
    }
    if (!is_host(host))
        return false;
    memcpy(p->host, host.p, host.n);
    p->host[host.n] = '\0';
    if (s.n == 0)
        return true;
    *why = "its port is none";
    return s.p[0] == ':' && parse_port(p, (thrum_slice){s.p + 1, s.n - 1});
}

static bool parse_scheme(struct proxy *p, thrum_slice *s)
{
    const uint8_t *end = memmem(s->p, s->n, "://", 3);
    p->kind = PROXY_HTTP;
    p->port = 80;
    if (!end)
        return true;
    thrum_slice name = cut(s, (size_t)(end - s->p), 3);
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (field_equal_case(name, schemes[i].name)) {
            p->kind = schemes[i].kind;
            p->port = schemes[i].port;
            return true;
        }
    }
    return false;
}

bool proxy_parse(struct proxy *p, const char *url, const char **why)
{
    thrum_slice s = field_trim(field_text(url));
    memset(p, 0, sizeof *p);
    *why = "its scheme is none of http, https, socks4, socks4a, socks5, socks5h";
    if (!parse_scheme(p, &s))
        return false;
    size_t n = 0;
    while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
        n++;
    thrum_slice rest = s, authority = cut(&rest, n, 0);
    const uint8_t *at = memrchr(authority.p, '@', authority.n);
    if (at && !parse_user(p, cut(&authority, (size_t)(at - authority.p), 1), why))
        return false;
    if (!parse_host(p, authority, why))
        return false;
    *why = "there is something behind its host and port";
    return rest.n == 0 || (rest.n == 1 && rest.p[0] == '/');
}

/* ---- for the kinds --------------------------------------------------------------------------------------
 */

static void fail_with(struct tunnel *t, const thrum_error *e)
{
    if (t->failed)
        return;
    t->failed = true;
    t->error = mem_alloc(sizeof *e);
    if (t->error)
        *t->error = *e;
}

void tunnel_fail(struct tunnel *t, int http_status, const char *fmt, ...)
{
    char text[sizeof((thrum_error *)0)->text];
    thrum_error e;
    va_list ap;
    va_start(ap, fmt);
    text_vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    error_set(&e, THRUM_E_PROXY, "the proxy %s %s", t->label, text);
    e.http_status = (uint16_t)http_status;
    e.by_peer = http_status != 0;
    fail_with(t, &e);
}

void tunnel_fail_memory(struct tunnel *t)
{
    thrum_error e;
    error_set(&e, THRUM_E_MEMORY, "no memory to speak to the proxy %s with", t->label);
    fail_with(t, &e);
}

bool tunnel_say(struct tunnel *t, const void *p, size_t n)
{
    if (buf_append(&t->out, p, n) == THRUM_OK)
        return true;
    tunnel_fail_memory(t);
    return false;
}

void tunnel_taken(struct tunnel *t, size_t n)
{
    buf_shift(&t->in, n);
}

/* ---- the stream -----------------------------------------------------------------------------------------
 */

static struct tunnel *of(struct stream *s)
{
    return (struct tunnel *)(void *)s;
}
static const struct tunnel *of_const(const struct stream *s)
{
    return (const struct tunnel *)(const void *)s;
}

static void broke(struct tunnel *t, ssize_t r)
{
    tunnel_fail(t, 0, "broke the connection before it led anywhere: %s", strerrordesc_np((int)-r));
}

/* True once all is sent; false: later, or failed. */
static bool send_out(struct tunnel *t)
{
    struct stream *below = t->stream.below;
    while (t->out_at < t->out.len) {
        const struct iovec v = {t->out.p + t->out_at, t->out.len - t->out_at};
        ssize_t r = below->ops->write(below, &v, 1);
        if (r < 0) {
            if (r != -EAGAIN)
                broke(t, r);
            return false;
        }
        t->out_at += (size_t)r;
    }
    if (t->out.len > 0) {
        explicit_bzero(t->out.p, t->out.len); /* a password may be in it */
        buf_free(&t->out);
        buf_init(&t->out, TUNNEL_IN_MAX);
        t->out_at = 0;
    }
    return true;
}

/* True where the wanted bytes are there, or the end; false: later, or failed. */
static bool take_in(struct tunnel *t, bool *ended)
{
    struct stream *below = t->stream.below;
    *ended = false;
    while (t->in.len < t->want) {
        const size_t most = t->want + t->room - t->in.len;
        if (buf_reserve(&t->in, most) != THRUM_OK) {
            tunnel_fail_memory(t);
            return false;
        }
        const struct iovec v = {t->in.p + t->in.len, most};
        ssize_t r = below->ops->read(below, &v, 1);
        if (r == 0)
            *ended = true;
        else if (r < 0 && r != -EAGAIN)
            broke(t, r);
        if (r <= 0)
            return *ended;
        t->in.len += (size_t)r;
    }
    return true;
}

/* 1 open, 0 not yet, -1 failed. */
static int shake(struct tunnel *t)
{
    bool ended;
    while (!t->open && !t->failed) {
        if (!send_out(t) || !take_in(t, &ended))
            break;
        t->kind->step(t, ended);
        if (t->open)
            LOG(LOG_NET, LOG_DEBUG, 0, "the proxy %s leads to %s port %u", t->label, t->host,
                (unsigned)t->port);
    }
    return t->failed ? -1 : t->open;
}

static ssize_t tunnel_read(struct stream *s, const struct iovec *v, int n)
{
    struct tunnel *t = of(s);
    int open = shake(t);
    if (open != 1)
        return open < 0 ? -EPROTO : -EAGAIN;
    return t->in.len > 0 ? rest_read(&t->in, &t->in_at, v, n) : s->below->ops->read(s->below, v, n);
}

static ssize_t tunnel_write(struct stream *s, const struct iovec *v, int n)
{
    int open = shake(of(s));
    if (open != 1)
        return open < 0 ? -EPROTO : -EAGAIN;
    return s->below->ops->write(s->below, v, n);
}

static short tunnel_wants(const struct stream *s, short asked)
{
    const struct tunnel *t = of_const(s);
    if (t->open || t->failed)
        return stream_wants(s->below, asked);
    return stream_wants(s->below, t->out_at < t->out.len ? POLLOUT : POLLIN);
}

static bool tunnel_buffered(const struct stream *s)
{
    const struct tunnel *t = of_const(s);
    return (t->open && t->in.len > 0) || stream_buffered(s->below);
}

static bool tunnel_failed(const struct stream *s, thrum_error *err)
{
    const struct tunnel *t = of_const(s);
    if (!t->failed)
        return stream_failed(s->below, err); /* TLS to the proxy */
    if (t->error)
        *err = *t->error;
    else
        error_set(err, THRUM_E_PROXY, "%s", thrum_status_text(THRUM_E_PROXY));
    return true;
}

static void tunnel_free(struct stream *s)
{
    struct tunnel *t = of(s);
    s->below->ops->free(s->below);
    if (t->kind->free)
        t->kind->free(t);
    if (t->out.len > 0)
        explicit_bzero(t->out.p, t->out.len);
    buf_free(&t->out);
    buf_free(&t->in);
    mem_free(t->error);
    explicit_bzero(&t->proxy, sizeof t->proxy);
    mem_free(t);
}

static const struct stream_ops tunnel_ops = {
    .read = tunnel_read,
    .write = tunnel_write,
    .shut_out = stream_below_shut_out,
    .cut = stream_below_cut,
    .fd = stream_below_fd,
    .describe = stream_below_describe,
    .free = tunnel_free,
    .wants = tunnel_wants,
    .buffered = tunnel_buffered,
    .failed = tunnel_failed,
};

static const struct tunnel_kind *kind_of(enum proxy_kind k)
{
    switch (k) {
    case PROXY_SOCKS4:
    case PROXY_SOCKS4A: return &tunnel_socks4;
    case PROXY_SOCKS5:
    case PROXY_SOCKS5H: return &tunnel_socks5;
    default: return &tunnel_http;
    }
}

thrum_status stream_proxy(struct stream **out, struct stream *below, const struct proxy *p, thrum_slice host,
                          uint16_t port, thrum_error *err)
{
    *out = NULL;
    struct tunnel *t = mem_zalloc(sizeof *t);
    if (!t) {
        below->ops->free(below);
        return error_set(err, THRUM_E_MEMORY, "no memory for the way through the proxy");
    }
    t->stream = (struct stream){&tunnel_ops, below};
    t->kind = kind_of(p->kind);
    t->proxy = *p;
    t->port = port;
    buf_init(&t->out, TUNNEL_IN_MAX);
    buf_init(&t->in, TUNNEL_IN_MAX);
    text_format(t->label, sizeof t->label, strchr(p->host, ':') ? "[%s]:%u" : "%s:%u", p->host,
                (unsigned)p->port);
    thrum_status s = THRUM_OK;
    if (host.n >= sizeof t->host)
        s = error_set(err, THRUM_E_ARGUMENT, "the host's name is too long for a proxy");
    else
        memcpy(t->host, host.p, host.n);
    s = s ? s : t->kind->begin(t, err);
    if (s == THRUM_OK)
        *out = &t->stream;
    else
        tunnel_free(&t->stream);
    return s;
}
