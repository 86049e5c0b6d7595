/* park_test.c: a proto at rest becomes a few words and a proto again, and nobody sees the difference. */
#include "park_pair.h"
#include "proto/proto_int.h"

/* ---- when it rests ------------------------------------------------------------------------------------- */

static void test_not_before_it_is_open_and_told(void **state)
{
    struct settings s;
    thrum_proto *p;
    (void)state;
    assert_status(settings_server(&s, NULL, NULL), THRUM_OK);
    assert_status(proto_new_server(&p, &s, &test_host, false, now, NULL), THRUM_OK);
    assert_false(proto_rests(p));
    feed_text(p, good_request);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    drop_events(p);
    assert_false(proto_rests(p)); /* the answer is still to be written */
    take_out(p, out, sizeof out);
    assert_true(proto_rests(p));
    thrum_proto_free(p);
    assert_status(proto_new_server(&p, &s, &test_host, false, now, NULL), THRUM_OK);
    feed_text(p, good_request);
    take_out(p, out, sizeof out);
    assert_false(proto_rests(p)); /* nobody has been told */
    drop_events(p);
    assert_true(proto_rests(p));
    thrum_proto_free(p);
    settings_free(&s);
}

static void test_not_in_mid_message(void **state)
{
    struct pair x;
    uint8_t f[64];
    (void)state;
    set_up(&x, NULL, NULL);
    size_t first = frame(f, 0x01, "hel", 3, true), all = first;
    all += frame(f + all, 0x89, "ping", 4, true);
    all += frame(f + all, 0x80, "lo", 2, true);
    assert_true(proto_rests(x.s));
    for (size_t i = 0; i < all; i++) {
        feed(x.s, f + i, 1);
        assert_false(proto_rests(x.s));
        if (i + 1 == all)
            expect_message(x.s, "hello");
        else
            drop_events(x.s);
        take_out(x.s, out, sizeof out);
        assert_int_equal(proto_rests(x.s), i + 1 == all);
    }
    /* An empty one of two bytes, to a client: half its head is no rest. */
    assert_true(proto_rests(x.c));
    feed(x.c, "\x82", 1);
    assert_false(proto_rests(x.c));
    feed(x.c, "\0", 1);
    assert_false(proto_rests(x.c)); /* nobody has taken it */
    drop_events(x.c);
    assert_true(proto_rests(x.c));
    part(&x);
}

static void test_not_while_there_is_to_write(void **state)
{
    struct pair x;
    (void)state;
    set_up(&x, NULL, NULL);
    assert_status(thrum_proto_send(x.s, THRUM_TEXT, slice_of("abc"), true), THRUM_OK);
    for (size_t left = 5; left > 0; left--) {
        assert_false(proto_rests(x.s));
        write_some(x.s, 1);
    }
    assert_true(proto_rests(x.s));
    assert_status(thrum_proto_send(x.s, THRUM_TEXT, slice_of("ab"), false), THRUM_OK);
    take_out(x.s, out, sizeof out);
    assert_false(proto_rests(x.s)); /* the message goes on */
    assert_status(thrum_proto_send(x.s, THRUM_TEXT, slice_of("c"), true), THRUM_OK);
    take_out(x.s, out, sizeof out);
    assert_true(proto_rests(x.s));
    part(&x);
}

static void test_not_while_a_ping_is_out(void **state)
{
    struct pair x;
    (void)state;
    set_up(&x, NULL, NULL);
    assert_status(thrum_proto_ping(x.s, slice_of("?"), now, NULL), THRUM_OK);
    take_out(x.s, out, sizeof out);
    assert_false(proto_rests(x.s));
    say(x.s, 0x8a, "!", 1); /* not the answer */
    drop_events(x.s);
    assert_false(proto_rests(x.s));
    say(x.s, 0x8a, "?", 1);
    assert_false(proto_rests(x.s));
    drop_events(x.s);
    assert_true(proto_rests(x.s));
    now = thrum_proto_deadline(x.s); /* keepalive's own is no other */
    thrum_proto_tick(x.s, now);
    size_t n = take_out(x.s, out, sizeof out);
    assert_int_equal(out[0], (char)0x89);
    assert_false(proto_rests(x.s));
    say(x.s, 0x8a, out + 2, n - 2);
    drop_events(x.s);
    assert_true(proto_rests(x.s));
    part(&x);
}

