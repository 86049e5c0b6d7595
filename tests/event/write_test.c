/* write_test.c: messages to the wire: what leaves together, what is too large for that, and what happens
 * where the peer does not read. */
#include "secure.h"
#include "wire/frame.h"
#include <netinet/in.h>
#include <netinet/tcp.h>

/* ---- calls of the system, counted and made to fail ---- */

static struct wire {
    int calls;     /* of send and sendmsg */
    int more;      /* of these with MSG_MORE */
    int pushes;    /* TCP_NODELAY was set */
    int fails, of; /* so many more of them fail, with this errno */
    size_t most;   /* bytes that each takes at most; 0: all */
} wire;

static bool wire_fails(void)
{
    wire.calls++;
    if (wire.fails == 0)
        return false;
    wire.fails--;
    errno = wire.of;
    return true;
}

static ssize_t counted_send(int fd, const void *p, size_t n, int flags)
{
    if (wire_fails())
        return -1;
    wire.more += (flags & MSG_MORE) != 0;
    return sys_real.send(fd, p, wire.most && n > wire.most ? wire.most : n, flags);
}

static ssize_t counted_sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (wire_fails())
        return -1;
    wire.more += (flags & MSG_MORE) != 0;
    struct msghdr one = *m;
    struct iovec v = m->msg_iov[0];
    if (wire.most) {
        v.iov_len = v.iov_len > wire.most ? wire.most : v.iov_len;
        one.msg_iov = &v;
        one.msg_iovlen = 1;
    }
    return sys_real.sendmsg(fd, &one, flags);
}

static int counted_setsockopt(int fd, int level, int name, const void *v, socklen_t n)
{
    wire.pushes += level == IPPROTO_TCP && name == TCP_NODELAY;
    return sys_real.setsockopt(fd, level, name, v, n);
}

static void wire_counts(void)
{
    wire = (struct wire){0};
    sys.setsockopt = counted_setsockopt;
    sys.send = counted_send;
    sys.sendmsg = counted_sendmsg;
}

/* ---- sizes ---- */

static uint8_t pattern[200000];

static void fill_pattern(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)('a' + i % 23);
}

static void hears_pattern(struct stage *x, uint8_t first, size_t n)
{
    static uint8_t got[sizeof pattern + 1];
    size_t len;
    assert_int_equal(peer_frame(x->l, &x->p, got, sizeof got, &len), first);
    assert_int_equal(len, n);
    assert_memory_equal(got, pattern, n);
}

static const size_t sizes[] = {0,     1,     125,   126,   1024,  1025,  8192,  8193,
                               16370, 16384, 16385, 65535, 65536, 66000, 200000};

/* Each size by itself, and all of them in one turn, in order. */
static void test_sizes(void **state)
{
    struct stage x = {0};
    (void)state;
    fill_pattern();
    stage_up(&x, THRUM_SERVER(.send_high = 4 << 20));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_status(thrum_send(x.spy.c, THRUM_BINARY, pattern, sizes[i]), THRUM_OK);
        hears_pattern(&x, 0x82, sizes[i]);
    }
    for (size_t i = 0; i < COUNT(sizes); i++)
        assert_status(thrum_send(x.spy.c, i % 2 ? THRUM_TEXT : THRUM_BINARY, pattern, sizes[i]), THRUM_OK);
    for (size_t i = 0; i < COUNT(sizes); i++)
        hears_pattern(&x, i % 2 ? 0x81 : 0x82, sizes[i]);
    turn_until(x.l, thrum_conn_pending(x.spy.c) == 0);
    assert_int_equal(counted(x.spy.c, messages_out), 2 * COUNT(sizes));
    stage_down(&x);
}

static void send_all(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s;
    if (m->len != 2)
        return;
    for (size_t i = 0; i < COUNT(sizes); i++)
        assert_status(thrum_send(c, THRUM_BINARY, pattern, sizes[i]), THRUM_OK);
}

