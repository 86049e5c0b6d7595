/* http1.c: two steps. http1_scan runs while bytes come and is the gate: grammar of lines and all limits, in
 * constant space, so that a peer cannot make us hold more than 64 KiB or look at a byte twice. The parsers
 * run once, over a head that the same scan has let through (they ask it themselves, so nobody can forget to),
 * and only cut and judge.
 *
 * Strictness is a defence: where two readers of one request disagree on a bare LF, a folded line or a space
 * before the colon, one of them can be fooled (request smuggling). */
#include "wire/http1.h"
#include "wire/char_int.h"
#include "wire/field.h"
#include <string.h>

/* ---- scan ------------------------------------------------------------------------------------------------
 */

enum state {          /* 0 is where it begins */
             FIRST,   /* the first line's first word: a method, or HTTP/1.1 */
             REST,    /* the rest of the first line */
             LINE_LF, /* behind a CR that ends a line */
             BEGIN,   /* at the beginning of a line that is a field or the empty one */
             NAME,
             VALUE,
             LAST_LF, /* behind the CR of the empty line */
             DONE,
             FAILED_BAD, /* an error stays: the caller may ask again */
             FAILED_TARGET,
             FAILED_HEAD
};

static enum state fail(const char **why, const char *text, enum state how)
{
    *why = text;
    return how;
}

static enum state scan_first(const struct http1_scan *s, uint8_t c, const char **why)
{
    if (c == ' ' && s->line > 0)
        return REST;
    if (char_is_token(c) || (c == '/' && s->line == 4)) /* the '/' of "HTTP/1.1" */
        return FIRST;
    return fail(why, s->line == 0 ? "this is not HTTP" : "the first line of the head is not one of HTTP/1.1",
                FAILED_BAD);
}

static enum state scan_text(enum state stay, uint8_t c, const char **why)
{
    if (c == '\r')
        return LINE_LF;
    if (char_is_text(c))
        return stay;
    return fail(why, c == '\n' ? "a line of the head ends in a bare LF" : "a control character in the head",
                FAILED_BAD);
}

static enum state scan_begin(struct http1_scan *s, uint8_t c, const char **why)
{
    if (c == '\r')
        return LAST_LF;
    if (c == ' ' || c == '\t')
        return fail(why, "a folded header line (obsolete, RFC 9112 section 5.2)", FAILED_BAD);
    if (!char_is_token(c))
        return fail(why, "a header line does not begin with a field name", FAILED_BAD);
    if (++s->lines > HTTP1_FIELDS_MAX)
        return fail(why, "more than 128 header lines", FAILED_HEAD);
    return NAME;
}

static enum state scan_name(uint8_t c, const char **why)
{
    if (c == ':')
        return VALUE;
    if (char_is_token(c))
        return NAME;
    return fail(why,
                c == ' ' || c == '\t' ? "white space before the colon of a header line" : "a bad header name",
                FAILED_BAD);
}

static enum state scan_lf(enum state then, uint8_t c, const char **why)
{
    return c == '\n' ? then : fail(why, "a CR without LF in the head", FAILED_BAD);
}

static enum state scan_byte(struct http1_scan *s, uint8_t c, const char **why)
{
    switch ((enum state)s->state) {
    case FIRST: return scan_first(s, c, why);
    case REST: return scan_text(REST, c, why);
    case LINE_LF: return scan_lf(BEGIN, c, why);
    case BEGIN: return scan_begin(s, c, why);
    case NAME: return scan_name(c, why);
    case VALUE: return scan_text(VALUE, c, why);
    case LAST_LF: return scan_lf(DONE, c, why);
    case DONE:
    case FAILED_BAD:
    case FAILED_TARGET:
    case FAILED_HEAD: break;
    }
    return (enum state)s->state;
}

/* A line's CR and LF do not count in its length. */
static bool in_line(enum state st)
{
    return st == FIRST || st == REST || st == NAME || st == VALUE;
}

/* One byte, limits included: the state after it. */
static enum state scan_step(struct http1_scan *s, uint8_t c, const char **why)
{
    enum state was = (enum state)s->state;
    if (s->total == HTTP1_HEAD_MAX)
        return fail(why, "the head is over 65,536 bytes", FAILED_HEAD);
    s->total++;
    enum state st = scan_byte(s, c, why);
    if (!in_line(st)) {
        s->line = 0;
        return st;
    }
    if (++s->line <= HTTP1_LINE_MAX)
        return st;
    if (was == FIRST || was == REST)
        return fail(why, "the first line of the head is over 8,192 bytes", FAILED_TARGET);
    return fail(why, "a header line is over 8,192 bytes", FAILED_HEAD);
}

static enum http1_result result_of(enum state st)
{
    switch (st) {
    case DONE: return HTTP1_DONE;
    case FAILED_BAD: return HTTP1_BAD;
    case FAILED_TARGET: return HTTP1_LONG_TARGET;
    case FAILED_HEAD: return HTTP1_LONG_HEAD;
    default: return HTTP1_MORE;
    }
}

enum http1_result http1_scan(struct http1_scan *s, const uint8_t *p, size_t n, size_t *used, const char **why)
{
    size_t i = 0;
    if (s->state >= FAILED_BAD)
        *why = "the head was refused before";
    while (i < n && s->state < DONE)
        s->state = (uint8_t)scan_step(s, p[i++], why);
    *used = s->state == DONE ? i : n;
    return result_of((enum state)s->state);
}

