/* cli/wake.c: the self-pipe. A signal handler may do next to nothing, so it writes one byte; the main thread
 * polls the pipe beside its input. The receiving thread pokes the same pipe when the connection has ended. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int ends[2] = {-1, -1};
static volatile sig_atomic_t signals_seen;

static void on_signal(int sig)
{
    const int saved = errno;
    if (signals_seen)
        _exit(128 + sig);
    signals_seen = 1;
    wake_poke();
    errno = saved;
}

void wake_poke(void)
{
    /* A full pipe is as good as a written one. */
    if (write(ends[1], "!", 1) < 0)
        return;
}

/* No SA_RESTART: a send that waits for a peer that does not read is to be left (see .interruptible). */
bool wake_begin(void)
{
    struct sigaction a = {.sa_handler = on_signal};
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        term_note("the system refuses a pipe: %s", strerror(errno));
        return false;
    }
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
    /* A reader of our output that has gone is noticed by write's result. */
    signal(SIGPIPE, SIG_IGN);
    return true;
}

int wake_fd(void)
{
    return ends[0];
}

bool wake_interrupted(void)
{
    return signals_seen != 0;
}

bool wake_take(void)
{
    char sink[64];
    while (read(ends[0], sink, sizeof sink) > 0)
        continue;
    return wake_interrupted();
}

void wake_block_signals(sigset_t *old)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGWINCH);
    pthread_sigmask(SIG_BLOCK, &ours, old);
}

void wake_restore_signals(const sigset_t *old)
{
    pthread_sigmask(SIG_SETMASK, old, NULL);
}
