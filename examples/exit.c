/* exit.c: a program may simply end. A worker sits in recv on a connection that main opened, nobody closes
 * anything, main returns: the process ends at once, and the peer is told 1001 "going away". A child process
 * does so here; the parent is the peer and shows what it saw. */
#include "example.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned seen;
static sem_t over; /* the server has seen the end of the connection */

static void serve(thrum_conn *c, void *arg)
{
    thrum_closing end = {.size = sizeof end};
    (void)arg;
    example_echo(c, NULL);
    if (thrum_conn_closing(c, &end) == THRUM_OK)
        seen = end.recv_code;
    sem_post(&over);
}

static void *work(void *ws)
{
    thrum_message m;
    while (thrum_recv(ws, &m, THRUM_FOREVER) == THRUM_OK)
        thrum_message_release(&m);
    return NULL;
}

/* The whole program of the child. It is told where the server is. */
static int forgetful(int told)
{
    char url[64];
    thrum_conn *ws;
    thrum_error err;
    pthread_t worker;
    if (read(told, url, sizeof url) <= 0)
        return 1;
    if (thrum_connect(&ws, url, NULL, &err) != THRUM_OK)
        example_die("connect", &err);
    return pthread_create(&worker, NULL, work, ws) == 0 ? 0 : 1;
}

int main(void)
{
    thrum_server *server;
    thrum_error err;
    int pipe_ends[2], status = -1;

    sem_init(&over, 0, 0);
    if (pipe(pipe_ends) != 0)
        return 1;
    const pid_t pid = fork(); /* before the server has threads, as is wise for any program */
    if (pid == 0)
        return forgetful(pipe_ends[0]);
    if (thrum_serve(&server, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = serve), &err) != THRUM_OK)
        example_die("serve", &err);
    const char *url = thrum_server_url(server);
    if (pid < 0 || write(pipe_ends[1], url, strlen(url) + 1) < 0 || waitpid(pid, &status, 0) != pid)
        return 1;

    sem_wait(&over);
    printf("the program ended with status %d, its peer saw Close %u\n", WEXITSTATUS(status), seen);
    thrum_server_free(server);
    return status == 0 && seen == 1001 ? 0 : 1;
}
