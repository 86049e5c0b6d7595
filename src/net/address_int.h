/* address_int.h: what the net room knows about addresses, beside resolve.h's address_text. */
#ifndef NET_ADDRESS_INT_H
#define NET_ADDRESS_INT_H

#include "net/resolve.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* 1: *out is the address that `host` writes out in digits (IPv4, IPv6, IPv6 with "%zone" or "%25zone"); 0: it
 * is a name; -1: it is neither, and *why is a sentence. */
int address_numeric(struct address *out, thrum_slice host, uint16_t port, const char **why);
/* A Unix socket's path as it stands in a URI (percent-encoded). False and a sentence: empty, too long, a NUL.
 */
bool address_unix(struct address *out, thrum_slice path, const char **why);
void address_v4(struct address *out, uint32_t host_order, uint16_t port);
void address_v6(struct address *out, const struct in6_addr *ip, uint32_t scope, uint16_t port);
void address_host_text(const struct address *a, char *out,
                       size_t cap); /* "192.0.2.1", "::1": without a port */
int address_family(const struct address *a);
uint16_t address_port(const struct address *a); /* 0 for a Unix socket */
void address_set_port(struct address *a, uint16_t port);
/* For errno to sentence: is it this process or machine that ran out of something, rather than the peer's
 * absence? */
bool address_errno_is_local(int e);

#endif
