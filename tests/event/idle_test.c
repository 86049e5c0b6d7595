/* idle_test.c: what a connection that does nothing costs of the library's memory, to the byte, before and
 * after it was used; bench/run-idle asks the system the same, for every server, in pages. */
#include "driven.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    CROWD = 1000,
    SIZE = 1024,
    HEADER = 8 /* what glibc needs beside the bytes of a block */
};

struct crowd {
    struct stage x;
    struct peer p[CROWD];
    uint8_t text[SIZE], frame[SIZE + 32];
    size_t n;
};

static long in_use(void)
{
    return atomic_load(&memory.bytes) + HEADER * atomic_load(&memory.live);
}

static void echo(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s;
    assert_status(thrum_send(c, m->kind, m->data, m->len), THRUM_OK);
}

/* The message as one stored block (RFC 1951, 3.2.4) and the beginning of the next, of which RFC 7692 leaves
 * out the rest. */
static size_t stored(uint8_t *to, const uint8_t *text)
{
    const uint8_t head[5] = {0, SIZE & 0xff, SIZE >> 8, (uint8_t) ~(SIZE & 0xff), (uint8_t) ~(SIZE >> 8)};
    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, text, SIZE);
    to[sizeof head + SIZE] = 0;
    return sizeof head + SIZE + 1;
}

static void one_echo(struct crowd *w, struct peer *p)
{
    uint8_t back[SIZE + 64];
    size_t len;
    peer_give(w->x.l, p, w->frame, w->n);
    uint8_t first = peer_frame(w->x.l, p, back, sizeof back, &len);
    assert_int_equal(first, w->frame[0]);
    if ((first & 0x40) == 0)
        assert_memory_equal(back, w->text, SIZE);
}

/* The loop's tables go by descriptor: the peers' are not to lie between its own. */
static void put_away(struct peer *p)
{
    int fd = fcntl(p->fd, F_DUPFD_CLOEXEC, CROWD + 100);
    assert_true(fd >= 0);
    close(p->fd);
    p->fd = fd;
}

static void crowd_up(struct crowd *w, bool deflate)
{
    uint8_t block[SIZE + 8];
    char head[2048];
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < SIZE; i++)
        w->text[i] = (uint8_t)('a' + i * i % 23 % 26);
    w->n = deflate ? frame_of(w->frame, 0xc1, block, stored(block, w->text), true)
                   : frame_of(w->frame, 0x81, w->text, SIZE, true);
    w->x.spy.on_message = echo;
    stage_up(&w->x, THRUM_SERVER(.max_conns = CROWD + 1, .ping_interval = THRUM_FOREVER, .compress_idle = 200,
                                 .compression = deflate ? THRUM_ON : THRUM_OFF));
    if (!deflate)
        one_echo(w, &w->x.p); /* what a loop makes for the first message */
    turn_out(w->x.l);
    const long before = in_use();
    for (int i = 0; i < CROWD; i++) {
        peer_asks(w->x.l, w->x.s, &w->p[i], "/",
                  deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
        put_away(&w->p[i]);
        peer_hears(w->x.l, &w->p[i], "101", head, sizeof head);
        assert_int_equal(deflate, strstr(head, "permessage-deflate") != NULL);
    }
    turn_out(w->x.l);
    const long each = (in_use() - before) / CROWD;
    print_message("%ld bytes a connection\n", each);
    assert_in_range(each, 100, deflate ? 512 : 240);
}

/* All are in the midst of it at once, and each of them more than once. */
static void echo_all(struct crowd *w)
{
    uint8_t back[SIZE + 64];
    size_t len;
    for (int i = 0; i < CROWD; i++)
        peer_give(w->x.l, &w->p[i], w->frame, w->n / 2);
    for (int i = 0; i < CROWD; i++)
        peer_give(w->x.l, &w->p[i], w->frame + w->n / 2, w->n - w->n / 2);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(peer_frame(w->x.l, &w->p[i], back, sizeof back, &len), w->frame[0]);
    for (int i = 0; i < CROWD; i++)
        one_echo(w, &w->p[i]);
}

static void crowd_down(struct crowd *w)
{
    stage_down(&w->x);
    for (int i = 0; i < CROWD; i++)
        peer_close(&w->p[i]);
}

static struct crowd crowd;

static void test_plain(void **state)
{
    (void)state;
    crowd_up(&crowd, false);
    const long quiet = in_use();
    echo_all(&crowd);
    turn_until(crowd.x.l, in_use() <= quiet);
    crowd_down(&crowd);
}

static void test_deflate(void **state)
{
    (void)state;
    crowd_up(&crowd, true);
    const long quiet = in_use();
    echo_all(&crowd);
    codec_trim(); /* the codecs are the process's, and may be kept for the next message, whoever's it is */
    turn_until(crowd.x.l, in_use() <= quiet);
    crowd_down(&crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_plain),
        clean_test(test_deflate),
    };
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_max < 2 * CROWD + 100)
        return 77;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    return run_on_backend(tests);
}
