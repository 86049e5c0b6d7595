/* read_test.c: bytes to callbacks: any cut gives the same, messages are shown where they lie, and what is not
 * wanted yet waits. */
#include "driven.h"
#include "wire/frame.h"

/* ---- any cut ---- */

static size_t conversation(uint8_t *f)
{
    static char long_text[700];
    size_t n = 0;
    memset(long_text, 'l', sizeof long_text);
    n += frame_of(f + n, 0x81, "hello", 5, true);
    n += frame_of(f + n, 0x81, "", 0, true);
    n += frame_of(f + n, 0x01, "fr\xc3", 3, true); /* a character cut in two */
    n += frame_of(f + n, 0x89, "ping", 4, true);
    n += frame_of(f + n, 0x80, "\xa4gment", 6, true);
    n += frame_of(f + n, 0x82, long_text, sizeof long_text, true);
    n += frame_of(f + n, 0x8a, "pong", 4, true);
    n += frame_of(f + n, 0x82, "\0\1\2", 3, true);
    n += frame_of(f + n, 0x81, "\xe2\x82\xac", 3, true);
    n += frame_of(f + n, 0x88, "\x03\xe8", 2, true);
    return n;
}

static const char heard_all[] = "open; text hello; text ; ping ping; text fr\xc3\xa4gment; binary of 700; "
                                "pong pong; binary of 3; text \xe2\x82\xac; closed CLOSED 1000; ",
                  heard_parts[] = "open; whole hello; whole ; first fr\xc3; last \xa4gment; whole of 700; "
                                  "whole of 3; whole \xe2\x82\xac; closed CLOSED 1000; ";

/* Cut at `first` and at `second`; each piece is read by itself. */
static void say_cut(size_t first, size_t second, const thrum_handlers *on, const char *heard)
{
    struct stage x = {.l = loop_up()};
    uint8_t f[2048];
    size_t n = conversation(f);
    x.s = listen_at(x.l, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = on, .arg = &x.spy));
    peer_opens(x.l, x.s, &x.p);
    const struct lconn *c = NULL;
    turn_until(x.l, x.spy.c);
    c = inside(x.spy.c);
    const size_t ends[] = {first, second, n};
    for (size_t i = 0, at = 0; i < COUNT(ends); at = ends[i++]) {
        uint64_t before = lconn_wire_in(c);
        peer_give(x.l, &x.p, f + at, ends[i] - at);
        if (ends[i] < n)
            turn_until(x.l, lconn_wire_in(c) == before + ends[i] - at);
    }
    peer_leaves(x.l, &x.p);
    turn_until(x.l, x.spy.closes == 1);
    if (strcmp(x.spy.text, heard) != 0)
        fail_msg("cut at %zu and %zu: %s", first, second, x.spy.text);
    stage_down(&x);
}

static void test_any_cut(void **state)
{
    uint8_t f[2048];
    const size_t n = conversation(f);
    (void)state;
    say_cut(n, n, &spying_pings, heard_all);
    say_cut(n, n, &spying_parts, heard_parts);
    for (size_t i = 0; i <= n; i++)
        if (i < 80 || n - i < 40 || i % 97 == 0)
            say_cut(i, i, &spying_pings, heard_all);
    for (size_t i = 0; i + 3 < 70; i++)
        say_cut(i, i + 3, &spying_pings, heard_all);
}

static void test_byte_by_byte(void **state)
{
    struct stage x = {0};
    uint8_t f[2048];
    const size_t n = conversation(f);
    (void)state;
    stage_up(&x, THRUM_SERVER(.handlers = &spying_pings));
    const struct lconn *c = inside(x.spy.c);
    for (size_t i = 0; i < n; i++) {
        uint64_t before = lconn_wire_in(c);
        peer_give(x.l, &x.p, f + i, 1);
        if (i + 1 < n)
            turn_until(x.l, lconn_wire_in(c) == before + 1);
    }
    peer_leaves(x.l, &x.p);
    turn_until(x.l, x.spy.closes == 1);
    assert_string_equal(x.spy.text, heard_all + strlen("open; "));
    stage_down(&x);
}

