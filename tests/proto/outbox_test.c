/* outbox_test.c: what goes out, in which order, and that a frame which has begun is finished. */
#include "proto_test.h"

static char out[300000];

/* Writes n bytes of door 2 only. */
static void write_some(thrum_proto *p, char *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        thrum_slice v;
        assert_int_equal(thrum_proto_out(p, &v, 1), 1);
        size_t take = v.n < n - at ? v.n : n - at;
        memcpy(to + at, v.p, take);
        at += take;
        thrum_proto_out_done(p, take, now);
    }
}

/* The first frame of out decoded and unmasked in place: its payload; *n the rest behind it. */
static uint8_t *decode(char *text, size_t size, uint8_t *first, size_t *len, size_t *used)
{
    uint8_t *b = (uint8_t *)text;
    size_t k = 2;
    uint64_t n = b[1] & 0x7f;
    *first = b[0];
    if (n >= 126) {
        size_t more = n == 126 ? 2 : 8;
        for (n = 0; more-- > 0;)
            n = n << 8 | b[k++];
    }
    uint8_t *key = b[1] & 0x80 ? b + k : NULL;
    k += key ? 4 : 0;
    assert_true(k + n <= size);
    for (size_t i = 0; key && i < n; i++)
        b[k + i] ^= key[i % 4];
    *len = (size_t)n;
    *used = k + (size_t)n;
    return b + k;
}

static uint8_t big[200000];

static void fill(void)
{
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 11 >> 1);
}

/* A lent frame, of which `begun` bytes have gone when its owner leaves. */
static void settle_after(bool server, size_t begun)
{
    uint8_t *mine = malloc(sizeof big), first;
    size_t len, used;
    thrum_slice v[2] = {{mine, 70001}, {mine + 70001, sizeof big - 70001}};
    thrum_proto *p = server ? open_server(NULL) : open_client(NULL);
    memcpy(mine, big, sizeof big);
    assert_status(proto_send_borrow(p, THRUM_BINARY, v, 2, true, THRUM_DEFAULT), THRUM_OK);
    write_some(p, out, begun);
    assert_int_equal(proto_borrowed(p), begun ? PROTO_BORROW_BEGUN : PROTO_BORROW_FRESH);
    assert_int_equal(proto_settle(p), begun ? PROTO_BORROW_BEGUN : PROTO_BORROW_FRESH);
    memset(mine, 0xee, sizeof big);
    free(mine);
    assert_int_equal(proto_borrowed(p), PROTO_BORROW_NONE);
    assert_status(thrum_proto_send(p, THRUM_TEXT, (thrum_slice){(const uint8_t *)"next", 4}, true), THRUM_OK);
    size_t n = begun + take_out(p, out + begun, sizeof out - begun), at = 0;
    if (begun) {
        uint8_t *d = decode(out, n, &first, &len, &used);
        assert_int_equal(first, 0x82);
        assert_int_equal(len, sizeof big);
        assert_memory_equal(d, big, len);
        at = used;
    }
    uint8_t *d = decode(out + at, n - at, &first, &len, &used);
    assert_int_equal(first, 0x81);
    assert_memory_equal(d, "next", 4);
    assert_int_equal(at + used, n);
    thrum_proto_free(p);
}

static void test_settle(void **state)
{
    static const size_t begun[] = {0, 1, 9, 10, 13, 14, 15, 1000, 65535, 65550, 65551, 70015, 131086, 199999};
    (void)state;
    fill();
    for (size_t i = 0; i < sizeof begun / sizeof begun[0]; i++) {
        settle_after(true, begun[i]);
        settle_after(false, begun[i]);
    }
}

static void test_fresh_part_taken_back(void **state)
{
    uint8_t first;
    size_t len, used;
    (void)state;
    thrum_proto *p = open_server(NULL);
    thrum_slice a = {(const uint8_t *)"\xc3", 1}, b = {(const uint8_t *)"\xa9", 1};
    assert_status(proto_send_borrow(p, THRUM_TEXT, &a, 1, false, THRUM_DEFAULT), THRUM_OK);
    take_out(p, out, sizeof out);
    assert_status(proto_send_borrow(p, THRUM_TEXT, &b, 1, true, THRUM_DEFAULT), THRUM_OK);
    assert_int_equal(proto_settle(p),
                     PROTO_BORROW_FRESH); /* the message is in parts still, after the first one */
    assert_true(proto_sending_parts(p));
    assert_status(proto_send_borrow(p, THRUM_TEXT, &b, 1, true, THRUM_DEFAULT), THRUM_OK);
    size_t n = take_out(p, out, sizeof out);
    decode(out, n, &first, &len, &used);
    assert_int_equal(first, 0x80);
    thrum_proto_free(p);
}

