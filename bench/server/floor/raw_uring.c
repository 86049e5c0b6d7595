/* bench/server/floor/raw_uring.c: what a byte costs on its way through io_uring: an echo that parses nothing.
 * One recv for each connection that stays armed, buffers of a ring that the kernel takes from, one call of
 * the kernel for all that is ready. `raw_uring PORT echo`; exit status 77: this system has no io_uring for
 * us. */
#include "../../blocking/plain.h"
#include "floor.h"

#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Small buffers, and no more than the cache of a processor holds: each is used in turn. */
enum { ENTRIES = 4096, BUFFERS = 1024, BUFFER = 4096, GROUP = 1, NO_BUFFER = 0xffff, SKIP = 77 };
enum what { ACCEPT, RECV, SEND, WHAT = 3 }; /* in the low bits of a request's address */

struct peer {
    int fd;
    bool sending, receiving, gone;
    unsigned first, last; /* buffers that wait to be sent */
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static uint8_t *memory;
static unsigned next_of[BUFFERS], size_of[BUFFERS];

static struct io_uring_sqe *request(void *of, enum what what)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    if (sqe == NULL)
        plain_die("io_uring_get_sqe");
    sqe->user_data = (uint64_t)(uintptr_t)of | what;
    return sqe;
}

static void give_back(unsigned buffer)
{
    io_uring_buf_ring_add(buffers, memory + (size_t)buffer * BUFFER, BUFFER, (unsigned short)buffer,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static void receive(struct peer *p)
{
    struct io_uring_sqe *sqe = request(p, RECV);
    const uint64_t user_data = sqe->user_data;
    io_uring_prep_recv_multishot(sqe, p->fd, NULL, 0, 0);
    sqe->user_data = user_data;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    p->receiving = true;
}

/* One at a time, so that they stay in order. */
static void send_first(struct peer *p)
{
    struct io_uring_sqe *sqe = request(p, SEND);
    const uint64_t user_data = sqe->user_data;
    io_uring_prep_send(sqe, p->fd, memory + (size_t)p->first * BUFFER, size_of[p->first],
                       MSG_WAITALL | MSG_NOSIGNAL);
    sqe->user_data = user_data;
    p->sending = true;
}

static void leave_if_idle(struct peer *p)
{
    if (!p->gone || p->sending || p->receiving)
        return;
    close(p->fd);
    free(p);
}

static void received(struct peer *p, const struct io_uring_cqe *cqe)
{
    p->receiving = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (cqe->res > 0) {
        const unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        size_of[buffer] = (unsigned)cqe->res;
        next_of[buffer] = NO_BUFFER;
        if (p->first == NO_BUFFER)
            p->first = buffer;
        else
            next_of[p->last] = buffer;
        p->last = buffer;
        if (!p->sending)
            send_first(p);
    } else if (cqe->res != -ENOBUFS) {
        p->gone = true;
    }
    if (!p->receiving && !p->gone)
        receive(p); /* with no buffer left it fails again, until sends have given some back */
    leave_if_idle(p);
}

static void has_sent(struct peer *p, const struct io_uring_cqe *cqe)
{
    p->gone = p->gone || cqe->res < 0;
    p->sending = false;
    const unsigned buffer = p->first;
    p->first = next_of[buffer];
    give_back(buffer);
    while (p->gone && p->first != NO_BUFFER) {
        give_back(p->first);
        p->first = next_of[p->first];
    }
    if (p->first != NO_BUFFER)
        send_first(p);
    if (p->gone)
        shutdown(p->fd, SHUT_RDWR);
    leave_if_idle(p);
}

static void accept_more(int listener)
{
    struct io_uring_sqe *sqe = request(NULL, ACCEPT);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = ACCEPT;
}

static void welcome(int fd)
{
    const int one = 1;
    struct peer *p = calloc(1, sizeof *p);
    if (p == NULL)
        plain_die("memory");
    *p = (struct peer){.fd = fd, .first = NO_BUFFER};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    receive(p);
}

static void set_up(void)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_CQSIZE,
                                     .cq_entries = 8 * ENTRIES};
    void *there;
    if (io_uring_queue_init_params(ENTRIES, &ring, &params) != 0)
        exit(SKIP);
    if (posix_memalign(&there, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0)
        plain_die("memory");
    buffers = there;
    memory = aligned_alloc(4096, (size_t)BUFFERS * BUFFER);
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)buffers, .ring_entries = BUFFERS, .bgid = GROUP};
    if (memory == NULL || io_uring_register_buf_ring(&ring, &reg, 0) != 0)
        exit(SKIP);
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < BUFFERS; i++)
        give_back(i);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: raw_uring PORT [echo]\n", stderr);
        return 2;
    }
    const int listener = floor_listen(argv[1]);
    set_up();
    accept_more(listener);
    floor_ready();
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            struct peer *p = (struct peer *)(uintptr_t)(cqe->user_data & ~(uint64_t)WHAT);
            const enum what what = (enum what)(cqe->user_data & WHAT);
            n++;
            if (what == RECV)
                received(p, cqe);
            else if (what == SEND)
                has_sent(p, cqe);
            else if (cqe->res >= 0)
                welcome(cqe->res);
            if (what == ACCEPT && (cqe->flags & IORING_CQE_F_MORE) == 0)
                accept_more(listener);
        }
        io_uring_cq_advance(&ring, n);
    }
}