/* ---- what is wrong is said with its code, from rest and in the midst ---- */

static void test_wrong_frames(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int code;
        const char *heard;
    } wrong[] = {
        {"\x81\x05hello", 7, 1002, "closed PROTOCOL 1002; "},                       /* not masked */
        {"\xc1\x80\1\2\3\4", 6, 1002, "closed PROTOCOL 1002; "},                    /* a reserved bit */
        {"\x83\x80\1\2\3\4", 6, 1002, "closed PROTOCOL 1002; "},                    /* a reserved opcode */
        {"\x80\x80\1\2\3\4", 6, 1002, "closed PROTOCOL 1002; "},                    /* a rest of nothing */
        {"\x81\xfe\0\x05\1\2\3\4", 8, 1002, "closed PROTOCOL 1002; "},              /* a long way to say 5 */
        {"\x81\x81\0\0\0\0\xff", 7, 1007, "closed UTF8 1007; "},                    /* no text */
        {"\x82\xfe\x04\x01\0\0\0\0", 8, 1009, "closed TOO_BIG 1009; "},             /* over the limit */
        {"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14, 1002, "closed PROTOCOL 1002; "}, /* a negative length */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++)
        for (int behind = 0; behind < 2; behind++) {
            struct stage x = {0};
            stage_up(&x, THRUM_SERVER(.max_message = 1024));
            if (behind)
                peer_text(x.l, &x.p, "good");
            peer_give(x.l, &x.p, wrong[i].bytes, wrong[i].n);
            peer_hears_close(x.l, &x.p, wrong[i].code);
            peer_leaves(x.l, &x.p);
            turn_until(x.l, x.spy.closes == 1);
            assert_int_equal(x.spy.messages, behind);
            assert_non_null(strstr(x.spy.text, wrong[i].heard));
            stage_down(&x);
        }
}

/* At the limit, and one over: as one frame, and in fragments. */
static void test_limit(void **state)
{
    static uint8_t data[1025];
    (void)state;
    for (int over = 0; over < 2; over++)
        for (int fragments = 0; fragments < 2; fragments++) {
            struct stage x = {0};
            stage_up(&x, THRUM_SERVER(.max_message = 1024));
            if (fragments) {
                peer_says(x.l, &x.p, 0x02, data, 1000);
                peer_says(x.l, &x.p, 0x80, data, 24 + (size_t)over);
            } else {
                peer_says(x.l, &x.p, 0x82, data, 1024 + (size_t)over);
            }
            if (over)
                peer_hears_close(x.l, &x.p, 1009);
            else
                turn_until(x.l, x.spy.messages == 1);
            stage_down(&x);
        }
}

/* ---- pausing ---- */

static void pause_it(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    (void)s;
    if (memcmp(m->data, "stop", 4) == 0)
        assert_status(thrum_pause(c), THRUM_OK);
}

/* What had come in the same read waits, too; nothing is lost, nothing comes twice, the order stays. */
static void test_pause_in_a_message(void **state)
{
    struct stage x = {.spy = {.on_message = pause_it}};
    uint8_t f[256];
    size_t n = 0;
    (void)state;
    stage_up(&x, NULL);
    n += frame_of(f + n, 0x81, "one", 3, true);
    n += frame_of(f + n, 0x81, "stop", 4, true);
    n += frame_of(f + n, 0x81, "two", 3, true);
    n += frame_of(f + n, 0x81, "stop", 4, true);
    n += frame_of(f + n, 0x81, "three", 5, true);
    peer_give(x.l, &x.p, f, n);
    turn_until(x.l, x.spy.messages == 2);
    turn_out(x.l);
    peer_text(x.l, &x.p, "four");
    turn_out(x.l);
    assert_heard(&x.spy, "text one; text stop; ");
    assert_status(thrum_resume(x.spy.c), THRUM_OK); /* outside of a turn: now */
    assert_heard(&x.spy, "text two; text stop; ");
    assert_status(thrum_resume(x.spy.c), THRUM_OK);
    turn_until(x.l, x.spy.messages == 6);
    assert_heard(&x.spy, "text three; text four; ");
    assert_status(thrum_resume(x.spy.c), THRUM_OK); /* again: nothing happens */
    peer_text(x.l, &x.p, "five");
    turn_until(x.l, x.spy.messages == 7);
    stage_down(&x);
}

/* Who is paused is not read: the peer's writes stop, and memory with them. */
static void test_paused_memory(void **state)
{
    static uint8_t data[32 * 1024];
    static uint8_t f[sizeof data + 14];
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    turn_out(x.l);
    assert_status(thrum_pause(x.spy.c), THRUM_OK);
    long rest = atomic_load(&memory.bytes);
    size_t n = frame_of(f, 0x82, data, sizeof data, true), written = 0;
    for (int idle = 0; idle < 20;) {
        ssize_t k = send(x.p.fd, f + written % n, n - written % n, MSG_DONTWAIT | MSG_NOSIGNAL);
        written += k > 0 ? (size_t)k : 0;
        idle = k > 0 ? 0 : idle + 1;
        turn(x.l);
    }
    assert_true(written > n && atomic_load(&memory.bytes) - rest < 8192);
    assert_int_equal(x.spy.messages, 0);
    assert_status(thrum_resume(x.spy.c), THRUM_OK);
    peer_give(x.l, &x.p, f + written % n, n - written % n);
    turn_until(x.l,
               x.spy.messages == (written + n - 1) / n || x.spy.bytes == (written / n + 1) * sizeof data);
    stage_down(&x);
}

/* A closed connection is read although it is paused: its end is to come. */
static void test_close_while_paused(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    assert_status(thrum_pause(x.spy.c), THRUM_OK);
    peer_text(x.l, &x.p, "unheard");
    assert_status(thrum_close(x.spy.c, 1000, NULL), THRUM_OK);
    peer_hears_close(x.l, &x.p, 1000);
    peer_parts(x.l, &x.p, 1000);
    turn_until(x.l, x.spy.closes == 1);
    assert_heard(&x.spy, "closed CLOSED 1000; ");
    stage_down(&x);
}

/* ---- huge messages ---- */

/* 48 MiB in fragments of 1 MiB, and again in one frame: the memory that this takes is a small part of it. */
static void test_huge_in_parts(void **state)
{
    enum { PIECE = 1 << 20, PIECES = 48 };
    static uint8_t data[PIECE], f[PIECE + 14];
    struct stage x = {0};
    (void)state;
    memset(data, 'h', sizeof data);
    stage_up(&x, THRUM_SERVER(.handlers = &spying_parts, .max_message = THRUM_NO_LIMIT));
    long rest = atomic_load(&memory.bytes);
    atomic_store(&memory.peak, rest);
    for (int i = 0; i < PIECES; i++) {
        size_t n =
            frame_of(f, (uint8_t)((i == 0 ? 0x02 : 0) | (i == PIECES - 1 ? 0x80 : 0)), data, PIECE, true);
        peer_give(x.l, &x.p, f, n);
    }
    turn_until(x.l, x.spy.bytes == (size_t)PIECES * PIECE);
    uint8_t head[14] = {0x82, 0xff, 0, 0, 0, 0, PIECES >> 4, (uint8_t)(PIECES << 4)};
    peer_give(x.l, &x.p, head, sizeof head);
    for (int i = 0; i < PIECES; i++)
        peer_give(x.l, &x.p, data, PIECE);
    turn_until(x.l, x.spy.bytes == 2 * (size_t)PIECES * PIECE);
    /* a poller that reads by itself has 16 MiB of buffers at most, for all connections together */
    assert_true(atomic_load(&memory.peak) - rest < (x.l->reads_itself ? 20 : 5) * 1024 * 1024);
    assert_non_null(strstr(x.spy.text, "first of "));
    stage_down(&x);
}

/* A large one for on_message goes straight to where it will be read; one over 512 KiB, with others behind. */
static void test_large_messages(void **state)
{
    enum { LARGE = 900 * 1000 };
    static uint8_t data[LARGE];
    struct stage x = {0};
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)('a' + i % 26);
    stage_up(&x, NULL);
    for (int i = 0; i < 3; i++) {
        peer_says(x.l, &x.p, i % 2 ? 0x81 : 0x82, data, sizeof data - (size_t)i);
        peer_text(x.l, &x.p, "small");
    }
    turn_until(x.l, x.spy.messages == 6);
    assert_heard(&x.spy,
                 "binary of 900000; text small; text of 899999; text small; binary of 899998; text small; ");
    stage_down(&x);
}