/* A verdict that is put off, and the end. */
static void test_not_near_the_end(void **state)
{
    struct pair x;
    thrum_event e;
    (void)state;
    set_up(&x, NULL, NULL);
    say(x.s, 0x82, "m", 1);
    assert_true(thrum_proto_event(x.s, &e));
    assert_true(proto_rests(x.s));
    say(x.s, 0x83, "", 0); /* wrong; but the message may still be answered */
    assert_int_equal(thrum_proto_state(x.s), THRUM_OPEN);
    assert_false(proto_rests(x.s));
    thrum_message_release(&e.message);
    part(&x);
    set_up(&x, NULL, NULL);
    assert_status(thrum_proto_close(x.s, 1000, none, now), THRUM_OK);
    assert_false(proto_rests(x.s));
    take_out(x.s, out, sizeof out);
    assert_false(proto_rests(x.s));
    proto_cut(x.c, THRUM_E_RESET, 0, "cut", now);
    drop_events(x.c);
    assert_false(proto_rests(x.c));
    part(&x);
}

/* What one of these leaves behind would be lost, so each of them counts by itself, whatever goes with it. */
static void test_each_condition_alone(void **state)
{
    struct pair x;
    struct verdict v = {.by = 1};
    (void)state;
    set_up(&x, NULL, NULL);
    thrum_proto *p = x.s, kept = *p;
#define KEEPS_AWAKE(change)                                                                                  \
    do {                                                                                                     \
        assert_true(proto_rests(p));                                                                         \
        p->change;                                                                                           \
        assert_false(proto_rests(p));                                                                        \
        *p = kept;                                                                                           \
    } while (0)
    KEEPS_AWAKE(state = THRUM_CONNECTING);
    KEEPS_AWAKE(state = THRUM_CLOSING);
    KEEPS_AWAKE(expect = EXPECT_PAYLOAD);
    KEEPS_AWAKE(expect = EXPECT_NOTHING);
    KEEPS_AWAKE(fh_n = 1);
    KEEPS_AWAKE(in_msg = true);
    KEEPS_AWAKE(sending = true);
    KEEPS_AWAKE(held = &v);
    KEEPS_AWAKE(in_ended = true);
    KEEPS_AWAKE(npings = 1);
    KEEPS_AWAKE(ping_by = 1);
#undef KEEPS_AWAKE
    part(&x);
}

/* ---- what is kept -------------------------------------------------------------------------------------- */

static void some_talk(struct pair *x)
{
    assert_status(thrum_proto_send(x->s, THRUM_TEXT, slice_of("one"), true), THRUM_OK);
    assert_status(thrum_proto_send(x->s, THRUM_BINARY, piece(0, 900), true), THRUM_OK);
    assert_status(thrum_proto_send(x->c, THRUM_BINARY, piece(0, 300), true), THRUM_OK);
    assert_status(thrum_proto_ping(x->s, none, now, NULL), THRUM_OK);
    assert_status(thrum_proto_ping(x->c, none, now, NULL), THRUM_OK);
    assert_status(thrum_proto_ping(x->c, none, now, NULL), THRUM_OK);
    assert_status(thrum_proto_pong(x->s, none), THRUM_OK);
    now += 7;
    pump(x->c, x->s);
    drop_events(x->c);
    drop_events(x->s);
}

