/* listen_test.c: accepting, by whatever the system lets through, and what requests are answered. */
#include "secure.h"
#include <netinet/in.h>
#include <sys/resource.h>

/* ---- routes ---- */

struct site {
    thrum_loop *l;
    thrum_listener *s;
    struct spy chat, feed;
    char seen[64];
};

static int any_answer(const thrum_request *r, thrum_reply *a, void *arg)
{
    struct site *x = arg;
    const char *rest = thrum_request_param(r, "*");
    snprintf(x->seen, sizeof x->seen, "%s %s", thrum_request_method(r), rest ? rest : "-");
    assert_status(thrum_reply_header(a, "X-Rest", rest), THRUM_OK);
    assert_status(thrum_reply_body(a, "text/html", "<p>hello</p>", 12), THRUM_OK);
    return 200;
}

static int room_request(const thrum_request *r, thrum_reply *a, void *arg)
{
    struct spy *s = arg;
    const char *room = thrum_request_param(r, "room");
    assert_null(thrum_request_param(r, "other"));
    assert_null(thrum_request_param(NULL, "room"));
    assert_null(thrum_request_param(r, NULL));
    assert_string_equal(thrum_request_target(r), "/chat/blue%20one?x=1");
    thrum_reply_user(a, s);
    thrum_reply_user(NULL, s);
    return room && strcmp(room, "blue one") == 0 ? 0 : 403;
}

static void room_open(struct spy *s, thrum_conn *c)
{
    assert_string_equal(thrum_conn_param(c, "room"), "blue one");
    assert_null(thrum_conn_param(c, "other"));
    assert_null(thrum_conn_param(c, NULL));
    assert_null(thrum_conn_param(NULL, "room"));
    assert_ptr_equal(thrum_conn_user(c), s);
}

static void room_message(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s, (void)m;
    assert_null(thrum_conn_param(c, "room")); /* until on_open returns */
}

static int moved(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)r, (void)arg;
    assert_status(thrum_reply_header(a, "Location", "/new"), THRUM_OK);
    return 301;
}

static int undecided(const thrum_request *r, thrum_reply *a, void *arg)
{
    (void)r, (void)a, (void)arg;
    return 0;
}

static void site_up(struct site *x)
{
    const thrum_route routes[] = {
        {"/chat/:room", &spying, room_request, &x->chat},
        {"/feed", &spying, NULL, &x->feed},
        {"/old", NULL, moved, NULL},
        {"/odd", NULL, undecided, NULL},
        {"/none", NULL, NULL, NULL},
        {"/files/*", NULL, any_answer, x},
        {0},
    };
    *x = (struct site){.l = loop_up(), .chat = {.on_open = room_open, .on_message = room_message}};
    x->s = listen_at(x->l, "ws://127.0.0.1:0/", THRUM_SERVER(.routes = routes));
}

static void site_down(struct site *x)
{
    thrum_listener_free(x->s);
    loop_down(x->l);
}

/* The whole answer to some text. */
static void ask(thrum_loop *l, const thrum_listener *s, const char *request, char *answer, size_t cap)
{
    struct peer p;
    char head[2048];
    size_t n = 0;
    assert_true(peer_connect(&p, AF_INET, thrum_listener_port(s)));
    peer_give(l, &p, request, strlen(request));
    peer_get_to(l, &p, head, sizeof head, "\r\n\r\n");
    snprintf(answer, cap, "%s", head);
    const char *length = strstr(head, "Content-Length: ");
    n = length ? (size_t)atoi(length + 16) : 0;
    assert_true(strlen(head) + n < cap);
    peer_get(l, &p, answer + strlen(head), n);
    answer[strlen(head) + n] = '\0';
    assert_int_equal(peer_end(l, &p), 0);
    peer_close(&p);
}

static void expect(struct site *x, const char *request, const char *status, const char *says)
{
    char answer[4096];
    ask(x->l, x->s, request, answer, sizeof answer);
    if (strncmp(answer + 9, status, 3) != 0 || !strstr(answer, says))
        fail_msg("%s\n-> %s", request, answer);
}

#define PLAIN " HTTP/1.1\r\nHost: loop.test\r\n\r\n"

