/* cli/loops.c: `thrum serve --loops`: the same server by callbacks, on loops; and a chat, with --publish. */
#include "cli.h"

#include <stdatomic.h>
#include <thrum/loop.h>

static struct {
    bool quiet, publish;
    atomic_bool stopping;
    atomic_size_t cut; /* connections whose peers have not answered the goodbye */
} all;

static void on_open(thrum_conn *c, void *arg)
{
    (void)arg;
    if (all.publish && thrum_subscribe(c, "all") != THRUM_OK)
        thrum_conn_free(c);
    else if (!all.quiet)
        term_note("%s opened", thrum_conn_peer(c));
}

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    const thrum_status s = all.publish ? thrum_publish_from(c, "all", m->kind, m->data, m->len)
                                       : thrum_send(c, m->kind, m->data, m->len);
    if (s != THRUM_OK)
        thrum_conn_free(c);
}

static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    thrum_closing end = {.size = sizeof end};
    (void)why;
    (void)arg;
    if (all.stopping && (thrum_conn_closing(c, &end) != THRUM_OK || end.recv_code == 0))
        all.cut++;
    if (!all.quiet)
        serve_tell_end(c);
}

int loops_run(const struct args *a, const thrum_server_options *o)
{
    thrum_server_options mine = *o;
    thrum_listener *s = NULL;
    thrum_error e;
    all.quiet = a->quiet;
    all.publish = a->publish;
    mine.handlers = THRUM_HANDLERS(.on_open = on_open, .on_message = on_message, .on_close = on_close);
    /* Who does not read his echoes is not read from; of a chat the newest is what matters. */
    mine.when_full = a->publish ? THRUM_FULL_DROP_OLDEST : THRUM_FULL_PAUSE;
    if (thrum_serve_loops(&s, a->loops, a->uri, &mine, &e) != THRUM_OK) {
        term_note("%s", e.text);
        return CLI_FAILED;
    }
    puts(thrum_listener_url(s));
    fflush(stdout);
    serve_wait_for_signal();
    const size_t open = thrum_listener_count(s);
    all.stopping = true;
    const bool drained =
        thrum_listener_drain(s, 1001, a->grace, NULL, NULL) == THRUM_OK &&
        thrum_listener_wait(s, a->grace + 1000) == THRUM_OK; /* what is left is cut at grace */
    serve_tell_stop(a, drained && all.cut == 0, open);
    thrum_listener_free(s);
    return CLI_OK;
}
