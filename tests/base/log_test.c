/* log_test.c: filters good and bad, what a line is made of, the pool of sinks, and replacing a sink under
 * fire. */
#include "base/clock.h"
#include "base/log.h"
#include "base_test.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>

static struct line {
    int lines;
    enum log_area area;
    enum log_level level;
    uint64_t conn;
    int64_t ns;
    char text[2000];
    void *arg;
} last;

static void take(enum log_area area, enum log_level level, uint64_t conn, int64_t ns, const char *text,
                 void *arg)
{
    last.lines++;
    last.area = area;
    last.level = level;
    last.conn = conn;
    last.ns = ns;
    last.arg = arg;
    strcpy(last.text, text);
    errno = EDOM;
}

static void expect_levels(const char *filter, const char *want) /* a character an area: '0'..'4', '-' */
{
    assert_int_equal(log_set(take, NULL, filter), 0);
    for (int i = 0; i < LOG_AREAS; i++)
        assert_int_equal(atomic_load(&log_levels[i]), want[i] == '-' ? -1 : want[i] - '0');
}

static void test_filters(void **state)
{
    (void)state;
    expect_levels("error", "0000000");
    expect_levels("trace", "4444444");
    expect_levels("warning,frame=trace", "4111111");
    expect_levels(" info , conn = debug,server=error ", "2223202");
    expect_levels("http=info", "-2-----");
    expect_levels("net=debug,warden=warning,net=info", "--2-1--");
    static const char *const bad[] = {"",
                                      ",",
                                      "info,",
                                      ",info",
                                      "Info",
                                      "infos",
                                      "in",
                                      "5",
                                      "frame",
                                      "frame=",
                                      "=info",
                                      "frame=loud",
                                      "fram=info",
                                      "info;frame=trace",
                                      "frame=info=info",
                                      "frame=info http=info",
                                      "info,,frame=info"};
    expect_levels("warning,frame=trace", "4111111");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(log_set(take, &last, bad[i]), -1);
    assert_int_equal(log_set(take, &last, NULL), -1);
    LOG(LOG_FRAME, LOG_ERROR, 1, "still the old one");
    assert_null(last.arg); /* nothing has changed */
    assert_int_equal(atomic_load(&log_levels[LOG_FRAME]), LOG_TRACE);
    assert_int_equal(log_set(NULL, NULL, ""), 0);
    for (int i = 0; i < LOG_AREAS; i++)
        assert_int_equal(atomic_load(&log_levels[i]), -1);
    assert_string_equal(log_area_name(LOG_FRAME), "frame");
    assert_string_equal(log_area_name(LOG_SERVER), "server");
}

static void test_line(void **state)
{
    (void)state;
    int arg;
    char text[1500];
    last.lines = 0;
    LOG(LOG_HTTP, LOG_ERROR, 1, "nobody listens");
    log_write(LOG_HTTP, LOG_ERROR, 1, "nor now");
    assert_int_equal(last.lines, 0);
    assert_int_equal(log_set(take, &arg, "error,http=info"), 0);
    int64_t before = clock_now();
    errno = ERANGE;
    LOG(LOG_HTTP, LOG_INFO, 77, "%s %d", "GET", 5);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(last.lines, 1);
    assert_int_equal(last.area, LOG_HTTP);
    assert_int_equal(last.level, LOG_INFO);
    assert_int_equal(last.conn, 77);
    assert_ptr_equal(last.arg, &arg);
    assert_string_equal(last.text, "GET 5");
    assert_true(last.ns >= before && last.ns <= clock_now());
    LOG(LOG_HTTP, LOG_DEBUG, 77, "too fine");
    LOG(LOG_NET, LOG_WARNING, 77, "not of this area");
    assert_int_equal(last.lines, 1);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    LOG(LOG_NET, LOG_ERROR, 0, "%s", text);
    assert_int_equal(strlen(last.text), 1023);
    assert_int_equal(log_set(NULL, NULL, ""), 0);
}

/* Threads write while the pair changes: each line must come to the function that belongs to its argument. */
static _Atomic bool stop;
static _Atomic long mixed, came;
static int one, two;

static void to_one(enum log_area area, enum log_level level, uint64_t conn, int64_t ns, const char *text,
                   void *arg)
{
    (void)area, (void)level, (void)conn, (void)ns, (void)text;
    atomic_fetch_add(&mixed, arg != &one);
    atomic_fetch_add(&came, 1);
}

static void to_two(enum log_area area, enum log_level level, uint64_t conn, int64_t ns, const char *text,
                   void *arg)
{
    (void)area, (void)level, (void)conn, (void)ns, (void)text;
    atomic_fetch_add(&mixed, arg != &two);
    atomic_fetch_add(&came, 1);
}

static void *write_lines(void *arg)
{
    while (!atomic_load(&stop))
        LOG(LOG_CONN, LOG_INFO, 1, "x");
    return arg;
}

static void test_replaced_under_fire(void **state)
{
    (void)state;
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, write_lines, NULL), 0);
    while (atomic_load(&came) < 2000) { /* ends when lines have come through all the changes */
        assert_int_equal(log_set(to_one, &one, "info"), 0);
        assert_int_equal(log_set(to_two, &two, "info"), 0);
    }
    atomic_store(&stop, true);
    pthread_join(t, NULL);
    assert_int_equal(mixed, 0);
    assert_int_equal(log_set(NULL, NULL, ""), 0);
}

static void fill_pool(void)
{
    static int args[70];
    int set = 0;
    while (set < 70 && log_set(take, &args[set], "info") == 0)
        set++;
    CHILD_CHECK(set == 64);
    LOG(LOG_CONN, LOG_INFO, 1, "x");
    CHILD_CHECK(last.arg == &args[63]);
    CHILD_CHECK(log_set(take, &args[0], "info") == 0); /* known ones may be set for ever */
    LOG(LOG_CONN, LOG_INFO, 1, "x");
    CHILD_CHECK(last.arg == &args[0]);
}

static void test_pool_holds_64_pairs(void **state)
{
    (void)state;
    assert_int_equal(in_child(fill_pool), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_holds_64_pairs), /* first: it counts on an empty pool */
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_replaced_under_fire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