/* Any HTTP answer from the same port, with the WebSockets of other paths. */
static void test_any_http_answer(void **state)
{
    struct site x;
    (void)state;
    site_up(&x);
    expect(&x, "GET /files/a/b.html" PLAIN, "200", "\r\n\r\n<p>hello</p>");
    assert_string_equal(x.seen, "GET a/b.html");
    expect(&x, "POST /files/" PLAIN, "200", "X-Rest: \r\n");
    assert_string_equal(x.seen, "POST ");
    expect(&x, "GET /files/up" HEAD "\r\n", "200", "text/html"); /* a handshake where there is no WebSocket */
    expect(&x, "GET /old" PLAIN, "301", "Location: /new");
    expect(&x, "GET /odd" PLAIN, "426", "Upgrade: websocket");
    expect(&x, "GET /none" PLAIN, "426", "");
    expect(&x, "GET /none" HEAD "\r\n", "426", "");
    expect(&x, "GET /nowhere" PLAIN, "404", "");
    expect(&x, "GET /nowhere" HEAD "\r\n", "404", "");
    expect(&x, "GET /feed/" HEAD "\r\n", "404", "");
    expect(&x, "GET /chat/%ff%" HEAD "\r\n", "400", "");
    expect(&x, "GET /chat/%00" HEAD "\r\n", "400", "");
    expect(&x, "GET /feed" PLAIN, "426", ""); /* no handshake where there is one */
    expect(&x, "GET /feed HTTP/1.1\r\n\r\n", "400", "");
    expect(&x, "nonsense\r\n\r\n", "400", "");
    assert_int_equal(x.feed.opens + x.feed.closes + x.chat.opens + x.chat.closes, 0);
    turn_until(x.l, x.l->nconns == 0);
    site_down(&x);
}

static void test_parameters_and_user(void **state)
{
    struct site x;
    struct peer p, q;
    char head[1024];
    (void)state;
    site_up(&x);
    peer_asks(x.l, x.s, &p, "/chat/blue%20one?x=1", "");
    peer_hears(x.l, &p, "101", head, sizeof head);
    peer_text(x.l, &p, "hi");
    turn_until(x.l, x.chat.messages == 1);
    peer_asks(x.l, x.s, &q, "/feed", "");
    peer_hears(x.l, &q, "101", head, sizeof head);
    turn_until(x.l, x.feed.opens == 1); /* each way has its own handlers and its own arg */
    assert_null(thrum_conn_user(x.feed.c));
    assert_int_equal(x.chat.opens, 1);
    peer_close(&p);
    peer_close(&q);
    turn_until(x.l, x.chat.closes == 1 && x.feed.closes == 1);
    site_down(&x);
}

/* The request and frames behind it, in any cut: parameters, on_open and messages come out the same. */
static void test_request_in_pieces(void **state)
{
    char text[512];
    size_t n = (size_t)snprintf(text, sizeof text, "GET /chat/blue%%20one?x=1" HEAD "\r\n");
    (void)state;
    n += frame_of((uint8_t *)text + n, 0x81, "one", 3, true);
    for (size_t cut = 1; cut < n; cut += cut < n - 20 && cut % 7 ? 5 : 1) {
        struct site x;
        struct peer p;
        site_up(&x);
        assert_true(peer_connect(&p, AF_INET, thrum_listener_port(x.s)));
        turn_until(x.l, x.l->nconns == 1);
        peer_give(x.l, &p, text, cut);
        turn_out(x.l);
        peer_give(x.l, &p, text + cut, n - cut);
        turn_until(x.l, x.chat.messages == 1);
        assert_heard(&x.chat, "open; text one; ");
        peer_close(&p);
        site_down(&x);
    }
}

/* ---- callbacks of a request that end things ---- */

static int free_in_request(const thrum_request *r, thrum_reply *a, void *arg)
{
    struct spy *s = arg;
    (void)r, (void)a;
    if (s->more)
        thrum_listener_free(s->more);
    s->more = NULL;
    return 0;
}

static int drain_in_request(const thrum_request *r, thrum_reply *a, void *arg)
{
    struct spy *s = arg;
    (void)r, (void)a;
    assert_status(thrum_listener_drain(s->more, 1012, PEER_MS, NULL, NULL), THRUM_OK);
    return 0;
}

static void test_ends_in_a_request(void **state)
{
    struct peer p;
    (void)state;
    for (int i = 0; i < 2; i++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        thrum_listener *s =
            THRUM_LISTEN(l, &spy, .close_timeout = 20, .on_request = i ? drain_in_request : free_in_request);
        spy.more = s;
        peer_asks(l, s, &p, "/", "");
        (void)peer_end(l, &p);
        peer_close(&p);
        turn_until(l, l->nconns == 0);
        assert_int_equal(spy.opens, spy.closes);
        if (i)
            thrum_listener_free(s);
        assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED);
        loop_down(l);
    }
}

/* ---- limits ---- */

static void test_limit_of_connections(void **state)
{
    struct stage x = {0};
    struct peer q;
    char head[1024];
    (void)state;
    stage_up(&x, THRUM_SERVER(.max_conns = 1));
    peer_asks(x.l, x.s, &q, "/", "");
    peer_hears(x.l, &q, "503", head, sizeof head);
    (void)peer_end(x.l, &q);
    peer_close(&q);
    peer_close(&x.p);
    turn_until(x.l, x.spy.closes == 1);
    peer_opens(x.l, x.s, &x.p);
    turn_until(x.l, x.spy.opens == 2);
    stage_down(&x);
}

