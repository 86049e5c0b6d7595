/* fault_test.c: every allocation and every system call of a scenario made to fail, each in turn, once and for
 * ever (tests/lib/fault.h): nothing leaks, hangs or crashes, and every failure says why. The peer is made of
 * bytes. */
#include "../block/block_test.h"

enum { SHORT_MS = 2000 };

/* ---- the client: connect, echo, close, against a server of raw bytes ---- */
static void *raw_server(void *arg)
{
    struct peer *p = arg;
    char head[4096], value[29], answer[256];
    const char *key;
    uint8_t h[6], payload[125];
    if (peer_read_until(p, head, sizeof head, "\r\n\r\n") < 0 || !(key = strstr(head, "Sec-WebSocket-Key: ")))
        return NULL;
    key += strlen("Sec-WebSocket-Key: ");
    accept_value(value, key, strcspn(key, "\r"));
    snprintf(
        answer, sizeof answer,
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
        value);
    if (!peer_puts(p, answer))
        return NULL;
    /* Echoes small frames until Close or the end. */
    while (peer_read(p, h, 6) && peer_read(p, payload, h[1] & 0x7f)) {
        size_t n = h[1] & 0x7f;
        for (size_t i = 0; i < n; i++)
            payload[i] ^= h[2 + i % 4];
        uint8_t head2[2] = {h[0], (uint8_t)n};
        if (!peer_write(p, head2, 2) || !peer_write(p, payload, n) || h[0] == 0x88)
            break;
    }
    peer_half_close(p);
    (void)peer_drain(p, NULL);
    return NULL;
}

static void use(struct fault_report *r, thrum_conn *c, bool client)
{
    thrum_message m;
    thrum_error e;
    thrum_status s = THRUM_OK;
    if (client)
        s = thrum_send(c, THRUM_TEXT, "hello", 5);
    if (s == THRUM_OK)
        s = thrum_recv(c, &m, SHORT_MS);
    if (s == THRUM_OK) {
        fault_check(r, m.len == 5 && memcmp(m.data, "hello", 5) == 0, "the echo is what was sent");
        if (!client)
            s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
    }
    if (s == THRUM_OK)
        s = client ? thrum_close(c, 1000, "done") : thrum_recv(c, &m, SHORT_MS);
    if (s == THRUM_E_CLOSED && !client)
        s = THRUM_OK;
    if (s != THRUM_OK)
        fault_note(r, "use", s, NULL);
    thrum_conn_error(c, &e); /* a question that is always answered */
    fault_check(r, e.status == THRUM_OK || e.text[0], "an end has a reason in words");
}

static void client_scenario(struct fault_report *r, void *arg)
{
    struct peer p;
    thrum_conn *c;
    thrum_error e;
    pthread_t t;
    int ours;
    if (!fault_check(r, peer_pair(&p, *(int *)arg, &ours), "a pair of sockets"))
        return;
    pthread_create(&t, NULL, raw_server, &p);
    if (fault_note(r, "connect",
                   thrum_connect_fd(&c, ours, "ws://f.test/", THRUM_CLIENT(.close_timeout = 300), &e),
                   &e) == THRUM_OK)
        use(r, c, true);
    thrum_conn_free(c);
    pthread_join(t, NULL);
    peer_close(&p);
}

/* ---- the server: accept, echo, close, against a client of raw bytes ---- */
static void *raw_client_main(void *arg)
{
    struct peer *p = arg;
    char head[4096];
    static const uint8_t hello[] = {0x81, 0x85, 1, 2, 3, 4, 'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1},
                         bye[] = {0x88, 0x82, 0, 0, 0, 0, 3, 0xe8};
    uint8_t echo[7];
    if (peer_puts(p, "GET / HTTP/1.1\r\nHost: f\r\nUpgrade: websocket\r\nConnection: "
                     "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n") &&
        peer_read_until(p, head, sizeof head, "\r\n\r\n") > 0 && strstr(head, " 101 ") &&
        peer_write(p, hello, sizeof hello) && peer_read(p, echo, sizeof echo))
        (void)!peer_write(p, bye, sizeof bye);
    (void)peer_drain(p, NULL);
    return NULL;
}

static void server_scenario(struct fault_report *r, void *arg)
{
    struct peer p;
    thrum_conn *c;
    thrum_error e;
    pthread_t t;
    int ours;
    if (!fault_check(r, peer_pair(&p, *(int *)arg, &ours), "a pair of sockets"))
        return;
    pthread_create(&t, NULL, raw_client_main, &p);
    if (fault_note(r, "accept", thrum_accept_fd(&c, ours, THRUM_SERVER(.close_timeout = 300), &e), &e) ==
        THRUM_OK)
        use(r, c, false);
    thrum_conn_free(c);
    peer_half_close(&p); /* where a fault has kept the client from going on */
    pthread_join(t, NULL);
    peer_close(&p);
}

static void run(const char *name, fault_scenario fn, int family)
{
    int points = fault_run(name, fn, &family, &(struct fault_options){.own_thread = true});
    print_message("%s: %d points\n", name, points);
    assert_true(points > 20);
}

static void test_client(void **state)
{
    (void)state;
    run("client", client_scenario, AF_UNIX);
}

static void test_server(void **state)
{
    (void)state;
    run("server", server_scenario, AF_UNIX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client),
        cmocka_unit_test(test_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