/* The same from within a callback, and with a system that takes seven bytes at a time: the order stays. */
static void test_sizes_in_a_callback(void **state)
{
    (void)state;
    fill_pattern();
    for (int slow = 0; slow < 2; slow++) {
        struct stage x = {.spy = {.on_message = send_all}};
        stage_up(&x, THRUM_SERVER(.send_high = 4 << 20));
        wire_counts();
        wire.most = slow ? 777 : 0;
        peer_text(x.l, &x.p, "go");
        for (size_t i = 0; i < COUNT(sizes); i++)
            hears_pattern(&x, 0x82, sizes[i]);
        sys = sys_real;
        stage_down(&x);
    }
}

/* The same as a client, whose frames are masked. */
static void test_sizes_of_a_client(void **state)
{
    thrum_loop *l = loop_up();
    struct spy server = {0}, client = {.on_message = send_all};
    (void)state;
    fill_pattern();
    thrum_listener *s = THRUM_LISTEN(l, &server, .compression = THRUM_OFF);
    assert_status(thrum_open(l, thrum_listener_url(s), THRUM_CLIENT(.send_high = 4 << 20), &spying, &client,
                             NULL, NULL),
                  THRUM_OK);
    turn_until(l, server.c && client.c);
    assert_null(thrum_conn_extensions(client.c));
    assert_status(thrum_send(server.c, THRUM_TEXT, "go", 2), THRUM_OK);
    turn_until(l, server.messages == COUNT(sizes));
    size_t sum = 0;
    for (size_t i = 0; i < COUNT(sizes); i++)
        sum += sizes[i];
    assert_int_equal(server.bytes, sum);
    loop_down(l);
    thrum_listener_free(s);
}

/* ---- what leaves together ---- */

static void send_many(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s;
    (void)m;
    for (int i = 0; i < 100; i++)
        assert_status(thrum_send(c, THRUM_TEXT, "0123456789", 10), THRUM_OK);
    assert_int_equal(wire.calls, 0);
    assert_int_equal(thrum_conn_pending(c), 1200);
}

static void test_one_call_for_all_of_a_turn(void **state)
{
    struct stage x = {.spy = {.on_message = send_many}};
    uint8_t got[1200];
    (void)state;
    stage_up(&x, NULL);
    turn_out(x.l);
    wire_counts();
    peer_text(x.l, &x.p, "go");
    peer_get(x.l, &x.p, got, sizeof got);
    assert_int_equal(wire.calls, 1);
    assert_int_equal(thrum_conn_pending(x.spy.c), 0);
    stage_down(&x);
}

enum { LARGE = 9000 };
static void answer_at_length(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s;
    if (m->data[0] == '?')
        assert_status(thrum_send(c, THRUM_BINARY, pattern, LARGE), THRUM_OK);
}

/* Large answers to messages of one read fill segments together; what is held back for that goes when no more
 * answers come, and not only when the kernel loses patience. */
static void test_large_answers_of_one_read(void **state)
{
    static const struct {
        const char *said;
        int answers, more, pushes;
    } cases[] = {{"?", 1, 0, 0},   {"???", 3, 2, 0}, {"??.", 2, 2, 1},
                 {"?..", 1, 1, 1}, {".?", 1, 0, 0},  {"...", 0, 0, 0}};
    struct stage x = {.spy = {.on_message = answer_at_length}};
    (void)state;
    fill_pattern();
    stage_up(&x, NULL);
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t said[64];
        size_t n = 0;
        for (const char *p = cases[i].said; *p; p++)
            n += frame_of(said + n, 0x81, p, 1, true);
        const unsigned before = x.spy.messages;
        wire_counts();
        peer_give(x.l, &x.p, said, n);
        turn_until(x.l, x.spy.messages == before + strlen(cases[i].said));
        for (int a = 0; a < cases[i].answers; a++)
            hears_pattern(&x, 0x82, LARGE);
        assert_int_equal(wire.calls, cases[i].answers);
        assert_int_equal(wire.more, cases[i].more);
        assert_int_equal(wire.pushes, cases[i].pushes);
        sys = sys_real;
    }
    stage_down(&x);
}