static void test_control_passes_fresh_data_only(void **state)
{
    uint8_t first;
    size_t len, used, n, at = 0;
    static const uint8_t order[] = {0x82, 0x8a, 0x82, 0x88};
    (void)state;
    thrum_proto *p = open_server(NULL);
    thrum_slice v = {big, 2000};
    assert_status(thrum_proto_send(p, THRUM_BINARY, v, true), THRUM_OK);
    write_some(p, out, 5); /* begun: nothing may go into it */
    assert_status(thrum_proto_send(p, THRUM_BINARY, v, true), THRUM_OK);
    assert_status(thrum_proto_pong(p, (thrum_slice){NULL, 0}), THRUM_OK);
    assert_status(thrum_proto_close(p, 1000, (thrum_slice){NULL, 0}, now), THRUM_OK); /* behind all data */
    n = 5 + take_out(p, out + 5, sizeof out - 5);
    for (size_t i = 0; i < sizeof order; i++) {
        decode(out + at, n - at, &first, &len, &used);
        assert_int_equal(first, order[i]);
        at += used;
    }
    assert_int_equal(at, n);
    thrum_proto_free(p);
}

static void test_goodbye_in_mid_frame(void **state)
{
    uint8_t first;
    size_t len, used, n;
    (void)state;
    fill();
    thrum_proto *p = open_server(NULL);
    thrum_slice v = {big, 100000};
    assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true, THRUM_DEFAULT), THRUM_OK);
    write_some(p, out, 500);
    assert_status(thrum_proto_pong(p, (thrum_slice){NULL, 0}), THRUM_OK);
    proto_goodbye(p, 1001);
    n = 500 + take_out(p, out + 500, sizeof out - 500);
    uint8_t *d = decode(out, n, &first, &len, &used);
    assert_memory_equal(d, big, 100000);
    assert_int_equal(n, used + 4);
    assert_memory_equal(out + used, "\x88\x02\x03\xe9", 4);
    proto_goodbye(p, 1001); /* said once */
    assert_int_equal(take_out(p, out, sizeof out), 0);
    thrum_proto_free(p);
}

static void test_shared(void **state)
{
    (void)state;
    struct shared *s = shared_new(THRUM_TEXT, (thrum_slice){(const uint8_t *)"all", 3});
    thrum_proto *a = open_server(THRUM_SERVER(.send_high = 8)), *b = open_server(NULL),
                *c = open_client(NULL);
    assert_status(proto_send_shared(a, s), THRUM_OK);
    assert_status(proto_send_shared(a, s), THRUM_OK);
    assert_status(proto_send_shared(a, s), THRUM_E_FULL);
    assert_status(thrum_proto_pong(a, (thrum_slice){NULL, 0}), THRUM_E_FULL);
    assert_false(thrum_proto_flags(a) & THRUM_MAY_SEND);
    assert_status(proto_send_shared(b, s), THRUM_OK);
    assert_status(proto_send_shared(c, s), THRUM_E_STATE); /* a client's frames have masks of their own */
    shared_drop(s);
    assert_int_equal(take_out(a, out, sizeof out), 10);
    assert_memory_equal(out,
                        "\x81\x03"
                        "all\x81\x03"
                        "all",
                        10);
    assert_status(thrum_proto_send(b, THRUM_TEXT, (thrum_slice){NULL, 0}, false), THRUM_OK);
    s = shared_new(THRUM_TEXT, (thrum_slice){NULL, 0});
    assert_status(proto_send_shared(b, s), THRUM_E_STATE); /* in the midst of a message in parts */
    shared_drop(s);
    thrum_proto_free(a);
    thrum_proto_free(b);
    thrum_proto_free(c);
}

