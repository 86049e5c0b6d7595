/* Twin of src/net/listen.c. */
#include "net/listen.h"
#include "net_test.h"
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static thrum_error err;
static struct listener l;

static thrum_status open_tcp(const char *host, uint16_t port)
{
    struct uri u = uri_tcp(host, port);
    return listen_open(&l, &u, 16, false, false, soon(), &err);
}

static thrum_status open_unix(const char *path, bool may_unlink)
{
    struct uri u = uri_unix(path);
    return listen_open(&l, &u, 16, false, may_unlink, soon(), &err);
}

/* Waits until one of the sockets has a connection, and takes it. */
static struct stream *accept_one(void)
{
    struct pollfd p[4];
    struct stream *s = NULL;
    for (int i = 0; i < l.n; i++)
        p[i] = (struct pollfd){.fd = l.fds[i], .events = POLLIN};
    assert_true(poll(p, (nfds_t)l.n, PEER_MS) > 0);
    for (int i = 0; i < l.n && s == NULL; i++)
        if (p[i].revents != 0)
            assert_int_equal(listen_accept(&l, l.fds[i], &s), 0);
    assert_non_null(s);
    return s;
}

static void talk(struct peer *p)
{
    struct stream *s = accept_one();
    char b = 'k', text[160];
    struct iovec v = {&b, 1};
    assert_true((fcntl(s->ops->fd(s), F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(s->ops->fd(s), F_GETFL) & O_NONBLOCK) != 0);
    s->ops->describe(s, text, sizeof text);
    assert_int_equal(strncmp(text, l.port ? "127.0.0.1:" : "unix", 4) == 0 || strncmp(text, "[::1]:", 6) == 0,
                     1);
    assert_int_equal(s->ops->write(s, &v, 1), 1);
    b = 0;
    assert_true(peer_read(p, &b, 1));
    assert_int_equal(b, 'k');
    s->ops->free(s);
    peer_close(p);
}

static void check_url(const char *format)
{
    char url[64];
    assert_true(l.port != 0);
    snprintf(url, sizeof url, format, (unsigned)l.port);
    assert_string_equal(l.url, url);
}

static void reach(int family)
{
    struct peer p;
    assert_true(peer_connect(&p, family, l.port));
    talk(&p);
}

static void each_family_listens(void **state)
{
    struct leaks before = leaks_before();
    (void)state;
    assert_int_equal(open_tcp("127.0.0.1", 0), THRUM_OK);
    assert_int_equal(l.n, 1);
    check_url("ws://127.0.0.1:%u/");
    reach(AF_INET);
    listen_close(&l, true);
    listen_close(&l, true); /* again: fine */
    assert_int_equal(open_tcp("0.0.0.0", 0), THRUM_OK);
    check_url("ws://127.0.0.1:%u/");
    reach(AF_INET);
    listen_close(&l, true);
    if (peer_has_ipv6()) {
        assert_int_equal(open_tcp("::1", 0), THRUM_OK);
        check_url("ws://[::1]:%u/");
        reach(AF_INET6);
        listen_close(&l, true);
        assert_int_equal(open_tcp("::", 0), THRUM_OK);
        check_url("ws://[::1]:%u/");
        reach(AF_INET6);
        listen_close(&l, true);
    }
    leaks_none(before);
}

static void star_is_every_address(void **state)
{
    struct leaks before = leaks_before();
    (void)state;
    assert_int_equal(open_tcp("*", 0), THRUM_OK);
    assert_int_equal(l.n, 1);
    check_url("ws://127.0.0.1:%u/");
    reach(AF_INET);
    if (peer_has_ipv6())
        reach(AF_INET6);
    listen_close(&l, true);
    leaks_none(before);
}

static void localhost_is_both_on_one_port(void **state)
{
    struct leaks before = leaks_before();
    (void)state;
    assert_int_equal(open_tcp("localhost", 0), THRUM_OK);
    assert_int_equal(l.n, peer_has_ipv6() ? 2 : 1);
    check_url("ws://127.0.0.1:%u/");
    reach(AF_INET);
    if (peer_has_ipv6())
        reach(AF_INET6);
    listen_close(&l, true);
    leaks_none(before);
}

static int missing_family;
static int socket_without_family(int domain, int type, int protocol)
{
    if (domain != missing_family)
        return sys_real.socket(domain, type, protocol);
    errno = EAFNOSUPPORT;
    return -1;
}

static void without_a_family_the_other_will_do(void **state)
{
    struct leaks before = leaks_before();
    (void)state;
    sys.socket = socket_without_family;
    missing_family = AF_INET6;
    assert_int_equal(open_tcp("*", 0), THRUM_OK);
    assert_int_equal(l.n, 1);
    reach(AF_INET);
    listen_close(&l, true);
    assert_int_equal(open_tcp("localhost", 0), THRUM_OK);
    assert_int_equal(l.n, 1);
    listen_close(&l, true);
    assert_int_equal(open_tcp("::1", 0), THRUM_E_CONNECT);
    assert_int_equal(err.os_errno, EAFNOSUPPORT);
    missing_family = AF_INET;
    if (peer_has_ipv6()) {
        assert_int_equal(open_tcp("localhost", 0), THRUM_OK);
        assert_int_equal(l.n, 1);
        check_url("ws://[::1]:%u/");
        listen_close(&l, true);
    }
    sys = sys_real;
    leaks_none(before);
}

static int binds, binds_taken;
static int bind_second_taken(int fd, const struct sockaddr *a, socklen_t n)
{
    binds++;
    if (a->sa_family != AF_INET6 || binds_taken-- <= 0)
        return sys_real.bind(fd, a, n);
    errno = EADDRINUSE;
    return -1;
}

static void a_number_taken_on_one_family_is_picked_anew(void **state)
{
    struct leaks before = leaks_before();
    (void)state;
    if (!peer_has_ipv6())
        skip();
    sys.bind = bind_second_taken;
    binds = 0;
    binds_taken = 15;
    assert_int_equal(open_tcp("localhost", 0), THRUM_OK);
    assert_int_equal(l.n, 2);
    assert_int_equal(binds, 32);
    listen_close(&l, true);
    binds_taken = 16;
    assert_int_equal(open_tcp("localhost", 0), THRUM_E_CONNECT);
    assert_int_equal(err.os_errno, EADDRINUSE);
    sys = sys_real;
    leaks_none(before);
}

static void a_port_in_use_is_named(void **state)
{
    struct leaks before = leaks_before();
    struct listener other;
    struct peer p;
    char port[40];
    (void)state;
    assert_true(peer_listen(&p, AF_INET, 4));
    assert_int_equal(open_tcp("127.0.0.1", p.port), THRUM_E_CONNECT);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.spare, -1);
    snprintf(port, sizeof port, "127.0.0.1:%u is in use", (unsigned)p.port);
    assert_non_null(strstr(err.text, port));
    peer_close(&p);
    assert_int_equal(open_tcp("192.0.2.1", 0), THRUM_E_CONNECT); /* not an address of this machine */
    assert_int_equal(err.os_errno, EADDRNOTAVAIL);
    struct uri u = uri_tcp("127.0.0.1", 0);
    assert_int_equal(listen_open(&other, &u, 1, true, false, soon(), &err), THRUM_OK);
    u.port = other.port; /* shared where both ask for it */
    assert_int_equal(listen_open(&l, &u, 1, true, false, soon(), &err), THRUM_OK);
    listen_close(&other, true);
    listen_close(&l, true);
    leaks_none(before);
}

