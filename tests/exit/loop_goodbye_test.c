/* loop_goodbye_test.c: contract E3 for loops: as goodbye_test.c, for a server on a loop of the library's and
 * for one on a loop that a thread of the program drives. */
#include <netinet/in.h>
#include <thrum/loop.h>
#include "goodbye.h"

enum { ROUNDS = 30 };

static _Atomic bool opened;
static long leave_after_us;
static uint8_t *fill_page;

static void on_open(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    opened = true;
}

static void fill(thrum_conn *c, void *arg)
{
    (void)arg;
    while (thrum_send(c, THRUM_BINARY, fill_page, message_size) == THRUM_OK)
        ;
}

static void fill_from_now_on(thrum_conn *c, void *arg)
{
    fill(c, arg);
    opened = true;
}

/* ---- in the child ---- */
static thrum_loop *loop;

static void *drive(void *arg)
{
    const thrum_server_options *o = arg;
    thrum_listener *s;
    check_status(thrum_loop_new(&loop, NULL), THRUM_OK);
    check_status(thrum_listen(&s, loop, "ws://127.0.0.1/", o, NULL), THRUM_OK);
    check_status(thrum_loop_run(loop, THRUM_FOREVER), THRUM_OK);
    return NULL;
}

static bool ours; /* whose loop it is */

static void serve(int fd, const thrum_handlers *on)
{
    static int fds[2];
    static thrum_server_options o;
    thrum_listener *s;
    fds[0] = fd;
    fds[1] = -1;
    o = *THRUM_SERVER(.fds = fds);
    o.handlers = on;
    o.send_high = 4 << 20;
    if (ours)
        start(drive, &o);
    else
        check_status(thrum_serve_loops(&s, 1, "ws://127.0.0.1/", &o, NULL), THRUM_OK);
    await(opened);
}

static const thrum_handlers *idler(void)
{
    static thrum_handlers on;
    on = *THRUM_HANDLERS(.on_open = on_open);
    return &on;
}

static int idle(int fd)
{
    serve(fd, idler());
    return 3;
}

static int idle_lingering(int fd)
{
    serve(fd, idler());
    check_status(thrum_set_exit(THRUM_LINGER, 20 * HANG_MS), THRUM_OK);
    return 4;
}

static int idle_lingering_shortly(int fd)
{
    serve(fd, idler());
    check_status(thrum_set_exit(THRUM_LINGER, 100), THRUM_OK);
    return 5;
}

static int idle_cut(int fd)
{
    serve(fd, idler());
    check_status(thrum_set_exit(THRUM_CUT, 0), THRUM_OK);
    return 6;
}

static int leave_while_sending(int fd)
{
    static thrum_handlers on;
    on = *THRUM_HANDLERS(.on_open = fill_from_now_on, .on_drain = fill);
    fill_page = malloc(message_size);
    check(fill_page);
    memset(fill_page, FILL, message_size);
    serve(fd, &on);
    nanosleep(&(struct timespec){.tv_nsec = leave_after_us * 1000}, NULL);
    return 7;
}

/* ---- the peer: this process, which never calls the library ---- */
static pid_t shake(int (*fn)(int fd), int *peer)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 8) == 0);
    check(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0)
        exit(fn(fd));
    close(fd);
    *peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(*peer >= 0 && connect(*peer, (struct sockaddr *)&a, n) == 0);
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

static void test_never_inside_a_frame(void)
{
    static const size_t sizes[] = {100, 5000, 70000, 1 << 20, 3 << 20};
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
    fflush(stdout); /* not once more in each child */
    check(goodbyes > 0);
}

int main(void)
{
    for (int i = 0; i < 2; i++) {
        ours = i == 1;
        test_policies();
        test_never_inside_a_frame();
    }
    return 0;
}
