/* conn_test.c: birth and end of a connection. */
#include "base/fork.h"
#include "base/sys.h"
#include "conn_test.h"

static struct thrum_conn a, b;
static struct fake fa, fb;

static void test_settings_live_as_long_as_anyone_needs_them(void **state)
{
    (void)state;
    fault_count_memory();
    long before = fault_live_blocks();
    struct shared_settings *ss = settings_share();
    assert_non_null(ss);
    assert_int_equal(ss->refs, 1);
    assert_status(settings_client(&ss->s, THRUM_CLIENT(.origin = "http://a.test"), NULL), THRUM_OK);
    atomic_fetch_add(&ss->refs, 1);
    settings_unshare(ss);
    assert_string_equal(ss->s.origin, "http://a.test");
    settings_unshare(ss);
    assert_int_equal(fault_live_blocks(), before);
    settings_unshare(NULL);
}

static void test_birth(void **state)
{
    (void)state;
    fake_init(&fa);
    fake_init(&fb);
    conn_on(&a, &fa.s, THRUM_CLIENT(0), NULL);
    conn_on(&b, &fb.s, NULL, THRUM_SERVER(.arg = NULL));
    assert_true(a.id != 0);
    assert_true(b.id > a.id); /* never reused */
    assert_string_equal(a.peer, "fake");
    assert_int_equal(a.handles, 1);
    assert_null(atomic_load(&a.user));
    /* A client speaks first, a server listens. */
    assert_int_equal(conn_wants(&a), POLLIN | POLLOUT);
    assert_int_equal(conn_wants(&b), POLLIN);
    end_conn(&a, &fa);
    end_conn(&b, &fb);
    assert_int_equal(fa.frees, 1);
    assert_null(a.stream);
    assert_null(a.proto);
    assert_null(a.settings);
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    fault_count_memory();
    long before = fault_live_blocks();
    open_client(&a, &fa, THRUM_CLIENT(0));
    open_server(&b, &fb, THRUM_SERVER(.arg = NULL));
    conn_list(&a);
    assert_int_equal(registry_count(), 1);
    assert_true(fault_live_blocks() > before);
    end_conn(&a, &fa);
    end_conn(&b, &fb); /* this one was never listed */
    assert_int_equal(registry_count(), 0);
    assert_int_equal(fault_live_blocks(), before);
}

static void *no_alloc(void *ctx, size_t n)
{
    (void)ctx;
    (void)n;
    return NULL;
}
static void *no_resize(void *ctx, void *p, size_t n)
{
    (void)p;
    return no_alloc(ctx, n);
}
static void no_release(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static void test_without_memory(void **state)
{
    static const struct mem_hook none = {NULL, no_alloc, no_resize, no_release};
    thrum_error e;
    (void)state;
    struct shared_settings *ss = settings_share();
    assert_status(settings_client(&ss->s, NULL, NULL), THRUM_OK);
    fake_init(&fa);
    memset(&a, 0, sizeof a);
    assert_status(conn_init(&a, &fa.s, ss, count_destroy, NULL), THRUM_OK);
    mem_force_hook(&none);
    assert_null(settings_share());
    thrum_status s = conn_client(&a, "ws://h/", NO_MORE, 1, &e), t = conn_server(&a, 1, &e);
    mem_force_hook(NULL);
    assert_status(s, THRUM_E_MEMORY);
    assert_status(t, THRUM_E_MEMORY);
    assert_true(strlen(e.text) > 0);
    assert_null(a.proto);
    end_conn(&a, &fa);
}

static ssize_t no_random(void *p, size_t n, unsigned flags)
{
    (void)p;
    (void)n;
    (void)flags;
    errno = ENOSYS;
    return -1;
}

/* Without randomness nothing is said: no key, so no handshake. */
static void test_without_randomness(void **state)
{
    thrum_error e;
    (void)state;
    struct shared_settings *ss = settings_share();
    assert_status(settings_client(&ss->s, NULL, NULL), THRUM_OK);
    fake_init(&fa);
    memset(&a, 0, sizeof a);
    assert_status(conn_init(&a, &fa.s, ss, count_destroy, NULL), THRUM_OK);
    sys.getrandom = no_random;
    thrum_status s = THRUM_OK;
    /* What was drawn ahead is used up first; it is no more than some hundred keys. */
    for (int i = 0; i < 100000 && s == THRUM_OK; i++) {
        s = conn_client(&a, "ws://h/", NO_MORE, 1, &e);
        thrum_proto_free(a.proto);
        a.proto = NULL;
    }
    sys.getrandom = sys_real.getrandom;
    assert_status(s, THRUM_E_SYSTEM);
    assert_true(strlen(e.text) > 0);
    end_conn(&a, &fa);
}

static void test_over(void **state)
{
    (void)state;
    struct thrum_conn c = {.handles = 1};
    assert_false(conn_is_over(&c));
    c = (struct thrum_conn){.inside = 1};
    assert_false(conn_is_over(&c));
    c = (struct thrum_conn){.held = true};
    assert_false(conn_is_over(&c));
    c = (struct thrum_conn){0};
    assert_true(conn_is_over(&c));
}

static void test_whose(void **state)
{
    (void)state;
    open_client(&a, &fa, THRUM_CLIENT(0));
    assert_status(conn_mine(&a), THRUM_OK);
    a.generation++; /* as in a child of fork */
    assert_status(conn_mine(&a), THRUM_E_FORKED);
    a.generation--;
    end_conn(&a, &fa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_live_as_long_as_anyone_needs_them),
        cmocka_unit_test(test_birth),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_without_randomness),
        cmocka_unit_test(test_over),
        cmocka_unit_test(test_whose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
