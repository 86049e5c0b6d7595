/* http1.h: RFC 9112 request and response heads, strictly: CRLF only, no bare CR or LF, no NUL, no obs-fold,
 * no space before a colon. Two steps: scan as bytes come (each byte is looked at once), parse once the head
 * is whole. */
#ifndef WIRE_HTTP1_H
#define WIRE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/slice.h>

enum { HTTP1_LINE_MAX = 8192, HTTP1_HEAD_MAX = 65536, HTTP1_FIELDS_MAX = 128 };

struct http1_scan { /* all zero to begin */
    uint32_t line;  /* bytes in the line so far */
    uint32_t total, lines;
    uint8_t state;
};
enum http1_result {
    HTTP1_MORE,
    HTTP1_DONE,
    HTTP1_BAD,         /* 400 */
    HTTP1_LONG_TARGET, /* 414: the request line is over HTTP1_LINE_MAX */
    HTTP1_LONG_HEAD    /* 431: a line, the count or the total is over its limit */
};
/* Looks at the next n bytes; *used says how many belong to the head (all of them, unless DONE). *why is a
 * sentence where the result is an error. Fails at the first byte that cannot be right, also the first bytes
 * of a request that is plainly not HTTP (a TLS hello, say). */
enum http1_result http1_scan(struct http1_scan *s, const uint8_t *p, size_t n, size_t *used,
                             const char **why);

struct http1_field {
    thrum_slice name, value; /* value: OWS trimmed */
};
struct http1_head {
    thrum_slice method, target; /* request */
    uint16_t status;            /* response */
    thrum_slice reason;
    uint8_t major, minor;
    size_t n;
    struct http1_field fields[HTTP1_FIELDS_MAX]; /* slices into the head that was parsed */
};
/* p, n: the whole head, its empty line included. 0, or the HTTP status to answer with (400, 414, 431, 505;
 * for a response any of these just means "bad") and *why. */
int http1_parse_request(struct http1_head *h, const uint8_t *p, size_t n, const char **why);
int http1_parse_response(struct http1_head *h, const uint8_t *p, size_t n, const char **why);
/* The n-th value of a field; p NULL where there is none. */
thrum_slice http1_get(const struct http1_head *h, const char *name, size_t n);
size_t http1_count(const struct http1_head *h, const char *name);
/* "Not Found" for 404 ...; "" for a number without a phrase here. */
const char *http1_reason(int status);

#endif
