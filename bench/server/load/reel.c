/* bench/server/load/reel.c: the messages, made, masked and compressed before the clock starts, so that
 * sending one costs the generator a write. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 20, MOST = 16, JSON_MESSAGES = 32, HEADER = 14, JSON_OBJECT = 512 };
struct reel reel;
static uint64_t state = 0x9e3779b97f4a7c15; /* the same messages in every run */

static uint32_t random_word(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static unsigned below(unsigned n)
{
    return random_word() % n;
}

/* Eight bytes at a time, the even and the odd ones in lanes of 16 bits: the compiler makes vectors of it. */
uint64_t sum_bytes(const uint8_t *p, size_t n)
{
    enum { LANES = 0x00ff, WORDS = 128 };
    const uint64_t even = LANES * 0x0001000100010001ull;
    uint64_t sum = 0;
    while (n >= 8) {
        const size_t words = n / 8 < WORDS ? n / 8 : WORDS; /* a lane must not overflow */
        uint64_t lanes = 0, word;
        for (size_t i = 0; i < words; i++) {
            memcpy(&word, p + 8 * i, 8);
            lanes += (word & even) + (word >> 8 & even);
        }
        sum += (lanes & 0xffff) + (lanes >> 16 & 0xffff) + (lanes >> 32 & 0xffff) + (lanes >> 48);
        p += 8 * words;
        n -= 8 * words;
    }
    for (; n > 0; n--)
        sum += *p++;
    return sum;
}

/* ---- texts ----------------------------------------------------------------------------------------------
 */

/* One order of a shop, as an interface of the web would give it. */
static size_t json_object(char *to)
{
    static const char *const names[] = {"Anna",  "Bruno", "Chiara", "David",   "Elena", "Farid",
                                        "Grete", "Hiro",  "Ines",   "Johanna", "Kofi",  "Lena"};
    static const char *const words[] = {"lamp",   "table",  "chair", "shelf",
                                        "mirror", "carpet", "clock", "vase"};
    static const char *const states[] = {"open", "paid", "shipped", "returned"};
    const unsigned name = below(12), items = 1 + below(2);
    size_t n = (size_t)snprintf(to, JSON_OBJECT,
                                "{\"id\":%u,\"created\":\"2025-%02u-%02uT%02u:%02u:%02uZ\",\"customer\":{"
                                "\"name\":\"%s\",\"email\":\"%s.%u"
                                "@example.org\",\"newsletter\":%s},\"status\":\"%s\",\"items\":[",
                                100000 + below(900000), 1 + below(12), 1 + below(28), below(24), below(60),
                                below(60), names[name], names[name], below(1000), below(2) ? "true" : "false",
                                states[below(4)]);
    for (unsigned i = 0; i < items; i++)
        n += (size_t)snprintf(to + n, JSON_OBJECT - n,
                              "%s{\"article\":\"%s\",\"quantity\":%u,\"price\":%u.%02u,\"currency\":\"EUR\"}",
                              i ? "," : "", words[below(8)], 1 + below(5), 5 + below(300), below(100));
    return n + (size_t)snprintf(to + n, JSON_OBJECT - n, "]}");
}

static size_t json_text(char *to, size_t size)
{
    size_t n = 0;
    to[n++] = '[';
    while (n < size) {
        n += json_object(to + n);
        to[n++] = ',';
    }
    to[n - 1] = ']';
    return n;
}

static void make_texts(void)
{
    size_t at = 0;
    reel.plain = must(calloc(reel.count, opt.size + JSON_OBJECT + 2));
    for (size_t i = 0; i < reel.count; i++) {
        struct message *m = &reel.messages[i];
        m->plain = reel.plain + at;
        m->size = opt.size;
        if (opt.deflate)
            m->size = json_text((char *)reel.plain + at, opt.size);
        else
            for (size_t b = 0; b < opt.size; b++)
                reel.plain[at + b] = (uint8_t)random_word();
        m->sum = sum_bytes(m->plain, m->size);
        at += m->size;
    }
}

/* ---- frames ---------------------------------------------------------------------------------------------
 */

static size_t write_frame(uint8_t *to, const uint8_t *payload, size_t size, bool small)
{
    const size_t length_bytes = size > 65535 ? 8 : size > 125 ? 2 : 0;
    const uint32_t key = random_word();
    uint8_t mask[4];
    memcpy(mask, &key, 4);
    to[0] = (uint8_t)(0x80 | (small ? 0x40 : 0) | (opt.deflate ? 1 : 2)); /* FIN, RSV1, text or binary */
    to[1] = (uint8_t)(0x80 | (length_bytes == 8 ? 127 : length_bytes == 2 ? 126 : size));
    for (size_t i = 0; i < length_bytes; i++)
        to[2 + i] = (uint8_t)(size >> (8 * (length_bytes - 1 - i)));
    to += 2 + length_bytes;
    memcpy(to, mask, 4);
    for (size_t i = 0; i < size; i++)
        to[4 + i] = payload[i] ^ mask[i & 3];
    return 2 + length_bytes + 4 + size;
}

static size_t deflate_message(z_stream *z, const struct message *m, uint8_t *to, size_t room)
{
    z->next_in = (uint8_t *)(uintptr_t)m->plain; /* zlib does not write there */
    z->avail_in = (uInt)m->size;
    z->next_out = to;
    z->avail_out = (uInt)room;
    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_out == 0)
        die("zlib could not compress a message");
    return room - z->avail_out - 4; /* less 00 00 ff ff (RFC 7692 section 7.2.1) */
}