/* ---- accepting fails ---- */

static int accepts, failing, failing_of;

static int failing_accept(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
    accepts++;
    if (failing > 0) {
        failing--;
        errno = failing_of;
        return -1;
    }
    return sys_real.accept4(fd, a, n, flags);
}

/* For each errno: it does not spin (so many calls of accept for so many failures), and goes on by itself. */
static void test_failing_accept(void **state)
{
    static const int errnos[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EPROTO, EPERM, EINTR};
    thrum_loop *l = loop_up();
    (void)state;
    if (!l->reads_itself)
        for (size_t e = 0; e < COUNT(errnos); e++) {
            struct spy spy = {0};
            struct peer p[4];
            thrum_listener *s = THRUM_LISTEN(l, &spy);
            sys.accept4 = failing_accept;
            accepts = 0;
            failing = 3;
            failing_of = errnos[e];
            for (size_t i = 0; i < COUNT(p); i++)
                assert_true(peer_connect(&p[i], AF_INET, thrum_listener_port(s)));
            turn_until(l, failing == 0 && l->nconns >= 2); /* two at most were shed */
            turn_out(l);
            assert_true(accepts <= 3 + 2 * 3 + 4 + 3);
            for (size_t i = 0; i < COUNT(p); i++)
                peer_close(&p[i]);
            turn_until(l, l->nconns == 0);
            peer_opens(l, s, &p[0]);
            turn_until(l, spy.opens == 1);
            peer_close(&p[0]);
            thrum_listener_free(s);
            sys = sys_real;
        }
    loop_down(l);
}

/* A failure that stays is met again and again, but not at each turn. */
static void test_accept_fails_for_long(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0};
    struct peer p;
    (void)state;
    thrum_listener *s = THRUM_LISTEN(l, &spy);
    if (!l->reads_itself) {
        sys.accept4 = failing_accept;
        accepts = 0;
        failing = INT32_MAX;
        failing_of = ENOMEM;
        assert_true(peer_connect(&p, AF_INET, thrum_listener_port(s)));
        const int64_t until = clock_after(clock_now(), 300);
        while (clock_now() < until)
            assert_status(thrum_loop_step(l, 300), THRUM_OK);
        assert_true(accepts > 1 && accepts < 20);
        failing = 0;
        turn_until(l, l->nconns == 1);
        peer_close(&p);
        sys = sys_real;
    }
    thrum_listener_free(s);
    loop_down(l);
}

/* Really no descriptor left in the process, whatever the backend accepts with: some are turned away, others
 * wait; nothing spins; with descriptors again the rest is served, and who was open was so all the time. */
