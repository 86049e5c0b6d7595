/* registry_test.c: the list of connections, and what exit and fork do with it. Each way for a process to end
 * is a child of its own; what its connection says at the end is read here, at the other end of the socket. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fork.h"
#include "conn_test.h"
#include "lib/peer.h"

#if defined(__SANITIZE_THREAD__)
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

static void never_destroy(struct thrum_conn *c)
{
    (void)c;
}

/* Without asserts: it runs in children of fork, too. A client's connection on fd, listed; open if the peer
 * answers. */
static struct thrum_conn *connect_on(int fd)
{
    struct thrum_conn *c = calloc(1, sizeof *c);
    struct stream *s;
    struct shared_settings *ss = settings_share();
    if (!c || !ss || stream_socket(&s, fd) != 0 || settings_client(&ss->s, NULL, NULL) != THRUM_OK ||
        conn_init(c, s, ss, never_destroy, NULL) != THRUM_OK ||
        conn_client(c, "ws://h/", &(const struct client_more){NULL, false}, clock_now(), NULL) != THRUM_OK)
        _exit(99);
    conn_list(c);
    lock_take(&c->lock);
    conn_write(c, clock_now());
    lock_give(&c->lock);
    return c;
}

static void wait_open(struct thrum_conn *c)
{
    struct pollfd v = {.fd = c->stream->ops->fd(c->stream), .events = POLLIN};
    while (thrum_conn_state(c) == THRUM_CONNECTING) {
        if (poll(&v, 1, PEER_MS) != 1)
            _exit(98);
        lock_take(&c->lock);
        (void)conn_read(c, scratch, sizeof scratch, clock_now());
        lock_give(&c->lock);
    }
}

static void answer(struct peer *p)
{
    char head[1024], text[128], value[BASE64_SIZE(20) + 1], reply[256];
    uint8_t digest[20];
    assert_true(peer_read_until(p, head, sizeof head, "\r\n\r\n") > 0);
    int n = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                     strstr(head, "Sec-WebSocket-Key: ") + 19);
    sha1(digest, text, (size_t)n);
    base64_encode(value, digest, sizeof digest);
    snprintf(reply, sizeof reply,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n",
             value);
    assert_true(peer_puts(p, reply));
}

/* Close 1001, masked. */
static void expect_goodbye(struct peer *p)
{
    uint8_t b[8];
    assert_true(peer_read(p, b, sizeof b));
    assert_int_equal(b[0], 0x88);
    assert_int_equal(b[1], 0x82);
    assert_int_equal((b[6] ^ b[2]) << 8 | (b[7] ^ b[3]), 1001);
}

static void expect_status(pid_t pid, int want)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), want);
}

/* A child with one open connection runs `way`, which ends it. */
static pid_t child(struct peer *p, void (*way)(struct thrum_conn *c))
{
    int ours;
    assert_true(peer_pair(p, AF_UNIX, &ours));
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(p->fd);
        if (registry_start(NULL) != 0)
            _exit(97);
        struct thrum_conn *c = connect_on(ours);
        wait_open(c);
        way(c);
        _exit(96);
    }
    close(ours);
    answer(p);
    return pid;
}

static void expect_silent_end(struct peer *p)
{
    size_t bytes;
    assert_int_equal(peer_drain(p, &bytes), 0);
    assert_int_equal(bytes, 0);
}

static void way_exit(struct thrum_conn *c)
{
    (void)c;
    exit(3);
}
static void way_quick_exit(struct thrum_conn *c)
{
    (void)c;
    quick_exit(4);
}
static void way_cut(struct thrum_conn *c)
{
    (void)c;
    (void)registry_set_exit(THRUM_CUT, 0);
    exit(5);
}
static void way_linger(struct thrum_conn *c)
{
    (void)c;
    (void)registry_set_exit(THRUM_LINGER, THRUM_FOREVER);
    exit(6);
}
static void way_linger_shortly(struct thrum_conn *c)
{
    (void)c;
    (void)registry_set_exit(THRUM_LINGER, 20);
    exit(7);
}