static void say_goodbye(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    answer_at_length(s, c, m);
    if (m->data[0] == 'c')
        assert_status(thrum_close(c, 1000, NULL), THRUM_OK);
    lconn_goodbye((struct lconn *)(void *)c, 1001);
    const struct thrum_loop *l = ((struct lconn *)(void *)c)->home->loop;
    assert_false(l->held || l->more);
}

/* A callback that ends the program does not come back to push anything. */
static void test_a_goodbye_is_not_held_back(void **state)
{
    static const char *const said[] = {"..", "?.", "c."};
    (void)state;
    fill_pattern();
    for (size_t i = 0; i < COUNT(said); i++) {
        struct stage x = {.spy = {.on_message = say_goodbye}};
        uint8_t two[32];
        stage_up(&x, NULL);
        size_t n = frame_of(two, 0x81, said[i], 1, true);
        n += frame_of(two + n, 0x81, said[i] + 1, 1, true);
        wire_counts();
        peer_give(x.l, &x.p, two, n);
        if (said[i][0] == '?')
            hears_pattern(&x, 0x82, LARGE);
        peer_hears_close(x.l, &x.p, said[i][0] == 'c' ? 1000 : 1001);
        sys = sys_real;
        stage_down(&x);
    }
}

/* More connections send in one turn than there may be chunks: those that waited longest leave first. */
enum { MANY = 3 * CHUNKS_MAX };
static thrum_conn *all[MANY];
static size_t nall;

static void keep(struct spy *s, thrum_conn *c)
{
    (void)s;
    all[nall++] = c;
}

static void send_to_all(void *arg)
{
    thrum_loop *l = arg;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < nall; i++) {
            assert_status(thrum_send(all[i], THRUM_TEXT, round ? "two" : "one", 3), THRUM_OK);
            assert_true(l->nout <= CHUNKS_MAX);
        }
}

static void test_many_in_one_turn(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {.on_open = keep};
    static struct peer p[MANY];
    (void)state;
    nall = 0;
    thrum_listener *s = THRUM_LISTEN(l, &spy);
    for (size_t i = 0; i < MANY; i++)
        peer_opens(l, s, &p[i]);
    turn_until(l, nall == MANY);
    assert_status(thrum_loop_after(l, 0, send_to_all, l, NULL), THRUM_OK);
    for (size_t i = 0; i < MANY; i++) {
        peer_hears_text(l, &p[i], "one");
        peer_hears_text(l, &p[i], "two");
    }
    assert_int_equal(l->nout, 0);
    loop_down(l);
    for (size_t i = 0; i < MANY; i++)
        peer_close(&p[i]);
    thrum_listener_free(s);
}

/* ---- parts and slices ---- */

