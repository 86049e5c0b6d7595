/* drive_glib.c: see foreign.h. */
#include "foreign.h"

#include <glib-unix.h>

const char *const foreign_name = "glib";

struct run {
    const struct foreign *f;
    GMainLoop *main;
};

static gboolean on_readable(gint fd, GIOCondition condition, gpointer arg)
{
    const struct run *r = arg;
    (void)fd;
    (void)condition;
    if (!r->f->ready(r->f->arg))
        g_main_loop_quit(r->main);
    return G_SOURCE_CONTINUE;
}

static gboolean on_tick(gpointer arg)
{
    const struct run *r = arg;
    if (!r->f->tick(r->f->arg))
        g_main_loop_quit(r->main);
    return G_SOURCE_CONTINUE;
}

void foreign_run(const struct foreign *f)
{
    struct run r = {f, g_main_loop_new(NULL, FALSE)};
    const guint readable = g_unix_fd_add(f->fd, G_IO_IN, on_readable, &r);
    const guint timer = f->tick ? g_timeout_add(f->tick_ms, on_tick, &r) : 0;
    g_main_loop_run(r.main);
    g_source_remove(readable);
    if (timer)
        g_source_remove(timer);
    g_main_loop_unref(r.main);
}
