/* bench/server/floor/floor.h: what the floors share: a listener, and writing to a socket that may be full. */
#ifndef FLOOR_H
#define FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct floor_conn {
    int fd;
    bool open; /* the handshake is done */
    /* What the socket did not take; nothing is read while there is any. */
    uint8_t *rest;
    size_t rest_n, rest_room;
    /* minimal_epoll.c: the frame that is coming in */
    uint8_t head[14], head_n, mask[4];
    uint64_t left, offset; /* of its payload: still to come, gone by */
};

enum { FLOOR_ROOM = 256 * 1024 };

/* Listens on 127.0.0.1; BENCH_REUSEPORT in the environment: shares the port with others. */
int floor_listen(const char *port);
void floor_ready(void); /* tells it to the one who waits */

/* The event loop: `serve` is called with each connection that has bytes, false ends it. */
extern int floor_poller;
__attribute__((noreturn)) void floor_loop(int listener, bool (*serve)(struct floor_conn *c));
/* Sends, and keeps what the socket does not take. False: the peer has gone. */
bool floor_send(struct floor_conn *c, const uint8_t *p, size_t n);
/* All connections there are, for a broadcast. */
extern struct floor_conn **floor_conns;
extern size_t floor_conn_count;

#endif
