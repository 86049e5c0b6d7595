/* cidr.c: see cidr.h. */
#include "base/cidr.h"
#include <arpa/inet.h>
#include <string.h>

enum { ALL = 128, V4 = 96 /* bits before an IPv4 address */ };

static bool parse_ip(struct cidr *c, const char *s, size_t n, bool *four)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[64];
    if (n >= 2 && s[0] == '[' && s[n - 1] == ']') {
        s++;
        n -= 2;
    }
    if (n == 0 || n >= sizeof text)
        return false;
    memcpy(text, s, n);
    text[n] = '\0';
    c->bits = ALL;
    *four = inet_pton(AF_INET, text, c->ip + 12) == 1;
    if (*four)
        memcpy(c->ip, mapped, sizeof mapped);
    return *four || inet_pton(AF_INET6, text, c->ip) == 1;
}

static bool parse_bits(const char *s, size_t n, unsigned most, unsigned *bits)
{
    *bits = 0;
    for (size_t i = 0; i < n && i < 4; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *bits = *bits * 10 + (unsigned)(s[i] - '0');
    }
    return n > 0 && n < 4 && *bits <= most;
}

bool cidr_parse(struct cidr *c, const char *s, size_t n)
{
    const char *slash = memchr(s, '/', n);
    unsigned bits = 0;
    bool four;
    if (!parse_ip(c, s, slash ? (size_t)(slash - s) : n, &four))
        return false;
    if (!slash)
        return true;
    if (!parse_bits(slash + 1, (size_t)(s + n - slash - 1), four ? ALL - V4 : ALL, &bits))
        return false;
    c->bits = (uint8_t)(bits + (four ? V4 : 0));
    return true;
}

bool cidr_parse_peer(struct cidr *c, const char *peer)
{
    size_t n = strcspn(peer, "%");
    const char *colon = strrchr(peer, ':');
    bool four;
    if (*peer == '[')
        return peer[n] == '%' ? parse_ip(c, peer + 1, n - 1, &four)
                              : colon && parse_ip(c, peer, (size_t)(colon - peer), &four);
    return parse_ip(c, peer, colon ? (size_t)(colon - peer) : n, &four);
}

bool cidr_has(const struct cidr *c, const struct cidr *in)
{
    const unsigned whole = c->bits / 8, rest = c->bits % 8;
    const uint8_t mask = (uint8_t)(0xff00u >> rest);
    if (in->bits < c->bits || memcmp(c->ip, in->ip, whole) != 0)
        return false;
    return rest == 0 || ((c->ip[whole] ^ in->ip[whole]) & mask) == 0;
}