static void test_parts(void **state)
{
    struct stage x = {0};
    const thrum_slice v[] = {{(const uint8_t *)"one ", 4}, {NULL, 0}, {(const uint8_t *)"two", 3}};
    (void)state;
    fill_pattern();
    stage_up(&x, NULL);
    assert_status(thrum_sendv(x.spy.c, THRUM_TEXT, v, 3), THRUM_OK);
    assert_status(thrum_sendv(x.spy.c, THRUM_TEXT, NULL, 0), THRUM_OK);
    peer_hears_text(x.l, &x.p, "one two");
    peer_hears_text(x.l, &x.p, "");
    assert_status(thrum_send_part(x.spy.c, THRUM_TEXT, "a\xc3", 2, false), THRUM_OK);
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "x", 1), THRUM_E_STATE);
    assert_status(thrum_send_part(x.spy.c, THRUM_BINARY, "x", 1, false), THRUM_E_STATE);
    assert_status(thrum_ping(x.spy.c, "p", 1, 0), THRUM_OK); /* may go between */
    assert_status(thrum_send_part(x.spy.c, THRUM_TEXT, "\xa4", 1, false), THRUM_OK);
    assert_status(thrum_send_part(x.spy.c, THRUM_TEXT, "", 0, true), THRUM_OK);
    peer_hears_frame(x.l, &x.p, 0x01, "a\xc3");
    peer_hears_frame(x.l, &x.p, 0x89, "p");
    peer_hears_frame(x.l, &x.p, 0x00, "\xa4");
    peer_hears_frame(x.l, &x.p, 0x80, "");
    peer_says(x.l, &x.p, 0x8a, "p", 1);
    turn_until(x.l, !inside(x.spy.c)->proto);
    assert_status(thrum_send_part(x.spy.c, THRUM_TEXT, "whole", 5, true), THRUM_OK);
    peer_hears_text(x.l, &x.p, "whole");
    const thrum_send_options more = {.size = sizeof more, .more = THRUM_ON}, plain = {.size = sizeof plain};
    assert_status(thrum_send_with(x.spy.c, THRUM_BINARY, v, 1, &more), THRUM_OK);
    assert_status(thrum_send_with(x.spy.c, THRUM_BINARY, v + 2, 1, &plain), THRUM_OK);
    peer_hears_frame(x.l, &x.p, 0x02, "one ");
    peer_hears_frame(x.l, &x.p, 0x80, "two");
    stage_down(&x);
}

/* A huge message sent in parts, against a peer that reads: the memory that it takes is that of one part. */
struct streaming {
    int left;
    long peak;
};

static void send_some(struct spy *s, thrum_conn *c)
{
    struct streaming *t = s->more;
    while (t->left > 0) {
        thrum_status st = thrum_send_part(c, THRUM_BINARY, pattern, 100000, t->left == 1);
        if (st == THRUM_E_FULL)
            return; /* on_drain goes on */
        assert_status(st, THRUM_OK);
        t->left--;
        if (atomic_load(&memory.bytes) > t->peak)
            t->peak = atomic_load(&memory.bytes);
    }
}

static void test_huge_in_parts(void **state)
{
    enum { PARTS = 500 };
    struct streaming t = {.left = PARTS};
    struct stage x = {.spy = {.on_drain = send_some, .more = &t}};
    static uint8_t got[100001];
    size_t n;
    (void)state;
    fill_pattern();
    stage_up(&x, THRUM_SERVER(.send_high = 256 * 1024));
    long rest = atomic_load(&memory.bytes);
    send_some(&x.spy, x.spy.c);
    for (int i = 0; i < PARTS; i++) {
        uint8_t first = peer_frame(x.l, &x.p, got, sizeof got, &n);
        assert_int_equal(first, (i == 0 ? 0x02 : 0) | (i == PARTS - 1 ? 0x80 : 0));
        assert_int_equal(n, 100000);
    }
    assert_true(x.spy.drains > 0);
    assert_true(t.peak - rest < 512 * 1024);
    stage_down(&x);
}

/* ---- what is not sent ---- */

static void test_not_text(void **state)
{
    struct stage x = {0};
    const thrum_slice cut[] = {{(const uint8_t *)"a\xc3", 2}, {(const uint8_t *)"b", 1}};
    (void)state;
    fill_pattern();
    pattern[150000] = 0xff;
    stage_up(&x, NULL);
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "\xff", 1), THRUM_E_UTF8);
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, pattern, 150001), THRUM_E_UTF8);
    assert_status(thrum_sendv(x.spy.c, THRUM_TEXT, cut, 2), THRUM_E_UTF8);
    assert_status(thrum_sendv(x.spy.c, THRUM_TEXT, cut, 1), THRUM_E_UTF8);
    assert_status(thrum_send_part(x.spy.c, THRUM_TEXT, "\xff", 1, false), THRUM_E_UTF8);
    assert_int_equal(thrum_conn_pending(x.spy.c), 0);
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "good", 4), THRUM_OK);
    peer_hears_text(x.l, &x.p, "good");
    stage_down(&x);
}

