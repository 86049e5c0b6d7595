/* end_test.c: loops at the end of the program, and in a child of fork. Each ending runs in a child process
 * with a loop of its own; the test is its peer. What ends a program in other ways is tests/exit's. */
#include "driven.h"
#include "event/listener.h"
#include "lib/rest.h"
#include <fcntl.h>
#include <sys/wait.h>

/* A child that tells its port, and a peer for it. */
struct ending {
    pid_t child;
    struct peer p;
};

struct self { /* in the child */
    thrum_loop *l;
    thrum_listener *s;
    struct spy spy;
    int tells;
};

static void tell_port(struct self *x)
{
    uint16_t port = thrum_listener_port(x->s);
    if (write(x->tells, &port, sizeof port) != sizeof port)
        _exit(9);
    close(x->tells);
}

static void begin(struct ending *e, void (*fn)(struct self *))
{
    int both[2];
    uint16_t port = 0;
    char head[1024];
    assert_int_equal(pipe2(both, O_CLOEXEC), 0);
    e->child = fork_at_rest();
    if (e->child == 0) {
        static struct self x; /* the program's end finds it */
        close(both[0]);
        x.tells = both[1];
        fn(&x);
        child_exit(7); /* not the way that was meant */
    }
    close(both[1]);
    assert_int_equal(read(both[0], &port, sizeof port), sizeof port);
    close(both[0]);
    assert_true(peer_connect(&e->p, AF_INET, port));
    assert_true(peer_puts(&e->p, "GET /" HEAD "\r\n"));
    assert_true(peer_read_until(&e->p, head, sizeof head, "\r\n\r\n") > 0);
}

/* The child has ended, with this status, and said 1001 in a whole frame behind what it had sent. */
static void ends_with(struct ending *e, const char *before, size_t n, int status)
{
    char got[16];
    int s;
    assert_true(peer_read(&e->p, got, n));
    assert_memory_equal(got, before, n);
    assert_true(peer_read(&e->p, got, 4));
    assert_memory_equal(got, "\x88\2\x03\xe9", 4);
    assert_int_equal(peer_drain(&e->p, NULL), 0);
    assert_int_equal(waitpid(e->child, &s, 0), e->child);
    assert_int_equal(s, status << 8);
    peer_close(&e->p);
}

/* ---- exit from a callback, with a message in its hands ---- */

static void exit_in_message(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s, (void)m;
    if (thrum_send(c, THRUM_TEXT, "bye", 3) == THRUM_OK)
        exit(3);
}

static void in_a_callback(struct self *x)
{
    x->spy.on_message = exit_in_message;
    x->l = loop_up();
    x->s = THRUM_LISTEN(x->l, &x->spy);
    tell_port(x);
    (void)thrum_loop_run(x->l, THRUM_FOREVER);
}

static void test_exit_in_a_callback(void **state)
{
    struct ending e;
    (void)state;
    begin(&e, in_a_callback);
    assert_true(peer_write(&e.p, "\x81\x82\0\0\0\0go\x81\x82\0\0\0\0on", 16)); /* what is behind is lost */
    ends_with(&e, "\x81\3bye", 5, 3);
}

/* ---- exit beside the loop, between two turns ---- */

static void between_turns(struct self *x)
{
    x->l = loop_up();
    x->s = THRUM_LISTEN(x->l, &x->spy);
    tell_port(x);
    while (x->spy.messages == 0)
        turn(x->l);
    exit(4);
}

static void test_exit_between_turns(void **state)
{
    struct ending e;
    (void)state;
    begin(&e, between_turns);
    assert_true(peer_write(&e.p, "\x81\x82\0\0\0\0go", 8));
    ends_with(&e, "", 0, 4);
}

/* ---- exit in the main thread, with loops on threads of the library's: asleep, and stuck in a callback ----
 */

static _Atomic bool is_stuck;

static void get_stuck(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)c, (void)m, (void)arg;
    is_stuck = true;
    for (;;)
        pause();
}

static void on_own_threads(struct self *x)
{
    static const thrum_handlers sticking = {.size = sizeof sticking, .on_message = get_stuck};
    if (thrum_serve_loops(&x->s, 2, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &sticking), NULL) !=
        THRUM_OK)
        _exit(8);
    tell_port(x);
    await(is_stuck);
    exit(5);
}

