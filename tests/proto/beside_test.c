/* beside_test.c: what park.h has for a front that writes beside a proto: what goes before its queue, what is
 * dropped from it, copies, and frames that are made once for many. */
#include <pthread.h>
#include "park_pair.h"

/* ---- writing beside a proto ---------------------------------------------------------------------------- */

/* The rest of a frame that somebody else has begun goes first, whatever is queued and whatever comes. */
static void test_put_first(void **state)
{
    struct pair x;
    (void)state;
    set_up(&x, NULL, NULL);
    assert_status(thrum_proto_send(x.s, THRUM_TEXT, slice_of("data"), true), THRUM_OK);
    assert_status(thrum_proto_pong(x.s, slice_of("o")), THRUM_OK);
    assert_status(proto_put_first(x.s, (const uint8_t *)"rest", 4), THRUM_OK);
    assert_status(thrum_proto_pong(x.s, slice_of("i")), THRUM_OK); /* passes what is fresh, not this */
    expect_out(x.s, "rest\x8a\1o\x8a\1i\x81\4data", 16);
    assert_true(proto_rests(x.s));
    assert_status(proto_put_first(x.s, (const uint8_t *)"alone", 5), THRUM_OK);
    assert_false(proto_rests(x.s));
    expect_out(x.s, "alone", 5);
    thrum_stats s = stats_of(x.s);
    assert_int_equal(s.messages_out, 1); /* bytes are not messages */
    assert_int_equal(s.bytes_out, 4);
    /* Nobody drops it: the peer's Close does not, nor our goodbye, nor a full queue. */
    assert_status(proto_put_first(x.s, (const uint8_t *)"rest", 4), THRUM_OK);
    assert_status(thrum_proto_send(x.s, THRUM_TEXT, slice_of("data"), true), THRUM_OK);
    assert_int_equal(proto_drop_oldest(x.s, 0), 1);
    assert_status(thrum_proto_send(x.s, THRUM_TEXT, slice_of("data"), true), THRUM_OK);
    say(x.s, 0x88, "\x03\xe8", 2);
    expect_out(x.s, "rest\x88\2\x03\xe8", 8);
    part(&x);
    set_up(&x, NULL, NULL);
    assert_status(proto_put_first(x.s, (const uint8_t *)"rest", 4), THRUM_OK);
    proto_goodbye(x.s, 1001);
    expect_out(x.s, "rest\x88\2\x03\xe9", 8);
    part(&x);
}

/* Of several slices, wherever the first of the bytes that are left stands. */
static void test_put_rest(void **state)
{
    const thrum_slice v[] = {slice_of("head"), slice_of(""), slice_of("pay"), slice_of("load")};
    (void)state;
    for (size_t done = 0; done < 11; done++) {
        struct pair x;
        set_up(&x, NULL, NULL);
        assert_status(proto_put_rest(x.s, v, sizeof v / sizeof v[0], done), THRUM_OK);
        expect_out(x.s, &"headpayload"[done], 11 - done);
        part(&x);
    }
}

static void test_put_first_without_memory(void **state)
{
    thrum_proto *p;
    (void)state;
    count_memory(SIZE_MAX, 0);
    p = open_server(NULL);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("data"), true), THRUM_OK);
    struct shared *s = shared_new(THRUM_TEXT, slice_of("shared"));
    fail_from = asked_for;
    fail_to = SIZE_MAX;
    assert_status(proto_put_first(p, (const uint8_t *)"rest", 4), THRUM_E_MEMORY);
    assert_status(proto_send_form(p, s, s, 0), THRUM_E_MEMORY);
    assert_status(proto_send_form(p, s, s, 3), THRUM_E_MEMORY);
    fail_to = 0;
    assert_int_equal(stats_of(p).messages_out, 1);
    expect_out(p, "\x81\4data", 6);
    shared_drop(s);
    thrum_proto_free(p);
    stop_counting();
}

