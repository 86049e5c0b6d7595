/* bytes.c: masking and UTF-8 validation by every kernel of this machine, beside memcpy and a plain loop of 8
 * bytes. Prints lines of: level, what, text, size, best nanoseconds of a call. bench/run-bytes makes a table
 * of them.
 *
 * All cells are measured in turn, for as many rounds as the first argument says, and the best of each is
 * kept: what disturbs the machine for a while meets all alike. */
#include "base/cpu.h"
#include "wire/mask.h"
#include "wire/utf8.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LARGE = 65536, PIECE = 4096, BATCH_BYTES = 8 * LARGE, MOST_CALLS = 4000, CELLS = 512 };
enum text { ASCII_JSON, CYRILLIC, CHINESE, EMOJI, TEXTS };
static const char *const text_names[TEXTS] = {"ascii", "cyrillic", "chinese", "emoji"};
static const size_t sizes[] = {6, 16, 64, 125, PIECE, LARGE};
enum { SIZES = sizeof sizes / sizeof *sizes };

static _Alignas(64) uint8_t texts[TEXTS][LARGE + 64], payload[LARGE + 64], copy[LARGE + 64];
static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

struct cell {
    const char *what;
    void (*run)(const uint8_t *text, size_t n);
    enum text text;
    enum cpu_level level;
    size_t n;
    double best; /* nanoseconds of one call */
};
static struct cell cells[CELLS];
static size_t cell_count;

/* The compiler must take the call for one that matters, and know nothing of what memory holds. */
#define KEEP(value) __asm__ volatile("" ::"r"(value) : "memory")

static void run_memcpy(const uint8_t *text, size_t n)
{
    (void)text;
    memcpy(copy, payload, n);
    KEEP(copy);
}

static void run_mask(const uint8_t *text, size_t n)
{
    (void)text;
    mask_apply(payload, payload, n, key, 0);
    KEEP(payload);
}

static void run_plain_mask(const uint8_t *text, size_t n)
{
    (void)text;
    uint8_t *p = payload;
    uint32_t k;
    uint64_t w;
    size_t i = 0;
    memcpy(&k, key, 4);
    const uint64_t twice = k * UINT64_C(0x100000001);
    for (; i + 8 <= n; i += 8) {
        memcpy(&w, p + i, 8);
        w ^= twice;
        memcpy(p + i, &w, 8);
    }
    for (; i < n; i++)
        p[i] ^= key[i & 3];
    KEEP(payload);
}

static void run_plain_ascii(const uint8_t *text, size_t n)
{
    uint64_t w, all = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&w, text + i, 8);
        if (w & UINT64_C(0x8080808080808080))
            break;
    }
    for (; i < n; i++)
        all |= text[i];
    KEEP(all);
}

static void run_valid(const uint8_t *text, size_t n)
{
    bool ok = utf8_valid(text, n);
    KEEP(ok);
}

static void run_feed(const uint8_t *text, size_t n)
{
    struct utf8 u = {0};
    bool ok = utf8_feed(&u, text, n);
    KEEP(ok);
}

