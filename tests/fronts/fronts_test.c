/* fronts_test.c: two real ends: blocking clients, each in a thread of its own, against loops, and a loop's
 * clients against a blocking server. */
#include "block/block_test.h"
#include "loop/poller.h"
#include <errno.h>
#include <thrum/loop.h>

enum { CLIENTS = 12, ROUNDS = 30, LOOPS = 3 };

/* ---- a listener of the library's own loops ---- */

static struct {
    _Atomic int opens, closes;
} seen;

static void hall_open(thrum_conn *c, void *arg)
{
    (void)arg;
    seen.opens++;
    assert_status(thrum_subscribe(c, "all"), THRUM_OK);
}

static void hall_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)arg;
    assert_status(thrum_send(c, m->kind, m->data, m->len), THRUM_OK);
}

static void hall_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)c, (void)why, (void)arg;
    seen.closes++;
}

static const thrum_handlers hall = {
    .size = sizeof hall, .on_open = hall_open, .on_message = hall_message, .on_close = hall_close};

static thrum_listener *open_hall(const int *fds)
{
    thrum_listener *s;
    thrum_error e;
    const thrum_server_options o = {.size = sizeof o, .handlers = &hall, .fds = fds, .send_high = 8 << 20};
    if (thrum_serve_loops(&s, LOOPS, "ws://127.0.0.1:0/", &o, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return s;
}

static thrum_conn *join(const char *url, thrum_switch compression)
{
    thrum_conn *c;
    thrum_error e;
    if (thrum_connect(&c, url, THRUM_CLIENT(.compression = compression), &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return c;
}

/* ---- echoes of all sizes, compressed and not, by many at once ---- */

static void *echo_main(void *arg)
{
    static const size_t sizes[] = {0, 1, 125, 126, 4000, 8192, 8193, 65535, 65536, 200000, 900000};
    const char *url = arg;
    static _Atomic int which;
    thrum_conn *c = join(url, which++ % 2 ? THRUM_ON : THRUM_OFF);
    uint8_t *data = malloc(900000);
    for (size_t i = 0; i < 900000; i++)
        data[i] = (uint8_t)('a' + i * i % 26);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        thrum_message m;
        assert_status(thrum_send(c, THRUM_TEXT, data, sizes[k]), THRUM_OK);
        assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
        assert_int_equal(m.len, sizes[k]);
        assert_memory_equal(m.data, data, sizes[k]);
        thrum_message_release(&m);
        assert_status(thrum_ping(c, NULL, 0, PEER_MS), THRUM_OK);
    }
    free(data);
    assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    thrum_conn_free(c);
    return NULL;
}

static void test_echoes(void **state)
{
    pthread_t t[CLIENTS];
    (void)state;
    seen.opens = seen.closes = 0;
    thrum_listener *s = open_hall(NULL);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, echo_main, (void *)(uintptr_t)thrum_listener_url(s)), 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(t[i], NULL);
    await(seen.closes == CLIENTS);
    assert_int_equal(seen.opens, CLIENTS);
    thrum_listener_free(s);
}

/* ---- publications from several threads reach all of all loops, each thread's in order ---- */

struct editor {
    thrum_listener *s;
    char name;
};

static void *publish_main(void *arg)
{
    const struct editor *e = arg;
    char text[16];
    for (int i = 0; i < ROUNDS; i++) {
        int n = snprintf(text, sizeof text, "%c%d", e->name, i);
        assert_status(thrum_publish(e->s, "all", THRUM_TEXT, text, (size_t)n), THRUM_OK);
    }
    return NULL;
}

static void hear_all(thrum_conn *c, int editors)
{
    int next[8] = {0};
    for (int i = 0; i < editors * ROUNDS; i++) {
        thrum_message m;
        assert_status(thrum_recv(c, &m, PEER_MS), THRUM_OK);
        assert_int_equal(atoi((const char *)m.data + 1), next[m.data[0] - 'a']++);
        thrum_message_release(&m);
    }
}

static void test_publications(void **state)
{
    enum { EDITORS = 3 };
    struct editor e[EDITORS];
    pthread_t t[EDITORS];
    thrum_conn *c[CLIENTS];
    (void)state;
    seen.opens = seen.closes = 0;
    thrum_listener *s = open_hall(NULL);
    for (int i = 0; i < CLIENTS; i++)
        c[i] = join(thrum_listener_url(s), i % 2 ? THRUM_ON : THRUM_OFF);
    await(seen.opens == CLIENTS);
    assert_int_equal(thrum_subscribers(s, "all"), CLIENTS);
    for (int i = 0; i < EDITORS; i++) {
        e[i] = (struct editor){s, (char)('a' + i)};
        assert_int_equal(pthread_create(&t[i], NULL, publish_main, &e[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        hear_all(c[i], EDITORS);
    for (int i = 0; i < EDITORS; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < CLIENTS; i++)
        thrum_conn_free(c[i]);
    thrum_listener_free(s);
    assert_int_equal(seen.closes, CLIENTS);
}

/* ---- draining, as the clients see it; and the sockets handed over meanwhile ---- */

static _Atomic bool stop;
static _Atomic int joined, refused;

static void *come_and_go(void *arg)
{
    const char *url = arg;
    while (!stop) {
        thrum_conn *c;
        thrum_error e;
        thrum_message m;
        if (thrum_connect(&c, url, NULL, &e) != THRUM_OK) {
            fprintf(stderr, "refused: %s\n", e.text);
            refused++;
            continue;
        }
        joined++;
        thrum_status s = thrum_send(c, THRUM_TEXT, "hello", 5);
        s = s ? s : thrum_recv(c, &m, PEER_MS);
        if (s == THRUM_OK) {
            thrum_message_release(&m);
        } else {                           /* the old one says that it restarts, whenever it does */
            (void)thrum_close(c, 0, NULL); /* to its end */
            thrum_conn_error(c, &e);
            if (e.close_code != 1012)
                fprintf(stderr, "%s: not 1012: %s %d \"%s\" os %d by_peer %d\n", thrum_status_name(s),
                        thrum_status_name(e.status), e.close_code, e.text, e.os_errno, e.by_peer);
            refused += e.close_code != 1012;
        }
        thrum_conn_free(c);
    }
    return NULL;
}

static void test_handing_over(void **state)
{
    enum { COMERS = 4, TIMES = 5 };
    pthread_t t[COMERS];
    char url[64];
    (void)state;
    thrum_listener *s = open_hall(NULL);
    snprintf(url, sizeof url, "%s", thrum_listener_url(s));
    stop = false;
    joined = refused = 0;
    for (int i = 0; i < COMERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, come_and_go, url), 0);
    for (int k = 0; k < TIMES; k++) {
        int fds[LOOPS + 1], had = joined;
        await(joined > had + 20);
        assert_int_equal(thrum_listener_fds(s, fds, LOOPS), LOOPS);
        fds[LOOPS] = -1;
        thrum_listener *next = open_hall(fds);
        assert_status(thrum_listener_drain(s, 1012, PEER_MS, NULL, NULL), THRUM_OK);
        assert_status(thrum_listener_wait(s, PEER_MS), THRUM_OK);
        thrum_listener_free(s);
        s = next;
    }
    int had = joined;
    await(joined > had + 20);
    stop = true;
    for (int i = 0; i < COMERS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(refused, 0);
    thrum_listener_free(s);
}

static void test_drain(void **state)
{
    thrum_conn *c[CLIENTS];
    thrum_error e;
    thrum_message m;
    (void)state;
    seen.opens = seen.closes = 0;
    thrum_listener *s = open_hall(NULL);
    for (int i = 0; i < CLIENTS; i++)
        c[i] = join(thrum_listener_url(s), THRUM_DEFAULT);
    await(seen.opens == CLIENTS);
    assert_status(thrum_listener_drain(s, 0, PEER_MS, NULL, NULL), THRUM_OK);
    for (int i = 0; i < CLIENTS; i++) {
        assert_status(thrum_recv(c[i], &m, PEER_MS), THRUM_E_CLOSED);
        thrum_conn_error(c[i], &e);
        assert_int_equal(e.close_code, 1001);
        thrum_conn_free(c[i]);
    }
    assert_status(thrum_listener_wait(s, PEER_MS), THRUM_OK);
    assert_int_equal(seen.closes, CLIENTS);
    assert_int_equal(thrum_connect(&c[0], thrum_listener_url(s), NULL, &e) == THRUM_OK, 0);
    thrum_listener_free(s);
}

/* ---- a loop's clients, a blocking server ---- */

static void serve_echo(thrum_conn *c, void *arg)
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

struct asker {
    int echoes, closes;
    uint8_t *data;
};

static void ask(thrum_conn *c, struct asker *a)
{
    static const size_t sizes[] = {5, 5000, 100000, 700000};
    if ((size_t)a->echoes == sizeof sizes / sizeof sizes[0])
        assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    else
        assert_status(thrum_send(c, THRUM_BINARY, a->data, sizes[a->echoes]), THRUM_OK);
}

static void asker_open(thrum_conn *c, void *arg)
{
    ask(c, arg);
}

static void asker_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct asker *a = arg;
    assert_memory_equal(m->data, a->data, m->len);
    a->echoes++;
    ask(c, a);
}

static void asker_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct asker *a = arg;
    (void)c;
    assert_int_equal(why->status, THRUM_E_CLOSED);
    assert_int_equal(why->close_code, 1000);
    a->closes++;
}

static void test_loop_clients(void **state)
{
    static const thrum_handlers asking = {
        .size = sizeof asking, .on_open = asker_open, .on_message = asker_message, .on_close = asker_close};
    struct asker a[CLIENTS] = {0};
    uint8_t *data = malloc(700000);
    thrum_server *s;
    thrum_loop *l;
    (void)state;
    for (size_t i = 0; i < 700000; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    assert_status(thrum_serve(&s, "ws://127.0.0.1:0/", THRUM_SERVER(.serve = serve_echo), NULL), THRUM_OK);
    assert_status(thrum_loop_new(&l, NULL), THRUM_OK);
    for (int i = 0; i < CLIENTS; i++) {
        a[i].data = data;
        assert_status(thrum_open(l, thrum_server_url(s), NULL, &asking, &a[i], NULL, NULL), THRUM_OK);
    }
    assert_status(thrum_loop_run(l, PEER_MS), THRUM_OK);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(a[i].echoes, 4);
        assert_int_equal(a[i].closes, 1);
    }
    assert_status(thrum_loop_free(l), THRUM_OK);
    thrum_server_free(s);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echoes),       cmocka_unit_test(test_publications),
        cmocka_unit_test(test_drain),        cmocka_unit_test(test_handing_over),
        cmocka_unit_test(test_loop_clients),
    };
    struct poller *p = NULL;
    int e = poller_new_loop(&p, NULL);
    poller_free(p);
    if (e == ENOSYS) {
        printf("skipped: this machine has no %s\n", getenv("THRUM_BACKEND"));
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, all_threads_end);
}
