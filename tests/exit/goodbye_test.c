/* goodbye_test.c: contract E3. What the peer of a program that ends reads: Close 1001 by default, with time
 * to answer where that is asked for, nothing where that is; and never a byte of the goodbye inside a frame
 * that another thread writes. */
#include "goodbye.h"

enum { ROUNDS = 30 };

static thrum_conn *accept_at(int fd)
{
    thrum_conn *c;
    check_status(thrum_accept_fd(&c, fd, NULL, NULL), THRUM_OK);
    return c;
}

static int idle(int fd)
{
    (void)accept_at(fd);
    return 3;
}

static int idle_lingering(int fd)
{
    (void)accept_at(fd);
    check_status(thrum_set_exit(THRUM_LINGER, 20 * HANG_MS), THRUM_OK);
    return 4;
}

static int idle_lingering_shortly(int fd)
{
    (void)accept_at(fd);
    check_status(thrum_set_exit(THRUM_LINGER, 100), THRUM_OK);
    return 5;
}

static int idle_cut(int fd)
{
    (void)accept_at(fd);
    check_status(thrum_set_exit(THRUM_CUT, 0), THRUM_OK);
    return 6;
}

static pid_t shake(int (*fn)(int fd), int *peer)
{
    pid_t pid = play(fn, peer);
    ask(*peer);
    be_answered(*peer);
    return pid;
}

static void test_policies(void)
{
    int peer;
    uint8_t b;
    pid_t pid = shake(idle, &peer);
    read_goodbye(peer);
    check(!get(peer, &b, 1)); /* nothing behind the Close */
    check(end_of(pid) == 3);
    close(peer);

    pid = shake(idle_lingering, &peer);
    read_goodbye(peer);
    check(!has_ended(pid, 300)); /* it waits for the answer ... */
    put_frame(peer, 0x88, answer, 2);
    check(end_of(pid) == 4); /* ... and no longer */
    close(peer);

    pid = shake(idle_lingering_shortly, &peer);
    read_goodbye(peer);
    check(end_of(pid) == 5); /* no answer: it ends all the same */
    close(peer);

    pid = shake(idle_cut, &peer);
    check(!get(peer, &b, 1));
    check(end_of(pid) == 6);
    close(peer);
}

/* ---- a frame that another thread writes ---- */
static long leave_after_us;

_Noreturn static void *send_for_ever(void *arg)
{
    uint8_t *page = malloc(message_size);
    check(page);
    memset(page, FILL, message_size);
    while (thrum_send(arg, THRUM_BINARY, page, message_size) == THRUM_OK)
        ;
    for (;;) /* whatever it was told: it is there until the end */
        pause();
}

static int leave_while_sending(int fd)
{
    thrum_conn *c = accept_at(fd);
    start(send_for_ever, c);
    start(send_for_ever, c); /* one waits for its turn */
    nanosleep(&(struct timespec){.tv_nsec = leave_after_us * 1000}, NULL);
    return 7;
}

static void test_never_inside_a_frame(void)
{
    static const size_t sizes[] = {100, 5000, 70000, 1 << 20, 8 << 20};
    int goodbyes = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int peer;
        message_size = sizes[(size_t)i % (sizeof sizes / sizeof *sizes)];
        leave_after_us = 500 + 733 * i;
        pid_t pid = shake(leave_while_sending, &peer);
        if (i % 3 == 0)
            check(end_of(pid) == 7); /* a peer that reads only when all is over */
        goodbyes += read_all(peer);
        if (i % 3 != 0)
            check(end_of(pid) == 7);
        close(peer);
    }
    printf("%d of %d streams ended in 1001, the others were cut in a frame\n", goodbyes, ROUNDS);
    check(goodbyes > 0);
}

int main(void)
{
    test_policies();
    test_never_inside_a_frame();
    return 0;
}
