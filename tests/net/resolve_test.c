/* Twin of src/net/resolve.c. No name server is asked: names go to the fake. */
#include "net_test.h"
#include <pthread.h>

static struct address got[RESOLVE_MAX];
static size_t got_n;
static thrum_error err;

static thrum_status ask(const char *host, bool passive)
{
    got_n = 99;
    return resolve(got, &got_n, slice(host), 4000, passive, &(struct limits){soon(), false, -1}, &err);
}

static void is(size_t i, const char *expected)
{
    char text[160];
    assert_true(i < got_n);
    address_text(&got[i], text, sizeof text);
    assert_string_equal(text, expected);
}

static void numbers_and_localhost_take_no_thread(void **state)
{
    (void)state;
    fake_names_set(NULL, 0, EAI_NONAME);
    assert_int_equal(ask("192.0.2.5", false), THRUM_OK);
    assert_int_equal(got_n, 1);
    is(0, "192.0.2.5:4000");
    assert_int_equal(ask("::1", false), THRUM_OK);
    is(0, "[::1]:4000");
    static const char *const forms[] = {"localhost", "LocalHost", "localhost."};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask(forms[i], i == 1), THRUM_OK);
        assert_int_equal(got_n, 2);
        is(0, "127.0.0.1:4000");
        is(1, "[::1]:4000");
    }
    assert_int_equal(ask("*", true), THRUM_OK);
    assert_int_equal(got_n, 2);
    is(0, "[::]:4000");
    is(1, "0.0.0.0:4000");
    assert_int_equal(atomic_load(&fake_names.asked), 0);
    assert_int_equal(thread_library_count(), 0);
    fake_names_end();
}

static void what_cannot_be_a_host(void **state)
{
    char name[255];
    (void)state;
    fake_names_set(NULL, 0, EAI_NONAME);
    assert_int_equal(ask("", false), THRUM_E_RESOLVE);
    assert_non_null(strstr(err.text, "empty"));
    assert_int_equal(ask("fe80::1%25nosuchif", false), THRUM_E_RESOLVE);
    assert_non_null(strstr(err.text, "interface"));
    assert_int_equal(resolve(got, &got_n, (thrum_slice){(const uint8_t *)"a\0b", 3}, 1, false,
                             &(struct limits){soon(), false, -1}, &err),
                     THRUM_E_RESOLVE);
    assert_non_null(strstr(err.text, "NUL"));
    memset(name, 'a', sizeof name);
    name[254] = '\0';
    assert_int_equal(ask(name, false), THRUM_E_RESOLVE);
    assert_non_null(strstr(err.text, "253"));
    assert_int_equal(atomic_load(&fake_names.asked), 0);
    name[253] = '\0'; /* the longest that is asked for */
    assert_int_equal(ask(name, false), THRUM_E_RESOLVE);
    assert_int_equal(atomic_load(&fake_names.asked), 1);
    assert_int_equal(ask("*", false), THRUM_E_RESOLVE); /* only for listening */
    assert_int_equal(atomic_load(&fake_names.asked), 2);
    fake_names_end();
}

static void answers_keep_their_order(void **state)
{
    static const char *const hosts[] = {"2001:db8::1", "192.0.2.1", "2001:db8::2"};
    struct leaks before = leaks_before();
    (void)state;
    fake_names_set(hosts, 3, 0);
    assert_int_equal(ask("name.test", false), THRUM_OK);
    assert_int_equal(got_n, 3);
    is(0, "[2001:db8::1]:4000");
    is(1, "192.0.2.1:4000");
    is(2, "[2001:db8::2]:4000");
    fake_names_end();
    leaks_none(before);
}

static void no_more_than_fit(void **state)
{
    const char *hosts[RESOLVE_MAX + 1];
    (void)state;
    for (size_t i = 0; i <= RESOLVE_MAX; i++)
        hosts[i] = "192.0.2.1";
    fake_names_set(hosts, RESOLVE_MAX, 0);
    assert_int_equal(ask("name.test", false), THRUM_OK);
    assert_int_equal(got_n, RESOLVE_MAX);
    fake_names_end();
    fake_names_set(hosts, RESOLVE_MAX + 1, 0);
    assert_int_equal(ask("name.test", false), THRUM_OK);
    assert_int_equal(got_n, RESOLVE_MAX);
    fake_names_end();
}

