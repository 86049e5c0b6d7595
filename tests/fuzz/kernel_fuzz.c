/* kernel_fuzz.c: mask_apply and utf8_feed at every level that this machine has, against a few plain lines, at
 * any alignment, length and cut. The first bytes choose those; the rest stands in the midst of a filling. */
#include "base/cpu.h"
#include "fuzz/fuzz_bytes.h"
#include "wire/mask.h"
#include "wire/utf8.h"

enum { MOST = 1 << 14, ALIGN = 64 };

static uint8_t bytes[MOST], want[MOST];

/* RFC 3629 section 4, by its table: the length of the character at p, 0 where there is none, -1 where it may
 * still become one. */
static int character(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t from, to, lo, hi;
        int more;
    } table[] = {{0x00, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
                 {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
                 {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (p[0] < table[i].from || p[0] > table[i].to)
            continue;
        for (int k = 1; k <= table[i].more; k++) {
            if ((size_t)k == n)
                return -1;
            if (p[k] < (k == 1 ? table[i].lo : 0x80) || p[k] > (k == 1 ? table[i].hi : 0xbf))
                return 0;
        }
        return 1 + table[i].more;
    }
    return 0;
}

/* How far is it UTF-8? *done: may the first `to` bytes end there? */
static bool plain_utf8(size_t to, bool *done)
{
    *done = true;
    for (size_t at = 0; at < to;) {
        int c = character(bytes + at, to - at);
        if (c <= 0) {
            *done = false;
            return c < 0;
        }
        at += (size_t)c;
    }
    return true;
}

/* Pieces of at least some bytes: short ones alone never get to a kernel. */
static size_t cut(uint32_t *seed, size_t left)
{
    size_t n = number(seed, 0, 2) == 0 ? number(seed, 0, 20) : number(seed, 0, 700);
    return n < left ? n : left;
}

static void utf8_in_pieces(size_t n, uint32_t seed)
{
    struct utf8 u = {0};
    for (size_t at = 0, k = 0; at < n && k < 100; k++) {
        size_t take = k == 99 ? n - at : cut(&seed, n - at), off = number(&seed, 0, ALIGN - 1);
        uint8_t *block = malloc(off + take + 1);
        MUST(block);
        uint8_t *p = block + off + 1;
        if (take > 0)
            memcpy(p, bytes + at, take);
        bool done, good = plain_utf8(at + take, &done);
        MUST(utf8_feed(&u, p, take) == good && utf8_done(&u) == done);
        at += take;
        free(block);
        if (!good)
            return;
    }
}

static void mask_in_pieces(size_t n, uint32_t seed)
{
    uint8_t key[4];
    uint64_t from = number(&seed, 0, 9);
    for (size_t i = 0; i < 4; i++)
        key[i] = (uint8_t)number(&seed, 0, 255);
    for (size_t i = 0; i < n; i++)
        want[i] = bytes[i] ^ key[(from + i) % 4];
    for (size_t at = 0, k = 0; at < n && k < 100; k++) {
        size_t take = k == 99 ? n - at : cut(&seed, n - at);
        size_t a = number(&seed, 0, ALIGN - 1), b = number(&seed, 0, ALIGN - 1);
        uint8_t *src = malloc(a + take + 1), *dst = malloc(b + take + 1);
        MUST(src && dst);
        uint8_t *s = src + a + 1, *d = number(&seed, 0, 1) ? s : dst + b + 1;
        memcpy(s, bytes + at, take);
        mask_apply(d, s, take, key, from + at);
        MUST(memcmp(d, want + at, take) == 0);
        MUST(d == s || memcmp(s, bytes + at, take) == 0);
        at += take;
        free(src);
        free(dst);
    }
}

static size_t fill(size_t at, size_t n, uint8_t how)
{
    static const char *const with[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    const char *c = with[how & 3];
    for (size_t k = strlen(c); n > 0 && at + k <= MOST; n--, at += k)
        memcpy(bytes + at, c, k);
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    thrum_slice in = {data, size};
    uint32_t seed = word_of(&in);
    uint8_t how = byte_of(&in);
    size_t n = fill(0, byte_of(&in), how), after = byte_of(&in);
    thrum_slice middle = bytes_of(&in, MOST - n);
    if (middle.n > 0)
        memcpy(bytes + n, middle.p, middle.n);
    n = fill(n + middle.n, after, how >> 2);
    enum cpu_level best = cpu_level();
    for (int level = 0; level < CPU_LEVELS; level++) {
        if (!cpu_has((enum cpu_level)level))
            continue;
        MUST(cpu_use((enum cpu_level)level));
        utf8_in_pieces(n, seed);
        mask_in_pieces(n, seed);
    }
    MUST(cpu_use(best));
    return 0;
}