static void test_exit_beside_a_stuck_callback(void **state)
{
    struct ending e;
    (void)state;
    begin(&e, on_own_threads);
    assert_true(peer_write(&e.p, "\x81\x82\0\0\0\0go", 8));
    ends_with(&e, "", 0, 5);
}

static void asleep(struct self *x)
{
    if (thrum_serve_loops(&x->s, 2, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying, .arg = &x->spy),
                          NULL) != THRUM_OK)
        _exit(8);
    tell_port(x);
    while (thrum_listener_count(x->s) == 0)
        sched_yield();
    exit(6);
}

static void test_exit_beside_sleeping_loops(void **state)
{
    struct ending e;
    (void)state;
    begin(&e, asleep);
    ends_with(&e, "", 0, 6);
}

/* ---- exit while many shake hands: whoever is answered at all is answered in order ---- */

static void in_a_rush(struct self *x)
{
    if (thrum_serve_loops(&x->s, 2, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying, .arg = &x->spy),
                          NULL) != THRUM_OK)
        _exit(8);
    tell_port(x);
    while (thrum_listener_count(x->s) < 20)
        sched_yield();
    exit(6);
}

static void test_exit_in_a_rush(void **state)
{
    enum { MANY = 200, TIMES = 5 };
    static struct peer p[MANY];
    (void)state;
    for (int time = 0; time < TIMES; time++) {
        struct ending e;
        char got[512];
        int s;
        begin(&e, in_a_rush);
        const uint16_t port = e.p.port;
        int n = 0;
        while (n < MANY && peer_connect(&p[n], AF_INET, port))
            (void)send(p[n++].fd, "GET /" HEAD "\r\n", strlen("GET /" HEAD "\r\n"), MSG_NOSIGNAL);
        if (n < MANY)
            peer_close(&p[n]);
        while (n-- > 0) {
            ssize_t k = recv(p[n].fd, got, sizeof got, MSG_WAITALL);
            if (k > 0 && (k < 12 || memcmp(got, "HTTP/1.1 101", 12) != 0))
                fail_msg("begins with %02x %02x", (uint8_t)got[0], (uint8_t)got[1]);
            if (k > 0 && memcmp(got + k - 4, "\x88\2\x03\xe9", 4) != 0)
                fail_msg("no goodbye");
            peer_close(&p[n]);
        }
        assert_int_equal(waitpid(e.child, &s, 0), e.child);
        peer_close(&e.p);
    }
}

/* ---- THRUM_LINGER: the peer's Close is awaited ---- */

/* What comes while the program lingers is nobody's any more. */
static bool has_ended;

static void not_any_more(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s, (void)c, (void)m;
    if (has_ended)
        _exit(9);
}

static void lingering(struct self *x)
{
    x->spy.on_message = not_any_more;
    x->l = loop_up();
    x->s = THRUM_LISTEN(x->l, &x->spy);
    if (thrum_set_exit(THRUM_LINGER, 600000) != THRUM_OK)
        _exit(8);
    tell_port(x);
    while (x->spy.messages == 0)
        turn(x->l);
    has_ended = true;
    exit(4);
}

static void lingering_on_own_threads(struct self *x)
{
    if (thrum_serve_loops(&x->s, 2, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying, .arg = &x->spy),
                          NULL) != THRUM_OK ||
        thrum_set_exit(THRUM_LINGER, 600000) != THRUM_OK)
        _exit(8);
    tell_port(x);
    while (thrum_listener_count(x->s) == 0)
        sched_yield();
    exit(4);
}

static void linger(void (*how)(struct self *))
{
    struct ending e;
    char got[4];
    int s;
    begin(&e, how);
    if (how == lingering)
        assert_true(peer_write(&e.p, "\x81\x82\0\0\0\0go", 8));
    assert_true(peer_read(&e.p, got, 4));
    assert_memory_equal(got, "\x88\2\x03\xe9", 4);
    for (int i = 0; i < 20; i++)
        sched_yield();
    assert_int_equal(waitpid(e.child, &s, WNOHANG), 0); /* it waits */
    assert_true(peer_write(&e.p, "\x81\x82\0\0\0\0no", 8));
    assert_true(peer_write(&e.p, "\x88\x82\0\0\0\0\x03\xe9", 8));
    assert_int_equal(peer_drain(&e.p, NULL), 0);
    assert_int_equal(waitpid(e.child, &s, 0), e.child);
    assert_int_equal(s, 4 << 8);
    peer_close(&e.p);
}

