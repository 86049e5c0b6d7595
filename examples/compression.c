/* compression.c: text that repeats itself is sent in fewer bytes (permessage-deflate, RFC 7692). It is on by
 * itself, remembers what was sent before, and a send may do without it. */
#include "example.h"

#include <string.h>
#include <thrum/stats.h>

static const char text[] = "{\"type\": \"trade\", \"symbol\": \"ACME\", \"price\": 101.25, \"size\": 300, "
                           "\"venue\": \"north\", \"conditions\": [\"regular\", \"odd lot\"], "
                           "\"bid\": {\"price\": 101.20, \"size\": 1200, \"venue\": \"north\"}, "
                           "\"ask\": {\"price\": 101.30, \"size\": 900, \"venue\": \"south\"}}";

static thrum_stats stats_of(const thrum_conn *ws)
{
    thrum_stats s = {.size = sizeof s};
    if (thrum_conn_stats(ws, &s) != THRUM_OK)
        example_lost(ws, "stats");
    return s;
}

/* Sends the text and takes its echo; gives the bytes that the message took on the wire. */
static uint64_t say(thrum_conn *ws, const char *how, thrum_switch compress)
{
    const thrum_slice v = {(const uint8_t *)text, strlen(text)};
    const thrum_stats before = stats_of(ws);
    thrum_message m;

    if (thrum_send_with(ws, THRUM_TEXT, &v, 1, THRUM_SEND(.compress = compress)) != THRUM_OK)
        example_lost(ws, "send");
    if (thrum_recv(ws, &m, 5000) != THRUM_OK)
        example_lost(ws, "recv");
    if (m.len != v.n || memcmp(m.data, v.p, v.n) != 0)
        exit(1);
    thrum_message_release(&m);

    const thrum_stats after = stats_of(ws);
    const uint64_t wire = after.wire_out - before.wire_out; /* the frame's head of 6 to 14 bytes included */
    printf("%s %3llu bytes of text, %3llu on the wire\n", how,
           (unsigned long long)(after.bytes_out - before.bytes_out), (unsigned long long)wire);
    return wire;
}

int main(int argc, char **argv)
{
    thrum_server *server;
    thrum_conn *ws;
    thrum_error err;

    if (thrum_connect(&ws, example_url(argc, argv, &server), NULL, &err) != THRUM_OK)
        example_die("connect", &err);
    const char *agreed = thrum_conn_extensions(ws); /* NULL: the server does not compress, all else works */
    printf("agreed: %s\n", agreed ? agreed : "nothing");

    const uint64_t first = say(ws, "compressed:       ", THRUM_DEFAULT);
    const uint64_t again = say(ws, "once more:        ", THRUM_DEFAULT); /* refers back to the first */
    const uint64_t plain = say(ws, "THRUM_OFF:        ", THRUM_OFF);     /* as secrets should be sent */

    const thrum_stats s = stats_of(ws);
    printf("in all, out and in: %llu bytes of text, %llu on the wire with the handshake\n",
           (unsigned long long)(s.bytes_out + s.bytes_in), (unsigned long long)(s.wire_out + s.wire_in));
    printf("kept for it: %llu bytes by this connection, %llu by the process\n",
           (unsigned long long)s.compress_held, (unsigned long long)s.compress_held_process);

    const bool smaller = again < first && first < plain;
    thrum_conn_free(ws);
    thrum_server_free(server);
    return smaller || !agreed ? 0 : 1;
}
