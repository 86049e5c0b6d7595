/* post_test.c: what other threads, and callbacks themselves, want of a loop; and its timers. */
#include "driven.h"

struct list_of_calls {
    char text[256];
    thrum_loop *l;
    thrum_conn *c;
    int n;
};
struct call {
    struct list_of_calls *to;
    const char *name;
};

static void note(thrum_conn *c, void *arg)
{
    const struct call *k = arg;
    strcat(k->to->text, k->name);
    k->to->c = c;
    k->to->n++;
}

static void note_timer(void *arg)
{
    note(NULL, arg);
}

static void test_order_and_whom(void **state)
{
    struct stage x = {0};
    struct list_of_calls calls = {0};
    struct call a = {&calls, "a"}, b = {&calls, "b"}, c = {&calls, "c"};
    (void)state;
    stage_up(&x, NULL);
    thrum_id id = x.spy.id;
    assert_status(thrum_post(x.l, 0, note, &a), THRUM_OK);
    assert_status(thrum_post(x.l, id + (1u << 24), note, &b), THRUM_OK);
    assert_status(thrum_post(x.l, UINT64_MAX, note, &b), THRUM_OK);
    assert_status(thrum_post(x.l, id, note, &c), THRUM_OK);
    assert_string_equal(calls.text, ""); /* in the loop's time only */
    turn_until(x.l, calls.n == 4);
    assert_string_equal(calls.text, "abbc");
    assert_ptr_equal(calls.c, x.spy.c);
    thrum_conn_free(x.spy.c);
    assert_status(thrum_post(x.l, id, note, &a), THRUM_OK);
    turn_until(x.l, calls.n == 5);
    assert_null(calls.c); /* it has gone */
    stage_down(&x);
}

static void test_arguments(void **state)
{
    thrum_loop *l = loop_up();
    struct list_of_calls calls = {0};
    struct call a = {&calls, "a"};
    thrum_id timer = 77;
    (void)state;
    assert_status(thrum_post(NULL, 0, note, &a), THRUM_E_ARGUMENT);
    assert_status(thrum_post(l, 0, NULL, &a), THRUM_E_ARGUMENT);
    assert_status(thrum_loop_after(NULL, 0, note_timer, &a, &timer), THRUM_E_ARGUMENT);
    assert_status(thrum_loop_after(l, 0, NULL, &a, &timer), THRUM_E_ARGUMENT);
    assert_status(thrum_loop_after(l, -1, note_timer, &a, &timer), THRUM_E_ARGUMENT);
    assert_false(thrum_loop_cancel(NULL, timer));
    assert_false(thrum_loop_cancel(l, timer));
    memory_refuse_after(0);
    assert_status(thrum_post(l, 0, note, &a), THRUM_E_MEMORY);
    assert_status(thrum_loop_after(l, 0, note_timer, &a, &timer), THRUM_E_MEMORY);
    memory_refuse_after(-1);
    assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED);
    loop_down(l);
}

/* ---- from where it is posted: the loop never sleeps over a letter ---- */

static void post_more(thrum_conn *c, void *arg)
{
    struct list_of_calls *calls = arg;
    (void)c;
    if (++calls->n < 5)
        assert_status(thrum_post(calls->l, 0, post_more, calls), THRUM_OK);
}

static void post_from_timer(void *arg)
{
    struct list_of_calls *calls = arg;
    assert_status(thrum_post(calls->l, 0, post_more, calls), THRUM_OK);
}

static void post_from_close(struct spy *s, thrum_conn *c)
{
    struct list_of_calls *calls = s->more;
    (void)c;
    assert_status(thrum_post(calls->l, 0, post_more, calls), THRUM_OK);
}

