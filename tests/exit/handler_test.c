/* handler_test.c: contract E1 and E12 where the program has handlers of exit of its own, as destructors of
 * C++ statics are: they run when the peers have been told, and stop, wait for, or free what uses a loop. And
 * exit from where the library calls it: from a log. Each program is a child that is judged by its status, by
 * its end, and by the peers' codes. */
#include <netinet/in.h>
#include <thrum/loop.h>
#include "exit_test.h"

enum { PEERS = 3, STATUS = 43 };

static thrum_loop *loop;
static thrum_listener *listener;
static pthread_t driver;
static _Atomic bool quit, inside, stay_inside;
static _Atomic int opened, heard_after, ended;
static _Atomic bool over; /* the handlers run */

static void on_open(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    opened++;
    heard_after += over;
}

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)c;
    (void)arg;
    heard_after += over;
    inside = true;
    while (stay_inside && !quit)
        nap(1);
    for (size_t i = 0; i < m->len; i++) /* it is as it came, whatever has been read since */
        check(m->data[i] == 'm');
    inside = false;
}

static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)c;
    (void)why;
    (void)arg;
    ended++;
}

static void on_post(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    heard_after += over;
}

static int connect_peer(void)
{
    unsigned port = thrum_listener_port(listener);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    ask(fd);
    return fd;
}

static void listen_on_loop(void)
{
    thrum_error e;
    const thrum_handlers *on =
        THRUM_HANDLERS(.on_open = on_open, .on_message = on_message, .on_close = on_close);
    check_status(thrum_loop_new(&loop, &e), THRUM_OK);
    if (thrum_listen(&listener, loop, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = on), &e) != THRUM_OK)
        check_failed(__FILE__, __LINE__, e.text);
}

/* ---- who drives ---- */
static void *run(void *arg)
{
    listen_on_loop();
    *(_Atomic bool *)arg = true;
    check_status(thrum_loop_run(loop, THRUM_FOREVER), THRUM_OK);
    return NULL;
}

static void *step(void *arg)
{
    listen_on_loop();
    *(_Atomic bool *)arg = true;
    while (!quit)
        check_status(thrum_loop_step(loop, 20), THRUM_OK);
    return NULL;
}

/* Another thread's, or main's between two steps. */
static int peers[PEERS];
static void begin(void *(*drive)(void *))
{
    _Atomic bool up = false;
    if (drive) {
        driver = start(drive, &up);
        await(up);
    } else {
        listen_on_loop();
    }
    for (int i = 0; i < PEERS; i++)
        peers[i] = connect_peer();
    while (!drive && opened < PEERS)
        check_status(thrum_loop_step(loop, 1000), THRUM_OK);
    await(opened == PEERS);
    for (int i = 0; i < PEERS; i++)
        be_answered(peers[i]);
}

/* All peers have read 1001 before, or nothing where the program is to cut them. */
static void check_peers(bool told)
{
    for (int i = 0; i < PEERS; i++) {
        uint8_t first, body[2];
        uint64_t n;
        bool got = get_head(peers[i], &first, &n);
        check(got == told);
        check(!got || (first == 0x88 && n == 2 && get(peers[i], body, 2) && body[0] == 3 && body[1] == 0xe9));
    }
}

/* ---- the handlers, registered before the library's own, and so run after it ---- */
static void be_told(void)
{
    over = true;
    check_peers(true);
}

/* And nobody hears anything any more. */
static void be_deaf(void)
{
    be_told();
    check_status(thrum_post(loop, 0, on_post, NULL), THRUM_OK);
    for (int i = 0; i < PEERS; i++)
        put_frame(peers[i], 0x81, "m", 1);
    (void)connect_peer();
    nap(50);
}

static void stop_and_join(void)
{
    be_deaf();
    quit = true;
    thrum_loop_stop(loop);
    check(pthread_join(driver, NULL) == 0);
    check(heard_after == 0);
    _exit(STATUS);
}

static void quit_and_join(void)
{
    be_deaf();
    quit = true;
    check(pthread_join(driver, NULL) == 0);
    check(heard_after == 0);
    _exit(STATUS);
}

static void free_it(void)
{
    be_told();
    check_status(thrum_post(loop, 0, on_post, NULL), THRUM_OK);
    check_status(thrum_loop_free(loop), THRUM_OK);
    check(heard_after == 1 && ended == PEERS); /* what had been posted, and each connection's end */
    thrum_listener_free(listener);
    _exit(STATUS);
}