/* No memory for anything: the call says so, and nothing of the message is sent. */
static void test_no_memory(void **state)
{
    static const size_t lengths[] = {5, 9000, 100000};
    (void)state;
    fill_pattern();
    for (size_t i = 0; i < COUNT(lengths); i++)
        for (int parts = 0; parts < 2; parts++) {
            struct stage x = {0};
            stage_up(&x, NULL);
            turn_until(x.l, !inside(x.spy.c)->proto);
            chunks_trim(x.l, 0);
            memory_refuse_after(0);
            thrum_status s = parts ? thrum_send_part(x.spy.c, THRUM_BINARY, pattern, lengths[i], false)
                                   : thrum_send(x.spy.c, THRUM_BINARY, pattern, lengths[i]);
            memory_refuse_after(-1);
            if (s == THRUM_OK) { /* the kernel took it from where it was */
                assert_true(!parts && lengths[i] > QUICK_COPY_MAX);
                hears_pattern(&x, 0x82, lengths[i]);
            } else {
                assert_status(s, THRUM_E_MEMORY);
                turn_out(x.l);
                assert_true(x.spy.closes == 1 || thrum_send(x.spy.c, THRUM_TEXT, "on", 2) == THRUM_OK);
                if (x.spy.closes == 1)
                    assert_int_equal(x.spy.why.status, THRUM_E_MEMORY);
                else
                    peer_hears_text(x.l, &x.p, "on");
            }
            stage_down(&x);
        }
}

/* The rest of a message of which a part has left, and there is no memory to keep it: the frame is torn, so
 * that is the end, said as what it is. */
static void test_no_memory_for_the_rest(void **state)
{
    static const size_t lengths[] = {5, 9000, 100000};
    (void)state;
    fill_pattern();
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct stage x = {0};
        stage_up(&x, NULL);
        turn_until(x.l, !inside(x.spy.c)->proto);
        assert_status(thrum_send(x.spy.c, THRUM_TEXT, "warm", 4), THRUM_OK); /* the loop has a chunk */
        peer_hears_text(x.l, &x.p, "warm");
        wire_counts();
        wire.most = 3;
        memory_refuse_after(0);
        thrum_status s = thrum_send(x.spy.c, THRUM_BINARY, pattern, lengths[i]);
        turn_until(x.l, x.spy.closes == 1);
        memory_refuse_after(-1);
        assert_true(s == THRUM_OK || s == THRUM_E_MEMORY);
        assert_int_equal(x.spy.why.status, THRUM_E_MEMORY);
        sys = sys_real;
        stage_down(&x);
    }
}

/* ---- a peer that does not read ---- */

struct full {
    uint32_t when;
    const char *ends; /* what is heard */
};

static uint8_t load[10000];

/* Sends numbered messages until it is refused, or `most` have gone; how many were taken. */
static uint32_t stuff(struct stage *x, uint32_t from, uint32_t most, thrum_status *end)
{
    uint32_t n = from;
    *end = THRUM_OK;
    for (; n < most && *end == THRUM_OK; n += *end == THRUM_OK) {
        memcpy(load, &n, sizeof n);
        *end = thrum_send(x->spy.c, THRUM_BINARY, load, sizeof load);
        assert_true(thrum_conn_pending(x->spy.c) <= 100000 + sizeof load + FRAME_HEAD_MAX);
    }
    return n;
}

static uint32_t hears_number(struct stage *x)
{
    static uint8_t got[sizeof load + 1];
    size_t len;
    uint32_t n;
    assert_int_equal(peer_frame(x->l, &x->p, got, sizeof got, &len), 0x82);
    assert_int_equal(len, sizeof load);
    memcpy(&n, got, sizeof n);
    return n;
}

