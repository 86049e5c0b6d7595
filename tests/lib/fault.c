/* fault.c: see fault.h. The shims stand between the library and whatever table of system calls was in force,
 * and count each call per entry of the table, not over all: so "the 3rd send" stays the 3rd send though
 * threads take turns differently from run to run. */
#include "lib/fault.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHORT = -1, ENDED = -2 }; /* beside errno values, as kinds of fault */
enum { VARIANTS = 10, SETTLE_MS = 10000, LIMIT_SECONDS = 60, COMPLAINTS = 10 };

enum call {
    CALL_socket,
    CALL_connect,
    CALL_bind,
    CALL_listen,
    CALL_accept4,
    CALL_getsockopt,
    CALL_setsockopt,
    CALL_getsockname,
    CALL_getpeername,
    CALL_recv,
    CALL_recvmsg,
    CALL_send,
    CALL_sendmsg,
    CALL_shutdown,
    CALL_close,
    CALL_dup,
    CALL_poll,
    CALL_epoll_create1,
    CALL_epoll_ctl,
    CALL_epoll_wait,
    CALL_eventfd,
    CALL_timerfd_create,
    CALL_timerfd_settime,
    CALL_read,
    CALL_write,
    CALL_get_flags,
    CALL_set_flags,
    CALL_set_cloexec,
    CALL_getrandom,
#ifdef THRUM_URING
    CALL_uring_init,
    CALL_uring_register,
    CALL_uring_enter,
#endif
    CALL_thread_create,
    CALLS,
    MEMORY = CALLS, /* not a call, but counted like one */
    COUNTED,
    NOTHING
};
/* What each can fail with; ends in 0. */
static const struct {
    const char *name;
    int kinds[VARIANTS];
} table[COUNTED] = {
    [CALL_socket] = {"socket", {EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT}},
    [CALL_connect] = {"connect", {EINTR, ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EADDRNOTAVAIL}},
    [CALL_bind] = {"bind", {EADDRINUSE, EACCES, ENOMEM}},
    [CALL_listen] = {"listen", {EADDRINUSE, ENOBUFS}},
    [CALL_accept4] = {"accept4", {EINTR, EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM}},
    [CALL_getsockopt] = {"getsockopt", {ENOBUFS, ENOMEM}},
    [CALL_setsockopt] = {"setsockopt", {ENOBUFS, ENOMEM}},
    [CALL_getsockname] = {"getsockname", {ENOBUFS}},
    [CALL_getpeername] = {"getpeername", {ENOBUFS, ENOTCONN}},
    [CALL_recv] = {"recv", {EINTR, EAGAIN, ECONNRESET, ETIMEDOUT, ENOBUFS, ENOMEM, SHORT, ENDED}},
    [CALL_recvmsg] = {"recvmsg", {EINTR, EAGAIN, ECONNRESET, ETIMEDOUT, ENOBUFS, ENOMEM, SHORT, ENDED}},
    [CALL_send] = {"send", {EINTR, EAGAIN, ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS, ENOMEM, SHORT}},
    [CALL_sendmsg] = {"sendmsg", {EINTR, EAGAIN, ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS, ENOMEM, SHORT}},
    [CALL_shutdown] = {"shutdown", {ENOTCONN, ENOBUFS}},
    [CALL_close] = {"close", {EINTR, EIO}},
    [CALL_dup] = {"dup", {EMFILE}},
    [CALL_poll] = {"poll", {EINTR, ENOMEM}},
    [CALL_epoll_create1] = {"epoll_create1", {EMFILE, ENFILE, ENOMEM}},
    [CALL_epoll_ctl] = {"epoll_ctl", {ENOMEM, ENOSPC}},
    [CALL_epoll_wait] = {"epoll_wait", {EINTR}},
    [CALL_eventfd] = {"eventfd", {EMFILE, ENFILE, ENOMEM}},
    [CALL_timerfd_create] = {"timerfd_create", {EMFILE, ENFILE, ENOMEM}},
    [CALL_timerfd_settime] = {"timerfd_settime", {ENOMEM}},
    [CALL_read] = {"read", {EINTR, EAGAIN}},
    [CALL_write] = {"write",
                    {EINTR}}, /* of eventfds: their EAGAIN would mean that they are readable already */
    [CALL_get_flags] = {"get_flags", {EBADF}},
    [CALL_set_flags] = {"set_flags", {EPERM}},
    [CALL_set_cloexec] = {"set_cloexec", {EBADF}},
    [CALL_getrandom] = {"getrandom", {EINTR, ENOSYS, SHORT}},
#ifdef THRUM_URING
    [CALL_uring_init] = {"uring_init", {ENOSYS, EPERM, EINVAL, ENOMEM, EMFILE}},
    [CALL_uring_register] = {"uring_register", {EINVAL, ENOMEM}},
    [CALL_uring_enter] = {"uring_enter", {EINTR, EAGAIN, EBUSY, ENOMEM, SHORT}},
#endif
    [CALL_thread_create] = {"thread_create", {EAGAIN}},
    [MEMORY] = {"allocation", {ENOMEM}},
};

