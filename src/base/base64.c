/* base64.c: strict because the keys of the handshake are compared and echoed: what has two spellings invites
 * mistakes. */
#include "base/base64.h"
#include <stdbool.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(char *out, const uint8_t *p, size_t n)
{
    for (; n > 0; p += 3, out += 4) {
        size_t take = n < 3 ? n : 3;
        uint32_t v = (uint32_t)p[0] << 16;
        if (take > 1)
            v |= (uint32_t)p[1] << 8;
        if (take > 2)
            v |= p[2];
        out[0] = alphabet[v >> 18];
        out[1] = alphabet[v >> 12 & 63];
        out[2] = take > 1 ? alphabet[v >> 6 & 63] : '=';
        out[3] = take > 2 ? alphabet[v & 63] : '=';
        n -= take;
    }
    *out = 0;
}

static int value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four; pad: how many of its characters are '='. False: not base64, or bits that nobody would
 * see. */
static bool decode_group(uint8_t *out, const char *s, int pad)
{
    uint32_t v = 0;
    for (int i = 0; i < 4 - pad; i++) {
        int x = value(s[i]);
        if (x < 0)
            return false;
        v |= (uint32_t)x << (18 - 6 * i);
    }
    if (v & ((1u << 8 * pad) - 1))
        return false;
    for (int i = 0; i < 3 - pad; i++)
        out[i] = (uint8_t)(v >> (16 - 8 * i));
    return true;
}

ptrdiff_t base64_decode(uint8_t *out, size_t cap, const char *s, size_t n)
{
    if (n == 0)
        return 0;
    if (n % 4 != 0)
        return -1;
    int pad = s[n - 1] != '=' ? 0 : s[n - 2] != '=' ? 1 : 2;
    size_t size = n / 4 * 3 - (size_t)pad;
    if (size > cap || size > PTRDIFF_MAX)
        return -1;
    for (size_t i = 0; i < n; i += 4, out += 3)
        if (!decode_group(out, s + i, i + 4 == n ? pad : 0))
            return -1;
    return (ptrdiff_t)size;
}
