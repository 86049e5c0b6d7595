/* stream_test.c: what a stack of streams answers as a whole. */
#include "net/stream.h"
#include "net_test.h"
#include <poll.h>

struct fake {
    struct stream s;
    short wants;
    bool buffered, failed;
    int flush;
    size_t unsent;
    const char *text;
    int shut, cut;
};

static struct fake *of(struct stream *s)
{
    return (struct fake *)(void *)s;
}
static const struct fake *of_const(const struct stream *s)
{
    return (const struct fake *)(const void *)s;
}
static short fake_wants(const struct stream *s, short asked)
{
    return (short)(of_const(s)->wants | asked);
}
static bool fake_buffered(const struct stream *s)
{
    return of_const(s)->buffered;
}
static int fake_flush(struct stream *s)
{
    return of(s)->flush;
}
static size_t fake_unsent(const struct stream *s)
{
    return of_const(s)->unsent;
}
static bool fake_failed(const struct stream *s, thrum_error *err)
{
    if (of_const(s)->failed)
        memcpy(err->text, of_const(s)->text, strlen(of_const(s)->text) + 1);
    return of_const(s)->failed;
}
static int fake_shut(struct stream *s)
{
    return of(s)->shut++;
}
static void fake_cut(struct stream *s)
{
    of(s)->cut++;
}
static int fake_fd(const struct stream *s)
{
    (void)s;
    return 42;
}
static void fake_describe(const struct stream *s, char *out, size_t cap)
{
    (void)s;
    assert_true(cap > 7);
    memcpy(out, "bottom", 7);
}

static const struct stream_ops full = {.wants = fake_wants,
                                       .buffered = fake_buffered,
                                       .flush = fake_flush,
                                       .unsent = fake_unsent,
                                       .failed = fake_failed,
                                       .shut_out = fake_shut,
                                       .cut = fake_cut,
                                       .fd = fake_fd,
                                       .describe = fake_describe},
                               plain = {.shut_out = stream_below_shut_out,
                                        .cut = stream_below_cut,
                                        .fd = stream_below_fd,
                                        .describe = stream_below_describe};
static struct fake bottom, middle, top;

static int set_up(void **state)
{
    (void)state;
    bottom = (struct fake){.s = {&full, NULL}, .text = "bottom"};
    middle = (struct fake){.s = {&plain, &bottom.s}};
    top = (struct fake){.s = {&full, &middle.s}, .text = "top"};
    return 0;
}

static void test_asked(void **state)
{
    thrum_error err;
    (void)state;
    top.wants = POLLOUT;
    assert_int_equal(stream_wants(&top.s, POLLIN), POLLIN | POLLOUT); /* the topmost that has an answer */
    assert_int_equal(stream_wants(&middle.s, POLLIN), POLLIN);
    bottom.s.ops = &plain;
    assert_int_equal(stream_wants(&middle.s, POLLOUT), POLLOUT); /* nobody has one */
    bottom.s.ops = &full;
    assert_false(stream_buffered(&top.s));
    bottom.buffered = true;
    assert_true(stream_buffered(&top.s));
    top.unsent = 3;
    bottom.unsent = 4;
    assert_int_equal(stream_unsent(&top.s), 7);
    assert_false(stream_failed(&top.s, &err));
    assert_false(stream_failed(NULL, &err));
    top.failed = true;
    assert_true(stream_failed(&top.s, &err));
    assert_string_equal(err.text, "top");
    bottom.failed = true; /* the lowest is the cause */
    assert_true(stream_failed(&top.s, &err));
    assert_string_equal(err.text, "bottom");
}

static void test_flush(void **state)
{
    (void)state;
    assert_int_equal(stream_flush(&top.s), 0);
    bottom.flush = -EAGAIN;
    assert_int_equal(stream_flush(&top.s), -EAGAIN);
    top.flush = -EAGAIN;
    bottom.flush = -EPIPE; /* tells more */
    assert_int_equal(stream_flush(&top.s), -EPIPE);
    top.flush = -EPROTO;
    assert_int_equal(stream_flush(&top.s), -EPROTO);
}

static void test_passed_down(void **state)
{
    char text[16];
    (void)state;
    assert_int_equal(middle.s.ops->fd(&middle.s), 42);
    middle.s.ops->describe(&middle.s, text, sizeof text);
    assert_string_equal(text, "bottom");
    assert_int_equal(middle.s.ops->shut_out(&middle.s), 0);
    middle.s.ops->cut(&middle.s);
    assert_int_equal(bottom.shut, 1);
    assert_int_equal(bottom.cut, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_asked, set_up),
        cmocka_unit_test_setup(test_flush, set_up),
        cmocka_unit_test_setup(test_passed_down, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