static void test_R24_masks(void **state)
{
    uint32_t keys[2000];
    (void)state;
    thrum_proto *p = open_client(NULL);
    for (size_t i = 0; i < 2000; i++) {
        assert_status(thrum_proto_send(p, THRUM_BINARY, (thrum_slice){(const uint8_t *)"x", 1}, true),
                      THRUM_OK);
        take_out(p, out, sizeof out);
        assert_int_equal((uint8_t)out[1], 0x81);
        memcpy(&keys[i], out + 2, 4);
        for (size_t k = 0; k < i && i < 300; k++)
            assert_int_not_equal(keys[k], keys[i]);
    }
    random_fails = 1; /* then nothing is sent */
    assert_status(thrum_proto_send(p, THRUM_BINARY, (thrum_slice){(const uint8_t *)"x", 1}, true),
                  THRUM_E_SYSTEM);
    assert_status(proto_send_borrow(p, THRUM_BINARY, &(thrum_slice){big, 5000}, 1, true, THRUM_DEFAULT),
                  THRUM_E_SYSTEM);
    assert_int_equal(take_out(p, out, sizeof out), 0);
    random_fails = 0;
    thrum_proto_free(p);
}

/* The caller has left in mid-frame and then the program ends: the rest of the frame goes first. */
static void test_goodbye_behind_a_settled_frame(void **state)
{
    (void)state;
    fill();
    for (int server = 0; server < 2; server++) {
        thrum_proto *p = server ? open_server(NULL) : open_client(NULL);
        thrum_slice v = {big, 100000};
        assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true, THRUM_DEFAULT), THRUM_OK);
        write_some(p, out, 500);
        assert_int_equal(proto_settle(p), PROTO_BORROW_BEGUN);
        assert_status(thrum_proto_pong(p, (thrum_slice){NULL, 0}), THRUM_OK);
        proto_goodbye(p, 1001);
        size_t n = 500 + take_out(p, out + 500, sizeof out - 500);
        struct seen f = see((uint8_t *)out, n);
        assert_int_equal(f.n, 100000);
        assert_memory_equal(f.p, big, f.n);
        size_t at = f.size;
        f = see((uint8_t *)out + at, n - at);
        assert_int_equal(f.first, 0x88);
        assert_int_equal(at + f.size, n);
        thrum_proto_free(p);
    }
}

/* The 101 has not been written yet: a Close without it would be read as HTTP. */
static void test_goodbye_behind_the_handshake(void **state)
{
    (void)state;
    thrum_proto *p = new_server(NULL);
    feed_text(p, good_request);
    proto_goodbye(p, 1001);
    size_t n = take_out(p, out, sizeof out);
    assert_memory_equal(out, "HTTP/1.1 101 ", 13);
    assert_memory_equal(out + n - 4, "\x88\x02\x03\xe9", 4);
    thrum_proto_free(p);
}

static const thrum_slice none = {NULL, 0};

/* Everything that can wait in the outbox at once. */
static void queue_all(thrum_proto *p, bool lend)
{
    thrum_slice v[5] = {{big, 1}, {NULL, 0}, {big + 1, 70000}, {big, 0}, {big + 70001, 2000}};
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("h\xc3\xa9"), false), THRUM_OK);
    assert_status(thrum_proto_send(p, THRUM_TEXT, none, true), THRUM_OK);
    assert_status(thrum_proto_ping(p, slice_of("ping"), now, NULL), THRUM_OK);
    if (lend) {
        assert_status(proto_send_borrow(p, THRUM_BINARY, v, 5, true, THRUM_DEFAULT), THRUM_OK);
    } else {
        assert_status(thrum_proto_send(p, THRUM_BINARY, (thrum_slice){big, 72001}, true), THRUM_OK);
    }
    assert_status(thrum_proto_pong(p, slice_of("pong")), THRUM_OK);
    assert_status(thrum_proto_close(p, 1000, slice_of("end"), now), THRUM_OK);
}

/* Serves door 2 with at most `max` slices and `size` bytes at a time; returns the length. */
static size_t serve(thrum_proto *p, size_t max, size_t size, char *to, size_t cap)
{
    thrum_slice v[9];
    size_t at = 0, k, all = proto_pending(p);
    while ((k = thrum_proto_out(p, v, max)) > 0) {
        size_t took = 0;
        assert_true(k <= max);
        for (size_t i = 0; i < k && took < size; i++) {
            size_t take = v[i].n < size - took ? v[i].n : size - took;
            assert_true(v[i].n > 0 && at + took + take <= cap);
            memcpy(to + at + took, v[i].p, take);
            took += take;
        }
        thrum_proto_out_done(p, took, now);
        at += took;
        assert_int_equal(proto_pending(p), all - at);
    }
    return at;
}

/* However door 2 is asked and served, the bytes are the same; and a lent frame is the same as a copied one.
 */
