/* two_threads.c: full duplex. One thread reads, another writes, on the same connection, without a lock of
 * yours: a message is sent whole, and a reader never keeps a writer waiting. */
#include "example.h"

#include <pthread.h>

enum { MESSAGES = 1000 };

static void *read_all(void *arg)
{
    thrum_conn *ws = arg;
    thrum_message m;
    int *count = calloc(1, sizeof *count);
    while (count != NULL && *count < MESSAGES && thrum_recv(ws, &m, 5000) == THRUM_OK) {
        thrum_message_release(&m);
        ++*count;
    }
    return count;
}

int main(int argc, char **argv)
{
    thrum_server *server;
    thrum_conn *ws;
    thrum_error err;
    pthread_t reader;
    void *result;

    if (thrum_connect(&ws, example_url(argc, argv, &server), NULL, &err) != THRUM_OK)
        example_die("connect", &err);
    if (pthread_create(&reader, NULL, read_all, ws) != 0)
        return 1;

    for (int i = 0; i < MESSAGES; i++) {
        char text[32];
        const int n = snprintf(text, sizeof text, "message %d", i);
        if (thrum_send(ws, THRUM_TEXT, text, (size_t)n) != THRUM_OK)
            example_lost(ws, "send");
    }
    pthread_join(reader, &result);

    const int received = result != NULL ? *(int *)result : 0;
    printf("wrote %d messages on one thread, read %d on another\n", MESSAGES, received);
    free(result);
    thrum_conn_free(ws);
    thrum_server_free(server);
    return received == MESSAGES ? 0 : 1;
}
