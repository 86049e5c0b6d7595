/* driven.h: what the tests of the event room share that have a loop. The loop is driven in the test's own
 * thread, turn by turn, and its peers are bytes, so each step is the test's. What callbacks are told is kept
 * as text in a spy. A test leaves no block of memory, no descriptor and no thread of the library behind. */
#ifndef TESTS_EVENT_DRIVEN_H
#define TESTS_EVENT_DRIVEN_H

#include "base/clock.h"
#include "base/sys.h"
#include "base/thread.h"
#include "event/event.h"
#include "event_test.h"
#include "lib/fault.h"
#include "lib/peer.h"
#include "lib/rest.h"
#include "proto/codec.h"
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <thrum/loop.h>
#include <thrum/stats.h>

#define assert_status(call, want)                                                                            \
    do {                                                                                                     \
        thrum_status got_ = (call);                                                                          \
        if (got_ != (want))                                                                                  \
            fail_msg("%s: %s, not %s", #call, thrum_status_name(got_), thrum_status_name(want));             \
    } while (0)

/* ---- the loop --------------------------------------------------------------------------------------------
 */

static inline thrum_loop *loop_up(void)
{
    thrum_loop *l;
    thrum_error e;
    if (thrum_loop_new(&l, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return l;
}

static inline void loop_down(thrum_loop *l)
{
    assert_status(thrum_loop_free(l), THRUM_OK);
}

/* One turn, which does not wait for long: what the test waits for may be on its way elsewhere. */
static inline void turn(thrum_loop *l)
{
    thrum_status s = thrum_loop_step(l, 1);
    if (s != THRUM_OK && s != THRUM_E_CLOSED)
        fail_msg("step: %s", thrum_status_name(s));
}

/* Turns until a condition holds; PEER_MS is generous. */
#define turn_until(l, cond)                                                                                  \
    do {                                                                                                     \
        const int64_t give_up_ = clock_after(clock_now(), PEER_MS);                                          \
        while (!(cond)) {                                                                                    \
            turn(l);                                                                                         \
            if (clock_now() > give_up_)                                                                      \
                fail_msg("never so: %s", #cond);                                                             \
        }                                                                                                    \
    } while (0)

/* The loop looks at all that is there now: as many turns as it takes until one finds nothing to do. */
static inline void turn_out(thrum_loop *l)
{
    for (int i = 0; i < 3; i++)
        turn(l);
}

#define await(cond)                                                                                          \
    do {                                                                                                     \
        while (!(cond))                                                                                      \
            sched_yield();                                                                                   \
    } while (0)

/* ---- what callbacks are told -----------------------------------------------------------------------------
 */

struct spy {
    char text[8192]; /* "open; text hello; closed CLOSED 1000; " */
    size_t n;
    thrum_conn *c; /* of the latest on_open; NULL once it has ended */
    thrum_id id;
    unsigned opens, messages, parts, pings, pongs, drains, closes;
    size_t bytes;
    thrum_error why;                               /* of the latest on_close */
    void (*on_open)(struct spy *s, thrum_conn *c); /* NULL, or what else is to be done */
    void (*on_message)(struct spy *s, thrum_conn *c, const thrum_message *m);
    void (*on_drain)(struct spy *s, thrum_conn *c);
    void (*on_close)(struct spy *s, thrum_conn *c);
    void *more; /* the test's */
};

static inline void spy_say(struct spy *s, const char *text)
{
    if (s->n + strlen(text) < sizeof s->text)
        s->n += (size_t)snprintf(s->text + s->n, sizeof s->text - s->n, "%s", text);
}

static inline void spy_data(struct spy *s, const char *what, const thrum_message *m)
{
    enum { SHOWN = 40 };
    char line[96];
    bool shown = m->len < SHOWN && !memchr(m->data, '\0', m->len);
    assert_int_equal(m->data[m->len], 0);
    if (shown)
        snprintf(line, sizeof line, "%s %.*s; ", what, (int)m->len, (const char *)m->data);
    else
        snprintf(line, sizeof line, "%s of %zu; ", what, m->len);
    spy_say(s, line);
    s->bytes += m->len;
}

static inline void spy_open(thrum_conn *c, void *arg)
{
    struct spy *s = arg;
    s->opens++;
    s->c = c;
    s->id = thrum_conn_id(c);
    spy_say(s, "open; ");
    if (s->on_open)
        s->on_open(s, c);
}

static inline void spy_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct spy *s = arg;
    s->messages++;
    assert_int_equal(m->part, THRUM_PART_WHOLE);
    spy_data(s, m->kind == THRUM_TEXT ? "text" : "binary", m);
    if (s->on_message)
        s->on_message(s, c, m);
}

static inline void spy_part(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct spy *s = arg;
    s->parts++;
    spy_data(s,
             m->part == THRUM_PART_WHOLE         ? "whole"
             : (m->part & THRUM_PART_FIRST) != 0 ? "first"
             : (m->part & THRUM_PART_LAST) != 0  ? "last"
                                                 : "part",
             m);
    if (s->on_message)
        s->on_message(s, c, m);
}

static inline void spy_ping(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct spy *s = arg;
    (void)c;
    s->pings++;
    spy_data(s, "ping", m);
}

static inline void spy_pong(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct spy *s = arg;
    (void)c;
    s->pongs++;
    spy_data(s, "pong", m);
}

static inline void spy_drain(thrum_conn *c, void *arg)
{
    struct spy *s = arg;
    s->drains++;
    spy_say(s, "drain; ");
    if (s->on_drain)
        s->on_drain(s, c);
}

static inline void spy_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct spy *s = arg;
    char line[64];
    s->closes++;
    s->why = *why;
    assert_true(why->status != THRUM_OK && why->text[0] != '\0');
    snprintf(line, sizeof line, "closed %s %d; ", thrum_status_name(why->status), why->close_code);
    spy_say(s, line);
    if (s->on_close)
        s->on_close(s, c);
    if (s->c == c)
        s->c = NULL;
}

static const thrum_handlers spying = {.size = sizeof spying,
                                      .on_open = spy_open,
                                      .on_message = spy_message,
                                      .on_drain = spy_drain,
                                      .on_close = spy_close},
                            spying_parts = {.size = sizeof spying_parts,
                                            .on_open = spy_open,
                                            .on_part = spy_part,
                                            .on_close = spy_close},
                            spying_pings = {.size = sizeof spying_pings,
                                            .on_open = spy_open,
                                            .on_message = spy_message,
                                            .on_ping = spy_ping,
                                            .on_pong = spy_pong,
                                            .on_close = spy_close};

/* What the spy has heard since it was last asked. */
#define assert_heard(spy, what)                                                                              \
    do {                                                                                                     \
        assert_string_equal((spy)->text, what);                                                              \
        (spy)->n = 0;                                                                                        \
        (spy)->text[0] = '\0';                                                                               \
    } while (0)

/* ---- a listener on it, and peers -------------------------------------------------------------------------
 */

static inline thrum_listener *listen_at(thrum_loop *l, const char *url, const thrum_server_options *o)
{
    thrum_listener *s;
    thrum_error e;
    if (thrum_listen(&s, l, url, o, &e) != THRUM_OK)
        fail_msg("%s", e.text);
    return s;
}
/* THRUM_LISTEN(&spy, .max_conns = 1): at a port of the system's choice, with the spy told. */
#define THRUM_LISTEN(l, spy, ...)                                                                            \
    listen_at(l, "ws://127.0.0.1:0/", THRUM_SERVER(.handlers = &spying, .arg = (spy), __VA_ARGS__))

/* Without waiting; -1: nothing is there, 0: the end, or a reset with errno set. */
static inline ssize_t peer_take(struct peer *p, void *b, size_t n)
{
    ssize_t k = recv(p->fd, b, n, MSG_DONTWAIT);
    return k < 0 && errno != EAGAIN ? 0 : k;
}

/* All of it, with the loop turning as long as it takes. */
static inline void peer_give(thrum_loop *l, struct peer *p, const void *b, size_t n)
{
    for (const char *at = b; n > 0;) {
        ssize_t k = send(p->fd, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k < 0 && errno != EAGAIN)
            fail_msg("the peer cannot write: %s", strerror(errno));
        if (k < 0)
            turn(l);
        else
            at += k, n -= (size_t)k;
    }
}

/* Takes what has come of the n bytes; true: all of them. */
static inline bool peer_took(struct peer *p, char **at, size_t *n)
{
    ssize_t k = *n > 0 ? peer_take(p, *at, *n) : -1;
    if (k == 0)
        fail_msg("the stream ended with %zu bytes missing", *n);
    *at += k > 0 ? k : 0;
    *n -= k > 0 ? (size_t)k : 0;
    return *n == 0;
}

static inline void peer_get(thrum_loop *l, struct peer *p, void *b, size_t n)
{
    char *at = b;
    turn_until(l, peer_took(p, &at, &n));
}

/* Up to the marker, NUL-terminated. */
static inline void peer_get_to(thrum_loop *l, struct peer *p, char *b, size_t cap, const char *marker)
{
    size_t n = 0;
    do {
        assert_true(n + 1 < cap);
        peer_get(l, p, b + n++, 1);
        b[n] = '\0';
    } while (n < strlen(marker) || strcmp(b + n - strlen(marker), marker) != 0);
}

static inline bool peer_has_ended(struct peer *p, int *e)
{
    static char trash[65536];
    ssize_t k;
    do
        k = recv(p->fd, trash, sizeof trash, MSG_DONTWAIT);
    while (k > 0);
    *e = k < 0 ? errno : 0;
    return *e != EAGAIN;
}

/* The loop turns until the stream ends: 0, or the errno it ended with. What came before is dropped. */
static inline int peer_end(thrum_loop *l, struct peer *p)
{
    int e = 0;
    turn_until(l, peer_has_ended(p, &e));
    return e;
}

#define HEAD                                                                                                 \
    " HTTP/1.1\r\nHost: loop.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                          \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* Connects and sends a request for a path, with these fields ("A: b\r\n") more. */
static inline void peer_asks(thrum_loop *l, const thrum_listener *s, struct peer *p, const char *path,
                             const char *fields)
{
    char request[2048];
    int n = snprintf(request, sizeof request, "GET %s" HEAD "%s\r\n", path, fields);
    assert_true(n > 0 && (size_t)n < sizeof request);
    assert_true(peer_connect(p, AF_INET, thrum_listener_port(s)));
    peer_give(l, p, request, (size_t)n);
}

/* The answer's head, which has this status. */
static inline void peer_hears(thrum_loop *l, struct peer *p, const char *status, char *head, size_t cap)
{
    peer_get_to(l, p, head, cap, "\r\n\r\n");
    if (strncmp(head + strlen("HTTP/1.1 "), status, 3) != 0)
        fail_msg("not %s: %s", status, head);
}

static inline void peer_opens(thrum_loop *l, const thrum_listener *s, struct peer *p)
{
    char head[2048];
    peer_asks(l, s, p, "/", "");
    peer_hears(l, p, "101", head, sizeof head);
}

/* A frame of any length; masked by 1 2 3 4 as a client's. Its size. */
static inline size_t frame_of(uint8_t *out, uint8_t first, const void *data, size_t n, bool masked)
{
    size_t more = n < 126 ? 0 : n < 65536 ? 2 : 8, k = 2;
    const uint8_t *d = data;
    out[0] = first;
    out[1] = (uint8_t)((masked ? 0x80 : 0) | (more == 0 ? n : more == 2 ? 126 : 127));
    for (size_t i = more; i-- > 0;)
        out[k++] = (uint8_t)((uint64_t)n >> (8 * i));
    for (uint8_t i = 1; masked && i <= 4; i++)
        out[k++] = i;
    for (size_t i = 0; i < n; i++)
        out[k++] = masked ? (uint8_t)(d[i] ^ (i % 4 + 1)) : d[i];
    return k;
}

/* As a client says it. */
static inline void peer_says(thrum_loop *l, struct peer *p, uint8_t first, const void *data, size_t n)
{
    uint8_t *f = malloc(n + 14);
    assert_non_null(f);
    peer_give(l, p, f, frame_of(f, first, data, n, true));
    free(f);
}
#define peer_text(l, p, text) peer_says(l, p, 0x81, text, strlen(text))

/* The next frame: its first byte; the payload, unmasked, with a NUL behind, into out. */
static inline uint8_t peer_frame(thrum_loop *l, struct peer *p, uint8_t *out, size_t cap, size_t *len)
{
    uint8_t h[2], ext[8], key[4] = {0};
    peer_get(l, p, h, 2);
    uint64_t n = h[1] & 0x7f;
    size_t more = n == 126 ? 2 : n == 127 ? 8 : 0;
    peer_get(l, p, ext, more);
    for (size_t i = 0; i < more; i++)
        n = (i ? n << 8 : 0) | ext[i];
    peer_get(l, p, key, (h[1] & 0x80) ? 4 : 0);
    assert_true(n < cap);
    peer_get(l, p, out, (size_t)n);
    for (size_t i = 0; i < n; i++)
        out[i] ^= key[i % 4];
    out[n] = 0;
    *len = (size_t)n;
    return h[0];
}

static inline void peer_hears_frame(thrum_loop *l, struct peer *p, uint8_t first, const char *text)
{
    uint8_t out[4096];
    size_t n;
    assert_int_equal(peer_frame(l, p, out, sizeof out, &n), first);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(out, text, n);
}
#define peer_hears_text(l, p, text) peer_hears_frame(l, p, 0x81, text)

/* A Close with this code; the reason does not matter. */
static inline void peer_hears_close(thrum_loop *l, struct peer *p, int code)
{
    uint8_t out[130];
    size_t n;
    assert_int_equal(peer_frame(l, p, out, sizeof out, &n), 0x88);
    assert_int_equal(n >= 2 ? out[0] << 8 | out[1] : 1005, code);
}

/* Sees the stream end cleanly, and ends it, too: what a side that has said Close waits for. */
static inline void peer_leaves(thrum_loop *l, struct peer *p)
{
    assert_int_equal(peer_end(l, p), 0);
    peer_close(p);
}

/* Answers a Close, and sees the stream end. */
static inline void peer_parts(thrum_loop *l, struct peer *p, int code)
{
    peer_says(l, p, 0x88, (const uint8_t[]){(uint8_t)(code >> 8), (uint8_t)code}, 2);
    peer_leaves(l, p);
}

static inline uint64_t stat_of(const thrum_conn *c, size_t offset)
{
    thrum_stats s = {.size = sizeof s};
    assert_status(thrum_conn_stats(c, &s), THRUM_OK);
    uint64_t v;
    memcpy(&v, (const char *)&s + offset, sizeof v);
    return v;
}
#define counted(c, field) stat_of(c, offsetof(thrum_stats, field))

static inline struct lconn *inside(thrum_conn *c)
{
    return (struct lconn *)(void *)c;
}

/* ---- a whole stage: a loop, a listener on it, one open connection ----------------------------------------
 */

struct stage {
    thrum_loop *l;
    thrum_listener *s;
    struct peer p;
    struct spy spy;
};

/* The options' .handlers (spying) and .arg are set here. */
static inline void stage_up(struct stage *x, const thrum_server_options *given)
{
    thrum_server_options o = {.size = sizeof o};
    if (given)
        o = *given;
    o.handlers = o.handlers ? o.handlers : &spying;
    o.arg = &x->spy;
    x->spy.n = 0;
    x->l = loop_up();
    x->s = listen_at(x->l, "ws://127.0.0.1:0/", &o);
    peer_opens(x->l, x->s, &x->p);
    turn_until(x->l, x->spy.c);
    assert_heard(&x->spy, "open; ");
}

static inline void stage_down(struct stage *x)
{
    loop_down(x->l);
    thrum_listener_free(x->s);
    peer_close(&x->p);
}

/* ---- memory that is counted, and refused when told to ----------------------------------------------------
 */

static struct memory {
    atomic_long live, bytes, peak; /* blocks; bytes now, and the most since it was last set */
    atomic_long left;              /* so many requests are granted; -1: all */
} memory = {.left = -1};

static inline void *memory_alloc(void *ctx, size_t n)
{
    (void)ctx;
    if (atomic_load(&memory.left) == 0)
        return NULL;
    if (atomic_load(&memory.left) > 0)
        atomic_fetch_sub(&memory.left, 1);
    void *p = malloc(n);
    assert_non_null(p);
    long now = atomic_fetch_add(&memory.bytes, (long)malloc_usable_size(p)) + (long)malloc_usable_size(p);
    if (now > atomic_load(&memory.peak))
        atomic_store(&memory.peak, now);
    atomic_fetch_add(&memory.live, 1);
    return p;
}

static inline void memory_release(void *ctx, void *p)
{
    (void)ctx;
    if (!p)
        return;
    atomic_fetch_sub(&memory.live, 1);
    atomic_fetch_sub(&memory.bytes, (long)malloc_usable_size(p));
    free(p);
}

static inline void *memory_resize(void *ctx, void *p, size_t n)
{
    void *to = memory_alloc(ctx, n);
    if (to && p) {
        size_t had = malloc_usable_size(p);
        memcpy(to, p, had < n ? had : n);
        memory_release(ctx, p);
    }
    return to;
}

/* From here on so many requests are granted; -1: all. */
static inline void memory_refuse_after(long n)
{
    atomic_store(&memory.left, n);
}

/* ---- nothing is left -------------------------------------------------------------------------------------
 */

static long rest_blocks;
static int rest_descriptors;

static inline int leaves_nothing_begin(void **state)
{
    static const struct mem_hook hook = {NULL, memory_alloc, memory_resize, memory_release};
    static bool warm;
    (void)state;
    mem_force_hook(&hook);
    if (!warm) { /* what the process makes once */
        loop_down(loop_up());
        warm = true;
    }
    codec_trim(); /* what it lends, it may keep */
    rest_blocks = atomic_load(&memory.live);
    rest_descriptors = fault_open_descriptors();
    return 0;
}

static inline int leaves_nothing_end(void **state)
{
    (void)state;
    sys = sys_real;
    memory_refuse_after(-1);
    if (!thread_library_settle(0, clock_after(clock_now(), PEER_MS)))
        fail_msg("a thread of the library is left");
    codec_trim();
    assert_int_equal(atomic_load(&memory.live), rest_blocks);
    assert_int_equal(fault_open_descriptors(), rest_descriptors);
    return 0;
}
#define clean_test(fn) cmocka_unit_test_setup_teardown(fn, leaves_nothing_begin, leaves_nothing_end)

/* For the child of a fork: by exit, so that coverage counts; not where a leak checker would look at what the
 * parent's other threads had in their hands. */
static inline void child_exit(int status)
{
    if (AT_REST)
        _exit(status);
    exit(status);
}

/* THRUM_BACKEND names one that this machine has? Else the test is skipped. */
static inline bool backend_is_here(void)
{
    struct poller *p = NULL;
    int e = poller_new_loop(&p, NULL);
    poller_free(p);
    if (e == ENOSYS)
        printf("skipped: this machine has no %s\n", getenv("THRUM_BACKEND"));
    return e != ENOSYS;
}
#define run_on_backend(tests) (backend_is_here() ? cmocka_run_group_tests(tests, NULL, NULL) : 77)

#endif
