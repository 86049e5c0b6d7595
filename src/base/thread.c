/* thread.c: the records of threads, and the library's own threads. (The look at the process's task list is in
 * census.c.)
 *
 * A record of an application thread is freed by the destructor of a thread-specific key, whichever way the
 * thread ends. Destructors of the application may run after ours and call the library, so that a new record
 * is made; the destructor therefore asks to be run again in the rounds that POSIX grants, all but the last of
 * them: in that one a sanitizer takes its own things down. After that thread_self() answers NULL, so that
 * nothing can leak.
 *
 * A library thread's record needs no key: the function that the thread begins with takes it away, also when a
 * handler of the user's that runs on it calls pthread_exit. */
#include "base/thread.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/text.h"
#include "base/thread_int.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct record {
    struct thread t; /* first: a record is freed by its thread's address */
    void (*fn)(void *arg);
    void *arg;
    char name[16]; /* what the kernel keeps of a thread's name */
};

/* No struct lock: it would not know that a wait on the condition gives the mutex away. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list threads = LIST_INIT(threads);
static size_t records; /* in threads */
static pthread_cond_t fallen;
static _Atomic int library_count;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_errno;
static _Atomic(void (*)(void)) on_end[ON_END_MAX];

static _Thread_local struct thread *self;
static _Thread_local int rounds; /* of the destructor */
static char again;               /* its address is the key's value where there is no record */

enum { ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - 1 };

/* ---- records ---------------------------------------------------------------------------------------------
 */

static void cond_make(void)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&fallen, &a);
    pthread_condattr_destroy(&a);
}

static void record_add(struct thread *t)
{
    pthread_mutex_lock(&lock);
    list_push(&threads, &t->link);
    records++;
    pthread_mutex_unlock(&lock);
}

static void record_free(struct thread *t)
{
    if (t->wake >= 0)
        (void)sys.close(t->wake);
    mem_free(t->scratch);
    mem_free(t);
}

static void record_end(struct thread *t)
{
    pthread_mutex_lock(&lock);
    list_remove(&t->link);
    records--;
    pthread_mutex_unlock(&lock);
    record_free(t);
}

static struct record *record_new(bool library)
{
    struct record *r = mem_zalloc(sizeof *r);
    if (!r)
        return NULL;
    r->t.wake = -1;
    r->t.library = library;
    return r;
}

/* The key's destructor; v is a record or &again. */
static void at_thread_end(void *v)
{
    /* In a thread that was cancelled, close(2) is a cancellation point even here: it would end the thread
     * between two lines, with the descriptor open and the hook not run. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    rounds++;
    if (v != &again) {
        self = NULL;
        record_end(v);
        for (int i = 0; i < ON_END_MAX; i++) {
            void (*hook)(void) = atomic_load(&on_end[i]);
            if (hook)
                hook();
        }
    }
    if (rounds < ROUNDS &&
        !self) /* where this fails, a later record of this thread stays; no more than that */
        (void)pthread_setspecific(key, &again);
}

static void start_once(void)
{
    cond_make();
    key_errno = pthread_key_create(&key, at_thread_end);
}

struct thread *thread_self(void)
{
    if (self)
        return self;
    pthread_once(&once, start_once);
    if (key_errno != 0 || rounds >= ROUNDS)
        return NULL;
    struct record *r = record_new(false);
    if (!r)
        return NULL;
    r->t.tid = gettid();
    if (pthread_setspecific(key, &r->t) != 0) {
        mem_free(r);
        return NULL;
    }
    record_add(&r->t);
    return self = &r->t;
}

void thread_on_end(void (*fn)(void))
{
    for (int i = 0; i < ON_END_MAX; i++) {
        void (*none)(void) = NULL;
        if (atomic_compare_exchange_strong(&on_end[i], &none, fn) || none == fn)
            return;
    }
}

/* ---- waking ----------------------------------------------------------------------------------------------
 */

/* The header's plain int is read by wakers while its owner sets it: hence the atomic accesses. */
int thread_wake_fd(struct thread *t)
{
    if (t->wake >= 0)
        return t->wake;
    int fd = sys.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd >= 0)
        __atomic_store_n(&t->wake, fd, __ATOMIC_RELEASE);
    return fd;
}

