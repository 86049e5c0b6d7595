/* cli/connect.c: `thrum connect`. The main thread takes lines in and sends them; one thread receives and
 * prints, so that a peer may talk at any time, and a large paste against a peer that talks back cannot stall.
 */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    thrum_conn *conn;
    bool quiet;
    bool ended;        /* nothing will be received any more */
    bool mute;         /* because standard output has gone; read after the thread's end */
    int64_t last_word; /* ns, when something was last received */
} session;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool has_ended(void)
{
    return __atomic_load_n(&session.ended, __ATOMIC_ACQUIRE);
}

/* ---- the receiving thread -------------------------------------------------------------------------------
 */
static void *receive(void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(session.conn, &m, THRUM_FOREVER) == THRUM_OK) {
        const bool shown = term_message(&m);
        thrum_message_release(&m);
        if (!shown) {
            session.mute = true;
            break;
        }
        __atomic_store_n(&session.last_word, now_ns(), __ATOMIC_RELAXED);
    }
    __atomic_store_n(&session.ended, true, __ATOMIC_RELEASE);
    wake_poke();
    return NULL;
}

static bool start_receiver(pthread_t *t)
{
    sigset_t old;
    wake_block_signals(&old); /* they interrupt the main thread's waits */
    const int failed = pthread_create(t, NULL, receive, NULL);
    wake_restore_signals(&old);
    if (failed != 0)
        term_note("the system refuses a thread: %s", strerror(failed));
    return failed == 0;
}

/* ---- the main thread ------------------------------------------------------------------------------------
 */
/* False when the session cannot go on. A line that is no text is the user's mistake, not the connection's. */
static bool send_line(const struct args *a, const char *p, size_t n, bool *refused)
{
    const thrum_status s = thrum_send(session.conn, a->binary ? THRUM_BINARY : THRUM_TEXT, p, n);
    if (s == THRUM_E_UTF8) {
        *refused = true;
        term_note("this line is not UTF-8 and was not sent; --binary sends any bytes");
        return true;
    }
    return s == THRUM_OK;
}

/* Sends every whole line that has been read. False: no more input, or no more connection. */
static bool send_lines(const struct args *a, bool *refused)
{
    const char *p = NULL;
    size_t n = 0;
    for (;;) {
        const enum line_state state = line_next(&p, &n);
        if (state == LINE_NONE)
            return true;
        if (state == LINE_BROKEN)
            *refused = true;
        if (state != LINE_READY || wake_interrupted() || has_ended() || !send_line(a, p, n, refused))
            return false;
    }
}

/* Waits for input, a signal or the end of the connection; -1 no timeout. */
static bool wait_for(bool input, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = wake_fd(), .events = POLLIN},
                          {.fd = input ? STDIN_FILENO : -1, .events = POLLIN}};
    if (poll(p, 2, timeout_ms) <= 0)
        return false;
    if (p[0].revents != 0)
        wake_take();
    return p[1].revents != 0;
}

static void talk(const struct args *a, bool *refused)
{
    while (!wake_interrupted() && !has_ended()) {
        if (!send_lines(a, refused))
            return;
        if (wait_for(true, -1))
            line_read();
    }
}

/* Input has ended, answers may be on their way: stays until the peer has been silent for a while. */
static void linger(int64_t ms)
{
    const int64_t span = ms * 1000000, input_end = now_ns();
    while (!wake_interrupted() && !has_ended()) {
        const int64_t word = __atomic_load_n(&session.last_word, __ATOMIC_RELAXED);
        const int64_t left = (word > input_end ? word : input_end) + span - now_ns();
        if (left <= 0)
            return;
        wait_for(false, (int)(left / 1000000) + 1);
    }
}

/* ---- the end --------------------------------------------------------------------------------------------
 */
static void tell_closing(const thrum_closing *end)
{
    const char *reason = end->by_peer ? end->recv_reason : end->sent_reason;
    line_hide();
    fprintf(stderr, "thrum: closed by %s with %u", end->by_peer ? "the peer" : "us",
            (unsigned)(end->by_peer ? end->recv_code : end->sent_code));
    if (*reason != '\0') {
        fputs(": ", stderr);
        term_escape(stderr, (const uint8_t *)reason, strlen(reason));
    }
    fputc('\n', stderr);
    line_show();
}

/* Whether it ended well: a closing handshake, begun with 1000 or 1001 (or no code at all). */
static int judge_end(void)
{
    thrum_closing end = {.size = sizeof end};
    thrum_error e;
    thrum_conn_error(session.conn, &e);
    if (thrum_conn_closing(session.conn, &end) != THRUM_OK || !end.clean) {
        term_note("%s", e.text);
        return CLI_FAILED;
    }
    const unsigned code = end.by_peer ? end.recv_code : end.sent_code;
    const bool good = code == 1000 || code == 1001 || code == 1005;
    if (!session.quiet || !good)
        tell_closing(&end);
    return good ? CLI_OK : CLI_FAILED;
}

static int hold_session(const struct args *a)
{
    pthread_t receiver;
    bool refused = false;
    line_begin(); /* before the receiver, which marks its messages where there is a prompt */
    const bool typed = line_is_typed();
    if (!start_receiver(&receiver)) {
        line_end();
        return CLI_FAILED;
    }
    talk(a, &refused);
    line_end(); /* gives the terminal back before anything can take time */
    linger(typed ? 0 : a->linger);
    thrum_close(session.conn, 1000, NULL); /* its result is in what the connection says of its end */
    pthread_join(receiver, NULL);
    if (session.mute)
        term_note("standard output takes nothing any more");
    const int status = judge_end();
    return refused || session.mute ? CLI_FAILED : status;
}

int connect_run(const struct args *a)
{
    thrum_error e;
    if (!wake_begin() || (a->trace && !term_trace()))
        return CLI_FAILED;
    session.quiet = a->quiet;
    const thrum_client_options o = {.size = sizeof o,
                                    .subprotocols = a->subprotocols,
                                    .origin = a->origin,
                                    .headers = a->header_count > 0 ? a->headers : NULL,
                                    .open_timeout = a->open_timeout,
                                    .ping_interval = a->ping_interval,
                                    .max_message = a->max_message,
                                    .compression = a->compression,
                                    .max_redirects = a->max_redirects,
                                    .tls = a->tls.size > 0 ? &a->tls : NULL,
                                    .proxy = a->proxy,
                                    .source_address = a->source,
                                    .user = a->user,
                                    .password = a->password,
                                    .bearer = a->bearer,
                                    .cookie = a->cookie,
                                    .interruptible = THRUM_ON};
    if (thrum_connect(&session.conn, a->uri, &o, &e) != THRUM_OK) {
        term_note("%s", e.text);
        return wake_interrupted() ? 130 : CLI_FAILED;
    }
    if (!a->quiet) {
        const char *chosen = thrum_conn_subprotocol(session.conn),
                   *with = thrum_conn_extensions(session.conn);
        thrum_tls_info tls = {.size = sizeof tls};
        (void)thrum_conn_tls(session.conn, &tls); /* it may be closed already */
        term_note("connected to %s%s%s%s%s%s%s", thrum_conn_peer(session.conn),
                  chosen ? ", subprotocol " : "", chosen ? chosen : "", tls.version[0] ? ", " : "",
                  tls.version, with ? ", " : "", with ? with : "");
    }
    const int status = hold_session(a);
    thrum_conn_free(session.conn);
    return status;
}
