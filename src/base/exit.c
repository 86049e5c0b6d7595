/* exit.c: the handlers run once, whichever way out is taken. The code is pinned before they are registered: a
 * dlclose would otherwise run them in the midst of the program, and then unmap code that a helper thread is
 * in. */
#include "base/exit.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

_Atomic bool exit_begun, exit_over;
static _Thread_local bool is_here;

bool exit_is_here(void)
{
    return is_here;
}

static struct {
    bool at_exit, at_quick_exit;
    void (*_Atomic fn)(void); /* the handler reads it in whichever thread ends the process */
} watch;

/* Two threads may call exit at once; not every C library has the second wait. It must not come to handlers
 * that were registered before ours, such as OpenSSL's, while the hook still runs. */
static void on_exit_begun(void)
{
    enum { STEP_NS = 1000 * 1000 };
    void (*fn)(void) = atomic_load(&watch.fn);
    if (atomic_exchange(&exit_begun, true)) {
        while (!is_here && !atomic_load(&exit_over))
            nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
        return;
    }
    is_here = true;
    if (fn)
        fn();
    atomic_store(&exit_over, true);
}

/* It fails where the code is part of the program itself, which is never unloaded: nothing is lost then. */
static void pin(void)
{
    Dl_info info;
    if (dladdr(&watch, &info) && info.dli_fname)
        (void)dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_NODELETE | RTLD_LAZY);
}

int exit_watch(void (*fn)(void))
{
    if (!watch.fn) {
        watch.fn = fn;
        pin();
    }
    if (!watch.at_exit)
        watch.at_exit = atexit(on_exit_begun) == 0;
    if (!watch.at_quick_exit)
        watch.at_quick_exit = at_quick_exit(on_exit_begun) == 0;
    return watch.at_exit && watch.at_quick_exit ? 0 : ENOMEM;
}

int exit_watch_again(void)
{
    pin();
    return atexit(on_exit_begun) == 0 ? 0 : ENOMEM;
}
