/* bench/blocking/plain.h: the least that a program needs to speak WebSocket by hand: the yardstick of this
 * benchmark, and its one server. Not a library: it trusts its peer, and every failure ends the program. */
#ifndef PLAIN_H
#define PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAIN_MAX_HEADER = 14 };

/* Prints what failed (with errno) and ends the program. */
__attribute__((noreturn)) void plain_die(const char *what); /* C++ reads this too */
/* The calling thread, and what it starts, stays on one processor. Where that cannot be had, it says so. */
void plain_pin(int cpu);
int64_t plain_now(void); /* ns */

/* ---- frames (RFC 6455 section 5.2), FIN set, data frames only -------------------------------------------
 */
struct plain_frame {
    size_t header, payload; /* bytes */
    unsigned opcode;
    uint8_t mask[4];
};
/* False while the header is not whole. */
bool plain_parse(const uint8_t *p, size_t n, struct plain_frame *f);
/* Writes a header and gives its length; mask NULL: none. */
size_t plain_header(uint8_t *p, unsigned opcode, size_t n, const uint8_t mask[4]);
void plain_mask(uint8_t *to, const uint8_t *from, size_t n, const uint8_t mask[4]);

/* ---- sockets --------------------------------------------------------------------------------------------
 */
/* Writes all, waiting with poll where the socket is full. */
void plain_write(int fd, const uint8_t *p, size_t n);
void plain_wait(int fd, short events);
/* Both sides of the opening handshake. False: the peer has gone. */
void plain_open_client(int fd, unsigned port);
bool plain_open_server(int fd);
/* The server's answer to a whole head; gives its length, 0: this is no handshake. */
size_t plain_answer(const char *head, char *answer, size_t size);

/* ---- figures --------------------------------------------------------------------------------------------
 */
struct plain_clock {
    int64_t wall, user, system; /* ns, of this process */
};
void plain_start(struct plain_clock *c);
/* One line: round trips, wall, user and system seconds, library threads. */
void plain_report(const struct plain_clock *start, long count, int threads);

#endif
