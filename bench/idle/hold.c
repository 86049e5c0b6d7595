/* bench/idle/hold.c: opens connections and holds them, so that bench/run-idle can look at what they cost the
 * server.
 *
 *     hold PORT COUNT FIRST [deflate]   FIRST: the number of the first among all that other processes hold
 *     hold --bare COUNT                 pairs of sockets of its own, to know what a bare socket costs the
 * kernel
 *
 * Says `open` when all are open. Then it reads lines: `echo` sends a message on each connection and says
 * `echoed` when all are back; at the end of its input it ends. Its sockets are in no epoll and block: what is
 * measured is the server's side. */
#include "../blocking/plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>
#include <zlib.h>

/* PER_ADDRESS: a source address has some 28,000 ports. BATCH: messages under way at once. */
enum { PER_ADDRESS = 15000, BATCH = 256, TEXT = 1024, ROOM = 8192 };
static const char request[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n";
static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

static struct sockaddr_in loopback(size_t number, unsigned port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number / PER_ADDRESS))};
}

static int dial(size_t number, unsigned port)
{
    const int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in from = loopback(number, 0), to = loopback(0, port);
    if (fd < 0)
        plain_die("socket");
    /* The port is chosen by connect, not yet by bind, which knows no peer. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    /* It ends by a reset: nothing of it is to stay in TIME_WAIT. */
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    if (bind(fd, (const struct sockaddr *)&from, sizeof from) != 0 ||
        connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
        plain_die("connect");
    return fd;
}

static void say(const char *what)
{
    puts(what);
    fflush(stdout);
}

/* ---- opening --------------------------------------------------------------------------------------------
 */

static void open_all(int *fds, size_t count, size_t first, unsigned port, bool deflate)
{
    char text[512], answer[4096];
    const int n = snprintf(text, sizeof text, request, deflate ? offer : "");
    for (size_t i = 0; i < count; i++) {
        fds[i] = dial(first + i, port);
        plain_write(fds[i], (const uint8_t *)text, (size_t)n);
        size_t had = 0;
        do {
            const ssize_t r = recv(fds[i], answer + had, sizeof answer - 1 - had, 0);
            if (r <= 0)
                plain_die("handshake");
            had += (size_t)r;
            answer[had] = '\0';
        } while (strstr(answer, "\r\n\r\n") == NULL);
        errno = EPROTO;
        if (strncmp(answer, "HTTP/1.1 101", 12) != 0)
            plain_die("handshake");
        if (deflate && strstr(answer, "permessage-deflate") == NULL)
            plain_die("compression");
    }
}

/* ---- echoes ---------------------------------------------------------------------------------------------
 */

static size_t make_message(uint8_t *to, bool deflated)
{
    uint8_t text[TEXT], small[2 * TEXT];
    const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    for (size_t i = 0; i < TEXT; i++)
        text[i] = (uint8_t)('a' + i * i % 23 % 26);
    z_stream z = {.next_in = text, .avail_in = TEXT, .next_out = small, .avail_out = sizeof small};
    /* A window of 9 bits: what the server asked for, whatever it was, is kept. */
    if (deflateInit2(&z, 6, Z_DEFLATED, -9, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&z, Z_SYNC_FLUSH) != Z_OK)
        plain_die("zlib");
    const size_t size = deflated ? sizeof small - z.avail_out - 4 : TEXT;
    deflateEnd(&z);
    const size_t header = plain_header(to, 1, size, mask);
    to[0] |= deflated ? 0x40 : 0;
    plain_mask(to + header, deflated ? small : text, size, mask);
    return header + size;
}

/* Frames until one ends a message; a ping may come between. */
static void await_message(int fd)
{
    uint8_t in[ROOM];
    struct plain_frame f;
    size_t n = 0;
    for (;;) {
        while (!plain_parse(in, n, &f) || f.header + f.payload > n) {
            const ssize_t r = n < ROOM ? recv(fd, in + n, ROOM - n, 0) : 0;
            if (r <= 0)
                plain_die("echo");
            n += (size_t)r;
        }
        const bool ends = (in[0] & 0x80) != 0 && f.opcode < 8;
        n -= f.header + f.payload;
        memmove(in, in + f.header + f.payload, n);
        if (ends)
            return;
    }
}

static void echo_all(const int *fds, size_t count, bool deflate)
{
    uint8_t message[ROOM];
    const size_t n = make_message(message, deflate);
    for (size_t i = 0; i < count; i += BATCH) {
        const size_t end = i + BATCH < count ? i + BATCH : count;
        for (size_t k = i; k < end; k++)
            plain_write(fds[k], message, n);
        for (size_t k = i; k < end; k++)
            await_message(fds[k]);
    }
}

/* ---- a bare socket --------------------------------------------------------------------------------------
 */

static void open_pairs(int *fds, size_t count)
{
    struct sockaddr_in a = loopback(0, 0);
    socklen_t size = sizeof a;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&a, &size) != 0)
        plain_die("listen");
    for (size_t i = 0; i < count; i++) {
        fds[2 * i] = dial(0, ntohs(a.sin_port));
        fds[2 * i + 1] = accept(listener, NULL, NULL);
        if (fds[2 * i + 1] < 0)
            plain_die("accept");
    }
}

int main(int argc, char **argv)
{
    char line[64];
    struct rlimit files;
    const bool bare = argc == 3 && strcmp(argv[1], "--bare") == 0;
    if (!bare && argc < 4) {
        fputs("usage: hold PORT COUNT FIRST [deflate]\n       hold --bare COUNT\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is held for one who has gone */
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const bool deflate = argc > 4 && strcmp(argv[4], "deflate") == 0;
    const size_t count = strtoul(argv[2], NULL, 10);
    int *fds = calloc(2 * count + 1, sizeof *fds);
    if (fds == NULL)
        plain_die("memory");
    if (bare)
        open_pairs(fds, count);
    else
        open_all(fds, count, strtoul(argv[3], NULL, 10), (unsigned)strtoul(argv[1], NULL, 10), deflate);
    say("open");
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (bare || strcmp(line, "echo\n") != 0)
            continue;
        echo_all(fds, count, deflate);
        say("echoed");
    }
    free(fds);
    return 0;
}
