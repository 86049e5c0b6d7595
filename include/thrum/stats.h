/* thrum/stats.h: counters of a connection. */
#ifndef THRUM_STATS_H
#define THRUM_STATS_H

#include <thrum/thrum.h>

THRUM_BEGIN
typedef struct thrum_stats {
    size_t size; /* set by the caller; the library fills that many bytes */
    uint64_t messages_in, messages_out, bytes_in,
        bytes_out;              /* bytes: of payload, control frames not counted */
    uint64_t wire_in, wire_out; /* bytes on the wire, handshake included */
    uint64_t pings_in, pings_out, pongs_in, pongs_out;
    uint64_t queued_messages, queued_in,
        queued_out;     /* now: messages and bytes not taken; bytes not written */
    int64_t latency_ns; /* as thrum_latency */
} thrum_stats;
/* [any] Fills *out; E_ARGUMENT when out->size is 0 or no multiple of 8. */
THRUM_API thrum_status thrum_conn_stats(const thrum_conn *c, thrum_stats *out);
THRUM_END

#endif