/* All that one can have queued: a begun one, fresh ones, a ping, a message in parts that is not whole. */
static void queue_much(thrum_proto *p)
{
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("begun"), true), THRUM_OK);
    write_some(p, 3);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("fresh one"), true), THRUM_OK);
    struct shared *s = shared_new(THRUM_TEXT, slice_of("of all"));
    assert_status(proto_send_shared(p, s), THRUM_OK);
    shared_drop(s);
    assert_status(thrum_proto_ping(p, slice_of("?"), now, NULL), THRUM_OK);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("last one"), true), THRUM_OK);
    assert_status(thrum_proto_send(p, THRUM_TEXT, slice_of("part"), false), THRUM_OK);
    assert_int_equal(proto_pending(p), 4 + 11 + 8 + 3 + 10 + 6);
    assert_int_equal(stats_of(p).messages_out, 4);
    assert_int_equal(stats_of(p).bytes_out, 5 + 9 + 6 + 8 + 4);
}

static void test_drop_oldest(void **state)
{
    static const struct {
        size_t room, dropped, bytes; /* payload that goes */
        const char *left;            /* behind what has begun, and the ping, which goes before fresh data */
    } all[] = {
        {42, 0, 0, "\x81\11fresh one\x81\6of all\x81\x08last one\1\4part\x80"},
        {41, 1, 9, "\x81\6of all\x81\x08last one\1\4part\x80"},
        {31, 1, 9, "\x81\6of all\x81\x08last one\1\4part\x80"},
        {30, 2, 15, "\x81\x08last one\1\4part\x80"},
        {23, 2, 15, "\x81\x08last one\1\4part\x80"},
        {22, 3, 23, "\1\4part\x80"},
        {0, 3, 23, "\1\4part\x80"}, /* a message in parts goes on */
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct pair x;
        set_up(&x, THRUM_CLIENT(PLAIN), NULL);
        queue_much(x.s);
        assert_int_equal(proto_drop_oldest(x.s, all[i].room), all[i].dropped);
        assert_int_equal(stats_of(x.s).messages_out, 4 - all[i].dropped);
        assert_int_equal(stats_of(x.s).bytes_out, 32 - all[i].bytes);
        assert_status(thrum_proto_send(x.s, THRUM_TEXT, none, true), THRUM_OK);
        size_t n = take_out(x.s, out, sizeof out);
        assert_memory_equal(out, "egun\x89\1?", 7);
        assert_int_equal(n, 7 + strlen(all[i].left) + 1);
        assert_memory_equal(out + 7, all[i].left, n - 7);
        part(&x);
    }
}

/* ---- sending copies ------------------------------------------------------------------------------------ */

static void test_send_copy(void **state)
{
    struct pair x;
    char mine[] = "middle";
    const thrum_slice v[4] = {slice_of("a "), {(const uint8_t *)mine, 6}, none, slice_of(" z")};
    (void)state;
    set_up(&x, NULL, NULL);
    assert_status(proto_send_copy(x.s, THRUM_TEXT, v, 4, true, THRUM_DEFAULT), THRUM_OK);
    memset(mine, 'x', sizeof mine); /* it is not looked at again */
    assert_int_equal(proto_borrowed(x.s), PROTO_BORROW_NONE);
    assert_int_equal(proto_settle(x.s), PROTO_BORROW_NONE); /* nobody can take it back */
    expect_out(x.s,
               "\x81\x0a"
               "a middle z",
               12);
    assert_status(proto_send_copy(x.s, THRUM_BINARY, NULL, 0, true, THRUM_OFF), THRUM_OK);
    expect_out(x.s, "\x82\0", 2);
    assert_status(proto_send_copy(x.s, THRUM_TEXT, v, 4, false, THRUM_OFF), THRUM_OK);
    assert_status(proto_send_copy(x.s, THRUM_BINARY, v, 4, true, THRUM_OFF), THRUM_E_STATE);
    assert_status(proto_send_copy(x.s, THRUM_TEXT, v, 1, true, THRUM_ON), THRUM_OK);
    expect_out(x.s,
               "\x01\x0a"
               "a xxxxxx z\x80\2a ",
               16);
    const thrum_slice half = slice_of("\xc3");
    assert_status(proto_send_copy(x.s, THRUM_TEXT, &half, 1, true, THRUM_OFF), THRUM_E_UTF8);
    assert_status(proto_send_copy(x.s, THRUM_TEXT, &half, 1, true, THRUM_ON), THRUM_E_UTF8);
    assert_int_equal(proto_pending(x.s), 0);
    /* Long ones are copied, too: nothing is lent. And they are compressed where that is asked for, and helps.
     */
    size_t n;
    carry(x.s, x.c, piece(0, 5000), THRUM_ON, out, &n);
    assert_true(n < 2000 && out[0] == (char)0xc2);
    carry(x.s, x.c, (thrum_slice){noise, sizeof noise}, THRUM_ON, out, &n);
    assert_int_equal(n, 4 + sizeof noise);
    carry(x.s, x.c, piece(0, 5000), THRUM_OFF, out, &n);
    assert_int_equal(n, 4 + 5000);
    part(&x);
}

