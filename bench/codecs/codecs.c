/* codecs.c: what a compressed message costs by each codec: thrum's way, a state lent for the message and the
 * history handed to it, beside contexts that are kept, and libdeflate where it is installed. Prints lines of:
 * way, window bits, takeover, size, microseconds to deflate, ratio, microseconds to inflate, bytes kept a
 * connection.
 *
 * All cells are measured in turn, for as many rounds as the first argument says, and the best of each is
 * kept. */
#include "proto/codec.h"
#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>
#ifdef HAVE_LIBDEFLATE
#    include <libdeflate.h>
#endif

enum { TEXT = 4 << 20, OUT = 128 * 1024, CELLS = 256, MESSAGES = 48 };
static uint8_t text[TEXT + 256], out[OUT], back[OUT];

struct way;
struct cell {
    const struct way *way;
    int bits;
    bool takeover;
    size_t size;
    double best, best_inflate;
    size_t made, kept;
};

/* Prepares, or gives up what it prepared; compresses the message that begins at text + at. */
struct way {
    const char *name;
    bool (*begin)(const struct cell *c);
    size_t (*run)(const struct cell *c, size_t at);
    void (*end)(void);
    size_t (*kept)(const struct cell *c);
    int level;
    bool fixed;
};

static struct cell cells[CELLS];
static size_t cell_count;
static z_stream z;
static struct {
    struct isal_zstream z;
    uint8_t level_buf[ISAL_DEF_LVL1_DEFAULT];
} isal;
static size_t z_bytes;

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- thrum's way ----------------------------------------------------------------------------------------
 */

static thrum_slice history(const struct cell *c, size_t at)
{
    size_t n = !c->takeover ? 0 : at < (size_t)1 << c->bits ? at : (size_t)1 << c->bits;
    return (thrum_slice){text + at - n, n};
}

static bool lent_begin(const struct cell *c)
{
    (void)c;
    return true;
}

static size_t lent_run(const struct cell *c, size_t at)
{
    struct deflate_how how = {(uint8_t)c->bits, (uint8_t)(c->way->level ? c->way->level : 1),
                              c->way->level == 1 ? (uint8_t)(c->bits - 7) : 0, c->way->fixed};
    thrum_slice v = {text + at, c->size}, small;
    struct deflater *d = deflater_take(how);
    if (!d || !deflater_run(d, history(c, at), &v, 1, &small) || small.n > OUT)
        abort();
    memcpy(out, small.p, small.n);
    deflater_give(d);
    return small.n - 4;
}

static void nothing(void)
{
}

static size_t lent_kept(const struct cell *c)
{
    return c->takeover ? (size_t)1 << c->bits : 0;
}

/* ---- contexts that are kept -----------------------------------------------------------------------------
 */

static void *z_alloc(void *ctx, unsigned n, unsigned size)
{
    (void)ctx;
    z_bytes += (size_t)n * size;
    return malloc((size_t)n * size);
}

static void z_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static bool zlib_begin(const struct cell *c)
{
    z_bytes = sizeof z;
    z = (z_stream){.zalloc = z_alloc, .zfree = z_free};
    return deflateInit2(&z, c->way->level, Z_DEFLATED, -c->bits, c->bits == 15 ? 8 : 5, Z_DEFAULT_STRATEGY) ==
           Z_OK;
}

static size_t zlib_run(const struct cell *c, size_t at)
{
    if (!c->takeover)
        deflateReset(&z);
    z.next_in = text + at;
    z.avail_in = (unsigned)c->size;
    z.next_out = out;
    z.avail_out = OUT;
    deflate(&z, Z_SYNC_FLUSH);
    return OUT - z.avail_out - 4;
}

static void zlib_end(void)
{
    deflateEnd(&z);
}

static size_t zlib_kept(const struct cell *c)
{
    (void)c;
    return z_bytes;
}

static bool isal_begin(const struct cell *c)
{
    isal_deflate_init(&isal.z);
    isal.z.level = 1;
    isal.z.level_buf = isal.level_buf;
    isal.z.level_buf_size = sizeof isal.level_buf;
    isal.z.hist_bits = (uint16_t)c->bits;
    return true;
}

static size_t isal_run(const struct cell *c, size_t at)
{
    if (!c->takeover)
        isal_deflate_reset(&isal.z);
    isal.z.flush = SYNC_FLUSH;
    isal.z.next_in = text + at;
    isal.z.avail_in = (uint32_t)c->size;
    isal.z.next_out = out;
    isal.z.avail_out = OUT;
    if (isal_deflate(&isal.z) != COMP_OK)
        abort();
    return OUT - isal.z.avail_out - 4;
}

static size_t isal_kept(const struct cell *c)
{
    (void)c;
    return sizeof isal;
}

#ifdef HAVE_LIBDEFLATE
static struct libdeflate_compressor *libdeflate;

static bool libdeflate_begin(const struct cell *c)
{
    libdeflate = c->takeover ? NULL : libdeflate_alloc_compressor(c->way->level);
    return libdeflate != NULL;
}

/* It ends with a final block, which permessage-deflate allows (RFC 7692 section 7.2.3.4): one byte more. */
static size_t libdeflate_run(const struct cell *c, size_t at)
{
    return libdeflate_deflate_compress(libdeflate, text + at, c->size, out, OUT) + 1;
}