static void test_counters(void **state)
{
    struct pair x;
    struct parked k;
    (void)state;
    set_up(&x, NULL, NULL);
    assert_int_equal(proto_latency(x.s), -1);
    rest(&x.s, true, &x.ss);
    assert_int_equal(proto_latency(x.s), -1);
    for (unsigned round = 1; round <= 3; round++) {
        some_talk(&x);
        thrum_stats before = stats_of(x.s), there = {.size = sizeof there};
        assert_int_equal(before.messages_out, 2 * round);
        assert_int_equal(before.bytes_out, 903 * round);
        assert_int_equal(before.messages_in, round);
        assert_int_equal(before.bytes_in, 300 * round);
        assert_int_equal(before.pings_out, round);
        assert_int_equal(before.pings_in, 2 * round);
        assert_int_equal(before.pongs_out, 3 * round);
        assert_int_equal(before.pongs_in, round);
        assert_int_equal(before.latency_ns, 7);
        assert_true(before.compress_held > 0);
        assert_int_equal(proto_wire_in(x.s), before.wire_in);
        assert_true(proto_rests(x.s));
        proto_park(x.s, &k);
        parked_stats(&k, &there);
        assert_memory_equal(&there, &before, sizeof there);
        x.s = proto_unpark(&k, true, &x.ss, &test_host, now);
        there = stats_of(x.s);
        assert_memory_equal(&there, &before, sizeof there);
    }
    proto_wrote(x.s, 1000); /* bytes that it has never seen */
    assert_int_equal(stats_of(x.s).wire_out, k.wire_out + 1000);
    part(&x);
    set_up(&x, THRUM_CLIENT(PLAIN), NULL);
    proto_park(x.c, &k);
    assert_null(k.deflate);
    thrum_stats s = {.size = sizeof s};
    parked_stats(&k, &s);
    assert_int_equal(s.compress_held, 0);
    parked_free(&k);
    x.c = NULL;
    part(&x);
}

/* It can be used as before. */
static void test_the_doors_after_a_park(void **state)
{
    struct pair x;
    thrum_stats s;
    (void)state;
    for (int i = 0; i < 2; i++) {
        set_up(&x, THRUM_CLIENT(.compression = i ? THRUM_OFF : THRUM_ON), NULL);
        rest(&x.c, false, &x.cs);
        rest(&x.s, true, &x.ss);
        assert_ptr_equal(proto_settings(x.s), &x.ss);
        assert_string_equal(proto_peer(x.s), "test");
        assert_int_equal(proto_deflate(x.s) != NULL, !i);
        for (int k = 0; k < 3; k++)
            some_talk(&x);
        s = stats_of(x.c);
        assert_int_equal(s.messages_in, 6);
        assert_int_equal(s.messages_out, 3);
        assert_status(thrum_proto_close(x.c, 1000, slice_of("bye"), now), THRUM_OK);
        pump(x.c, x.s);
        thrum_closing c = {.size = sizeof c};
        assert_status(thrum_proto_closing(x.s, &c), THRUM_OK);
        assert_int_equal(c.clean, 1);
        assert_string_equal(c.recv_reason, "bye");
        part(&x);
    }
}

/* Of its memory nothing stays but what the peers may refer to. */
static void test_memory(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pair x;
        struct parked kc, ks;
        set_up(&x, THRUM_CLIENT(.compression = i ? THRUM_OFF : THRUM_ON), THRUM_SERVER(.subprotocols = "a"));
        thrum_proto_free(x.c);
        thrum_proto_free(x.s);
        codec_trim();
        count_memory(SIZE_MAX, 0);
        meet(&x);
        some_talk(&x);
        codec_trim();
        assert_true(proto_rests(x.c) && proto_rests(x.s));
        proto_park(x.c, &kc);
        proto_park(x.s, &ks);
        size_t kept = i ? 0 : deflate_held(kc.deflate) + deflate_held(ks.deflate) + 2 * sizeof *ks.deflate;
        assert_int_equal(held, kept);
        parked_free(&kc);
        parked_free(&kc); /* once is enough, and twice is fine */
        parked_free(&ks);
        stop_counting();
        settings_free(&x.cs);
        settings_free(&x.ss);
    }
}

