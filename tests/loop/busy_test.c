/* busy_test.c: epoll's way of asking by poll while there are few descriptors and most are ready, and back. To
 * whoever waits it is the same; which of the two it is, the system calls tell. */
#define BACKEND "epoll"
#include "poller_lib.h"

enum {
    FEW = 40,
    MANY = 200,
    ROUNDS = 200,
    AT_ONCE = 8,
    STAYS = POLLER_IN | POLLER_STAY,
    EDGE = STAYS | POLLER_EDGE
};

static int pairs[MANY][2], id[MANY];
static int n;

static void open_pairs(int to)
{
    for (; n < to; n++)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pairs[n]), 0);
}

static int begin(void **state)
{
    n = 0;
    if (set_up(state) != 0)
        return -1;
    open_pairs(FEW);
    for (int i = 0; i < FEW; i++)
        assert_int_equal(poller_arm(p, pairs[i][0], i % 2 ? STAYS : EDGE, &id[i]), 0);
    return 0;
}

static int end(void **state)
{
    sys = sys_real;
    for (int i = 0; i < n; i++) {
        poller_forget(p, pairs[i][0]);
        close(pairs[i][0]);
        if (pairs[i][1] >= 0)
            close(pairs[i][1]);
    }
    return tear_down(state);
}

static int polls, sets;
static int count_poll(struct pollfd *q, nfds_t k, int ms)
{
    polls++;
    return sys_real.poll(q, k, ms);
}
static int count_set(int fd, struct epoll_event *q, int k, int ms)
{
    sets++;
    return sys_real.epoll_wait(fd, q, k, ms);
}

static void count_calls(void)
{
    polls = sets = 0;
    sys.poll = count_poll;
    sys.epoll_wait = count_set;
}

static void write_to(int i)
{
    assert_int_equal(write(pairs[i][1], "x", 1), 1);
}

/* One wait, in which each of from, from + step, .. up to `to` is reported once, and nobody else; takes their
 * bytes. */
static void round_of(int from, int to, int step)
{
    static struct poller_event got[MANY];
    static bool seen[MANY];
    char c;
    for (int i = from; i < to; i += step)
        write_to(i);
    memset(seen, 0, sizeof seen);
    int k = poller_wait(p, got, MANY, LONG_MS);
    assert_int_equal(k, (to - from + step - 1) / step);
    for (int j = 0; j < k; j++) {
        const int i = (int)((int *)got[j].data - id);
        assert_true(i >= from && i < to && (i - from) % step == 0 && !seen[i]);
        seen[i] = true;
        assert_int_equal(got[j].what, POLLER_IN);
        assert_int_equal(read(pairs[i][0], &c, 1), 1);
    }
}

/* Nothing is ready. */
static bool is_polling(void)
{
    count_calls();
    nothing();
    assert_int_equal(polls + sets, 1);
    return polls == 1;
}

static void become_busy(void)
{
    assert_false(is_polling());
    for (int i = 0; i < ROUNDS; i++)
        round_of(0, FEW, 1);
    assert_true(is_polling());
}

static void there_and_back(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        become_busy();
        for (int k = 0; k < ROUNDS; k++)
            round_of(k % FEW, k % FEW + 1, 1);
        assert_false(is_polling());
    }
    for (int i = 0; i < ROUNDS; i++) /* one in four is enough */
        round_of(0, FEW, 4);
    assert_true(is_polling());
}

/* At most so many at a time, nothing read: each is told of in the last wait, which told of k, or the next. */
static void all_are_told(int k, int at_once)
{
    int told[FEW] = {0};
    for (int turn = 0; turn < FEW; turn++) {
        assert_in_range(k, 1, at_once);
        for (int j = 0; j < k; j++)
            told[(int *)e[j].data - id]++;
        k = poller_wait(p, e, at_once, LONG_MS);
    }
    for (int i = 0; i < FEW; i++)
        assert_in_range(told[i], 1, FEW);
}

