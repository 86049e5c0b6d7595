/* twin_test.c: each kernel that this machine can run against the definition and the portable twin. A plain
 * program without cmocka, so that tools/check-neon can build it for another processor: it ends with 1 at the
 * first difference.
 */
#include "base/cpu.h"
#include "lib/guard.h"
#include "wire/mask.h"
#include "wire/utf8.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cpu_level level;
static const char *level_name;

#define CHECK(ok, ...)                                                                                       \
    do {                                                                                                     \
        if (!(ok)) {                                                                                         \
            fprintf(stderr, "twin_test: %s: ", level_name);                                                  \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* The same numbers in every run. */
static uint32_t random32(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 32);
}

enum { EDGE = 64, MOST = 300, BIG = 70000, GUARD = 0xee };
static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
static _Alignas(64) uint8_t text[EDGE + BIG + EDGE], got[EDGE + BIG + EDGE], want[EDGE + BIG + EDGE];

static void mask_one(size_t n, size_t src_at, size_t dst_at, uint64_t at)
{
    size_t all = EDGE + n + EDGE;
    memset(want, GUARD, all);
    memset(got, GUARD, all);
    for (size_t i = 0; i < n; i++)
        want[dst_at + i] = text[src_at + i] ^ key[(at + i) & 3];
    mask_apply(got + dst_at, text + src_at, n, key, at);
    CHECK(memcmp(got, want, all) == 0, "mask: n %zu, src %zu, dst %zu, at %llu", n, src_at, dst_at,
          (unsigned long long)at);
    memset(got, GUARD, all);
    memcpy(got + dst_at, text + src_at, n);
    mask_apply(got + dst_at, got + dst_at, n, key, at);
    CHECK(memcmp(got, want, all) == 0, "mask in place: n %zu at %zu, at %llu", n, dst_at,
          (unsigned long long)at);
}

static void check_mask(void)
{
    for (size_t n = 0; n <= MOST; n++)
        for (size_t a = 0; a < EDGE; a++) /* every alignment of either side, against several of the other */
            for (size_t at = a % 2; at < 8; at += 2) {
                mask_one(n, a, (a * 5 + at + n) % EDGE, at);
                mask_one(n, (a * 3 + at * 7 + n) % EDGE, a, at);
            }
    for (size_t n = 0; n <= MOST; n += 1 + n / 20) /* and each pair of the smaller alignments */
        for (size_t pair = 0; pair < 64; pair++)
            for (size_t at = 0; at < 8; at++)
                mask_one(n, pair / 8, pair % 8, at);
    for (int i = 0; i < 100; i++)
        mask_one(MOST + random32() % (BIG - MOST), random32() % EDGE, random32() % EDGE, random32());
    mask_one(4096, 0, 0, 0);
    mask_one(65536, 1, 0, UINT64_MAX - 5);
    for (size_t n = 1; n <= MOST; n++) { /* nothing is read before or behind */
        uint8_t *p = guard_copy(text, n), *q = guard_copy(NULL, n);
        mask_apply(q, p, n, key, n);
        mask_apply(q, q, n, key, n);
        CHECK(memcmp(q, text, n) == 0, "mask: at the end of a page, n %zu", n);
        guard_free(p, n);
        guard_free(q, n);
    }
}

/* The answer of the twin, which tests/wire/utf8_test.c holds to the definition. */
static bool twin_feed(struct utf8 *u, const uint8_t *p, size_t n)
{
    cpu_use(CPU_PORTABLE);
    bool ok = utf8_feed(u, p, n);
    cpu_use(level);
    return ok;
}

static size_t encode(uint8_t out[4], uint32_t c)
{
    if (c < 0x80)
        return out[0] = (uint8_t)c, 1;
    if (c < 0x800)
        return out[0] = (uint8_t)(192 + c / 64), out[1] = (uint8_t)(128 + c % 64), 2;
    if (c < 0x10000)
        return out[0] = (uint8_t)(224 + c / 4096), out[1] = (uint8_t)(128 + c / 64 % 64),
               out[2] = (uint8_t)(128 + c % 64), 3;
    return out[0] = (uint8_t)(240 + c / 262144), out[1] = (uint8_t)(128 + c / 4096 % 64),
           out[2] = (uint8_t)(128 + c / 64 % 64), out[3] = (uint8_t)(128 + c % 64), 4;
}

/* n bytes of valid text; kind 0 to 3: mostly characters of one to four bytes, 4: of any. */
static void make_text(uint8_t *p, size_t n, uint32_t kind)
{
    static const uint32_t from[] = {1, 0x80, 0x800, 0x10000}, to[] = {0x80, 0x800, 0x10000, 0x110000};
    for (size_t i = 0; i < n;) {
        uint8_t b[4];
        uint32_t k = kind == 4 || random32() % 8 == 0 ? random32() % 4 : kind;
        uint32_t c = from[k] + random32() % (to[k] - from[k]);
        size_t bytes = encode(b, c >= 0xd800 && c < 0xe000 ? 0xffff : c);
        if (i + bytes > n)
            bytes = encode(b, 'a');
        memcpy(p + i, b, bytes);
        i += bytes;
    }
}

/* The bytes at which some rule has its bounds, and one between. */
static const uint8_t bounds[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
                                 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
enum { BOUNDS = sizeof bounds, ROOM = 200 };

/* p[at..at + n) stands in valid text of `all` bytes: is the answer that of the bytes alone? */
static void utf8_one(const uint8_t *p, size_t all, size_t at, size_t n)
{
    struct utf8 got_state = {0}, want_state = {0};
    size_t to = all < at + n + 4 ? all : at + n + 4;
    bool want_ok = twin_feed(&want_state, p + at, to - at);
    bool ok = utf8_feed(&got_state, p, all);
    CHECK(ok == want_ok && got_state.state == want_state.state,
          "utf8: %02x %02x %02x %02x (%zu of them) at %zu of %zu", p[at], n > 1 ? p[at + 1] : 0u,
          n > 2 ? p[at + 2] : 0u, n > 3 ? p[at + 3] : 0u, n, at, all);
}

/* Text of 'a' or of two-byte characters up to `at`, and of 'a' behind. */
static void fill(uint8_t *p, size_t all, size_t at, bool wide)
{
    memset(p, 'a', all);
    for (size_t i = at % 2; wide && i < at; i += 2)
        memcpy(p + i, "\xd0\xb6", 2);
}

/* All pairs of bytes, and all sequences of up to four of the bounds, over the edges of vectors, of blocks,
 * and at the end. */
static void check_edges(void)
{
    static const size_t places[][2] = {{61, 128},  {63, 128}, {0, 64},  {61, 65}, {60, 64},
                                       {126, 130}, {15, 70},  {30, 70}, {47, 70}, {95, 99}};
    for (size_t k = 0; k < 2 * sizeof places / sizeof *places; k++) {
        const size_t at = places[k / 2][0], all = places[k / 2][1];
        fill(got, all, at, k % 2);
        for (size_t n = 1; n <= 4; n++) {
            size_t count = 1;
            for (size_t i = 0; i < n; i++)
                count *= BOUNDS;
            fill(got, all, at, k % 2);
            for (size_t v = 0; v < count; v += n == 4 && k > 1 ? 7 : 1) {
                for (size_t i = 0, rest = v; i < n; i++, rest /= BOUNDS)
                    got[at + i] = bounds[rest % BOUNDS];
                utf8_one(got, all, at, n);
                if (k < 2) /* and where nothing follows */
                    utf8_one(got, at + n < 64 ? all : at + n, at, n);
            }
        }
        fill(got, all, at, k % 2);
        for (size_t v = 0; v < 65536; v++) {
            got[at] = (uint8_t)(v >> 8);
            got[at + 1] = (uint8_t)v;
            utf8_one(got, all, at, 2);
        }
    }
}

/* The same pieces to both: each call must answer alike, and leave the same state. */
static void feed_both(const uint8_t *p, size_t n, const size_t *cuts, size_t cut_count)
{
    struct utf8 a = {0}, b = {0};
    for (size_t i = 0, from = 0; i <= cut_count; i++) {
        size_t to = i < cut_count ? cuts[i] : n;
        bool want_ok = twin_feed(&b, p + from, to - from), ok = utf8_feed(&a, p + from, to - from);
        CHECK(ok == want_ok && a.state == b.state && utf8_done(&a) == utf8_done(&b),
              "utf8: %zu bytes, piece from %zu to %zu", n, from, to);
        from = to;
    }
}

/* Each way in which a piece can end within a character, and each next one that goes on, or not, at the
 * bounds. */
static void check_opened(void)
{
    enum { MORE = 131 };
    uint8_t p[3 + MORE];
    memset(p, 'a', sizeof p);
    for (size_t v = 0; v < (size_t)BOUNDS * BOUNDS * BOUNDS; v++) {
        size_t n = v < BOUNDS ? 1 : v < (size_t)BOUNDS * BOUNDS ? 2 : 3;
        struct utf8 u = {0};
        for (size_t i = 0, rest = v; i < n; i++, rest /= BOUNDS)
            p[i] = bounds[rest % BOUNDS];
        if (!twin_feed(&u, p, n) || utf8_done(&u))
            continue;
        for (size_t next = 0; next < (size_t)BOUNDS * BOUNDS; next++) {
            p[n] = bounds[next % BOUNDS];
            p[n + 1] = bounds[next / BOUNDS];
            feed_both(p, n + 64, &n, 1);
            feed_both(p, n + MORE, &n, 1);
        }
        memset(p + n, 'a', 3);
    }
}

static void check_all_splits(void)
{
    for (uint32_t kind = 0; kind < 10; kind++) {
        make_text(got, ROOM, kind / 2);
        if (kind % 2) /* and with a fault near the end */
            got[ROOM - 1 - random32() % 20] ^= 0x80;
        for (size_t a = 0; a <= ROOM; a++)
            for (size_t b = a; b <= ROOM; b++)
                feed_both(got, ROOM, (size_t[]){a, b}, 2);
    }
}

static void check_random(void)
{
    for (uint32_t round = 0; round < 20000; round++) {
        size_t n = random32() % (round % 100 == 0 ? 5000 : 600), cuts[3];
        make_text(got, n, round % 5);
        for (uint32_t faults = random32() % 3; faults > 0 && n > 0; faults--)
            got[random32() % n] = random32() % 2 ? (uint8_t)random32() : bounds[random32() % BOUNDS];
        for (size_t i = 0, from = 0; i < 3; i++)
            from = cuts[i] = from + random32() % (n - from + 1);
        feed_both(got, n, cuts, round % 4);
        if (round % 8 == 0) {
            uint8_t *p = guard_copy(got, n); /* nothing is read before or behind */
            feed_both(p, n, cuts, 0);
            guard_free(p, n);
        }
    }
}

int main(void)
{
    int levels = 0;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)random32();
    for (level = CPU_PORTABLE; level < CPU_LEVELS; level++) {
        level_name = cpu_name(level);
        if (!cpu_use(level))
            continue;
        levels++;
        check_mask();
        check_edges();
        check_opened();
        check_all_splits();
        check_random();
        printf("%s: as the definition and the twin\n", level_name);
    }
    return levels > 0 ? 0 : 1;
}
