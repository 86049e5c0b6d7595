/* demo/witness.c: the echo server of the story, and what it saw of each connection's end. It lives in the
 * parent, so that no scenario can talk it into anything: what counts is the Close frame that came over the
 * wire. */
#include "story.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <thrum/server.h>
#include <time.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    thrum_server *server;
    bool ears_open;
    unsigned code, child_code; /* 0 until the connection has ended */
} witness = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool is_under(const thrum_conn *c, const char *room)
{
    return strncmp(thrum_conn_target(c), room, strlen(room)) == 0;
}

/* A peer that is up and does not read, until the process at the other end is gone. */
static void stay_deaf(void)
{
    pthread_mutex_lock(&witness.lock);
    while (!witness.ears_open)
        pthread_cond_wait(&witness.changed, &witness.lock);
    pthread_mutex_unlock(&witness.lock);
}

/* No Close frame is reported as 1006 (RFC 6455 section 7.1.5). */
static void record(const thrum_conn *c)
{
    thrum_closing end = {.size = sizeof end};
    const thrum_status s = thrum_conn_closing(c, &end);
    const unsigned code = s == THRUM_OK && end.recv_code != 0 ? end.recv_code : 1006;
    pthread_mutex_lock(&witness.lock);
    if (is_under(c, "/child/"))
        witness.child_code = code;
    else
        witness.code = code;
    pthread_cond_broadcast(&witness.changed);
    pthread_mutex_unlock(&witness.lock);
}

static void serve(thrum_conn *c, void *arg)
{
    thrum_message m;
    const bool deaf = is_under(c, "/deaf/");
    (void)arg;
    if (deaf)
        stay_deaf();
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        /* A failed answer needs no care here: the next recv says that the connection has ended. */
        if (!deaf && thrum_send(c, m.kind, m.data, m.len) != THRUM_OK) {
            thrum_message_release(&m);
            continue;
        }
        thrum_message_release(&m);
    }
    record(c);
}

bool witness_start(char *error, size_t size)
{
    thrum_error e;
    const thrum_status s =
        thrum_serve(&witness.server, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = serve), &e);
    if (s != THRUM_OK)
        snprintf(error, size, "%s", e.text);
    return s == THRUM_OK;
}

const char *witness_url(void)
{
    return thrum_server_url(witness.server);
}

void witness_forget(void)
{
    pthread_mutex_lock(&witness.lock);
    witness.ears_open = false;
    witness.code = witness.child_code = 0;
    pthread_mutex_unlock(&witness.lock);
}

void witness_open_ears(void)
{
    pthread_mutex_lock(&witness.lock);
    witness.ears_open = true;
    pthread_cond_broadcast(&witness.changed);
    pthread_mutex_unlock(&witness.lock);
}

unsigned witness_code(bool child)
{
    struct timespec until;
    const unsigned *code = child ? &witness.child_code : &witness.code;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3;
    pthread_mutex_lock(&witness.lock);
    while (*code == 0)
        if (pthread_cond_timedwait(&witness.changed, &witness.lock, &until) != 0)
            break;
    const unsigned seen = *code;
    pthread_mutex_unlock(&witness.lock);
    return seen;
}

void witness_stop(void)
{
    witness_open_ears();
    thrum_server_free(witness.server);
}
