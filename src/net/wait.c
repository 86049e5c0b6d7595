/* wait.c: a poll that may be cancelled. It has a file of its own because pthread_cleanup_push saves registers
 * as setjmp does: kept this small, no caller's local variable is at its mercy. */
#include "net/wait_int.h"

#include "base/sys.h"
#include "base/thread.h"
#include <errno.h>
#include <pthread.h>

int wait_poll(struct pollfd *p, nfds_t n, int ms, void (*undo)(void *arg), void *arg)
{
    volatile int r = -1, e = 0;
    int old = PTHREAD_CANCEL_DISABLE;
    const struct thread *t = thread_self();
    int wanted = t != NULL && t->long_call ? t->cancel_state : PTHREAD_CANCEL_ENABLE;
    pthread_cleanup_push(undo, arg);
    /* Whoever calls the library has cancellation off inside it; here, with nothing half done, it is let
     * through. */
    pthread_setcancelstate(wanted, &old);
    r = sys.poll(p, n, ms);
    e = errno;
    pthread_setcancelstate(old, NULL);
    pthread_cleanup_pop(0);
    errno = e;
    return r;
}
