/* examples/conversation.h: what with_libuv.c, with_libevent.c and with_glib.c share: an echo server and a
 * client of it on one loop of thrum's, with timers of thrum's; nothing in here knows which loop drives them.
 */
#ifndef CONVERSATION_H
#define CONVERSATION_H

#include "example.h"

#include <thrum/loop.h>

enum {
    ECHOES = 5,    /* then it is over */
    TICK_MS = 60,  /* of the foreign loop's timer, which has a message sent at each */
    PULSE_MS = 20, /* of thrum's own timer */
    QUIET_MS =
        15 /* after which keepalive sends a ping: shorter than a tick, so that it has something to do */
};

struct conversation {
    thrum_loop *loop;
    thrum_listener *server;
    thrum_conn *client; /* between on_open and on_close */
    thrum_id timer;
    int said, heard, pulses, pings;
};

/* ---- the server ---- */

static inline void conversation_echo(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    if (thrum_send(c, m->kind, m->data, m->len) != THRUM_OK)
        thrum_conn_free(c);
}

static inline void conversation_pinged(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct conversation *v = arg;
    (void)c;
    (void)m;
    v->pings++;
}

/* ---- the client ---- */

static inline void conversation_opened(thrum_conn *c, void *arg)
{
    struct conversation *v = arg;
    v->client = c;
}

static inline void conversation_heard(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct conversation *v = arg;
    printf("heard: %s\n", (const char *)m->data);
    if (++v->heard == ECHOES)
        thrum_close(c, 1000, NULL);
}

/* Nothing is left on the loop after this: thrum_loop_step will answer E_CLOSED. */
static inline void conversation_over(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct conversation *v = arg;
    (void)c;
    v->client = NULL;
    printf("closed: %s\n", why->text);
    (void)thrum_loop_cancel(v->loop, v->timer);
    thrum_listener_drain(v->server, 0, 2000, NULL, NULL);
}

static inline void conversation_pulse(void *arg)
{
    struct conversation *v = arg;
    v->pulses++;
    if (thrum_loop_after(v->loop, PULSE_MS, conversation_pulse, v, &v->timer) != THRUM_OK)
        exit(1);
}

/* ---- for the foreign loop ---- */

/* Makes the loop and all that is on it, and gives the descriptor to be polled. */
static inline int conversation_begin(struct conversation *v)
{
    thrum_error err;
    if (thrum_loop_new(&v->loop, &err) != THRUM_OK)
        example_die("loop", &err);
    if (thrum_listen(&v->server, v->loop, "ws://127.0.0.1:0/",
                     THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_message = conversation_echo,
                                                             .on_ping = conversation_pinged),
                                  .arg = v, .when_full = THRUM_FULL_PAUSE),
                     &err) != THRUM_OK)
        example_die("listen", &err);
    if (thrum_open(v->loop, thrum_listener_url(v->server), THRUM_CLIENT(.ping_interval = QUIET_MS),
                   THRUM_HANDLERS(.on_open = conversation_opened, .on_message = conversation_heard,
                                  .on_close = conversation_over),
                   v, NULL, &err) != THRUM_OK)
        example_die("open", &err);
    if (thrum_loop_after(v->loop, PULSE_MS, conversation_pulse, v, &v->timer) != THRUM_OK)
        exit(1);
    const int fd = thrum_loop_fd(v->loop);
    if (fd < 0) {
        fprintf(stderr, "the backend %s has no descriptor for another loop\n", thrum_loop_backend(v->loop));
        exit(1);
    }
    return fd;
}

/* The foreign timer's tick. Between two steps, so the connection may be used as in a callback. */
static inline void conversation_tick(struct conversation *v)
{
    char text[32];
    if (!v->client || v->said == ECHOES)
        return;
    const int n = snprintf(text, sizeof text, "tick %d", ++v->said);
    if (thrum_send(v->client, THRUM_TEXT, text, (size_t)n) != THRUM_OK)
        example_lost(v->client, "send");
}

/* The program's status: has everybody had his turn? */
static inline int conversation_end(struct conversation *v, int ticks)
{
    printf("%s: %d echoes, %d pulses of thrum's timer, %d pings of keepalive, %d ticks of the other loop's "
           "timer\n",
           thrum_loop_backend(v->loop), v->heard, v->pulses, v->pings, ticks);
    thrum_listener_free(v->server);
    thrum_loop_free(v->loop);
    return v->heard == ECHOES && v->pulses > 0 && v->pings > 0 && ticks >= ECHOES ? 0 : 1;
}

#endif
