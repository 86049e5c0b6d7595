/* proxy_http.c: CONNECT, RFC 9110 section 9.3.6. A user and password go out at once, as curl's do; a proxy
 * that asks for Digest gets that on the same connection. Of a refusal the first line of its page is told. */
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "net/auth.h"
#include "net/proxy_int.h"
#include "wire/chunked.h"
#include "wire/field.h"
#include "wire/http1.h"
#include <string.h>
#include <thrum/version.h>

enum {
    HEAD_MAX = 16 * 1024,
    PIECE = 4096,
    PAGE_MAX = 1024,
    BODY_MAX = 1024 * 1024,
    AUTH_MAX = 4096,
    TRIES_MAX = 3
};
enum body { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_OPEN }; /* OPEN: until the end of the stream */

struct http_talk {
    struct http1_scan scan;
    size_t scanned;
    bool in_body, closes, digest_shown;
    int status;
    char reason[48];
    enum body body;
    uint64_t left;
    struct chunked chunked;
    char page[PAGE_MAX + 1];
    size_t page_len;
    char authorization[AUTH_MAX]; /* to try next; "" none */
};

/* ---- asking ---------------------------------------------------------------------------------------------
 */

static void target_text(const struct tunnel *t, char *out, size_t cap)
{
    text_format(out, cap, strchr(t->host, ':') ? "[%s]:%u" : "%s:%u", t->host, (unsigned)t->port);
}

static bool ask(struct tunnel *t)
{
    struct http_talk *h = t->http;
    char target[TUNNEL_TARGET_MAX + 16], m[2 * sizeof target + AUTH_MAX + 200];
    target_text(t, target, sizeof target);
    size_t n =
        text_format(m, sizeof m, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: thrum/%s\r\n%s%s%s\r\n",
                    target, target, THRUM_VERSION, h->authorization[0] ? "Proxy-Authorization: " : "",
                    h->authorization, h->authorization[0] ? "\r\n" : "");
    bool said = tunnel_say(t, m, n);
    explicit_bzero(m, sizeof m);
    explicit_bzero(h->authorization, sizeof h->authorization);
    memset(&h->scan, 0, sizeof h->scan);
    h->scanned = h->page_len = 0;
    h->in_body = false;
    t->want = 1;
    t->room = PIECE - 1;
    return said;
}

static thrum_status begin(struct tunnel *t, thrum_error *err)
{
    const struct auth_user u = {t->proxy.user, t->proxy.password};
    t->http = mem_zalloc(sizeof *t->http);
    if (!t->http)
        return error_set(err, THRUM_E_MEMORY, "no memory to speak to the proxy with");
    if (t->proxy.has_user && auth_basic(t->http->authorization, AUTH_MAX, &u) == 0)
        return error_set(err, THRUM_E_ARGUMENT,
                         "the proxy's user has a colon, or user and password are too long");
    return ask(t) ? THRUM_OK : error_set(err, THRUM_E_MEMORY, "no memory to speak to the proxy with");
}

/* ---- being refused --------------------------------------------------------------------------------------
 */

/* The first line of a page that a person would see: without tags, white space drawn together. */
static void first_line(char *out, size_t cap, const struct http_talk *h)
{
    char line[160];
    size_t n = 0;
    bool in_tag = false;
    for (size_t i = 0; i < h->page_len && n + 1 < sizeof line; i++) {
        const char c = h->page[i];
        const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        if (c == '<' || in_tag) {
            in_tag = c != '>';
            if (in_tag || n == 0)
                continue;
            break; /* a tag behind a text ends it */
        }
        if (c == '\n' && n > 0)
            break;
        if (!blank)
            line[n++] = c;
        else if (n > 0 && line[n - 1] != ' ')
            line[n++] = ' ';
    }
    text_escape(out, cap, line, n);
}

static void refused(struct tunnel *t)
{
    const struct http_talk *h = t->http;
    char line[128];
    if (h->status == 407 && !t->proxy.has_user) {
        tunnel_fail(t, 407,
                    "asks for a user and password (407): give them as http://user:password@host:port");
    } else if (h->status == 407) {
        char user[64];
        text_escape(user, sizeof user, t->proxy.user, strlen(t->proxy.user));
        tunnel_fail(t, 407, "does not accept the user \"%s\" or the password (407)", user);
    } else {
        first_line(line, sizeof line, h);
        tunnel_fail(t, h->status, "does not lead to %s port %u: it says %d%s%s%s%s", t->host,
                    (unsigned)t->port, h->status, h->reason[0] ? " " : "", h->reason, line[0] ? ": " : "",
                    line);
    }
}

/* The page is read as far as it goes: ask again on the same connection, or give up. */
static void answered(struct tunnel *t)
{
    struct http_talk *h = t->http;
    if (h->authorization[0] && !h->closes && ++t->tries < TRIES_MAX)
        (void)ask(t);
    else
        refused(t);
}

