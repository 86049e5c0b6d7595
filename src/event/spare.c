/* spare.c: memory of large messages that have been handed out, kept for the next ones for as long as they
 * keep coming. The system would take it back, and give it again a page at a time: a fifth of the cost of a
 * message of 1 MiB. The chunks of a burst are given back with it, and what the poller has read a burst into.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "event/event.h"

enum { IDLE_MS = 500 };

void spares_free(struct thrum_loop *l)
{
    while (l->nspares > 0)
        mem_free(l->spares[--l->nspares].p);
    l->spare_bytes = 0;
}

static void idle_over(struct later *x)
{
    struct thrum_loop *l = list_of(x, struct thrum_loop, spares_idle);
    if (l->now < l->spare_used + IDLE_MS * CLOCK_MS) {
        wheel_set(&l->others, &x->timer, clock_after(l->spare_used, IDLE_MS));
    } else {
        spares_free(l);
        chunks_trim(l, 1);
        poller_trim(l->poller);
    }
}

void spares_in_use(struct thrum_loop *l)
{
    l->spare_used = l->now;
    l->spares_idle.fn = idle_over;
    if (!wheel_has(&l->spares_idle.timer))
        wheel_set(&l->others, &l->spares_idle.timer, clock_after(l->now, IDLE_MS));
}

void spare_keep(struct thrum_loop *l, thrum_message *m)
{
    if (!m->hold || m->part != THRUM_PART_WHOLE || m->len < SPARE_LEAST || l->nspares == SPARES_MAX ||
        l->spare_bytes + m->len > SPARE_BYTES_MAX)
        return;
    l->spares[l->nspares++] = (struct spare){m->hold, m->len + 1};
    l->spare_bytes += m->len + 1;
    m->hold = NULL;
    spares_in_use(l);
}

/* One that is large enough, and not by so much that it were a waste. */
void spare_lend(struct thrum_loop *l, thrum_proto *p)
{
    size_t n = l->nspares > 0 ? proto_wants_memory(p, SPARE_LEAST) : 0;
    for (unsigned i = l->nspares; n > 0 && i-- > 0;) {
        struct spare s = l->spares[i];
        if (s.n < n || s.n / 4 > n)
            continue;
        l->spares[i] = l->spares[--l->nspares];
        l->spare_bytes -= s.n;
        l->spare_used = l->now;
        proto_give_memory(p, s.p, s.n);
        return;
    }
}