static void test_from_callbacks(void **state)
{
    struct stage x = {.spy = {.on_close = post_from_close}};
    struct list_of_calls calls = {.n = 4};
    (void)state;
    x.spy.more = &calls;
    stage_up(&x, NULL);
    calls.l = x.l;
    assert_status(thrum_loop_after(x.l, 0, post_from_timer, &calls, NULL), THRUM_OK);
    while (calls.n < 5) /* were the letter forgotten, this step would find nothing to end it */
        assert_status(thrum_loop_step(x.l, THRUM_FOREVER), THRUM_OK);
    calls.n = 0;
    assert_status(thrum_post(x.l, 0, post_more, &calls), THRUM_OK);
    for (int i = 1; i <= 5; i++) {
        assert_status(thrum_loop_step(x.l, THRUM_FOREVER), THRUM_OK);
        assert_int_equal(calls.n, i); /* one each turn: others have theirs between */
    }
    calls.n = 4;
    peer_reset(&x.p);
    while (calls.n < 5) /* posted while the connection ends */
        assert_status(thrum_loop_step(x.l, THRUM_FOREVER), THRUM_OK);
    assert_int_equal(x.spy.closes, 1);
    stage_down(&x);
}

struct sleeper {
    thrum_loop *l;
    _Atomic bool ran;
};

static void wake(thrum_conn *c, void *arg)
{
    struct sleeper *s = arg;
    (void)c;
    s->ran = true;
    thrum_loop_stop(s->l);
}

static void *post_main(void *arg)
{
    struct sleeper *s = arg;
    assert_status(thrum_post(s->l, 0, wake, s), THRUM_OK);
    return NULL;
}

static void test_wakes_a_loop_that_sleeps(void **state)
{
    struct stage x = {0};
    pthread_t t;
    (void)state;
    stage_up(&x, NULL);
    for (int i = 0; i < 50; i++) {
        struct sleeper s = {.l = x.l};
        assert_int_equal(pthread_create(&t, NULL, post_main, &s), 0);
        assert_status(thrum_loop_run(x.l, THRUM_FOREVER), THRUM_OK);
        assert_true(s.ran);
        pthread_join(t, NULL);
    }
    stage_down(&x);
}

/* ---- many threads: each in its order, none lost ---- */

enum { POSTERS = 4, LETTERS = 3000 };
static struct poster {
    thrum_loop *l;
    thrum_id to;
    int next;
    _Atomic int *left;
} posters[POSTERS];
static int slips;

struct slip {
    struct poster *by;
    int number;
};

static void take_slip(thrum_conn *c, void *arg)
{
    struct slip *s = arg;
    assert_int_equal(s->number, s->by->next++);
    assert_non_null(c);
    free(s);
    if (++slips == POSTERS * LETTERS)
        thrum_loop_stop(thrum_conn_loop(c));
}

static void *poster_main(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < LETTERS; i++) {
        struct slip *s = malloc(sizeof *s);
        *s = (struct slip){p, i};
        assert_status(thrum_post(p->l, p->to, take_slip, s), THRUM_OK);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    struct stage x = {0};
    pthread_t t[POSTERS];
    (void)state;
    stage_up(&x, NULL);
    slips = 0;
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.l = x.l, .to = x.spy.id};
        assert_int_equal(pthread_create(&t[i], NULL, poster_main, &posters[i]), 0);
    }
    assert_status(thrum_loop_run(x.l, THRUM_FOREVER), THRUM_OK);
    assert_int_equal(slips, POSTERS * LETTERS);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(t[i], NULL);
    stage_down(&x);
}

/* ---- the loop's end ---- */

static void post_at_the_end(thrum_conn *c, void *arg)
{
    struct list_of_calls *calls = arg;
    assert_null(c);
    calls->n++;
    assert_status(thrum_post(calls->l, 0, post_at_the_end, calls), THRUM_E_CLOSED);
}