static void test_exit_says_goodbye(void **state)
{
    struct peer p;
    (void)state;
    pid_t pid = child(&p, way_exit);
    expect_goodbye(&p);
    expect_silent_end(&p);
    expect_status(pid, 3);
    peer_close(&p);
}

static void test_quick_exit_says_goodbye(void **state)
{
    struct peer p;
    (void)state;
    pid_t pid = child(&p, way_quick_exit);
    expect_goodbye(&p);
    expect_silent_end(&p);
    expect_status(pid, 4);
    peer_close(&p);
}

static void test_cut_says_nothing(void **state)
{
    struct peer p;
    (void)state;
    pid_t pid = child(&p, way_cut);
    expect_silent_end(&p);
    expect_status(pid, 5);
    peer_close(&p);
}

static void test_linger_waits_for_the_answer(void **state)
{
    struct peer p;
    int status;
    (void)state;
    pid_t pid = child(&p, way_linger);
    expect_goodbye(&p);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    assert_true(peer_is_silent(&p)); /* not the end of the stream either */
    assert_true(peer_write(&p, "\x81\x02hi\x88\x02\x03\xe9", 8));
    peer_half_close(&p);
    expect_silent_end(&p);
    expect_status(pid, 6);
    peer_close(&p);
}

static void test_linger_has_an_end(void **state)
{
    struct peer p;
    (void)state;
    pid_t pid = child(&p, way_linger_shortly);
    expect_goodbye(&p);
    expect_silent_end(&p);
    expect_status(pid, 7);
    peer_close(&p);
}

/* A peer that never stops talking, and never answers, does not keep the program longer. */
static void test_linger_has_an_end_under_a_flood(void **state)
{
    static uint8_t much[4 + 1000] = {0x82, 126, 1000 >> 8, 1000 & 0xff};
    struct peer p;
    (void)state;
    pid_t pid = child(&p, way_linger_shortly);
    expect_goodbye(&p);
    ssize_t n;
    do {
        n = send(p.fd, much, sizeof much, MSG_NOSIGNAL);
        assert_true(n < 0 || n == sizeof much);
    } while (n > 0);
    expect_status(pid, 7);
    peer_close(&p);
}

/* ---- exit under fire ---- */

static sem_t held;

static void *hold_lock(void *arg)
{
    lock_take(arg);
    sem_post(&held);
    while (pause())
        ;
    return NULL;
}

/* A thread that is stuck with the connection's lock (it never is: nothing waits with a lock held) costs its
 * goodbye, not the end of the program; and the others get theirs. */
static void way_exit_with_a_lock_held(struct thrum_conn *c)
{
    pthread_t t;
    struct peer other;
    int ours;
    sem_init(&held, 0, 0);
    if (!peer_pair(&other, AF_UNIX, &ours))
        _exit(95);
    struct thrum_conn *stuck = connect_on(ours);
    list_remove(&stuck->link); /* it comes first */
    list_push(c->link.next, &stuck->link);
    pthread_create(&t, NULL, hold_lock, &stuck->lock);
    sem_wait(&held);
    exit(8);
}

static void test_exit_with_a_lock_held(void **state)
{
    struct peer p;
    (void)state;
    pid_t pid = child(&p, way_exit_with_a_lock_held);
    expect_goodbye(&p);
    expect_silent_end(&p);
    expect_status(pid, 8);
    peer_close(&p);
}

static void stay(struct thrum_conn *c)
{
    (void)c;
    sem_post(&held);
    while (pause())
        ;
}
static void *each_main(void *arg)
{
    (void)arg;
    registry_each(stay);
    return NULL;
}
static void way_exit_with_the_registry_held(struct thrum_conn *c)
{
    pthread_t t;
    (void)c;
    sem_init(&held, 0, 0);
    pthread_create(&t, NULL, each_main, NULL);
    sem_wait(&held);
    exit(9);
}

static void test_exit_with_the_registry_held(void **state)
{
    struct peer p;
    (void)state;
    pid_t pid = child(&p, way_exit_with_the_registry_held);
    expect_silent_end(&p);
    expect_status(pid, 9);
    peer_close(&p);
}

