/* uri.c: cuts a URL at the first characters that can end each part, in the order of RFC 3986 section 3, and
 * then looks at every character of each part. What two parsers could read differently (an '@' or a backslash
 * in a host, say) is refused, not repaired. */
#include "wire/uri.h"
#include "wire/char_int.h"
#include "wire/field.h"
#include <string.h>

enum { WS_PORT = 80, WSS_PORT = 443 };

static void drop(thrum_slice *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

/* The length of what is before the first of the characters in `ends`. */
static size_t span(thrum_slice s, const char *ends)
{
    size_t n = 0;
    while (n < s.n && (s.p[n] == 0 || !strchr(ends, s.p[n])))
        n++;
    return n;
}

static bool is_pct(thrum_slice s, size_t i)
{
    return s.n - i >= 3 && s.p[i] == '%' && char_is_hex(s.p[i + 1]) && char_is_hex(s.p[i + 2]);
}

/* Is it made of unreserved, sub-delims, percent-encoded and the characters in `more`? */
static bool is_made_of(thrum_slice s, const char *more)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (char_is_unreserved(c) || char_is_sub_delim(c) || (c != 0 && strchr(more, c)))
            continue;
        if (!is_pct(s, i))
            return false;
        i += 2;
    }
    return true;
}

/* ---- host and port ---------------------------------------------------------------------------------------
 */

/* Four numbers of 0 to 255 without leading zeros. */
static bool is_ipv4(thrum_slice s)
{
    for (int part = 0; part < 4; part++) {
        unsigned v = 0;
        size_t n = 0;
        for (; n < s.n && n < 4 && char_is_digit(s.p[n]); n++)
            v = v * 10 + (unsigned)(s.p[n] - '0');
        if (n == 0 || v > 255 || (n > 1 && s.p[0] == '0'))
            return false;
        drop(&s, n);
        if (part < 3) {
            if (s.n == 0 || s.p[0] != '.')
                return false;
            drop(&s, 1);
        }
    }
    return s.n == 0;
}

/* Up to eight groups of up to four hex digits, one "::" for what is left out, an IPv4 address for the last
 * two. */
static bool is_ipv6(thrum_slice s)
{
    int groups = 0;
    bool gap = false;
    if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
        gap = true;
        drop(&s, 2);
    }
    while (s.n > 0) {
        size_t n = 0;
        while (n < s.n && n < 5 && char_is_hex(s.p[n]))
            n++;
        if (n < s.n && s.p[n] == '.')
            return is_ipv4(s) && (gap ? groups + 2 < 8 : groups + 2 == 8);
        if (n == 0 || n > 4)
            return false;
        groups++;
        drop(&s, n);
        if (s.n == 0)
            break;
        if (s.p[0] != ':' || s.n == 1)
            return false;
        drop(&s, 1);
        if (s.p[0] == ':') {
            if (gap)
                return false;
            gap = true;
            drop(&s, 1);
        }
    }
    return gap ? groups < 8 : groups == 8;
}

struct authority {
    thrum_slice host;
    bool ipv6, port_given;
    uint16_t port;
};

/* Nothing behind the colon is RFC 3986's way to say "the scheme's port". */
static bool parse_port(struct authority *a, thrum_slice s)
{
    unsigned v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!char_is_digit(s.p[i]))
            return false;
        v = v * 10 + (unsigned)(s.p[i] - '0');
        if (v > UINT16_MAX)
            return false;
    }
    a->port_given = s.n > 0;
    a->port = (uint16_t)v;
    return true;
}

