/* refer.h: where a Location leads (RFC 9110 section 10.2.2, RFC 3986 section 5). */
#ifndef WIRE_REFER_H
#define WIRE_REFER_H

#include "wire/uri.h"

/* Writes the URL that `ref` means, seen from base, with a NUL: http: and https: become ws: and wss:, a
 * fragment is dropped. False and a sentence: another scheme, from a Unix socket to a host, too long for cap.
 * The result is still to be parsed. */
bool refer_resolve(char *out, size_t cap, const struct uri *base, thrum_slice ref, const char **why);
/* The same scheme, host and port (RFC 6454 section 4), or the same Unix socket? */
bool refer_same_origin(const struct uri *a, const struct uri *b);

#endif
