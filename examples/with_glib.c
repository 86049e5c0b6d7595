/* with_glib.c: GLib's main loop (and so GTK's) owns the thread, and thrum is one of its sources: a descriptor
 * to be polled, and a step to be taken whenever it is readable. thrum's timers and keepalive come by the same
 * descriptor. */
#include "conversation.h"

#include <glib-unix.h>

struct program {
    struct conversation talk;
    GMainLoop *main;
    int ticks, status;
};

static gboolean on_readable(gint fd, GIOCondition condition, gpointer arg)
{
    struct program *p = arg;
    (void)fd;
    (void)condition;
    const thrum_status s = thrum_loop_step(p->talk.loop, 0);
    if (s == THRUM_OK)
        return G_SOURCE_CONTINUE;
    p->status = s == THRUM_E_CLOSED ? 0 : 1; /* E_CLOSED: nothing is left to wait for */
    g_main_loop_quit(p->main);
    return G_SOURCE_REMOVE; /* before thrum_loop_free, as the descriptor is the loop's */
}

static gboolean on_tick(gpointer arg)
{
    struct program *p = arg;
    p->ticks++;
    conversation_tick(&p->talk);
    return G_SOURCE_CONTINUE;
}

int main(void)
{
    struct program p = {.status = 1};
    const int fd = conversation_begin(&p.talk);

    p.main = g_main_loop_new(NULL, FALSE);
    g_unix_fd_add(fd, G_IO_IN, on_readable, &p);
    const guint timer = g_timeout_add(TICK_MS, on_tick, &p);
    g_main_loop_run(p.main);
    g_source_remove(timer);
    g_main_loop_unref(p.main);

    const int result = conversation_end(&p.talk, p.ticks);
    return p.status ? p.status : result;
}