/* host [":" port]; NULL or what is wrong. */
static const char *parse_authority(struct authority *a, thrum_slice s)
{
    *a = (struct authority){0};
    if (s.n > 0 && s.p[0] == '[') {
        size_t n = span(s, "]");
        if (n == s.n)
            return "an IPv6 address without its closing bracket";
        a->host = (thrum_slice){s.p + 1, n - 1};
        a->ipv6 = true;
        if (!is_ipv6(a->host))
            return "what is in the brackets is no IPv6 address";
        drop(&s, n + 1);
    } else {
        a->host = (thrum_slice){s.p, span(s, ":")};
        if (a->host.n == 0)
            return "the host is empty";
        if (!is_made_of(a->host, ""))
            return "a character that a host name cannot have (IDNA names: give their xn-- form)";
        drop(&s, a->host.n);
    }
    if (s.n == 0)
        return NULL;
    if (s.p[0] != ':' || !parse_port(a, (thrum_slice){s.p + 1, s.n - 1}))
        return "the port is not a number of at most 65535";
    return NULL;
}

/* ---- URLs ------------------------------------------------------------------------------------------------
 */

static bool refuse(const char **why, const char *text)
{
    *why = text;
    return false;
}

/* "" or "/path?query" or "?query". */
static bool is_path_and_query(thrum_slice s)
{
    size_t path = span(s, "?");
    return is_made_of((thrum_slice){s.p, path}, ":@/") &&
           (path == s.n || is_made_of((thrum_slice){s.p + path + 1, s.n - path - 1}, ":@/?"));
}

static bool parse_target(struct uri *u, thrum_slice s, const char **why)
{
    u->target = s;
    if (!is_path_and_query(s))
        return refuse(
            why, "a character in the path or query that must be percent-encoded, or a bad percent-encoding");
    return true;
}

static bool parse_local(struct uri *u, thrum_slice s, const char **why)
{
    size_t n = span(s, ":?");
    u->local = true;
    u->path = (thrum_slice){s.p, n};
    u->port = WS_PORT;
    if (n < 2 || s.p[0] != '/')
        return refuse(why, "behind ws+unix: comes the absolute path of a socket");
    if (!is_made_of(u->path, "@/"))
        return refuse(why, "a character in the socket's path that a URL cannot have");
    drop(&s, n);
    if (s.n > 0 && s.p[0] == ':') {
        drop(&s, 1);
        if (s.n == 0 || s.p[0] != '/')
            return refuse(why, "behind the ':' of a ws+unix URL comes a request path that begins with '/'");
    }
    return parse_target(u, s, why);
}

/* Splits user[:password]@ off. The last '@' decides, so that the host is never what is before another one;
 * that one is then refused as a character of the user's. */
static bool parse_user(struct uri *u, thrum_slice *s, const char **why)
{
    size_t at = s->n;
    while (at > 0 && s->p[at - 1] != '@')
        at--;
    if (at == 0)
        return true;
    u->user = (thrum_slice){s->p, at - 1};
    if (!is_made_of(u->user, ":"))
        return refuse(why, "a character in the user or password that must be percent-encoded");
    size_t n = span(u->user, ":");
    if (n < u->user.n) {
        u->password = (thrum_slice){u->user.p + n + 1, u->user.n - n - 1};
        u->user.n = n;
    }
    drop(s, at);
    return true;
}

static bool parse_network(struct uri *u, thrum_slice s, bool listening, const char **why)
{
    struct authority a;
    size_t n = span(s, "/?");
    thrum_slice auth = {s.p, n};
    if (!parse_user(u, &auth, why))
        return false;
    const char *wrong = parse_authority(&a, auth);
    if (wrong)
        return refuse(why, wrong);
    if (a.port_given && a.port == 0 && !listening)
        return refuse(why, "port 0 can only be listened on");
    if (field_equal(a.host, "*") && !listening)
        return refuse(why, "the host * can only be listened on");
    u->host = a.host;
    u->ipv6 = a.ipv6;
    u->port_given = a.port_given;
    u->port = a.port_given ? a.port : u->tls ? WSS_PORT : WS_PORT;
    drop(&s, n);
    return parse_target(u, s, why);
}

/* What no part may have. */
static const char *judge_characters(thrum_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 0x80)
            return "a character that is not ASCII: percent-encode it (in a host: give the xn-- form)";
        if (s.p[i] == '#')
            return "a fragment ('#'), which RFC 6455 section 3 forbids; write %23 for the character";
        if (!char_is_visible(s.p[i]))
            return "a space or control character";
    }
    return NULL;
}