static void libdeflate_end(void)
{
    libdeflate_free_compressor(libdeflate);
}
#endif

static size_t none_kept(const struct cell *c)
{
    (void)c;
    return 0;
}

static const struct way ways[] = {
    {"thrum, ISA-L", lent_begin, lent_run, nothing, lent_kept, 0, false},
    {"thrum, ISA-L, fixed codes", lent_begin, lent_run, nothing, lent_kept, 0, true},
    {"thrum, ISA-L 3", lent_begin, lent_run, nothing, lent_kept, 3, false},
    {"thrum, zlib 1", lent_begin, lent_run, nothing, lent_kept, 1, false},
    {"thrum, zlib 6", lent_begin, lent_run, nothing, lent_kept, 6, false},
    {"ISA-L kept", isal_begin, isal_run, nothing, isal_kept, 1, false},
    {"zlib 1 kept", zlib_begin, zlib_run, zlib_end, zlib_kept, 1, false},
    {"zlib 6 kept", zlib_begin, zlib_run, zlib_end, zlib_kept, 6, false},
#ifdef HAVE_LIBDEFLATE
    {"libdeflate 1", libdeflate_begin, libdeflate_run, libdeflate_end, none_kept, 1, false},
    {"libdeflate 6", libdeflate_begin, libdeflate_run, libdeflate_end, none_kept, 6, false},
#endif
};

/* ---- measuring ------------------------------------------------------------------------------------------
 */

/* Inflates the message just made; libdeflate's final block needs no tail. */
static void inflate_it(const struct cell *c, size_t at, size_t n)
{
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    thrum_slice in = {out, n}, end = {tail, 4};
    size_t room = OUT, none = 1;
    struct inflater *i = inflater_take(history(c, at));
    enum inflated r = inflater_run(i, &in, back, &room);
    if (r != INFLATE_BAD && c->way->name[0] != 'l')
        r = inflater_run(i, &end, back + OUT - room, &none);
    if (r == INFLATE_BAD || OUT - room != c->size || memcmp(back, text + at, c->size) != 0) {
        fprintf(stderr, "%s, window %d, takeover %d, %zu bytes: what was inflated is not what was deflated\n",
                c->way->name, c->bits, c->takeover, c->size);
        exit(1);
    }
    inflater_give(i);
}

static void measure(struct cell *c)
{
    double spent = 0, inflated = 0;
    size_t made = 0, start = (size_t)1 << 16;
    if (!c->way->begin(c))
        return;
    for (size_t m = 0; m < MESSAGES; m++) {
        size_t at = start + m * c->size % (TEXT - 2 * start);
        if (m == 0 && c->takeover && c->way->run != lent_run) { /* what is kept begins with a window full */
            struct cell warm = *c;
            warm.size = (size_t)1 << c->bits;
            c->way->run(&warm, at - warm.size);
        }
        double t = now_us();
        size_t n = c->way->run(c, at);
        double u = now_us();
        spent += u - t;
        made += n;
        inflate_it(c, at, n);
        inflated += now_us() - u;
    }
    c->kept = c->way->kept(c);
    c->way->end();
    spent /= MESSAGES;
    inflated /= MESSAGES;
    c->made = made / MESSAGES;
    c->best = c->best == 0 || spent < c->best ? spent : c->best;
    c->best_inflate = c->best_inflate == 0 || inflated < c->best_inflate ? inflated : c->best_inflate;
}

static void write_text(void)
{
    uint32_t r = 7;
    for (size_t n = 0; n < TEXT;) {
        r = r * 1664525u + 1013904223u;
        n += (size_t)snprintf(
            (char *)text + n, 200,
            "{\"id\":%u,\"symbol\":\"%c%cUSDT\",\"price\":%u.%02u,\"side\":\"%s\",\"time\":%llu},", r >> 12,
            'A' + (int)(r >> 8) % 26, 'A' + (int)(r >> 16) % 26, r >> 18, (r >> 4) % 100,
            r & 4096 ? "buy" : "sell", 1700000000000ull + (r >> 8));
    }
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {32, 64, 128, 1024, 4096, 65536};
    int rounds = argc > 1 ? atoi(argv[1]) : 15;
    write_text();
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        for (int bits = 12; bits <= 15; bits += 3)
            for (int takeover = 1; takeover >= 0; takeover--)
                for (size_t s = 0; s < 6; s++)
                    cells[cell_count++] =
                        (struct cell){.way = &ways[w], .bits = bits, .takeover = takeover, .size = sizes[s]};
    for (int r = 0; r < rounds; r++)
        for (size_t i = 0; i < cell_count; i++)
            measure(&cells[i]);
    for (size_t i = 0; i < cell_count; i++) {
        const struct cell *c = &cells[i];
        if (c->best > 0)
            printf("%s\t%d\t%s\t%zu\t%.2f\t%.3f\t%.2f\t%zu\n", c->way->name, c->bits,
                   c->takeover ? "yes" : "no", c->size, c->best, (double)c->made / (double)c->size,
                   c->best_inflate, c->kept);
    }
    return 0;
}
