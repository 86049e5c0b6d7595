/* broken.c: a server that must fail, so that the judge is known to judge (tests/conformance/run
 * --judge-check). Thrum shakes hands; then frames are echoed one by one by code that checks nothing: no
 * UTF-8, RSV bits, opcodes, order of fragments or close codes, and its pongs have one byte wrong. One
 * connection at a time, until standard input ends. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <thrum/proto.h>

enum { CHUNK = 65536, LONGEST = 1 << 26, CLOSE = 8, PING = 9, PONG = 10 };

static int chance(void *ctx, uint8_t *p, size_t n)
{
    (void)ctx;
    return getrandom(p, n, 0) == (ssize_t)n ? 0 : -1;
}

static bool put(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t done = send(fd, at, n, MSG_NOSIGNAL);
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

static bool take(int fd, void *p, size_t n)
{
    return n == 0 || recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

/* The request comes byte by byte, so that nothing behind it is swallowed. */
static bool shake(int fd)
{
    thrum_proto *p;
    thrum_slice v[8];
    thrum_error e;
    thrum_host host = {.size = sizeof host, .random = chance};
    uint8_t byte;
    bool open = thrum_proto_server(&p, NULL, &host, 0, &e) == THRUM_OK;
    while (open && thrum_proto_state(p) == THRUM_CONNECTING)
        open = take(fd, &byte, 1) && thrum_proto_feed(p, &byte, 1, 0) == THRUM_OK;
    size_t n = open ? thrum_proto_out(p, v, 8) : 0;
    for (size_t i = 0; open && i < n; i++)
        open = put(fd, v[i].p, v[i].n);
    thrum_proto_free(p);
    return open;
}

static uint64_t big_endian(const uint8_t *p, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

/* The same head again without the mask, and the payload. False ends the connection. */
static bool echo_frame(int fd, uint8_t *payload)
{
    uint8_t head[10], key[4];
    if (!take(fd, head, 2))
        return false;
    unsigned form = head[1] & 127U, opcode = head[0] & 15U;
    size_t wide = form == 127 ? 8 : form == 126 ? 2 : 0;
    if (!take(fd, head + 2, wide) || !take(fd, key, sizeof key))
        return false;
    uint64_t n = wide ? big_endian(head + 2, wide) : form;
    if (n > LONGEST || !take(fd, payload, (size_t)n))
        return false;
    for (size_t i = 0; i < n; i++)
        payload[i] ^= key[i % 4];
    if (opcode == PING) {
        head[0] = 0x80 | PONG;
        payload[0] ^= 1;
    } else if (opcode == PONG) {
        return true;
    }
    head[1] = (uint8_t)form;
    return put(fd, head, 2 + wide) && put(fd, payload, (size_t)n) && opcode != CLOSE;
}

static int listen_anywhere(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)&a, &len)) {
        perror("broken server");
        exit(1);
    }
    printf("ws://127.0.0.1:%u/\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

int main(void)
{
    uint8_t *payload = malloc(LONGEST);
    struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
    if (!payload)
        return 1;
    p[1].fd = listen_anywhere();
    while (poll(p, 2, -1) > 0 && !p[0].revents) {
        int fd = accept(p[1].fd, NULL, NULL);
        if (shake(fd))
            while (echo_frame(fd, payload))
                ;
        close(fd);
    }
    close(p[1].fd);
    free(payload);
    return 0;
}
