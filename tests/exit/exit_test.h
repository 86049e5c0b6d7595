/* exit_test.h: what the small programs of this folder share. They are programs like any user's, over the
 * shared library and its public headers; the other side of a connection is a bare socket here, written from
 * RFC 6455. */
#ifndef TESTS_EXIT_TEST_H
#define TESTS_EXIT_TEST_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <thrum/server.h>
#include <thrum/stats.h>
#include <thrum/thrum.h>

#if defined(__SANITIZE_THREAD__)
/* Forked children here start threads, which ThreadSanitizer refuses unless told. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

enum { HANG_MS = 10000 }; /* how long a failure may take to show; nothing else is timed by it */

/* _exit: a check that fails in a thread or a child must not wait for anybody, and must not print twice. */
#define check(cond)              ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))
#define check_status(call, want) check_status_(__FILE__, __LINE__, #call, (call), (want))

_Noreturn static inline void check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", file, line, what, errno);
    _exit(1);
}

static inline void check_status_(const char *file, int line, const char *what, thrum_status got,
                                 thrum_status want)
{
    if (got == want)
        return;
    fprintf(stderr, "%s:%d: %s: %s, not %s\n", file, line, what, thrum_status_name(got),
            thrum_status_name(want));
    _exit(1);
}

static inline int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void nap(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Waits for a condition; a minute without it is a failure. */
#define await(cond)                                                                                          \
    do {                                                                                                     \
        int64_t until_ = now_ms() + 6 * HANG_MS;                                                             \
        while (!(cond)) {                                                                                    \
            if (now_ms() > until_)                                                                           \
                check_failed(__FILE__, __LINE__, "within a minute: " #cond);                                 \
            nap(1);                                                                                          \
        }                                                                                                    \
    } while (0)

static inline pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    check(pthread_create(&t, NULL, fn, arg) == 0);
    return t;
}

/* ---- memory, counted where the library takes it ---- */
static inline _Atomic long *blocks(void)
{
    static _Atomic long n;
    return &n;
}

static inline void *count_alloc(void *ctx, size_t n)
{
    void *p = malloc(n);
    (void)ctx;
    *blocks() += p != NULL;
    return p;
}

static inline void *count_resize(void *ctx, void *p, size_t n)
{
    void *q = realloc(p, n);
    (void)ctx;
    *blocks() += q && !p;
    return q;
}

static inline void count_release(void *ctx, void *p)
{
    (void)ctx;
    *blocks() -= p != NULL;
    free(p);
}

static inline void count_memory(void)
{
    const thrum_memory m = {sizeof m, NULL, count_alloc, count_resize, count_release};
    check_status(thrum_set_memory(&m), THRUM_OK);
}

/* ---- the bare peer ---- */
static inline void put(int fd, const void *p, size_t n)
{
    check(send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n);
}

/* Exactly n bytes; false at the end of the stream. */
static inline bool get(int fd, void *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        struct pollfd v = {.fd = fd, .events = POLLIN};
        check(poll(&v, 1, 6 * HANG_MS) == 1);
        ssize_t k = recv(fd, (char *)p + i, n - i, 0);
        if (k <= 0)
            return false;
        i += (size_t)k;
    }
    return true;
}

/* The request of a client; a server of thrum that is given the other end answers it. */
static inline void ask(int fd)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: exit.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    put(fd, request, sizeof request - 1);
}

static inline void be_answered(int fd)
{
    char four[4] = "";
    while (memcmp(four, "\r\n\r\n", 4) != 0) {
        memmove(four, four + 1, 3);
        check(get(fd, four + 3, 1));
    }
}

/* A frame of a client with the masking key zero: its payload stands as it is. n < 126. */
static inline void put_frame(int fd, uint8_t first, const void *p, uint8_t n)
{
    uint8_t f[6 + 125] = {first, (uint8_t)(0x80 | n)};
    memcpy(f + 6, p, n);
    put(fd, f, 6u + n);
}

/* The head of a server's frame. False at the end of the stream; inside of a head that is a cut frame: *torn.
 */
static inline bool get_head(int fd, uint8_t *first, uint64_t *n)
{
    uint8_t h[2], ext[8];
    if (!get(fd, h, 2))
        return false;
    check((h[1] & 0x80) == 0);
    size_t more = (h[1] & 0x7f) == 126 ? 2 : (h[1] & 0x7f) == 127 ? 8 : 0;
    *first = h[0];
    *n = h[1];
    if (more && !get(fd, ext, more))
        return false;
    for (size_t i = 0; i < more; i++)
        *n = (i ? *n << 8 : 0) | ext[i];
    return true;
}

/* A connection of thrum's, server's side, over a socket pair whose other end is the bare *peer. */
static inline thrum_conn *accepted(int *peer, const thrum_server_options *o)
{
    int fds[2];
    thrum_conn *c;
    thrum_error e;
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    ask(fds[0]);
    if (thrum_accept_fd(&c, fds[1], o, &e) != THRUM_OK)
        check_failed(__FILE__, __LINE__, e.text);
    be_answered(fds[0]);
    *peer = fds[0];
    return c;
}

/* ---- two connections of thrum's, joined ---- */
struct joined {
    thrum_conn *client, *server;
    int fd;
};

static inline void *joined_server(void *arg)
{
    struct joined *j = arg;
    check_status(thrum_accept_fd(&j->server, j->fd, NULL, NULL), THRUM_OK);
    return NULL;
}

static inline void join_up(struct joined *j, const thrum_client_options *o)
{
    int fds[2];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    j->fd = fds[0];
    pthread_t t = start(joined_server, j);
    check_status(thrum_connect_fd(&j->client, fds[1], "ws://exit.test/", o, NULL), THRUM_OK);
    check(pthread_join(t, NULL) == 0);
}

/* ---- children that end ---- */
/* Waits for the end of a child of ours, which must come; its status as a shell would name it. */
static inline int end_of(pid_t pid)
{
    int status = 0;
    struct pollfd v = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    check(v.fd >= 0);
    if (poll(&v, 1, HANG_MS) != 1) {
        kill(pid, SIGKILL);
        check_failed(__FILE__, __LINE__, "the child ended");
    }
    close(v.fd);
    check(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline bool has_ended(pid_t pid, int ms)
{
    struct pollfd v = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    check(v.fd >= 0);
    int n = poll(&v, 1, ms);
    close(v.fd);
    return n == 1;
}

/* A child that runs fn over one end of a socket pair and exits with what it says; this process, which never
 * calls the library before, is the bare peer at *peer. */
static inline pid_t play(int (*fn)(int fd), int *peer)
{
    int fds[2];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        exit(fn(fds[1]));
    }
    close(fds[1]);
    *peer = fds[0];
    return pid;
}

#endif
