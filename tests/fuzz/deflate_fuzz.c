/* deflate_fuzz.c: any text through the compressors and back; any bytes as a compressed stream, whole and in
 * pieces. The first nine bytes choose the window, the level, the states' size, the dictionary and the cuts.
 */
#include "fuzz/fuzz_bytes.h"
#include "proto/codec.h"
#include "proto/inflate_whole.h"
#include <zlib.h>

enum { TEXT_MAX = 1 << 17, OUT_MAX = 1 << 20 };

static uint8_t text[TEXT_MAX], whole[OUT_MAX], pieces[OUT_MAX], dict_a[1 << 15], dict_b[1 << 15];

struct stream { /* what became of one */
    enum inflated verdict;
    size_t n;
    bool bounded, between, final;
};

/* One call, into a block of exactly the room that is offered. */
static enum inflated step(struct inflater *i, thrum_slice *in, uint8_t *to, size_t *made, size_t room)
{
    uint8_t *block = malloc(room);
    MUST(block);
    size_t left = room;
    enum inflated r = inflater_run(i, in, block, &left);
    MUST(left <= room);
    memcpy(to + *made, block, room - left);
    *made += room - left;
    free(block);
    return r;
}

/* seed 0: whole, into all the room that there is. */
static struct stream inflate_all(struct inflater *i, thrum_slice in, uint8_t *to, uint32_t seed)
{
    struct stream s = {.verdict = INFLATE_OK};
    while (in.n > 0 && s.verdict == INFLATE_OK) {
        size_t n = seed ? piece(&seed, in.n) : in.n;
        uint8_t *copy = exactly(in.p, n);
        thrum_slice part = {copy, n};
        do {
            size_t left = OUT_MAX - s.n, room = seed ? piece(&seed, left) : left;
            thrum_slice before = part;
            size_t had = s.n;
            s.verdict = step(i, &part, to, &s.n, room);
            MUST(s.verdict != INFLATE_ROOM || part.n < before.n || s.n > had || s.n == OUT_MAX);
            s.bounded = s.n == OUT_MAX;
        } while (s.verdict == INFLATE_ROOM && !s.bounded);
        free(copy);
        if (s.bounded)
            return s;
        MUST(s.verdict != INFLATE_OK || part.n == 0);
        in.p += n;
        in.n -= n;
    }
    s.between = inflater_is_between(i);
    s.final = inflater_is_final(i);
    return s;
}

/* Where they are taken for a whole message, zlib takes them for the same one, or for none: libdeflate lets
 * two faults pass. */
static void all_at_once(thrum_slice in, thrum_slice dict)
{
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    thrum_slice got, end = {tail, sizeof tail};
    uint8_t *copy = exactly(in.p, in.n), none[1];
    struct whole *w = whole_take();
    struct inflater *i = inflater_take(dict);
    MUST(i);
    if (w && whole_inflate(w, dict, (thrum_slice){copy, in.n}, OUT_MAX, &got)) {
        size_t room = sizeof none;
        struct stream x = inflate_all(i, in, whole, 0);
        size_t n = whole_dict(w, dict_a, sizeof dict_a);
        if (x.verdict == INFLATE_OK) {
            MUST(!x.final && x.n == got.n && memcmp(whole, got.p, got.n) == 0);
            MUST(inflater_run(i, &end, none, &room) == INFLATE_OK && inflater_is_between(i));
            MUST(n == inflater_dict(i, dict_b, sizeof dict_b) && memcmp(dict_a, dict_b, n) == 0);
        }
    }
    inflater_give(i);
    whole_give(w);
    free(copy);
}

/* The same bytes twice: what comes of them, and what is kept of it, must not depend on the cuts. */
static void any_stream(thrum_slice in, thrum_slice dict, uint32_t seed)
{
    struct inflater *a = inflater_take(dict), *b = inflater_take(dict);
    MUST(a && b);
    struct stream x = inflate_all(a, in, whole, 0), y = inflate_all(b, in, pieces, seed | 1);
    MUST(x.verdict != INFLATE_MEMORY && y.verdict != INFLATE_MEMORY);
    MUST(x.n == y.n && memcmp(whole, pieces, x.n) == 0 && x.bounded == y.bounded);
    if (!x.bounded) {
        MUST(x.verdict == y.verdict);
        if (x.verdict == INFLATE_OK) {
            MUST(x.between == y.between && x.final == y.final);
            size_t n = inflater_dict(a, dict_a, sizeof dict_a);
            MUST(n == inflater_dict(b, dict_b, sizeof dict_b) && memcmp(dict_a, dict_b, n) == 0);
        }
    }
    inflater_give(a);
    inflater_give(b);
}

