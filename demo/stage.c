/* demo/stage.c: one scenario in one process, watched from outside. The process is the program itself, started
 * anew (fork and exec), so that nothing of the parent's server lives in it; its end is awaited on a pidfd,
 * because that is what "the process is gone" means to the system, with all its threads. */
#include "story.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_MS = 10000 };

/* Shared with the signal handler. The child leads a process group, so that what it forks is ended with it. */
static volatile sig_atomic_t interrupted;
static volatile pid_t on_stage;

static void end_child(pid_t pid)
{
    if (pid > 0)
        kill(-pid, SIGKILL);
}

static void on_interrupt(int sig)
{
    const int saved = errno;
    interrupted = sig;
    end_child(on_stage);
    errno = saved;
}

void stage_catch_interrupts(void)
{
    struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
}

bool stage_interrupted(void)
{
    return interrupted != 0;
}

/* Runs in the child between fork and exec: only calls that are safe there. */
_Noreturn static void become(const struct scenario *s, const char *url, const char *fd_text, int fd,
                             pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a parent killed by force takes its child along */
    if (getppid() != parent)
        _exit(98);
    fcntl(fd, F_SETFD, 0);
    execl("/proc/self/exe", "story", "--play", s->key, url, fd_text, (char *)NULL);
    _exit(98);
}

static pid_t spawn(const struct scenario *s, const char *url, int report_fd)
{
    char fd_text[16];
    const pid_t parent = getpid();
    snprintf(fd_text, sizeof fd_text, "%d", report_fd);
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0)
        become(s, url, fd_text, report_fd, parent);
    if (pid > 0)
        setpgid(pid, pid); /* both sides do it: whoever comes first */
    return pid;
}

/* True when the process was gone within the limit. */
static bool await_end(pid_t pid)
{
    const int64_t until = now_ns() + (int64_t)LIMIT_MS * 1000000;
    struct pollfd p = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    int n = 0;
    do {
        const int64_t left = (until - now_ns()) / 1000000;
        n = poll(&p, 1, left > 0 ? (int)left : 0);
    } while (n < 0 && errno == EINTR);
    if (p.fd >= 0)
        close(p.fd);
    return n == 1;
}

static int reap(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void read_report(int fd, int64_t end, struct outcome *out)
{
    struct report r;
    if (read(fd, &r, sizeof r) != (ssize_t)sizeof r)
        return;
    out->reported = true;
    out->ms = (double)(end - r.way_out) / 1e6;
    out->threads = r.threads;
}

bool stage_run(const struct scenario *s, const char *url, struct outcome *out)
{
    int fds[2];
    *out = (struct outcome){.status = -1};
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    witness_forget();
    const pid_t pid = spawn(s, url, fds[1]);
    close(fds[1]);
    if (pid > 0) {
        on_stage = pid;
        if (interrupted) /* it came between fork and this line */
            end_child(pid);
        out->ended = await_end(pid);
        const int64_t end = now_ns();
        end_child(pid);
        on_stage = 0;
        out->status = reap(pid);
        read_report(fds[0], end, out);
        witness_open_ears();
        out->code = witness_code(false);
        out->child_code = s->with_child ? witness_code(true) : 0;
    }
    close(fds[0]);
    return pid > 0;
}