/* ---- the one buffer that all read into ---- */

struct two {
    thrum_conn *victim;
    bool same;
};

static void free_another(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    struct two *two = s->more;
    (void)c;
    if (!two->victim || m->len < 1000)
        return;
    uint8_t *copy = malloc(m->len);
    memcpy(copy, m->data, m->len);
    thrum_conn_free(two->victim);
    two->victim = NULL;
    two->same = memcmp(copy, m->data, m->len) == 0; /* m->data holds until the return */
    free(copy);
}

/* A callback frees another connection, of which much is unread: the message that it was given stays, and so
 * do those behind it. */
/* Behind a large message the next read is a small one: whatever comes then is all read, and heard once. */
static void test_what_follows_a_large_message(void **state)
{
    enum { LARGE = 200000, FIRST = 8 * 1024, BEFORE = 8 /* of up to 64 KiB, masked */ };
    static const size_t next[] = {0,         5,    FIRST - BEFORE - 1, FIRST - BEFORE, FIRST - BEFORE + 1,
                                  3 * FIRST, LARGE};
    static uint8_t data[LARGE], f[LARGE + 14];
    (void)state;
    for (size_t i = 0; i < COUNT(next); i++)
        for (unsigned times = 1; times <= 3; times++) {
            struct stage x = {0};
            size_t bytes = LARGE;
            stage_up(&x, NULL);
            peer_give(x.l, &x.p, f, frame_of(f, 0x82, data, LARGE, true));
            turn_until(x.l, x.spy.messages == 1);
            assert_true(x.l->reads_itself || inside(x.spy.c)->bulky);
            for (unsigned k = 0; k < times; k++, bytes += next[i])
                peer_give(x.l, &x.p, f, frame_of(f, 0x82, data, next[i], true));
            peer_half_close(&x.p);
            turn_until(x.l, x.spy.closes == 1);
            assert_int_equal(x.spy.messages, 1 + times);
            assert_int_equal(x.spy.bytes, bytes);
            stage_down(&x);
        }
}

