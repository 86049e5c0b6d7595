/* loop_test.c: a loop's life, its turns, who drives it and how it ends. */
#include "driven.h"
#include <signal.h>
#include <sys/wait.h>

static void nothing(void *arg)
{
    (void)arg;
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static void test_new(void **state)
{
    thrum_loop *l = (thrum_loop *)&l;
    thrum_error e;
    const char *named = getenv("THRUM_BACKEND");
    char kept[16] = "";
    (void)state;
    assert_status(thrum_loop_new(NULL, &e), THRUM_E_ARGUMENT);
    assert_int_equal(e.status, THRUM_E_ARGUMENT);
    assert_status(thrum_loop_new(NULL, NULL), THRUM_E_ARGUMENT);
    if (named)
        snprintf(kept, sizeof kept, "%s", named);
    setenv("THRUM_BACKEND", "select", 1);
    assert_status(thrum_loop_new(&l, &e), THRUM_E_ARGUMENT);
    assert_null(l);
    assert_non_null(strstr(e.text, "\"select\""));
    assert_non_null(strstr(e.text, "epoll"));
    if (*kept)
        setenv("THRUM_BACKEND", kept, 1);
    else
        unsetenv("THRUM_BACKEND");
    assert_status(thrum_loop_new(&l, NULL), THRUM_OK);
    if (*kept)
        assert_string_equal(thrum_loop_backend(l), strcmp(kept, "uring") == 0 ? "io_uring" : kept);
    assert_string_equal(thrum_loop_backend(NULL), "");
    loop_down(l);
    assert_status(thrum_loop_free(NULL), THRUM_OK);
}

static void test_arguments(void **state)
{
    thrum_loop *l = loop_up();
    (void)state;
    assert_status(thrum_loop_run(NULL, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_loop_step(NULL, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_loop_run(l, -2), THRUM_E_ARGUMENT);
    assert_status(thrum_loop_step(l, -2), THRUM_E_ARGUMENT);
    assert_int_equal(thrum_loop_fd(NULL), -1);
    thrum_loop_stop(NULL);
    loop_down(l);
}

static void test_nothing_to_wait_for(void **state)
{
    thrum_loop *l = loop_up();
    int n = 0;
    (void)state;
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
    assert_status(thrum_loop_step(l, THRUM_FOREVER), THRUM_E_CLOSED);
    assert_status(thrum_loop_after(l, 0, count, &n, NULL), THRUM_OK);
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
    assert_int_equal(n, 1);
    assert_status(thrum_loop_run(l, 0), THRUM_OK);
    loop_down(l);
}

/* A step says whether something is left: the timer is, and then is not. */
static void test_steps(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    int n = 0;
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &spy);
    assert_status(thrum_loop_step(l, 0), THRUM_OK);
    assert_status(thrum_loop_run(l, 0), THRUM_E_TIMEOUT);
    assert_status(thrum_loop_run(l, 1), THRUM_E_TIMEOUT);
    thrum_listener_free(s);
    assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED);
    assert_status(thrum_loop_after(l, 0, count, &n, NULL), THRUM_OK);
    assert_status(thrum_loop_step(l, THRUM_FOREVER), THRUM_E_CLOSED);
    assert_int_equal(n, 1);
    loop_down(l);
}

/* ---- stop ---- */

static thrum_loop *to_stop;

static void stop_it(void *arg)
{
    thrum_loop_stop(arg);
}

static void on_signal(int sig)
{
    (void)sig;
    thrum_loop_stop(to_stop);
}

static void raise_it(void *arg)
{
    (void)arg;
    raise(SIGUSR1);
}

static void *stop_main(void *arg)
{
    thrum_loop_stop(arg);
    return NULL;
}

static void test_stop(void **state)
{
    thrum_loop *l = to_stop = loop_up();
    struct spy spy = {0};
    pthread_t t;
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &spy);
    thrum_loop_stop(l); /* before: run returns at once, and the next goes on */
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
    assert_status(thrum_loop_run(l, 0), THRUM_E_TIMEOUT);
    assert_status(thrum_loop_after(l, 0, stop_it, l, NULL), THRUM_OK);
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
    signal(SIGUSR1, on_signal);
    assert_status(thrum_loop_after(l, 0, raise_it, NULL, NULL), THRUM_OK);
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
    signal(SIGUSR1, SIG_DFL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(pthread_create(&t, NULL, stop_main, l), 0);
        assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
        pthread_join(t, NULL);
    }
    thrum_listener_free(s);
    loop_down(l);
}

