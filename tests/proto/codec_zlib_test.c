/* codec_zlib_test.c: inflating, with the byte examples of RFC 7692 section 7.2.3. */
#include "proto/codec.h"
#include "proto_test.h"

#define TAIL     "\0\0\377\377"
#define BYTES(s) ((thrum_slice){(const uint8_t *)(s), sizeof(s) - 1})

static char got[1 << 16];

/* Inflates with `space` bytes of room at a time; the result of the last step. */
static enum inflated run(struct inflater *i, thrum_slice in, size_t space, size_t *n)
{
    enum inflated r = INFLATE_ROOM;
    while (r == INFLATE_ROOM) {
        size_t left = space;
        assert_true(*n + space <= sizeof got);
        r = inflater_run(i, &in, (uint8_t *)got + *n, &left);
        *n += space - left;
    }
    return r;
}

static void expect(thrum_slice in, const char *want)
{
    for (size_t space = 1; space < 40; space += 19) {
        struct inflater *i = inflater_take((thrum_slice){NULL, 0});
        size_t n = 0;
        assert_int_equal(run(i, in, space, &n), INFLATE_OK);
        assert_int_equal(run(i, BYTES(TAIL), space, &n), INFLATE_OK);
        assert_true(inflater_is_between(i));
        assert_int_equal(n, strlen(want));
        assert_memory_equal(got, want, n);
        inflater_give(i);
    }
}

static void test_examples_of_the_rfc(void **state)
{
    (void)state;
    expect(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello");                         /* 7.2.3.1 */
    expect(BYTES("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello");         /* 7.2.3.3: stored */
    expect(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello");                     /* 7.2.3.4: final block */
    expect(BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello"); /* 7.2.3.5: two blocks */
    expect(BYTES("\x00"), "");                                                      /* 7.2.3.6: empty */
}

/* 7.2.3.2: the second "Hello" refers to the first. */
static void test_context(void **state)
{
    uint8_t dict[64];
    size_t n = 0;
    (void)state;
    struct inflater *i = inflater_take((thrum_slice){NULL, 0});
    assert_int_equal(run(i, BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00" TAIL), 50, &n), INFLATE_OK);
    assert_int_equal(inflater_dict(i, dict, 3), 3);
    assert_memory_equal(dict, "llo", 3);
    size_t known = inflater_dict(i, dict, sizeof dict);
    assert_int_equal(known, 5);
    inflater_give(i);
    i = inflater_take((thrum_slice){dict, known});
    n = 0;
    assert_int_equal(run(i, BYTES("\xf2\x00\x11\x00\x00" TAIL), 50, &n), INFLATE_OK);
    assert_int_equal(n, 5);
    assert_memory_equal(got, "Hello", 5);
    inflater_give(i);
    i = inflater_take((thrum_slice){NULL, 0}); /* without it, there is nothing to refer to */
    n = 0;
    assert_int_equal(run(i, BYTES("\xf2\x00\x11\x00\x00" TAIL), 50, &n), INFLATE_BAD);
    inflater_give(i);
}

static void test_final_blocks(void **state)
{
    size_t n = 0;
    (void)state;
    struct inflater *i = inflater_take((thrum_slice){NULL, 0});
    assert_false(inflater_is_final(i));
    assert_int_equal(run(i, BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"), 50, &n), INFLATE_OK);
    assert_true(inflater_is_final(i));
    /* The window lives on: "Hello" again by reference. */
    assert_int_equal(run(i, BYTES("\xf2\x00\x11\x00\x00"), 50, &n), INFLATE_OK);
    assert_false(inflater_is_final(i));
    assert_int_equal(run(i, BYTES(TAIL), 50, &n), INFLATE_OK);
    assert_true(inflater_is_between(i));
    assert_int_equal(n, 10);
    assert_memory_equal(got, "HelloHello", 10);
    inflater_give(i);
}

static void test_cut_off_and_corrupt(void **state)
{
    static const char *const bad[] = {"\x07", "\x04\xc0\xff", "\x01\x05\x05\x05\x05"};
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        size_t n = 0;
        struct inflater *i = inflater_take((thrum_slice){NULL, 0});
        enum inflated r = run(i, (thrum_slice){(const uint8_t *)bad[k], strlen(bad[k])}, 50, &n);
        if (r == INFLATE_OK)
            r = run(i, BYTES(TAIL), 50, &n);
        assert_true(r == INFLATE_BAD || !inflater_is_between(i));
        inflater_give(i);
    }
    for (size_t cut = 1; cut < 6; cut++) {
        size_t n = 0;
        struct inflater *i = inflater_take((thrum_slice){NULL, 0});
        enum inflated r = run(i, (thrum_slice){(const uint8_t *)"\xf2\x48\xcd\xc9\xc9\x07", cut}, 50, &n);
        if (r == INFLATE_OK)
            r = run(i, BYTES(TAIL), 50, &n);
        assert_true(r == INFLATE_BAD || !inflater_is_between(i));
        inflater_give(i);
    }
}

/* The room ends with the text, so that more is asked for; there is none, and nothing changes by asking. */
static void test_asked_without_need(void **state)
{
    struct inflater *i = inflater_take((thrum_slice){NULL, 0});
    size_t n = 0;
    (void)state;
    assert_int_equal(run(i, BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00" TAIL), 5, &n), INFLATE_OK);
    assert_int_equal(n, 5);
    assert_true(inflater_is_between(i));
    inflater_give(i);
}

static void test_stock_and_memory(void **state)
{
    struct inflater *many[6];
    (void)state;
    codec_trim();
    count_memory(SIZE_MAX, SIZE_MAX);
    for (size_t i = 0; i < 6; i++)
        assert_non_null(many[i] = inflater_take((thrum_slice){NULL, 0}));
    size_t six = codec_held();
    for (size_t i = 0; i < 6; i++)
        inflater_give(many[i]);
    inflater_give(NULL);
    assert_true(codec_held() < six);
    codec_trim();
    stop_counting();
    bool done = false;
    for (size_t k = 0; !done; k++) {
        assert_true(k < 10);
        count_memory(k, k + 1);
        size_t n = 0;
        struct inflater *i = inflater_take(BYTES("Hello"));
        done = i && run(i, BYTES("\xf2\x00\x11\x00\x00" TAIL), 50, &n) == INFLATE_OK;
        inflater_give(i);
        codec_trim();
        stop_counting();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_of_the_rfc), cmocka_unit_test(test_context),
        cmocka_unit_test(test_final_blocks),        cmocka_unit_test(test_cut_off_and_corrupt),
        cmocka_unit_test(test_asked_without_need),  cmocka_unit_test(test_stock_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