static void test_another_freed_in_a_message(void **state)
{
    static uint8_t data[4000], much[60000];
    struct stage x = {.spy = {.on_message = free_another}};
    struct two two = {0};
    struct peer victim;
    uint8_t f[8192];
    (void)state;
    memset(data, 'd', sizeof data);
    memset(much, 'm', sizeof much);
    x.spy.more = &two;
    stage_up(&x, NULL);
    peer_opens(x.l, x.s, &victim);
    turn_until(x.l, x.spy.opens == 2);
    two.victim = x.spy.c;
    assert_status(thrum_pause(two.victim), THRUM_OK);
    peer_says(x.l, &victim, 0x82, much, sizeof much);
    turn_out(x.l);
    size_t n = frame_of(f, 0x82, data, sizeof data, true);
    n += frame_of(f + n, 0x81, "behind", 6, true);
    peer_give(x.l, &x.p, f, n);
    turn_until(x.l, x.spy.messages == 2);
    assert_true(two.same);
    assert_non_null(strstr(x.spy.text, "binary of 4000; "));
    assert_non_null(strstr(x.spy.text, "text behind; "));
    peer_close(&victim);
    stage_down(&x);
}

/* ---- compressed ---- */

static void test_compressed(void **state)
{
    thrum_loop *l = loop_up();
    struct spy spy = {0}, client = {0};
    static char text[20000];
    char url[64];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i / 7 % 20);
    thrum_listener *s = THRUM_LISTEN(l, &spy);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/", thrum_listener_port(s));
    assert_status(thrum_open(l, url, THRUM_CLIENT(.compression = THRUM_ON), &spying, &client, NULL, NULL),
                  THRUM_OK);
    turn_until(l, spy.c && client.c);
    assert_non_null(thrum_conn_extensions(spy.c));
    for (int i = 0; i < 5; i++)
        assert_status(thrum_send(client.c, THRUM_TEXT, text, sizeof text), THRUM_OK);
    turn_until(l, spy.messages == 5);
    assert_int_equal(spy.bytes, 5 * sizeof text);
    assert_true(counted(spy.c, wire_in) < sizeof text);
    thrum_conn_free(client.c);
    turn_until(l, spy.closes == 1);
    assert_int_equal(spy.why.close_code, 1001);
    loop_down(l);
    thrum_listener_free(s);
}

