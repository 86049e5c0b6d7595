/* sends.c: every kind of thing that is sent, from both roles, for memcheck to watch: not one byte of it may
 * be one that nobody wrote (SECURITY R25). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <thrum/server.h>

static char text[70000];

static void check(thrum_status s)
{
    if (s == THRUM_OK)
        return;
    fprintf(stderr, "sends: %s\n", thrum_status_text(s));
    exit(1);
}

static void send_all(thrum_conn *c)
{
    static const size_t sizes[] = {0, 1, 125, 126, 1000, 5000, 65535, 65536};
    thrum_slice v[2] = {{(const uint8_t *)text, 300}, {(const uint8_t *)text + 5, 4000}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int compress = THRUM_DEFAULT; compress <= THRUM_OFF; compress++) {
            thrum_slice one = {(const uint8_t *)text, sizes[i]};
            check(thrum_send_with(c, i % 2 ? THRUM_TEXT : THRUM_BINARY, &one, 1,
                                  THRUM_SEND(.compress = (thrum_switch)compress)));
        }
    check(thrum_sendv(c, THRUM_TEXT, v, 2));
    check(thrum_send_part(c, THRUM_TEXT, text, 700, false));
    check(thrum_send_part(c, THRUM_TEXT, text, 3, false));
    check(thrum_send_part(c, THRUM_TEXT, NULL, 0, true));
    check(thrum_ping(c, "ping", 4, 0));
    check(thrum_pong(c, NULL, 0));
}

static void receive_all(thrum_conn *c)
{
    thrum_message m;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK)
        thrum_message_release(&m);
}

static void *serve(void *arg)
{
    thrum_conn *c;
    thrum_error e;
    check(thrum_accept_fd(&c, *(int *)arg, THRUM_SERVER(.server_name = "sends"), &e));
    send_all(c);
    receive_all(c);
    thrum_conn_free(c);
    return NULL;
}

static void *receive(void *arg)
{
    receive_all(arg);
    return NULL;
}

int main(void)
{
    int fds[2];
    pthread_t server, receiver;
    thrum_conn *c;
    thrum_error e;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * i % 23);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0 || pthread_create(&server, NULL, serve, &fds[1]) != 0)
        return 1;
    static const char *const headers[] = {"X-One", "1", NULL};
    check(thrum_connect_fd(&c, fds[0], "ws://host/x?y",
                           THRUM_CLIENT(.subprotocols = "a, b", .headers = headers), &e));
    if (pthread_create(&receiver, NULL, receive, c) != 0)
        return 1;
    send_all(c);
    check(thrum_close(c, 3000, "a reason"));
    pthread_join(receiver, NULL);
    pthread_join(server, NULL);
    thrum_conn_free(c);
    puts("sent");
    return 0;
}
