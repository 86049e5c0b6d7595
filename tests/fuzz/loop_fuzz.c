/* loop_fuzz.c: a loop's connection, and a plain proto beside it that sees the same bytes in the same pieces.
 * The loop takes most messages without a proto, makes one when it needs one and gives it up again; whatever
 * it does, its callbacks, its answers and its end must be those of the proto that was there all the time.
 *
 * The first bytes choose how; the rest is the wire's, or describes frames (see `describe`). */
#include "event/listener.h"
#include "fuzz/fuzz_bytes.h"
#include "fuzz/fuzz_proto.h"
#include "proto/park.h"
#include "wire/frame.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WIRE_MAX = 1 << 17, SAID_MAX = 1 << 20, LINES_MAX = 1 << 16, WAYS = 8 };

struct choice {
    bool parts, small, deflate; /* on_part; a low limit; compression is accepted */
    bool described;             /* the input describes frames */
    bool opened;                /* a good request goes before it */
    bool echoes;
    uint8_t pauses; /* at each nth message; 0: never */
    uint32_t seed;
};

/* What one of the two has heard and said. */
struct side {
    const struct choice *how;
    char *lines;
    size_t n;
    uint8_t *said;
    size_t nsaid;
    unsigned messages;
    bool paused, ended;
    struct lconn *c; /* of the loop's */
};

static void line(struct side *s, const char *what, unsigned a, unsigned b, const uint8_t *d, size_t n)
{
    if (s->n + 100 < LINES_MAX)
        s->n +=
            (size_t)snprintf(s->lines + s->n, 100, "%s %u %u, %zu bytes %lx\n", what, a, b, n, sum_of(d, n));
}

static bool pauses_now(struct side *s)
{
    s->messages++;
    return s->how->pauses > 0 && s->messages % s->how->pauses == 0;
}

static void end_line(struct side *s, const thrum_error *e)
{
    MUST(!s->ended);
    s->ended = true;
    line(s, "end", (unsigned)-e->status, e->close_code, (const uint8_t *)e->text, strlen(e->text));
}

/* ---- the loop's side ---- */

static thrum_loop *loop;
static struct side *current; /* handlers are made once for all inputs, so they find it here */

static void on_open(thrum_conn *c, void *arg)
{
    (void)arg;
    current->c = (struct lconn *)(void *)c;
    line(current, "open", 0, 0, NULL, 0);
}

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    struct side *s = current;
    (void)arg;
    MUST(m->data && m->data[m->len] == 0);
    line(s, "message", m->kind, m->part, m->data, m->len);
    if (s->how->echoes && m->part == THRUM_PART_WHOLE)
        (void)!thrum_send(c, m->kind, m->data, m->len);
    if (pauses_now(s)) {
        s->paused = true;
        MUST(thrum_pause(c) == THRUM_OK);
    }
}

static void on_ping(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)c, (void)arg;
    line(current, "ping", 0, 0, m->data, m->len);
}

static void on_pong(thrum_conn *c, const thrum_message *m, void *arg)
{
    (void)c, (void)arg;
    line(current, "pong", 0, 0, m->data, m->len);
}

static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    (void)c, (void)arg;
    end_line(current, why);
}

static const thrum_handlers whole = {.size = sizeof whole,
                                     .on_open = on_open,
                                     .on_message = on_message,
                                     .on_ping = on_ping,
                                     .on_pong = on_pong,
                                     .on_close = on_close},
                            parts = {.size = sizeof parts,
                                     .on_open = on_open,
                                     .on_part = on_message,
                                     .on_ping = on_ping,
                                     .on_pong = on_pong,
                                     .on_close = on_close};

/* A listener for each set of options, made at its first use; nobody ever connects to it. */
static thrum_listener *listener_of(const struct choice *how)
{
    static thrum_listener *made[WAYS];
    unsigned i = how->parts | (unsigned)how->small << 1 | (unsigned)how->deflate << 2;
    if (!loop)
        MUST(thrum_loop_new(&loop, NULL) == THRUM_OK);
    if (!made[i])
        MUST(thrum_listen(&made[i], loop, "ws://127.0.0.1:0/",
                          THRUM_SERVER(.handlers = how->parts ? &parts : &whole,
                                       .max_message = how->small ? 200 : 100000, .max_fragments = 20,
                                       .compression = how->deflate ? THRUM_ON : THRUM_OFF),
                          NULL) == THRUM_OK);
    return made[i];
}