/* ---- the point that is to fail ---- */
static struct sys under; /* what the shims call */
static atomic_long seen[COUNTED];
static atomic_long live;
static _Atomic(int) target = NOTHING;
static _Atomic(long) target_nth;
static _Atomic(int) target_kind;
static atomic_bool target_for_ever;
static atomic_bool only_mine;
static _Thread_local bool mine;

static bool means_again(int kind)
{
    return kind == EINTR || kind == EAGAIN || kind == SHORT;
}

/* Counts one call of c. 0: it is to be made; else what it is to fail with. */
static int strike(int c)
{
    if (atomic_load(&only_mine) && !mine)
        return 0;
    long k = atomic_fetch_add(&seen[c], 1) + 1;
    long nth = atomic_load(&target_nth);
    int kind = atomic_load(&target_kind);
    if (atomic_load(&target) != c || k < nth)
        return 0;
    if (k == nth)
        return kind;
    if (!atomic_load(&target_for_ever))
        return 0;
    /* accept4 and thread_create say EAGAIN for "no" and are not asked in a loop, but every second is harsh
     * enough */
    return means_again(kind) && (k - nth) % 2 != 0 ? 0 : kind;
}

static bool struck(int c)
{
    int kind = strike(c);
    if (kind > 0)
        errno = kind;
    return kind > 0;
}

