/* loop_client.c URL AGENT: client.c on a loop: it asks the Autobahn test suite's fuzzingserver for the number
 * of cases, opens a connection for each when the one before has ended and sends back what comes, and has the
 * reports written at the end. Status 1 only when the suite cannot be talked to. */
#include <stdio.h>
#include <stdlib.h>
#include <thrum/loop.h>
#include "limits.h"

static thrum_loop *loop;
static const char *base, *agent;
static unsigned long cases, next; /* 0: how many are there? After the last: the reports */
static bool opened, answered;

static void go_on(void);

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    if (next == 0) {
        cases = strtoul((const char *)m->data, NULL, 10);
        return;
    }
    thrum_status s = thrum_send(c, m->kind, m->data, m->len);
    if (s != THRUM_OK && s != THRUM_E_CLOSED)
        fprintf(stderr, "case number %lu: %s\n", next, thrum_status_text(s));
}

static void on_open(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    opened = true;
}

/* A case may well end badly, in the handshake too: that is what some are for. */
static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)c;
    (void)arg;
    if (!opened)
        fprintf(stderr, "case number %lu: %s\n", next, why->text);
    if (next == 0 && why->status != THRUM_E_CLOSED)
        return;
    answered = next > cases && why->status == THRUM_E_CLOSED;
    opened = false;
    if (next++ <= cases)
        go_on();
}

static void go_on(void)
{
    char url[512];
    thrum_error e;
    if (next == 0)
        snprintf(url, sizeof url, "%s/getCaseCount", base);
    else if (next <= cases)
        snprintf(url, sizeof url, "%s/runCase?case=%lu&agent=%s", base, next, agent);
    else
        snprintf(url, sizeof url, "%s/updateReports?agent=%s", base, agent);
    if (thrum_open(loop, url,
                   THRUM_CLIENT(.max_message = MESSAGE_MAX, .max_fragments = FRAGMENTS_MAX,
                                .when_full = THRUM_FULL_PAUSE),
                   THRUM_HANDLERS(.on_open = on_open, .on_message = on_message, .on_close = on_close), NULL,
                   NULL, &e) != THRUM_OK)
        fprintf(stderr, "conformance client: %s\n", e.text);
}

int main(int argc, char **argv)
{
    thrum_error e;
    if (argc != 3) {
        fprintf(stderr, "usage: loop_client URL AGENT\n");
        return 2;
    }
    base = argv[1];
    agent = argv[2];
    if (thrum_loop_new(&loop, &e) != THRUM_OK) {
        fprintf(stderr, "conformance client: %s\n", e.text);
        return 1;
    }
    go_on();
    (void)thrum_loop_run(loop, THRUM_FOREVER); /* until nothing is left */
    (void)thrum_loop_free(loop);
    return answered ? 0 : 1;
}
