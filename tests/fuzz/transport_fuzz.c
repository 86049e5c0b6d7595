/* transport_fuzz.c: the small parsers on the way to a connection. The first byte chooses one: a chunked body,
 * a PROXY header, a Location, a challenge, or the texts of proxies and address blocks. */
#include "base/cidr.h"
#include "fuzz/fuzz_bytes.h"
#include "net/auth.h"
#include "net/proxy.h"
#include "wire/chunked.h"
#include "wire/field.h"
#include "wire/proxy_header.h"
#include "wire/refer.h"

static bool is_inside(thrum_slice all, thrum_slice s)
{
    return s.n == 0 || (s.p >= all.p && s.p + s.n <= all.p + all.n);
}

/* ---- chunked: the same body and end in pieces as whole ----------------------------------------------------
 */

struct body {
    enum chunked_result end;
    size_t n, taken;
    uint32_t sum;
};

static struct body unchunk(thrum_slice text, uint32_t seed, bool whole)
{
    struct chunked c = {0};
    struct body b = {.end = CHUNKED_MORE};
    for (size_t at = 0; at < text.n && b.end == CHUNKED_MORE;) {
        const size_t n = whole ? text.n : piece(&seed, text.n - at);
        uint8_t *copy = exactly(text.p + at, n);
        thrum_slice in = {copy, n}, data;
        while ((b.end = chunked_next(&c, &in, &data)) == CHUNKED_DATA) {
            MUST(data.n > 0 && is_inside((thrum_slice){copy, n}, data));
            for (size_t i = 0; i < data.n; i++)
                b.sum = b.sum * 31 + data.p[i];
            b.n += data.n;
        }
        MUST(b.end != CHUNKED_MORE || in.n == 0);
        MUST(is_inside((thrum_slice){copy, n}, in));
        at += n;
        b.taken = b.end == CHUNKED_END ? at - in.n : 0;
        free(copy);
    }
    return b;
}

static void chunked(thrum_slice text, uint32_t seed)
{
    const struct body a = unchunk(text, seed, true), b = unchunk(text, seed, false);
    MUST(a.end == b.end && a.taken == b.taken);
    if (a.end !=
        CHUNKED_BAD) /* the piece with the fault in it may have given some of what is before it, or not */
        MUST(a.n == b.n && a.sum == b.sum);
}

/* ---- a PROXY header: once it says what it is, more bytes change nothing
 * ------------------------------------ */

static void proxy_header(thrum_slice text)
{
    enum proxy_header_result before = PROXY_HEADER_MORE;
    size_t end = 0;
    for (size_t n = 0; n <= text.n; n += n < 300 || n + 97 > text.n ? 1 : 97) {
        struct proxy_header h = {0};
        size_t used = 0;
        const char *why = NULL;
        uint8_t *copy = exactly(text.p, n);
        const enum proxy_header_result r = proxy_header_parse(&h, copy, n, &used, &why);
        MUST(before == PROXY_HEADER_MORE || r == before);
        MUST(r != PROXY_HEADER_BAD || (why && *why));
        MUST(r != PROXY_HEADER_MORE || n < PROXY_HEADER_MAX);
        if (r == PROXY_HEADER_DONE) {
            MUST(used > 0 && used <= n && (end == 0 || used == end));
            MUST(is_inside((thrum_slice){copy, used}, h.address));
            MUST(h.kind != PROXY_HEADER_INET || h.address.n == 4 || h.address.n == 16);
            end = used;
        }
        before = r;
        free(copy);
    }
}

/* ---- a Location: it leads nowhere, or to a URL that parses or is told to be none
 * ---------------------------- */

static void location(thrum_slice text, uint32_t seed)
{
    static const char *const bases[] = {"ws://example.com/a/b?c", "wss://[::1]:8443/", "ws+unix:/run/s:/x",
                                        "ws://u:p@h.example:81"};
    const char *from = bases[seed % 4], *why = NULL;
    struct uri base, next;
    char out[1024];
    MUST(uri_parse(&base, (thrum_slice){(const uint8_t *)from, strlen(from)}, false, &why));
    MUST(refer_same_origin(&base, &base));
    why = NULL;
    const size_t cap = seed >> 8 & 1 ? sizeof out : (seed >> 16) % sizeof out + 1;
    if (!refer_resolve(out, cap, &base, text, &why)) {
        MUST(why && *why);
        return;
    }
    const size_t n = strnlen(out, cap);
    MUST(n < cap);
    if (!uri_parse(&next, (thrum_slice){(const uint8_t *)out, n}, false, &why))
        return;
    MUST(refer_same_origin(&base, &next) == refer_same_origin(&next, &base));
}

/* ---- challenges: the answer is one header value, whatever they say
 * ------------------------------------------ */

static void challenge(thrum_slice text, uint32_t seed)
{
    struct http1_head h = {.status = 401};
    const struct auth_user u = {seed & 1 ? "Mufasa" : "a\"b\\c", seed & 2 ? "Circle of Life" : "\xc3\xa4"};
    const char name[] = "WWW-Authenticate";
    char out[2048];
    while (text.n > 0 && h.n < 4) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        thrum_slice line = {text.p, end ? (size_t)(end - text.p) : text.n};
        text = (thrum_slice){text.p + line.n + (end != NULL), text.n - line.n - (end != NULL)};
        if (field_is_value(line)) /* others never come out of the parser of heads */
            h.fields[h.n++] = (struct http1_field){{(const uint8_t *)name, sizeof name - 1}, line};
    }
    const size_t cap = seed >> 8 & 1 ? sizeof out : (seed >> 16) % sizeof out + 1;
    if (auth_answer(out, cap, &h, name, &u, "GET", "/", "0123456789abcdef", seed & 4) != AUTH_ANSWER)
        return;
    const size_t n = strnlen(out, cap);
    MUST(n > 0 && n < cap);
    MUST(field_is_value((thrum_slice){(const uint8_t *)out, n}));
}

/* ---- texts that people write
 * -------------------------------------------------------------------------------- */

static void texts(thrum_slice text)
{
    char *s = malloc(text.n + 1);
    const char *why = NULL;
    struct proxy p;
    struct cidr c;
    MUST(s);
    if (text.n > 0)
        memcpy(s, text.p, text.n);
    s[text.n] = 0;
    if (proxy_parse(&p, s, &why))
        MUST(*p.host && p.port > 0 && p.kind != PROXY_NONE);
    else
        MUST(why && *why);
    if (cidr_parse(&c, s, strlen(s)))
        MUST(c.bits <= 128 && cidr_has(&c, &c));
    if (cidr_parse_peer(&c, s))
        MUST(cidr_has(&c, &c));
    free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    thrum_slice in = {data, size};
    const uint8_t which = byte_of(&in);
    const uint32_t seed = word_of(&in);
    switch (which % 5) {
    case 0: chunked(in, seed); break;
    case 1: proxy_header(in); break;
    case 2: location(in, seed); break;
    case 3: challenge(in, seed); break;
    default: texts(in);
    }
    return 0;
}
