/* Twin of src/net/dial.c. Names resolve to documentation addresses (RFC 5737, RFC 3849), and a faked connect
 * sends each to a real loopback socket: one that answers, one that refuses, one whose queue is full and that
 * so never answers. */
#include "net/dial.h"
#include "net_test.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static thrum_error err;
static struct stream *s;
static struct peer good, hole;

/* The faked net: an address whose last byte is 1 answers, 2 never answers, 3 refuses after a moment, from 100
 * on it is the errno, and all others refuse at once. */
static struct {
    uint8_t last[16];
    int family[16];
    int64_t at[16];
    atomic_int n;
} tried;

static int to_port(int fd, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sys_real.connect(fd, (const struct sockaddr *)&a, sizeof a);
}

static int late_fd = -1;
static int late_refusal(int fd, int level, int name, void *v, socklen_t *n)
{
    int r = sys_real.getsockopt(fd, level, name, v, n);
    if (fd == late_fd && name == SO_ERROR) {
        memcpy(v, &(int){ECONNREFUSED}, sizeof(int));
        late_fd = -1; /* the number is soon another socket's */
    }
    return r;
}

static int fake_connect(int fd, const struct sockaddr *a, socklen_t n)
{
    struct sockaddr_storage all = {0};
    struct sockaddr_in s4;
    struct sockaddr_in6 s6;
    memcpy(&all, a, n);
    memcpy(&s4, &all, sizeof s4);
    memcpy(&s6, &all, sizeof s6);
    uint8_t last =
        all.ss_family == AF_INET ? (uint8_t)(ntohl(s4.sin_addr.s_addr) & 255) : s6.sin6_addr.s6_addr[15];
    int i = atomic_fetch_add(&tried.n, 1);
    if (i < 16) {
        tried.last[i] = last;
        tried.family[i] = all.ss_family;
        tried.at[i] = clock_now();
    }
    if (all.ss_family == AF_INET && last == 1)
        return to_port(fd, good.port);
    if (all.ss_family == AF_INET && last == 2)
        return to_port(fd, hole.port);
    if (last == 3) { /* an unconnected socket polls as ready */
        late_fd = fd;
        errno = EINPROGRESS;
        return -1;
    }
    errno = last >= 100 ? last : ECONNREFUSED; /* 101: ENETUNREACH */
    return -1;
}

static thrum_status dial_names(const char *const *hosts, size_t n, int64_t deadline, bool interruptible)
{
    struct uri u = uri_tcp("name.test", 80);
    fake_names_set(hosts, n, 0);
    atomic_store(&tried.n, 0);
    sys.connect = fake_connect;
    thrum_status r = dial(&s, &u, &(struct dial_how){0}, &(struct limits){deadline, interruptible, -1}, &err);
    sys.connect = sys_real.connect;
    fake_names_end();
    return r;
}

static void let_go(void)
{
    assert_non_null(s);
    s->ops->free(s);
    s = NULL;
}

static void exchange(struct peer *p)
{
    char b[2];
    struct iovec v = {.iov_base = b, .iov_len = 2};
    assert_true(peer_accept(p));
    memcpy(b, "hi", 2);
    assert_int_equal(s->ops->write(s, &v, 1), 2);
    memset(b, 0, 2);
    assert_true(peer_read(p, b, 2));
    assert_memory_equal(b, "hi", 2);
}

static void each_family_connects(void **state)
{
    static const struct {
        int family;
        const char *host;
    } all[] = {{AF_INET, "127.0.0.1"}, {AF_INET6, "::1"}, {AF_INET, "localhost"}, {AF_INET6, "localhost"}};
    struct leaks before = leaks_before();
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct peer p;
        char text[160], expected[64];
        if (all[i].family == AF_INET6 && !peer_has_ipv6())
            continue;
        assert_true(peer_listen(&p, all[i].family, 4));
        struct uri u = uri_tcp(all[i].host, p.port);
        assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                         THRUM_OK);
        exchange(&p);
        s->ops->describe(s, text, sizeof text);
        snprintf(expected, sizeof expected, all[i].family == AF_INET ? "127.0.0.1:%u" : "[::1]:%u",
                 (unsigned)p.port);
        assert_string_equal(text, expected);
        assert_true((fcntl(s->ops->fd(s), F_GETFD) & FD_CLOEXEC) != 0);
        assert_true((fcntl(s->ops->fd(s), F_GETFL) & O_NONBLOCK) != 0);
        let_go();
        peer_close(&p);
    }
    leaks_none(before);
}

