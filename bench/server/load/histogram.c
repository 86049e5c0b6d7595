/* bench/server/load/histogram.c: latencies, log-linear: 64 steps to each power of two, so that a figure is
 * exact to 1.6 %. */
#include "load.h"

enum { STEPS = 64, STEP_BITS = 6, POWERS = 40 };
static uint64_t cells[POWERS * STEPS];
static uint64_t total;

/* Below STEPS a cell is one nanosecond; then each power of two has STEPS cells of its own. */
static size_t cell_of(uint64_t ns)
{
    if (ns < STEPS)
        return (size_t)ns;
    const unsigned power = 63u - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    const size_t cell = ((size_t)power << STEP_BITS) + (size_t)(ns >> power);
    return cell < sizeof cells / sizeof *cells ? cell : sizeof cells / sizeof *cells - 1;
}

static double middle_of(size_t cell)
{
    if (cell < STEPS)
        return (double)cell;
    const unsigned power = (unsigned)(cell >> STEP_BITS) - 1;
    const uint64_t low = (uint64_t)(cell - ((size_t)power << STEP_BITS)) << power;
    return (double)low + (double)(1ull << power) / 2;
}

void histogram_add(int64_t ns, unsigned times)
{
    cells[cell_of(ns > 0 ? (uint64_t)ns : 0)] += times;
    total += times;
}

double histogram_us(double share)
{
    uint64_t below = 0;
    const uint64_t wanted = (uint64_t)((double)total * share);
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        below += cells[i];
        if (below > wanted)
            return middle_of(i) / 1e3;
    }
    return 0;
}