static void free_what_was_cut(void)
{
    check_status(thrum_loop_free(loop), THRUM_OK);
    thrum_listener_free(listener);
    check(ended == PEERS);
    check_peers(true);
    _exit(STATUS);
}

/* ---- the programs ---- */
static void running(void)
{
    check(atexit(stop_and_join) == 0);
    begin(run);
    exit(1);
}

static void stepping(void)
{
    check(atexit(quit_and_join) == 0);
    begin(step);
    exit(1);
}

static void in_a_callback(void)
{
    check(atexit(stop_and_join) == 0);
    stay_inside = true;
    begin(run);
    put_frame(peers[0], 0x81, "mmmmmmmm", 8);
    await(inside);
    exit(1);
}

/* The peers answer only when the program has begun to end: what is read then must not go where the callback's
 * message is. */
static void *answer(void *arg)
{
    check_peers(true);
    for (int i = 0; i < PEERS; i++) {
        put_frame(peers[i], 0x81, "xxxxxxxxxxxxxxxx", 16);
        put_frame(peers[i], 0x88, "\x03\xe9", 2);
    }
    return arg;
}

static void stop_and_join_silently(void)
{
    over = true;
    quit = true;
    thrum_loop_stop(loop);
    check(pthread_join(driver, NULL) == 0);
    check(heard_after == 0);
    _exit(STATUS);
}

static void in_a_callback_lingering(void)
{
    check(atexit(stop_and_join_silently) == 0);
    check_status(thrum_set_exit(THRUM_LINGER, 20 * HANG_MS), THRUM_OK);
    stay_inside = true;
    begin(run);
    put_frame(peers[0], 0x81, "mmmmmmmm", 8);
    await(inside);
    start(answer, NULL);
    exit(1);
}

static void freeing(void)
{
    check(atexit(free_it) == 0);
    begin(NULL);
    exit(1);
}

static void freeing_what_was_cut(void)
{
    check(atexit(free_what_was_cut) == 0);
    check_status(thrum_set_exit(THRUM_CUT, 0), THRUM_OK);
    begin(NULL);
    exit(1);
}

static void stopping_what_was_cut(void)
{
    check(atexit(stop_and_join_silently) == 0);
    check_status(thrum_set_exit(THRUM_CUT, 0), THRUM_OK);
    begin(run);
    exit(1);
}

/* On a thread of the library's, whose loop no other thread may wait for. */
static thrum_conn *conn;

static void use_it(void)
{
    check_status(thrum_send(conn, THRUM_TEXT, "late", 4), THRUM_E_CLOSED);
    check(thrum_conn_state(conn) == THRUM_CLOSING);
    thrum_listener_free(listener);
    _exit(STATUS);
}

static void exit_in_it(thrum_conn *c, void *arg)
{
    (void)arg;
    conn = c;
    exit(1);
}

static void in_the_librarys_thread(void)
{
    check(atexit(use_it) == 0);
    check_status(thrum_serve_loops(&listener, 1, "ws://127.0.0.1:0/",
                                   THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_open = exit_in_it)), NULL),
                 THRUM_OK);
    (void)connect_peer();
    for (;;)
        pause();
}

/* On the loop's thread, in the midst of its work. Nobody is told by a loop that may be half-changed. */
static void end_in_log(const thrum_log_record *r, void *arg)
{
    (void)arg;
    if (strncmp(r->text, "ended", 5) == 0)
        exit(STATUS);
}

static void log_ends(void)
{
    check_status(thrum_set_log(end_in_log, NULL, "loop=debug"), THRUM_OK);
    begin(run);
    put_frame(peers[0], 0x88, "\x03\xe8", 2);
    close(peers[0]);
    for (;;)
        pause();
}

int main(void)
{
    static const struct {
        const char *name;
        void (*program)(void);
    } programs[] = {
        {"running", running},
        {"stepping", stepping},
        {"in a callback", in_a_callback},
        {"in a callback, lingering", in_a_callback_lingering},
        {"freeing", freeing},
        {"freeing what was cut", freeing_what_was_cut},
        {"stopping what was cut", stopping_what_was_cut},
        {"in the library's thread", in_the_librarys_thread},
        {"a log ends it", log_ends},
    };
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        pid_t pid = fork();
        check(pid >= 0);
        if (pid == 0)
            programs[i].program();
        int got = end_of(pid);
        if (got != STATUS)
            fprintf(stderr, "%s: status %d\n", programs[i].name, got);
        check(got == STATUS);
    }
    return 0;
}