/* ---- one frame for many -------------------------------------------------------------------------------- */

/* Of a connection that compresses with this window. */
static struct deflate *window_of(struct settings *s, uint8_t bits, bool takeover)
{
    struct deflate_way out_way = {bits, takeover}, in_way = {8, false};
    struct deflate *d = deflate_new(s, out_way, in_way);
    assert_non_null(d);
    return d;
}

static void test_which_form(void **state)
{
    struct settings set;
    (void)state;
    assert_status(settings_server(&set, THRUM_SERVER(.compress_min = 500), NULL), THRUM_OK);
    struct deflate *d = window_of(&set, 12, true), *like = window_of(&set, 12, false),
                   *other = window_of(&set, 8, true);
    struct shared *s = shared_new(THRUM_TEXT, piece(0, 500)), *small = shared_new(THRUM_TEXT, piece(0, 499)),
                  *dense = shared_new(THRUM_BINARY, (thrum_slice){noise, sizeof noise});
    assert_ptr_equal(shared_form(&set, NULL, s), s);
    assert_ptr_equal(shared_form(&set, d, small), small);
    d->sending = true; /* in the midst of a compressed message of its own */
    assert_ptr_equal(shared_form(&set, d, s), s);
    d->sending = false;
    size_t budget = codec_set_budget(0);
    void *much = codec_alloc(2);
    assert_int_equal(codec_load(), CODEC_FULL);
    assert_ptr_equal(shared_form(&set, d, s), s);
    codec_free(much, 2);
    codec_set_budget(budget);
    struct shared *form = shared_form(&set, d, s);
    assert_ptr_not_equal(form, s);
    assert_true(form->n < s->n && form->p[0] == 0xc1 && form->kind == THRUM_TEXT);
    assert_ptr_equal(shared_form(&set, like, s), form); /* made once */
    struct shared *narrow = shared_form(&set, other, s);
    assert_true(narrow != form && narrow != s); /* and for each size of window */
    assert_ptr_equal(shared_form(&set, d, dense), dense);
    assert_ptr_equal(atomic_load(&dense->deflated[12 - 8]), dense); /* it is not tried again */
    assert_int_equal(atomic_load(&s->refs), 1);
    shared_drop(s);
    shared_drop(small);
    shared_drop(dense);
    deflate_free(d);
    deflate_free(like);
    deflate_free(other);
    settings_free(&set);
    codec_trim();
}

/* Each allocation fails in turn: then it is sent as it is, and the next connection tries again. */
static void test_form_without_memory(void **state)
{
    struct settings set;
    (void)state;
    assert_status(settings_server(&set, NULL, NULL), THRUM_OK);
    codec_trim();
    count_memory(SIZE_MAX, 0);
    struct deflate *d = window_of(&set, 12, true);
    struct shared *s = shared_new(THRUM_TEXT, piece(0, 900)), *form = s;
    size_t nth = 0;
    for (; form == s; nth++) {
        assert_null(atomic_load(&s->deflated[12 - 8]));
        codec_trim();
        fail_from = asked_for + nth;
        fail_to = fail_from + 1;
        form = shared_form(&set, d, s);
    }
    assert_true(nth > 3);     /* the compressor, its room, the frame */
    size_t asked = asked_for; /* once it is there nothing is made any more */
    assert_ptr_equal(shared_form(&set, d, s), form);
    assert_int_equal(asked_for, asked);
    shared_drop(s);
    deflate_free(d);
    codec_trim();
    stop_counting();
    settings_free(&set);
}

/* A thread that makes a form, and while it does so another one that makes the same, and is first. */
static struct {
    bool armed;
    const struct settings *set;
    const struct deflate *d;
    struct shared *s, *form;
} second;
static _Atomic long live;

static void *make_form(void *arg)
{
    second.form = shared_form(second.set, second.d, second.s);
    return arg;
}