/* ---- parse -----------------------------------------------------------------------------------------------
 */

static int status_of(enum http1_result r)
{
    return r == HTTP1_LONG_TARGET ? 414 : r == HTTP1_LONG_HEAD ? 431 : 400;
}

/* Cuts the first line off: *line without its CR LF, *rest what is behind them. The scan has seen that there
 * is one. */
static void cut_line(thrum_slice *rest, thrum_slice *line)
{
    const uint8_t *cr = memchr(rest->p, '\r', rest->n);
    size_t n = (size_t)(cr - rest->p);
    *line = (thrum_slice){rest->p, n};
    rest->p += n + 2;
    rest->n -= n + 2;
}

/* Cuts off what is before the first c; false where there is none. */
static bool cut_at(thrum_slice *rest, uint8_t c, thrum_slice *before)
{
    const uint8_t *at = rest->n > 0 ? memchr(rest->p, c, rest->n) : NULL;
    if (!at)
        return false;
    size_t n = (size_t)(at - rest->p);
    *before = (thrum_slice){rest->p, n};
    rest->p += n + 1;
    rest->n -= n + 1;
    return true;
}

/* "HTTP/1.1", upper case to the letter (RFC 9112 section 2.3). */
static int parse_version(struct http1_head *h, thrum_slice v, const char **why)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || !char_is_digit(v.p[5]) || v.p[6] != '.' ||
        !char_is_digit(v.p[7])) {
        *why = "the first line of the head does not name a version of HTTP";
        return 400;
    }
    h->major = (uint8_t)(v.p[5] - '0');
    h->minor = (uint8_t)(v.p[7] - '0');
    if (h->major == 1)
        return 0;
    *why = "a major version of HTTP that is not 1";
    return 505;
}

static void parse_fields(struct http1_head *h, thrum_slice rest)
{
    thrum_slice line, name;
    for (cut_line(&rest, &line); line.n > 0; cut_line(&rest, &line)) {
        (void)cut_at(&line, ':', &name); /* the scan has seen the colon */
        h->fields[h->n++] = (struct http1_field){name, field_trim(line)};
    }
}

/* Lets the scan judge, and cuts the first line off. */
static int begin(struct http1_head *h, const uint8_t *p, size_t n, thrum_slice *line, thrum_slice *rest,
                 const char **why)
{
    struct http1_scan s = {0};
    size_t used;
    h->method = h->target = h->reason = (thrum_slice){0};
    h->status = 0;
    h->major = h->minor = 0;
    h->n = 0;
    enum http1_result r = http1_scan(&s, p, n, &used, why);
    if (r == HTTP1_MORE || (r == HTTP1_DONE && used < n)) {
        *why = r == HTTP1_MORE ? "the head has no end" : "there is something behind the head";
        return 400;
    }
    if (r != HTTP1_DONE)
        return status_of(r);
    *rest = (thrum_slice){p, n};
    cut_line(rest, line);
    return 0;
}

static bool is_visible(thrum_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!char_is_visible(s.p[i]))
            return false;
    return s.n > 0;
}

int http1_parse_request(struct http1_head *h, const uint8_t *p, size_t n, const char **why)
{
    thrum_slice line, rest;
    int e = begin(h, p, n, &line, &rest, why);
    if (e)
        return e;
    /* One space between each two, and the target has none: more spaces end up in the version and are refused
     * there. */
    if (!cut_at(&line, ' ', &h->method) || !field_is_token(h->method) || !cut_at(&line, ' ', &h->target) ||
        !is_visible(h->target)) {
        *why = "the request line is not METHOD TARGET VERSION";
        return 400;
    }
    e = parse_version(h, line, why);
    if (e == 0)
        parse_fields(h, rest);
    return e;
}

int http1_parse_response(struct http1_head *h, const uint8_t *p, size_t n, const char **why)
{
    thrum_slice line, rest, version;
    int e = begin(h, p, n, &line, &rest, why);
    if (e)
        return e;
    if (!cut_at(&line, ' ', &version)) {
        *why = "the status line is not VERSION STATUS REASON";
        return 400;
    }
    e = parse_version(h, version, why);
    if (e)
        return e;
    /* The space behind the status is a must in the grammar, but servers that have no reason often leave it
     * out. */
    if (line.n < 3 || !char_is_digit(line.p[0]) || !char_is_digit(line.p[1]) || !char_is_digit(line.p[2]) ||
        (line.n > 3 && line.p[3] != ' ') || line.p[0] < '1' || line.p[0] > '5') {
        *why = "the status line has no status of 100 to 599";
        return 400;
    }
    h->status = (uint16_t)((line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0'));
    h->reason = line.n > 4 ? (thrum_slice){line.p + 4, line.n - 4} : (thrum_slice){line.p + line.n, 0};
    parse_fields(h, rest);
    return 0;
}

thrum_slice http1_get(const struct http1_head *h, const char *name, size_t n)
{
    for (size_t i = 0; i < h->n; i++)
        if (field_equal_case(h->fields[i].name, name) && n-- == 0)
            return h->fields[i].value;
    return (thrum_slice){0};
}

size_t http1_count(const struct http1_head *h, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++)
        n += field_equal_case(h->fields[i].name, name);
    return n;
}

const char *http1_reason(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "";
    }
}