static char dir[64], path[107];
static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/thrum-listen-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
}

static bool there(void)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void a_unix_socket_comes_and_goes(void **state)
{
    struct leaks before = leaks_before();
    struct peer p;
    char url[160];
    (void)state;
    make_dir();
    assert_int_equal(open_unix(path, false), THRUM_OK);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.port, 0);
    assert_string_equal(l.path, path);
    snprintf(url, sizeof url, "ws+unix:%s", path);
    assert_string_equal(l.url, url);
    assert_true(peer_connect_unix(&p, path));
    talk(&p);
    listen_close(&l, true);
    assert_false(there());
    assert_int_equal(open_unix(path, false), THRUM_OK);
    listen_close(&l, false); /* as in a child of fork */
    assert_true(there());
    assert_int_equal(unlink(path), 0);
    rmdir(dir);
    leaks_none(before);
}

static void a_stale_socket_file(void **state)
{
    struct leaks before = leaks_before();
    struct listener living;
    (void)state;
    make_dir();
    assert_int_equal(open_unix(path, false), THRUM_OK);
    living = l;
    assert_int_equal(open_unix(path, true), THRUM_E_CONNECT); /* it answers: never removed */
    assert_non_null(strstr(err.text, "in use"));
    listen_close(&living, false);
    assert_int_equal(open_unix(path, false), THRUM_E_CONNECT); /* stale, but we were not told to */
    assert_non_null(strstr(err.text, path));
    assert_true(there());
    assert_int_equal(open_unix(path, true), THRUM_OK);
    listen_close(&l, true);
    assert_false(there());
    rmdir(dir);
    leaks_none(before);
}

