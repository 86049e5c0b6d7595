/* thread.h: the library's own threads, and what it keeps for each thread that enters it. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/list.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { THREAD_SCRATCH = 256 * 1024 /* pages that are never read into cost nothing */ };

struct thread {
    struct list link; /* in the registry of threads, under its lock */
    pid_t tid;
    int wake;                /* eventfd that ends this thread's wait; -1 until thread_wake_fd */
    bool library;            /* started by thread_start */
    _Atomic bool background; /* thrum_thread_background; read by the census */
    /* A call of several waits (thrum_connect, thrum_serve) is inside: cancellation is off, and in its waits
     * it is to be as cancel_state says, which is how the application had it. */
    bool long_call;
    int cancel_state;
    uint8_t *scratch; /* THREAD_SCRATCH bytes; NULL until thread_scratch */
};

/* The calling thread's record, made at its first call; NULL: no memory (or no key). It is freed by a
 * thread-specific destructor at the thread's end, which then runs the hook of thread_on_end. */
struct thread *thread_self(void);
/* The record's eventfd (non-blocking, close-on-exec), made at the first call; -1 and errno on failure. */
int thread_wake_fd(struct thread *t);
uint8_t *thread_scratch(struct thread *t); /* NULL: no memory */
/* Makes thread t's wait end: writes to its eventfd, if it has one. Any thread; the caller knows that t lives.
 */
void thread_wake(struct thread *t);
/* Takes the wake-ups that have come. Only t itself. */
void thread_unwake(struct thread *t);

/* Many a system call is a cancellation point, a lock held or not. So each call of the library stands between
 * these two, but for its waits (call_enter does the same for the calls that wait). */
static inline int cancel_off(void)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

static inline void cancel_back(int state)
{
    pthread_setcancelstate(state, NULL);
}

/* Starts a detached thread of the library, all signals blocked, named "thrum-NAME". stack 0: the system's. 0
 * or an errno. It counts in thread_library_count from before this returns until its very end. */
int thread_start(void (*fn)(void *arg), void *arg, const char *name, size_t stack);
int thread_library_count(void);
/* Waits (at most until `deadline`) until the count of library threads has fallen to n; false on time. */
bool thread_library_settle(int n, int64_t deadline);

/* fn runs in an application thread that has entered the library, as it ends; at most ON_END_MAX of them, each
 * once. */
enum { ON_END_MAX = 4 };
void thread_on_end(void (*fn)(void));

/* fn runs in each thread of the library as it ends, and while it still counts. One hook. */
void thread_on_library_end(void (*fn)(void));

/* What the process's task list says. */
struct thread_census {
    int application; /* live threads that are neither the library's nor background; zombies not counted */
    int entered;     /* of these, the ones with a record: their end is announced by the hook */
    int background;  /* live ones that are */
    bool main_gone;  /* main has called pthread_exit */
    bool known;      /* false: the list could not be read; the rest is then 0 */
};
struct thread_census thread_count(void);
/* This thread of the process, or any but the caller, is running or waits for a CPU to run on; false where
 * nobody knows. */
bool thread_runs(pid_t tid);
bool thread_others_run(void);

/* In a child of fork: only the calling thread is left; its eventfd is replaced lazily, all other records go;
 * the lock that prepare took is given back.
 */
void thread_forked(void);
void thread_fork_lock(void);   /* prepare */
void thread_fork_unlock(void); /* parent */

#endif