bool uri_parse(struct uri *u, thrum_slice s, bool listening, const char **why)
{
    *u = (struct uri){0};
    const char *wrong = judge_characters(s);
    if (wrong)
        return refuse(why, wrong);
    size_t n = span(s, ":");
    thrum_slice scheme = {s.p, n};
    u->tls = field_equal_case(scheme, "wss");
    bool local = field_equal_case(scheme, "ws+unix");
    if (n == s.n || (!u->tls && !local && !field_equal_case(scheme, "ws")))
        return refuse(why, "the URL does not begin with ws://, wss:// or ws+unix:");
    drop(&s, n + 1);
    if (local)
        return parse_local(u, s, why);
    if (s.n < 2 || s.p[0] != '/' || s.p[1] != '/')
        return refuse(why, "there is no // behind the scheme");
    drop(&s, 2);
    return parse_network(u, s, listening, why);
}

static int hex_value(uint8_t c)
{
    return char_is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

ptrdiff_t uri_unescape(char *out, size_t cap, thrum_slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int c = s.p[i];
        if (is_pct(s, i)) {
            c = hex_value(s.p[i + 1]) * 16 + hex_value(s.p[i + 2]);
            i += 2;
        }
        if (c == 0 || n + 1 >= cap)
            return -1;
        out[n++] = (char)c;
    }
    if (n >= cap)
        return -1;
    out[n] = '\0';
    return (ptrdiff_t)n;
}

/* ---- Host, Origin, target --------------------------------------------------------------------------------
 */

struct writer {
    char *out;
    size_t cap, n;
};

/* Once something did not fit, nothing more is written: n is then over cap. */
static void put(struct writer *w, const void *p, size_t n)
{
    if (w->n < w->cap && n < w->cap - w->n)
        memcpy(w->out + w->n, p, n);
    w->n = n < SIZE_MAX - w->n ? w->n + n : SIZE_MAX;
}

static void put_port(struct writer *w, uint16_t port)
{
    char text[6];
    size_t i = sizeof text;
    do
        text[--i] = (char)('0' + port % 10);
    while ((port = (uint16_t)(port / 10)) > 0);
    text[--i] = ':';
    put(w, text + i, sizeof text - i);
}

size_t uri_host(const struct uri *u, char *out, size_t cap)
{
    struct writer w = {out, cap, 0};
    if (u->local) { /* RFC 9110 section 7.2 wants a Host; a socket has no name of its own */
        put(&w, "localhost", 9);
    } else {
        if (u->ipv6)
            put(&w, "[", 1);
        put(&w, u->host.p, u->host.n);
        if (u->ipv6)
            put(&w, "]", 1);
        if (u->port != (u->tls ? WSS_PORT : WS_PORT))
            put_port(&w, u->port);
    }
    if (w.n >= cap)
        return 0;
    out[w.n] = 0;
    return w.n;
}

bool uri_is_host(thrum_slice s, thrum_slice *host, uint16_t *port)
{
    struct authority a;
    if (parse_authority(&a, s) || (a.port_given && a.port == 0))
        return false;
    if (host)
        *host = a.host;
    if (port)
        *port = a.port;
    return true;
}

bool uri_is_origin(thrum_slice s, thrum_slice *scheme, thrum_slice *host, uint16_t *port)
{
    thrum_slice sc = {s.p, span(s, ":")};
    if (sc.n == 0 || !char_is_alpha(sc.p[0]) || s.n - sc.n < 3 || memcmp(s.p + sc.n, "://", 3) != 0)
        return false;
    for (size_t i = 0; i < sc.n; i++)
        if (!char_is_scheme(sc.p[i]))
            return false;
    drop(&s, sc.n + 3);
    if (!uri_is_host(s, host, port))
        return false;
    if (scheme)
        *scheme = sc;
    return true;
}

bool uri_is_target(thrum_slice s)
{
    return s.n > 0 && s.p[0] == '/' && is_path_and_query(s);
}
