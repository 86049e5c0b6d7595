/* gate.c: see gate.h. */
#include "event/gate.h"
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

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

static _Thread_local bool ends_the_program;

void gate_i_end_the_program(void)
{
    ends_the_program = true;
}

void gate_stay_out(struct thrum_loop *l)
{
    if (ends_the_program)
        return;
    gate_out(l);
    while (atomic_load(&exit_begun))
        pause();
    gate_in(l); /* only in a test that takes exit_begun back */
}
