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
    assert_status(proto_send_borrow(p, THRUM_BINARY, v, 2, true), THRUM_OK);
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
    assert_status(proto_send_borrow(p, THRUM_TEXT, &a, 1, false), THRUM_OK);
    take_out(p, out, sizeof out);
    assert_status(proto_send_borrow(p, THRUM_TEXT, &b, 1, true), THRUM_OK);
    assert_int_equal(proto_settle(p),
                     PROTO_BORROW_FRESH); /* the message is in parts still, after the first one */
    assert_true(proto_sending_parts(p));
    assert_status(proto_send_borrow(p, THRUM_TEXT, &b, 1, true), THRUM_OK);
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
    assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true), THRUM_OK);
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
    assert_status(proto_send_borrow(p, THRUM_BINARY, &(thrum_slice){big, 5000}, 1, true), THRUM_E_SYSTEM);
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
        assert_status(proto_send_borrow(p, THRUM_BINARY, &v, 1, true), THRUM_OK);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