static void a_unix_socket_connects(void **state)
{
    struct leaks before = leaks_before();
    struct peer p;
    char text[160], expected[160];
    (void)state;
    assert_true(peer_listen(&p, AF_UNIX, 4));
    struct uri u = uri_unix(p.path);
    assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_OK);
    exchange(&p);
    s->ops->describe(s, text, sizeof text);
    snprintf(expected, sizeof expected, "unix:%s", p.path);
    assert_string_equal(text, expected);
    let_go();
    peer_close(&p);
    leaks_none(before);
}

static void unix_failures_say_why(void **state)
{
    struct leaks before = leaks_before();
    char path[200];
    struct uri u = uri_unix("/nonexistent/thrum");
    (void)state;
    assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_E_CONNECT);
    assert_null(s);
    assert_int_equal(err.os_errno, ENOENT);
    assert_non_null(strstr(err.text, "unix:/nonexistent/thrum"));
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[108] = '\0';
    u = uri_unix(path);
    assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_E_CONNECT);
    assert_non_null(strstr(err.text, "107"));
    path[107] = '\0'; /* fits, so it is looked for */
    u = uri_unix(path);
    assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_E_CONNECT);
    assert_int_equal(err.os_errno, ENOENT);
    leaks_none(before);
}

/* Fills the queue of a Unix listener; returns the number of clients in c. */
static size_t fill(const struct peer *p, int c[16])
{
    struct peer client;
    size_t n = 0;
    for (; n < 16; n++) {
        client.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_storage a;
        socklen_t len = sizeof a;
        assert_int_equal(getsockname(p->listening, (struct sockaddr *)&a, &len), 0);
        c[n] = client.fd;
        if (connect(client.fd, (struct sockaddr *)&a, len) != 0) {
            assert_int_equal(errno, EAGAIN);
            return n + 1;
        }
    }
    fail();
    return 0;
}

static void *accept_twice(void *arg)
{
    return (void *)(uintptr_t)(peer_accept(arg) && peer_accept(arg));
}

static void a_full_unix_queue_is_waited_for(void **state)
{
    struct leaks before = leaks_before();
    struct peer p;
    pthread_t t;
    void *ok;
    int c[16];
    (void)state;
    assert_true(peer_listen(&p, AF_UNIX, 0));
    size_t n = fill(&p, c);
    struct uri u = uri_unix(p.path);
    assert_int_equal(
        dial(&s, &u, &(struct dial_how){0}, &(struct limits){clock_after(clock_now(), 30), false, -1}, &err),
        THRUM_E_TIMEOUT);
    assert_non_null(strstr(err.text, "full"));
    assert_int_equal(pthread_create(&t, NULL, accept_twice, &p), 0);
    assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_OK);
    let_go();
    pthread_join(t, &ok);
    assert_non_null(ok);
    while (n > 0)
        close(c[--n]);
    peer_close(&p);
    leaks_none(before);
}

static void refusal_names_host_and_port(void **state)
{
    struct leaks before = leaks_before();
    struct peer p;
    char port[32];
    (void)state;
    assert_true(peer_listen(&p, AF_INET, 4));
    peer_close(&p);
    struct uri u = uri_tcp("127.0.0.1", p.port);
    assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_E_CONNECT);
    assert_int_equal(err.status, THRUM_E_CONNECT);
    assert_int_equal(err.os_errno, ECONNREFUSED);
    snprintf(port, sizeof port, "127.0.0.1 port %u", (unsigned)p.port);
    assert_non_null(strstr(err.text, port));
    assert_non_null(strstr(err.text, "1 of 1"));
    u = uri_tcp("name.test", 1);
    fake_names_set(NULL, 0, EAI_NONAME);
    assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_E_RESOLVE);
    fake_names_end();
    leaks_none(before);
}

static void families_take_turns(void **state)
{
    static const char *const hosts[] = {"2001:db8::4", "2001:db8::5", "2001:db8::6", "192.0.2.7",
                                        "192.0.2.8"};
    static const uint8_t order[] = {4, 7, 5, 8, 6};
    static const char *const four_first[] = {"192.0.2.7", "2001:db8::4", "2001:db8::5"};
    static const uint8_t order_four[] = {7, 4, 5};
    struct leaks before = leaks_before();
    (void)state;
    if (!peer_has_ipv6())
        skip();
    assert_int_equal(dial_names(hosts, 5, soon(), false), THRUM_E_CONNECT);
    assert_int_equal(atomic_load(&tried.n), 5);
    assert_memory_equal(tried.last, order, 5);
    assert_non_null(strstr(err.text, "5 of 5"));
    assert_int_equal(dial_names(four_first, 3, soon(), false), THRUM_E_CONNECT);
    assert_memory_equal(tried.last, order_four, 3);
    leaks_none(before);
}

