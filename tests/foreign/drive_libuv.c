/* drive_libuv.c: see foreign.h. */
#include "foreign.h"

#include <stdlib.h>
#include <uv.h>

const char *const foreign_name = "libuv";

struct run {
    const struct foreign *f;
    uv_loop_t loop;
    uv_poll_t poll;
    uv_timer_t timer;
};

static void over(struct run *r)
{
    if (!uv_is_closing((uv_handle_t *)&r->poll))
        uv_close((uv_handle_t *)&r->poll, NULL);
    if (!uv_is_closing((uv_handle_t *)&r->timer))
        uv_close((uv_handle_t *)&r->timer, NULL);
}

static void on_readable(uv_poll_t *p, int status, int events)
{
    struct run *r = p->data;
    (void)events;
    if (status < 0)
        abort();
    if (!r->f->ready(r->f->arg))
        over(r);
}

static void on_tick(uv_timer_t *t)
{
    struct run *r = t->data;
    if (!r->f->tick(r->f->arg))
        over(r);
}

static void must(int status)
{
    if (status != 0)
        abort();
}

void foreign_run(const struct foreign *f)
{
    struct run r = {.f = f};
    must(uv_loop_init(&r.loop));
    r.poll.data = r.timer.data = &r;
    must(uv_poll_init(&r.loop, &r.poll, f->fd));
    must(uv_poll_start(&r.poll, UV_READABLE, on_readable));
    must(uv_timer_init(&r.loop, &r.timer));
    if (f->tick)
        must(uv_timer_start(&r.timer, on_tick, f->tick_ms, f->tick_ms));
    must(uv_run(&r.loop, UV_RUN_DEFAULT));
    must(uv_loop_close(&r.loop));
}
