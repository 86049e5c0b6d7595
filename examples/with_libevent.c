/* with_libevent.c: libevent's base owns the thread, and thrum is one of its sources: a descriptor to be
 * polled, and a step to be taken whenever it is readable. thrum's timers and keepalive come by the same
 * descriptor. */
#include "conversation.h"

#include <event2/event.h>

struct program {
    struct conversation talk;
    struct event_base *base;
    struct event *readable, *timer;
    int ticks, status;
};

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct program *p = arg;
    (void)fd;
    (void)what;
    const thrum_status s = thrum_loop_step(p->talk.loop, 0);
    if (s == THRUM_OK)
        return;
    p->status = s == THRUM_E_CLOSED ? 0 : 1; /* E_CLOSED: nothing is left to wait for */
    event_base_loopbreak(p->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct program *p = arg;
    (void)fd;
    (void)what;
    p->ticks++;
    conversation_tick(&p->talk);
}

int main(void)
{
    const struct timeval tick = {.tv_usec = TICK_MS * 1000};
    struct program p = {.status = 1};
    const int fd = conversation_begin(&p.talk);

    p.base = event_base_new();
    if (!p.base)
        return 1;
    p.readable = event_new(p.base, fd, EV_READ | EV_PERSIST, on_readable, &p);
    p.timer = event_new(p.base, -1, EV_PERSIST, on_tick, &p);
    if (!p.readable || !p.timer || event_add(p.readable, NULL) != 0 || event_add(p.timer, &tick) != 0)
        return 1;
    event_base_dispatch(p.base);
    event_free(p.readable); /* before thrum_loop_free, as the descriptor is the loop's */
    event_free(p.timer);
    event_base_free(p.base);

    const int result = conversation_end(&p.talk, p.ticks);
    return p.status ? p.status : result;
}
