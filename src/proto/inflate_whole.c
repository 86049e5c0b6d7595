/* inflate_whole.c: by libdeflate, which wants one whole stream, with no dictionary and a final block. So it
 * gets one: the dictionary as a stored block, the message, what RFC 7692 section 7.2.1 has taken off it, and
 * an empty final block. */
#include "proto/inflate_whole.h"

#ifdef THRUM_LIBDEFLATE
#    include "proto/codec.h"
#    include <libdeflate.h>
#    include <stdatomic.h>
#    include <string.h>

enum { PLACES = 4, DICT_MOST = 32 * 1024, STORED = 5 /* bytes before a stored block's content */ };

/* The end of the message is the beginning of an empty stored block: its length is to follow. To see that it
 * is so, the block gets a content, which must come out at the end of the text. */
static const uint8_t mark[] = {0x1d, 0x9c, 0x63, 0xa7, 0x35, 0xd2, 0x4e, 0x8b};
enum { MARK = sizeof mark, LEN = 4 /* bytes of a stored block's length */ };
static const uint8_t length_of_mark[LEN] = {MARK, 0, (uint8_t)~MARK, 0xff};
static const uint8_t last_block[STORED] = {1, 0, 0, 0xff, 0xff};

struct whole {
    struct libdeflate_decompressor *d; /* some 12 KB that are not counted: libdeflate allocates them itself */
    size_t end;                        /* of dict and text in out */
    uint8_t in[STORED + DICT_MOST + WHOLE_IN_MOST + LEN + MARK + STORED];
    uint8_t out[DICT_MOST + WHOLE_MOST + MARK];
};

static uint8_t *put(uint8_t *to, const void *p, size_t n)
{
    memcpy(to, p, n);
    return to + n;
}

static size_t make_stream(struct whole *w, thrum_slice dict, thrum_slice in)
{
    const uint8_t low = (uint8_t)dict.n, high = (uint8_t)(dict.n >> 8);
    uint8_t *to = w->in;
    if (dict.n > 0) {
        to = put(to, (uint8_t[STORED]){0, low, high, (uint8_t)~low, (uint8_t)~high}, STORED);
        to = put(to, dict.p, dict.n);
    }
    to = put(to, in.p, in.n);
    to = put(to, length_of_mark, LEN);
    to = put(to, mark, MARK);
    to = put(to, last_block, STORED);
    return (size_t)(to - w->in);
}

/* Does the output end with the mark, and not because the message has a block that reaches to its end? */
static bool ends_with_mark(const uint8_t *out, size_t n)
{
    if (n < MARK || memcmp(out + n - MARK, mark, MARK) != 0)
        return false;
    return n < MARK + LEN || memcmp(out + n - MARK - LEN, length_of_mark, LEN) != 0;
}

bool whole_inflate(struct whole *w, thrum_slice dict, thrum_slice in, size_t most, thrum_slice *text)
{
    size_t used, n;
    if (in.n == 0 || in.n > WHOLE_IN_MOST || dict.n > DICT_MOST)
        return false; /* not one byte is no run of blocks */
    size_t stream = make_stream(w, dict, in), room = dict.n + (most < WHOLE_MOST ? most : WHOLE_MOST) + MARK;
    /* A final block in the message, after which another may begin, shows in `used`. */
    if (libdeflate_deflate_decompress_ex(w->d, w->in, stream, w->out, room, &used, &n) !=
            LIBDEFLATE_SUCCESS ||
        used != stream || n < dict.n || !ends_with_mark(w->out + dict.n, n - dict.n))
        return false;
    w->end = n - MARK;
    *text = (thrum_slice){w->out + dict.n, w->end - dict.n};
    return true;
}

size_t whole_dict(const struct whole *w, uint8_t *to, size_t max)
{
    size_t n = w->end < max ? w->end : max;
    if (n > 0)
        memcpy(to, w->out + w->end - n, n);
    return n;
}

/* ---- the stock ------------------------------------------------------------------------------------------
 */

static _Atomic(struct whole *) stock[PLACES];

static void whole_free(struct whole *w)
{
    libdeflate_free_decompressor(w->d);
    codec_free(w, sizeof *w);
}

struct whole *whole_take(void)
{
    struct whole *w = NULL;
    for (size_t k = 0; k < PLACES && !w; k++)
        w = atomic_exchange(&stock[k], NULL);
    if (w || !(w = codec_alloc(sizeof *w)))
        return w;
    w->d = libdeflate_alloc_decompressor();
    if (!w->d) {
        codec_free(w, sizeof *w);
        return NULL;
    }
    return w;
}

void whole_give(struct whole *w)
{
    for (size_t k = 0; w && k < PLACES && codec_load() == CODEC_FINE; k++) {
        struct whole *none = NULL;
        if (atomic_compare_exchange_strong(&stock[k], &none, w))
            return;
    }
    if (w)
        whole_free(w);
}

void whole_trim(void)
{
    for (size_t k = 0; k < PLACES; k++) {
        struct whole *w = atomic_exchange(&stock[k], NULL);
        if (w)
            whole_free(w);
    }
}

#else

/* Without libdeflate all is zlib's. */
struct whole *whole_take(void)
{
    return NULL;
}

void whole_give(struct whole *w)
{
    (void)w;
}

bool whole_inflate(struct whole *w, thrum_slice dict, thrum_slice in, size_t most, thrum_slice *text)
{
    (void)w, (void)dict, (void)in, (void)most, (void)text;
    return false;
}

size_t whole_dict(const struct whole *w, uint8_t *to, size_t max)
{
    (void)w, (void)to, (void)max;
    return 0;
}

void whole_trim(void)
{
}
#endif
