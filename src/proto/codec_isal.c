/* codec_isal.c: Intel's ISA-L, the fast way to compress: its level 1 is ours, its level 3 our 2 and 3. Its
 * level 2 is no better than its 1. Its level 0 makes no codes of its own: with the fixed ones it takes half
 * the time of level 1, or less, and is what `fixed` asks for. */
#ifdef THRUM_ISAL
#    include "proto/codec.h"
#    include <isa-l/igzip_lib.h>
#    include <limits.h>
#    include <string.h>

enum { CHUNK = 4096 };

struct isal_deflater {
    struct deflater base;
    struct isal_zstream z;
    uint8_t level_buf[ISAL_DEF_LVL3_DEFAULT];
};

static struct deflater *isal_make(struct deflate_how how)
{
    struct isal_deflater *d = codec_alloc(sizeof *d);
    (void)how; /* set for each run */
    if (!d)
        return NULL;
    memset(&d->base, 0, sizeof d->base);
    d->base.codec = &codec_isal;
    isal_deflate_init(&d->z);
    d->z.level_buf = d->level_buf;
    d->z.level_buf_size = sizeof d->level_buf;
    return &d->base;
}

static bool start(struct isal_deflater *d, struct deflate_how how)
{
    isal_deflate_reset(&d->z);
    d->z.hist_bits = how.bits;
    d->z.level = how.level > 1 ? 3 : how.fixed ? 0 : 1;
    return d->z.level > 0 || isal_deflate_set_hufftables(&d->z, NULL, IGZIP_HUFFTABLE_STATIC) == COMP_OK;
}

static bool isal_step(struct isal_deflater *d, uint16_t flush)
{
    d->z.flush = flush;
    do {
        if (!deflater_room(&d->base, CHUNK))
            return false;
        size_t room = d->base.cap - d->base.n;
        uint32_t had = room < UINT_MAX / 2 ? (uint32_t)room : UINT_MAX / 2;
        d->z.next_out = d->base.out + d->base.n;
        d->z.avail_out = had;
        if (isal_deflate(&d->z) != COMP_OK)
            return false;
        d->base.n += had - d->z.avail_out;
    } while (d->z.avail_out == 0 || d->z.avail_in > 0);
    return true;
}

/* The flush goes with the last bytes: ISA-L has no flush of nothing. */
static bool isal_run(struct deflater *base, thrum_slice dict, const thrum_slice *v, size_t n)
{
    struct isal_deflater *d = (struct isal_deflater *)base;
    if (!start(d, base->how))
        return false;
    if (dict.n > 0 && isal_deflate_set_dict(&d->z, (uint8_t *)(uintptr_t)dict.p, (uint32_t)dict.n) != COMP_OK)
        return false;
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        left += v[i].n;
    for (size_t i = 0; i < n; i++) {
        thrum_slice s = v[i];
        while (s.n > 0) {
            uint32_t take = s.n < UINT_MAX / 2 ? (uint32_t)s.n : UINT_MAX / 2;
            d->z.next_in = (uint8_t *)(uintptr_t)s.p;
            d->z.avail_in = take;
            s.p += take;
            s.n -= take;
            left -= take;
            if (!isal_step(d, left > 0 ? NO_FLUSH : SYNC_FLUSH))
                return false;
        }
    }
    return true;
}

static void isal_end(struct deflater *base)
{
    codec_free(base, sizeof(struct isal_deflater));
}

const struct deflate_codec codec_isal = {
    .name = "isal", .any_bits = true, .make = isal_make, .run = isal_run, .free = isal_end};
#endif