/* Nothing is said where the handshake is not done: a Close would be no HTTP. */
static void test_exit_in_the_handshake(void **state)
{
    struct peer p;
    char head[1024];
    int ours;
    (void)state;
    assert_true(peer_pair(&p, AF_UNIX, &ours));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(p.fd);
        if (registry_start(NULL) != 0)
            _exit(97);
        (void)registry_set_exit(THRUM_LINGER, THRUM_FOREVER); /* nor does it wait for anything */
        connect_on(ours);
        exit(10);
    }
    close(ours);
    assert_true(peer_read_until(&p, head, sizeof head, "\r\n\r\n") > 0);
    expect_silent_end(&p);
    expect_status(pid, 10);
    peer_close(&p);
}

/* ---- the list ---- */

static int visited;

static void visit(struct thrum_conn *c)
{
    lock_assert_held(&c->lock);
    visited++;
}

static void test_each(void **state)
{
    struct thrum_conn c[3];
    struct fake f[3];
    (void)state;
    int before = registry_count();
    for (int i = 0; i < 3; i++) {
        open_client(&c[i], &f[i], THRUM_CLIENT(0));
        conn_list(&c[i]);
        assert_int_equal(registry_count(), before + i + 1);
    }
    visited = 0;
    registry_each(visit);
    assert_int_equal(visited, before + 3);
    for (int i = 0; i < 3; i++)
        end_conn(&c[i], &f[i]);
    assert_int_equal(registry_count(), before);
}

static void test_policy(void **state)
{
    (void)state;
    assert_status(registry_set_exit((thrum_exit_policy)9, 0), THRUM_E_ARGUMENT);
    assert_status(registry_set_exit(THRUM_LINGER, -7), THRUM_E_ARGUMENT);
    assert_status(registry_set_exit(THRUM_GOODBYE, 0), THRUM_OK);
}

/* ---- fork ---- */

static _Atomic int front_told;

static void front_forked(void)
{
    front_told++;
}

static int in_child(struct thrum_conn *free_one, struct thrum_conn *held_one)
{
    if (front_told != 1)
        return 1;
    if (registry_count() != 0 || free_one->listed || held_one->listed)
        return 2;
    if (free_one->torn || !held_one->torn)
        return 3;
    if (conn_mine(free_one) != THRUM_E_FORKED)
        return 4;
    conn_done(free_one);
    return 0;
}

/* In a child the parent's connections are known as such, and the one whose lock was held is not to be walked
 * again; at the child's exit nothing is said for either. */
static void test_fork(void **state)
{
    static const struct registry_front front = {.forked = front_forked};
    struct peer p, q;
    pthread_t t;
    int ours = -1, other = -1, status;
    (void)state;
    assert_int_equal(registry_start(&front), 0);
    assert_true(peer_pair(&p, AF_UNIX, &ours) && peer_pair(&q, AF_UNIX, &other));
    struct thrum_conn *c = connect_on(ours), *d = connect_on(other);
    answer(&p);
    answer(&q);
    wait_open(c);
    wait_open(d);
    sem_init(&held, 0, 0);
    pthread_create(&t, NULL, hold_lock, &d->lock);
    sem_wait(&held);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int wrong = in_child(c, d);
        exit(wrong);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(front_told, 0); /* the parent is not told */
    assert_true(peer_is_silent(&p));
    assert_true(peer_is_silent(&q));
    assert_int_equal(thrum_conn_state(c), THRUM_OPEN);
    assert_int_equal(registry_count(), 2);
    pthread_cancel(t); /* in its pause */
    pthread_join(t, NULL);
    peer_close(&p);
    peer_close(&q);
    conn_done(c);
    free(c); /* d stays listed, and is stuck: the end of this very program passes it by */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_exit_says_goodbye),
        cmocka_unit_test(test_quick_exit_says_goodbye),
        cmocka_unit_test(test_cut_says_nothing),
        cmocka_unit_test(test_linger_waits_for_the_answer),
        cmocka_unit_test(test_linger_has_an_end),
        cmocka_unit_test(test_linger_has_an_end_under_a_flood),
        cmocka_unit_test(test_exit_with_a_lock_held),
        cmocka_unit_test(test_exit_with_the_registry_held),
        cmocka_unit_test(test_exit_in_the_handshake),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