static void test_at_the_end(void **state)
{
    struct stage x = {.spy = {.on_close = post_from_close}};
    struct list_of_calls calls = {.n = 4};
    (void)state;
    x.spy.more = &calls;
    stage_up(&x, NULL);
    calls.l = x.l;
    struct list_of_calls last = {.l = x.l};
    assert_status(thrum_post(x.l, x.spy.id, post_at_the_end, &last), THRUM_OK);
    stage_down(&x);
    assert_int_equal(last.n, 1);
    assert_int_equal(calls.n, 5); /* posted by on_close as the loop ended, and run */
}

/* ---- timers ---- */

static void test_timers(void **state)
{
    thrum_loop *l = loop_up();
    struct list_of_calls calls = {0};
    struct call a = {&calls, "a"}, b = {&calls, "b"}, c = {&calls, "c"}, d = {&calls, "d"};
    thrum_id ids[4];
    (void)state;
    assert_status(thrum_loop_after(l, 30, note_timer, &a, &ids[0]), THRUM_OK);
    assert_status(thrum_loop_after(l, 10, note_timer, &b, &ids[1]), THRUM_OK);
    assert_status(thrum_loop_after(l, 20, note_timer, &c, &ids[2]), THRUM_OK);
    assert_status(thrum_loop_after(l, 1000000000000, note_timer, &d, &ids[3]), THRUM_OK);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            assert_true(ids[i] != ids[k] && ids[i] != 0);
    assert_true(thrum_loop_cancel(l, ids[2]));
    assert_false(thrum_loop_cancel(l, ids[2]));
    int64_t begun = clock_now();
    turn_until(l, calls.n == 2);
    assert_true(clock_now() - begun >= 20 * 1000000); /* never early */
    assert_string_equal(calls.text, "ba");
    assert_false(thrum_loop_cancel(l, ids[0])); /* it has run */
    assert_status(thrum_loop_run(l, 0), THRUM_E_TIMEOUT);
    assert_true(thrum_loop_cancel(l, ids[3]));
    assert_status(thrum_loop_run(l, THRUM_FOREVER), THRUM_OK); /* nothing is left */
    assert_status(thrum_loop_after(l, 1000, note_timer, &a, NULL), THRUM_OK);
    loop_down(l); /* freed with it, and not run */
    assert_int_equal(calls.n, 2);
}

struct chain {
    thrum_loop *l;
    thrum_id other, self;
    int runs;
};

static void again(void *arg)
{
    struct chain *c = arg;
    assert_false(thrum_loop_cancel(c->l, c->self)); /* it is running: too late */
    if (c->other)
        assert_true(thrum_loop_cancel(c->l, c->other));
    c->other = 0;
    if (++c->runs < 10)
        assert_status(thrum_loop_after(c->l, 0, again, c, &c->self), THRUM_OK);
}

/* Of two that are due at once the first cancels the second; one that sets itself again for at once is no
 * endless turn. */
static void test_timers_among_themselves(void **state)
{
    thrum_loop *l = loop_up();
    struct chain c = {.l = l};
    struct list_of_calls calls = {0};
    struct call a = {&calls, "a"};
    (void)state;
    assert_status(thrum_loop_after(l, 0, again, &c, &c.self), THRUM_OK);
    assert_status(thrum_loop_after(l, 0, note_timer, &a, &c.other), THRUM_OK);
    int turns = 0;
    for (; c.runs < 10; turns++)
        assert_int_not_equal(thrum_loop_step(l, THRUM_FOREVER), THRUM_E_SYSTEM);
    assert_true(turns >= 10);
    assert_int_equal(calls.n, 0);
    assert_status(thrum_loop_step(l, 0), THRUM_E_CLOSED);
    loop_down(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        clean_test(test_order_and_whom), clean_test(test_arguments),
        clean_test(test_from_callbacks), clean_test(test_wakes_a_loop_that_sleeps),
        clean_test(test_many_threads),   clean_test(test_at_the_end),
        clean_test(test_timers),         clean_test(test_timers_among_themselves),
    };
    return run_on_backend(tests);
}