static void run_pieces(const uint8_t *text, size_t n)
{
    struct utf8 u = {0};
    bool ok = true;
    for (size_t i = 0; i < n; i += PIECE)
        ok &= utf8_feed(&u, text + i, n - i < PIECE ? n - i : PIECE);
    KEEP(ok);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(struct cell *c)
{
    size_t calls = BATCH_BYTES / c->n;
    if (calls > MOST_CALLS)
        calls = MOST_CALLS;
    cpu_use(c->level);
    c->run(texts[c->text], c->n); /* hot, whatever ran before */
    double begun = now();
    for (size_t i = 0; i < calls; i++)
        c->run(texts[c->text], c->n);
    double each = (now() - begun) / (double)calls;
    if (c->best == 0 || each < c->best)
        c->best = each;
}

static size_t encode(uint8_t *out, uint32_t c)
{
    if (c < 0x80)
        return out[0] = (uint8_t)c, 1;
    if (c < 0x800)
        return out[0] = (uint8_t)(0xc0 | c >> 6), out[1] = (uint8_t)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return out[0] = (uint8_t)(0xe0 | c >> 12), out[1] = (uint8_t)(0x80 | (c >> 6 & 63)),
               out[2] = (uint8_t)(0x80 | (c & 63)), 3;
    return out[0] = (uint8_t)(0xf0 | c >> 18), out[1] = (uint8_t)(0x80 | (c >> 12 & 63)),
           out[2] = (uint8_t)(0x80 | (c >> 6 & 63)), out[3] = (uint8_t)(0x80 | (c & 63)), 4;
}

/* The next character: words of the script, with blanks and full stops as such texts have them. */
static uint32_t character(enum text t, uint32_t r)
{
    switch (t) {
    case CYRILLIC: return r % 7 == 0 ? ' ' : r % 61 == 1 ? '.' : 0x430 + r % 32;
    case CHINESE: return r % 15 == 0 ? 0x3002 : r % 83 == 1 ? '1' : 0x4e00 + r % 5000;
    default: return r % 9 == 0 ? ' ' : 0x1f600 + r % 80;
    }
}

static void make_texts(void)
{
    static const char json[] =
        "{\"id\":12345,\"name\":\"thrum\",\"tags\":[\"a\",\"bc\"],\"ok\":true,\"x\":-0.125},\n";
    uint32_t r = 12345;
    for (size_t i = 0; i < LARGE; i++)
        texts[ASCII_JSON][i] = (uint8_t)json[i % (sizeof json - 1)];
    for (enum text t = CYRILLIC; t < TEXTS; t++)
        for (size_t i = 0; i < LARGE;) {
            uint8_t b[4];
            r = r * 1664525 + 1013904223;
            size_t n = encode(b, character(t, r >> 8));
            for (size_t j = 0; j < n; j++) /* what does not fit whole is blanks */
                texts[t][i + j] = i + n <= LARGE ? b[j] : ' ';
            i += n;
        }
}

static void add(const char *what, void (*run)(const uint8_t *, size_t), enum text text, enum cpu_level level,
                size_t n)
{
    if (cell_count == CELLS)
        abort();
    cells[cell_count++] = (struct cell){what, run, text, level, n, 0};
}

static void add_level(enum cpu_level level)
{
    for (size_t s = 0; s < SIZES; s++) {
        add("mask", run_mask, ASCII_JSON, level, sizes[s]);
        for (enum text t = 0; t < TEXTS; t++)
            add("valid", run_valid, t, level, sizes[s]);
    }
    for (enum text t = 0; t < TEXTS; t++) {
        add("feed", run_feed, t, level, LARGE);
        add("pieces", run_pieces, t, level, LARGE);
    }
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 50;
    make_texts();
    memcpy(payload, texts[ASCII_JSON], LARGE);
    for (size_t s = 0; s < SIZES; s++) {
        add("memcpy", run_memcpy, ASCII_JSON, CPU_PORTABLE, sizes[s]);
        add("plain mask", run_plain_mask, ASCII_JSON, CPU_PORTABLE, sizes[s]);
        add("plain ascii", run_plain_ascii, ASCII_JSON, CPU_PORTABLE, sizes[s]);
    }
    for (int level = 0; level < CPU_LEVELS; level++)
        if (cpu_has((enum cpu_level)level))
            add_level((enum cpu_level)level);
    while (rounds-- > 0)
        for (size_t i = 0; i < cell_count; i++)
            measure(&cells[i]);
    for (const struct cell *c = cells; c < cells + cell_count; c++)
        printf("%s\t%s\t%s\t%zu\t%.3f\n", cpu_name(c->level), c->what, text_names[c->text], c->n, c->best);
    return 0;
}
