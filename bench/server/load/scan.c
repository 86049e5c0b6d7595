/* bench/server/load/scan.c: the frames that come in. While `checking` each message is compared byte for byte
 * with what was sent; afterwards by its length and the sum of its bytes, or, compressed, by being there. */
#include "load.h"

#include <stdlib.h>
#include <string.h>

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8 };
struct counts seen;
bool checking;
static bool server_takeover;

void scan_begin(struct conn *c, const struct agreement *a)
{
    if (!a->compressed)
        return;
    server_takeover = a->server_takeover;
    c->inflate = must(calloc(1, sizeof *c->inflate));
    if (inflateInit2(c->inflate, -15) != Z_OK)
        die("zlib has no memory");
}

void scan_end(struct conn *c)
{
    if (c->inflate != NULL)
        inflateEnd(c->inflate);
    free(c->inflate);
    c->inflate = NULL;
}

/* ---- payloads -------------------------------------------------------------------------------------------
 */

static void inflate_and_compare(struct conn *c, const uint8_t *p, size_t n)
{
    static uint8_t text[16384];
    const struct message *m = &reel.messages[c->awaited];
    z_stream *z = c->inflate;
    z->next_in = (uint8_t *)(uintptr_t)p; /* zlib does not write there */
    z->avail_in = (uInt)n;
    do {
        z->next_out = text;
        z->avail_out = sizeof text;
        const int result = inflate(z, Z_SYNC_FLUSH);
        if (result != Z_OK && result != Z_BUF_ERROR)
            die("the server's compressed message cannot be inflated: %s", z->msg != NULL ? z->msg : "?");
        const size_t made = sizeof text - z->avail_out;
        if (made > m->size - c->inflated || memcmp(text, m->plain + c->inflated, made) != 0)
            die("another message came back than was sent (compressed)");
        c->inflated += made;
    } while (z->avail_out == 0);
}

static void payload(struct conn *c, const uint8_t *p, size_t n)
{
    const struct message *m = &reel.messages[c->awaited];
    if (c->opcode >= CLOSE) {
        if (c->opcode == CLOSE)
            die("the server closes");
        return;
    }
    seen.wire += n;
    if (c->small) {
        if (checking)
            inflate_and_compare(c, p, n);
    } else {
        if (c->offset + n > m->size)
            die("a message came back longer than it was sent");
        if (checking && memcmp(p, m->plain + c->offset, n) != 0)
            die("another message came back than was sent");
        c->sum += sum_bytes(p, n);
    }
    c->offset += n;
}

static void message_ends(struct conn *c)
{
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    const struct message *m = &reel.messages[c->awaited];
    if (c->small && checking) {
        inflate_and_compare(c, tail, sizeof tail);
        if (c->inflated != m->size)
            die("a message came back shorter than it was sent (compressed)");
        if (!server_takeover)
            inflateReset(c->inflate);
    }
    if (!c->small && (c->offset != m->size || c->sum != m->sum))
        die("the sum of a message is not that of the one that was sent");
    c->checked += checking;
    c->awaited = c->awaited + 1 < reel.count ? c->awaited + 1 : 0;
    c->offset = c->sum = c->inflated = 0;
    seen.messages++;
    seen.bytes += m->size;
}

/* ---- headers --------------------------------------------------------------------------------------------
 */

static size_t header_size(const uint8_t *p)
{
    const size_t low = p[1] & 0x7f;
    return 2u + (low == 127 ? 8u : low == 126 ? 2u : 0u) + (opt.raw ? 4u : 0u);
}

static void take_header(struct conn *c, const uint8_t *p)
{
    const size_t low = p[1] & 0x7f, length_bytes = low == 127 ? 8 : low == 126 ? 2 : 0;
    const unsigned opcode = p[0] & 15;
    if (((p[1] & 0x80) != 0) != opt.raw)
        die("the server masks");
    c->opcode = (uint8_t)opcode;
    c->fin = (p[0] & 0x80) != 0;
    if (opcode == TEXT || opcode == BINARY) {
        c->small = (p[0] & 0x40) != 0;
        if (c->small && !opt.deflate)
            die("the server compresses without having been asked");
        if ((opcode == TEXT) != opt.deflate)
            die("another kind of message came back than was sent");
    }
    c->left = length_bytes == 0 ? low : 0;
    for (size_t i = 0; i < length_bytes; i++)
        c->left = c->left << 8 | p[2 + i];
    seen.frames++;
}

/* The header, which may come in pieces: gives how many bytes of p are its. */
static size_t header(struct conn *c, const uint8_t *p, size_t n, bool *whole)
{
    if (c->head_n == 0 && n >= 2 && n >= header_size(p)) {
        take_header(c, p);
        *whole = true;
        return header_size(p);
    }
    size_t used = 0;
    *whole = false;
    while (used < n && !*whole) {
        c->head[c->head_n++] = p[used++];
        *whole = c->head_n >= 2 && c->head_n == header_size(c->head);
    }
    if (*whole) {
        take_header(c, c->head);
        c->head_n = 0;
    }
    return used;
}

unsigned scan(struct conn *c, const uint8_t *p, size_t n)
{
    unsigned ended = 0;
    while (n > 0) {
        bool whole = true;
        if (c->left == 0) {
            const size_t used = header(c, p, n, &whole);
            p += used;
            n -= used;
            if (!whole)
                break;
        }
        const size_t part = c->left < n ? (size_t)c->left : n;
        payload(c, p, part);
        p += part;
        n -= part;
        c->left -= part;
        if (c->left == 0 && c->fin && c->opcode < CLOSE) {
            message_ends(c);
            ended++;
        }
    }
    return ended;
}