static int polls;
static int poll_counted(struct pollfd *p, nfds_t n, int ms)
{
    polls += n > 0 && p[0].events == POLLOUT;
    return sys_real.poll(p, n, ms);
}

static void after_a_refusal_the_next_at_once(void **state)
{
    static const char *const hosts[] = {"192.0.2.9", "192.0.2.8", "192.0.2.1"};
    struct leaks before = leaks_before();
    (void)state;
    assert_true(peer_listen(&good, AF_INET, 4));
    polls = 0;
    sys.poll = poll_counted;
    assert_int_equal(dial_names(hosts, 3, soon(), false), THRUM_OK);
    sys = sys_real;
    assert_true(polls <= 1); /* for the third only */
    assert_int_equal(atomic_load(&tried.n), 3);
    let_go();
    peer_close(&good);
    leaks_none(before);
}

/* Also where an earlier attempt still runs: its silence does not hold up the one after the refusal. */
static void after_a_late_refusal_too(void **state)
{
    static const char *const hosts[] = {"192.0.2.2", "192.0.2.3", "192.0.2.1"};
    struct leaks before = leaks_before();
    (void)state;
    assert_true(peer_listen(&good, AF_INET, 4));
    assert_true(peer_blackhole(&hole, AF_INET));
    polls = 0;
    sys.poll = poll_counted;
    sys.getsockopt = late_refusal;
    assert_int_equal(dial_names(hosts, 3, soon(), false), THRUM_OK);
    sys = sys_real;
    assert_true(polls <= 3); /* one for each attempt */
    let_go();
    peer_close(&good);
    peer_close(&hole);
    leaks_none(before);
}

static void silence_is_waited_for_250_ms(void **state)
{
    static const char *const hosts[] = {"192.0.2.2", "192.0.2.2", "192.0.2.1", "192.0.2.9"};
    struct leaks before = leaks_before();
    char text[160];
    (void)state;
    assert_true(peer_listen(&good, AF_INET, 4));
    assert_true(peer_blackhole(&hole, AF_INET));
    assert_int_equal(dial_names(hosts, 4, soon(), false), THRUM_OK);
    assert_int_equal(atomic_load(&tried.n), 3); /* the fourth was not needed */
    assert_true(tried.at[1] - tried.at[0] >= 250 * CLOCK_MS);
    assert_true(tried.at[2] - tried.at[1] >= 250 * CLOCK_MS);
    s->ops->describe(s, text, sizeof text);
    assert_string_equal(text, "192.0.2.1:80");
    exchange(&good);
    let_go();
    peer_close(&good);
    peer_close(&hole);
    leaks_none(before);
}

static void the_deadline_ends_all_attempts(void **state)
{
    static const char *const hosts[] = {"192.0.2.9", "192.0.2.2", "192.0.2.2"};
    struct leaks before = leaks_before();
    (void)state;
    assert_true(peer_blackhole(&hole, AF_INET));
    /* The last attempt begins after 250 ms, or later where the machine is busy. */
    assert_int_equal(dial_names(hosts, 3, clock_after(clock_now(), 1500), false), THRUM_E_TIMEOUT);
    assert_null(s);
    assert_non_null(strstr(err.text, "name.test port 80"));
    assert_non_null(strstr(err.text, "3 of 3"));
    assert_non_null(strstr(err.text, "refused"));
    /* Time that was up before it began: one attempt, no wait. */
    assert_int_equal(dial_names(hosts + 1, 2, clock_now(), false), THRUM_E_TIMEOUT);
    peer_close(&hole);
    leaks_none(before);
}

static void the_telling_error_is_kept(void **state)
{
    static const char *const hosts[] = {"192.0.2.9", "192.0.2.101"}, *const other[] = {"192.0.2.101"};
    (void)state;
    assert_int_equal(dial_names(hosts, 2, soon(), false), THRUM_E_CONNECT);
    assert_int_equal(err.os_errno, ECONNREFUSED);
    assert_int_equal(dial_names(other, 1, soon(), false), THRUM_E_CONNECT);
    assert_int_equal(err.os_errno, ENETUNREACH);
}

static int signals;
static int poll_interrupted(struct pollfd *p, nfds_t n, int ms)
{
    if (n == 0 || p[0].events != POLLOUT || signals-- <= 0)
        return sys_real.poll(p, n, ms);
    errno = EINTR;
    return -1;
}

