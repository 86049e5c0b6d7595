/* bench/blocking/by_thrum.c: the exchange by the library. `by_thrum PORT SIZE COUNT [SPIN_US]`. */
#include "plain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/thrum.h>

_Noreturn static void die(const thrum_conn *c)
{
    thrum_error e;
    thrum_conn_error(c, &e);
    fprintf(stderr, "by_thrum: %s\n", e.text);
    exit(1);
}

static void round_trip(thrum_conn *c, const uint8_t *payload, size_t size)
{
    thrum_message m;
    if (thrum_send(c, THRUM_BINARY, payload, size) != THRUM_OK ||
        thrum_recv(c, &m, THRUM_FOREVER) != THRUM_OK)
        die(c);
    if (m.len != size) {
        fputs("by_thrum: another message came back\n", stderr);
        exit(1);
    }
    thrum_message_release(&m);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: by_thrum PORT SIZE COUNT [SPIN_US]\n", stderr);
        return 2;
    }
    char url[64];
    thrum_error e;
    thrum_conn *c;
    struct plain_clock start;
    const size_t size = strtoul(argv[2], NULL, 10);
    const long count = strtol(argv[3], NULL, 10);
    const uint64_t spin = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    uint8_t *payload = calloc(1, size + 1);
    if (payload == NULL)
        plain_die("memory");
    plain_pin(0);
    snprintf(url, sizeof url, "ws://127.0.0.1:%s/", argv[1]);
    if (thrum_connect(&c, url, THRUM_CLIENT(.spin_us = spin), &e) != THRUM_OK) {
        fprintf(stderr, "by_thrum: %s\n", e.text);
        return 1;
    }
    plain_start(&start);
    for (long i = 0; i < count; i++)
        round_trip(c, payload, size);
    plain_report(&start, count, thrum_library_threads());
    thrum_conn_free(c);
    free(payload);
    return 0;
}