static void slow_stage(struct stage *x, uint32_t when, int64_t patience)
{
    *x = (struct stage){0};
    stage_up(x, THRUM_SERVER(.send_high = 100000, .send_low = 20000, .when_full = when,
                             .close_timeout = patience));
}

static void test_full_refuse(void **state)
{
    struct stage x;
    thrum_status end;
    (void)state;
    slow_stage(&x, THRUM_FULL_REFUSE, 50);
    long rest = atomic_load(&memory.bytes);
    uint32_t n = stuff(&x, 0, UINT32_MAX, &end);
    assert_status(end, THRUM_E_FULL);
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "x", 1), THRUM_E_FULL);
    assert_true(thrum_conn_pending(x.spy.c) >= 100000);
    assert_true(atomic_load(&memory.bytes) - rest < 100000 + 3 * (long)sizeof load);
    assert_int_equal(x.spy.drains, 0);
    peer_text(x.l, &x.p, "read on"); /* reading goes on */
    turn_until(x.l, x.spy.messages == 1);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(hears_number(&x), i);
    turn_until(x.l, x.spy.drains == 1);
    assert_true(thrum_conn_pending(x.spy.c) <= 20000);
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "again", 5), THRUM_OK);
    peer_hears_text(x.l, &x.p, "again");
    turn_out(x.l);
    assert_heard(&x.spy, "text read on; drain; "); /* once */
    stage_down(&x);
}

static void test_full_pause(void **state)
{
    struct stage x;
    thrum_status end;
    (void)state;
    slow_stage(&x, THRUM_FULL_PAUSE, 50);
    uint32_t n = stuff(&x, 0, UINT32_MAX, &end);
    assert_status(end, THRUM_E_FULL);
    peer_text(x.l, &x.p, "waits");
    turn_out(x.l);
    turn_out(x.l);
    assert_int_equal(x.spy.messages, 0); /* who does not read is not read */
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(hears_number(&x), i);
    turn_until(x.l, x.spy.messages == 1);
    assert_heard(&x.spy, "drain; text waits; ");
    stage_down(&x);
}

/* One message that is more than may wait is enough for it: nobody has to be refused first. */
static void test_full_by_one(void **state)
{
    static uint8_t huge[16 << 20];
    struct stage x;
    (void)state;
    slow_stage(&x, THRUM_FULL_PAUSE, 50);
    assert_status(thrum_send(x.spy.c, THRUM_BINARY, huge, sizeof huge), THRUM_OK);
    assert_true(thrum_conn_pending(x.spy.c) > 100000);
    peer_text(x.l, &x.p, "waits");
    turn_out(x.l);
    turn_out(x.l);
    assert_int_equal(x.spy.messages, 0);
    uint8_t head[10];
    peer_get(x.l, &x.p, head, sizeof head);
    for (size_t n = 0; n < sizeof huge; n += sizeof huge / 64)
        peer_get(x.l, &x.p, huge + n, sizeof huge / 64);
    turn_until(x.l, x.spy.messages == 1);
    assert_heard(&x.spy, "drain; text waits; ");
    stage_down(&x);
}

static void test_full_drop_oldest(void **state)
{
    struct stage x;
    thrum_status end;
    (void)state;
    slow_stage(&x, THRUM_FULL_DROP_OLDEST, 50);
    long rest = atomic_load(&memory.bytes);
    const uint32_t n = stuff(&x, 0, 3000, &end);
    assert_status(end, THRUM_OK); /* none is refused */
    assert_int_equal(n, 3000);
    assert_true(atomic_load(&memory.bytes) - rest < 100000 + 3 * (long)sizeof load);
    uint32_t last = hears_number(&x), got = 1;
    assert_int_equal(last, 0);
    for (; last + 1 < n; got++) { /* whole messages, in order, the newest among them */
        uint32_t k = hears_number(&x);
        assert_true(k > last);
        last = k;
    }
    assert_true(got < n);
    turn_until(x.l, x.spy.drains > 0 && thrum_conn_pending(x.spy.c) == 0);
    assert_int_equal(counted(x.spy.c, messages_out), got);
    stage_down(&x);
}

