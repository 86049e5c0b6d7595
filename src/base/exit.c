/* exit.c: the handlers run once, whichever way out is taken. The code is pinned before they are registered: a
 * dlclose would otherwise run them in the midst of the program, and then unmap code that a helper thread is
 * in. */
#include "base/exit.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

_Atomic bool exit_begun;

static struct {
    pthread_mutex_t lock;
    bool at_exit, at_quick_exit;
    void (*_Atomic fn)(void); /* the handler reads it in whichever thread ends the process */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_exit_begun(void)
{
    void (*fn)(void) = atomic_load(&watch.fn);
    if (!atomic_exchange(&exit_begun, true) && fn)
        fn();
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
    pthread_mutex_lock(&watch.lock);
    if (!watch.fn) {
        watch.fn = fn;
        pin();
    }
    if (!watch.at_exit)
        watch.at_exit = atexit(on_exit_begun) == 0;
    if (!watch.at_quick_exit)
        watch.at_quick_exit = at_quick_exit(on_exit_begun) == 0;
    bool both = watch.at_exit && watch.at_quick_exit;
    pthread_mutex_unlock(&watch.lock);
    return both ? 0 : ENOMEM;
}
