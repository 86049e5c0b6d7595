/* rand.h: the system's CSPRNG, drawn in pages of 4 KiB per thread so that a frame's mask costs no system
 * call. Bytes that were handed out are wiped; a page is dropped when the process has forked. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

int rand_bytes(uint8_t *p, size_t n); /* 0, or an errno; p is then not to be used */

#endif
