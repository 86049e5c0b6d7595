/* loop_matrix.c: matrix.c on loops; called and answering as that is. */
#include "matrix.h"
#include <thrum/loop.h>
#include <unistd.h>

/* ---- server ---- */
static void echo(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    check(is_close_me(m) ? thrum_close(c, 4001, "as asked") : thrum_send(c, m->kind, m->data, m->len),
          "echo");
}

static void print_end(thrum_conn *c, const thrum_error *why, void *arg)
{
    thrum_closing end;
    (void)why;
    (void)arg;
    if (has_ended(c, &end))
        printf("ended %u %s\n", end.recv_code, end.recv_reason);
    fflush(stdout);
}

static int be_server(const thrum_server_options *o)
{
    thrum_listener *s;
    thrum_error e;
    char end;
    if (thrum_serve_loops(&s, 1, "ws://127.0.0.1:0/", o, &e) != THRUM_OK)
        give_up(e.text);
    puts(thrum_listener_url(s));
    fflush(stdout);
    while (read(STDIN_FILENO, &end, 1) > 0) /* until judges.py lets go */
        ;
    thrum_listener_free(s);
    return 0;
}

/* ---- client: one message after the other, as the echoes come ---- */
static thrum_loop *loop;
static const char *url;
static const thrum_client_options *options;
static unsigned said; /* of each kind: each size twice, and the parts */

enum { OF_A_KIND = 2 * SIZES + 1, ALL = 2 * OF_A_KIND };

static thrum_kind kind_of(unsigned i)
{
    return i < OF_A_KIND ? THRUM_TEXT : THRUM_BINARY;
}

static size_t size_of(unsigned i)
{
    return i % OF_A_KIND == OF_A_KIND - 1 ? PARTS * PART : sizes[i % OF_A_KIND / 2];
}

static void say(thrum_conn *c)
{
    thrum_kind k = kind_of(said);
    if (said == ALL) {
        check(thrum_close(c, 3001, "bye"), "close");
    } else if (said % OF_A_KIND == OF_A_KIND - 1) {
        say_parts(c, k);
    } else {
        fill(k, size_of(said));
        check(thrum_send(c, k, message, size_of(said)), "send");
    }
}

static void on_open(thrum_conn *c, void *arg)
{
    (void)arg;
    print_agreed(c);
    say(c);
}

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    compare(m, kind_of(said), size_of(said));
    said++;
    say(c);
}

static void ask_for_close(thrum_conn *c, void *arg)
{
    (void)arg;
    check(thrum_send(c, THRUM_TEXT, "close me", 8), "send");
}

static void be_told(thrum_conn *c, const thrum_error *why, void *arg)
{
    thrum_closing end;
    (void)arg;
    if (why->status != THRUM_E_CLOSED || !has_ended(c, &end))
        give_up(why->text);
    printf("told %u %s\n", end.recv_code, end.recv_reason);
}

static void open_with(const thrum_handlers *on)
{
    thrum_error e;
    if (thrum_open(loop, url, options, on, NULL, NULL, &e) != THRUM_OK)
        give_up(e.text);
}

static void be_answered(thrum_conn *c, const thrum_error *why, void *arg)
{
    thrum_closing end;
    (void)arg;
    if (why->status != THRUM_E_CLOSED || said < ALL || !has_ended(c, &end))
        give_up(why->text);
    printf("answered %u\n", end.recv_code);
    open_with(THRUM_HANDLERS(.on_open = ask_for_close, .on_close = be_told));
}

static int be_client(const thrum_client_options *o, const char *to)
{
    url = to;
    options = o;
    check(thrum_loop_new(&loop, NULL), "loop");
    open_with(THRUM_HANDLERS(.on_open = on_open, .on_message = on_message, .on_close = be_answered));
    check(thrum_loop_run(loop, 3 * PATIENCE_MS), "run");
    return thrum_loop_free(loop) == THRUM_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const char *const any[] = {"*", NULL};
    const char *mode = argc > 2 ? argv[2] : "";
    thrum_switch on = wants_compression(mode), alone = wants_no_takeover(mode);
    if (argc == 3 && strcmp(argv[1], "server") == 0)
        return be_server(THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_message = echo, .on_close = print_end),
                                      .origins = any, .max_message = LIMIT, .compression = on,
                                      .server_no_context_takeover = alone,
                                      .client_no_context_takeover = alone));
    if (argc == 4 && strcmp(argv[1], "client") == 0)
        return be_client(THRUM_CLIENT(.max_message = LIMIT, .compression = on,
                                      .server_no_context_takeover = alone,
                                      .client_no_context_takeover = alone),
                         argv[3]);
    give_up("usage: loop_matrix server|client on|off|no-takeover [URL]");
}