static void keep_said(struct side *s, const uint8_t *p, size_t n)
{
    MUST(s->nsaid + n <= SAID_MAX);
    if (n > 0)
        memcpy(s->said + s->nsaid, p, n);
    s->nsaid += n;
}

static bool hear(struct side *s, int fd)
{
    uint8_t b[8192];
    bool any = false;
    for (ssize_t n; (n = recv(fd, b, sizeof b, MSG_DONTWAIT)) > 0; any = true)
        keep_said(s, b, (size_t)n);
    return any;
}

/* Output leaves, and what waits for room follows it. */
static void flush(struct side *s, struct lconn *c, int fd, uint32_t serial)
{
    do {
        if (loop_conn(loop, serial) == c)
            lconn_settle(c);
        loop_after_call(loop);
    } while (hear(s, fd));
}

static uint32_t place_of(const struct lconn *c)
{
    return (uint32_t)c->id & 0xffffff;
}

/* One piece: it lies before one byte that may be borrowed, and is given back. */
static void take(struct side *s, struct lconn *c, int fd, const uint8_t *p, size_t n)
{
    uint32_t place = place_of(c);
    uint8_t *copy = malloc(n + 1);
    MUST(copy);
    memcpy(copy, p, n);
    copy[n] = 0xa5;
    lconn_took(c, copy, n);
    MUST(copy[n] == 0xa5);
    free(copy);
    flush(s, c, fd, place);
    if (s->paused && !s->ended) {
        s->paused = false;
        MUST(thrum_resume((thrum_conn *)(void *)c) == THRUM_OK);
        flush(s, c, fd, place);
    }
}

/* ---- the plain proto's side ---- */

static void plain_event(struct side *s, thrum_proto *p, const thrum_event *e)
{
    const thrum_message *m = &e->message;
    switch (e->what) {
    case THRUM_EVENT_OPEN: line(s, "open", 0, 0, NULL, 0); break;
    case THRUM_EVENT_PING: line(s, "ping", 0, 0, m->data, m->len); break;
    case THRUM_EVENT_PONG: line(s, "pong", 0, 0, m->data, m->len); break;
    case THRUM_EVENT_MESSAGE:
        line(s, "message", m->kind, m->part, m->data, m->len);
        if (s->how->echoes && m->part == THRUM_PART_WHOLE)
            (void)!thrum_proto_send(p, m->kind, (thrum_slice){m->data, m->len}, true);
        s->paused |= pauses_now(s);
        break;
    default: break;
    }
}

static void plain_events(struct side *s, thrum_proto *p)
{
    thrum_event e;
    while (!s->paused && (s->how->parts ? thrum_proto_event_part(p, &e) : thrum_proto_event(p, &e))) {
        plain_event(s, p, &e);
        thrum_message_release(&e.message);
    }
}

static void plain_out(struct side *s, thrum_proto *p)
{
    thrum_slice v;
    while (thrum_proto_out(p, &v, 1) == 1) {
        keep_said(s, v.p, v.n);
        thrum_proto_out_done(p, v.n, loop->now);
    }
}

static void plain_take(struct side *s, thrum_proto *p, const uint8_t *d, size_t n)
{
    while (n > 0 && thrum_proto_state(p) != THRUM_CLOSED) {
        size_t most = proto_next(p), some = n < most || s->paused ? n : most;
        uint8_t *copy = exactly(d, some);
        (void)thrum_proto_feed(p, copy, some, loop->now);
        free(copy);
        plain_events(s, p);
        d += some;
        n -= some;
    }
    plain_out(s, p);
    if (s->paused) { /* what pauses again waits for the next piece */
        s->paused = false;
        plain_events(s, p);
        plain_out(s, p);
    }
}

/* ---- what was said: HTTP, then frames of data and of control, which need not be in the same order. At a
 * Close data that have not begun to be written are dropped; of which the loop, that writes them elsewhere,
 * may have more or fewer. ---- */