static void test_no_descriptor_left(void **state)
{
    enum { WAITING = 8, ROOM = 64 };
    struct stage x = {0};
    struct rlimit before, now;
    int fds[WAITING], spare[ROOM];
    size_t nspare = 0;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = (rlim_t)fault_open_descriptors() + ROOM;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0); /* io_uring looks at it when it is asked to accept */
    stage_up(&x, NULL);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(thrum_listener_port(x.s)),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (size_t i = 0; i < WAITING; i++)
        assert_true((fds[i] = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
    while (nspare < COUNT(spare) && (spare[nspare] = dup(0)) >= 0)
        nspare++;
    assert_int_equal(errno, EMFILE);
    for (size_t i = 0; i < WAITING; i++)
        assert_int_equal(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
    int turns = 0;
    const int64_t until = clock_after(clock_now(), 300);
    for (; clock_now() < until; turns++)
        assert_status(thrum_loop_step(x.l, 300), THRUM_OK);
    assert_true(turns < 100); /* six pauses in that time, and some more for what each meets */
    peer_text(x.l, &x.p, "still here");
    turn_until(x.l, x.spy.messages == 1);
    assert_int_equal(x.l->nconns, 1);
    for (size_t i = 0; i < nspare; i++)
        close(spare[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < WAITING; i++)
        close(fds[i]);
    peer_close(&x.p);
    peer_opens(x.l, x.s, &x.p); /* accepting has gone on */
    turn_until(x.l, x.spy.opens == 2);
    stage_down(&x);
}

/* A listener is freed, or drained, while accepting pauses. */
static void test_ends_while_paused(void **state)
{
    (void)state;
    for (int drains = 0; drains < 2; drains++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        struct peer p;
        thrum_listener *s = THRUM_LISTEN(l, &spy);
        if (!l->reads_itself) {
            sys.accept4 = failing_accept;
            failing = 1;
            failing_of = ENOMEM;
            assert_true(peer_connect(&p, AF_INET, thrum_listener_port(s)));
            turn_until(l, failing == 0);
            if (drains)
                assert_status(thrum_listener_drain(s, 0, 0, NULL, NULL), THRUM_OK);
            else
                thrum_listener_free(s);
            assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK);
            (void)peer_drain(&p, NULL);
            peer_close(&p);
            sys = sys_real;
        }
        if (drains || l->reads_itself)
            thrum_listener_free(s);
        loop_down(l);
    }
}

/* No memory for a connection: it is dropped, others come. */
static void test_no_memory(void **state)
{
    bool served = false;
    (void)state;
    for (int i = 0; !served; i++) {
        thrum_loop *l = loop_up();
        struct spy spy = {0};
        struct peer p;
        thrum_listener *s = THRUM_LISTEN(l, &spy);
        turn_out(l);
        peer_asks(l, s, &p, "/", "Sec-WebSocket-Protocol: a, b\r\n");
        memory_refuse_after(i);
        for (int k = 0; k < 5; k++)
            (void)thrum_loop_step(l, 1);
        memory_refuse_after(-1);
        turn_out(l);
        served = spy.opens == 1 && spy.closes == 0;
        assert_int_equal(spy.opens - spy.closes, served ? 1 : 0);
        peer_close(&p);
        turn_until(l, l->nconns == 0);
        peer_opens(l, s, &p);
        turn_until(l, spy.c);
        peer_close(&p);
        thrum_listener_free(s);
        loop_down(l);
    }
}

/* ---- TLS ---- */

static void test_tls(void **state)
{
    static char much[300000];
    struct secure x;
    struct spy client = {0};
    struct peer p;
    thrum_tls_info info = {.size = sizeof info};
    thrum_error e;
    (void)state;
    memset(much, 'm', sizeof much);
    secure_up(&x);
    assert_int_equal(strncmp(thrum_listener_url(x.s), "wss://127.0.0.1:", 16), 0);
    secure_open(&x, &client);
    assert_status(thrum_conn_tls(x.server.c, &info), THRUM_OK);
    assert_int_equal(strncmp(info.version, "TLSv1.", 6), 0);
    assert_status(thrum_conn_tls(client.c, &info), THRUM_OK);
    assert_int_equal(info.verified, 1);
    for (int i = 0; i < 3; i++) {
        assert_status(thrum_send(client.c, THRUM_TEXT, much, sizeof much), THRUM_OK);
        assert_status(thrum_send(x.server.c, THRUM_TEXT, much, sizeof much), THRUM_OK);
        turn_until(x.l, x.server.bytes == (size_t)(i + 1) * sizeof much && client.bytes == x.server.bytes);
    }
    assert_status(thrum_pause(x.server.c), THRUM_OK);
    for (int i = 0; i < 5; i++)
        assert_status(thrum_send(client.c, THRUM_TEXT, "while paused", 12), THRUM_OK);
    turn_out(x.l);
    assert_int_equal(x.server.messages, 3);
    assert_status(thrum_resume(x.server.c), THRUM_OK);
    turn_until(x.l, x.server.messages == 8); /* what TLS had read already, no poller knows of */
    assert_status(thrum_close(client.c, 1000, NULL), THRUM_OK);
    turn_until(x.l, x.server.closes == 1 && client.closes == 1);
    assert_int_equal(x.server.why.close_code, 1000);
    assert_int_equal(client.why.status, THRUM_E_CLOSED);
    assert_true(peer_connect(&p, AF_INET, thrum_listener_port(x.s))); /* one that speaks no TLS */
    peer_give(x.l, &p, "GET /" HEAD "\r\n", 40);
    (void)peer_end(x.l, &p);
    peer_close(&p);
    turn_until(x.l, x.l->nconns == 0);
    assert_int_equal(x.server.opens, 1);
    assert_status(thrum_open(x.l, thrum_listener_url(x.s), THRUM_CLIENT(.tls = THRUM_TLS(.ca = NULL)),
                             &spying, &client, NULL, &e),
                  THRUM_OK);
    turn_until(x.l, client.closes == 2); /* whom nobody vouches for is not trusted */
    assert_int_equal(client.why.status, THRUM_E_CERTIFICATE);
    secure_down(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_any_http_answer),
        clean_test(test_parameters_and_user),
        clean_test(test_request_in_pieces),
        clean_test(test_ends_in_a_request),
        clean_test(test_limit_of_connections),
        clean_test(test_failing_accept),
        clean_test(test_accept_fails_for_long),
        clean_test(test_no_descriptor_left),
        clean_test(test_ends_while_paused),
        clean_test(test_no_memory),
        clean_test(test_tls),
    };
    return run_on_backend(tests);
}
