/* drive_libevent.c: see foreign.h. */
#include "foreign.h"

#include <event2/event.h>
#include <stdlib.h>

const char *const foreign_name = "libevent";

struct run {
    const struct foreign *f;
    struct event_base *base;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    const struct run *r = arg;
    (void)fd;
    (void)what;
    if (!r->f->ready(r->f->arg))
        event_base_loopbreak(r->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    const struct run *r = arg;
    (void)fd;
    (void)what;
    if (!r->f->tick(r->f->arg))
        event_base_loopbreak(r->base);
}

void foreign_run(const struct foreign *f)
{
    const struct timeval tick = {.tv_sec = f->tick_ms / 1000, .tv_usec = f->tick_ms % 1000 * 1000};
    struct run r = {f, event_base_new()};
    if (!r.base)
        abort();
    struct event *readable = event_new(r.base, f->fd, EV_READ | EV_PERSIST, on_readable, &r);
    struct event *timer = event_new(r.base, -1, EV_PERSIST, on_tick, &r);
    if (!readable || !timer || event_add(readable, NULL) != 0 || (f->tick && event_add(timer, &tick) != 0) ||
        event_base_dispatch(r.base) != 0)
        abort();
    event_free(readable);
    event_free(timer);
    event_base_free(r.base);
}
