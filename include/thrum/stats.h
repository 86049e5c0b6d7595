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
        queued_out;         /* now: messages and bytes not taken; bytes not written, TLS records included */
    int64_t latency_ns;     /* as thrum_latency */
    uint64_t compress_held, /* bytes that this connection holds now for permessage-deflate */
        compress_held_process; /* bytes that all of the process holds */
} thrum_stats;
/* [any] Fills *out; E_ARGUMENT when out->size is 0 or no multiple of 8. */
THRUM_API thrum_status thrum_conn_stats(const thrum_conn *c, thrum_stats *out);
/* [any] What all connections together should hold for permessage-deflate, in bytes: 256 MiB. Over it a
 * server's new connections agree on no_context_takeover both ways, so that they hold nothing between
 * messages; over twice as much they agree on no compression, and what is sent is compressed only where the
 * send asks for it. Returns what it was. */
THRUM_API uint64_t thrum_compression_budget(uint64_t bytes);
THRUM_END

#endif