static void test_linger(void **state)
{
    (void)state;
    linger(lingering);
    linger(lingering_on_own_threads);
}

/* ---- fork: the child frees all that it has inherited, and no byte leaves ---- */

static void count(void *arg)
{
    ++*(int *)arg;
}

static void count_post(thrum_conn *c, void *arg)
{
    (void)c;
    ++*(int *)arg;
}

static void test_inherited(void **state)
{
    struct stage x = {0};
    struct peer half, busy;
    int calls = 0, status;
    (void)state;
    stage_up(&x, NULL);
    assert_status(thrum_subscribe(x.spy.c, "topic"), THRUM_OK);
    peer_opens(x.l, x.s, &busy);
    turn_until(x.l, x.spy.opens == 2);
    assert_status(thrum_ping(x.spy.c, NULL, 0, 0), THRUM_OK); /* with a proto */
    assert_true(peer_connect(&half, AF_INET, thrum_listener_port(x.s)));
    turn_until(x.l, x.l->nconns == 3);
    assert_status(thrum_loop_after(x.l, PEER_MS, count, &calls, NULL), THRUM_OK);
    assert_status(thrum_post(x.l, 0, count_post, &calls), THRUM_OK);
    assert_status(thrum_listener_drain(x.s, 0, THRUM_FOREVER, NULL, NULL), THRUM_OK); /* letters under way */
    uint8_t ping[16];
    size_t n;
    assert_int_equal(peer_frame(x.l, &busy, ping, sizeof ping, &n), 0x89);
    pid_t child = fork_at_rest();
    if (child == 0) {
        int had = fault_open_descriptors();
        bool good = thrum_loop_free(x.l) == THRUM_OK;
        thrum_listener_free(x.s);
        good &= calls == 0 && x.spy.closes == 0 && fault_open_descriptors() <= had - 5;
        child_exit(good ? 0 : 1); /* whose handlers find nothing to say */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(peer_is_silent(&half));
    peer_hears_close(x.l, &x.p, 1001); /* the parent's drain, and only now */
    peer_hears_close(x.l, &busy, 1001);
    turn_until(x.l, calls == 1);
    peer_close(&half);
    peer_close(&busy);
    stage_down(&x);
}

/* A callback that forks: the child comes back from it and finds the loop of another process. */
static pid_t forked;

static void fork_in_message(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)c, (void)m;
    forked = fork_at_rest();
    if (forked == 0 && thrum_loop_free(s->more) != THRUM_E_STATE) /* from within */
        _exit(2);
}

static void test_fork_in_a_callback(void **state)
{
    struct stage x = {.spy = {.on_message = fork_in_message}};
    int status;
    (void)state;
    stage_up(&x, NULL);
    x.spy.more = x.l;
    peer_text(x.l, &x.p, "fork");
    thrum_status s = THRUM_OK;
    while (s == THRUM_OK && x.spy.messages == 0)
        s = thrum_loop_step(x.l, PEER_MS);
    if (forked == 0) {
        bool good = s == THRUM_E_FORKED && thrum_loop_free(x.l) == THRUM_OK && x.spy.closes == 0;
        thrum_listener_free(x.s);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(forked, &status, 0), forked);
    assert_int_equal(status, 0);
    turn_out(x.l);
    assert_true(peer_is_silent(&x.p));
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "on", 2), THRUM_OK);
    peer_hears_text(x.l, &x.p, "on");
    stage_down(&x);
}

/* ---- the start ---- */

static void test_start(void **state)
{
    thrum_error e;
    (void)state;
    assert_status(event_start(&e), THRUM_OK); /* once more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_exit_in_a_callback),
        clean_test(test_exit_between_turns),
        clean_test(test_exit_beside_a_stuck_callback),
        clean_test(test_exit_beside_sleeping_loops),
        clean_test(test_exit_in_a_rush),
        clean_test(test_linger),
        clean_test(test_inherited),
        clean_test(test_fork_in_a_callback),
        clean_test(test_start),
    };
    return run_on_backend(tests);
}
