/* bench/blocking/plain.c: see plain.h. */
#include "plain.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void plain_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

void plain_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fprintf(stderr, "cannot stay on processor %d: %s\n", cpu, strerror(errno));
}

int64_t plain_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- frames ---------------------------------------------------------------------------------------------
 */
bool plain_parse(const uint8_t *p, size_t n, struct plain_frame *f)
{
    if (n < 2)
        return false;
    const size_t low = p[1] & 0x7fu;
    const size_t length_bytes = low == 127 ? 8 : low == 126 ? 2 : 0;
    const bool masked = (p[1] & 0x80) != 0;
    f->opcode = p[0] & 0x0fu;
    f->header = 2 + length_bytes + (masked ? 4 : 0);
    if (n < f->header)
        return false;
    f->payload = length_bytes == 0 ? low : 0;
    for (size_t i = 0; i < length_bytes; i++)
        f->payload = f->payload << 8 | p[2 + i];
    memset(f->mask, 0, 4);
    if (masked)
        memcpy(f->mask, p + f->header - 4, 4);
    return true;
}

size_t plain_header(uint8_t *p, unsigned opcode, size_t n, const uint8_t mask[4])
{
    const size_t length_bytes = n > 65535 ? 8 : n > 125 ? 2 : 0;
    const size_t low = length_bytes == 8 ? 127 : length_bytes == 2 ? 126 : n;
    p[0] = (uint8_t)(0x80 | opcode);
    p[1] = (uint8_t)(low | (mask != NULL ? 0x80 : 0));
    for (size_t i = 0; i < length_bytes; i++)
        p[2 + i] = (uint8_t)(n >> (8 * (length_bytes - 1 - i)));
    if (mask == NULL)
        return 2 + length_bytes;
    memcpy(p + 2 + length_bytes, mask, 4);
    return 6 + length_bytes;
}

void plain_mask(uint8_t *to, const uint8_t *from, size_t n, const uint8_t mask[4])
{
    uint64_t wide = 0, word = 0;
    memcpy(&wide, mask, 4);
    memcpy((uint8_t *)&wide + 4, mask, 4);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < n; i++)
        to[i] = from[i] ^ mask[i & 3];
}

/* ---- sockets --------------------------------------------------------------------------------------------
 */
void plain_wait(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    if (poll(&p, 1, -1) < 0 && errno != EINTR)
        plain_die("poll");
}

void plain_write(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        const ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EAGAIN) {
            plain_wait(fd, POLLOUT);
            continue;
        }
        if (w < 0)
            plain_die("write");
        p += w;
        n -= (size_t)w;
    }
}

/* ---- figures --------------------------------------------------------------------------------------------
 */
static int64_t span(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

void plain_start(struct plain_clock *c)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    *c = (struct plain_clock){plain_now(), span(u.ru_utime), span(u.ru_stime)};
}

void plain_report(const struct plain_clock *start, long count, int threads)
{
    struct plain_clock end;
    plain_start(&end);
    printf("%ld\t%.6f\t%.6f\t%.6f\t%d\n", count, (double)(end.wall - start->wall) / 1e9,
           (double)(end.user - start->user) / 1e9, (double)(end.system - start->system) / 1e9, threads);
}
