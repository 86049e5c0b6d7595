/* dial.h: from a URL to a connected stream. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/stream.h"
#include "wire/uri.h"
#include <stdbool.h>
#include <stdint.h>
#include <thrum/error.h>

/* Waits for `deadline` (clock_now) at the latest; wake_fd (>= 0) readable is not a reason to end, but
 * `interruptible` and EINTR is. Resolves (resolve.h), then tries the addresses as RFC 8305 asks: families
 * interleaved, the first family the resolver's, the next attempt 250 ms after the last or as soon as it
 * failed, the first that connects wins, all others are closed. The text of a failure names host, port, number
 * of addresses tried and the last error. E_RESOLVE, E_CONNECT, E_TIMEOUT, E_INTERRUPTED, E_MEMORY, E_SYSTEM.
 * A cancellation point; nothing leaks. */
thrum_status dial(struct stream **out, const struct uri *u, int64_t deadline, bool interruptible,
                  thrum_error *err);

#endif
