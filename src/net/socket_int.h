/* socket_int.h: sockets that this room opened itself. */
#ifndef NET_SOCKET_INT_H
#define NET_SOCKET_INT_H

#include "net/resolve.h"
#include "net/stream.h"

/* As stream_socket, for a socket known to be connected, non-blocking and close-on-exec. Owns fd. 0 or a
 * negative errno. */
int socket_wrap(struct stream **out, int fd, const struct address *peer);

#endif
