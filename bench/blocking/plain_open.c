/* bench/blocking/plain_open.c: both sides of the opening handshake (RFC 6455 section 4), as little of it as
 * works. */
#include "plain.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Reads a head, byte by byte so that nothing behind it is swallowed; it happens once a connection. */
static bool read_head(int fd, char *head, size_t size)
{
    size_t n = 0;
    while (n + 1 < size) {
        const ssize_t r = read(fd, head + n, 1);
        if (r < 0 && errno == EAGAIN) {
            plain_wait(fd, POLLIN);
            continue;
        }
        if (r <= 0)
            return false;
        head[++n] = '\0';
        if (n >= 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

void plain_open_client(int fd, unsigned port)
{
    char text[512];
    const int n =
        snprintf(text, sizeof text,
                 "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                 port);
    plain_write(fd, (const uint8_t *)text, (size_t)n);
    errno = EPROTO;
    if (!read_head(fd, text, sizeof text) || strncmp(text, "HTTP/1.1 101 ", 13) != 0)
        plain_die("handshake");
}

/* ---- SHA-1 (RFC 3174) of at most 119 bytes, for Sec-WebSocket-Accept -------------------------------------
 */
static uint32_t rotate(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (size_t t = 0; t < 16; t++)
        w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 | (uint32_t)p[4 * t + 2] << 8 |
               p[4 * t + 3];
    for (size_t t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (size_t t = 0; t < 80; t++) {
        const uint32_t f = t < 20              ? (b & c) | (~b & d)
                           : t >= 40 && t < 60 ? (b & c) | (b & d) | (c & d)
                                               : b ^ c ^ d;
        const uint32_t next = rotate(a, 5) + f + e + w[t] + k[t / 20];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

static void sha1(const char *text, uint8_t out[20])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t padded[128] = {0};
    const size_t n = strlen(text), blocks = (n + 9 + 63) / 64;
    memcpy(padded, text, n);
    padded[n] = 0x80;
    padded[64 * blocks - 2] = (uint8_t)(n * 8 >> 8);
    padded[64 * blocks - 1] = (uint8_t)(n * 8);
    for (size_t i = 0; i < blocks; i++)
        sha1_block(h, padded + 64 * i);
    for (size_t i = 0; i < 20; i++)
        out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void accept_of(const char *key, char out[29])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[64 + 40];
    uint8_t h[21] = {0};
    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, h);
    for (size_t i = 0; i < 7; i++) {
        const uint32_t v = (uint32_t)h[3 * i] << 16 | (uint32_t)h[3 * i + 1] << 8 | h[3 * i + 2];
        for (unsigned d = 0; d < 4; d++)
            out[4 * i + d] = digits[v >> (18 - 6 * d) & 63];
    }
    out[27] = '=';
    out[28] = '\0';
}

size_t plain_answer(const char *head, char *answer, size_t size)
{
    char accept[29];
    const char *key = strcasestr(head, "\r\nSec-WebSocket-Key:");
    if (key == NULL)
        return 0;
    key += strlen("\r\nSec-WebSocket-Key:");
    accept_of(key + strspn(key, " "), accept);
    const int n = snprintf(answer, size,
                           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: %s\r\n\r\n",
                           accept);
    return (size_t)n;
}

bool plain_open_server(int fd)
{
    char head[4096], answer[256];
    if (!read_head(fd, head, sizeof head))
        return false;
    const size_t n = plain_answer(head, answer, sizeof answer);
    if (n == 0)
        return false;
    plain_write(fd, (const uint8_t *)answer, n);
    return true;
}
