/* tunnel_fuzz.c: what a proxy says to a client of each kind. In pieces it must come to the same as whole:
 * open, with the server's first bytes behind, or failed, for the same reason. */
#include "fuzz/fuzz_bytes.h"
#include "net/proxy.h"
#include <errno.h>

enum { MOST = 4096 };

/* The stream below: it takes all that is written, and gives the fuzzer's bytes, then the end. */
struct script {
    struct stream stream;
    thrum_slice rest;
    uint32_t seed;
    bool whole, between;
};

static ssize_t script_read(struct stream *s, const struct iovec *v, int n)
{
    struct script *c = (struct script *)s;
    MUST(n > 0);
    if (c->rest.n == 0)
        return 0;
    c->between = !c->between;
    if (!c->whole && c->between) /* each piece comes after a wait */
        return -EAGAIN;
    size_t k = c->whole ? c->rest.n : piece(&c->seed, c->rest.n);
    k = k < v->iov_len ? k : v->iov_len;
    memcpy(v->iov_base, c->rest.p, k);
    c->rest.p += k;
    c->rest.n -= k;
    return (ssize_t)k;
}
static ssize_t script_write(struct stream *s, const struct iovec *v, int n)
{
    size_t all = 0;
    (void)s;
    for (int i = 0; i < n; i++)
        all += v[i].iov_len;
    return (ssize_t)all;
}
static int script_shut(struct stream *s)
{
    (void)s;
    return 0;
}
static void script_cut(struct stream *s)
{
    (void)s;
}
static int script_fd(const struct stream *s)
{
    (void)s;
    return -1;
}
static void script_describe(const struct stream *s, char *out, size_t cap)
{
    (void)s;
    snprintf(out, cap, "script");
}
static const struct stream_ops script_ops = {
    .read = script_read,
    .write = script_write,
    .shut_out = script_shut,
    .cut = script_cut,
    .fd = script_fd,
    .describe = script_describe,
    .free = script_cut, /* it lies on the stack */
};

struct outcome {
    bool failed;
    ssize_t error;
    thrum_error why;
    size_t n;
    uint8_t data[MOST];
};

static void play(struct outcome *o, const struct proxy *p, thrum_slice said, uint32_t seed, bool whole)
{
    struct script below = {.stream = {.ops = &script_ops}, .rest = said, .seed = seed, .whole = whole};
    const char host[] = "server.example";
    struct stream *s;
    memset(o, 0, sizeof *o);
    if (stream_proxy(&s, &below.stream, p, (thrum_slice){(const uint8_t *)host, sizeof host - 1}, 443,
                     &o->why) != THRUM_OK) {
        o->failed = true;
        return;
    }
    for (size_t looks = 0;; looks++) {
        MUST(looks < 4 * MOST); /* it moves on */
        const struct iovec v = {o->data + o->n, sizeof o->data - o->n};
        const ssize_t k = v.iov_len > 0 ? s->ops->read(s, &v, 1) : 0;
        if (k == -EAGAIN)
            continue;
        o->failed = k < 0;
        o->error = k;
        if (k <= 0)
            break;
        o->n += (size_t)k;
    }
    if (o->failed)
        MUST(stream_failed(s, &o->why) && o->why.status != THRUM_OK && *o->why.text);
    s->ops->free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const urls[] = {
        "http://p.example",    "http://me:secret@p.example",   "socks4://me@p.example",
        "socks4a://p.example", "socks5://me:secret@p.example", "socks5h://p.example"};
    static struct outcome whole, pieces;
    thrum_slice in = {data, size};
    struct proxy p;
    const char *why;
    MUST(proxy_parse(&p, urls[byte_of(&in) % (sizeof urls / sizeof urls[0])], &why));
    const uint32_t seed = word_of(&in);
    in.n = in.n < MOST - 1 ? in.n : MOST - 1;
    play(&whole, &p, in, seed, true);
    play(&pieces, &p, in, seed, false);
    MUST(whole.failed == pieces.failed && whole.error == pieces.error && whole.n == pieces.n);
    MUST(memcmp(whole.data, pieces.data, whole.n) == 0);
    if (whole.failed) /* of a page without a length, as much is quoted as has come with the head */
        MUST(whole.why.status == pieces.why.status && whole.why.http_status == pieces.why.http_status &&
             (whole.why.http_status != 0 || strcmp(whole.why.text, pieces.why.text) == 0));
    return 0;
}