static void test_full_close(void **state)
{
    struct stage x;
    thrum_status end;
    (void)state;
    slow_stage(&x, THRUM_FULL_CLOSE, 50);
    (void)stuff(&x, 0, UINT32_MAX, &end);
    assert_status(end, THRUM_E_CLOSED);
    turn_until(x.l, x.spy.closes == 1);
    assert_heard(&x.spy, "closed FULL 1013; ");
    stage_down(&x);
    slow_stage(&x, THRUM_FULL_CLOSE, PEER_MS); /* one that reads again in time hears why */
    uint32_t n = stuff(&x, 0, UINT32_MAX, &end), heard = 0;
    static uint8_t got[sizeof load + 1];
    size_t len;
    while (peer_frame(x.l, &x.p, got, sizeof got, &len) == 0x82)
        heard++;
    assert_true(heard < n && len >= 2);
    assert_int_equal(got[0] << 8 | got[1], 1013);
    peer_parts(x.l, &x.p, 1013);
    turn_until(x.l, x.spy.closes == 1);
    stage_down(&x);
}

/* Pings of the user's and answers to the peer's are bounded, too. */
static void test_full_of_pings(void **state)
{
    struct stage x;
    thrum_status end;
    (void)state;
    slow_stage(&x, THRUM_FULL_REFUSE, 50);
    (void)stuff(&x, 0, UINT32_MAX, &end);
    long had = atomic_load(&memory.bytes);
    for (int i = 0; i < 1000; i++)
        peer_says(x.l, &x.p, 0x89, "are you there?", 14);
    turn_out(x.l);
    for (int i = 0; i < 1000; i++)
        (void)thrum_pong(x.spy.c, "me", 2);
    for (int i = 0; i < 1000; i++)
        (void)thrum_ping(x.spy.c, "me", 2, 0);
    assert_true(atomic_load(&memory.bytes) - had < 64 * 1024);
    stage_down(&x);
}

/* ---- writing fails ---- */

/* What the peer said before it broke is still heard: why it closed, and its last message. */
static void test_last_words(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    uint8_t f[64];
    size_t n = frame_of(f, 0x81, "farewell", 8, true);
    n += frame_of(f + n, 0x88, "\x03\xe9", 2, true);
    assert_true(peer_write(&x.p, f, n));
    wire_counts();
    wire.fails = 1000;
    wire.of = EPIPE;
    assert_status(thrum_send(x.spy.c, THRUM_TEXT, "too late", 8), THRUM_OK);
    turn_until(x.l, x.spy.closes == 1);
    assert_heard(&x.spy, "text farewell; closed CLOSED 1001; ");
    stage_down(&x);
}

/* Each way to the wire refused, with each errno: the connection ends and says why; others go on. */
static void test_refused_writes(void **state)
{
    static const int errnos[] = {ENOMEM, ENOBUFS, EPIPE, ECONNRESET, ETIMEDOUT};
    static const size_t lengths[] = {5, 9000, 100000};
    (void)state;
    fill_pattern();
    for (size_t e = 0; e < COUNT(errnos); e++)
        for (size_t i = 0; i < COUNT(lengths); i++)
            for (int way = 0; way < 3; way++) { /* plain, with a proto, in parts */
                struct stage x = {0};
                stage_up(&x, NULL);
                thrum_conn *c = x.spy.c;
                if (way == 1)
                    assert_status(thrum_ping(c, "p", 1, 0), THRUM_OK);
                wire_counts();
                wire.fails = 1000;
                wire.of = errnos[e];
                thrum_status st = way == 2 ? thrum_send_part(c, THRUM_BINARY, pattern, lengths[i], false)
                                           : thrum_send(c, THRUM_BINARY, pattern, lengths[i]);
                assert_true(st <= THRUM_OK);
                turn_until(x.l, x.spy.closes == 1);
                assert_true(x.spy.why.status != THRUM_OK && x.spy.why.status != THRUM_E_CLOSED);
                sys = sys_real;
                peer_close(&x.p);
                peer_opens(x.l, x.s, &x.p);
                peer_text(x.l, &x.p, "on");
                turn_until(x.l, x.spy.messages == 1);
                stage_down(&x);
            }
}