void thread_wake(struct thread *t)
{
    const uint64_t one = 1;
    int fd = __atomic_load_n(&t->wake, __ATOMIC_ACQUIRE), kept = errno;
    if (fd < 0)
        return;
    /* EAGAIN means that the counter is full: readable all the same. */
    while (sys.write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    errno = kept;
}

void thread_unwake(struct thread *t)
{
    uint64_t count;
    int kept = errno;
    if (t->wake < 0)
        return;
    while (sys.read(t->wake, &count, sizeof count) < 0 &&
           errno == EINTR) /* one read takes all that have come */
        ;
    errno = kept;
}

uint8_t *thread_scratch(struct thread *t)
{
    if (!t->scratch)
        t->scratch = mem_alloc(THREAD_SCRATCH);
    return t->scratch;
}

/* ---- the library's threads -------------------------------------------------------------------------------
 */

static void count_down(void)
{
    pthread_mutex_lock(&lock);
    atomic_fetch_sub(&library_count, 1);
    pthread_cond_broadcast(&fallen);
    pthread_mutex_unlock(&lock);
}

static void (*_Atomic library_end_hook)(void);

void thread_on_library_end(void (*fn)(void))
{
    atomic_store(&library_end_hook, fn);
}

static void library_thread_end(void *v)
{
    void (*hook)(void) = atomic_load(&library_end_hook);
    if (hook)
        hook();
    self = NULL;
    record_end(v);
    count_down();
}

static void *library_thread_main(void *v)
{
    struct record *r = v;
    self = &r->t;
    pthread_mutex_lock(&lock); /* the census reads it */
    r->t.tid = gettid();
    pthread_mutex_unlock(&lock);
    (void)pthread_setname_np(pthread_self(), r->name);
    pthread_cleanup_push(library_thread_end, &r->t);
    r->fn(r->arg);
    pthread_cleanup_pop(1);
    return NULL;
}

/* Signals are blocked around the creation because the new thread has its creator's mask from its first
 * instruction on; blocked by itself it would be too late for one that comes in between. */
static int create(struct record *r, size_t stack)
{
    pthread_attr_t a;
    pthread_t id;
    sigset_t all, old;
    int e = pthread_attr_init(&a);
    if (e)
        return e;
    (void)pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    if (stack > 0)
        e = pthread_attr_setstacksize(&a,
                                      stack < (size_t)PTHREAD_STACK_MIN ? (size_t)PTHREAD_STACK_MIN : stack);
    if (e == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        e = sys.thread_create(&id, &a, library_thread_main, r);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    pthread_attr_destroy(&a);
    return e;
}

int thread_start(void (*fn)(void *arg), void *arg, const char *name, size_t stack)
{
    if (atomic_load(&exit_begun))
        return ECANCELED;
    pthread_once(&once, start_once);
    struct record *r = record_new(true);
    if (!r)
        return ENOMEM;
    r->fn = fn;
    r->arg = arg;
    text_format(r->name, sizeof r->name, "thrum-%s", name);
    record_add(&r->t);
    atomic_fetch_add(&library_count, 1);
    int e = create(r, stack);
    if (e) {
        record_end(&r->t);
        count_down();
    }
    return e;
}

int thread_library_count(void)
{
    return atomic_load(&library_count);
}

bool thread_library_settle(int n, int64_t deadline)
{
    int state, e = 0;
    struct timespec t = {.tv_sec = (time_t)(deadline / 1000000000), .tv_nsec = (long)(deadline % 1000000000)};
    pthread_once(&once, start_once);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* the wait would be left with the mutex taken */
    pthread_mutex_lock(&lock);
    while (atomic_load(&library_count) > n && e != ETIMEDOUT)
        e = deadline == CLOCK_NEVER ? pthread_cond_wait(&fallen, &lock)
                                    : pthread_cond_timedwait(&fallen, &lock, &t);
    bool settled = atomic_load(&library_count) <= n;
    pthread_mutex_unlock(&lock);
    pthread_setcancelstate(state, NULL);
    return settled;
}

/* ---- for the census --------------------------------------------------------------------------------------
 */

size_t thread_records(struct thread_record *out, size_t cap)
{
    size_t i = 0;
    pthread_mutex_lock(&lock);
    size_t n = records;
    if (n <= cap) {
        list_each (it, &threads) {
            const struct thread *t = list_of(it, struct thread, link);
            out[i++] = (struct thread_record){t->tid, t->library, atomic_load(&t->background)};
        }
    }
    pthread_mutex_unlock(&lock);
    return n;
}

/* ---- fork ------------------------------------------------------------------------------------------------
 */

void thread_fork_lock(void)
{
    pthread_mutex_lock(&lock);
}

void thread_fork_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void thread_forked(void)
{
    struct thread *me = self;
    list_each_safe (it, next, &threads) {
        struct thread *t = list_of(it, struct thread, link);
        if (t != me)
            record_free(t);
    }
    list_init(&threads);
    records = 0;
    if (me) {
        me->tid = gettid();
        if (me->wake >= 0) /* the two processes would take each other's wake-ups */
            (void)sys.close(me->wake);
        me->wake = -1;
        list_push(&threads, &me->link);
        records = 1;
    }
    atomic_store(&library_count, me && me->library ? 1 : 0);
    pthread_mutex_unlock(&lock);
    cond_make(); /* the parent's may have waiters, which the child does not have */
}