static void test_no_memory_to_go_on(void **state)
{
    struct pair x;
    struct parked k, before;
    (void)state;
    set_up(&x, NULL, NULL);
    some_talk(&x);
    thrum_stats stats = stats_of(x.s);
    proto_park(x.s, &k);
    before = k;
    x.s = NULL;
    for (size_t nth = 0; !x.s; nth++) {
        mem_force_hook(&counted); /* what was there before is not touched meanwhile */
        fail_from = asked_for + nth;
        fail_to = fail_from + 1;
        x.s = proto_unpark(&k, true, &x.ss, &test_host, now);
        fail_from = SIZE_MAX;
        assert_true(nth > 1 || !x.s); /* itself, and who the peer is */
        if (!x.s) {
            assert_int_equal(held, 0);
            assert_memory_equal(&k, &before, sizeof k);
        }
    }
    assert_true(proto_rests(x.s));
    thrum_stats now_there = stats_of(x.s);
    assert_memory_equal(&now_there, &stats, sizeof stats);
    x.s->deflate = NULL; /* of the other memory */
    thrum_proto_free(x.s);
    assert_int_equal(held, 0);
    mem_force_hook(NULL);
    deflate_free(before.deflate);
    x.s = NULL;
    part(&x);
}

/* ---- messages that refer to others --------------------------------------------------------------------- */

/* The same talk twice, with a rest at each end between any two messages, and without: the same bytes. */
static void talk_with_rests(const thrum_client_options *co, const thrum_server_options *so, bool refers)
{
    static char other[sizeof out];
    struct pair resting, busy;
    size_t n, m, first[2] = {0}, again[2] = {0};
    set_up(&resting, co, so);
    set_up(&busy, co, so);
    for (int i = 0; i < 24; i++) {
        bool by_client = i % 2;
        thrum_switch how = i % 6 < 4 ? THRUM_ON : THRUM_OFF;
        thrum_slice s = piece((size_t)i / 12 * 100, i < 12 ? 2000 : 1000 + 300 * (size_t)i);
        random_state = 9;
        carry(by_client ? resting.c : resting.s, by_client ? resting.s : resting.c, s, how, out, &n);
        random_state = 9;
        carry(by_client ? busy.c : busy.s, by_client ? busy.s : busy.c, s, how, other, &m);
        assert_int_equal(n, m);
        assert_memory_equal(out, other, n);
        (i < 2 ? first : again)[i % 2] = i < 4 ? n : again[i % 2];
        rest(&resting.c, false, &resting.cs);
        rest(&resting.s, true, &resting.ss);
    }
    for (int i = 0; i < 2; i++)
        assert_true(refers ? again[i] * 4 < first[i] : again[i] == first[i]);
    part(&resting);
    part(&busy);
}

