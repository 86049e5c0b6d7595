/* huge.c: one message of a gigabyte, in some megabytes of memory: sent in parts as the peer takes them,
 * received in parts as they come, both by callbacks on one thread. `huge MIB` sends another size. */
#include "example.h"

#include <malloc.h>
#include <stdatomic.h>
#include <thrum/loop.h>

enum {
    PART = 64 * 1024,
    MIB = 1024 * 1024,
    DEFAULT_MIB = 1024,
    MEMORY_MAX = 32 * MIB /* of io_uring most is what the kernel reads into */
};

struct transfer {
    thrum_listener *server;
    uint64_t size, sent, received, stops;
    bool wrong;
};

/* ---- all memory of the library, counted; some of it is asked for by the thread that connects ---- */

static atomic_size_t used, most;

static void *count(void *p)
{
    const size_t more = malloc_usable_size(p), now = atomic_fetch_add(&used, more) + more;
    for (size_t had = most; now > had && !atomic_compare_exchange_weak(&most, &had, now);)
        continue;
    return p;
}

static void *memory_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return count(malloc(n));
}

static void *memory_resize(void *ctx, void *p, size_t n)
{
    (void)ctx;
    const size_t had = malloc_usable_size(p);
    void *q = realloc(p, n);
    if (q)
        used -= had;
    return q ? count(q) : NULL;
}

static void memory_release(void *ctx, void *p)
{
    (void)ctx;
    used -= malloc_usable_size(p);
    free(p);
}

/* ---- the sender ---- */

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i / PART + i % 251);
}

static void send_some(thrum_conn *c, void *arg)
{
    struct transfer *t = arg;
    static uint8_t part[PART]; /* what a file would give */
    while (t->sent < t->size) {
        for (size_t i = 0; i < PART; i++)
            part[i] = byte_at(t->sent + i);
        const thrum_status s = thrum_send_part(c, THRUM_BINARY, part, PART, t->sent + PART == t->size);
        if (s == THRUM_E_FULL) { /* on_drain calls again */
            t->stops++;
            return;
        }
        if (s != THRUM_OK)
            example_lost(c, "send");
        t->sent += PART;
    }
}

static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct transfer *t = arg;
    (void)c;
    printf("closed: %s\n", why->text);
    thrum_listener_drain(t->server, 0, 2000, NULL, NULL);
}

/* ---- the receiver ---- */

static void on_part(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct transfer *t = arg;
    for (size_t i = 0; i < m->len; i++)
        t->wrong |= m->data[i] != byte_at(t->received + i);
    t->received += m->len;
    if (m->part & THRUM_PART_LAST)
        thrum_close(c, 1000, "thank you");
}

int main(int argc, char **argv)
{
    const uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_MIB;
    struct transfer t = {.size = mib * MIB};
    thrum_loop *loop;
    thrum_error err;

    (void)thrum_set_memory(&(const thrum_memory){.size = sizeof(thrum_memory),
                                                 .alloc = memory_alloc,
                                                 .resize = memory_resize,
                                                 .release = memory_release});
    if (thrum_loop_new(&loop, &err) != THRUM_OK)
        example_die("loop", &err);
    /* Bounded by send_high on one side and by what is read at once on the other; so the limit may go. */
    if (thrum_listen(&t.server, loop, "ws://127.0.0.1:0/",
                     THRUM_SERVER(.handlers = THRUM_HANDLERS(.on_part = on_part), .arg = &t,
                                  .max_message = THRUM_NO_LIMIT, .compression = THRUM_OFF),
                     &err) != THRUM_OK)
        example_die("listen", &err);
    if (thrum_open(loop, thrum_listener_url(t.server), NULL,
                   THRUM_HANDLERS(.on_open = send_some, .on_drain = send_some, .on_close = on_close), &t,
                   NULL, &err) != THRUM_OK)
        example_die("open", &err);
    if (thrum_loop_run(loop, THRUM_FOREVER) != THRUM_OK)
        return 1;
    thrum_listener_free(t.server);
    thrum_loop_free(loop);

    printf("%llu MiB in one message, %s; the sender paused %llu times; thrum used %zu KiB at most\n",
           (unsigned long long)(t.received / MIB), t.wrong ? "some wrong" : "all right",
           (unsigned long long)t.stops, (size_t)most / 1024);
    return !t.wrong && t.received == t.size && most <= MEMORY_MAX ? 0 : 1;
}
