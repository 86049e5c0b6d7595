/* serve_test.c: what a server reads of its options, where it listens, and what it puts on a connection. */
#include "conn/serve.h"
#include "net/tls_pair.h"
#include <stdio.h>
#include <sys/stat.h>

#define assert_status(call, want)                                                                            \
    do {                                                                                                     \
        thrum_status got_ = (call);                                                                          \
        if (got_ != (want))                                                                                  \
            fail_msg("%s: %s, not %s: %s", #call, thrum_status_name(got_), thrum_status_name(want),          \
                     err.text);                                                                              \
    } while (0)
#define SERVER_TLS THRUM_TLS(OURS(&certs_usual()->server))

static struct shared_settings *with(const thrum_server_options *o)
{
    struct shared_settings *ss = settings_share();
    assert_non_null(ss);
    assert_status(serve_settings(ss, o, &err), THRUM_OK);
    return ss;
}

/* Refused, with a reason that says this, and nothing is kept. */
static void refused(const thrum_server_options *o, thrum_status want, const char *says)
{
    struct leaks before = leaks_before();
    struct shared_settings *ss = settings_share();
    memset(&err, 0, sizeof err);
    assert_status(serve_settings(ss, o, &err), want);
    assert_status(err.status, want);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say %s", err.text, says);
    assert_null(ss->tls);
    settings_unshare(ss);
    leaks_none(before);
}

/* ---- options ------------------------------------------------------------------------------------------- */

static void test_options(void **state)
{
    (void)state;
    struct leaks before = leaks_before();
    struct shared_settings *ss = with(NULL);
    assert_int_equal(ss->s.backlog, 511);
    assert_null(ss->tls);
    settings_unshare(ss);
    ss = with(THRUM_SERVER(.backlog = 7, .realm = "here"));
    assert_int_equal(ss->s.backlog, 7);
    assert_string_equal(ss->s.realm, "here");
    assert_null(ss->tls);
    settings_unshare(ss);
    leaks_none(before);
}

static void test_options_with_tls(void **state)
{
    (void)state;
    (void)certs_usual();
    struct leaks before = leaks_before();
    struct shared_settings *ss = with(THRUM_SERVER(.tls = SERVER_TLS));
    assert_true(tls_has_certificate(ss->tls));
    settings_unshare(ss);
    leaks_none(before);
    /* Shared: it is the same, and ours as long as we need it. */
    thrum_tls *t = made(SERVER_TLS);
    ss = with(THRUM_SERVER(.tls_shared = t));
    struct shared_settings *more = with(THRUM_SERVER(.tls_shared = t));
    thrum_tls_free(t);
    assert_ptr_equal(ss->tls, t);
    assert_ptr_equal(more->tls, t);
    settings_unshare(ss);
    assert_true(tls_has_certificate(more->tls));
    settings_unshare(more);
    leaks_none(before);
}

static void test_options_refused(void **state)
{
    struct {
        thrum_server_options o;
        uint64_t more;
    } newer = {.o = {.size = sizeof newer}, .more = 1};
    const char *const hosts[] = {"a b", NULL};
    (void)state;
    thrum_tls *t = made(SERVER_TLS);
    refused(THRUM_SERVER(.backlog = 65536), THRUM_E_ARGUMENT, ".backlog");
    refused(THRUM_SERVER(.realm = "kept", .hosts = hosts, .tls_shared = t), THRUM_E_ARGUMENT, "a b");
    refused(&(const thrum_server_options){.size = 9}, THRUM_E_ARGUMENT, ".size");
    refused(&newer.o, THRUM_E_TOO_NEW, "does not know");
    refused(THRUM_SERVER(.tls = SERVER_TLS, .tls_shared = t), THRUM_E_ARGUMENT, ".tls_shared");
    refused(THRUM_SERVER(.realm = "kept", .tls = THRUM_TLS(.cert_file = "/nowhere/c.pem")),
            THRUM_E_CERTIFICATE, "/nowhere/c.pem");
    thrum_tls_free(t);
}

