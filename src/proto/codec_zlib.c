/* codec_zlib.c: zlib, which is everywhere: all inflating (as fast as ISA-L's, with a state less than half its
 * size), and the compressing that shall be small.
 *
 * zlib's raw deflate has no window of 8 bits; with 9 it never goes back farther than 512 - 262 = 250 bytes
 * (MAX_DIST in its deflate.h), which a window of 8 bits holds. */
#include "proto/codec.h"
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <zlib.h>

enum { PLACES = 4, CHUNK = 4096, WINDOW = 32 * 1024 };

/* What zlib allocates for one stream, with the sizes that its free does not tell. */
struct blocks {
    void *p[8];
    size_t n[8];
};

static void *z_alloc(void *ctx, unsigned items, unsigned size)
{
    struct blocks *b = ctx;
    for (size_t i = 0; i < 8; i++)
        if (!b->p[i]) {
            b->n[i] = (size_t)items * size;
            return b->p[i] = codec_alloc(b->n[i]);
        }
    return NULL;
}

static void z_free(void *ctx, void *p)
{
    struct blocks *b = ctx;
    for (size_t i = 0; i < 8; i++)
        if (b->p[i] == p) {
            codec_free(p, b->n[i]);
            b->p[i] = NULL;
        }
}

/* zlib never writes there, but its pointer is not to const bytes unless ZLIB_CONST is set before the header:
 * some versions spell it so, some do not. */
static Bytef *unconst(const uint8_t *p)
{
    return (Bytef *)(uintptr_t)p;
}

static unsigned some(size_t n)
{
    return n < UINT_MAX / 2 ? (unsigned)n : UINT_MAX / 2;
}

/* ---- compressing ----------------------------------------------------------------------------------------
 */

struct z_deflater {
    struct deflater base;
    struct blocks blocks;
    z_stream z;
};

static struct deflater *z_make(struct deflate_how how)
{
    struct z_deflater *d = codec_alloc(sizeof *d);
    if (!d)
        return NULL;
    memset(d, 0, sizeof *d);
    d->base.codec = &codec_zlib;
    d->z.opaque = &d->blocks;
    d->z.zalloc = z_alloc;
    d->z.zfree = z_free;
    int bits = how.bits < 9 ? 9 : how.bits;
    int memory = how.memory
                     ? how.memory
                     : bits - 7; /* a table larger than the window is slid along with it, for nothing */
    if (deflateInit2(&d->z, how.level, Z_DEFLATED, -bits, memory, Z_DEFAULT_STRATEGY) != Z_OK) {
        codec_free(d, sizeof *d);
        return NULL;
    }
    return &d->base;
}

static bool z_step(struct z_deflater *d, int flush)
{
    do {
        if (!deflater_room(&d->base, CHUNK))
            return false;
        size_t room = d->base.cap - d->base.n;
        d->z.next_out = d->base.out + d->base.n;
        d->z.avail_out = some(room);
        unsigned had = d->z.avail_out;
        (void)deflate(&d->z, flush); /* the one error here, Z_BUF_ERROR, says that there is nothing to do */
        d->base.n += had - d->z.avail_out;
    } while (d->z.avail_out == 0 || d->z.avail_in > 0);
    return true;
}

static bool z_run(struct deflater *base, thrum_slice dict, const thrum_slice *v, size_t n)
{
    struct z_deflater *d = (struct z_deflater *)base;
    if (deflateReset(&d->z) != Z_OK)
        return false;
    if (dict.n > 0 && deflateSetDictionary(&d->z, dict.p, some(dict.n)) != Z_OK)
        return false;
    for (size_t i = 0; i < n; i++) {
        thrum_slice s = v[i];
        while (s.n > 0) {
            unsigned take = some(s.n);
            d->z.next_in = unconst(s.p);
            d->z.avail_in = take;
            s.p += take;
            s.n -= take;
            if (!z_step(d, Z_NO_FLUSH))
                return false;
        }
    }
    return z_step(d, Z_SYNC_FLUSH);
}

static void z_end(struct deflater *base)
{
    struct z_deflater *d = (struct z_deflater *)base;
    (void)deflateEnd(&d->z);
    codec_free(d, sizeof *d);
}