static void failures_become_sentences(void **state)
{
    static const struct {
        int gai, os_errno;
        thrum_status status;
        const char *part;
    } all[] = {
        {EAI_NONAME, 0, THRUM_E_RESOLVE, "no such host"},
        {EAI_AGAIN, 0, THRUM_E_RESOLVE, "did not answer"},
        {EAI_FAIL, 0, THRUM_E_RESOLVE, "cannot answer"},
        {EAI_NODATA, 0, THRUM_E_RESOLVE, "no address of a kind"},
        {EAI_MEMORY, 0, THRUM_E_MEMORY, "name.test"},
        {EAI_SYSTEM, ENOMEM, THRUM_E_MEMORY, "name.test"},
        {EAI_SYSTEM, EMFILE, THRUM_E_SYSTEM, "Too many"},
        {EAI_SYSTEM, EIO, THRUM_E_RESOLVE, "nput/output"},
        {EAI_SERVICE, 0, THRUM_E_RESOLVE, "name.test"},
        {0, 0, THRUM_E_RESOLVE, "empty"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        fake_names_set(NULL, 0, all[i].gai);
        fake_names.os_errno = all[i].os_errno;
        assert_int_equal(ask("name.test", false), all[i].status);
        assert_int_equal(err.status, all[i].status);
        assert_non_null(strstr(err.text, all[i].part));
        assert_int_equal(got_n, 0);
        fake_names_end();
    }
}

/* The helper is stuck; the asker goes; the answer is thrown away when it comes. */
static void the_deadline_holds(void **state)
{
    static const char *const hosts[] = {"192.0.2.1"};
    struct leaks before = leaks_before();
    (void)state;
    fake_names_set(hosts, 1, 0);
    fake_names.gated = true;
    assert_int_equal(resolve(got, &got_n, slice("slow.test"), 1, false,
                             &(struct limits){clock_after(clock_now(), 20), false, -1}, &err),
                     THRUM_E_TIMEOUT);
    assert_non_null(strstr(err.text, "slow.test"));
    assert_int_equal(thread_library_count(), 1);
    sem_post(&fake_names.gate);
    fake_names_end();
    leaks_none(before);
}

static void *ask_on_thread(void *arg)
{
    (void)arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    ask("slow.test", false);
    return NULL;
}

static void cancelled_while_it_waits(void **state)
{
    static const char *const hosts[] = {"192.0.2.1"};
    struct leaks before = leaks_before();
    pthread_t t;
    void *end = NULL;
    (void)state;
    fake_names_set(hosts, 1, 0);
    fake_names.gated = true;
    assert_int_equal(pthread_create(&t, NULL, ask_on_thread, NULL), 0);
    while (sem_wait(&fake_names.entered) != 0)
        continue;
    pthread_cancel(t);
    pthread_join(t, &end);
    assert_ptr_equal(end, PTHREAD_CANCELED);
    sem_post(&fake_names.gate);
    fake_names_end();
    leaks_none(before);
}

static atomic_int interrupts;
static int poll_interrupted(struct pollfd *p, nfds_t n, int ms)
{
    if (atomic_fetch_add(&interrupts, 1) > 0)
        return sys_real.poll(p, n, ms);
    sem_post(&fake_names.gate); /* only now may the answer come */
    errno = EINTR;
    return -1;
}

static void a_signal_ends_it_only_where_asked(void **state)
{
    static const char *const hosts[] = {"192.0.2.1"};
    struct leaks before = leaks_before();
    (void)state;
    for (int interruptible = 0; interruptible < 2; interruptible++) {
        fake_names_set(hosts, 1, 0);
        fake_names.gated = true;
        atomic_store(&interrupts, 0);
        sys.poll = poll_interrupted;
        assert_int_equal(resolve(got, &got_n, slice("name.test"), 1, false,
                                 &(struct limits){soon(), interruptible, -1}, &err),
                         interruptible ? THRUM_E_INTERRUPTED : THRUM_OK);
        sys = sys_real;
        fake_names_end();
    }
    leaks_none(before);
}

static int no_thread(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    (void)t;
    (void)a;
    (void)fn;
    (void)arg;
    return EAGAIN;
}

static void without_a_thread(void **state)
{
    struct leaks before = leaks_before();
    (void)state;
    fake_names_set(NULL, 0, 0);
    sys.thread_create = no_thread;
    assert_int_equal(ask("name.test", false), THRUM_E_SYSTEM);
    assert_int_equal(err.os_errno, EAGAIN);
    sys = sys_real;
    fake_names_end();
    leaks_none(before);
}

static void resolve_once(struct fault_report *r, void *arg)
{
    thrum_error e = {0};
    struct address a[RESOLVE_MAX];
    size_t n = 0;
    (void)arg;
    thrum_status s = resolve(a, &n, slice("name.test"), 80, false, &(struct limits){soon(), false, -1}, &e);
    fault_note(r, "resolve", s, &e);
    fault_check(r, (s == THRUM_OK) == (n == 2), "addresses and status do not agree");
}

static void every_failure(void **state)
{
    static const char *const hosts[] = {"192.0.2.1", "::1"};
    (void)state;
    fake_names_set(hosts, 2, 0);
    assert_true(fault_run("resolve", resolve_once, NULL, NULL) > 0);
    fake_names_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_localhost_take_no_thread),
        cmocka_unit_test(what_cannot_be_a_host),
        cmocka_unit_test(answers_keep_their_order),
        cmocka_unit_test(no_more_than_fit),
        cmocka_unit_test(failures_become_sentences),
        cmocka_unit_test(the_deadline_holds),
        cmocka_unit_test(cancelled_while_it_waits),
        cmocka_unit_test(a_signal_ends_it_only_where_asked),
        cmocka_unit_test(without_a_thread),
        cmocka_unit_test(every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
