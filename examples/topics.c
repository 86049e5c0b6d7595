/* topics.c: who wants to hear of something subscribes to its topic; whoever knows of something publishes it,
 * from any thread. Here a thread of ours does so, to subscribers that are spread over several loops. */
#include "example.h"

#include <pthread.h>
#include <string.h>
#include <thrum/loop.h>

enum { LOOPS = 2, NEWS = 1000 };

/* The rest of the path is the topic: /feed/weather/sea, or all of it: /feed/weather/ with a "*". */
static void on_open(thrum_conn *c, void *arg)
{
    (void)arg;
    if (thrum_subscribe(c, thrum_conn_param(c, "*")) != THRUM_OK)
        thrum_conn_free(c);
}

static void *publish_all(void *server)
{
    for (int i = 1; i <= NEWS; i++) {
        char text[64];
        const char *topic = i % 2 ? "weather/sea" : "weather/land";
        const int n = snprintf(text, sizeof text, "%s: report %d", topic, i);
        /* Encoded once, for all; in the order in which one thread publishes. */
        if (thrum_publish(server, topic, THRUM_TEXT, text, (size_t)n) != THRUM_OK)
            return server;
    }
    return NULL;
}

static thrum_conn *subscriber(const char *base, const char *topic)
{
    char url[256];
    thrum_conn *ws;
    thrum_error err;
    snprintf(url, sizeof url, "%sfeed/%s", base, topic);
    if (thrum_connect(&ws, url, NULL, &err) != THRUM_OK)
        example_die("connect", &err);
    /* The answer to a ping says that on_open has run. */
    if (thrum_ping(ws, NULL, 0, 5000) != THRUM_OK)
        example_lost(ws, "ping");
    return ws;
}

/* Takes n messages; gives the last one's number. */
static int take(thrum_conn *ws, int n, const char *who)
{
    int number = 0;
    for (int i = 0; i < n; i++) {
        thrum_message m;
        if (thrum_recv(ws, &m, 5000) != THRUM_OK)
            example_lost(ws, who);
        const char *space = strrchr((const char *)m.data, ' ');
        number = atoi(space ? space : "");
        if (i == n - 1)
            printf("%s has heard %d, the last was \"%s\"\n", who, n, (const char *)m.data);
        thrum_message_release(&m);
    }
    thrum_conn_free(ws);
    return number;
}

int main(void)
{
    const thrum_route routes[] = {{.path = "/feed/*", .handlers = THRUM_HANDLERS(.on_open = on_open)},
                                  {.path = NULL}};
    thrum_listener *server;
    thrum_error err;
    pthread_t publisher;
    void *failed;

    if (thrum_serve_loops(&server, LOOPS, "ws://127.0.0.1:0/", THRUM_SERVER(.routes = routes), &err) !=
        THRUM_OK)
        example_die("serve", &err);
    thrum_conn *sailor = subscriber(thrum_listener_url(server), "weather/sea");
    thrum_conn *farmer = subscriber(thrum_listener_url(server), "weather/land");
    thrum_conn *all = subscriber(thrum_listener_url(server), "weather/*");
    printf("%zu subscribe to weather/sea itself, on %zu loops\n", thrum_subscribers(server, "weather/sea"),
           thrum_listener_loops(server));

    if (pthread_create(&publisher, NULL, publish_all, server) != 0)
        return 1;
    const bool right = take(sailor, NEWS / 2, "the sailor") == NEWS - 1 &&
                       take(farmer, NEWS / 2, "the farmer") == NEWS && take(all, NEWS, "everyman") == NEWS;
    pthread_join(publisher, &failed);
    thrum_listener_free(server);
    return right && !failed ? 0 : 1;
}
