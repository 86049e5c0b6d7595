/* mask.h: RFC 6455 section 5.3. */
#ifndef WIRE_MASK_H
#define WIRE_MASK_H

#include <stddef.h>
#include <stdint.h>

/* dst[i] = src[i] ^ key[(at + i) % 4]; dst and src are the same or do not overlap; no alignment is asked for.
 */
void mask_apply(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at);

#endif
