/* proxy.c: the same client, by a proxy. `proxy PROXY URL` takes a real one, as in
 * `proxy http://me:secret@proxy.example:3128 wss://server.example/`. Without arguments the program is its own
 * proxy, of the simplest kind: one HTTP CONNECT, and bytes both ways. */
#include "example.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_here(unsigned *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 4) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        exit(1);
    *port = ntohs(a.sin_port);
    return fd;
}

static int dial(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((unsigned short)port)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        exit(1);
    return fd;
}

/* Both ways until one side ends. */
static void pass_on(int a, int b)
{
    struct pollfd v[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    char bytes[4096];
    while (poll(v, 2, -1) > 0)
        for (int i = 0; i < 2; i++) {
            if (v[i].revents == 0)
                continue;
            const ssize_t n = read(v[i].fd, bytes, sizeof bytes);
            if (n <= 0 || write(v[1 - i].fd, bytes, (size_t)n) != n)
                return;
        }
}

static void *be_a_proxy(void *arg)
{
    static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    char head[1024] = "";
    unsigned port = 0;
    const int client = accept(*(const int *)arg, NULL, NULL);
    for (size_t n = 0; !strstr(head, "\r\n\r\n") && n + 1 < sizeof head; n++)
        if (read(client, head + n, 1) != 1)
            return NULL;
    printf("the proxy is asked: %.*s\n", (int)strcspn(head, "\r"), head);
    if (sscanf(head, "CONNECT 127.0.0.1:%u ", &port) != 1)
        return NULL;
    const int server = dial(port);
    if (write(client, ok, sizeof ok - 1) == (ssize_t)sizeof ok - 1)
        pass_on(client, server);
    close(client);
    close(server);
    return NULL;
}

static void say_hello(const char *url, const char *proxy)
{
    thrum_conn *ws;
    thrum_error err;
    thrum_message m;
    if (thrum_connect(&ws, url, THRUM_CLIENT(.proxy = proxy), &err) != THRUM_OK)
        example_die("connect", &err);
    if (thrum_send(ws, THRUM_TEXT, "hello", 5) != THRUM_OK || thrum_recv(ws, &m, 5000) != THRUM_OK)
        example_lost(ws, "echo");
    printf("%s came back through %s\n", (const char *)m.data, thrum_conn_peer(ws));
    thrum_message_release(&m);
    (void)thrum_close(ws, 1000, NULL);
    thrum_conn_free(ws);
}

int main(int argc, char **argv)
{
    thrum_server *server;
    thrum_error err;
    thrum_conn *ws;
    unsigned port;
    char proxy[64];
    pthread_t t;

    if (argc > 2) {
        say_hello(argv[2], argv[1]);
        return 0;
    }
    const char *url = example_url(1, argv, &server);
    int listening = listen_here(&port);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", port);
    pthread_create(&t, NULL, be_a_proxy, &listening);
    say_hello(url, proxy);
    pthread_join(t, NULL);
    close(listening);
    say_hello(url, ""); /* "": none, whatever the environment says */

    /* A proxy that is not there: the error says that it is the proxy's. */
    if (thrum_connect(&ws, url, THRUM_CLIENT(.proxy = proxy), &err) == THRUM_OK)
        return 1;
    printf("%s\n", err.text);
    thrum_server_free(server);
    return 0;
}