enum { FRAMES_MAX = 4096 };
struct spoken {
    size_t head;
    unsigned long control, data[FRAMES_MAX];
    unsigned ndata, ncontrol;
    bool closes;
};

static size_t head_of(const struct side *s)
{
    for (size_t i = 4; i <= s->nsaid; i++)
        if (memcmp(s->said + i - 4, "\r\n\r\n", 4) == 0)
            return i;
    return s->nsaid;
}

static void spoken_of(struct spoken *x, const struct side *s)
{
    x->head = head_of(s);
    x->control = x->ndata = x->ncontrol = x->closes = 0;
    size_t at = x->head;
    if (s->nsaid < 12 || memcmp(s->said + 9, "101", 3) != 0)
        at = s->nsaid;
    while (at < s->nsaid) {
        MUST(s->nsaid - at >= 2);
        const uint8_t *f = s->said + at;
        size_t n = f[1] & 0x7f, wide = n == 126 ? 2 : n == 127 ? 8 : 0, size = 2 + wide;
        MUST(!(f[1] & 0x80) && s->nsaid - at >= size);
        for (size_t i = n = wide ? 0 : n; i < wide; i++)
            n = n << 8 | f[2 + i];
        MUST(s->nsaid - at >= size + n);
        unsigned long sum = sum_of(f, size + n);
        if (f[0] & 8)
            x->control = x->control * 31 + sum, x->ncontrol++;
        else if (x->ndata < FRAMES_MAX)
            x->data[x->ndata++] = sum;
        x->closes |= f[0] == 0x88;
        at += size + n;
    }
}

/* ---- a run ---- */

static void side_begin(struct side *s, const struct choice *how)
{
    static char lines[2][LINES_MAX];
    static uint8_t said[2][SAID_MAX];
    static int which;
    which = !which;
    *s = (struct side){.how = how, .lines = lines[which], .said = said[which]};
    s->lines[0] = '\0';
}

static struct lconn *accept_one(thrum_listener *l, int *far)
{
    int both[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both) == 0);
    *far = both[0];
    accept_event(l->homes[0]->accept, &(struct poller_event){.what = POLLER_ACCEPTED, .n = both[1]});
    loop_after_call(loop);
    uint32_t i = 0;
    while (!loop_conn(loop, i))
        MUST(++i < loop->nslots);
    return loop_conn(loop, i);
}

static thrum_proto *plain_one(thrum_listener *l)
{
    const thrum_host h = {.size = sizeof h,
                          .random = zero_random,
                          .events = 1u << THRUM_EVENT_MESSAGE | 1u << THRUM_EVENT_OPEN |
                                    1u << THRUM_EVENT_PING | 1u << THRUM_EVENT_PONG,
                          .peer = "unix"};
    thrum_proto *p = NULL;
    MUST(proto_new_server(&p, &l->settings->s, &h, false, loop->now, NULL) == THRUM_OK);
    return p;
}

static void check(const struct side *a, const struct side *b)
{
    static struct spoken x, y;
    spoken_of(&x, a);
    spoken_of(&y, b);
    unsigned both = x.ndata < y.ndata ? x.ndata : y.ndata;
    bool same = a->n == b->n && memcmp(a->lines, b->lines, a->n) == 0 && x.head == y.head &&
                memcmp(a->said, b->said, x.head) == 0 && x.control == y.control &&
                memcmp(x.data, y.data, both * sizeof x.data[0]) == 0 && (x.ndata == y.ndata || x.closes);
    if (same)
        return;
    fprintf(stderr, "the loop (said %u and %u frames):\n%s\nthe proto (%u and %u):\n%s\n", x.ndata,
            x.ncontrol, a->lines, y.ndata, y.ncontrol, b->lines);
    abort();
}

static void end_both(struct side *a, struct side *b, struct lconn *c, uint32_t place, int far, thrum_proto *p)
{
    thrum_error e;
    bool opened = strncmp(b->lines, "open", 4) == 0;
    if (loop_conn(loop, place)) {
        lconn_in_ended(c, 0);
        flush(a, c, far, place);
    }
    (void)thrum_proto_in_end(p, 0, loop->now);
    plain_events(b, p);
    plain_out(b, p);
    if (thrum_proto_state(p) == THRUM_CLOSED && opened) {
        thrum_proto_error(p, &e);
        end_line(b, &e);
    }
    if (loop_conn(loop, place)) { /* neither has ended: nothing to compare */
        MUST(thrum_proto_state(p) != THRUM_CLOSED);
        lconn_end_now(c, "the input has ended");
        loop_after_call(loop);
        a->n = b->n = 0;
    }
}