static void test_compressed_messages_go_on(void **state)
{
    (void)state;
    talk_with_rests(NULL, NULL, true);
    talk_with_rests(THRUM_CLIENT(.client_max_window_bits = 15, .compress_level = 6),
                    THRUM_SERVER(.server_max_window_bits = 15), true);
    talk_with_rests(
        THRUM_CLIENT(.client_no_context_takeover = THRUM_ON, .server_no_context_takeover = THRUM_ON), NULL,
        false);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static thrum_time in_ms(thrum_time from, int64_t ms)
{
    return ms < 0 || ms > (INT64_MAX - from) / MS ? INT64_MAX : from + ms * MS;
}

/* Both say the same, and it is what the options say. */
static void test_deadlines(void **state)
{
    static const thrum_span pings[] = {0, THRUM_FOREVER, 50, INT64_MAX / MS, INT64_MAX};
    static const thrum_span idles[] = {0, THRUM_FOREVER, 30, 70, INT64_MAX};
    (void)state;
    for (size_t i = 0; i < 5 * 5 * 3; i++) {
        struct pair x;
        struct parked k;
        thrum_span ping = pings[i % 5], idle = idles[i / 5 % 5];
        set_up(&x, NULL, THRUM_SERVER(.ping_interval = ping, .compress_idle = idle));
        if (i / 25 > 0) { /* there is something to forget */
            assert_status(proto_send_copy(x.s, THRUM_TEXT, &(thrum_slice){words, 500}, 1, true, THRUM_ON),
                          THRUM_OK);
            now += 3 * MS;
            take_out(x.s, out, sizeof out);
        }
        thrum_time told = now;
        if (i / 25 > 1) { /* and something came after that */
            now += 11 * MS;
            say(x.s, 0x82, "x", 1);
            drop_events(x.s);
        }
        thrum_time heard = i / 25 == 1 ? now - 3 * MS : now, want = in_ms(heard, ping ? ping : 20000);
        if (i / 25 > 0 && in_ms(told, idle ? idle : 60000) < want)
            want = in_ms(told, idle ? idle : 60000);
        assert_int_equal(thrum_proto_deadline(x.s), want);
        proto_park(x.s, &k);
        assert_int_equal(parked_deadline(&k, &x.ss), want);
        x.s = proto_unpark(&k, true, &x.ss, &test_host, now);
        assert_int_equal(thrum_proto_deadline(x.s), want);
        part(&x);
    }
}

/* What is due then is done then, and not before. */
static void test_time_goes_on(void **state)
{
    struct pair x;
    size_t n;
    (void)state;
    set_up(&x, NULL, THRUM_SERVER(.ping_interval = 100, .compress_idle = 40));
    carry(x.s, x.c, piece(0, 900), THRUM_ON, out, &n);
    thrum_time forgets = now + 40 * MS, pings = now + 100 * MS;
    size_t all = deflate_held(proto_deflate(x.s));
    now += 5 * MS;
    rest(&x.s, true, &x.ss);
    thrum_proto_tick(x.s, forgets - 1);
    assert_int_equal(deflate_held(proto_deflate(x.s)), all);
    thrum_proto_tick(x.s, forgets);
    assert_true(deflate_held(proto_deflate(x.s)) < all);
    rest(&x.s, true, &x.ss);
    assert_int_equal(thrum_proto_deadline(x.s), pings);
    thrum_proto_tick(x.s, pings - 1);
    assert_true(proto_rests(x.s));
    now = pings;
    thrum_proto_tick(x.s, now);
    assert_int_equal(take_out(x.s, out, sizeof out), 10);
    assert_int_equal(out[0], (char)0x89);
    part(&x);
}

/* ---- how much to feed ---------------------------------------------------------------------------------- */

static size_t frame_size(const uint8_t *b)
{
    size_t n = b[1] & 0x7f, at = 2;
    if (n >= 126) {
        size_t wide = n == 126 ? 2 : 8;
        for (n = 0; wide-- > 0;)
            n = n << 8 | b[at++];
    }
    return at + (b[1] & 0x80 ? 4 : 0) + n;
}

/* Frames of every kind and every form of length; returns the bytes. */
static size_t many_frames(thrum_proto *from, uint8_t *to)
{
    static const size_t lengths[] = {0, 1, 3, 125, 126, 127, 500, 65535, 65536, 70000};
    for (size_t i = 0; i < 2 * (sizeof lengths / sizeof lengths[0]); i++) {
        thrum_switch how = i % 2 ? THRUM_ON : THRUM_OFF;
        thrum_slice s = piece(i, lengths[i / 2]);
        assert_status(thrum_proto_send_with(from, THRUM_BINARY, s, false, how), THRUM_OK);
        if (i % 3 == 0)
            assert_status(thrum_proto_ping(from, i % 2 ? none : piece(0, 125), now, NULL), THRUM_OK);
        assert_status(thrum_proto_send(from, THRUM_BINARY, none, true), THRUM_OK);
        assert_status(thrum_proto_send_with(from, THRUM_TEXT, s, true, how), THRUM_OK);
        assert_status(thrum_proto_pong(from, none), THRUM_OK);
    }
    return take_out(from, (char *)to, sizeof out * 5);
}

/* Feeds as much as proto_next says, or less: no step goes over a frame's end, and none is nothing. */
static void feed_by_steps(thrum_proto *to, const uint8_t *d, size_t n, bool all)
{
    size_t end = 0, steps = 0, frames = 0;
    for (size_t at = 0; at < n; steps++) {
        if (at == end) {
            end += frame_size(d + at);
            frames++;
        }
        size_t next = proto_next(to), less;
        assert_true(next > 0 && next <= end - at);
        less = all ? next : 1 + (size_t)rand() % next;
        feed(to, d + at, less);
        at += less;
        drop_events(to);
        take_out(to, out, sizeof out);
    }
    assert_int_equal(end, n);
    if (all)
        assert_true(steps <= 3 * frames); /* and they are few: two bytes, the head's rest, the payload */
    assert_true(proto_rests(to));
}

static void test_next_stops_at_each_frame(void **state)
{
    static uint8_t d[sizeof out * 5];
    (void)state;
    srand(5);
    for (int i = 0; i < 8; i++) {
        struct pair x;
        set_up(&x, THRUM_CLIENT(.compression = i & 1 ? THRUM_OFF : THRUM_ON, .max_message = 1 << 20), NULL);
        thrum_proto *from = i & 2 ? x.c : x.s, *to = i & 2 ? x.s : x.c;
        size_t n = many_frames(from, d);
        feed_by_steps(to, d, n, i & 4);
        part(&x);
    }
}

/* One frame, cut at each place, and at each from there on. */
static void test_next_for_any_cut(void **state)
{
    static const size_t lengths[] = {0, 1, 2, 7, 125, 126, 130};
    struct pair x;
    uint8_t f[150];
    (void)state;
    set_up(&x, THRUM_CLIENT(PLAIN), NULL);
    for (size_t i = 0; i < 2 * (sizeof lengths / sizeof lengths[0]); i++) {
        bool server = i % 2;
        thrum_proto *p = server ? x.s : x.c;
        size_t size = frame(f, 0x82, words, lengths[i / 2], server);
        for (size_t cut = 0; cut < size; cut++) {
            feed(p, f, cut);
            for (size_t at = cut, next; at < size; at += next) {
                next = proto_next(p);
                assert_true(next > 0 && at + next <= size);
                feed(p, f + at, next);
                assert_int_equal(proto_has_event(p, false), at + next == size);
            }
            drop_events(p);
        }
    }
    part(&x);
}

static void test_next_of_one_that_reads_no_frames(void **state)
{
    struct settings s;
    struct pair x;
    thrum_proto *p;
    (void)state;
    assert_status(settings_server(&s, NULL, NULL), THRUM_OK);
    assert_status(proto_new_server(&p, &s, &test_host, false, now, NULL), THRUM_OK);
    assert_true(proto_next(p) == SIZE_MAX);
    thrum_proto_free(p);
    settings_free(&s);
    set_up(&x, NULL, NULL);
    say(x.s, 0x83, "", 0); /* it has failed, and takes anything */
    assert_true(proto_next(x.s) == SIZE_MAX);
    part(&x);
}

/* ---- memory that a front has at hand ------------------------------------------------------------------- */

enum { LARGE = 5000 };

/* Feeds the head of a frame of LARGE bytes to a server. */
static void begin_frame(thrum_proto *p, uint8_t first)
{
    static uint8_t f[LARGE + 14];
    feed(p, f, frame(f, first, words, LARGE, true) - LARGE);
}

static void feed_words(thrum_proto *p, size_t from, size_t n)
{
    static uint8_t masked[LARGE];
    for (size_t i = 0; i < n; i++)
        masked[i] = (uint8_t)(words[from + i] ^ ((from + i) % 4 + 1));
    feed(p, masked, n);
}

/* Only before the first byte of a payload, and for no less than what is asked about. */
static void test_when_memory_is_wanted(void **state)
{
    struct pair x;
    thrum_event e;
    uint8_t f[LARGE + 14];
    (void)state;
    set_up(&x, NULL, NULL);
    assert_int_equal(proto_wants_memory(x.s, 0), 0);
    size_t head = frame(f, 0x82, words, LARGE, true) - LARGE;
    for (size_t i = 0; i < head; i++) {
        assert_int_equal(proto_wants_memory(x.s, 0), 0);
        feed(x.s, f + i, 1);
    }
    assert_int_equal(proto_wants_memory(x.s, LARGE), LARGE + 1); /* and a NUL */
    assert_int_equal(proto_wants_memory(x.s, LARGE + 1), 0);
    feed(x.s, f + head, 1);
    assert_int_equal(proto_wants_memory(x.s, LARGE), 0);
    assert_true(thrum_proto_event_part(x.s, &e)); /* what had come is taken: it has begun all the same */
    thrum_message_release(&e.message);
    assert_int_equal(proto_wants_memory(x.s, LARGE), 0);
    feed(x.s, f + head + 1, LARGE - 1);
    drop_events(x.s);
    assert_true(proto_rests(x.s));
    size_t n = frame(f, 0x89, words, 125, true); /* what stays in the proto, or comes out larger */
    feed(x.s, f, n - 125);
    assert_int_equal(proto_wants_memory(x.s, 0), 0);
    feed(x.s, f + n - 125, 125);
    drop_events(x.s);
    begin_frame(x.s, 0xc2);
    assert_int_equal(proto_wants_memory(x.s, 0), 0);
    part(&x);
}

/* It is used for the payload, whichever door that comes by, and it is the message's. */
static void test_memory_that_is_given(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        count_memory(SIZE_MAX, 0);
        thrum_event e;
        thrum_proto *p = open_server(NULL);
        size_t room, more = (size_t)i / 2 * 3000; /* it may be larger */
        begin_frame(p, 0x82);
        size_t n = proto_wants_memory(p, 1) + more;
        uint8_t *memory = mem_alloc(n);
        proto_give_memory(p, memory, n);
        assert_int_equal(proto_wants_memory(p, 1), 0);
        size_t asked = asked_for;
        if (i % 2) {
            assert_ptr_equal(thrum_proto_in(p, &room), memory);
            assert_int_equal(room, LARGE);
        }
        feed_words(p, 0, 1000);
        feed_words(p, 1000, LARGE - 1000);
        assert_int_equal(asked_for, asked + 1); /* the event, and nothing for the payload */
        assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
        assert_ptr_equal(e.message.hold, memory);
        assert_ptr_equal(e.message.data, memory);
        assert_int_equal(e.message.len, LARGE);
        assert_memory_equal(memory, words, LARGE);
        assert_int_equal(memory[LARGE], 0);
        thrum_message_release(&e.message);
        begin_frame(p, 0x02); /* a part; more behind it needs more than was given */
        proto_give_memory(p, mem_alloc(LARGE + 1), LARGE + 1);
        feed_words(p, 0, LARGE);
        begin_frame(p, 0x80);
        feed_words(p, 0, LARGE);
        assert_true(next_of(p, THRUM_EVENT_MESSAGE, &e));
        assert_int_equal(e.message.len, 2 * LARGE);
        assert_memory_equal(e.message.data + LARGE, words, LARGE);
        thrum_message_release(&e.message);
        begin_frame(p, 0x82); /* a message that never will be gives it back */
        proto_give_memory(p, mem_alloc(LARGE + 1), LARGE + 1);
        if (i % 2)
            proto_cut(p, THRUM_E_RESET, 0, "cut", now);
        thrum_proto_free(p);
        stop_counting();
    }
}

