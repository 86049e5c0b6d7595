/* spare_test.c: the memory of large messages goes from one to the next, within its bounds, and not for long.
 */
#include "driven.h"

static uint8_t data[3 << 20];

/* In two pieces: what has come whole needs no memory. */
static void send_large(struct stage *x, size_t n)
{
    static uint8_t f[sizeof data + 14];
    unsigned had = x->spy.messages;
    size_t all = frame_of(f, 0x82, data, n, true);
    peer_give(x->l, &x->p, f, all / 2);
    turn_until(x->l, inside(x->spy.c)->proto);
    peer_give(x->l, &x->p, f + all / 2, all - all / 2);
    turn_until(x->l, x->spy.messages == had + 1);
    wheel_cancel(&x->l->others, &x->l->spares_idle.timer); /* a slow machine is not idle */
}

static void test_used_again(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, THRUM_SERVER(.max_message = sizeof data));
    long rest = atomic_load(&memory.bytes);
    send_large(&x, 1 << 20);
    assert_int_equal(x.l->nspares, 1);
    const uint8_t *p = x.l->spares[0].p;
    for (int i = 0; i < 10; i++) { /* the same memory, again and again */
        send_large(&x, (1 << 20) - (size_t)i * 1000);
        assert_int_equal(x.l->nspares, 1);
        assert_ptr_equal(x.l->spares[0].p, p);
    }
    atomic_store(&memory.peak, 0);
    send_large(&x,
               1 << 20); /* what came of the smaller ones counts as smaller, so that this may be another */
    assert_true(atomic_load(&memory.peak) - rest < (x.l->reads_itself ? 20 : 5) << 20);
    wheel_set(&x.l->others, &x.l->spares_idle.timer, x.l->now);
    turn_until(x.l, x.l->nspares == 0); /* and given back when none come */
    assert_int_equal(x.l->spare_bytes, 0);
    assert_true(x.l->reads_itself || atomic_load(&memory.bytes) - rest < 100000);
    stage_down(&x);
}

static void test_which_are_kept(void **state)
{
    struct stage x = {0};
    (void)state;
    stage_up(&x, THRUM_SERVER(.max_message = sizeof data));
    send_large(&x, SPARE_LEAST - 1); /* too small to be worth it */
    assert_int_equal(x.l->nspares, 0);
    send_large(&x, SPARE_LEAST);
    assert_int_equal(x.l->nspares, 1);
    send_large(&x, sizeof data); /* does not fit into that one */
    assert_int_equal(x.l->nspares, 2);
    send_large(&x, SPARE_LEAST + 1); /* nor is a far larger one wasted on it */
    assert_int_equal(x.l->nspares, 3);
    assert_true(x.l->spare_bytes <= SPARE_BYTES_MAX);
    peer_text(x.l, &x.p, "small");
    turn_until(x.l, x.spy.messages == 5);
    stage_down(&x); /* with the loop they go */
}

static void test_bounds(void **state)
{
    struct stage x = {0};
    struct peer q[SPARES_MAX + 4];
    static uint8_t f[sizeof data / 4 + 14];
    (void)state;
    stage_up(&x, NULL);
    size_t n = frame_of(f, 0x82, data, SPARE_LEAST * 2, true);
    for (size_t i = 0; i < COUNT(q); i++) { /* all half there at once, so that none has another's memory */
        peer_opens(x.l, x.s, &q[i]);
        peer_give(x.l, &q[i], f, n - 1);
    }
    for (size_t i = 0; i < COUNT(q); i++) {
        peer_give(x.l, &q[i], f + n - 1, 1);
        turn_until(x.l, x.spy.messages == i + 1);
        wheel_cancel(&x.l->others, &x.l->spares_idle.timer);
    }
    assert_int_equal(x.l->nspares, SPARES_MAX);
    for (size_t i = 0; i < COUNT(q); i++)
        peer_close(&q[i]);
    stage_down(&x);
}

/* Eight times 3 MiB are more than is kept. */
static void test_bytes_are_bounded(void **state)
{
    struct stage x = {0};
    struct peer q[8];
    static uint8_t f[sizeof data + 14];
    (void)state;
    stage_up(&x, THRUM_SERVER(.max_message = sizeof data));
    size_t n = frame_of(f, 0x82, data, sizeof data, true);
    for (size_t i = 0; i < COUNT(q); i++) {
        peer_opens(x.l, x.s, &q[i]);
        peer_give(x.l, &q[i], f, n - 1);
    }
    for (size_t i = 0; i < COUNT(q); i++) {
        peer_give(x.l, &q[i], f + n - 1, 1);
        turn_until(x.l, x.spy.messages == i + 1);
        wheel_cancel(&x.l->others, &x.l->spares_idle.timer);
    }
    assert_true(x.l->nspares > 1 && x.l->spare_bytes <= SPARE_BYTES_MAX);
    for (size_t i = 0; i < COUNT(q); i++)
        peer_close(&q[i]);
    stage_down(&x);
}

/* One that ends in the midst of a message has the memory that it was lent with it. */
static void test_ended_in_the_midst(void **state)
{
    struct stage x = {0};
    static uint8_t f[SPARE_LEAST + 14];
    (void)state;
    stage_up(&x, NULL);
    send_large(&x, SPARE_LEAST);
    assert_int_equal(x.l->nspares, 1);
    size_t n = frame_of(f, 0x82, data, SPARE_LEAST, true);
    peer_give(x.l, &x.p, f, n / 2);
    turn_until(x.l, x.l->nspares == 0);
    peer_reset(&x.p);
    turn_until(x.l, x.spy.closes == 1);
    stage_down(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_used_again),        clean_test(test_which_are_kept),     clean_test(test_bounds),
        clean_test(test_bytes_are_bounded), clean_test(test_ended_in_the_midst),
    };
    return run_on_backend(tests);
}