/* ---- where it listens ---------------------------------------------------------------------------------- */

static struct listener l;

static void cannot(const char *url, const struct shared_settings *ss, thrum_status want, const char *says)
{
    int open = fault_open_descriptors();
    memset(&err, 0, sizeof err);
    assert_status(serve_listen(&l, url, ss, false, &err), want);
    assert_status(err.status, want);
    if (!strstr(err.text, says))
        fail_msg("\"%s\" does not say %s", err.text, says);
    assert_status(serve_listen(&l, url, ss, false, NULL), want);
    assert_int_equal(fault_open_descriptors(), open);
}

static void test_urls(void **state)
{
    char longer[400];
    (void)state;
    struct shared_settings *ss = with(NULL);
    cannot(NULL, ss, THRUM_E_ARGUMENT, "cannot listen at \"\": the URL is NULL");
    cannot("", ss, THRUM_E_ARGUMENT, "cannot listen at \"\": ");
    cannot("http://h/", ss, THRUM_E_ARGUMENT, "cannot listen at \"http://h/\": ");
    cannot("ws://h:65536/", ss, THRUM_E_ARGUMENT, "65536");
    cannot("ws://h\n/", ss, THRUM_E_ARGUMENT, "\"ws://h\\n/\""); /* no line of its own in a log */
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    cannot(longer, ss, THRUM_E_ARGUMENT, "xxxx");
    assert_true(strlen(err.text) < sizeof longer);
    cannot("ws://192.0.2.77:0/", ss, THRUM_E_CONNECT, "192.0.2.77"); /* not ours */
    settings_unshare(ss);
}

static void test_tls_as_the_url_says(void **state)
{
    static const char needs[] = "wss:// needs a certificate", not_wss[] = "not one of wss://";
    (void)state;
    struct shared_settings *plain = with(NULL), *tls = with(THRUM_SERVER(.tls = SERVER_TLS)),
                           *bare = with(THRUM_SERVER(.tls = THRUM_TLS(.alpn = "http/1.1")));
    cannot("wss://127.0.0.1:0/", plain, THRUM_E_CERTIFICATE, needs);
    cannot("wss://127.0.0.1:0/", bare, THRUM_E_CERTIFICATE, needs); /* a client's: without one */
    cannot("ws://127.0.0.1:0/", tls, THRUM_E_ARGUMENT, not_wss);
    cannot("ws://127.0.0.1:0/", bare, THRUM_E_ARGUMENT, not_wss);
    cannot("ws+unix:/nowhere/s", tls, THRUM_E_ARGUMENT, not_wss);
    assert_status(serve_listen(&l, "wss://127.0.0.1:0/", tls, false, &err), THRUM_OK);
    assert_memory_equal(l.url, "wss://127.0.0.1:", 16);
    listen_close(&l, true);
    settings_unshare(plain);
    settings_unshare(tls);
    settings_unshare(bare);
}

/* Somebody comes in. */
static void visit(void)
{
    struct pollfd p = {.fd = l.fds[0], .events = POLLIN};
    struct peer visitor;
    assert_true(l.port ? peer_connect(&visitor, AF_INET, l.port) : peer_connect_unix(&visitor, l.path));
    assert_int_equal(poll(&p, 1, PEER_MS), 1);
    int fd = listen_accept_fd(&l, l.fds[0]);
    assert_true(fd >= 0);
    close(fd);
    peer_close(&visitor);
}

static int asked_backlog;

static int watched_listen(int fd, int backlog)
{
    asked_backlog = backlog;
    return sys_real.listen(fd, backlog);
}

