/* bench/blocking/by_hand.c: the yardstick: the exchange as one would write it by hand, with poll, read and
 * write, masking and the least of frame parsing. `by_hand PORT SIZE COUNT [busy]`: busy asks the socket again
 * and again instead of sleeping in poll. Prints one line of figures (see plain.h). */
#include "plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 1 << 20 };
static uint8_t in[ROOM], out[ROOM];
static bool busy;

static int dial(unsigned port)
{
    const int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) != 0)
        plain_die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    plain_open_client(fd, port);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void send_frame(int fd, const uint8_t *payload, size_t size)
{
    /* A cheap generator: a library needs a better one, and pays for it (RFC 6455 section 10.3). */
    static uint32_t state = 2463534242;
    uint8_t mask[4];
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    memcpy(mask, &state, 4);
    const size_t header = plain_header(out, 2, size, mask);
    plain_mask(out + header, payload, size, mask);
    plain_write(fd, out, header + size);
}

static void recv_frame(int fd, size_t size)
{
    struct plain_frame f;
    for (size_t n = 0;;) {
        if (!busy)
            plain_wait(fd, POLLIN);
        const ssize_t r = read(fd, in + n, ROOM - n);
        if (r == 0 || (r < 0 && errno != EAGAIN))
            plain_die("read");
        n += r > 0 ? (size_t)r : 0;
        if (plain_parse(in, n, &f) && f.header + f.payload <= n)
            break;
    }
    if (f.opcode != 2 || f.payload != size) {
        errno = EPROTO;
        plain_die("answer");
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: by_hand PORT SIZE COUNT [busy]\n", stderr);
        return 2;
    }
    const size_t size = strtoul(argv[2], NULL, 10);
    const long count = strtol(argv[3], NULL, 10);
    uint8_t *payload = calloc(1, size + 1);
    struct plain_clock start;
    if (payload == NULL || size > ROOM - PLAIN_MAX_HEADER)
        plain_die("size");
    busy = argc > 4 && strcmp(argv[4], "busy") == 0;
    plain_pin(0);
    const int fd = dial((unsigned)strtoul(argv[1], NULL, 10));
    plain_start(&start);
    for (long i = 0; i < count; i++) {
        send_frame(fd, payload, size);
        recv_frame(fd, size);
    }
    plain_report(&start, count, 0);
    close(fd);
    free(payload);
    return 0;
}
