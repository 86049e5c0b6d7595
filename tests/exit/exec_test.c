/* exec_test.c: contract E8, of both fronts. Every descriptor of the library is close-on-exec: what is started
 * from a process full of connections, also in the midst of making one, sees the descriptors that the user
 * left open and no others. */
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <thrum/loop.h>
#include "exit_test.h"

enum { ROUNDS = 20, USERS_OWN = 3, COUNTED = 40 };
static const char *self;
static _Atomic bool stop;

/* In the started program: how many descriptors are open beyond the standard ones. */
static int count_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    check(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d) && atoi(e->d_name) >= USERS_OWN) {
            char path[300], to[200];
            snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
            ssize_t len = readlink(path, to, sizeof to - 1);
            to[len > 0 ? len : 0] = '\0';
            fprintf(stderr, "descriptor %s: %s\n", e->d_name, to);
            n++;
        }
    closedir(d);
    return n;
}

/* By fork and by posix_spawn, which runs no handlers of fork: there nothing but the flag closes a descriptor.
 */
static void start_another(void)
{
    char *argv[] = {strdup(self), strdup("--count"), NULL};
    pid_t spawned;
    check(argv[0] && argv[1] && posix_spawn(&spawned, self, NULL, NULL, argv, environ) == 0);
    check(end_of(spawned) == COUNTED);
    free(argv[0]);
    free(argv[1]);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        execl(self, self, "--count", (char *)NULL);
        _exit(127);
    }
    check(end_of(pid) == COUNTED);
}

static void wait_for_end(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK)
        thrum_message_release(&m);
}

/* A loop of the program's, whose clients come and go: each is ended as soon as it is open. */
static thrum_loop *loop;
static const thrum_handlers *come_and_go_on(void);

static void open_one(void *url)
{
    check_status(thrum_open(loop, url, NULL, come_and_go_on(), url, NULL, NULL), THRUM_OK);
}

static void end_it(thrum_conn *c, void *arg)
{
    (void)arg;
    check_status(thrum_close(c, 1000, NULL), THRUM_OK);
}

static void next_one(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)c;
    (void)why;
    if (!stop)
        check_status(thrum_loop_after(loop, 1, open_one, arg, NULL), THRUM_OK);
}

static const thrum_handlers *come_and_go_on(void)
{
    static const thrum_handlers on = {.size = sizeof on, .on_open = end_it, .on_close = next_one};
    return &on;
}

static void *drive(void *arg)
{
    check_status(thrum_loop_new(&loop, NULL), THRUM_OK);
    (void)thrum_loop_fd(loop); /* with what it needs for another loop */
    for (int i = 0; i < 4; i++)
        open_one(arg);
    check_status(thrum_loop_run(loop, THRUM_FOREVER), THRUM_OK);
    check_status(thrum_loop_free(loop), THRUM_OK);
    return NULL;
}

static void *come_and_go(void *arg)
{
    while (!stop) {
        thrum_conn *c;
        check_status(thrum_connect(&c, arg, NULL, NULL), THRUM_OK);
        check_status(thrum_ping(c, NULL, 0, HANG_MS), THRUM_OK);
        thrum_conn_free(c);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    thrum_server *server, *local;
    thrum_listener *loops;
    thrum_conn *idle, *over_unix;
    char *url, path[64];
    if (argc == 2 && strcmp(argv[1], "--count") == 0)
        return COUNTED + count_descriptors();
    self = "/proc/self/exe";
    /* What this test inherited from its own starter is not the question. */
    for (int fd = USERS_OWN; fd < 1024; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    snprintf(path, sizeof path, "ws+unix:/tmp/thrum-exec-%d:/", (int)getpid());
    check_status(thrum_serve(&server, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = wait_for_end), NULL),
                 THRUM_OK);
    check_status(thrum_serve(&local, path, THRUM_SERVER(.serve = wait_for_end), NULL), THRUM_OK);
    check((url = strdup(thrum_server_url(server))) != NULL);
    check_status(thrum_connect(&idle, url, THRUM_CLIENT(.attended = THRUM_ON), NULL), THRUM_OK);
    check_status(thrum_connect(&over_unix, path, NULL, NULL), THRUM_OK);
    await(thrum_library_threads() >= 5); /* the warden has a poller, the acceptors theirs */
    start_another();
    check_status(thrum_serve_loops(&loops, 2, "ws://127.0.0.1:0/",
                                   THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_open = NULL)), NULL),
                 THRUM_OK);
    pthread_t a = start(come_and_go, url), b = start(come_and_go, path),
              c = start(drive, (void *)(uintptr_t)thrum_listener_url(loops));
    for (int i = 0; i < ROUNDS; i++)
        start_another();
    stop = true;
    check(pthread_join(a, NULL) == 0 && pthread_join(b, NULL) == 0 && pthread_join(c, NULL) == 0);
    thrum_listener_free(loops);
    thrum_conn_free(idle);
    thrum_conn_free(over_unix);
    thrum_server_free(local);
    thrum_server_free(server);
    free(url);
    return 0;
}