static void test_it_listens(void **state)
{
    struct listener other;
    (void)state;
    struct leaks before = leaks_before();
    struct shared_settings *ss = with(THRUM_SERVER(.backlog = 23));
    sys.listen = watched_listen;
    assert_status(serve_listen(&l, "ws://127.0.0.1:0/", ss, false, &err), THRUM_OK);
    sys.listen = sys_real.listen;
    assert_int_equal(asked_backlog, 23);
    visit();
    struct listener first = l; /* what is tried next comes in its place */
    cannot(first.url, ss, THRUM_E_CONNECT, "in use");
    listen_close(&first, true);
    settings_unshare(ss);
    leaks_none(before);
    /* With the port to share there may be two. */
    ss = with(NULL);
    assert_status(serve_listen(&l, "ws://127.0.0.1:0/", ss, true, &err), THRUM_OK);
    assert_status(serve_listen(&other, l.url, ss, true, &err), THRUM_OK);
    assert_int_equal(other.port, l.port);
    listen_close(&other, true);
    listen_close(&l, true);
    settings_unshare(ss);
}

static void test_a_path(void **state)
{
    char dir[] = "/tmp/thrum-serve-XXXXXX", url[96], path[64];
    struct listener first;
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(url, sizeof url, "ws+unix:%s", path);
    struct shared_settings *removes = with(NULL), *keeps = with(THRUM_SERVER(.unlink_socket = THRUM_OFF));
    assert_status(serve_listen(&l, url, removes, false, &err), THRUM_OK);
    visit();
    first = l;
    cannot(url, removes, THRUM_E_CONNECT, "in use");
    listen_close(&first, false); /* as a server that has crashed leaves it */
    assert_int_equal(stat(path, &st), 0);
    cannot(url, keeps, THRUM_E_CONNECT, "in use");
    assert_status(serve_listen(&l, url, removes, false, &err), THRUM_OK);
    visit();
    listen_close(&l, true);
    assert_int_equal(rmdir(dir), 0);
    settings_unshare(removes);
    settings_unshare(keeps);
}

/* A name that nobody answers for is waited for as long as open_timeout says, and no longer. */
static void test_a_name(void **state)
{
    static const char *const hosts[] = {"127.0.0.1"};
    (void)state;
    fake_names_set(hosts, 1, 0);
    struct shared_settings *ss = with(THRUM_SERVER(.open_timeout = THRUM_FOREVER));
    assert_status(serve_listen(&l, "ws://name.test:0/", ss, false, &err), THRUM_OK);
    visit();
    listen_close(&l, true);
    settings_unshare(ss);
    fake_names.gated = true;
    ss = with(THRUM_SERVER(.open_timeout = 1));
    assert_status(serve_listen(&l, "ws://name.test:0/", ss, false, &err), THRUM_E_TIMEOUT);
    sem_post(&fake_names.gate);
    settings_unshare(ss);
    fake_names_end();
}

/* ---- what is put on a connection ----------------------------------------------------------------------- */

/* A socket's end that says it is somebody. */
struct known {
    struct stream s; /* first */
    struct stream *real;
    const char *who;
    int frees;
};

static struct known *known_of(struct stream *s)
{
    return (struct known *)(void *)s;
}

static ssize_t known_read(struct stream *s, const struct iovec *v, int n)
{
    struct stream *real = known_of(s)->real;
    return real->ops->read(real, v, n);
}

static ssize_t known_write(struct stream *s, const struct iovec *v, int n)
{
    struct stream *real = known_of(s)->real;
    return real->ops->write(real, v, n);
}

static void known_describe(const struct stream *s, char *text, size_t cap)
{
    snprintf(text, cap, "%s", ((const struct known *)(const void *)s)->who);
}

static void known_free(struct stream *s)
{
    struct known *k = known_of(s);
    k->frees++;
    if (k->real)
        k->real->ops->free(k->real);
    k->real = NULL;
}

static const struct stream_ops known_ops = {
    .read = known_read, .write = known_write, .describe = known_describe, .free = known_free};
static struct known known;

static struct stream *known_as(const char *who, int fd)
{
    known = (struct known){.s = {.ops = &known_ops}, .who = who, .real = fd < 0 ? NULL : on_fd(fd)};
    return &known.s;
}

static void is_described(const struct stream *s, const char *who)
{
    char text[128];
    s->ops->describe(s, text, sizeof text);
    assert_string_equal(text, who);
}

