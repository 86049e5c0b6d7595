/* crowd_test.c: ten thousand connections of one loop that all end at once: since their peers have gone, by
 * draining, and with the loop. The peers are another process, as both ends would not fit into one's table of
 * descriptors. One connection of the test's own is served all the while. */
#include "driven.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { CROWD = 10000, AT_ONCE = 200 };

/* ---- the peers ---- */

static int crowd[CROWD];

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "the crowd: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void read_all(int fd, char *b, size_t n)
{
    while (n > 0) {
        ssize_t k = recv(fd, b, n, 0);
        must(k > 0 || (k < 0 && errno == EINTR), "read");
        b += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
    }
}

/* Nothing follows it before all have joined. */
static void read_head(int fd)
{
    char head[1024];
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        ssize_t k = recv(fd, head + n, sizeof head - n, 0);
        must(k > 0, "read the answer");
        n += (size_t)k;
    }
}

static void join_all(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    static const char request[] = "GET /" HEAD "\r\n";
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        must(crowd[i] >= 0, "socket");
        must(connect(crowd[i], (struct sockaddr *)&a, sizeof a) == 0, "connect");
        must(send(crowd[i], request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1, "request");
        for (int k = i - AT_ONCE + 1; (i + 1) % AT_ONCE == 0 && k <= i; k++)
            read_head(crowd[k]);
    }
}

enum ending { STAYS, ANSWERS, LISTENS };

/* Each hears Close, answers where there is somebody to answer, and sees the stream end. */
static void part_all(enum ending how)
{
    char got[16];
    for (int i = 0; i < CROWD; i++) {
        read_all(crowd[i], got, 4);
        must(memcmp(got, "\x88\2\x03\xe9", 4) == 0, "not the Close that was expected");
        if (how == ANSWERS)
            (void)send(crowd[i], "\x88\x82\0\0\0\0\x03\xe9", 8, MSG_NOSIGNAL);
    }
    for (int i = 0; i < CROWD; i++) {
        must(recv(crowd[i], got, 1, 0) == 0, "the stream did not end");
        close(crowd[i]);
    }
}

/* ---- the loop ---- */

struct scene {
    struct stage x;
    pid_t child;
};

static bool files_suffice(void)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = r.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
    return r.rlim_max > CROWD + 100;
}

static void scene_up(struct scene *s, enum ending how)
{
    memset(s, 0, sizeof *s);
    stage_up(&s->x, THRUM_SERVER(.max_conns = CROWD + 1, .backlog = 4096, .close_timeout = 60000));
    const uint16_t port = thrum_listener_port(s->x.s);
    s->child = fork_at_rest();
    if (s->child == 0) {
        join_all(port);
        if (how != STAYS)
            part_all(how);
        else
            pause();
        _exit(0);
    }
    turn_until(s->x.l, s->x.spy.opens == CROWD + 1);
    assert_int_equal(thrum_listener_count(s->x.s), CROWD + 1);
}

static void still_served(struct scene *s)
{
    unsigned had = s->x.spy.messages;
    peer_text(s->x.l, &s->x.p, "hello");
    turn_until(s->x.l, s->x.spy.messages == had + 1);
}

static void test_peers_gone(void **state)
{
    struct scene s;
    int status;
    (void)state;
    scene_up(&s, STAYS);
    still_served(&s);
    kill(s.child, SIGKILL);
    turn_until(s.x.l, s.x.spy.closes > 100);
    still_served(&s); /* in the midst of it */
    turn_until(s.x.l, s.x.spy.closes == CROWD);
    still_served(&s);
    assert_int_equal(waitpid(s.child, &status, 0), s.child);
    assert_int_equal(thrum_listener_count(s.x.s), 1);
    stage_down(&s.x);
    assert_int_equal(s.x.spy.closes, CROWD + 1);
}

static _Atomic int drained;

static void on_drained(thrum_listener *s, void *arg)
{
    (void)s, (void)arg;
    drained++;
}

static void test_drained(void **state)
{
    struct scene s;
    int status;
    (void)state;
    scene_up(&s, ANSWERS);
    drained = 0;
    assert_status(thrum_listener_drain(s.x.s, 0, THRUM_FOREVER, on_drained, NULL), THRUM_OK);
    turn_until(s.x.l, s.x.spy.closes == CROWD);
    assert_int_equal(drained, 0);
    peer_hears_close(s.x.l, &s.x.p, 1001);
    peer_parts(s.x.l, &s.x.p, 1001);
    turn_until(s.x.l, drained == 1);
    assert_int_equal(waitpid(s.child, &status, 0), s.child);
    assert_int_equal(status, 0);
    stage_down(&s.x);
}

static void test_freed_with_the_loop(void **state)
{
    struct scene s;
    int status;
    (void)state;
    scene_up(&s, LISTENS);
    loop_down(s.x.l);
    assert_int_equal(s.x.spy.closes, CROWD + 1);
    assert_int_equal(waitpid(s.child, &status, 0), s.child);
    assert_int_equal(status, 0); /* each had its 1001 and a clean end */
    thrum_listener_free(s.x.s);
    peer_close(&s.x.p);
}

/* Each of them asks for all others to be told, at once: what waits is bounded by their number. */
static void publish_all(void *arg)
{
    struct scene *s = arg;
    for (int i = 0; i < 3; i++)
        assert_status(thrum_publish(s->x.s, "all", THRUM_TEXT, "news", 4), THRUM_OK);
}

static void join_topic(struct spy *s, thrum_conn *c)
{
    (void)s;
    assert_status(thrum_subscribe(c, "all"), THRUM_OK);
}

static void test_told_and_gone(void **state)
{
    struct scene s;
    int status;
    (void)state;
    memset(&s, 0, sizeof s);
    s.x.spy.on_open = join_topic;
    stage_up(&s.x, THRUM_SERVER(.max_conns = CROWD + 1, .backlog = 4096));
    const uint16_t port = thrum_listener_port(s.x.s);
    s.child = fork_at_rest();
    if (s.child == 0) {
        join_all(port);
        pause();
        _exit(0);
    }
    turn_until(s.x.l, s.x.spy.opens == CROWD + 1);
    assert_int_equal(thrum_subscribers(s.x.s, "all"), CROWD + 1);
    kill(s.child, SIGKILL); /* a publication meets them while they end */
    assert_status(thrum_loop_after(s.x.l, 0, publish_all, &s, NULL), THRUM_OK);
    turn_until(s.x.l, s.x.spy.closes == CROWD);
    for (int i = 0; i < 3; i++)
        peer_hears_text(s.x.l, &s.x.p, "news");
    assert_int_equal(thrum_subscribers(s.x.s, "all"), 1);
    assert_int_equal(waitpid(s.child, &status, 0), s.child);
    stage_down(&s.x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_peers_gone),
        clean_test(test_drained),
        clean_test(test_freed_with_the_loop),
        clean_test(test_told_and_gone),
    };
    if (!files_suffice()) {
        printf("skipped: the hard limit of descriptors is under %d\n", CROWD + 100);
        return 77;
    }
    return run_on_backend(tests);
}