/* ---- a peer that does not read ------------------------------------------------------------------------- */

static void test_overflow(void **state)
{
    static const char why[] = "\x03\xf5"
                              "36 bytes waited for the peer to read them";
    struct pair x;
    (void)state;
    set_up(&x, THRUM_CLIENT(PLAIN), THRUM_SERVER(.close_timeout = 500));
    assert_status(thrum_proto_send(x.s, THRUM_TEXT, slice_of("begun"), true), THRUM_OK);
    write_some(x.s, 1);
    assert_status(thrum_proto_send(x.s, THRUM_BINARY, piece(0, 28), true), THRUM_OK);
    now += 5 * MS;
    proto_overflow(x.s, now);
    expect_error(x.s, THRUM_E_FULL, 1013);
    assert_int_equal(thrum_proto_state(x.s), THRUM_CLOSING);
    assert_int_equal(thrum_proto_deadline(x.s), now + 500 * MS);
    proto_overflow(x.s, now); /* it has been said */
    assert_int_equal(take_out(x.s, out, sizeof out), 6 + 2 + sizeof why - 1);
    assert_memory_equal(out, "\5begun\x88", 7);
    assert_memory_equal(out + 8, why, sizeof why - 1);
    assert_int_equal(thrum_proto_flags(x.s) & THRUM_SHUT_OUT, THRUM_SHUT_OUT);
    say(x.s, 0x81, "too late", 8);
    assert_false(proto_has_event(x.s, true));
    thrum_proto_tick(x.s, now + 500 * MS);
    assert_int_equal(thrum_proto_state(x.s), THRUM_CLOSED);
    expect_error(x.s, THRUM_E_FULL, 1013);
    part(&x);
    set_up(&x, NULL, NULL); /* what the peer did before that comes first */
    say(x.s, 0x81, "m", 1);
    say(x.s, 0x83, "", 0);
    proto_overflow(x.s, now);
    expect_error(x.s, THRUM_E_PROTOCOL, 1002);
    part(&x);
}

