/* cancel_test.c: contract E10. A thread is cancelled inside a call that waits. It leaves no lock, no role and
 * no turn behind: another thread uses the connection and closes it, and nothing of the thread's stays in the
 * process. */
#include <sys/un.h>
#include "exit_test.h"

enum { ROUNDS = 30 };

struct job {
    thrum_conn *c;
    const char *url;
    _Atomic int entered;
};

static void *in_recv(void *arg)
{
    struct job *j = arg;
    thrum_message m;
    j->entered = 1;
    (void)!thrum_recv(j->c, &m, THRUM_FOREVER);
    return NULL;
}

static void *in_send(void *arg)
{
    static uint8_t page[1 << 16];
    struct job *j = arg;
    j->entered = 1;
    while (thrum_send(j->c, THRUM_BINARY, page, sizeof page) == THRUM_OK)
        ;
    return NULL;
}

static void *in_ping(void *arg)
{
    struct job *j = arg;
    j->entered = 1;
    thrum_ping(j->c, NULL, 0, THRUM_FOREVER);
    return NULL;
}

static void *in_close(void *arg)
{
    struct job *j = arg;
    j->entered = 1;
    thrum_close(j->c, 1000, NULL);
    return NULL;
}

static void *in_connect(void *arg)
{
    struct job *j = arg;
    j->entered = 1;
    (void)!thrum_connect(&j->c, j->url, NULL, NULL);
    return NULL;
}

/* Cancels it after a moment that differs from round to round: before, at the door of, and inside the wait. */
static void cancel(pthread_t t, struct job *j, int round)
{
    void *how;
    await(j->entered);
    nanosleep(&(struct timespec){.tv_nsec = (round % 10) * 300000L}, NULL);
    check(pthread_cancel(t) == 0);
    check(pthread_join(t, &how) == 0);
    check(how == PTHREAD_CANCELED);
}

/* Reads as a peer that was slow until now: whole frames, then the Close with this code. */
static void read_to_close(int peer, unsigned code)
{
    static uint8_t body[1 << 16];
    uint8_t first = 0;
    uint64_t n = 0;
    while (first != 0x88) {
        check(get_head(peer, &first, &n) && n <= sizeof body && get(peer, body, (size_t)n));
        check(first == 0x82 || first == 0x88 || first == 0x89);
        for (size_t i = 0; first == 0x82 && i < n; i++)
            check(body[i] == 0);
    }
    check(n == 2 && (unsigned)(body[0] << 8 | body[1]) == code);
}

static void read_pong(int peer)
{
    uint8_t first = 0, body[125];
    uint64_t n = 0;
    while (first != 0x8a) { /* a Ping of the cancelled call may come before */
        check(get_head(peer, &first, &n) && n <= sizeof body && get(peer, body, (size_t)n));
        check(first == 0x89 || first == 0x8a);
    }
    check(n == 4 && memcmp(body, "ping", 4) == 0);
}

/* The other side of the end: reads all, answers, hangs up. */
static void *be_closed(void *arg)
{
    int peer = *(int *)arg;
    static const uint8_t answer[] = {0x03, 0xe8};
    read_to_close(peer, 1000);
    put_frame(peer, 0x88, answer, 2);
    shutdown(peer, SHUT_WR);
    return NULL;
}

static void close_cleanly(thrum_conn *c, int peer)
{
    pthread_t t = start(be_closed, &peer);
    check_status(thrum_close(c, 1000, NULL), THRUM_OK);
    check(pthread_join(t, NULL) == 0);
    thrum_conn_free(c);
    close(peer);
}

static void test_recv_or_ping(void *(*call)(void *), int round)
{
    int peer;
    thrum_message m;
    struct job j = {.c = accepted(&peer, NULL)};
    cancel(start(call, &j), &j, round);
    put_frame(peer, 0x89, "ping", 4); /* nobody is inside, and the library knows: its thread answers */
    read_pong(peer);
    put_frame(peer, 0x81, "after", 5); /* the role of reader is free */
    check_status(thrum_recv(j.c, &m, HANG_MS), THRUM_OK);
    check(m.len == 5 && memcmp(m.data, "after", 5) == 0);
    thrum_message_release(&m);
    close_cleanly(j.c, peer);
}

static void test_send(int round)
{
    int peer;
    struct job j = {.c = accepted(&peer, NULL)};
    cancel(start(in_send, &j), &j, round * 3); /* in its wait, or between two of them */
    close_cleanly(j.c, peer);                  /* the frame that was begun is finished first */
}

static void test_close(int round)
{
    int peer;
    static const uint8_t answer[] = {0x03, 0xe8};
    struct job j = {.c = accepted(&peer, NULL)};
    cancel(start(in_close, &j), &j, round);
    if (thrum_conn_state(j.c) == THRUM_OPEN) { /* it was cancelled before it began */
        close_cleanly(j.c, peer);
        return;
    }
    read_to_close(peer, 1000);
    put_frame(peer, 0x88, answer, 2);
    shutdown(peer, SHUT_WR);
    check_status(thrum_close(j.c, 1000, NULL), THRUM_OK); /* goes on with what the other one began */
    thrum_conn_free(j.c);
    close(peer);
}

/* The peer takes the connection and never answers; of the attempt nothing may stay. */
static void test_connect(int round)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char url[128];
    int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "/tmp/thrum-cancel-%d", (int)getpid());
    snprintf(url, sizeof url, "ws+unix:%s:/", a.sun_path);
    unlink(a.sun_path);
    check(l >= 0 && bind(l, (struct sockaddr *)&a, sizeof a) == 0 && listen(l, 8) == 0);
    struct job j = {.url = url};
    cancel(start(in_connect, &j), &j, round);
    check(j.c == NULL);
    struct pollfd v = {.fd = l, .events = POLLIN};
    if (poll(&v, 1, 0) == 1) {
        char b[4096];
        int s = accept(l, NULL, NULL);
        while (recv(s, b, sizeof b, 0) > 0) /* the request, then the end: the socket is closed on our side */
            ;
        close(s);
    }
    close(l);
    unlink(a.sun_path);
}

static int next_descriptor(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

int main(void)
{
    void *(*const waits[])(void *) = {in_recv, in_ping};
    int before = 0;
    long had = 0;
    count_memory();
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 2; k++)
            test_recv_or_ping(waits[k], i);
        test_send(i);
        test_close(i);
        test_connect(i);
        await(thrum_library_threads() == 0);
        if (i == 0) {
            before = next_descriptor();
            had = *blocks();
        }
        check(next_descriptor() == before && *blocks() == had);
    }
    return 0;
}