/* ---- callbacks do not nest ---- */

static void nest(void *arg)
{
    thrum_loop *l = arg;
    assert_status(thrum_loop_run(l, 0), THRUM_E_STATE);
    assert_status(thrum_loop_step(l, 0), THRUM_E_STATE);
    assert_status(thrum_loop_free(l), THRUM_E_STATE);
}

static void nest_close(struct spy *s, thrum_conn *c)
{
    nest(thrum_conn_loop(c));
    assert_ptr_equal(s->more, thrum_conn_loop(c));
    s->more = NULL;
}

static void test_no_turn_in_a_callback(void **state)
{
    struct stage x = {.spy = {.on_close = nest_close}};
    thrum_error e;
    thrum_loop *l;
    (void)state;
    stage_up(&x, NULL);
    l = x.l;
    assert_status(thrum_loop_after(l, 0, nest, l, NULL), THRUM_OK);
    turn_out(l);
    x.spy.more = l;
    thrum_conn_free(
        x.spy.c); /* outside of a turn: on_close runs with the call, and is a callback like others */
    assert_null(x.spy.more);
    assert_int_equal(x.spy.closes, 1);
    stage_down(&x);
    stage_up(&x, NULL);
    x.spy.more = x.l;
    thrum_listener_free(x.s);
    assert_null(x.spy.more);
    assert_int_equal(x.spy.closes, 2);
    x.s = NULL;
    stage_down(&x);
    stage_up(&x, NULL);
    x.spy.more = x.l;
    thrum_conn_error(x.spy.c, &e);
    assert_int_equal(e.status, THRUM_OK);
    stage_down(&x); /* and that of thrum_loop_free */
    assert_null(x.spy.more);
    assert_int_equal(x.spy.closes, 3);
}

/* What one connection's callback does outside of a turn makes no other callback run inside of it. */
static bool inside_close;

static void close_the_other(struct spy *s, thrum_conn *c)
{
    thrum_conn *other = s->more;
    (void)c;
    assert_false(inside_close);
    inside_close = true;
    s->more = NULL;
    thrum_conn_free(other);
    inside_close = false;
}

static void test_callbacks_take_turns(void **state)
{
    struct stage x = {.spy = {.on_close = close_the_other}};
    struct peer p;
    (void)state;
    stage_up(&x, NULL);
    thrum_conn *first = x.spy.c;
    peer_opens(x.l, x.s, &p);
    turn_until(x.l, x.spy.opens == 2);
    x.spy.more = x.spy.c;
    thrum_conn_free(first);
    assert_int_equal(x.spy.closes, 2);
    peer_close(&p);
    stage_down(&x);
}

/* ---- whose it is ---- */

static void *other_main(void *arg)
{
    thrum_loop *l = arg;
    struct spy spy = {0};
    thrum_listener *s;
    thrum_error e;
    assert_status(thrum_loop_after(l, 0, nothing, NULL, NULL), THRUM_E_THREAD);
    assert_false(thrum_loop_cancel(l, 1));
    assert_status(thrum_loop_free(l), THRUM_E_THREAD);
    assert_status(
        thrum_listen(&s, l, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying, .arg = &spy), &e),
        THRUM_E_THREAD);
    assert_null(s);
    assert_status(e.status, THRUM_E_THREAD);
    assert_status(thrum_open(l, "ws://127.0.0.1:1/", NULL, &spying, &spy, NULL, &e), THRUM_E_THREAD);
    assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED); /* from here on it is this thread's */
    assert_status(thrum_loop_after(l, 0, nothing, NULL, NULL), THRUM_OK);
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
    return NULL;
}

static void test_another_thread(void **state)
{
    thrum_loop *l = loop_up();
    pthread_t t;
    (void)state;
    assert_int_equal(pthread_create(&t, NULL, other_main, l), 0);
    pthread_join(t, NULL);
    assert_status(thrum_loop_after(l, 0, nothing, NULL, NULL), THRUM_E_THREAD);
    assert_status(thrum_loop_free(l), THRUM_E_THREAD);
    assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED); /* and now ours */
    loop_down(l);
}