/* ---- a user who does not read -------------------------------------------------------------------------- */

static void test_unread(void **state)
{
    struct pair x;
    (void)state;
    set_up(&x, NULL, THRUM_SERVER(.ping_interval = 100, .ping_timeout = 30));
    proto_set_unread(x.s, true);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(thrum_proto_deadline(x.s), now + 100 * MS);
        thrum_proto_tick(x.s, now + 100 * MS - 1);
        assert_int_equal(proto_pending(x.s), 0);
        now += 100 * MS;
        thrum_proto_tick(x.s, now); /* a sign of life, which asks for none */
        expect_out(x.s, "\x8a\0", 2);
        rest(&x.s, true, &x.ss);
        proto_set_unread(x.s, true);
    }
    thrum_time deadline = thrum_proto_deadline(x.s);
    now += 70 * MS;
    thrum_proto_tick(x.s, now);
    proto_set_unread(x.s, true); /* as before */
    assert_int_equal(thrum_proto_deadline(x.s), deadline);
    /* From the user's coming back on the peer has all its time. */
    proto_set_unread(x.s, false);
    assert_int_equal(thrum_proto_deadline(x.s), now + 100 * MS);
    now += 10 * MS;
    thrum_proto_tick(x.s, now);
    proto_set_unread(x.s, false); /* that was no silence of ours */
    assert_int_equal(thrum_proto_deadline(x.s), now + 90 * MS);
    now += 90 * MS;
    thrum_proto_tick(x.s, now);
    assert_int_equal(take_out(x.s, out, sizeof out), 10);
    assert_int_equal(out[0], (char)0x89);
    assert_int_equal(thrum_proto_deadline(x.s), now + 30 * MS);
    proto_set_unread(x.s, true); /* the answer may lie there, unread */
    now += 30 * MS;
    thrum_proto_tick(x.s, now);
    assert_int_equal(thrum_proto_state(x.s), THRUM_OPEN);
    assert_int_equal(thrum_proto_deadline(x.s), now + 100 * MS);
    proto_set_unread(x.s, false);
    now += 100 * MS;
    thrum_proto_tick(x.s, now);
    now += 30 * MS;
    thrum_proto_tick(x.s, now);
    expect_error(x.s, THRUM_E_UNCLEAN, 1011);
    part(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_before_it_is_open_and_told),
        cmocka_unit_test(test_not_in_mid_message),
        cmocka_unit_test(test_not_while_there_is_to_write),
        cmocka_unit_test(test_not_while_a_ping_is_out),
        cmocka_unit_test(test_not_near_the_end),
        cmocka_unit_test(test_each_condition_alone),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_the_doors_after_a_park),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_no_memory_to_go_on),
        cmocka_unit_test(test_compressed_messages_go_on),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_time_goes_on),
        cmocka_unit_test(test_next_stops_at_each_frame),
        cmocka_unit_test(test_next_for_any_cut),
        cmocka_unit_test(test_next_of_one_that_reads_no_frames),
        cmocka_unit_test(test_when_memory_is_wanted),
        cmocka_unit_test(test_memory_that_is_given),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_unread),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
