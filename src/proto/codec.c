/* codec.c: the stock of states, what they cost, and which codec compresses.
 *
 * The stock is a few places that are exchanged atomically: no lock, so nothing that a fork or a cancelled
 * thread could leave shut. A state that finds no place is freed. */
#include "proto/codec.h"
#include "base/mem.h"
#include "proto/inflate_whole.h"
#include <stdatomic.h>
#include <string.h>
#include <thrum/stats.h>

enum { PLACES = 4, OUT_KEPT = 64 * 1024 };

static _Atomic(size_t) held, budget = (size_t)256 << 20;
static _Atomic(struct deflater *) stock[PLACES];

/* ---- memory ---------------------------------------------------------------------------------------------
 */

void *codec_alloc(size_t n)
{
    void *p = mem_alloc(n);
    if (p)
        atomic_fetch_add_explicit(&held, n, memory_order_relaxed);
    return p;
}

void codec_free(void *p, size_t n)
{
    if (!p)
        return;
    atomic_fetch_sub_explicit(&held, n, memory_order_relaxed);
    mem_free(p);
}

size_t codec_held(void)
{
    return atomic_load_explicit(&held, memory_order_relaxed);
}

enum codec_load codec_load(void)
{
    size_t now = codec_held(), most = atomic_load_explicit(&budget, memory_order_relaxed);
    return now <= most ? CODEC_FINE : now / 2 <= most ? CODEC_TIGHT : CODEC_FULL;
}

size_t codec_set_budget(size_t bytes)
{
    return atomic_exchange(&budget, bytes);
}

/* ---- the stock ------------------------------------------------------------------------------------------
 */

/* ISA-L compresses 2 to 9 times as fast as zlib's level 1, and smaller (bench/README.md); the levels above 3
 * are zlib's, which gets smaller still, and so is what shall do with small states: ISA-L's take 430 KB. */
static const struct deflate_codec *choose(struct deflate_how how)
{
#ifdef THRUM_ISAL
    if (how.level <= 3 && how.memory == 0)
        return &codec_isal;
#else
    (void)how;
#endif
    return &codec_zlib;
}

static void deflater_free(struct deflater *d)
{
    codec_free(d->out, d->cap);
    d->codec->free(d);
}

static bool serves(const struct deflater *d, struct deflate_how how)
{
    const struct deflate_how h = d->how;
    return (h.bits == how.bits || d->codec->any_bits) && h.level == how.level && h.memory == how.memory;
}

struct deflater *deflater_take(struct deflate_how how)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct deflater *d = atomic_exchange(&stock[i], NULL);
        if (d && serves(d, how)) {
            d->how = how;
            return d;
        }
        if (d)
            deflater_give(d);
    }
    struct deflater *d = choose(how)->make(how);
    if (d)
        d->how = how;
    return d;
}

void deflater_give(struct deflater *d)
{
    if (d->cap > OUT_KEPT) {
        codec_free(d->out, d->cap);
        d->out = NULL;
        d->cap = 0;
    }
    for (size_t i = 0; i < PLACES && codec_load() == CODEC_FINE; i++) {
        struct deflater *none = NULL;
        if (atomic_compare_exchange_strong(&stock[i], &none, d))
            return;
    }
    deflater_free(d);
}

void codec_trim(void)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct deflater *d = atomic_exchange(&stock[i], NULL);
        if (d)
            deflater_free(d);
    }
    inflater_trim();
    whole_trim();
}

/* ---- compressing ----------------------------------------------------------------------------------------
 */

bool deflater_room(struct deflater *d, size_t more)
{
    if (d->cap - d->n >= more)
        return true;
    size_t cap = d->n + more > 2 * d->cap ? d->n + more : 2 * d->cap;
    uint8_t *p = codec_alloc(cap);
    if (!p)
        return false;
    if (d->n > 0)
        memcpy(p, d->out, d->n);
    codec_free(d->out, d->cap);
    d->out = p;
    d->cap = cap;
    return true;
}

bool deflater_run(struct deflater *d, thrum_slice dict, const thrum_slice *v, size_t n, thrum_slice *out)
{
    static const uint8_t empty[] = {0, 0, 0, 0xff, 0xff}; /* a stored block without bytes */
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += v[i].n;
    d->n = 0;
    *out = (thrum_slice){empty, sizeof empty};
    if (total == 0)
        return true;
    if (!deflater_room(d, total / 2 + 64) || !d->codec->run(d, dict, v, n))
        return false;
    *out = (thrum_slice){d->out, d->n};
    return true;
}

uint64_t thrum_compression_budget(uint64_t bytes)
{
    return codec_set_budget(bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX);
}