/* ---- the shims ---- */
#define SHIM(type, name, params, args)                                                                       \
    static type shim_##name params                                                                           \
    {                                                                                                        \
        return struck(CALL_##name) ? -1 : under.name args;                                                   \
    }
SHIM(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
SHIM(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
SHIM(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
SHIM(int, listen, (int fd, int backlog), (fd, backlog))
SHIM(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
SHIM(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *n), (fd, level, name, v, n))
SHIM(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t n), (fd, level, name, v, n))
SHIM(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
SHIM(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
SHIM(int, shutdown, (int fd, int how), (fd, how))
SHIM(int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms))
SHIM(int, epoll_create1, (int flags), (flags))
SHIM(int, epoll_ctl, (int set, int op, int fd, struct epoll_event *e), (set, op, fd, e))
SHIM(int, epoll_wait, (int set, struct epoll_event *e, int n, int ms), (set, e, n, ms))
SHIM(int, eventfd, (unsigned value, int flags), (value, flags))
SHIM(int, timerfd_create, (int clock, int flags), (clock, flags))
SHIM(int, timerfd_settime, (int fd, int flags, const struct itimerspec *t, struct itimerspec *old),
     (fd, flags, t, old))
SHIM(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
SHIM(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
SHIM(int, get_flags, (int fd), (fd))
SHIM(int, set_flags, (int fd, int flags), (fd, flags))
SHIM(int, dup, (int fd), (fd))
SHIM(int, set_cloexec, (int fd), (fd))

/* Result of a transfer that is not to happen, or 1 with *n shortened where it is. */
static ssize_t transfer(int c, size_t *n)
{
    int kind = strike(c);
    if (kind > 0) {
        errno = kind;
        return -1;
    }
    if (kind == ENDED)
        return 0;
    if (kind == SHORT && *n > 1)
        *n = 1;
    return 1;
}

static ssize_t shim_recv(int fd, void *p, size_t n, int flags)
{
    ssize_t r = transfer(CALL_recv, &n);
    return r <= 0 ? r : under.recv(fd, p, n, flags);
}

static ssize_t shim_send(int fd, const void *p, size_t n, int flags)
{
    ssize_t r = transfer(CALL_send, &n);
    return r <= 0 ? r : under.send(fd, p, n, flags);
}

static ssize_t shim_getrandom(void *p, size_t n, unsigned flags)
{
    ssize_t r = transfer(CALL_getrandom, &n);
    return r <= 0 ? r : under.getrandom(p, n, flags);
}

/* Leaves one byte in the first slice that is not empty. */
static void one_byte(struct msghdr *m, struct iovec *v)
{
    for (size_t i = 0; i < m->msg_iovlen; i++) {
        if (m->msg_iov[i].iov_len == 0)
            continue;
        v->iov_base = m->msg_iov[i].iov_base;
        v->iov_len = 1;
        m->msg_iov = v;
        m->msg_iovlen = 1;
        return;
    }
}

static ssize_t shim_recvmsg(int fd, struct msghdr *m, int flags)
{
    struct msghdr copy = *m;
    struct iovec v;
    size_t n = 2;
    ssize_t r = transfer(CALL_recvmsg, &n);
    if (r > 0 && n == 1)
        one_byte(&copy, &v);
    return r <= 0 ? r : under.recvmsg(fd, &copy, flags);
}

static ssize_t shim_sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct msghdr copy = *m;
    struct iovec v;
    size_t n = 2;
    ssize_t r = transfer(CALL_sendmsg, &n);
    if (r > 0 && n == 1)
        one_byte(&copy, &v);
    return r <= 0 ? r : under.sendmsg(fd, &copy, flags);
}

/* Linux closes the descriptor even when it says that it failed. */
static int shim_close(int fd)
{
    int r = under.close(fd);
    return struck(CALL_close) ? -1 : r;
}

#ifdef THRUM_URING
static int shim_uring_init(unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
    int kind = strike(CALL_uring_init);
    return kind > 0 ? -kind : under.uring_init(entries, ring, p);
}

static int shim_uring_register(unsigned fd, unsigned what, const void *arg, unsigned n)
{
    int kind = strike(CALL_uring_register);
    return kind > 0 ? -kind : under.uring_register(fd, what, arg, n);
}

/* Short: it takes one entry fewer, and then does not wait, as the kernel does. */
static int shim_uring_enter(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *arg,
                            size_t n)
{
    int kind = strike(CALL_uring_enter);
    if (kind == SHORT && submit > 0)
        return under.uring_enter(fd, submit - 1, 0, flags, arg, n);
    return kind > 0 ? -kind : under.uring_enter(fd, submit, wait, flags, arg, n);
}
#endif

static int shim_thread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    int kind = strike(CALL_thread_create);
    return kind > 0 ? kind : under.thread_create(t, a, fn, arg);
}

static const struct sys shims = {
    .socket = shim_socket,
    .connect = shim_connect,
    .bind = shim_bind,
    .listen = shim_listen,
    .accept4 = shim_accept4,
    .getsockopt = shim_getsockopt,
    .setsockopt = shim_setsockopt,
    .getsockname = shim_getsockname,
    .getpeername = shim_getpeername,
    .recv = shim_recv,
    .recvmsg = shim_recvmsg,
    .send = shim_send,
    .sendmsg = shim_sendmsg,
    .shutdown = shim_shutdown,
    .close = shim_close,
    .dup = shim_dup,
    .poll = shim_poll,
    .epoll_create1 = shim_epoll_create1,
    .epoll_ctl = shim_epoll_ctl,
    .epoll_wait = shim_epoll_wait,
    .eventfd = shim_eventfd,
    .timerfd_create = shim_timerfd_create,
    .timerfd_settime = shim_timerfd_settime,
    .read = shim_read,
    .write = shim_write,
    .get_flags = shim_get_flags,
    .set_flags = shim_set_flags,
    .set_cloexec = shim_set_cloexec,
    .getrandom = shim_getrandom,
#ifdef THRUM_URING
    .uring_init = shim_uring_init,
    .uring_register = shim_uring_register,
    .uring_enter = shim_uring_enter,
#endif
    .thread_create = shim_thread_create,
};

/* ---- memory ---- */
static void *count_alloc(void *ctx, size_t n)
{
    (void)ctx;
    void *p = struck(MEMORY) ? NULL : malloc(n == 0 ? 1 : n);
    if (p != NULL)
        atomic_fetch_add(&live, 1);
    return p;
}

static void *count_resize(void *ctx, void *p, size_t n)
{
    (void)ctx;
    void *q = struck(MEMORY) ? NULL : realloc(p, n == 0 ? 1 : n);
    if (q != NULL && p == NULL)
        atomic_fetch_add(&live, 1);
    return q;
}

static void count_release(void *ctx, void *p)
{
    (void)ctx;
    if (p != NULL)
        atomic_fetch_sub(&live, 1);
    free(p);
}

void fault_count_memory(void)
{
    static const struct mem_hook hook = {
        .alloc = count_alloc, .resize = count_resize, .release = count_release};
    mem_force_hook(&hook);
}

long fault_live_blocks(void)
{
    return atomic_load(&live);
}

int fault_open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = -1; /* the directory's own */
    if (d == NULL)
        return -1;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- reports ---- */
bool fault_check(struct fault_report *r, bool ok, const char *what)
{
    if (!ok && r->complaint[0] == '\0')
        snprintf(r->complaint, sizeof r->complaint, "%s", what);
    return ok;
}

thrum_status fault_note(struct fault_report *r, const char *call, thrum_status s, const thrum_error *err)
{
    char what[180];
    if (s == THRUM_OK)
        return s;
    r->failures++;
    r->status = s;
    snprintf(what, sizeof what, "%s failed without a fault: %s %.100s", call, thrum_status_name(s),
             err == NULL ? "" : err->text);
    fault_check(r, !r->harmless, what);
    if (err != NULL) {
        snprintf(what, sizeof what, "%s answered %s with no text", call, thrum_status_name(s));
        fault_check(r, err->text[0] != '\0', what);
        snprintf(what, sizeof what, "%s answered %s, its error says %s", call, thrum_status_name(s),
                 thrum_status_name(err->status));
        fault_check(r, err->status == s, what);
    }
    return s;
}

/* ---- the driver ---- */
struct run {
    const char *name;
    fault_scenario fn;
    void *arg;
    struct fault_options o;
    struct fault_report report;
    long blocks, threads; /* what may be there after a run */
    int descriptors;
    long points, stride, serial, complaints;
};
static char watchdog_text[200];

/* Only calls that a signal handler may make. */
static void watchdog(int sig)
{
    (void)sig;
    ssize_t r = write(STDERR_FILENO, watchdog_text, strlen(watchdog_text));
    (void)r;
    _exit(124);
}

static void *run_body(void *arg)
{
    struct run *r = arg;
    mine = true;
    r->fn(&r->report, r->arg);
    mine = false;
    return NULL;
}

static void disarm(void)
{
    atomic_store(&target, NOTHING);
}

/* One run of the scenario, on a thread as the options say, with nothing of the library left running after it.
 */
static void run_once(struct run *r, bool harmless)
{
    pthread_t t;
    memset(&r->report, 0, sizeof r->report);
    r->report.harmless = harmless;
    for (int i = 0; i < COUNTED; i++)
        atomic_store(&seen[i], 0);
    alarm(r->o.limit_seconds);
    if (r->o.same_thread)
        run_body(r);
    else if (pthread_create(&t, NULL, run_body, r) == 0)
        pthread_join(t, NULL);
    else
        fault_check(&r->report, false, "no thread to run the scenario on");
    /* Threads that are still ending may meet the fault too, so it stays until they are gone. */
    if (!thread_library_settle((int)r->threads, clock_after(clock_now(), SETTLE_MS)))
        fault_check(&r->report, false, "a thread of the library is left");
    disarm();
    alarm(0);
}

static void check_leaks(struct run *r)
{
    char what[100];
    snprintf(what, sizeof what, "%ld blocks of memory are left", fault_live_blocks() - r->blocks);
    fault_check(&r->report, fault_live_blocks() <= r->blocks, what);
    int n = fault_open_descriptors();
    snprintf(what, sizeof what, "%d descriptors are left", n - r->descriptors);
    fault_check(&r->report, n <= r->descriptors, what);
}

static const char *kind_name(int kind)
{
    return kind == SHORT ? "SHORT" : kind == ENDED ? "EOF" : strerrorname_np(kind);
}

static void complain(struct run *r, const char *point)
{
    if (r->report.complaint[0] == '\0')
        return;
    r->complaints++;
    fprintf(stderr, "fault %s: %s: %s\n", r->name, point, r->report.complaint);
    /* What leaked once is not to be counted against every later point. */
    r->blocks = fault_live_blocks();
    r->descriptors = fault_open_descriptors();
    r->threads = thread_library_count();
}

static void run_point(struct run *r, int c, long nth, int kind, bool for_ever)
{
    char point[120];
    if (r->serial++ % r->stride != 0 || r->complaints >= COMPLAINTS)
        return;
    snprintf(point, sizeof point, "%s %ld %s%s", table[c].name, nth, kind_name(kind),
             for_ever ? " from then on" : "");
    snprintf(watchdog_text, sizeof watchdog_text, "fault %s: %s: it hangs\n", r->name, point);
    atomic_store(&target_nth, nth);
    atomic_store(&target_kind, kind);
    atomic_store(&target_for_ever, for_ever);
    atomic_store(&target, c);
    run_once(r, false);
    check_leaks(r);
    complain(r, point);
    r->points++;
}

static void run_points(struct run *r, const long counts[COUNTED])
{
    for (int c = 0; c < COUNTED; c++) {
        if ((c == MEMORY && r->o.no_memory) || (c != MEMORY && r->o.no_calls))
            continue;
        for (long nth = 1; nth <= counts[c]; nth++)
            for (int v = 0; v < VARIANTS && table[c].kinds[v] != 0; v++) {
                run_point(r, c, nth, table[c].kinds[v], false);
                run_point(r, c, nth, table[c].kinds[v], true);
            }
    }
}

/* Twice unharmed: the first makes what the process makes once, the second must leave nothing beyond that.
 * Counts. */
static void run_unharmed(struct run *r, long counts[COUNTED])
{
    snprintf(watchdog_text, sizeof watchdog_text, "fault %s: it hangs without a fault\n", r->name);
    run_once(r, true);
    complain(r, "first run, no fault");
    for (int i = 0; i < COUNTED; i++)
        counts[i] = atomic_load(&seen[i]);
    r->blocks = fault_live_blocks();
    r->descriptors = fault_open_descriptors();
    run_once(r, true);
    check_leaks(r);
    complain(r, "second run, no fault");
    for (int i = 0; i < COUNTED; i++)
        if (atomic_load(&seen[i]) > counts[i])
            counts[i] = atomic_load(&seen[i]);
}

int fault_run(const char *name, fault_scenario fn, void *arg, const struct fault_options *o)
{
    struct run r = {.name = name, .fn = fn, .arg = arg, .stride = 1};
    const char *stride = getenv("THRUM_FAULT_STRIDE");
    struct sigaction act = {.sa_handler = watchdog}, old;
    long counts[COUNTED], calls = 0;
    if (o != NULL)
        r.o = *o;
    if (r.o.limit_seconds == 0)
        r.o.limit_seconds = LIMIT_SECONDS;
    if (stride != NULL && atol(stride) > 1)
        r.stride = atol(stride);
    r.threads = thread_library_count();
    under = sys;
    sys = shims;
    disarm();
    fault_count_memory();
    atomic_store(&only_mine, r.o.own_thread);
    sigaction(SIGALRM, &act, &old);
    run_unharmed(&r, counts);
    if (r.complaints == 0)
        run_points(&r, counts);
    sigaction(SIGALRM, &old, NULL);
    sys = under;
    atomic_store(&only_mine, false);
    for (int i = 0; i < CALLS; i++)
        calls += counts[i];
    printf("fault %s: %ld allocations, %ld system calls, %ld points, %ld complaints\n", name, counts[MEMORY],
           calls, r.points, r.complaints);
    fflush(stdout);
    return r.complaints == 0 ? (int)r.points : -1;
}
