/* with_libuv.c: libuv's loop owns the thread, and thrum is one of its sources: a descriptor to be polled, and
 * a step to be taken whenever it is readable. thrum's timers and keepalive come by the same descriptor. */
#include "conversation.h"

#include <uv.h>

struct program {
    struct conversation talk;
    uv_poll_t poll;
    uv_timer_t timer;
    int ticks, status;
};

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct program *p = handle->data;
    (void)events;
    const thrum_status s = status < 0 ? THRUM_E_SYSTEM : thrum_loop_step(p->talk.loop, 0);
    if (s == THRUM_OK)
        return;
    p->status = s == THRUM_E_CLOSED ? 0 : 1; /* E_CLOSED: nothing is left to wait for */
    uv_close((uv_handle_t *)&p->poll, NULL); /* before thrum_loop_free, as the descriptor is the loop's */
    uv_close((uv_handle_t *)&p->timer, NULL);
}

static void on_tick(uv_timer_t *handle)
{
    struct program *p = handle->data;
    p->ticks++;
    conversation_tick(&p->talk);
}

int main(void)
{
    struct program p = {.status = 1};
    uv_loop_t loop;
    const int fd = conversation_begin(&p.talk);

    p.poll.data = p.timer.data = &p;
    if (uv_loop_init(&loop) != 0 || uv_poll_init(&loop, &p.poll, fd) != 0 ||
        uv_poll_start(&p.poll, UV_READABLE, on_readable) != 0 || uv_timer_init(&loop, &p.timer) != 0 ||
        uv_timer_start(&p.timer, on_tick, TICK_MS, TICK_MS) != 0)
        return 1;
    uv_run(&loop, UV_RUN_DEFAULT); /* until both handles are closed */
    uv_loop_close(&loop);

    const int result = conversation_end(&p.talk, p.ticks);
    return p.status ? p.status : result;
}