/* What to show next to a 407, where there is something that was not shown yet. */
static void prepare_answer(struct tunnel *t, const struct http1_head *head)
{
    struct http_talk *h = t->http;
    const struct auth_user u = {t->proxy.user, t->proxy.password};
    char target[TUNNEL_TARGET_MAX + 16];
    char cnonce[33] = "";
    uint8_t raw[16];
    target_text(t, target, sizeof target);
    bool random = rand_bytes(raw, sizeof raw) == 0;
    if (random)
        auth_cnonce(cnonce, raw);
    if (!t->proxy.has_user || !random ||
        auth_answer(h->authorization, AUTH_MAX, head, "Proxy-Authenticate", &u, "CONNECT", target, cnonce,
                    h->digest_shown) != AUTH_ANSWER ||
        strncmp(h->authorization, "Digest", 6) != 0) /* Basic is what was refused */
        h->authorization[0] = '\0';
    else
        h->digest_shown = true;
}

/* ---- listening ------------------------------------------------------------------------------------------
 */

static bool parse_length(thrum_slice s, uint64_t *n)
{
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || *n > BODY_MAX)
            return false;
        *n = *n * 10 + (uint64_t)(s.p[i] - '0');
    }
    return s.n > 0 && *n <= BODY_MAX;
}

static void begin_body(struct http_talk *h, const struct http1_head *head)
{
    thrum_slice length = http1_get(head, "Content-Length", 0),
                coding = http1_get(head, "Transfer-Encoding", 0);
    h->in_body = true;
    memset(&h->chunked, 0, sizeof h->chunked);
    h->closes = head->minor == 0 || field_list_has(http1_get(head, "Connection", 0), "close") ||
                field_list_has(http1_get(head, "Proxy-Connection", 0), "close");
    if (coding.p)
        h->body = field_equal_case(coding, "chunked") ? BODY_CHUNKED : BODY_OPEN;
    else
        h->body = length.p && parse_length(length, &h->left) ? BODY_LENGTH : BODY_OPEN;
    h->closes |= h->body == BODY_OPEN;
}

static void keep(struct http_talk *h, thrum_slice s)
{
    size_t n = s.n < PAGE_MAX - h->page_len ? s.n : PAGE_MAX - h->page_len;
    memcpy(h->page + h->page_len, s.p, n);
    h->page_len += n;
}

/* True: the body has ended. */
static bool take_body(struct tunnel *t)
{
    struct http_talk *h = t->http;
    thrum_slice in = {t->in.p, t->in.len}, data;
    enum chunked_result r = CHUNKED_MORE;
    if (h->body == BODY_CHUNKED) {
        while ((r = chunked_next(&h->chunked, &in, &data)) == CHUNKED_DATA)
            keep(h, data);
        h->closes |= r == CHUNKED_BAD;
        tunnel_taken(t, t->in.len - in.n);
        return r != CHUNKED_MORE;
    }
    if (h->body == BODY_LENGTH && in.n > h->left)
        in.n = (size_t)h->left;
    keep(h, in);
    tunnel_taken(t, in.n);
    h->left -= h->body == BODY_LENGTH ? in.n : 0;
    return h->body == BODY_OPEN || h->left == 0; /* OPEN: what has come must do */
}

static void take_head(struct tunnel *t, size_t n)
{
    struct http_talk *h = t->http;
    struct http1_head head;
    const char *why = "";
    if (http1_parse_response(&head, t->in.p, n, &why) != 0) {
        tunnel_fail(t, 0, "does not answer in HTTP: %s", why);
        return;
    }
    h->status = head.status;
    text_escape(h->reason, sizeof h->reason, head.reason.p, head.reason.n);
    if (head.status >= 200 && head.status < 300) {
        t->open = true;
    } else if (head.status >= 200) {
        begin_body(h, &head);
        if (head.status == 407)
            prepare_answer(t, &head);
    }
    tunnel_taken(t, n);
    memset(&h->scan, 0, sizeof h->scan);
    h->scanned = 0;
}

/* True: a head was taken, and there may be more to do with what is behind it. */
static bool find_head(struct tunnel *t)
{
    struct http_talk *h = t->http;
    const char *why = "";
    size_t used = 0;
    switch (http1_scan(&h->scan, t->in.p + h->scanned, t->in.len - h->scanned, &used, &why)) {
    case HTTP1_DONE: take_head(t, h->scanned + used); return true;
    case HTTP1_MORE: h->scanned = t->in.len; break;
    default: tunnel_fail(t, 0, "does not answer in HTTP: %s", why); break;
    }
    if (h->scanned > HEAD_MAX)
        tunnel_fail(t, 0, "sends a head of over %d bytes", HEAD_MAX);
    return false;
}

static void step(struct tunnel *t, bool ended)
{
    struct http_talk *h = t->http;
    while (!h->in_body && !t->open && !t->failed && find_head(t))
        ;
    if (t->open || t->failed)
        return;
    if (h->in_body && (take_body(t) || ended)) {
        h->closes |= ended;
        answered(t);
    } else if (ended) {
        tunnel_fail(t, 0, "closed the connection before it led anywhere");
    } else {
        t->want = t->in.len + 1;
    }
}

static void release(struct tunnel *t)
{
    if (t->http)
        explicit_bzero(t->http->authorization, AUTH_MAX);
    mem_free(t->http);
}

const struct tunnel_kind tunnel_http = {begin, step, release};
