/* bench/server/floor/minimal_epoll.c: the least that can be called a WebSocket server: epoll, one buffer for
 * all, each frame unmasked where it stands and sent back from there, a piece of a frame as a piece. No
 * message is ever put together, no limit kept, no rule of the protocol checked. `minimal_epoll PORT
 * echo|broadcast`. */
#include "../../blocking/plain.h"
#include "floor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static uint8_t room[FLOOR_ROOM];
static bool to_all;

static bool handshake(struct floor_conn *c)
{
    char head[2048], answer[256];
    const ssize_t n = recv(c->fd, head, sizeof head - 1, 0); /* a load generator's request comes whole */
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    head[n] = '\0';
    const size_t size = plain_answer(head, answer, sizeof answer);
    c->open = size > 0;
    return size > 0 && floor_send(c, (const uint8_t *)answer, size);
}

/* Takes a header, which may come in pieces, and writes that of the answer. Gives the bytes used. */
static size_t header(struct floor_conn *c, const uint8_t *p, size_t n, uint8_t *to, size_t *written)
{
    struct plain_frame f;
    size_t used = 0;
    *written = 0;
    if (c->head_n == 0 && plain_parse(p, n, &f)) {
        used = f.header;
    } else {
        bool whole = false;
        while (!whole && used < n) {
            c->head[c->head_n++] = p[used++];
            whole = plain_parse(c->head, c->head_n, &f);
        }
        if (!whole)
            return used;
        c->head_n = 0;
    }
    *written = plain_header(to, f.opcode, f.payload, NULL);
    memcpy(c->mask, f.mask, 4);
    c->left = f.payload;
    c->offset = 0;
    return used;
}

/* In place: an answer is never longer than what it answers, so it is written behind what has been read. Where
 * a header began in the bytes before p, as many are free there. Gives the size, and the beginning in *start.
 */
static size_t answer(struct floor_conn *c, uint8_t *p, size_t n, uint8_t **start)
{
    size_t out = 0, in = 0;
    struct plain_frame f;
    *start = p - c->head_n;
    if (c->left == 0 && c->head_n == 0 && plain_parse(p, n, &f))
        *start = p + 4; /* no mask in the answer: so the first payload stays where it is */
    while (in < n) {
        if (c->left == 0) {
            uint8_t head[PLAIN_MAX_HEADER];
            size_t written;
            in += header(c, p + in, n - in, head, &written);
            memcpy(*start + out, head, written);
            out += written;
        }
        const size_t part = c->left < n - in ? (size_t)c->left : n - in;
        uint8_t mask[4];
        for (unsigned i = 0; i < 4; i++)
            mask[i] = c->mask[(c->offset + i) & 3];
        plain_mask(*start + out, p + in, part, mask);
        in += part;
        out += part;
        c->left -= part;
        c->offset += part;
    }
    return out;
}

static bool serve(struct floor_conn *c)
{
    if (!c->open)
        return handshake(c);
    uint8_t *p = room + PLAIN_MAX_HEADER, *start;
    const ssize_t n = recv(c->fd, p, sizeof room - PLAIN_MAX_HEADER, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    const size_t size = answer(c, p, (size_t)n, &start);
    if (size == 0)
        return true;
    if (!to_all)
        return floor_send(c, start, size);
    for (size_t i = 0; i < floor_conn_count; i++)
        if (floor_conns[i]->open)
            floor_send(floor_conns[i], start, size);
    return true;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: minimal_epoll PORT echo|broadcast\n", stderr);
        return 2;
    }
    to_all = strcmp(argv[2], "broadcast") == 0;
    floor_loop(floor_listen(argv[1]), serve);
}
