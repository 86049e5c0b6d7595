/* cidr.h: blocks of addresses, "192.0.2.0/24" or "2001:db8::/32" (RFC 4632, RFC 4291). IPv4 is kept as IPv6
 * has it
 * (::ffff:0:0/96), so that the two forms of one address are one. */
#ifndef BASE_CIDR_H
#define BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cidr {
    uint8_t ip[16];
    uint8_t bits;
};
/* An address, alone or in brackets, or a block. False: it is neither. */
bool cidr_parse(struct cidr *c, const char *s, size_t n);
/* The address of a peer as it is shown: "192.0.2.1:443", "[::1%lo]:80". False: it is none (a Unix socket). */
bool cidr_parse_peer(struct cidr *c, const char *peer);
/* Is the address (or the block) `in` within c? */
bool cidr_has(const struct cidr *c, const struct cidr *in);

#endif
