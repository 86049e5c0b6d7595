/* tls_gate.c: OpenSSL may free its tables in an exit handler of its own. Ours is registered after it, so that
 * it runs before, and shuts this gate; a thread that comes late is turned away, as if the connection had
 * broken, rather than parked: a handler of the user's may be waiting for it to end. A fork waits until nobody
 * is inside. */
#include "base/clock.h"
#include "base/exit.h"
#include "base/thread.h"
#include "net/tls_int.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum { FORK_MS = 1000, STARVED_MS = 2000, LATE_NS = 20 * 1000 * 1000, IDLE_LOOKS = 3, LOOK_NS = 1000 * 1000 };

static _Atomic int inside;
static _Atomic bool shut, forking;
static _Atomic pid_t ender; /* the thread that ends the program */

static void leave_thread(void);

/* Where nobody has set OpenSSL up yet it gets no exit handler, as it frees nothing there that the end of the
 * process would not; the gate is for programs that were quicker. */
static void start_once(void)
{
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL); /* what fails here fails again, and tells, in use */
    (void)exit_watch_again();
    thread_on_library_end(leave_thread);
}

void tls_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_once);
}

/* ---- threads that end -------------------------------------------------------------------------------------
 * OpenSSL frees what it keeps for a thread in a destructor of that thread's, which its exit handler does not
 * wait for. Our goodbye at the end of the program is what wakes threads up, and lets them end just then; so a
 * destructor of ours gives it back before, inside of the gate. The key is made when the library is loaded, as
 * destructors run in the order in which their keys were made. */

static pthread_key_t ending;
static bool has_key;

/* Past OpenSSL's exit handler, as far as one can tell: it computes, so it is over once the thread that ends
 * the program waits for something, which may be us. */
static void wait_for_openssl(void)
{
    const int64_t deadline = clock_after(clock_now(), STARVED_MS);
    nanosleep(&(struct timespec){.tv_nsec = LATE_NS}, NULL);
    for (int idle = 0; idle < IDLE_LOOKS && clock_now() < deadline;) {
        idle = thread_runs(atomic_load(&ender)) ? 0 : idle + 1;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
}

static void end_thread(void *arg)
{
    (void)arg;
    if (tls_enter()) {
        OPENSSL_thread_stop();
        tls_leave();
    } else {
        wait_for_openssl();
    }
}

__attribute__((constructor)) static void make_key(void)
{
    has_key = pthread_key_create(&ending, end_thread) == 0;
}

/* Of a library that is unloaded before anybody has used it (later it is pinned), or of a process that ends.
 */
__attribute__((destructor)) static void delete_key(void)
{
    if (has_key)
        (void)pthread_key_delete(ending);
}

static _Thread_local bool watched;

static void watch_thread(void)
{
    if (watched || !has_key)
        return;
    watched = true;
    (void)pthread_setspecific(ending, &watched);
}

/* A thread of ours does it itself, while it is still counted: when none is, nothing of them is left. */
static void leave_thread(void)
{
    if (!watched || !tls_enter())
        return;
    OPENSSL_thread_stop();
    tls_leave();
    watched = false;
    (void)pthread_setspecific(ending, NULL);
}

/* ---- the gate -------------------------------------------------------------------------------------------
 */

/* Sequentially consistent both: either we see the gate shut, or who shuts it sees us inside. */
bool tls_enter(void)
{
    watch_thread();
    for (;;) {
        atomic_fetch_add(&inside, 1);
        if (!atomic_load(&shut) && !atomic_load(&forking))
            return true;
        atomic_fetch_sub(&inside, 1);
        if (atomic_load(&shut))
            return false;
        sched_yield();
    }
}

void tls_leave(void)
{
    atomic_fetch_sub(&inside, 1);
}

/* Not under a lock: a thread may be stopped in here for good. */
void tls_abandon(struct tls_left *l)
{
    static struct tls_left *_Atomic all;
    l->next = atomic_load(&all);
    while (!atomic_compare_exchange_weak(&all, &l->next, l))
        ;
}

static void wait_empty(int64_t deadline)
{
    enum { YIELDS = 16, STEP_NS = 100 * 1000 };
    for (int i = 0; atomic_load(&inside) > 0 && clock_now() < deadline; i++)
        if (i < YIELDS)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
}

void tls_fork_lock(void)
{
    atomic_store(&forking, true);
    wait_empty(clock_after(clock_now(), FORK_MS));
    tls_lock();
    atomic_store(&forking, true); /* another thread's fork may have ended meanwhile */
}

void tls_fork_unlock(void)
{
    tls_unlock();
    atomic_store(&forking, false);
}

void tls_forked(void)
{
    atomic_store(&inside, 0); /* whoever was is not in this process */
    tls_fork_unlock();
}

/* Who is inside computes, and waits for nothing: it is out soon, if only it gets a CPU. On a machine that is
 * so busy that it does not, the deadline says nothing; one that sleeps, say in a callback of the user's or on
 * a disk that is gone, is not waited for. */
static void wait_starved(int64_t deadline)
{
    for (int idle = 0; atomic_load(&inside) > 0 && idle < IDLE_LOOKS && clock_now() < deadline;) {
        idle = thread_others_run() ? 0 : idle + 1;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
}

void tls_gate_shut(int64_t deadline)
{
    atomic_store(&ender, gettid());
    atomic_store(&shut, true);
    wait_empty(deadline);
    wait_starved(clock_after(deadline, STARVED_MS));
}