static void a_file_that_is_no_socket_stays(void **state)
{
    struct leaks before = leaks_before();
    (void)state;
    make_dir();
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(open_unix(path, true), THRUM_E_CONNECT);
    assert_non_null(strstr(err.text, "not a socket"));
    assert_true(there());
    unlink(path);
    rmdir(dir);
    assert_int_equal(open_unix(path, true), THRUM_E_CONNECT); /* no such directory */
    assert_int_equal(err.os_errno, ENOENT);
    leaks_none(before);
}

static void long_unix_paths(void **state)
{
    char name[120];
    (void)state;
    memset(name, 'x', sizeof name);
    memcpy(name, "/tmp/", 5);
    name[108] = '\0';
    assert_int_equal(open_unix(name, true), THRUM_E_ARGUMENT);
    assert_non_null(strstr(err.text, "107"));
    name[107] = '\0';
    assert_int_equal(open_unix(name, true), THRUM_OK);
    assert_string_equal(l.path, name);
    listen_close(&l, true);
    char coded[3 * 90 + 6] = "/tmp/"; /* short once decoded, but the URL must hold it as it stands */
    for (int i = 0; i < 90; i++)
        strcat(coded, "%78");
    assert_int_equal(open_unix(coded, true), THRUM_E_ARGUMENT);
}

/* At the limit of descriptors: one connection is turned away, the call does not report it again (so no spin),
 * and when there is room the next is accepted. */
static void no_descriptor_left(void **state)
{
    struct leaks before = leaks_before();
    struct rlimit old, tight;
    struct peer shed, next;
    struct stream *s;
    (void)state;
    assert_int_equal(open_tcp("127.0.0.1", 0), THRUM_OK);
    assert_true(peer_connect(&shed, AF_INET, l.port));
    int highest = dup(0); /* the lowest free number: all below it are taken */
    close(highest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)highest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int r = listen_accept(&l, l.fds[0], &s);
    int spare = l.spare;
    int r2 = listen_accept(&l, l.fds[0], &s);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(r, -EMFILE);
    assert_null(s);
    assert_true(spare >= 0); /* kept back again */
    assert_int_equal(r2, -EAGAIN);
    assert_int_equal(peer_drain(&shed, NULL), 0); /* the peer knows */
    peer_close(&shed);
    assert_true(peer_connect(&next, AF_INET, l.port));
    talk(&next);
    listen_close(&l, true);
    leaks_none(before);
}

static int no_eventfd(unsigned value, int flags)
{
    (void)value;
    (void)flags;
    errno = EMFILE;
    return -1;
}

static int accept_error, accept_errors;
static int accept_failing(int fd, struct sockaddr *a, socklen_t *n, int flags)
{
    if (accept_errors-- <= 0)
        return sys_real.accept4(fd, a, n, flags);
    errno = accept_error;
    return -1;
}

