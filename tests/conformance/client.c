/* client.c URL AGENT: the client that takes all cases from the Autobahn test suite's fuzzingserver at URL: it
 * asks for their number, connects once for each and sends back what comes, and has the reports written at the
 * end. What a case was worth is the suite's to say; status 1 only when the suite cannot be talked to. */
#include <stdio.h>
#include <stdlib.h>
#include <thrum/thrum.h>
#include "limits.h"

/* The slowest case is ended by the suite itself after 480 s. */
enum { PATIENCE_MS = 600 * 1000 };

static thrum_conn *open_at(const char *base, const char *target, thrum_error *e)
{
    char url[512];
    thrum_conn *c;
    snprintf(url, sizeof url, "%s%s", base, target);
    return thrum_connect(&c, url, THRUM_CLIENT(.max_message = MESSAGE_MAX, .max_fragments = FRAGMENTS_MAX),
                         e) == THRUM_OK
               ? c
               : NULL;
}

/* A case may well end badly, in the handshake too: that is what some are for. */
static void run_case(const char *base, const char *agent, unsigned long number)
{
    char target[160];
    thrum_error e;
    thrum_message m;
    thrum_status s = THRUM_OK;
    snprintf(target, sizeof target, "/runCase?case=%lu&agent=%s", number, agent);
    thrum_conn *c = open_at(base, target, &e);
    if (!c) {
        fprintf(stderr, "case number %lu: %s\n", number, e.text);
        return;
    }
    while (s == THRUM_OK && thrum_recv(c, &m, PATIENCE_MS) == THRUM_OK) {
        s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
    }
    (void)thrum_close(c, 1000, NULL);
    thrum_conn_free(c);
}

/* The answer is a number in a text message, then Close; 0 where there is none, as at /updateReports. */
static bool ask(const char *base, const char *target, unsigned long *answer)
{
    thrum_error e;
    thrum_message m;
    thrum_conn *c = open_at(base, target, &e);
    if (!c) {
        fprintf(stderr, "conformance client: %s\n", e.text);
        return false;
    }
    *answer = 0;
    while (thrum_recv(c, &m, PATIENCE_MS) == THRUM_OK) {
        *answer = strtoul((const char *)m.data, NULL, 10);
        thrum_message_release(&m);
    }
    (void)thrum_close(c, 1000, NULL);
    thrum_conn_free(c);
    return true;
}

int main(int argc, char **argv)
{
    char target[160];
    unsigned long cases, none;
    if (argc != 3) {
        fprintf(stderr, "usage: client URL AGENT\n");
        return 2;
    }
    if (!ask(argv[1], "/getCaseCount", &cases))
        return 1;
    for (unsigned long i = 1; i <= cases; i++)
        run_case(argv[1], argv[2], i);
    snprintf(target, sizeof target, "/updateReports?agent=%s", argv[2]);
    return ask(argv[1], target, &none) ? 0 : 1;
}
