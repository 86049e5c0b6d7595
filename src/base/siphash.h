/* siphash.h: SipHash-2-4 (Aumasson and Bernstein, 2012), a hash of what peers choose: who does not know the
 * key cannot make many texts fall together. Byte after byte, so that all prefixes of a text cost little more
 * than the text. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash {
    uint64_t v[4], tail; /* tail: bytes that do not fill a word yet */
    uint8_t n;           /* bytes so far, modulo 256 */
};

void siphash_init(struct siphash *s, const uint8_t key[16]);
void siphash_add(struct siphash *s, const void *p, size_t n);
/* The hash of what was added so far; more may be added. */
uint64_t siphash_value(const struct siphash *s);

#endif
