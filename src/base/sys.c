/* sys.c: the table's two copies. The real one is const, so that a test can always put back what it replaced.
 */
#include "base/sys.h"
#include <fcntl.h>
#ifdef THRUM_URING
#    include <liburing.h>
#endif
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* fcntl takes a variable argument list, which a pointer of a fixed type cannot have. */
static int dup_cloexec(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int get_flags(int fd)
{
    return fcntl(fd, F_GETFL);
}

static int set_flags(int fd, int flags)
{
    return fcntl(fd, F_SETFL, flags);
}

static int set_cloexec(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

#ifdef THRUM_URING
#    define REAL_URING                                                                                       \
        .uring_init = io_uring_queue_init_params, .uring_register = io_uring_register,                       \
        .uring_enter = io_uring_enter2,
#else
#    define REAL_URING
#endif

#define REAL                                                                                                 \
    {                                                                                                        \
        REAL_URING.socket = socket, .connect = connect, .bind = bind, .listen = listen, .accept4 = accept4,  \
        .getsockopt = getsockopt, .setsockopt = setsockopt, .getsockname = getsockname,                      \
        .getpeername = getpeername, .recv = recv, .recvmsg = recvmsg, .send = send, .sendmsg = sendmsg,      \
        .shutdown = shutdown, .close = close, .dup = dup_cloexec, .poll = poll,                              \
        .epoll_create1 = epoll_create1, .epoll_ctl = epoll_ctl, .epoll_wait = epoll_wait,                    \
        .eventfd = eventfd, .timerfd_create = timerfd_create, .timerfd_settime = timerfd_settime,            \
        .read = read, .write = write, .get_flags = get_flags, .set_flags = set_flags,                        \
        .set_cloexec = set_cloexec, .getrandom = getrandom, .thread_create = pthread_create                  \
    }

struct sys sys = REAL;
const struct sys sys_real = REAL;
