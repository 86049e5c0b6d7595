/* sha1.h: OpenSSL's SHA-1, by the calls that need no set-up and so leave no exit handler behind. */
#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

void sha1(uint8_t out[20], const void *p, size_t n);

#endif