static void test_every_size_of_slices_and_writes(void **state)
{
    static char want[100000];
    static const size_t writes[] = {1, 2, 3, 7, 64, 1000, 65535, 65536, 200000};
    (void)state;
    fill();
    for (int server = 0; server < 2; server++) {
        random_state = 5;
        thrum_proto *p = server ? open_server(NULL) : open_client(NULL);
        queue_all(p, false);
        size_t n = take_out(p, want, sizeof want);
        thrum_proto_free(p);
        for (size_t w = 0; w < sizeof writes / sizeof writes[0]; w++)
            for (size_t max = 1; max <= 9; max += w < 3 ? 8 : 1) {
                random_state = 5;
                p = server ? open_server(NULL) : open_client(NULL);
                queue_all(p, true);
                assert_int_equal(serve(p, max, writes[w], out, sizeof out), n);
                assert_memory_equal(out, want, n);
                assert_int_equal(proto_borrowed(p), PROTO_BORROW_NONE);
                assert_false(proto_lost(p));
                thrum_proto_free(p);
            }
    }
}

static void test_what_send_refuses(void **state)
{
    (void)state;
    thrum_proto *p = new_server(NULL);
    assert_status(thrum_proto_send(p, THRUM_TEXT, none, true), THRUM_E_STATE);
    assert_status(proto_send_borrow(p, THRUM_TEXT, &none, 1, true, THRUM_DEFAULT), THRUM_E_STATE);
    thrum_proto_free(p);
    p = open_server(NULL);
    assert_status(thrum_proto_send(NULL, THRUM_TEXT, none, true), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_send(p, THRUM_TEXT, (thrum_slice){NULL, 1}, true), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_send(p, (thrum_kind)0, none, true), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_send(p, (thrum_kind)3, none, true), THRUM_E_ARGUMENT);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("\xff"), true), THRUM_E_UTF8);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("cut \xc3"), true), THRUM_E_UTF8);
    memset(big, 'a', 3000);
    big[2999] = 0xff;
    assert_status(proto_send_borrow(p, THRUM_TEXT, &(thrum_slice){big, 3000}, 1, true, THRUM_DEFAULT),
                  THRUM_E_UTF8);
    assert_int_equal(thrum_proto_flags(p) & THRUM_WANT_OUT, 0);
    /* In the midst of a text: what is wrong is not sent, and the message can go on. */
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("\xc3"), false), THRUM_OK);
    assert_status(thrum_proto_send(p, THRUM_BINARY, none, true), THRUM_E_STATE);
    assert_status(thrum_proto_send(p, THRUM_TEXT, none, true), THRUM_E_UTF8);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("("), true), THRUM_E_UTF8);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("\xa9"), true), THRUM_OK);
    assert_int_equal(take_out(p, out, sizeof out), 6);
    assert_memory_equal(out, "\x01\x01\xc3\x80\x01\xa9", 6);
    thrum_proto_free(p);
}

/* 1,024 bytes are copied, one more is lent: then what is written is what stands there when it is written. */
static void test_copied_or_lent(void **state)
{
    (void)state;
    for (size_t n = PROTO_COPY_MAX; n <= PROTO_COPY_MAX + 1; n++) {
        thrum_proto *p = open_server(NULL);
        memset(big, 'o', n);
        assert_status(proto_send_borrow(p, THRUM_BINARY, &(thrum_slice){big, n}, 1, true, THRUM_DEFAULT),
                      THRUM_OK);
        assert_int_equal(proto_borrowed(p), PROTO_BORROW_FRESH);
        memset(big, 'n', n);
        write_some(p, out, 1);
        assert_int_equal(proto_borrowed(p), PROTO_BORROW_BEGUN);
        size_t size = 1 + take_out(p, out + 1, sizeof out - 1);
        assert_int_equal(proto_borrowed(p), PROTO_BORROW_NONE);
        assert_int_equal(out[size - 1], n > PROTO_COPY_MAX ? 'n' : 'o');
        thrum_proto_free(p);
    }
}

/* A small frame is the proto's own: settled when it has begun, it stays and is finished. */
static void test_settle_small(void **state)
{
    (void)state;
    for (size_t begun = 0; begun < 7; begun++) {
        thrum_proto *p = open_server(NULL);
        thrum_stats s = {.size = sizeof s};
        thrum_slice v = slice_of("small");
        assert_status(proto_send_borrow(p, THRUM_TEXT, &v, 1, true, THRUM_DEFAULT), THRUM_OK);
        write_some(p, out, begun);
        assert_int_equal(proto_settle(p), begun ? PROTO_BORROW_BEGUN : PROTO_BORROW_FRESH);
        assert_int_equal(proto_settle(p), PROTO_BORROW_NONE);
        assert_int_equal(take_out(p, out, sizeof out), begun ? 7 - begun : 0);
        proto_stats(p, &s);
        assert_int_equal(s.messages_out, begun > 0);
        assert_int_equal(s.bytes_out, begun ? 5 : 0);
        thrum_proto_free(p);
    }
}

