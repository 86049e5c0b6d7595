/* cli/serve.c: `thrum serve`, an echo server that says goodbye when it is told to stop: a thread for each
 * connection here, loops in loops.c. */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static bool quiet;

void serve_tell_end(const thrum_conn *c)
{
    thrum_closing end = {.size = sizeof end};
    thrum_error e;
    thrum_conn_error(c, &e);
    if (thrum_conn_closing(c, &end) == THRUM_OK && end.recv_code != 0)
        term_note("%s closed with %u", thrum_conn_peer(c), (unsigned)end.recv_code);
    else
        term_note("%s went: %s", thrum_conn_peer(c), e.text);
}

static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    if (!quiet)
        term_note("%s opened", thrum_conn_peer(c));
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        const thrum_status sent = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (sent != THRUM_OK)
            break;
    }
    if (!quiet)
        serve_tell_end(c);
}

void serve_wait_for_signal(void)
{
    struct pollfd p = {.fd = wake_fd(), .events = POLLIN};
    while (!wake_interrupted())
        if (poll(&p, 1, -1) > 0)
            wake_take();
}

void serve_tell_stop(const struct args *a, bool all_answered, size_t open)
{
    if (!all_answered)
        term_note("not every peer answered the goodbye in time; the rest was cut");
    else if (!a->quiet)
        term_note("stopped; %zu connection%s told 1001", open, open == 1 ? " was" : "s were");
}

static int threads_run(const struct args *a, const thrum_server_options *o)
{
    thrum_server *s = NULL;
    thrum_error e;
    if (thrum_serve(&s, a->uri, o, &e) != THRUM_OK) {
        term_note("%s", e.text);
        return CLI_FAILED;
    }
    puts(thrum_server_url(s));
    fflush(stdout);
    serve_wait_for_signal();
    const size_t open = thrum_server_count(s);
    serve_tell_stop(a, thrum_server_drain(s, 1001, a->grace) == THRUM_OK, open);
    thrum_server_free(s);
    return CLI_OK;
}

int serve_run(const struct args *a)
{
    quiet = a->quiet;
    if (!wake_begin() || (a->trace && !term_trace()))
        return CLI_FAILED;
    thrum_tls_options tls = a->tls;
    if (tls.ca_file)
        tls.peer_certificate = THRUM_ON;
    const thrum_server_options o = {.size = sizeof o,
                                    .serve = a->on_loops ? NULL : echo,
                                    .subprotocols = a->subprotocols,
                                    .open_timeout = a->open_timeout,
                                    .ping_interval = a->ping_interval,
                                    .max_message = a->max_message,
                                    .compression = a->compression,
                                    .tls = tls.size > 0 ? &tls : NULL};
    return a->on_loops ? loops_run(a, &o) : threads_run(a, &o);
}