/* What is ready at a change is reported after it, also of those that are watched by edges. */
static void nothing_is_lost(void **state)
{
    int k = 1;
    (void)state;
    count_calls();
    for (int i = 0; i < FEW; i++)
        write_to(i);
    for (int i = 0; i < ROUNDS && polls == 0; i++)
        k = poller_wait(p, e, AT_ONCE, 0);
    assert_int_equal(polls, 1);
    all_are_told(k, AT_ONCE);
    count_calls();
    for (int i = 0; i < ROUNDS && sets == 0; i++) /* one at a time is next to idle */
        k = poller_wait(p, e, 1, 0);
    assert_int_equal(sets, 1);
    all_are_told(k, 1);
}

/* Changes while poll asks. */
static void armed_and_forgotten(void **state)
{
    (void)state;
    become_busy();
    write_to(3);
    assert_int_equal(poller_arm(p, pairs[3][0], STAYS | POLLER_OUT, &one), 0);
    event(&one, POLLER_IN | POLLER_OUT);
    event(&one, POLLER_IN | POLLER_OUT);
    assert_int_equal(poller_arm(p, pairs[3][0], 0, &one), 0); /* silent */
    nothing();
    assert_int_equal(poller_arm(p, pairs[3][0], STAYS, &two), 0);
    event(&two, POLLER_IN);
    poller_forget(p, pairs[3][0]);
    poller_forget(p, pairs[3][0]);
    nothing();
    close(pairs[4][1]);
    pairs[4][1] = -1;
    event(&id[4], POLLER_IN | POLLER_END);
    poller_forget(p, pairs[4][0]);
    nothing();
    poller_wake(p);
    assert_int_equal(poller_wait(p, e, AT_ONCE, LONG_MS), 0);
    assert_true(is_polling());
}

/* More than the table holds, one that is to be reported once, somebody who waits for the set: it is the
 * kernel's for good. */
static void stays_with_the_set(void)
{
    for (int i = 0; i < 3 * ROUNDS; i++)
        round_of(0, FEW, 1);
    assert_false(is_polling());
}

static void too_many(void **state)
{
    (void)state;
    become_busy();
    open_pairs(MANY);
    for (int i = FEW; i < MANY; i++)
        assert_int_equal(poller_arm(p, pairs[i][0], STAYS, &id[i]), 0);
    round_of(0, MANY, 1);
    stays_with_the_set();
}

static void once_only(void **state)
{
    (void)state;
    become_busy();
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), 0);
    put();
    event(&one, POLLER_IN);
    nothing();
    stays_with_the_set();
}

static void a_foreign_loop(void **state)
{
    (void)state;
    become_busy();
    const int fd = poller_fd(p);
    assert_true(fd >= 0 && !readable(fd, 0));
    write_to(1);
    assert_true(readable(fd, LONG_MS));
    event(&id[1], POLLER_IN);
    char c;
    assert_int_equal(read(pairs[1][0], &c, 1), 1);
    stays_with_the_set();
}

/* The kernel has no memory for the set now. */
static int refused_after;
static int refuse(int set, int op, int fd, struct epoll_event *q)
{
    if (op != EPOLL_CTL_DEL && refused_after-- <= 0) {
        errno = ENOMEM;
        return -1;
    }
    return sys_real.epoll_ctl(set, op, fd, q);
}

static void no_way_back(void **state)
{
    (void)state;
    become_busy();
    sys.epoll_ctl = refuse;
    for (int k = 0; k < ROUNDS; k++) {
        refused_after = k % FEW;
        round_of(k % FEW, k % FEW + 1, 1);
    }
    assert_true(is_polling());
    refused_after = 5;
    assert_int_equal(poller_fd(p), -1);
    assert_int_equal(poller_arm(p, a[0], POLLER_IN, &one), ENOMEM);
    round_of(0, FEW, 1);
    refused_after = 2 * FEW;
    for (int k = 0; k < ROUNDS; k++)
        round_of(k % FEW, k % FEW + 1, 1);
    assert_false(is_polling());
}

#define BUSY_CHECK(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUSY_CHECK(there_and_back), BUSY_CHECK(nothing_is_lost), BUSY_CHECK(armed_and_forgotten),
        BUSY_CHECK(too_many),       BUSY_CHECK(once_only),       BUSY_CHECK(a_foreign_loop),
        BUSY_CHECK(no_way_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