/* Who waits for a frame is told whether it was written or dropped. */
static void test_lost(void **state)
{
    (void)state;
    thrum_slice v = {big, 5000};
    thrum_proto *p = open_server(NULL);
    assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true, THRUM_DEFAULT), THRUM_OK);
    assert_false(proto_lost(p));
    say(p, 0x88, "\x03\xe8", 2);
    assert_int_equal(proto_borrowed(p), PROTO_BORROW_NONE);
    assert_true(proto_lost(p));
    assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true, THRUM_DEFAULT), THRUM_E_CLOSED);
    assert_int_equal(take_out(p, out, sizeof out), 4);
    thrum_proto_free(p);
    p = open_server(NULL);
    assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true, THRUM_DEFAULT), THRUM_OK);
    write_some(p, out, 100);
    say(p, 0x83, "", 0); /* the peer's error: what has begun is finished before our Close */
    assert_int_equal(proto_borrowed(p), PROTO_BORROW_BEGUN);
    size_t n = 100 + take_out(p, out + 100, sizeof out - 100);
    assert_false(proto_lost(p));
    struct seen f = see((uint8_t *)out, n);
    assert_int_equal(f.n, 5000);
    assert_int_equal(out[f.size], (char)0x88);
    thrum_proto_free(p);
    p = open_server(NULL);
    assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true, THRUM_DEFAULT), THRUM_OK);
    write_some(p, out, 100);
    proto_cut(p, THRUM_E_RESET, 0, "cut", now);
    assert_true(proto_lost(p));
    assert_int_equal(proto_borrowed(p), PROTO_BORROW_NONE);
    thrum_proto_free(p);
}

/* No memory for the rest of a frame that has begun: it is over, and the caller's memory is let go. */
static void test_settle_without_memory(void **state)
{
    (void)state;
    for (int server = 0; server < 2; server++) {
        count_memory(SIZE_MAX, 0);
        thrum_proto *p = server ? open_server(NULL) : open_client(NULL);
        thrum_slice v = {big, 100000}, left;
        assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true, THRUM_DEFAULT), THRUM_OK);
        write_some(p, out, 500);
        fail_from = asked_for;
        fail_to = SIZE_MAX;
        assert_int_equal(proto_settle(p), PROTO_BORROW_BEGUN);
        expect_error(p, THRUM_E_MEMORY, 1006);
        assert_int_equal(thrum_proto_flags(p) & (THRUM_ENDED | THRUM_WANT_OUT), THRUM_ENDED);
        assert_int_equal(thrum_proto_out(p, &left, 1), 0);
        thrum_proto_free(p);
        stop_counting();
    }
}

/* What was needed to write is given back when all is written: an idle connection holds no buffers. */
static void test_drained_memory_is_given_back(void **state)
{
    (void)state;
    for (int server = 0; server < 2; server++) {
        count_memory(SIZE_MAX, 0);
        thrum_proto *p = server ? open_server(NULL) : open_client(NULL);
        size_t idle = held;
        thrum_slice v = {big, 150000};
        most = held;
        assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true, THRUM_DEFAULT), THRUM_OK);
        write_some(p, out, 70000);
        assert_true(most - idle <= (server ? 0 : 64 * 1024) + 1024); /* a client's stage */
        take_out(p, out, sizeof out);
        assert_int_equal(held, idle);
        assert_status(thrum_proto_send(p, THRUM_BINARY, v, true), THRUM_OK);
        assert_status(thrum_proto_pong(p, slice_of("x")), THRUM_OK);
        take_out(p, out, sizeof out);
        assert_int_equal(held, idle);
        thrum_proto_free(p);
        stop_counting();
    }
}

