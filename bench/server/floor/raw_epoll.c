/* bench/server/floor/raw_epoll.c: what a byte costs on its way through epoll, recv and send: an echo that
 * parses nothing. `raw_epoll PORT echo`. */
#include "floor.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

static bool echo(struct floor_conn *c)
{
    static uint8_t room[FLOOR_ROOM];
    const ssize_t n = recv(c->fd, room, sizeof room, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    return floor_send(c, room, (size_t)n);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: raw_epoll PORT [echo]\n", stderr);
        return 2;
    }
    floor_loop(floor_listen(argv[1]), echo);
}
