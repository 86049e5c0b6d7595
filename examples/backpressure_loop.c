/* backpressure_loop.c: a peer that does not read. What waits for it is bounded by send_high, and when_full
 * says what happens there: the sender is told and goes on when on_drain says so; nothing is read from such a
 * peer; the oldest messages make room for new ones; or the connection ends. One run for each. */
#include "example.h"

#include <string.h>
#include <thrum/loop.h>

enum { MESSAGES = 2000, SIZE = 32 * 1024, HIGH = 256 * 1024, SLOW_MS = 100 };

struct story {
    thrum_full policy;
    thrum_loop *loop;
    thrum_listener *server;
    thrum_id slow; /* the client */
    int sent, full, drained, received, last;
    size_t most; /* bytes that waited in the server's connection */
    uint16_t code;
};

/* ---- the sender: as many as it may, and the rest later ---- */

static void send_some(thrum_conn *c, struct story *s)
{
    static char text[SIZE];
    while (s->sent < MESSAGES) {
        memset(text, '.', sizeof text);
        snprintf(text, sizeof text, "%d", s->sent + 1);
        const thrum_status st = thrum_send(c, THRUM_BINARY, text, sizeof text);
        if (s->policy != THRUM_FULL_PAUSE && thrum_conn_pending(c) > s->most)
            s->most = thrum_conn_pending(c);
        if (st == THRUM_E_FULL)
            s->full++; /* nothing of it was taken: on_drain tells when to say it again */
        if (st != THRUM_OK)
            return;
        s->sent++;
    }
}

static void on_drain(thrum_conn *c, void *arg)
{
    struct story *s = arg;
    s->drained++;
    send_some(c, s);
}

static void on_open(thrum_conn *c, void *arg)
{
    send_some(c, arg);
}

/* ---- an echo, for the one that is not read from: its echoes never meet a full queue ---- */

static void echo(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct story *s = arg;
    if (thrum_send(c, m->kind, m->data, m->len) != THRUM_OK)
        s->full = -1;
    if (thrum_conn_pending(c) > s->most)
        s->most = thrum_conn_pending(c);
}

/* ---- the slow client ---- */

static void wake(thrum_conn *c, void *arg)
{
    (void)arg;
    if (c) /* it may have been closed meanwhile */
        thrum_resume(c);
}

/* A timer has no connection, as this one could have gone; its id never means another. */
static void be_quick_again(void *arg)
{
    const struct story *s = arg;
    if (thrum_post(s->loop, s->slow, wake, NULL) != THRUM_OK)
        exit(1);
}

static void slow_opened(thrum_conn *c, void *arg)
{
    struct story *s = arg;
    thrum_pause(c);
    if (thrum_loop_after(s->loop, SLOW_MS, be_quick_again, s, NULL) != THRUM_OK)
        exit(1);
    if (s->policy == THRUM_FULL_PAUSE)
        send_some(c, s);
}

static void slow_received(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct story *s = arg;
    const int number = atoi((const char *)m->data);
    if (number <= s->last)
        example_lost(c, "out of order");
    s->received++;
    s->last = number;
    if (number == MESSAGES)
        thrum_close(c, 1000, NULL);
}

static void slow_drained(thrum_conn *c, void *arg)
{
    struct story *s = arg;
    if (s->policy == THRUM_FULL_PAUSE)
        send_some(c, s);
}

static void slow_closed(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct story *s = arg;
    (void)c;
    s->code = why->close_code;
    thrum_listener_drain(s->server, 0, 2000, NULL, NULL);
}

/* ---- one run ---- */

static void play(struct story *s)
{
    thrum_error err;
    const thrum_handlers *flood = THRUM_HANDLERS(.on_open = on_open, .on_drain = on_drain);
    const thrum_handlers *answer = THRUM_HANDLERS(.on_message = echo);
    if (thrum_loop_new(&s->loop, &err) != THRUM_OK)
        example_die("loop", &err);
    if (thrum_listen(&s->server, s->loop, "ws://127.0.0.1:0/",
                     THRUM_SERVER(.handlers = s->policy == THRUM_FULL_PAUSE ? answer : flood, .arg = s,
                                  .when_full = s->policy, .send_high = HIGH, .compression = THRUM_OFF),
                     &err) != THRUM_OK)
        example_die("listen", &err);
    if (thrum_open(s->loop, thrum_listener_url(s->server), NULL,
                   THRUM_HANDLERS(.on_open = slow_opened, .on_message = slow_received,
                                  .on_drain = slow_drained, .on_close = slow_closed),
                   s, &s->slow, &err) != THRUM_OK)
        example_die("open", &err);
    if (thrum_loop_run(s->loop, 30000) != THRUM_OK)
        exit(1);
    thrum_listener_free(s->server);
    thrum_loop_free(s->loop);
}

static bool as_promised(const struct story *s)
{
    const bool all = s->received == MESSAGES && s->code == 1000, bounded = s->most <= HIGH + SIZE + 64;
    switch (s->policy) {
    case THRUM_FULL_REFUSE: return bounded && all && s->full > 0 && s->drained > 0;
    case THRUM_FULL_PAUSE: return bounded && all && s->full > 0; /* the client's own E_FULL */
    case THRUM_FULL_DROP_OLDEST:
        return bounded && s->full == 0 && s->received < MESSAGES && s->last == MESSAGES;
    case THRUM_FULL_CLOSE: return bounded && s->code == 1013;
    }
    return false;
}

int main(void)
{
    static const char *const names[] = {"refuse", "pause", "drop oldest", "close"};
    int result = 0;
    for (int i = 0; i < 4; i++) {
        struct story s = {.policy = (thrum_full)i};
        play(&s);
        printf(
            "%-12s %d messages were taken, at most %zu KiB waited, %d times full; %d were received, the last "
            "was %d; closed with %u\n",
            names[i], s.sent, s.most / 1024, s.full, s.received, s.last, (unsigned)s.code);
        if (!as_promised(&s))
            result = 1;
    }
    return result;
}
