/* sys.h: every system call of base, net and loop that can fail, in one table, so that a test can make each of
 * them fail or be short (tests/fault). The calls are those of POSIX and Linux with their own arguments and
 * errno. */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct io_uring;
struct io_uring_params;

struct sys {
    int (*socket)(int domain, int type, int protocol);
    int (*connect)(int fd, const struct sockaddr *a, socklen_t n);
    int (*bind)(int fd, const struct sockaddr *a, socklen_t n);
    int (*listen)(int fd, int backlog);
    int (*accept4)(int fd, struct sockaddr *a, socklen_t *n, int flags);
    int (*getsockopt)(int fd, int level, int name, void *v, socklen_t *n);
    int (*setsockopt)(int fd, int level, int name, const void *v, socklen_t n);
    int (*getsockname)(int fd, struct sockaddr *a, socklen_t *n);
    int (*getpeername)(int fd, struct sockaddr *a, socklen_t *n);
    ssize_t (*recv)(int fd, void *p, size_t n, int flags);
    ssize_t (*recvmsg)(int fd, struct msghdr *m, int flags);
    ssize_t (*send)(int fd, const void *p, size_t n, int flags);
    ssize_t (*sendmsg)(int fd, const struct msghdr *m, int flags);
    int (*shutdown)(int fd, int how);
    int (*close)(int fd);
    int (*dup)(int fd); /* fcntl F_DUPFD_CLOEXEC */
    int (*poll)(struct pollfd *p, nfds_t n, int ms);
    int (*epoll_create1)(int flags);
    int (*epoll_ctl)(int epfd, int op, int fd, struct epoll_event *e);
    int (*epoll_wait)(int epfd, struct epoll_event *e, int n, int ms);
    int (*eventfd)(unsigned value, int flags);
    int (*timerfd_create)(int clock, int flags);
    int (*timerfd_settime)(int fd, int flags, const struct itimerspec *t, struct itimerspec *old);
    ssize_t (*read)(int fd, void *p, size_t n);
    ssize_t (*write)(int fd, const void *p, size_t n);
    int (*get_flags)(int fd);            /* fcntl F_GETFL */
    int (*set_flags)(int fd, int flags); /* fcntl F_SETFL */
    int (*set_cloexec)(int fd);          /* fcntl F_SETFD FD_CLOEXEC */
    ssize_t (*getrandom)(void *p, size_t n, unsigned flags);
#ifdef THRUM_URING
    /* liburing's, which answer with a negative errno; arg is a struct io_uring_getevents_arg */
    int (*uring_init)(unsigned entries, struct io_uring *ring, struct io_uring_params *p);
    int (*uring_register)(unsigned fd, unsigned what, const void *arg, unsigned n);
    int (*uring_enter)(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *arg, size_t n);
#endif
    int (*thread_create)(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *),
                         void *arg); /* an errno */
};

extern struct sys sys;            /* the real ones, unless a test has put others in */
extern const struct sys sys_real; /* for tests: what to put back, and to call behind a shim */

#endif