static void a_signal_ends_it_only_where_asked(void **state)
{
    static const char *const hosts[] = {"192.0.2.2", "192.0.2.1"};
    struct leaks before = leaks_before();
    (void)state;
    assert_true(peer_listen(&good, AF_INET, 4));
    assert_true(peer_blackhole(&hole, AF_INET));
    sys.poll = poll_interrupted;
    signals = 1;
    assert_int_equal(dial_names(hosts, 2, soon(), true), THRUM_E_INTERRUPTED);
    signals = 3;
    assert_int_equal(dial_names(hosts, 2, soon(), false), THRUM_OK);
    assert_true(signals < 0);
    sys = sys_real;
    let_go();
    peer_close(&good);
    peer_close(&hole);
    leaks_none(before);
}

static sem_t polling;
static int poll_announced(struct pollfd *p, nfds_t n, int ms)
{
    if (n == 2 && p[0].events == POLLOUT)
        sem_post(&polling); /* both attempts run */
    return sys_real.poll(p, n, ms);
}

static void *dial_on_thread(void *arg)
{
    static const char *const hosts[] = {"192.0.2.2", "192.0.2.2"};
    (void)arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    struct uri u = uri_tcp("name.test", 80);
    fake_names_set(hosts, 2, 0);
    atomic_store(&tried.n, 0);
    sys.connect = fake_connect;
    dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err);
    return NULL;
}

static void cancelled_while_it_connects(void **state)
{
    struct leaks before = leaks_before();
    pthread_t t;
    void *end = NULL;
    (void)state;
    assert_true(peer_blackhole(&hole, AF_INET));
    sem_init(&polling, 0, 0);
    sys.poll = poll_announced;
    assert_int_equal(pthread_create(&t, NULL, dial_on_thread, NULL), 0);
    while (sem_wait(&polling) != 0)
        continue;
    assert_true(fault_open_descriptors() > before.descriptors);
    pthread_cancel(t);
    pthread_join(t, &end);
    assert_ptr_equal(end, PTHREAD_CANCELED);
    sys = sys_real;
    fake_names_end();
    peer_close(&hole);
    leaks_none(before);
}

static int no_socket(int domain, int type, int protocol)
{
    (void)domain;
    (void)type;
    (void)protocol;
    errno = EMFILE;
    return -1;
}

static void without_descriptors(void **state)
{
    struct uri u = uri_tcp("127.0.0.1", 1), local = uri_unix("/tmp/x");
    (void)state;
    sys.socket = no_socket;
    assert_int_equal(dial(&s, &u, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_E_SYSTEM);
    assert_int_equal(err.os_errno, EMFILE);
    assert_int_equal(dial(&s, &local, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &err),
                     THRUM_E_SYSTEM);
    assert_int_equal(err.os_errno, EMFILE);
    sys = sys_real;
}

static void dial_once(struct fault_report *r, void *arg)
{
    thrum_error e = {0};
    struct stream *got = NULL;
    thrum_status st = dial(&got, arg, &(struct dial_how){0}, &(struct limits){soon(), false, -1}, &e);
    fault_note(r, "dial", st, &e);
    fault_check(r, (st == THRUM_OK) == (got != NULL), "status and stream do not agree");
    if (got != NULL)
        got->ops->free(got);
}

static void every_failure(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.1"};
    struct peer p, local;
    (void)state;
    assert_true(peer_listen(&p, AF_INET, 4096) && peer_listen(&local, AF_UNIX, 4096));
    fake_names_set(hosts, 2, 0);
    struct uri u = uri_tcp("127.0.0.1", p.port), named = uri_tcp("name.test", p.port),
               un = uri_unix(local.path);
    assert_true(fault_run("dial an address", dial_once, &u, NULL) > 0);
    assert_true(fault_run("dial a name", dial_once, &named, NULL) > 0);
    assert_true(fault_run("dial a path", dial_once, &un, NULL) > 0);
    fake_names_end();
    peer_close(&p);
    peer_close(&local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_family_connects),
        cmocka_unit_test(a_unix_socket_connects),
        cmocka_unit_test(unix_failures_say_why),
        cmocka_unit_test(a_full_unix_queue_is_waited_for),
        cmocka_unit_test(refusal_names_host_and_port),
        cmocka_unit_test(families_take_turns),
        cmocka_unit_test(after_a_refusal_the_next_at_once),
        cmocka_unit_test(after_a_late_refusal_too),
        cmocka_unit_test(silence_is_waited_for_250_ms),
        cmocka_unit_test(the_deadline_ends_all_attempts),
        cmocka_unit_test(the_telling_error_is_kept),
        cmocka_unit_test(a_signal_ends_it_only_where_asked),
        cmocka_unit_test(cancelled_while_it_connects),
        cmocka_unit_test(without_descriptors),
        cmocka_unit_test(every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
