/* fd.c: sockets that you opened yourself: a socketpair here, or one from a parent process, a tunnel, an
 * accept loop of your own. The descriptor is the library's from the call on. */
#include "example.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

static void *serve_one(void *arg)
{
    thrum_conn *c;
    thrum_error err;
    if (thrum_accept_fd(&c, *(int *)arg, NULL, &err) != THRUM_OK)
        example_die("accept", &err);
    example_echo(c, NULL);
    thrum_conn_free(c);
    return NULL;
}

int main(void)
{
    thrum_conn *ws;
    thrum_error err;
    thrum_message m;
    pthread_t server;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 ||
        pthread_create(&server, NULL, serve_one, &fds[1]) != 0)
        return 1;

    /* The URL gives Host and the request target; nothing is resolved or connected. */
    if (thrum_connect_fd(&ws, fds[0], "ws://localhost/over/a/pair", NULL, &err) != THRUM_OK)
        example_die("connect", &err);
    if (thrum_send(ws, THRUM_TEXT, "through a pair", strlen("through a pair")) != THRUM_OK ||
        thrum_recv(ws, &m, 5000) != THRUM_OK)
        example_lost(ws, "echo");
    printf("received: %s\n", (const char *)m.data);
    thrum_message_release(&m);

    thrum_close(ws, 1000, NULL);
    thrum_conn_free(ws);
    pthread_join(server, NULL);
    return 0;
}
