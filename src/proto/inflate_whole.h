/* inflate_whole.h: inflating a message that is here as a whole, in one go: in less than half of the time that
 * zlib takes, which can be fed byte by byte. It takes what is common; whatever is odd or broken is left to
 * zlib, from the start: so what is said of a fault is zlib's word, however the message was cut. Two faults
 * that no compressor makes pass here (see the test), and the text is then libdeflate's guess at it. */
#ifndef PROTO_INFLATE_WHOLE_H
#define PROTO_INFLATE_WHOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/slice.h>

enum { WHOLE_IN_MOST = 32 * 1024, WHOLE_MOST = 64 * 1024 }; /* bytes of a message, and of its text */

/* A state for this call, from the process's stock; NULL where there is no memory, or no libdeflate. */
struct whole *whole_take(void);
void whole_give(struct whole *w); /* NULL is fine */
/* Is `in`, from which RFC 7692's four last bytes were taken, a run of whole blocks? Then *text is its text,
 * of at most `most` bytes; it holds until the next call on w. False: it may be so nevertheless. */
bool whole_inflate(struct whole *w, thrum_slice dict, thrum_slice in, size_t most, thrum_slice *text);
/* Copies the last bytes of dict and text, at most max; returns how many. */
size_t whole_dict(const struct whole *w, uint8_t *to, size_t max);
void whole_trim(void); /* the stock's idle states go */

#endif