/* A thread that is cancelled inside goes on until the loop lets it go: in the midst of a turn it would leave
 * half-changed what others need. */
static _Atomic bool is_in;

static void say_in(void *arg)
{
    (void)arg;
    is_in = true;
}

static void *cancelled_main(void *arg)
{
    thrum_status s = thrum_loop_run(arg, THRUM_FOREVER);
    assert_status(s, THRUM_OK);
    pthread_testcancel();
    return NULL;
}

static void test_no_cancellation_inside(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    pthread_t t;
    void *result;
    (void)state;
    is_in = false;
    thrum_listener *s = THRUM_LISTEN(l, &spy);
    assert_status(thrum_loop_after(l, 0, say_in, NULL, NULL), THRUM_OK);
    assert_int_equal(pthread_create(&t, NULL, cancelled_main, l), 0);
    await(is_in);
    pthread_cancel(t);
    thrum_loop_stop(l);
    pthread_join(t, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_status(thrum_loop_step(l, 0), THRUM_OK);
    thrum_listener_free(s);
    loop_down(l);
}

/* ---- the system refuses ---- */

static int no_epoll_wait(int set, struct epoll_event *e, int n, int ms)
{
    (void)set, (void)e, (void)n, (void)ms;
    errno = EBADF;
    return -1;
}

static int no_poll(struct pollfd *v, nfds_t n, int ms)
{
    (void)v, (void)n, (void)ms;
    errno = ENOMEM;
    return -1;
}

static void test_no_waiting(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    (void)state;
    if (strcmp(thrum_loop_backend(l), "io_uring") != 0) {
        thrum_listener *s = THRUM_LISTEN(l, &spy);
        sys.epoll_wait = no_epoll_wait;
        sys.poll = no_poll;
        assert_status(thrum_loop_step(l, 0), THRUM_E_SYSTEM);
        assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_E_SYSTEM);
        sys = sys_real;
        assert_status(thrum_loop_step(l, 0), THRUM_OK);
        thrum_listener_free(s);
    }
    loop_down(l);
}

static int no_eventfd(unsigned value, int flags)
{
    (void)value, (void)flags;
    errno = EMFILE;
    return -1;
}

static void test_no_loop(void **state)
{
    thrum_loop *l;
    thrum_error e;
    (void)state;
    sys.eventfd = no_eventfd;
    assert_status(thrum_loop_new(&l, &e), THRUM_E_SYSTEM);
    assert_int_equal(e.os_errno, EMFILE);
    assert_null(l);
}

/* ---- in somebody else's loop ---- */

static bool is_ready(int fd, int ms)
{
    struct pollfd v = {.fd = fd, .events = POLLIN};
    return poll(&v, 1, ms) == 1;
}

static void ignore(thrum_conn *c, void *arg)
{
    (void)c, (void)arg;
}

static void test_fd(void **state)
{
    struct stage x = {0};
    int n = 0;
    (void)state;
    stage_up(&x, NULL);
    int fd = thrum_loop_fd(x.l);
    if (fd >= 0) {
        turn_out(x.l);
        assert_false(is_ready(fd, 0));
        assert_int_equal(thrum_loop_fd(x.l), fd);
        peer_text(x.l, &x.p, "hello");
        assert_true(is_ready(fd, PEER_MS));
        turn_until(x.l, x.spy.messages == 1);
        while (is_ready(fd, 0)) /* what had been ready may show once more */
            turn(x.l);
        assert_status(thrum_loop_after(x.l, 20, count, &n, NULL), THRUM_OK);
        assert_true(is_ready(fd, PEER_MS)); /* the timer */
        while (n == 0) {
            assert_true(is_ready(fd, PEER_MS));
            assert_status(thrum_loop_step(x.l, 0), THRUM_OK);
        }
        while (is_ready(fd, 0))
            turn(x.l);
        assert_status(thrum_post(x.l, 0, ignore, NULL), THRUM_OK);
        assert_true(is_ready(fd, PEER_MS));
        assert_status(thrum_loop_step(x.l, 0), THRUM_OK);
    } else {
        assert_true(strcmp(thrum_loop_backend(x.l), "io_uring") != 0);
    }
    stage_down(&x);
}

/* ---- the end ---- */

struct told {
    int n;
    thrum_conn *c;
};

static void note_conn(thrum_conn *c, void *arg)
{
    struct told *t = arg;
    t->n++;
    t->c = c;
}