static void *overtaken_alloc(void *ctx, size_t n)
{
    pthread_t t;
    (void)ctx;
    if (second.armed) {
        second.armed = false;
        assert_int_equal(pthread_create(&t, NULL, make_form, NULL), 0);
        assert_int_equal(pthread_join(t, NULL), 0);
    }
    atomic_fetch_add(&live, 1);
    return malloc(n);
}

static void *plain_resize(void *ctx, void *p, size_t n)
{
    (void)ctx;
    return realloc(p, n);
}

static void count_release(void *ctx, void *p)
{
    (void)ctx;
    atomic_fetch_sub(&live, p != NULL);
    free(p);
}

static const struct mem_hook overtaken = {NULL, overtaken_alloc, plain_resize, count_release};

static void overtake(struct settings *set, const uint8_t *text, size_t n, bool shrinks)
{
    codec_trim();
    live = 0;
    mem_force_hook(&overtaken);
    struct deflate *d = window_of(set, 12, true);
    struct shared *warm = shared_new(THRUM_BINARY, (thrum_slice){text, n}),
                  *s = shared_new(THRUM_BINARY, (thrum_slice){text, n});
    (void)shared_form(set, d, warm); /* a compressor is in stock: what is asked for next is the frame */
    second.set = set;
    second.d = d;
    second.s = s;
    second.form = NULL;
    second.armed = shrinks;
    struct shared *form = shared_form(set, d, s);
    assert_false(second.armed);
    if (shrinks) {
        assert_ptr_equal(form, second.form); /* the first one stays, the other is gone */
        assert_int_equal(atomic_load(&form->refs), 1);
    }
    assert_ptr_equal(atomic_load(&s->deflated[12 - 8]), form);
    assert_int_equal(form != s, shrinks);
    shared_drop(warm);
    shared_drop(s);
    deflate_free(d);
    codec_trim();
    mem_force_hook(NULL);
    assert_int_equal(live, 0);
}

static void test_two_make_a_form_at_once(void **state)
{
    struct settings set;
    (void)state;
    assert_status(settings_server(&set, NULL, NULL), THRUM_OK);
    overtake(&set, words, 2000, true);
    overtake(&set, noise, sizeof noise, false);
    settings_free(&set);
}

/* And in whatever order: all get the same. */
static struct {
    pthread_barrier_t begin;
    const struct settings *set;
    struct shared *s;
} crowd;

static void *join_crowd(void *arg)
{
    pthread_barrier_wait(&crowd.begin);
    return shared_form(crowd.set, arg, crowd.s);
}

static void test_many_make_a_form(void **state)
{
    enum { THREADS = 2, ROUNDS = 50 };
    struct settings set;
    struct deflate *d[THREADS];
    (void)state;
    assert_status(settings_server(&set, NULL, NULL), THRUM_OK);
    assert_int_equal(pthread_barrier_init(&crowd.begin, NULL, THREADS), 0);
    crowd.set = &set;
    for (int i = 0; i < THREADS; i++)
        d[i] = window_of(&set, 12, i % 2);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t t[THREADS];
        void *form[THREADS];
        crowd.s = shared_new(THRUM_TEXT, piece((size_t)round * 10, 700));
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&t[i], NULL, join_crowd, d[i]), 0);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(t[i], &form[i]), 0);
        for (int i = 0; i < THREADS; i++)
            assert_ptr_equal(form[i], atomic_load(&crowd.s->deflated[12 - 8]));
        assert_ptr_not_equal(form[0], crowd.s);
        shared_drop(crowd.s);
    }
    for (int i = 0; i < THREADS; i++)
        deflate_free(d[i]);
    pthread_barrier_destroy(&crowd.begin);
    settings_free(&set);
    codec_trim();
}

/* What the peer has got it may be referred to, where that was agreed on. */
static void test_told(void **state)
{
    struct settings set;
    (void)state;
    assert_status(settings_server(&set, NULL, NULL), THRUM_OK);
    struct deflate *d = window_of(&set, 12, true), *forgets = window_of(&set, 12, false);
    struct shared *s = shared_new(THRUM_TEXT, piece(0, 900)), *form = shared_form(&set, d, s);
    shared_told(d, s, s); /* it went as it is: no text of the compressor's */
    assert_int_equal(d->sent.n, 0);
    shared_told(forgets, s, form);
    assert_int_equal(forgets->sent.n, 0);
    shared_told(d, s, form);
    assert_int_equal(d->sent.n, 900);
    assert_memory_equal(d->sent.p, words, 900);
    shared_drop(s);
    deflate_free(d);
    deflate_free(forgets);
    settings_free(&set);
    codec_trim();
}