const struct deflate_codec codec_zlib = {.name = "zlib", .make = z_make, .run = z_run, .free = z_end};

/* ---- inflating ------------------------------------------------------------------------------------------
 */

struct inflater {
    struct blocks blocks;
    z_stream z;
    bool final;             /* a final block was the last that came */
    uint8_t window[WINDOW]; /* inflateGetDictionary gives all it has */
};

static _Atomic(struct inflater *) stock[PLACES];

static struct inflater *fresh(void)
{
    struct inflater *i = codec_alloc(sizeof *i);
    if (!i)
        return NULL;
    memset(&i->z, 0, sizeof i->z);
    memset(&i->blocks, 0, sizeof i->blocks);
    i->z.opaque = &i->blocks;
    i->z.zalloc = z_alloc;
    i->z.zfree = z_free;
    if (inflateInit2(&i->z, -15) != Z_OK) {
        codec_free(i, sizeof *i);
        return NULL;
    }
    return i;
}

static void inflater_free(struct inflater *i)
{
    (void)inflateEnd(&i->z);
    codec_free(i, sizeof *i);
}

struct inflater *inflater_take(thrum_slice dict)
{
    struct inflater *i = NULL;
    for (size_t k = 0; k < PLACES && !i; k++)
        i = atomic_exchange(&stock[k], NULL);
    if (!i)
        i = fresh();
    if (i && (inflateReset(&i->z) != Z_OK ||
              (dict.n > 0 && inflateSetDictionary(&i->z, dict.p, some(dict.n)) != Z_OK))) {
        inflater_free(i); /* no memory for its window */
        return NULL;
    }
    if (i)
        i->final = false;
    return i;
}

void inflater_give(struct inflater *i)
{
    if (!i)
        return;
    for (size_t k = 0; k < PLACES && codec_load() == CODEC_FINE; k++) {
        struct inflater *none = NULL;
        if (atomic_compare_exchange_strong(&stock[k], &none, i))
            return;
    }
    inflater_free(i);
}

bool inflater_is_between(const struct inflater *i)
{
    enum { BITS = 63, BETWEEN = 128 }; /* of data_type, zlib.h at inflate() */
    return (i->z.data_type & BETWEEN) && (i->z.data_type & BITS) == 0;
}

enum inflated inflater_run(struct inflater *i, thrum_slice *in, uint8_t *to, size_t *room)
{
    if (in->n == 0 && inflater_is_between(i))
        return INFLATE_OK; /* zlib, called without need, would say no longer that it is between two blocks */
    unsigned offered = some(in->n), space = some(*room);
    i->z.next_in = unconst(in->p);
    i->z.avail_in = offered;
    i->z.next_out = to;
    i->z.avail_out = space;
    int r = inflate(&i->z, Z_SYNC_FLUSH);
    in->p += offered - i->z.avail_in;
    in->n -= offered - i->z.avail_in;
    *room -= space - i->z.avail_out;
    i->final = i->final && offered == 0;
    if (r == Z_STREAM_END) {
        /* A final block (RFC 7692 section 7.2.3.4): what follows is another stream in the same window. */
        if (inflateResetKeep(&i->z) != Z_OK)
            return INFLATE_BAD;
        i->final = true;
        return in->n > 0 ? INFLATE_ROOM : INFLATE_OK;
    }
    if (r == Z_MEM_ERROR)
        return INFLATE_MEMORY;
    if (r != Z_OK && r != Z_BUF_ERROR)
        return INFLATE_BAD;
    return in->n > 0 || i->z.avail_out == 0 ? INFLATE_ROOM : INFLATE_OK;
}

bool inflater_is_final(const struct inflater *i)
{
    return i->final;
}

size_t inflater_dict(struct inflater *i, uint8_t *to, size_t max)
{
    unsigned n = 0;
    (void)inflateGetDictionary(&i->z, i->window, &n);
    size_t take = n < max ? n : max;
    if (take > 0)
        memcpy(to, i->window + n - take, take);
    return take;
}

void inflater_trim(void)
{
    for (size_t k = 0; k < PLACES; k++) {
        struct inflater *i = atomic_exchange(&stock[k], NULL);
        if (i)
            inflater_free(i);
    }
}
