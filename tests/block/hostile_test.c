/* hostile_test.c: two thousand peers that do none of their part, each in a way of its own, while others are
 * served. Each must be ended by the server, by the bound that is set for it, and leave nothing behind. */
#include "block_test.h"
#include "lib/certs.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <thrum/tls.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PEERS = 240 };
#else
enum { PEERS = 2000 };
#endif
enum { SPAN_MS = 1500, TICK_MS = 20, GIVE_UP_MS = 40000 };

static const char request[] =
    "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

enum kind {
    SILENT,        /* says nothing */
    DRIPS,         /* the handshake, a byte now and then (slowloris) */
    ENDLESS_HEAD,  /* header fields without end */
    HALF_CLOSES,   /* half a handshake and the end of its stream, but it stays */
    RESETS,        /* half a handshake and RST */
    TALKS_RUBBISH, /* what is no HTTP and no TLS */
    NEVER_READS,   /* sends messages, and takes no echo */
    FALLS_ASLEEP,  /* opens, and answers no ping */
    NEVER_LEAVES,  /* says Close, and stays */
    KINDS,
    TLS_KINDS = NEVER_READS /* those before make sense over TLS, too */
};

struct hostile {
    int fd; /* -1: ended */
    enum kind kind;
    bool tls;
    size_t at;
    bool asked;
};
static struct hostile all[PEERS];