/* Does nothing refer back farther than the window? zlib, given no larger one and few bytes of room. */
static void check_window(thrum_slice in, thrum_slice dict, thrum_slice want, int bits)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n};
    uint8_t to[8];
    MUST(inflateInit2(&z, -bits) == Z_OK);
    if (dict.n > 0)
        MUST(inflateSetDictionary(&z, dict.p, (uInt)dict.n) == Z_OK);
    for (size_t at = 0; at < want.n;) {
        z.next_out = to;
        z.avail_out = sizeof to;
        MUST(inflate(&z, Z_SYNC_FLUSH) == Z_OK);
        size_t made = sizeof to - z.avail_out;
        MUST(made > 0 && made <= want.n - at && memcmp(to, want.p + at, made) == 0);
        at += made;
    }
    MUST(inflateEnd(&z) == Z_OK);
}

static void there_and_back(struct deflate_how how, thrum_slice dict, thrum_slice s, uint32_t seed,
                           bool strict)
{
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    thrum_slice v[4], out;
    size_t n = number(&seed, 1, 4);
    thrum_slice rest = s;
    for (size_t i = 0; i < n; i++)
        v[i] = bytes_of(&rest, i + 1 < n ? number(&seed, 0, rest.n) : rest.n);
    struct deflater *d = deflater_take(how);
    /* The state has seen another text, much like this one: nothing of it may be referred to. */
    thrum_slice other = {s.p, s.n};
    (void)bytes_of(&other, number(&seed, 1, 9));
    MUST(d && deflater_run(d, (thrum_slice){NULL, 0}, &other, 1, &out));
    MUST(deflater_run(d, dict, v, n, &out));
    MUST(out.n >= sizeof tail && memcmp(out.p + out.n - sizeof tail, tail, sizeof tail) == 0);
    /* zlib with the least memory stores 128 bytes at a time, behind 5 of its own; fixed codes have 9 bits at
     * most. */
    MUST(s.n == 0 || out.n < s.n + s.n / (how.fixed ? 8 : 16) + 64);
    if (strict)
        check_window(out, dict, s, how.bits);
    struct inflater *i = inflater_take(dict);
    MUST(i);
    struct stream x = inflate_all(i, out, pieces, seed | 1);
    MUST(x.verdict == INFLATE_OK && x.between && !x.final && x.n == s.n && memcmp(pieces, s.p, s.n) == 0);
    out.n -= sizeof tail;
    all_at_once(out, dict);
    size_t most = (size_t)1 << how.bits, all = dict.n + s.n, kept = inflater_dict(i, dict_a, most);
    MUST(kept == (all < most ? all : most));
    for (size_t k = 1; k <= kept; k++)
        MUST(dict_a[kept - k] == (k <= s.n ? s.p[s.n - k] : dict.p[dict.n - (k - s.n)]));
    inflater_give(i);
    deflater_give(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    thrum_slice in = {data, size};
    if (size > 1 << 15)
        return 0;
    struct deflate_how how = {.bits = 8 + byte_of(&in) % 8};
    how.level = 1 + byte_of(&in) % 9;
    how.memory = byte_of(&in) % 10;
    uint32_t share = byte_of(&in), seed = word_of(&in);
    uint8_t flags = byte_of(&in);
    how.fixed = flags & 128;
    if (in.n == 0)
        return 0;
    /* Repeated, to be longer than a window; changed a little each time. */
    size_t n = 0;
    for (size_t k = 0; k <= (flags & 31u) && n + in.n <= TEXT_MAX; k++)
        for (size_t i = 0; i < in.n; i++)
            text[n++] = in.p[i] ^ (uint8_t)(flags & 32 && i % 61 == 0 ? k : 0);
    size_t most = (size_t)1 << how.bits, kept = n * share / 255;
    kept = kept < most ? kept : most;
    thrum_slice dict = {text, kept};
    there_and_back(how, dict, (thrum_slice){text + kept, n - kept}, seed, flags & 64);
    any_stream(in, dict, seed);
    all_at_once(in, dict);
    if ((flags & 31) == 31) /* a state must not remember the one before it */
        codec_trim();
    return 0;
}