static void test_end(void **state)
{
    struct stage x = {0};
    struct peer half;
    struct told posted = {0, (thrum_conn *)&posted};
    int timers = 0;
    (void)state;
    stage_up(&x, NULL);
    assert_true(peer_connect(&half, AF_INET, thrum_listener_port(x.s)));
    peer_give(x.l, &half, "GET / HT", 8);
    turn_out(x.l);
    assert_status(thrum_post(x.l, x.spy.id, note_conn, &posted), THRUM_OK);
    assert_status(thrum_loop_after(x.l, 0, count, &timers, NULL), THRUM_OK);
    loop_down(x.l);
    assert_heard(&x.spy, "closed CLOSED 1006; ");
    assert_int_equal(posted.n, 1);
    assert_null(posted.c);
    assert_int_equal(timers, 0);
    uint8_t got[4];
    assert_true(peer_read(&x.p, got, 4));
    assert_memory_equal(got, "\x88\x02\x03\xe9", 4); /* 1001 */
    assert_int_equal(peer_drain(&x.p, NULL), 0);
    (void)peer_drain(&half, NULL);
    assert_int_equal(thrum_listener_count(x.s), 0);
    assert_status(thrum_listener_wait(x.s, 0), THRUM_OK);
    peer_close(&half);
    peer_close(&x.p);
    assert_false(peer_connect(&half, AF_INET, thrum_listener_port(x.s)));
    peer_close(&half);
    thrum_listener_free(x.s);
}

/* What callbacks begin while the loop is freed does not outlive it. */
static int refused;

static void begin_anew(struct spy *s, thrum_conn *c)
{
    thrum_loop *l = thrum_conn_loop(c);
    thrum_error e;
    thrum_listener *t = NULL;
    char url[64];
    if (s->closes > 8)
        return;
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/", *(int *)s->more);
    refused += thrum_open(l, url, NULL, &spying, s, NULL, &e) == THRUM_E_CLOSED;
    refused +=
        thrum_listen(&t, l, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying, .arg = s), &e) != THRUM_OK;
    thrum_listener_free(t);
    assert_status(thrum_loop_after(l, 0, nothing, NULL, NULL), THRUM_OK);
}

static void test_free_begins_nothing(void **state)
{
    struct stage x = {.spy = {.on_close = begin_anew}};
    int port;
    (void)state;
    stage_up(&x, NULL);
    port = thrum_listener_port(x.s);
    x.spy.more = &port;
    refused = 0;
    loop_down(x.l);
    assert_int_equal(x.spy.closes, 1);
    assert_int_equal(refused, 2);
    thrum_listener_free(x.s);
    peer_close(&x.p);
}

static void test_forked(void **state)
{
    struct stage x = {0};
    int status;
    (void)state;
    stage_up(&x, NULL);
    pid_t child = fork_at_rest();
    if (child == 0) {
        bool good = thrum_loop_step(x.l, 0) == THRUM_E_FORKED && thrum_loop_run(x.l, 0) == THRUM_E_FORKED;
        good &= thrum_loop_after(x.l, 0, nothing, NULL, NULL) == THRUM_E_FORKED;
        good &= thrum_send(x.spy.c, THRUM_TEXT, "child", 5) == THRUM_E_FORKED;
        good &= thrum_loop_fd(x.l) == -1;
        thrum_loop_stop(x.l);
        good &= thrum_loop_free(x.l) == THRUM_OK;
        thrum_listener_free(x.s);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    turn_out(x.l);
    assert_true(peer_is_silent(&x.p)); /* no byte of the child's, and the stream has not ended */
    peer_text(x.l, &x.p, "on");
    turn_until(x.l, x.spy.messages == 1);
    stage_down(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_new),
        clean_test(test_arguments),
        clean_test(test_nothing_to_wait_for),
        clean_test(test_steps),
        clean_test(test_stop),
        clean_test(test_no_turn_in_a_callback),
        clean_test(test_callbacks_take_turns),
        clean_test(test_another_thread),
        clean_test(test_no_cancellation_inside),
        clean_test(test_no_waiting),
        clean_test(test_no_loop),
        clean_test(test_fd),
        clean_test(test_end),
        clean_test(test_free_begins_nothing),
        clean_test(test_forked),
    };
    return run_on_backend(tests);
}
