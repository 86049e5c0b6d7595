/* fork_test.c: contract E6. A process whose threads are busy on their connections forks again and again. In
 * each child every call on an inherited connection or server answers E_FORKED, all of it can be freed, and a
 * connection of its own works; the parent's threads notice nothing: every echo is still the right one, and
 * the peers never see a foreign byte. */
#include <fcntl.h>
#include "exit_test.h"
#include "../lib/rest.h"

enum { BUSY = 4, CHILDREN = 25, STATUS = 24 };
static thrum_server *server;
static thrum_conn *conns[BUSY], *idle;
static _Atomic bool stop;
static _Atomic int echoes;
static pthread_rwlock_t working =
    PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP; /* the fork's turn comes */

static void echo_serve(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            return;
    }
}

static void echo_once(thrum_conn *c, uint32_t number, size_t size)
{
    uint32_t page[4096];
    thrum_message m;
    for (size_t i = 0; i < size; i++)
        page[i] = number;
    check_status(thrum_send(c, THRUM_BINARY, page, size * 4), THRUM_OK);
    check_status(thrum_recv(c, &m, 6 * HANG_MS), THRUM_OK);
    check(m.len == size * 4 && memcmp(m.data, page, m.len) == 0);
    thrum_message_release(&m);
}

static void *be_busy(void *arg)
{
    uint32_t number = 0;
    while (!stop) {
        pthread_rwlock_rdlock(&working);
        echo_once(arg, number, 1 + number % 4096);
        pthread_rwlock_unlock(&working);
        number++;
        echoes++;
    }
    return NULL;
}

/* Every call that takes a connection and answers a status. */
static void refuse_all(thrum_conn *c)
{
    thrum_message m;
    thrum_error e;
    thrum_closing closing = {.size = sizeof closing};
    thrum_stats stats = {.size = sizeof stats};
    const thrum_slice v = {(const uint8_t *)"x", 1};
    check_status(thrum_send(c, THRUM_TEXT, "x", 1), THRUM_E_FORKED);
    check_status(thrum_sendv(c, THRUM_TEXT, &v, 1), THRUM_E_FORKED);
    check_status(thrum_send_part(c, THRUM_TEXT, "x", 1, true), THRUM_E_FORKED);
    check_status(thrum_recv(c, &m, 0), THRUM_E_FORKED);
    check_status(thrum_recv(c, &m, THRUM_FOREVER), THRUM_E_FORKED);
    check_status(thrum_recv_part(c, &m, THRUM_FOREVER), THRUM_E_FORKED);
    check_status(thrum_ping(c, NULL, 0, THRUM_FOREVER), THRUM_E_FORKED);
    check_status(thrum_pong(c, NULL, 0), THRUM_E_FORKED);
    check_status(thrum_close(c, 1000, NULL), THRUM_E_FORKED);
    check_status(thrum_conn_closing(c, &closing), THRUM_E_FORKED);
    check_status(thrum_conn_stats(c, &stats), THRUM_E_FORKED);
    thrum_cancel(c);
    thrum_conn_error(c, &e);
    check_status(e.status, THRUM_E_FORKED);
    (void)thrum_conn_state(c);
    (void)thrum_latency(c);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += is_open(fd);
    return n;
}

static pid_t fork_amidst(void)
{
    if (AT_REST)
        pthread_rwlock_wrlock(&working);
    pid_t pid = fork_at_rest();
    check(pid >= 0);
    if (AT_REST && pid > 0)
        pthread_rwlock_unlock(&working);
    return pid;
}

_Noreturn static void child(const char *url)
{
    thrum_conn *own;
    thrum_error e;
    check(thrum_library_threads() == 0);
    for (int i = 0; i < BUSY; i++)
        refuse_all(conns[i]);
    refuse_all(idle);
    int before = descriptors();
    for (int i = 0; i < BUSY; i++)
        thrum_conn_free(conns[i]);
    thrum_conn_free(idle);
    check(descriptors() <= before - BUSY - 1); /* the child's copies of the sockets are gone */
    if (thrum_connect(&own, url, NULL, &e) != THRUM_OK)
        check_failed(__FILE__, __LINE__, e.text);
    for (uint32_t i = 0; i < 10; i++)
        echo_once(own, i, 100);
    check_status(thrum_close(own, 1000, NULL), THRUM_OK);
    thrum_conn_free(own);
    if (AT_REST) /* the search for leaks cannot see, in a child, the stacks of the parent's threads */
        _exit(STATUS);
    exit(STATUS);
}

int main(void)
{
    pthread_t threads[BUSY];
    check_status(thrum_serve(&server, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = echo_serve), NULL),
                 THRUM_OK);
    const char *url = thrum_server_url(server);
    check_status(thrum_connect(&idle, url, THRUM_CLIENT(.attended = THRUM_ON), NULL), THRUM_OK);
    for (int i = 0; i < BUSY; i++) {
        check_status(thrum_connect(&conns[i], url, NULL, NULL), THRUM_OK);
        threads[i] = start(be_busy, conns[i]);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int seen = echoes;
        pid_t pid = fork_amidst();
        if (pid == 0)
            child(url);
        check(end_of(pid) == STATUS);
        await(echoes > seen + BUSY); /* the parent goes on */
    }
    stop = true;
    for (int i = 0; i < BUSY; i++)
        check(pthread_join(threads[i], NULL) == 0);
    echo_once(idle, 77, 10); /* the one that only the warden looked at */
    for (int i = 0; i < BUSY; i++) {
        check_status(thrum_close(conns[i], 1000, NULL), THRUM_OK);
        thrum_conn_free(conns[i]);
    }
    thrum_conn_free(idle);
    check_status(thrum_server_drain(server, 0, HANG_MS), THRUM_OK);
    thrum_server_free(server);
    return 0;
}