static void the_spare_may_be_lost_and_found(void **state)
{
    struct leaks before = leaks_before();
    struct peer p;
    struct stream *s;
    (void)state;
    assert_int_equal(open_tcp("127.0.0.1", 0), THRUM_OK);
    assert_true(peer_connect(&p, AF_INET, l.port));
    sys.accept4 = accept_failing;
    accept_error = ENFILE;
    accept_errors = 2; /* also the accept of the shedding */
    sys.eventfd = no_eventfd;
    assert_int_equal(listen_accept(&l, l.fds[0], &s), -ENFILE);
    assert_int_equal(l.spare, -1);
    sys.eventfd = sys_real.eventfd;
    accept_errors = 1;
    assert_int_equal(listen_accept(&l, l.fds[0], &s), -ENFILE);
    assert_true(l.spare >= 0);
    talk(&p); /* it was never shed */
    sys = sys_real;
    listen_close(&l, true);
    leaks_none(before);
}

static void the_dead_in_the_queue_are_passed_over(void **state)
{
    static const int deaths[] = {ECONNABORTED, EINTR,     EPROTO,       ENETDOWN,
                                 ENOPROTOOPT,  EHOSTDOWN, EHOSTUNREACH, ENETUNREACH};
    struct leaks before = leaks_before();
    struct peer p;
    struct stream *s;
    (void)state;
    assert_int_equal(open_tcp("127.0.0.1", 0), THRUM_OK);
    assert_int_equal(listen_accept(&l, l.fds[0], &s), -EAGAIN);
    sys.accept4 = accept_failing;
    for (size_t i = 0; i < sizeof deaths / sizeof deaths[0]; i++) {
        accept_error = deaths[i];
        accept_errors = 1000; /* an endless row of them does not keep us */
        assert_int_equal(listen_accept(&l, l.fds[0], &s), -EAGAIN);
        accept_errors = 3;
        assert_true(peer_connect(&p, AF_INET, l.port));
        talk(&p);
    }
    accept_error = EINVAL;
    accept_errors = 1;
    assert_int_equal(listen_accept(&l, l.fds[0], &s), -EINVAL);
    sys = sys_real;
    listen_close(&l, true);
    leaks_none(before);
}

/* Listens, takes one connection, stops. */
static void serve_once(struct fault_report *r, void *arg)
{
    thrum_error e = {0};
    struct listener a;
    struct peer p;
    struct stream *s = NULL;
    thrum_status st = listen_open(&a, arg, 16, true, true, soon(), &e);
    if (fault_note(r, "listen_open", st, &e) != THRUM_OK) {
        fault_check(r, a.n == 0 && a.spare == -1 && a.path[0] == '\0', "a failed listener holds something");
        return;
    }
    const struct uri *u = arg;
    bool ok = u->local ? peer_connect_unix(&p, a.path) : peer_connect(&p, AF_INET, a.port);
    if (fault_check(r, ok, "the listener is not reached")) {
        int k = listen_accept(&a, a.fds[0], &s);
        fault_check(r, k <= 0 && (k == 0) == (s != NULL), "result and stream do not agree");
        fault_check(r, k == 0 || !r->harmless, "nothing was accepted");
        if (s != NULL)
            s->ops->free(s);
    }
    peer_close(&p);
    listen_close(&a, true);
}

static void every_failure(void **state)
{
    struct uri one = uri_tcp("127.0.0.1", 0), any = uri_tcp("*", 0), un;
    (void)state;
    make_dir();
    un = uri_unix(path);
    assert_true(fault_run("listen on an address", serve_once, &one, NULL) > 0);
    assert_true(fault_run("listen on a path", serve_once, &un, NULL) > 0);
    assert_true(fault_run("listen on *", serve_once, &any, NULL) > 0);
    assert_false(there());
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_family_listens),
        cmocka_unit_test(star_is_every_address),
        cmocka_unit_test(localhost_is_both_on_one_port),
        cmocka_unit_test(without_a_family_the_other_will_do),
        cmocka_unit_test(a_number_taken_on_one_family_is_picked_anew),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_unix_socket_comes_and_goes),
        cmocka_unit_test(a_stale_socket_file),
        cmocka_unit_test(a_file_that_is_no_socket_stays),
        cmocka_unit_test(long_unix_paths),
        cmocka_unit_test(no_descriptor_left),
        cmocka_unit_test(the_spare_may_be_lost_and_found),
        cmocka_unit_test(the_dead_in_the_queue_are_passed_over),
        cmocka_unit_test(every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
