/* chunked.h: RFC 9112 section 7.1, the chunked transfer coding, taken off. */
#ifndef WIRE_CHUNKED_H
#define WIRE_CHUNKED_H

#include <stddef.h>
#include <stdint.h>
#include <thrum/slice.h>

struct chunked { /* all zero to begin */
    uint8_t state;
    uint32_t line; /* bytes of the size line or of the trailer so far */
    uint64_t left; /* of the chunk */
};
enum chunked_result { CHUNKED_MORE, CHUNKED_DATA, CHUNKED_END, CHUNKED_BAD };
/* Takes bytes off *in. DATA: *data is the next piece of the body, and there may be more in *in; MORE: *in is
 * empty; END: the coding has ended, *in is what is behind it; BAD: it is none (a size over 2^56, say, or a
 * line over 4 KiB).
 */
enum chunked_result chunked_next(struct chunked *c, thrum_slice *in, thrum_slice *data);

#endif