static int dial(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    while (connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        if (errno != EINTR)
            return -1;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(struct hostile *h, const void *p, size_t n)
{
    (void)send(h->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void reset(struct hostile *h)
{
    const struct linger at_once = {1, 0};
    (void)setsockopt(h->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(h->fd);
    h->fd = -1;
}

/* What each kind does on a tick. */
static void act(struct hostile *h)
{
    static const uint8_t message[2000] = {0x82, 0xfe, 0x07, 0xc8},
                         closing[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    const char *text = h->tls ? hello : request;
    const size_t n = h->tls ? sizeof hello - 1 : sizeof request - 1;
    const bool first = !h->asked;
    h->asked = true;
    switch (h->kind) {
    case DRIPS:
        say(h, text + h->at % n, h->at + 1 < n);
        h->at++;
        break;
    case ENDLESS_HEAD: say(h, first ? request : "X-More: and more\r\n", first ? 40 : 18); break;
    case HALF_CLOSES:
        if (first) {
            say(h, text, n / 2);
            (void)shutdown(h->fd, SHUT_WR);
        }
        break;
    case RESETS:
        if (first)
            say(h, text, n / 2);
        else
            reset(h);
        break;
    case TALKS_RUBBISH: say(h, first ? "\x01\x02\x03nonsense" : "", first ? 11 : 0); break;
    case NEVER_READS:
        if (first)
            say(h, request, n);
        for (int i = 0; i < 100; i++) { /* more than any socket buffer holds, soon */
            const size_t from = h->at % sizeof message;
            const ssize_t k = send(h->fd, message + from, sizeof message - from, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (k <= 0)
                break;
            h->at += (size_t)k;
        }
        break;
    case FALLS_ASLEEP: say(h, request, first ? n : 0); break;
    case NEVER_LEAVES:
        say(h, first ? (const void *)request : closing, first ? n : h->at++ == 0 ? sizeof closing : 0);
        break;
    default: break;
    }
}

/* Has the server ended it? Those that read nothing look at the socket's state only. */
static bool has_ended(struct hostile *h)
{
    char trash[2048];
    struct pollfd v = {.fd = h->fd, .events = POLLIN | POLLRDHUP};
    if (h->fd < 0)
        return true;
    if (poll(&v, 1, 0) <= 0)
        return false;
    ssize_t k = h->kind == NEVER_READS ? -1 : recv(h->fd, trash, sizeof trash, MSG_DONTWAIT);
    const bool ended =
        (v.revents & (POLLERR | POLLHUP)) || k == 0 || (h->kind == NEVER_READS && (v.revents & POLLRDHUP));
    if (ended) {
        close(h->fd);
        h->fd = -1;
    }
    return ended;
}

static size_t round_of_all(void)
{
    size_t left = 0;
    for (size_t i = 0; i < PEERS; i++) {
        if (all[i].fd >= 0)
            act(&all[i]);
        left += !has_ended(&all[i]);
    }
    return left;
}

/* ---- the others -----------------------------------------------------------------------------------------
 */

static void echo(thrum_conn *c, void *arg)
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

struct good {
    const char *url;
    _Atomic bool stop;
    unsigned echoes;
    bool failed;
};

/* New connections all the time, and an echo on each. */
static void *be_good(void *arg)
{
    struct good *g = arg;
    const char *ca = certs_usual()->authority.cert;
    while (!atomic_load(&g->stop) && !g->failed) {
        thrum_conn *c;
        thrum_message m;
        thrum_status s =
            thrum_connect(&c, g->url, THRUM_CLIENT(.tls = THRUM_TLS(.ca = ca, .ca_len = strlen(ca))), NULL);
        s = s ? s : thrum_send(c, THRUM_TEXT, "hello", 5);
        s = s ? s : thrum_recv(c, &m, PEER_MS);
        g->failed = s != THRUM_OK || m.len != 5;
        if (s == THRUM_OK)
            thrum_message_release(&m);
        thrum_conn_free(c);
        g->echoes++;
    }
    return NULL;
}

static thrum_server *serve(const char *url, const thrum_tls_options *tls)
{
    thrum_server *s;
    thrum_error e;
    if (thrum_serve(&s, url,
                    THRUM_SERVER(.serve = echo, .tls = tls, .stack_size = 256 * 1024, .open_timeout = SPAN_MS,
                                 .close_timeout = SPAN_MS, .send_timeout = SPAN_MS,
                                 .ping_interval = SPAN_MS / 2, .ping_timeout = SPAN_MS / 2,
                                 .compression = THRUM_OFF),
                    &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return s;
}

/* R27, R28, R33: bounds in time and room, and nobody else is harmed. */
static void test_R33_two_thousand_hostile_peers(void **state)
{
    const struct cert *k = &certs_usual()->server;
    struct rlimit files;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    thrum_server *plain = serve("ws://127.0.0.1:0/", NULL),
                 *tls = serve("wss://127.0.0.1:0/", THRUM_TLS(.cert = k->cert, .cert_len = strlen(k->cert),
                                                              .key = k->key, .key_len = strlen(k->key)));
    struct good good[2] = {{.url = thrum_server_url(plain)}, {.url = thrum_server_url(tls)}};
    pthread_t t[2];
    const int threads = thrum_library_threads(), descriptors = fault_open_descriptors();
    for (size_t i = 0; i < PEERS; i++) {
        const bool over_tls = i % 2 == 1;
        all[i] =
            (struct hostile){.kind = (enum kind)(i / 2 % (over_tls ? TLS_KINDS : KINDS)), .tls = over_tls};
        all[i].fd = dial(thrum_server_port(over_tls ? tls : plain));
        assert_true(all[i].fd >= 0);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, be_good, &good[i]), 0);
    size_t left = PEERS;
    const int64_t from = clock_now(), until = clock_after(from, GIVE_UP_MS);
    while (left > 0 && clock_now() < until) {
        left = round_of_all();
        nanosleep(&(struct timespec){0, TICK_MS * 1000000}, NULL);
    }
    for (int i = 0; i < 2; i++)
        atomic_store(&good[i].stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    size_t by_kind[KINDS] = {0};
    for (size_t i = 0; i < PEERS; i++)
        by_kind[all[i].kind] += all[i].fd >= 0;
    for (int i = 0; i < KINDS; i++)
        if (by_kind[i] > 0)
            fail_msg("%zu of kind %d are not ended", by_kind[i], i);
    print_message("%d hostile peers ended in %d ms; meanwhile %u and %u others were served\n", PEERS,
                  (int)((clock_now() - from) / 1000000), good[0].echoes, good[1].echoes);
    assert_false(good[0].failed || good[1].failed);
    assert_true(good[0].echoes > 5 && good[1].echoes > 5);
    await(thrum_library_threads() <= threads + 1); /* the warden may be there */
    await(fault_open_descriptors() <= descriptors + 4);
    thrum_server_free(plain);
    thrum_server_free(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_R33_two_thousand_hostile_peers)};
    return cmocka_run_group_tests(tests, NULL, all_threads_end);
}
