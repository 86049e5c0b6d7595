/* handover.c: a new version takes over without a connection refused: it is given the listening sockets, opens
 * them, says that it is ready, and only then does the old one stop accepting and ask its clients to come
 * again (1012, service restart). Clients connect all the time meanwhile, and count. */
#include "example.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <thrum/loop.h>
#include <unistd.h>

enum { LOOPS = 2, VISITORS = 4, FDS_MAX = 64, FIRST_FD = 3 /* of systemd's protocol */ };

/* ---- both versions: a server that says which process it is ---- */

static void on_open(thrum_conn *c, void *arg)
{
    char text[32];
    (void)arg;
    const int n = snprintf(text, sizeof text, "%ld", (long)getpid());
    if (thrum_send(c, THRUM_TEXT, text, (size_t)n) != THRUM_OK)
        thrum_conn_free(c);
}

static thrum_listener *serve(const int *fds)
{
    thrum_listener *s;
    thrum_error err;
    if (thrum_serve_loops(&s, LOOPS, "ws://127.0.0.1:0/",
                          THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_open = on_open), .fds = fds),
                          &err) != THRUM_OK)
        example_die("serve", &err);
    return s;
}

/* ---- the new version: has been given the sockets, serves until its standard input ends ---- */

static int be_new(const int *fds)
{
    thrum_listener *s = serve(fds);
    char c;
    if (write(STDOUT_FILENO, "!", 1) != 1) /* "I accept now" */
        return 1;
    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    (void)thrum_listener_drain(s, 0, 2000, NULL, NULL);
    const thrum_status st = thrum_listener_wait(s, 5000);
    thrum_listener_free(s);
    return st == THRUM_OK ? 0 : 1;
}

/* ---- visitors: connect, hear who serves, leave; again and again ---- */

static struct {
    const char *url;
    atomic_int by_old, by_new, turned_away;
    atomic_bool over;
} visits;

static void visit(void)
{
    thrum_conn *ws;
    thrum_error err;
    thrum_message m;
    if (thrum_connect(&ws, visits.url, NULL, &err) != THRUM_OK) {
        fprintf(stderr, "a visitor was turned away: %s\n", err.text);
        visits.turned_away++;
        return;
    }
    if (thrum_recv(ws, &m, 5000) == THRUM_OK) {
        *(atol((const char *)m.data) == (long)getpid() ? &visits.by_old : &visits.by_new) += 1;
        thrum_message_release(&m);
    }
    thrum_close(ws, 1000, NULL);
    thrum_conn_free(ws);
}

static void *visit_all(void *arg)
{
    while (!visits.over)
        visit();
    return arg;
}

/* ---- the old version ---- */

/* In the child: the descriptors go to 3 and up, as sd_listen_fds(3) expects them, and stay open over exec. */
_Noreturn static void become_new(const char *self, const int *fds, int n, const int in[2], const int out[2])
{
    char text[16], *const argv[] = {(char[]){"handover"}, NULL};
    int high[FDS_MAX];
    bool good = dup2(in[0], STDIN_FILENO) >= 0 && dup2(out[1], STDOUT_FILENO) >= 0;
    for (int i = 0; i < n; i++) /* out of the way first */
        good = (high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FD + FDS_MAX)) >= 0 && good;
    for (int i = 0; i < n; i++)
        good = good && dup2(high[i], FIRST_FD + i) >= 0;
    snprintf(text, sizeof text, "%ld", (long)getpid());
    setenv("LISTEN_PID", text, 1);
    snprintf(text, sizeof text, "%d", n);
    setenv("LISTEN_FDS", text, 1);
    if (good)
        execv(self, argv);
    _exit(127);
}

/* Starts the new version and waits until it accepts; *hold: it serves until this is closed. */
static pid_t start_new(thrum_listener *old, int *hold)
{
    int fds[FDS_MAX], in[2], out[2];
    char ready;
    const int n = thrum_listener_fds(old, fds, FDS_MAX);
    if (n < 1 || pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        exit(1);
    const pid_t child = fork();
    if (child == 0)
        become_new("/proc/self/exe", fds, n, in, out);
    for (int i = 0; i < n; i++)
        close(fds[i]);
    close(in[0]);
    close(out[1]);
    if (child < 0 || read(out[0], &ready, 1) != 1)
        exit(1);
    close(out[0]);
    *hold = in[1];
    return child;
}

static void wait_for(const atomic_int *count, int least)
{
    while (*count < least && !visits.turned_away)
        poll(NULL, 0, 5);
}

int main(void)
{
    pthread_t visitors[VISITORS];
    int hold, status;

    if (thrum_passed_fds())
        return be_new(thrum_passed_fds());

    thrum_listener *old = serve(NULL);
    visits.url = thrum_listener_url(old);
    for (int i = 0; i < VISITORS; i++)
        if (pthread_create(&visitors[i], NULL, visit_all, NULL) != 0)
            return 1;
    wait_for(&visits.by_old, 100);

    const pid_t child = start_new(old, &hold);
    (void)thrum_listener_drain(old, 1012, 2000, NULL, NULL); /* from now on only the new one accepts */
    const bool drained = thrum_listener_wait(old, 5000) == THRUM_OK;
    const int last_of_old = visits.by_old;
    wait_for(&visits.by_new, visits.by_new + 100);

    visits.over = true;
    for (int i = 0; i < VISITORS; i++)
        pthread_join(visitors[i], NULL);
    close(hold);
    if (waitpid(child, &status, 0) != child)
        return 1;
    printf("%d visits to the old process, then %d to the new one; %d were turned away\n", visits.by_old,
           visits.by_new, visits.turned_away);
    const bool right = drained && visits.turned_away == 0 && visits.by_old - last_of_old <= VISITORS &&
                       visits.by_new > 0 && status == 0;
    thrum_listener_free(old);
    return right ? 0 : 1;
}