static void make_frames(unsigned turn, z_stream *z, const struct agreement *a, uint8_t *small, size_t room)
{
    size_t at = 0;
    for (size_t i = 0; i < reel.count; i++) {
        struct message *m = &reel.messages[i];
        const uint8_t *payload = m->plain;
        size_t size = m->size;
        if (z != NULL) {
            size = deflate_message(z, m, small, room);
            payload = small;
            if (!a->client_takeover)
                deflateReset(z);
        }
        m->begin[turn] = at;
        at += write_frame(reel.frames[turn] + at, payload, size, z != NULL);
    }
    reel.end[turn] = at;
}

/* A raw server sends the masked bytes back. */
static void expect_masked(void)
{
    for (size_t i = 0; i < reel.count; i++) {
        struct message *m = &reel.messages[i];
        const size_t end = i + 1 < reel.count ? m[1].begin[0] : reel.end[0];
        m->plain = reel.frames[0] + end - m->size;
        m->sum = sum_bytes(m->plain, m->size);
    }
}

void reel_make(const struct agreement *a)
{
    size_t count = opt.deflate ? JSON_MESSAGES : ROOM / opt.size;
    count = opt.deflate ? count : count > MOST ? MOST : count < 2 ? 2 : count;
    reel.count = (count + opt.depth - 1) / opt.depth * opt.depth;
    reel.messages = must(calloc(reel.count, sizeof *reel.messages));
    make_texts();
    const size_t room = opt.size + JSON_OBJECT + 64;
    uint8_t *small = must(malloc(room));
    z_stream z = {0};
    if (a->compressed && deflateInit2(&z, 6, Z_DEFLATED, -a->client_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        die("zlib has no window of %d bits", a->client_bits);
    reel.turns = a->compressed && a->client_takeover ? 2 : 1;
    for (unsigned turn = 0; turn < reel.turns; turn++) {
        reel.frames[turn] = must(malloc(reel.count * (room + HEADER)));
        make_frames(turn, a->compressed ? &z : NULL, a, small, room);
    }
    if (a->compressed)
        deflateEnd(&z);
    free(small);
    if (opt.raw)
        expect_masked();
}

void reel_free(void)
{
    free(reel.frames[0]);
    free(reel.frames[1]);
    free(reel.plain);
    free(reel.messages);
}