static void test_nothing_is_asked_for(void **state)
{
    static const char *const proxies[] = {"192.0.2.1", NULL};
    (void)state;
    for (int i = 0; i < 2; i++) { /* who is trusted does not matter without the protocol */
        struct shared_settings *ss = with(i ? THRUM_SERVER(.trusted_proxies = proxies) : NULL);
        struct stream *s = known_as("192.0.2.9:1", -1);
        assert_status(serve_wrap(&s, ss, &err), THRUM_OK);
        assert_ptr_equal(s, &known.s);
        assert_int_equal(known.frees, 0);
        settings_unshare(ss);
    }
}

/* Only the trusted may come at all: anybody else could say that he is anybody. */
static void test_whom_a_header_is_taken_from(void **state)
{
    static const char *const proxies[] = {"192.0.2.0/25", "2001:db8::/32", "198.51.100.7", NULL},
                             *const local[] = {"unix", NULL};
    static const struct {
        const char *who;
        bool by_address, local;
    } all[] = {
        {"192.0.2.0:1", true, false},
        {"192.0.2.127:65535", true, false},
        {"192.0.2.128:1", false, false},
        {"192.0.1.255:1", false, false},
        {"198.51.100.7:443", true, false},
        {"198.51.100.8:443", false, false},
        {"[2001:db8::9]:80", true, false},
        {"[2001:db9::9]:80", false, false},
        {"[::ffff:192.0.2.5]:7", true, false},
        {"unix", false, true},
        {"unix:/run/p", false, true},
        {"", false, false},
        {"nonsense", false, false},
    };
    (void)state;
    for (int by = 0; by < 2; by++) {
        struct shared_settings *ss =
            with(THRUM_SERVER(.proxy_protocol = THRUM_ON, .trusted_proxies = by ? local : proxies));
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            struct leaks before = leaks_before();
            struct stream *s = known_as(all[i].who, -1);
            bool good = by ? all[i].local : all[i].by_address;
            memset(&err, 0, sizeof err);
            assert_status(serve_wrap(&s, ss, &err), good ? THRUM_OK : THRUM_E_HANDSHAKE);
            assert_int_equal(known.frees, !good);
            if (good) {
                assert_ptr_equal(s->below, &known.s);
                is_described(s, all[i].who); /* until the header has come */
                s->ops->free(s);
                assert_int_equal(known.frees, 1);
            } else {
                assert_null(s);
                assert_memory_equal(err.text, all[i].who, strlen(all[i].who));
                assert_non_null(strstr(err.text, ".trusted_proxies"));
            }
            leaks_none(before);
        }
        settings_unshare(ss);
    }
}

static void test_the_header(void **state)
{
    static const char *const proxies[] = {"192.0.2.1", NULL};
    static const char text[] = "PROXY TCP4 203.0.113.9 192.0.2.2 56324 443\r\nhello";
    char in[16];
    int fds[2];
    (void)state;
    struct shared_settings *ss = with(THRUM_SERVER(.proxy_protocol = THRUM_ON, .trusted_proxies = proxies));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct stream *s = known_as("192.0.2.1:9", fds[0]);
    assert_status(serve_wrap(&s, ss, &err), THRUM_OK);
    assert_int_equal(send(fds[1], text, sizeof text - 1, 0), sizeof text - 1);
    assert_int_equal(get(s, in, sizeof in), 5);
    assert_memory_equal(in, "hello", 5);
    is_described(s, "203.0.113.9:56324");
    s->ops->free(s);
    assert_int_equal(known.frees, 1);
    close(fds[1]);
    settings_unshare(ss);
}

