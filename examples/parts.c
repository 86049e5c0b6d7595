/* parts.c: a message larger than you would like to hold in memory, such as a file. It is sent in parts,
 * echoed in parts and received in parts; nobody ever has more of it than one part. */
#include "example.h"

#include <pthread.h>

enum { PART = 64 * 1024, PARTS = 512 };

/* Echoes without ever holding a whole message. */
static void serve(thrum_conn *c, void *arg)
{
    thrum_message m;
    thrum_status s = THRUM_OK;
    (void)arg;
    while (s == THRUM_OK && thrum_recv_part(c, &m, THRUM_FOREVER) == THRUM_OK) {
        s = thrum_send_part(c, m.kind, m.data, m.len, (m.part & THRUM_PART_LAST) != 0);
        thrum_message_release(&m);
    }
}

/* On a thread of its own: the echo answers while we still send, and somebody must read. */
static void *send_all(void *ws)
{
    static uint8_t part[PART]; /* what a file would give */
    for (int number = 0; number < PARTS; number++) {
        for (size_t i = 0; i < PART; i++)
            part[i] = (uint8_t)((size_t)number + i);
        if (thrum_send_part(ws, THRUM_BINARY, part, PART, number == PARTS - 1) != THRUM_OK)
            example_lost(ws, "send");
    }
    return NULL;
}

/* Reads the answer for as long as it has no end; gives the number of bytes, and whether they were the right
 * ones. */
static uint64_t receive(thrum_conn *ws, bool *right)
{
    thrum_message m;
    uint64_t total = 0;
    for (bool last = false; !last;) {
        if (thrum_recv_part(ws, &m, 5000) != THRUM_OK)
            example_lost(ws, "recv");
        for (size_t i = 0; i < m.len; i++, total++)
            *right = *right && m.data[i] == (uint8_t)(total / PART + total % PART);
        last = (m.part & THRUM_PART_LAST) != 0;
        thrum_message_release(&m);
    }
    return total;
}

int main(void)
{
    thrum_server *server;
    thrum_conn *ws;
    thrum_error err;
    pthread_t sender;
    bool right = true;

    /* The limit on a message is 1 MiB unless you say otherwise. */
    if (thrum_serve(&server, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = serve, .max_message = THRUM_NO_LIMIT),
                    &err) != THRUM_OK)
        example_die("serve", &err);
    if (thrum_connect(&ws, thrum_server_url(server), THRUM_CLIENT(.max_message = THRUM_NO_LIMIT), &err) !=
        THRUM_OK)
        example_die("connect", &err);

    if (pthread_create(&sender, NULL, send_all, ws) != 0)
        return 1;
    const uint64_t total = receive(ws, &right);
    pthread_join(sender, NULL);

    printf("%llu bytes came back, %s\n", (unsigned long long)total,
           right ? "all of them right" : "some wrong");
    thrum_conn_free(ws);
    thrum_server_free(server);
    return right && total == (uint64_t)PARTS * PART ? 0 : 1;
}
