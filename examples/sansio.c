/* sansio.c: the protocol without I/O (thrum/proto.h), for programs that have a loop of their own. Here two of
 * them, a client and a server, talk over a socketpair inside one poll loop on one thread. */
#include "example.h"

#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <thrum/proto.h>
#include <time.h>
#include <unistd.h>

struct end {
    const char *name;
    thrum_proto *proto;
    int fd;
    bool done;
};

static thrum_time now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (thrum_time)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int fill_random(void *ctx, uint8_t *p, size_t n)
{
    (void)ctx;
    return getrandom(p, n, 0) == (ssize_t)n ? 0 : -1;
}

/* Door 1: the wire's bytes go in. */
static void bytes_in(struct end *e)
{
    uint8_t bytes[4096];
    const ssize_t n = read(e->fd, bytes, sizeof bytes);
    if (n > 0)
        (void)thrum_proto_feed(e->proto, bytes, (size_t)n, now());
    else
        (void)thrum_proto_in_end(e->proto, 0, now());
}

/* Door 2: bytes for the wire come out, as slices that need no copy. */
static void bytes_out(struct end *e)
{
    thrum_slice slices[8];
    struct iovec v[8];
    const size_t n = thrum_proto_out(e->proto, slices, 8);
    for (size_t i = 0; i < n; i++)
        v[i] = (struct iovec){(void *)(uintptr_t)slices[i].p, slices[i].n};
    const ssize_t written = writev(e->fd, v, (int)n);
    if (written > 0)
        thrum_proto_out_done(e->proto, (size_t)written, now());
}

/* Door 4: what we want to say goes in. */
static void say(struct end *e, const char *text)
{
    const thrum_slice s = {(const uint8_t *)text, strlen(text)};
    if (thrum_proto_send(e->proto, THRUM_TEXT, s, true) != THRUM_OK)
        printf("%s cannot speak\n", e->name);
}

/* Door 3: events come out. The client asks, the server answers, the client closes. */
static void events(struct end *e, bool is_client)
{
    thrum_event ev;
    while (thrum_proto_event(e->proto, &ev)) {
        if (ev.what == THRUM_EVENT_OPEN && is_client)
            say(e, "who is there?");
        if (ev.what == THRUM_EVENT_MESSAGE) {
            printf("%s hears: %s\n", e->name, (const char *)ev.message.data);
            if (is_client)
                (void)thrum_proto_close(e->proto, 1000, (thrum_slice){NULL, 0}, now());
            else
                say(e, "a state machine");
        }
        if (ev.what == THRUM_EVENT_CLOSE)
            printf("%s sees Close %u\n", e->name, (unsigned)ev.code);
        thrum_message_release(&ev.message);
    }
}

/* One turn for one end: whatever it wants and the socket allows. */
static void turn(struct end *e, short revents, bool is_client)
{
    thrum_proto_tick(e->proto, now()); /* deadlines, here only the handshake's and the close's */
    if (revents & (POLLIN | POLLHUP))
        bytes_in(e);
    events(e, is_client);
    if (thrum_proto_flags(e->proto) & THRUM_WANT_OUT)
        bytes_out(e);
    const unsigned flags = thrum_proto_flags(e->proto);
    if ((flags & THRUM_SHUT_OUT) && !(flags & THRUM_WANT_OUT))
        shutdown(e->fd, SHUT_WR);
    e->done = (flags & THRUM_ENDED) != 0;
    if (e->done)
        close(e->fd); /* the other end waits for it */
}

int main(void)
{
    const thrum_host host = {.size = sizeof host, .random = fill_random};
    struct end ends[2] = {{.name = "client"}, {.name = "server"}};
    thrum_error err;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
        return 1;
    if (thrum_proto_client(&ends[0].proto, "ws://localhost/", NULL, &host, now(), &err) != THRUM_OK)
        example_die("client", &err);
    if (thrum_proto_server(&ends[1].proto, NULL, &host, now(), &err) != THRUM_OK)
        example_die("server", &err);
    ends[0].fd = fds[0];
    ends[1].fd = fds[1];

    while (!ends[0].done || !ends[1].done) {
        struct pollfd p[2];
        for (int i = 0; i < 2; i++) {
            const unsigned f = thrum_proto_flags(ends[i].proto);
            const int in = f & THRUM_WANT_IN ? POLLIN : 0, out = f & THRUM_WANT_OUT ? POLLOUT : 0;
            p[i] = (struct pollfd){.fd = ends[i].done ? -1 : ends[i].fd, .events = (short)(in | out)};
        }
        poll(p, 2, 1000);
        for (int i = 0; i < 2; i++)
            if (!ends[i].done)
                turn(&ends[i], p[i].revents, i == 0);
    }
    for (int i = 0; i < 2; i++)
        thrum_proto_free(ends[i].proto);
    puts("both have ended");
    return 0;
}