/* TLS, and TLS behind a header: that comes first, and outside of it. */
static void talk_through_tls(bool proxied)
{
    static const char *const proxies[] = {"192.0.2.1", NULL};
    static const char text[] = "PROXY TCP6 2001:db8::7 ::1 9 443\r\n";
    struct tls_pair p = {NULL, NULL};
    char in[16];
    int fds[2];
    thrum_tls *client = made(THRUM_TLS(TRUSTED));
    struct shared_settings *ss = with(THRUM_SERVER(.tls = SERVER_TLS, .trusted_proxies = proxies,
                                                   .proxy_protocol = proxied ? THRUM_ON : THRUM_OFF));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    p.server = known_as("192.0.2.1:9", fds[0]);
    assert_status(serve_wrap(&p.server, ss, &err), THRUM_OK);
    assert_ptr_not_equal(p.server, &known.s);
    if (proxied)
        assert_int_equal(send(fds[1], text, sizeof text - 1, 0), sizeof text - 1);
    assert_status(stream_tls_client(&p.client, on_fd(fds[1]), client, slice("localhost"), 443, false, &err),
                  THRUM_OK);
    assert_shaken(&p);
    assert_int_equal(put(p.client, "secret", 6), 6);
    assert_int_equal(get(p.server, in, sizeof in), 6);
    assert_memory_equal(in, "secret", 6);
    is_described(p.server, proxied ? "[2001:db8::7]:9" : "192.0.2.1:9");
    pair_end(&p);
    assert_int_equal(known.frees, 1);
    settings_unshare(ss);
    thrum_tls_free(client);
}

static void test_tls(void **state)
{
    (void)state;
    talk_through_tls(false);
    talk_through_tls(true);
}

/* Who may not come is not even shaken hands with. */
static void test_tls_for_the_trusted(void **state)
{
    static const char *const proxies[] = {"192.0.2.1", NULL};
    (void)state;
    struct shared_settings *ss =
        with(THRUM_SERVER(.tls = SERVER_TLS, .trusted_proxies = proxies, .proxy_protocol = THRUM_ON));
    struct stream *s = known_as("192.0.2.3:9", -1);
    assert_status(serve_wrap(&s, ss, &err), THRUM_E_HANDSHAKE);
    assert_null(s);
    assert_int_equal(known.frees, 1);
    settings_unshare(ss);
}

/* ---- faults -------------------------------------------------------------------------------------------- */

/* From the options to the stack of streams, with each allocation and each call failing in turn. */
static void serve_once(struct fault_report *r, void *arg)
{
    static const char *const proxies[] = {"192.0.2.1", NULL};
    struct listener mine = {.spare = -1};
    thrum_error e = {0};
    (void)arg;
    struct shared_settings *ss = settings_share();
    if (!ss) {
        e = (thrum_error){.status = THRUM_E_MEMORY, .text = "no settings"};
        (void)fault_note(r, "settings_share", THRUM_E_MEMORY, &e);
        return;
    }
    const thrum_server_options *o = THRUM_SERVER(.tls = SERVER_TLS, .trusted_proxies = proxies,
                                                 .proxy_protocol = THRUM_ON, .realm = "here");
    if (fault_note(r, "serve_settings", serve_settings(ss, o, &e), &e) == THRUM_OK) {
        if (fault_note(r, "serve_listen", serve_listen(&mine, "wss://127.0.0.1:0/", ss, false, &e), &e) ==
            THRUM_OK)
            listen_close(&mine, true);
        struct stream *s = known_as("192.0.2.1:9", -1);
        if (fault_note(r, "serve_wrap", serve_wrap(&s, ss, &e), &e) == THRUM_OK)
            s->ops->free(s);
        else
            (void)fault_check(r, s == NULL, "a stream is left");
        (void)fault_check(r, known.frees == 1, "the stream below is not freed once");
    }
    settings_unshare(ss);
}

static void test_under_faults(void **state)
{
    (void)state;
    (void)certs_usual();
    assert_true(fault_run("serve", serve_once, NULL, NULL) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_options_with_tls),
        cmocka_unit_test(test_options_refused),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_tls_as_the_url_says),
        cmocka_unit_test(test_it_listens),
        cmocka_unit_test(test_a_path),
        cmocka_unit_test(test_a_name),
        cmocka_unit_test(test_nothing_is_asked_for),
        cmocka_unit_test(test_whom_a_header_is_taken_from),
        cmocka_unit_test(test_the_header),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_tls_for_the_trusted),
        cmocka_unit_test(test_under_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
