/* bench/server/floor/floor.c: see floor.h. */
#include "floor.h"
#include "../../blocking/plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, MOST_FILES = 1 << 20 };
int floor_poller = -1;
struct floor_conn **floor_conns;
size_t floor_conn_count;

int floor_listen(const char *port)
{
    const int one = 1;
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit files;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (getenv("BENCH_REUSEPORT") != NULL)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4096) != 0)
        plain_die("listen");
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    return fd;
}

void floor_ready(void)
{
    puts("ready");
    fflush(stdout);
}

/* ---- writing --------------------------------------------------------------------------------------------
 */

static void await(struct floor_conn *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(floor_poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void keep(struct floor_conn *c, const uint8_t *p, size_t n)
{
    if (c->rest_n + n > c->rest_room) {
        c->rest_room = 2 * (c->rest_n + n);
        c->rest = realloc(c->rest, c->rest_room);
        if (c->rest == NULL)
            plain_die("memory");
    }
    memcpy(c->rest + c->rest_n, p, n);
    if (c->rest_n == 0)
        await(c, EPOLLOUT);
    c->rest_n += n;
}

bool floor_send(struct floor_conn *c, const uint8_t *p, size_t n)
{
    if (c->rest_n > 0) {
        keep(c, p, n);
        return true;
    }
    const ssize_t w = send(c->fd, p, n, MSG_NOSIGNAL);
    if (w < 0 && errno != EAGAIN)
        return false;
    const size_t gone = w < 0 ? 0 : (size_t)w;
    if (gone < n)
        keep(c, p + gone, n - gone);
    return true;
}

static bool send_rest(struct floor_conn *c)
{
    const ssize_t w = send(c->fd, c->rest, c->rest_n, MSG_NOSIGNAL);
    if (w < 0)
        return errno == EAGAIN;
    c->rest_n -= (size_t)w;
    memmove(c->rest, c->rest + w, c->rest_n);
    if (c->rest_n > 0)
        return true;
    free(c->rest);
    c->rest = NULL;
    c->rest_room = 0;
    await(c, EPOLLIN);
    return true;
}

/* ---- the loop -------------------------------------------------------------------------------------------
 */

static void welcome(int listener)
{
    const int one = 1;
    for (;;) {
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct floor_conn *c = calloc(1, sizeof *c);
        if (c == NULL)
            plain_die("memory");
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(floor_poller, EPOLL_CTL_ADD, fd, &e);
        floor_conns[floor_conn_count++] = c;
    }
}

static void leave(struct floor_conn *c)
{
    for (size_t i = 0; i < floor_conn_count; i++)
        if (floor_conns[i] == c) {
            floor_conns[i] = floor_conns[--floor_conn_count];
            break;
        }
    close(c->fd);
    free(c->rest);
    free(c);
}

void floor_loop(int listener, bool (*serve)(struct floor_conn *c))
{
    static struct epoll_event events[EVENTS];
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    floor_poller = epoll_create1(EPOLL_CLOEXEC);
    floor_conns = malloc(MOST_FILES * sizeof *floor_conns);
    if (floor_poller < 0 || floor_conns == NULL || epoll_ctl(floor_poller, EPOLL_CTL_ADD, listener, &e) != 0)
        plain_die("epoll");
    floor_ready();
    for (;;) {
        const int n = epoll_wait(floor_poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct floor_conn *c = events[i].data.ptr;
            if (c == NULL)
                welcome(listener);
            else if (!(events[i].events & EPOLLOUT ? send_rest(c) : serve(c)))
                leave(c);
        }
    }
}
