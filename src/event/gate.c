/* gate.c: see gate.h. */
#include "event/gate.h"
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STEP_NS = 1000 * 1000 };

_Atomic bool gate_strict;

static int membarrier(int command)
{
    return (int)syscall(SYS_membarrier, command, 0, 0);
}

void gate_open(void)
{
    atomic_store(&gate_strict, membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0);
}

/* Every thread of the process that runs passes a full barrier before this returns. */
void gate_barrier(void)
{
    if (!atomic_load(&gate_strict))
        (void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

void gate_stay_out(struct thrum_loop *l)
{
    if (exit_is_here())
        return;
    gate_out(l);
    while (atomic_load(&exit_begun) && l->listeners_own) /* a thread of the library's: nobody waits for it */
        pause();
    while (atomic_load(&exit_begun) && !atomic_load(&exit_over))
        nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    atomic_store(&l->place, GATE_IN);
}