/* Without memory nothing is queued, the status says so, and the same call works when there is some again. */
static void test_sends_without_memory(void **state)
{
    thrum_slice small = slice_of("small"), large = {big, 5000};
    (void)state;
    for (int k = 0; k < 8; k++) {
        count_memory(SIZE_MAX, 0);
        thrum_proto *p = k % 2 ? open_server(NULL) : open_client(NULL);
        struct shared *s = shared_new(THRUM_TEXT, small);
        thrum_status st = THRUM_E_MEMORY;
        for (size_t nth = 0; st == THRUM_E_MEMORY; nth++) {
            assert_int_equal(proto_pending(p), 0);
            assert_int_equal(proto_borrowed(p), PROTO_BORROW_NONE);
            fail_from = asked_for + nth;
            fail_to = fail_from + 1;
            st = k < 2   ? thrum_proto_send(p, THRUM_BINARY, small, true)
                 : k < 4 ? proto_send_borrow(p, THRUM_BINARY, &large, 1, true, THRUM_DEFAULT)
                 : k < 6 ? thrum_proto_ping(p, small, now, NULL)
                 : k < 7 ? thrum_proto_close(p, 1000, small, now)
                         : proto_send_shared(p, s);
            assert_true(nth > 0 || st == THRUM_E_MEMORY);
        }
        assert_status(st, THRUM_OK);
        assert_int_equal(thrum_proto_state(p), k == 6 ? THRUM_CLOSING : THRUM_OPEN);
        shared_drop(s);
        thrum_proto_free(p);
        stop_counting();
    }
    count_memory(0, SIZE_MAX);
    assert_null(shared_new(THRUM_TEXT, small));
    stop_counting();
}

/* A frame shared by many goes when the last of them has let it go, in whatever way. */
static void test_shared_is_counted(void **state)
{
    (void)state;
    count_memory(SIZE_MAX, 0);
    struct shared *s = shared_new(THRUM_BINARY, (thrum_slice){big, 70000});
    thrum_proto *p[4];
    thrum_stats st = {.size = sizeof st};
    for (int i = 0; i < 4; i++) {
        p[i] = open_server(NULL);
        assert_status(proto_send_shared(p[i], s), THRUM_OK);
    }
    proto_stats(p[0], &st);
    assert_int_equal(st.messages_out, 1);
    assert_int_equal(st.bytes_out, 70000);
    assert_int_equal(st.queued_out, 70010);
    struct seen f = see((uint8_t *)out, take_out(p[0], out, sizeof out)); /* written */
    assert_int_equal(f.n, 70000);
    assert_memory_equal(f.p, big, 70000);
    say(p[1], 0x88, "\x03\xe8", 2); /* dropped */
    assert_status(proto_send_shared(p[1], s), THRUM_E_CLOSED);
    proto_goodbye(p[2], 1001); /* not begun */
    shared_drop(s);
    for (int i = 0; i < 4; i++)
        thrum_proto_free(p[i]);
    stop_counting();
    p[0] = new_server(NULL);
    s = shared_new(THRUM_TEXT, none);
    assert_status(proto_send_shared(p[0], s), THRUM_E_STATE);
    shared_drop(s);
    thrum_proto_free(p[0]);
}

/* What the server unmasks is what was said, whatever was written at once. */
static void test_masked_round_trip(void **state)
{
    (void)state;
    fill();
    thrum_proto *c = open_client(NULL), *s = open_server(NULL);
    for (size_t n = 0; n < sizeof big; n = n * 3 + 1) {
        thrum_slice v[2] = {{big, n / 3}, {big + n / 3, n - n / 3}};
        thrum_event e;
        assert_status(proto_send_borrow(c, THRUM_BINARY, v, 2, true, THRUM_DEFAULT), THRUM_OK);
        pump(c, s);
        assert_true(next_of(s, THRUM_EVENT_MESSAGE, &e));
        assert_int_equal(e.message.len, n);
        assert_memory_equal(e.message.data, big, n);
        thrum_message_release(&e.message);
    }
    thrum_proto_free(c);
    thrum_proto_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settle),
        cmocka_unit_test(test_fresh_part_taken_back),
        cmocka_unit_test(test_control_passes_fresh_data_only),
        cmocka_unit_test(test_goodbye_in_mid_frame),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_goodbye_behind_a_settled_frame),
        cmocka_unit_test(test_goodbye_behind_the_handshake),
        cmocka_unit_test(test_R24_masks),
        cmocka_unit_test(test_every_size_of_slices_and_writes),
        cmocka_unit_test(test_what_send_refuses),
        cmocka_unit_test(test_copied_or_lent),
        cmocka_unit_test(test_settle_small),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_settle_without_memory),
        cmocka_unit_test(test_drained_memory_is_given_back),
        cmocka_unit_test(test_sends_without_memory),
        cmocka_unit_test(test_shared_is_counted),
        cmocka_unit_test(test_masked_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
