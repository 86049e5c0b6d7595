/* process_test.c: the calls that concern the whole process. */
#include "base/log.h"
#include "base/thread.h"
#include "conn_test.h"

static _Atomic long taken;

static void *my_alloc(void *ctx, size_t n)
{
    assert_ptr_equal(ctx, &taken);
    taken++;
    return malloc(n ? n : 1);
}
static void *my_resize(void *ctx, void *p, size_t n)
{
    assert_ptr_equal(ctx, &taken);
    taken += p == NULL;
    return realloc(p, n ? n : 1);
}
static void my_release(void *ctx, void *p)
{
    assert_ptr_equal(ctx, &taken);
    taken -= p != NULL;
    free(p);
}

/* The first test of this program: before any memory was asked for. */
static void test_memory(void **state)
{
    thrum_memory m = {sizeof m, &taken, my_alloc, my_resize, my_release}, bad = m;
    (void)state;
    assert_status(thrum_set_memory(NULL), THRUM_E_ARGUMENT);
    bad.size = sizeof bad - 1;
    assert_status(thrum_set_memory(&bad), THRUM_E_ARGUMENT);
    for (int i = 0; i < 3; i++) {
        bad = m;
        *(i == 0 ? (void **)&bad.alloc : i == 1 ? (void **)&bad.resize : (void **)&bad.release) = NULL;
        assert_status(thrum_set_memory(&bad), THRUM_E_ARGUMENT);
    }
    assert_status(thrum_set_memory(&m), THRUM_OK);
    struct thrum_conn c;
    struct fake f;
    open_client(&c, &f, THRUM_CLIENT(0));
    assert_true(taken > 0);
    end_conn(&c, &f);
    assert_int_equal(taken, 0);
    assert_status(thrum_set_memory(&m), THRUM_E_STATE); /* memory of the old one may be in use */
}

static struct {
    int lines;
    void *arg;
    thrum_log_record last;
    char text[256];
} heard;

static void listener(const thrum_log_record *r, void *arg)
{
    heard.lines++;
    heard.arg = arg;
    heard.last = *r;
    snprintf(heard.text, sizeof heard.text, "%s", r->text);
}
static void other_listener(const thrum_log_record *r, void *arg)
{
    (void)r;
    (void)arg;
}

static void test_log(void **state)
{
    int mine;
    (void)state;
    assert_status(thrum_set_log(listener, &mine, "error,conn=debug"), THRUM_OK);
    LOG(LOG_CONN, LOG_DEBUG, 42, "seen %d", 7);
    assert_int_equal(heard.lines, 1);
    assert_ptr_equal(heard.arg, &mine);
    assert_string_equal(heard.text, "seen 7");
    assert_string_equal(heard.last.area, "conn");
    assert_int_equal(heard.last.level, THRUM_LOG_DEBUG);
    assert_int_equal(heard.last.conn, 42);
    assert_int_equal(heard.last.size, sizeof(thrum_log_record));
    assert_true(heard.last.ns > 0 && heard.last.ns <= clock_now());
    LOG(LOG_CONN, LOG_TRACE, 0, "too fine");
    LOG(LOG_NET, LOG_WARNING, 0, "another area");
    assert_int_equal(heard.lines, 1);
    assert_status(thrum_set_log(listener, &mine, "no filter"), THRUM_E_ARGUMENT);
    LOG(LOG_CONN, LOG_DEBUG, 0, "the old filter stays");
    assert_int_equal(heard.lines, 2);
    assert_status(thrum_set_log(NULL, NULL, NULL), THRUM_OK);
    LOG(LOG_CONN, LOG_ERROR, 0, "nobody hears");
    assert_int_equal(heard.lines, 2);
}

/* A pair is kept for good, since a thread may be about to call it; so their number has an end, and only that
 * of pairs. */
static void test_log_pairs_have_a_limit(void **state)
{
    char args[64];
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_status(thrum_set_log(other_listener, &args[0], "error"), THRUM_OK);
    thrum_status s = THRUM_OK;
    int n = 0;
    while (s == THRUM_OK && n < 64)
        s = thrum_set_log(other_listener, &args[n++], "error");
    assert_status(s, THRUM_E_FULL); /* the test before took one of 64 */
    assert_int_equal(n, 64);
    assert_status(thrum_set_log(listener, &s, "error"), THRUM_E_FULL);
    assert_status(thrum_set_log(other_listener, &args[5], "error"), THRUM_OK);
    assert_status(thrum_set_log(NULL, NULL, NULL), THRUM_OK);
}

static void test_exit_policy(void **state)
{
    (void)state;
    assert_status(thrum_set_exit((thrum_exit_policy)3, 0), THRUM_E_ARGUMENT);
    assert_status(thrum_set_exit(THRUM_LINGER, -2), THRUM_E_ARGUMENT);
    assert_status(thrum_set_exit(THRUM_LINGER, THRUM_FOREVER), THRUM_OK);
    assert_status(thrum_set_exit(THRUM_CUT, 0), THRUM_OK);
    assert_status(thrum_set_exit(THRUM_GOODBYE, 0), THRUM_OK);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void pass_gate(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void test_library_threads(void **state)
{
    (void)state;
    assert_int_equal(thrum_library_threads(), 0);
    pthread_mutex_lock(&gate);
    assert_int_equal(thread_start(pass_gate, NULL, "test", 0), 0);
    assert_int_equal(thrum_library_threads(), 1);
    pthread_mutex_unlock(&gate);
    assert_true(thread_library_settle(0, clock_after(clock_now(), 20000)));
    assert_int_equal(thrum_library_threads(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_pairs_have_a_limit),
        cmocka_unit_test(test_exit_policy),
        cmocka_unit_test(test_library_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