/* ---- the end of the stream with something behind ---- */

static void test_words_before_the_end(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    peer_text(x.l, &x.p, "last");
    peer_says(x.l, &x.p, 0x88, "\x03\xe8", 2);
    peer_half_close(&x.p);
    turn_until(x.l, x.spy.closes == 1);
    assert_heard(&x.spy, "text last; closed CLOSED 1000; ");
    stage_down(&x);
}

/* The end comes in the event that tells of the last bytes, and no other event need follow. */
static void test_end_with_the_last_bytes(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, NULL);
    turn_out(x.l);
    peer_text(x.l, &x.p, "last");
    peer_half_close(&x.p);
    turn_until(x.l, x.spy.closes == 1);
    assert_heard(&x.spy, "text last; closed UNCLEAN 1006; ");
    stage_down(&x);
}

/* ---- what one event tells of is not read at once ---- */

static size_t full_reads;

static ssize_t noting_recv(int fd, void *p, size_t n, int flags)
{
    ssize_t k = sys_real.recv(fd, p, n, flags);
    full_reads += k == (ssize_t)n;
    return k;
}

/* As much as a read takes, and more, and then silence. */
static void test_more_than_a_read(void **state)
{
    enum { SIZE = 60000, FRAMES = 64, BUFFER = 8 << 20 };
    static uint8_t data[SIZE], f[SIZE + 14];
    const int buffer = BUFFER;
    struct stage x = {0};
    unsigned most = 0;
    (void)state;
    stage_up(&x, THRUM_SERVER(.max_message = SIZE));
    if (x.l->reads_itself ||
        setsockopt(inside(x.spy.c)->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer)) {
        stage_down(&x);
        skip(); /* only root may let that much wait */
    }
    assert_int_equal(setsockopt(x.p.fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer), 0);
    size_t n = frame_of(f, 0x82, data, SIZE, true);
    sys.recv = noting_recv;
    full_reads = 0;
    for (int round = 0; round < 20 && full_reads == 0; round++) { /* the window opens as it is used */
        for (unsigned i = 0; i < FRAMES; i++, most++)
            peer_give(x.l, &x.p, f, n);
        turn_until(x.l, x.spy.messages == most);
    }
    sys = sys_real;
    assert_true(full_reads > 0);
    stage_down(&x);
}

struct brake {
    thrum_loop *l;
    thrum_conn *conns[2];
    bool used;
};

static void note_conn(struct spy *s, thrum_conn *c)
{
    struct brake *b = s->more;
    b->conns[s->opens - 1] = c;
}

static void go_on(thrum_conn *c, void *arg)
{
    (void)arg;
    assert_status(thrum_resume(c), THRUM_OK);
}

/* Who is heard first stops the other, whose event is next, and lets it go on later in the same turn. */
static void stop_the_other(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    struct brake *b = s->more;
    thrum_conn *other = b->conns[c == b->conns[0]];
    (void)m;
    if (b->used)
        return;
    b->used = true;
    assert_status(thrum_pause(other), THRUM_OK);
    assert_status(thrum_post(b->l, thrum_conn_id(other), go_on, NULL), THRUM_OK);
}

