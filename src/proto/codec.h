/* codec.h: DEFLATE (RFC 1951) as permessage-deflate needs it: a run of whole blocks for each message, ended
 * on a byte boundary by an empty stored block. Between two runs all that a stream is stands in the last bytes
 * of its plain text, the dictionary: so a connection keeps only those, and the big states are the process's,
 * lent for one message. */
#ifndef PROTO_CODEC_H
#define PROTO_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/slice.h>

struct deflate_how {
    uint8_t bits;   /* log2 of the window, 8 to 15: no reference goes back farther */
    uint8_t level;  /* 1 fastest to 9 smallest */
    uint8_t memory; /* 0: whatever is fastest; 1 to 9: zlib with states of that size */
    bool fixed;     /* fixed codes will do (RFC 1951 section 3.2.6), if the codec is faster with them */
};

/* A compressor for this call, from the process's stock; NULL where there is no memory. */
struct deflater *deflater_take(struct deflate_how how);
void deflater_give(struct deflater *d);
/* Compresses the slices behind dict. *out, ended by 00 00 ff ff, holds until the next call on d. False: no
 * memory. */
bool deflater_run(struct deflater *d, thrum_slice dict, const thrum_slice *v, size_t n, thrum_slice *out);

struct inflater *inflater_take(thrum_slice dict);
void inflater_give(struct inflater *i);
/* Takes from *in, puts into the *room bytes at to; both move on. INFLATE_ROOM: there may be more to come out.
 */
enum inflated { INFLATE_OK, INFLATE_ROOM, INFLATE_BAD, INFLATE_MEMORY };
enum inflated inflater_run(struct inflater *i, thrum_slice *in, uint8_t *to, size_t *room);
/* Is all that has come a run of whole blocks? */
bool inflater_is_between(const struct inflater *i);
/* Did it end with a final block, which nothing need follow? */
bool inflater_is_final(const struct inflater *i);
/* Copies the last bytes of the text, at most max; returns how many. */
size_t inflater_dict(struct inflater *i, uint8_t *to, size_t max);

/* ---- what it costs: bytes that all connections of the process hold for compression, and what they may */
void *codec_alloc(size_t n); /* counted */
void codec_free(void *p, size_t n);
size_t codec_held(void);
enum codec_load { CODEC_FINE, CODEC_TIGHT, CODEC_FULL }; /* over the budget, over twice the budget */
enum codec_load codec_load(void);
size_t codec_set_budget(size_t bytes); /* returns the one before */
void codec_trim(void);                 /* the stock's idle states go */
void inflater_trim(void);              /* its part of that; whole_trim is the other */

/* ---- between codec.c and the codecs */
struct deflate_codec {
    const char *name;
    bool any_bits; /* a state serves every window */
    struct deflater *(*make)(struct deflate_how how);
    bool (*run)(struct deflater *d, thrum_slice dict, const thrum_slice *v, size_t n);
    void (*free)(struct deflater *d);
};
struct deflater { /* at the front of each codec's own */
    const struct deflate_codec *codec;
    struct deflate_how how;
    uint8_t *out;
    size_t n, cap;
};
bool deflater_room(struct deflater *d, size_t more); /* behind out[n] */
extern const struct deflate_codec codec_zlib;
#ifdef THRUM_ISAL
extern const struct deflate_codec codec_isal;
#endif

#endif
