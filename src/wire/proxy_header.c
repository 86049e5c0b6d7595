/* proxy_header.c: see proxy_header.h; the protocol is the one of haproxy's doc/proxy-protocol.txt. */
#include "wire/proxy_header.h"
#include <limits.h>
#include <stdbool.h>
#include <string.h>

enum { LINE_MAX_1 = 107, FIXED = 16, FAMILY_INET = 1, FAMILY_INET6 = 2, FAMILY_UNIX = 3 };

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* The bytes so far are as a text begins. */
static bool begins(const uint8_t *p, size_t n, const void *text, size_t len)
{
    return memcmp(p, text, n < len ? n : len) == 0;
}

/* ---- version 1 ------------------------------------------------------------------------------------------
 */

static bool next_word(thrum_slice *rest, thrum_slice *word)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ')
        n++;
    *word = (thrum_slice){rest->p, n};
    if (n == rest->n)
        rest->n = 0;
    else
        *rest = (thrum_slice){rest->p + n + 1, rest->n - n - 1};
    return word->n > 0;
}

static bool is_word(thrum_slice s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.p, word, s.n) == 0;
}

static bool parse_port(thrum_slice s, uint16_t *port)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s.n && i < 6; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(s.p[i] - '0');
    }
    *port = (uint16_t)n;
    return s.n > 0 && s.n < 6 && n <= UINT16_MAX && (s.p[0] != '0' || s.n == 1);
}

/* "TCP4 192.0.2.1 192.0.2.2 56324 443", or "UNKNOWN" and anything. */
static bool parse_line(struct proxy_header *h, thrum_slice line)
{
    thrum_slice family, to, from_port, to_port;
    uint16_t ignored;
    if (!next_word(&line, &family))
        return false;
    if (is_word(family, "UNKNOWN"))
        return true;
    h->kind = PROXY_HEADER_TEXT;
    return (is_word(family, "TCP4") || is_word(family, "TCP6")) && next_word(&line, &h->address) &&
           next_word(&line, &to) && next_word(&line, &from_port) && parse_port(from_port, &h->port) &&
           next_word(&line, &to_port) && parse_port(to_port, &ignored) && line.n == 0;
}

static enum proxy_header_result parse_1(struct proxy_header *h, const uint8_t *p, size_t n, size_t *used,
                                        const char **why)
{
    const size_t most = n < LINE_MAX_1 ? n : LINE_MAX_1;
    const uint8_t *end = memchr(p, '\n', most);
    *why = "the PROXY header is malformed";
    if (!end)
        return most < LINE_MAX_1 ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
    const size_t len = (size_t)(end - p);
    if (len < 7 || p[len - 1] != '\r' || !parse_line(h, (thrum_slice){p + 6, len - 7}))
        return PROXY_HEADER_BAD;
    *used = len + 1;
    return PROXY_HEADER_DONE;
}

/* ---- version 2 ------------------------------------------------------------------------------------------
 */

/* The address block of the family is there whole. */
static bool take_address(struct proxy_header *h, unsigned family, const uint8_t *p, size_t n)
{
    const size_t ip = family == FAMILY_INET ? 4 : 16;
    if (family == FAMILY_UNIX) {
        h->kind = PROXY_HEADER_UNIX;
        return n >= 216;
    }
    if (family != FAMILY_INET && family != FAMILY_INET6)
        return true; /* unspecified: as if it were local */
    h->kind = PROXY_HEADER_INET;
    h->address = (thrum_slice){p, ip};
    if (n < 2 * ip + 4)
        return false;
    h->port = (uint16_t)(p[2 * ip] << 8 | p[2 * ip + 1]);
    return true;
}

static enum proxy_header_result parse_2(struct proxy_header *h, const uint8_t *p, size_t n, size_t *used,
                                        const char **why)
{
    if (n < FIXED)
        return PROXY_HEADER_MORE;
    const unsigned command = p[12] & 15, family = p[13] >> 4;
    const size_t len = (size_t)(p[14] << 8 | p[15]);
    *why = "the PROXY header is malformed";
    if (p[12] >> 4 != 2 || command > 1)
        return PROXY_HEADER_BAD;
    if (FIXED + len > PROXY_HEADER_MAX) {
        *why = "the PROXY header is over 4096 bytes";
        return PROXY_HEADER_BAD;
    }
    if (n < FIXED + len)
        return PROXY_HEADER_MORE;
    if (command == 1 && !take_address(h, family, p + FIXED, len))
        return PROXY_HEADER_BAD;
    *used = FIXED + len;
    return PROXY_HEADER_DONE;
}

enum proxy_header_result proxy_header_parse(struct proxy_header *h, const uint8_t *p, size_t n, size_t *used,
                                            const char **why)
{
    *h = (struct proxy_header){.kind = PROXY_HEADER_LOCAL};
    if (n == 0)
        return PROXY_HEADER_MORE;
    if (begins(p, n, signature, sizeof signature))
        return n < sizeof signature ? PROXY_HEADER_MORE : parse_2(h, p, n, used, why);
    if (begins(p, n, "PROXY ", 6))
        return n < 6 ? PROXY_HEADER_MORE : parse_1(h, p, n, used, why);
    *why = "there is no PROXY header";
    return PROXY_HEADER_BAD;
}