/* A front has written `done` bytes of a form, then a proto writes the rest, before anything else. */
static void send_the_rest(struct pair *x, struct shared *s, size_t done)
{
    thrum_event e;
    struct shared *form = shared_form(&x->ss, proto_deflate(x->s), s);
    thrum_stats before = stats_of(x->s);
    assert_status(thrum_proto_send(x->s, THRUM_TEXT, slice_of("queued"), true), THRUM_OK);
    size_t queued = proto_pending(x->s);
    assert_status(proto_send_form(x->s, s, form, done), THRUM_OK);
    assert_status(thrum_proto_pong(x->s, none), THRUM_OK);
    assert_int_equal(proto_pending(x->s), queued + form->n - done + 2);
    assert_int_equal(stats_of(x->s).messages_out, before.messages_out + 2);
    assert_int_equal(stats_of(x->s).bytes_out, before.bytes_out + s->payload + 6);
    assert_int_equal(proto_drop_oldest(x->s, queued + form->n - done + 2), 0);
    memcpy(out, form->p, done);
    bool shrunk = form != s;
    size_t whole = form->n;
    shared_drop(s); /* the outbox has what it needs */
    size_t n = done + take_out(x->s, out + done, sizeof out - done);
    assert_int_equal(n, whole + queued + 2);
    /* Where nothing had been written it has no place before the others. */
    assert_int_equal(out[0], (char)(done == 0 ? 0x8a : shrunk ? 0xc2 : 0x82));
    assert_int_equal(out[whole], (char)(done ? 0x8a : out[whole]));
    feed(x->c, out, n);
    for (int i = 0; i < 2; i++) {
        assert_true(next_of(x->c, THRUM_EVENT_MESSAGE, &e));
        assert_int_equal(e.message.len, (i == 0) == (done > 0) ? 900 : 6);
        assert_memory_equal(e.message.data, e.message.len == 6 ? (const uint8_t *)"queued" : words,
                            e.message.len);
        thrum_message_release(&e.message);
    }
    drop_events(x->c);
}

static void test_send_form(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pair x;
        size_t n, whole;
        set_up(&x, THRUM_CLIENT(.compression = i ? THRUM_OFF : THRUM_ON), NULL);
        struct shared *s = shared_new(THRUM_BINARY, piece(0, 900));
        whole = shared_form(&x.ss, proto_deflate(x.s), s)->n;
        shared_drop(s);
        for (size_t done = 0; done < whole; done++) {
            send_the_rest(&x, shared_new(THRUM_BINARY, piece(0, 900)), done);
            if (done % 5 == 0) /* what both ends remember is the same */
                carry(x.s, x.c, piece(100, 850), THRUM_ON, out, &n);
            if (done % 5 == 0 && i == 0)
                assert_true(n < 60);
            rest(&x.s, true, &x.ss);
        }
        part(&x);
    }
}

/* What has begun is finished: neither a full queue nor the end drops it. */
static void test_a_form_that_has_begun(void **state)
{
    struct pair x;
    (void)state;
    set_up(&x, NULL, NULL);
    struct shared *s = shared_new(THRUM_TEXT, slice_of("shared")), *t = shared_new(THRUM_TEXT, none);
    assert_status(proto_send_form(x.s, s, s, 3), THRUM_OK);
    assert_int_equal(proto_drop_oldest(x.s, 0), 0);
    assert_status(proto_send_form(x.s, t, t, 0), THRUM_OK);
    shared_drop(s);
    shared_drop(t);
    say(x.s, 0x88, "\x03\xe8", 2);
    expect_out(x.s, "hared\x88\2\x03\xe8", 9);
    part(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_first),
        cmocka_unit_test(test_put_rest),
        cmocka_unit_test(test_put_first_without_memory),
        cmocka_unit_test(test_drop_oldest),
        cmocka_unit_test(test_send_copy),
        cmocka_unit_test(test_which_form),
        cmocka_unit_test(test_form_without_memory),
        cmocka_unit_test(test_two_make_a_form_at_once),
        cmocka_unit_test(test_many_make_a_form),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_send_form),
        cmocka_unit_test(test_a_form_that_has_begun),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