static void test_stopped_for_a_moment(void **state)
{
    struct brake b = {0};
    struct stage x = {.spy = {.on_open = note_conn, .more = &b}};
    struct peer second;
    (void)state;
    stage_up(&x, NULL);
    x.spy.on_message = stop_the_other;
    b.l = x.l;
    peer_opens(x.l, x.s, &second);
    turn_until(x.l, x.spy.opens == 2);
    turn_out(x.l);
    peer_text(x.l, &x.p, "word");
    peer_text(x.l, &second, "word");
    turn_until(x.l, x.spy.messages == 2);
    assert_heard(&x.spy, "open; text word; text word; ");
    stage_down(&x);
    peer_close(&second);
}

/* ---- answers of slow callbacks do not wait for those of others ---- */

struct slow {
    struct brake b; /* first */
    struct peer *peers[2];
    thrum_conn *first; /* who was heard first in this turn */
    bool was_answered; /* ... and had its answer when the other was heard */
};

static void answer_slowly(struct spy *s, thrum_conn *c, const thrum_message *m)
{
    struct slow *w = s->more;
    char answer[16];
    if (w->first && w->first != c)
        w->was_answered =
            recv(w->peers[w->first == w->b.conns[1]]->fd, answer, sizeof answer, MSG_DONTWAIT | MSG_PEEK) > 0;
    else
        w->first = c;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_status(thrum_send(c, m->kind, m->data, m->len), THRUM_OK);
}

static void test_slow_answers(void **state)
{
    struct slow w = {0};
    struct stage x = {.spy = {.on_open = note_conn, .more = &w}};
    struct peer second;
    char answer[6]; /* a frame with "word" */
    (void)state;
    stage_up(&x, NULL);
    x.spy.on_message = answer_slowly;
    w.peers[0] = &x.p;
    w.peers[1] = &second;
    peer_opens(x.l, x.s, &second);
    turn_until(x.l, x.spy.opens == 2);
    for (unsigned round = 1; round <= 20 && !w.was_answered;
         round++) { /* the first round shows that they are slow */
        w.first = NULL;
        peer_text(x.l, &x.p, "word");
        peer_text(x.l, &second, "word");
        turn_until(x.l, x.spy.messages == 2 * round);
        peer_get(x.l, &x.p, answer, sizeof answer);
        peer_get(x.l, &second, answer, sizeof answer);
    }
    assert_true(w.was_answered);
    stage_down(&x);
    peer_close(&second);
}

/* Reads that the system refuses: a reset is one, others are no reason to spin. */
static int recv_errno;

static ssize_t failing_recv(int fd, void *p, size_t n, int flags)
{
    int e = recv_errno;
    if (e == EINTR)
        recv_errno = 0;
    if (e) {
        errno = e;
        return -1;
    }
    return sys_real.recv(fd, p, n, flags);
}

static void test_failing_reads(void **state)
{
    static const struct {
        int e;
        const char *heard;
    } ways[] = {{EINTR, "text on; "}, {ECONNRESET, "closed RESET 1006; "}, {ENOMEM, "closed RESET 1006; "}};
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        struct stage x = {0};
        stage_up(&x, NULL);
        if (!x.l->reads_itself) {
            sys.recv = failing_recv;
            recv_errno = ways[i].e;
            peer_text(x.l, &x.p, "on");
            turn_until(x.l, x.spy.n > 0);
            assert_string_equal(x.spy.text, ways[i].heard);
        }
        sys = sys_real;
        stage_down(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_any_cut),
        clean_test(test_byte_by_byte),
        clean_test(test_wrong_frames),
        clean_test(test_limit),
        clean_test(test_pause_in_a_message),
        clean_test(test_paused_memory),
        clean_test(test_close_while_paused),
        clean_test(test_huge_in_parts),
        clean_test(test_large_messages),
        clean_test(test_what_follows_a_large_message),
        clean_test(test_another_freed_in_a_message),
        clean_test(test_compressed),
        clean_test(test_words_before_the_end),
        clean_test(test_end_with_the_last_bytes),
        clean_test(test_more_than_a_read),
        clean_test(test_stopped_for_a_moment),
        clean_test(test_slow_answers),
        clean_test(test_failing_reads),
    };
    return run_on_backend(tests);
}
