/* bench/blocking/server.c: the one echo server that all clients of the benchmark talk to: poll, read, write,
 * one connection after the other, on processor 1. Prints its port and serves until its standard input ends.
 */
#include "plain.h"

#include <arpa/inet.h>
#include <errno.h>
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

static int listen_somewhere(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        plain_die("listen");
    printf("%u\n", (unsigned)ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

/* Answers one frame: data comes back, Close comes back and ends, Ping gets its Pong, Pong gets nothing. */
static bool answer(int fd, const struct plain_frame *f, const uint8_t *payload)
{
    if (f->opcode == 10)
        return true;
    const size_t header = plain_header(out, f->opcode == 9 ? 10 : f->opcode, f->payload, NULL);
    plain_mask(out + header, payload, f->payload, f->mask);
    plain_write(fd, out, header + f->payload);
    return f->opcode != 8;
}

static void serve(int fd)
{
    size_t n = 0;
    if (!plain_open_server(fd))
        return;
    for (;;) {
        struct plain_frame f;
        while (plain_parse(in, n, &f) && f.header + f.payload <= n) {
            const size_t whole = f.header + f.payload;
            if (!answer(fd, &f, in + f.header))
                return;
            memmove(in, in + whole, n - whole);
            n -= whole;
        }
        plain_wait(fd, POLLIN);
        const ssize_t r = read(fd, in + n, ROOM - n);
        if (r == 0 || (r < 0 && errno != EAGAIN))
            return;
        n += r > 0 ? (size_t)r : 0;
    }
}

int main(void)
{
    const int one = 1, listener = listen_somewhere();
    plain_pin(1);
    for (;;) {
        struct pollfd p[2] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 || p[1].revents != 0)
            return 0;
        const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        serve(fd);
        close(fd);
    }
}