static void run(const struct choice *how, const uint8_t *wire, size_t n)
{
    struct side a, b;
    int far;
    uint32_t seed = how->seed;
    side_begin(&a, how);
    side_begin(&b, how);
    current = &a;
    thrum_listener *l = listener_of(how);
    struct lconn *c = accept_one(l, &far);
    uint32_t place = place_of(c);
    thrum_proto *p = plain_one(l);
    for (size_t at = 0; at < n;) {
        size_t some = piece(&seed, n - at);
        if (loop_conn(loop, place) == c)
            take(&a, c, far, wire + at, some);
        plain_take(&b, p, wire + at, some);
        at += some;
    }
    end_both(&a, &b, c, place, far, p);
    MUST(loop->nconns == 0);
    (void)hear(&a, far);
    check(&a, &b);
    thrum_proto_free(p);
    (void)close(far);
}

/* ---- the wire ---- */

static const uint8_t key[4] = {0x37, 0x42, 0xd1, 0x9c};

static size_t add_frame(uint8_t *wire, size_t at, uint8_t first, thrum_slice s, size_t n, bool masked)
{
    struct frame_head h = {.opcode = first & 15,
                           .fin = first & 0x80,
                           .rsv1 = first & 0x40,
                           .rsv2 = first & 0x20,
                           .rsv3 = first & 0x10,
                           .masked = masked,
                           .len = n};
    if (at + FRAME_HEAD_MAX + n > WIRE_MAX)
        return at;
    memcpy(h.key, key, sizeof key);
    at += frame_encode(wire + at, &h);
    for (size_t i = 0; i < n; i++)
        wire[at + i] = (uint8_t)((s.n > 0 ? s.p[i % s.n] : 'x') ^ (masked ? key[i % 4] : 0));
    return at + n;
}

/* A byte says which frame: its kind, its length, whether something is wrong with it. */
static size_t describe(uint8_t *wire, size_t at, thrum_slice *in)
{
    static const uint8_t firsts[] = {0x81, 0x82, 0x89, 0x8a, 0x01, 0x00, 0x80, 0x88};
    static const size_t lengths[] = {0, 5, 125, 126, 199, 201, 5000, 66000};
    uint8_t how = byte_of(in);
    uint8_t first = firsts[how & 7];
    size_t n = lengths[how >> 3 & 7];
    bool odd = how >> 6 == 3;
    if ((first & 8) && n > 125)
        n = odd ? n : 2;
    thrum_slice s = bytes_of(in, 1 + (how >> 6));
    if (odd && byte_of(in) & 1)
        first = byte_of(in);
    return add_frame(wire, at, first, s, n, !(odd && byte_of(in) & 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t wire[WIRE_MAX];
    thrum_slice in = {data, size};
    uint8_t flags = byte_of(&in), more = byte_of(&in);
    struct choice how = {.parts = flags & 1,
                         .small = flags & 2,
                         .deflate = flags & 4,
                         .described = flags & 8,
                         .opened = !(flags & 16),
                         .echoes = (flags & 32) && !(flags & 4),
                         .pauses = more & 3,
                         .seed = word_of(&in)};
    size_t n = 0;
    if (how.opened) {
        n = strlen(request);
        memcpy(wire, request, n);
        if (how.deflate && (more & 4)) { /* it offers compression */
            static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
            memcpy(wire + n - 2, offer, sizeof offer - 1);
            n += sizeof offer - 3;
        }
    }
    while (how.described && in.n > 0)
        n = describe(wire, n, &in);
    thrum_slice rest = bytes_of(&in, WIRE_MAX - n);
    if (rest.n > 0)
        memcpy(wire + n, rest.p, rest.n);
    n += rest.n;
    run(&how, wire, n);
    return 0;
}
