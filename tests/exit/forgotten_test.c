/* forgotten_test.c: contract E11. Two hundred open connections are dropped by thrum_conn_free alone, in all
 * states and from both sides, while the process goes on: no thread, no descriptor and no byte of them stays,
 * and their peers read 1001. */
#include <dirent.h>
#include "exit_test.h"

enum { FORGOTTEN = 200, ROUNDS = 3 };

static int descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    check(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int threads(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    check(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* "." and ".." */
}

/* What the peer of a dropped connection reads: maybe messages, a goodbye where the kernel took one, the end.
 */
static void read_end(int peer, bool full)
{
    static uint8_t body[1 << 16];
    uint8_t first = 0;
    uint64_t n;
    while (first != 0x88) {
        if (!get_head(peer, &first, &n) || !get(peer, body, n <= sizeof body ? (size_t)n : 0)) {
            check(full); /* only there may the frame be cut */
            return;
        }
        check(n <= sizeof body);
    }
    check(n == 2 && body[0] == 0x03 && body[1] == 0xe9);
    check(!get(peer, body, 1));
}

static void fill(thrum_conn *c)
{
    static const uint8_t page[1 << 15];
    thrum_status s = THRUM_OK;
    while (s == THRUM_OK)
        s = thrum_send(c, THRUM_BINARY, page, sizeof page);
    check(s == THRUM_E_TIMEOUT || s == THRUM_E_UNFINISHED);
}

/* i % 4: idle; messages come and not taken; a message half received; output that the peer does not read. */
static void bring_into_a_state(thrum_conn *c, int peer, int i)
{
    if (i % 4 == 1)
        for (int k = 0; k < 5; k++)
            put_frame(peer, 0x81, "untaken", 7);
    if (i % 4 == 2)
        put_frame(peer, 0x01, "begun", 5);
    if (i % 4 == 3)
        fill(c);
}

static void round_of_many(thrum_switch attended)
{
    static thrum_conn *c[FORGOTTEN];
    static int peer[FORGOTTEN];
    for (int i = 0; i < FORGOTTEN; i++) {
        c[i] = accepted(&peer[i], THRUM_SERVER(.attended = attended, .send_timeout = 5));
        bring_into_a_state(c[i], peer[i], i);
    }
    if (attended == THRUM_ON) {
        check(thrum_library_threads() == 1);
        nap(120); /* the one thread has adopted them by now */
    }
    for (int i = 0; i < FORGOTTEN; i++)
        thrum_conn_free(c[i]);
    for (int i = 0; i < FORGOTTEN; i++) {
        read_end(peer[i], i % 4 == 3);
        close(peer[i]);
    }
}

static void *do_nothing(void *arg)
{
    return arg;
}

static void a_pair(void)
{
    struct joined j;
    join_up(&j, NULL);
    thrum_conn_free(j.client);
    thrum_conn_free(j.server);
}

int main(void)
{
    const thrum_switch kinds[ROUNDS] = {THRUM_ON, THRUM_DEFAULT, THRUM_OFF};
    check(pthread_join(start(do_nothing, NULL), NULL) ==
          0); /* ThreadSanitizer starts one of its own with the first */
    nap(50);
    int alone = threads();
    count_memory();
    a_pair(); /* what is made once per process and thread */
    await(thrum_library_threads() == 0 && threads() == alone);
    int before = descriptors();
    long had = *blocks();
    for (int i = 0; i < ROUNDS; i++) {
        round_of_many(kinds[i]);
        await(thrum_library_threads() == 0 && threads() == alone);
        check(descriptors() == before);
        if (*blocks() != had)
            fprintf(stderr, "%ld blocks, %ld before\n", (long)*blocks(), had);
        check(*blocks() == had);
    }
    for (int i = 0; i < FORGOTTEN; i++)
        a_pair();
    await(thrum_library_threads() == 0 && threads() == alone);
    check(descriptors() == before && *blocks() == had);
    return 0;
}