/* EINTR and EAGAIN mean later, not never. */
static void test_again_later(void **state)
{
    static const size_t lengths[] = {5, 9000, 100000};
    (void)state;
    fill_pattern();
    for (int e = 0; e < 2; e++)
        for (size_t i = 0; i < COUNT(lengths); i++) {
            struct stage x = {0};
            stage_up(&x, NULL);
            wire_counts();
            wire.fails = 3;
            wire.of = e ? EINTR : EAGAIN;
            assert_status(thrum_send(x.spy.c, THRUM_BINARY, pattern, lengths[i]), THRUM_OK);
            assert_status(thrum_send(x.spy.c, THRUM_TEXT, "behind", 6), THRUM_OK);
            hears_pattern(&x, 0x82, lengths[i]);
            peer_hears_text(x.l, &x.p, "behind");
            sys = sys_real;
            stage_down(&x);
        }
}

/* ---- TLS ---- */

static void is_pattern(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s;
    (void)c;
    assert_memory_equal(m->data, pattern, m->len);
}

/* Below, at and above what is copied, a record, and what a stream takes at once; the socket takes all of it,
 * a little at a time, or at first nothing. */
static void test_tls(void **state)
{
    static const size_t lengths[] = {5, 8192, 8193, 16370, 16384, 16385, 32768, 49152, 49153, 70000, 199000};
    static const struct wire hindered[] = {{.most = 0}, {.most = 5000}, {.fails = 2, .of = EAGAIN}};
    (void)state;
    for (size_t h = 0; h < COUNT(hindered); h++) {
        struct secure x;
        struct spy client = {.on_message = is_pattern};
        size_t bytes = 0;
        secure_up(&x);
        secure_open(&x, &client);
        for (size_t i = 0; i < COUNT(lengths); i++) {
            wire_counts();
            wire = hindered[h];
            assert_status(thrum_send(x.server.c, THRUM_BINARY, pattern, lengths[i]), THRUM_OK);
            assert_status(thrum_send(x.server.c, THRUM_BINARY, pattern, 7), THRUM_OK);
            bytes += lengths[i] + 7;
            turn_until(x.l, client.messages == 2 * (i + 1));
            assert_int_equal(client.bytes, bytes);
            sys = sys_real;
        }
        secure_down(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_sizes),
        clean_test(test_sizes_in_a_callback),
        clean_test(test_sizes_of_a_client),
        clean_test(test_one_call_for_all_of_a_turn),
        clean_test(test_large_answers_of_one_read),
        clean_test(test_a_goodbye_is_not_held_back),
        clean_test(test_many_in_one_turn),
        clean_test(test_parts),
        clean_test(test_huge_in_parts),
        clean_test(test_not_text),
        clean_test(test_no_memory),
        clean_test(test_no_memory_for_the_rest),
        clean_test(test_full_refuse),
        clean_test(test_full_pause),
        clean_test(test_full_by_one),
        clean_test(test_full_drop_oldest),
        clean_test(test_full_close),
        clean_test(test_full_of_pings),
        clean_test(test_last_words),
        clean_test(test_refused_writes),
        clean_test(test_again_later),
        clean_test(test_tls),
    };
    return run_on_backend(tests);
}
