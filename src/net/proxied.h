/* proxied.h: a server's connection that a proxy passes on, with the PROXY protocol's header in front. */
#ifndef NET_PROXIED_H
#define NET_PROXIED_H

#include "net/stream.h"

/* Takes the header off inside its first reads; describes the client, once it is known, in the proxy's place.
 * `below` is the new stream's, also on failure. E_MEMORY. */
thrum_status stream_proxied(struct stream **out, struct stream *below, thrum_error *err);

#endif
