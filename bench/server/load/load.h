/* bench/server/load/load.h: the load generator of bench/run-server: one process on one processor, epoll, many
 * connections, a closed loop. It shares no code with the library that it measures.
 *
 *     options.c   the command line                     histogram.c  latencies
 *     reel.c      the messages, masked in advance      meter.c      what the server spent
 *     conn.c      connect, TLS, handshake, bytes       scan.c       frames in, each message checked
 *     drive.c     the phases and the event loop        load.c       main, and the line of figures
 */
#ifndef LOAD_H
#define LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>

/* ---- options --------------------------------------------------------------------------------------------
 */
struct options {
    unsigned port;
    size_t conns, depth, size;
    double warm, run, share; /* seconds of each phase */
    bool raw;                /* no handshake, and what comes back is what was sent, masks and all */
    bool tls, deflate;
    bool broadcast; /* one more connection sends; every message comes to all */
    pid_t server;   /* measured; 0: nobody is */
    int cpu, server_cpu;
};
extern struct options opt;
void options_read(int argc, char **argv);

/* Prints a sentence and ends the program. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *text, ...);
int64_t now_ns(void);
void *must(void *p); /* p, unless it is NULL: memory is not what is measured here */

/* ---- the reel: messages that every connection sends again and again -------------------------------------
 */
struct message {
    const uint8_t *plain; /* what the server is to send back */
    size_t size;
    uint64_t sum;    /* of its bytes */
    size_t begin[2]; /* of its frame in frames[0] and frames[1] */
};
struct reel {
    struct message *messages;
    size_t count; /* a multiple of opt.depth */
    /* The frames one after the other. There is a second turn only with context takeover: its messages refer
     * back to those of the turn before, so it is what follows the first turn, and every later one. */
    uint8_t *frames[2];
    unsigned turns;
    size_t end[2];
    uint8_t *plain;
};
extern struct reel reel;
/* What the server said to the offer of permessage-deflate. */
struct agreement {
    bool compressed, client_takeover, server_takeover;
    int client_bits, server_bits;
};
void reel_make(const struct agreement *a);
void reel_free(void);
uint64_t sum_bytes(const uint8_t *p, size_t n);

/* ---- connections ----------------------------------------------------------------------------------------
 */
enum stage { STAGE_CONNECTING, STAGE_TLS, STAGE_GREETING, STAGE_OPEN };
struct conn {
    int fd;
    uint8_t stage;
    bool wants_out, sends;
    SSL *ssl;
    const uint8_t *out; /* the rest of what is being sent */
    size_t out_left;
    size_t next;        /* in the reel: to be sent */
    uint8_t turn;       /* which reel */
    unsigned in_flight; /* messages */
    int64_t sent_at;
    /* scan.c: the frame that is coming */
    uint8_t head[14], head_n, opcode;
    bool fin, small; /* small: the message is compressed */
    uint64_t left;   /* of its payload */
    /* and the message */
    size_t awaited; /* in the reel */
    uint64_t offset, sum;
    z_stream *inflate; /* as long as messages are checked */
    size_t inflated;
    unsigned checked; /* messages compared byte for byte */
};

/* Starts to connect. */
void conn_begin(struct conn *c, size_t index);
/* Goes on with whatever the opening waits for; text of the answer goes to `answer`. */
void conn_open(struct conn *c, struct agreement *answer);
void conn_send(struct conn *c, const uint8_t *p, size_t n);
void conn_flush(struct conn *c);
/* Bytes into `room`: 0 when there are none now. Sets *more where another read may bring some. */
size_t conn_read(struct conn *c, uint8_t *room, size_t size, bool *more);
void conn_end(struct conn *c);
extern int poller;

/* ---- frames in ------------------------------------------------------------------------------------------
 */
struct counts {
    uint64_t messages, bytes; /* whole messages, bytes of their text */
    uint64_t wire;            /* bytes of payload as they came */
    uint64_t frames;
};
extern struct counts seen;
extern bool checking; /* byte for byte, not only by sum */
/* Goes through n bytes, and gives the number of messages that ended in them. */
unsigned scan(struct conn *c, const uint8_t *p, size_t n);
void scan_begin(struct conn *c, const struct agreement *a);
void scan_end(struct conn *c);

/* ---- figures --------------------------------------------------------------------------------------------
 */
void histogram_add(int64_t ns, unsigned times);
double histogram_us(double share); /* 0.5: the median */

struct meter {
    int64_t at, cpu;                 /* ns */
    unsigned long long utime, stime; /* ticks of the kernel's clock */
};
/* What the server has used up to now. */
void meter_read(struct meter *m);
/* Samples the server's processor; the share of the samples in which the server was in user space. False: the
 * kernel does not let us. */
bool meter_sample_begin(void);
void meter_sample_end(uint64_t *user, uint64_t *kernel);
long meter_memory(const char *field); /* KiB, of /proc/PID/status */

/* ---- phases ---------------------------------------------------------------------------------------------
 */
struct outcome {
    struct counts run;
    struct meter begin, end;
    uint64_t sent, sampled_user, sampled_kernel;
    double open_seconds;
    long rss, peak;
    bool sampled;
    struct agreement agreement;
};
void drive(struct outcome *o);

#endif
