/* connection_fuzz.c: an open connection with permessage-deflate, either role. What comes of the peer's bytes
 * must be the same whole, in pieces, and in pieces without vector kernels; and what we then say must be
 * understood by the peer. The first bytes choose the settings; the rest is the wire's, or describes frames
 * (see `describe`). */
#include "base/cpu.h"
#include "fuzz/fuzz_bytes.h"
#include "proto/proto.h"
#include "wire/frame.h"

enum { WIRE_MAX = 1 << 18, OUT_MAX = 1 << 20, TRACE_MAX = 1 << 16, SAID = 8, TIME = 1 };
static const uint8_t key[4] = {0x37, 0x42, 0xd1, 0x9c};

struct choice {
    bool server;    /* the role of the one that is fed */
    bool described; /* the input describes frames */
    bool early;     /* events and bytes are taken after each piece; else when all has come */
    bool parts;     /* then unfinished messages, too */
    bool closing;   /* our Close is out already */
    uint8_t level, memory, client_bits, server_bits, takeover;
    uint32_t max_message, seed;
};

struct text {
    uint8_t *p;
    size_t n, max;
};

struct run {
    thrum_proto *p, *peer;
    struct text trace, out, part;
    struct {
        thrum_kind kind;
        uint8_t *p;
        size_t n;
    } said[SAID];
    size_t nsaid;
    bool parts;
};

static int fixed_random(void *ctx, uint8_t *p, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        p[i] = key[i % 4];
    return 0;
}

static void add(struct text *t, const void *d, size_t n)
{
    if (t->max == 0)
        MUST(t->p = malloc(t->max = 4096));
    while (t->max - t->n < n)
        MUST(t->p = realloc(t->p, t->max *= 2));
    if (n > 0)
        memcpy(t->p + t->n, d, n);
    t->n += n;
}

static void note(struct run *r, const char *what, unsigned long a, unsigned long b, const uint8_t *d,
                 size_t n)
{
    char line[100];
    uint64_t h = 5381;
    for (size_t i = 0; i < n; i++)
        h = h * 33 + d[i];
    int len =
        snprintf(line, sizeof line, "%s %lu %lu, %zu bytes %llx\n", what, a, b, n, (unsigned long long)h);
    if (r->trace.n < TRACE_MAX)
        add(&r->trace, line, (size_t)len);
}

/* ---- a pair, its handshake done ---- */

static void carry(thrum_proto *from, thrum_proto *to)
{
    thrum_slice v;
    while (thrum_proto_out(from, &v, 1) == 1) {
        uint8_t *copy = exactly(v.p, v.n);
        thrum_proto_out_done(from, v.n, TIME);
        (void)thrum_proto_feed(to, copy, v.n, TIME);
        free(copy);
    }
}

static void take_open(thrum_proto *p)
{
    thrum_event e;
    MUST(thrum_proto_event(p, &e) && e.what == THRUM_EVENT_OPEN && thrum_proto_extensions(p));
    thrum_message_release(&e.message);
}

static struct run open_pair(const struct choice *c)
{
    const thrum_host h = {.size = sizeof h, .random = fixed_random};
    const thrum_switch server = c->takeover & 1 ? THRUM_ON : THRUM_OFF,
                       client = c->takeover & 2 ? THRUM_ON : THRUM_OFF;
    struct run r = {.parts = c->parts};
    thrum_proto *a, *b;
    MUST(thrum_proto_client(
             &a, "ws://fuzz.test/",
             THRUM_CLIENT(.max_message = c->max_message, .compress_level = c->level,
                          .compress_memory = c->memory, .client_max_window_bits = c->client_bits,
                          .server_max_window_bits = c->server_bits, .server_no_context_takeover = server),
             &h, TIME, NULL) == THRUM_OK);
    MUST(thrum_proto_server(&b,
                            THRUM_SERVER(.max_message = c->max_message, .compress_level = c->level,
                                         .compress_memory = c->memory, .client_max_window_bits = 15,
                                         .server_max_window_bits = 15, .client_no_context_takeover = client),
                            &h, TIME, NULL) == THRUM_OK);
    carry(a, b);
    carry(b, a);
    take_open(a);
    take_open(b);
    r.p = c->server ? b : a;
    r.peer = c->server ? a : b;
    return r;
}

/* ---- the peer's bytes, out of a description ---- */

static void add_frame(struct text *wire, uint8_t first, const uint8_t *d, size_t n, bool masked)
{
    struct frame_head h = {.opcode = first & 15,
                           .fin = first & 0x80,
                           .rsv1 = first & 0x40,
                           .rsv2 = first & 0x20,
                           .rsv3 = first & 0x10,
                           .masked = masked,
                           .len = n};
    uint8_t head[FRAME_HEAD_MAX];
    memcpy(h.key, key, sizeof key);
    add(wire, head, frame_encode(head, &h));
    size_t at = wire->n;
    add(wire, d, n);
    for (size_t i = 0; masked && i < n; i++)
        wire->p[at + i] ^= key[i % 4];
}

/* A payload of any size out of a few bytes. */
static size_t stretch(uint8_t *to, thrum_slice *in)
{
    static const uint32_t sizes[] = {0, 63, 125, 127, 300, 1000, 4094, 4200, 9000, 20000, 65534, 66000};
    uint8_t how = byte_of(in);
    size_t n = sizes[how % (sizeof sizes / sizeof sizes[0])] + how / 64;
    thrum_slice s = bytes_of(in, 1 + how / 16 % 8 * 4u);
    for (size_t i = 0; i < n; i++)
        to[i] = s.n > 0 ? s.p[i % s.n] : 'x';
    return n;
}

/* The peer itself says something, compressed or not; at times a bit of it is turned on the way. */
static void add_said(struct text *wire, thrum_proto *peer, thrum_slice *in, uint8_t how, bool turned)
{
    static uint8_t payload[1 << 17];
    static const thrum_switch wish[] = {THRUM_ON, THRUM_DEFAULT, THRUM_OFF, THRUM_ON};
    uint8_t flags = byte_of(in);
    thrum_slice s = {payload, 0}, v;
    if (how & 8) {
        s.n = stretch(payload, in);
    } else {
        s = bytes_of(in, flags >> 3);
    }
    (void)!thrum_proto_send_with(peer, flags & 1 ? THRUM_TEXT : THRUM_BINARY, s, !(flags & 2),
                                 wish[how >> 4 & 3]);
    size_t at = wire->n;
    while (thrum_proto_out(peer, &v, 1) == 1) {
        add(wire, v.p, v.n);
        thrum_proto_out_done(peer, v.n, TIME);
    }
    uint8_t where = turned ? byte_of(in) : 0;
    if (turned && at + where < wire->n)
        wire->p[at + where] ^= (uint8_t)(1u << (where & 7));
}

/* One byte says what comes: a frame of some bytes or of many, a control frame, a message by the peer, raw
 * bytes. */
static void describe(struct text *wire, thrum_proto *peer, thrum_slice *in, bool masked)
{
    static const uint8_t control[] = {0x88, 0x89, 0x8a, 0x89};
    static uint8_t payload[1 << 17];
    uint8_t how = byte_of(in), first;
    bool wrong = how >> 4 == 15;
    thrum_slice s;
    switch (how & 7) {
    case 0:
    case 1:
        first = byte_of(in);
        s = bytes_of(in, byte_of(in));
        add_frame(wire, first, s.p, s.n, masked != wrong);
        break;
    case 2:
        first = byte_of(in);
        add_frame(wire, first, payload, stretch(payload, in), masked);
        break;
    case 3:
    case 4: add_said(wire, peer, in, how, false); break;
    case 5:
        s = bytes_of(in, byte_of(in) & 127);
        add_frame(wire, control[how >> 4 & 3], s.p, s.n, masked);
        break;
    case 6: add_said(wire, peer, in, how, true); break;
    default:
        s = bytes_of(in, byte_of(in));
        add(wire, s.p, s.n);
        break;
    }
}

/* ---- one of the three ---- */

static void take_out(struct run *r)
{
    thrum_slice v[3];
    for (size_t k; (k = thrum_proto_out(r->p, v, 3)) > 0;) {
        size_t bytes = 0;
        for (size_t i = 0; i < k; i++) {
            add(&r->out, v[i].p, v[i].n);
            bytes += v[i].n;
        }
        thrum_proto_out_done(r->p, bytes, TIME);
    }
}

/* Of a message that came in parts only the last one says that it is one. */
static void take_message(struct run *r, thrum_message *m)
{
    bool last = m->part & THRUM_PART_LAST;
    thrum_kind kind = m->kind;
    add(&r->part, m->data, m->len);
    thrum_message_release(m);
    if (!last)
        return;
    note(r, "message", kind, 0, r->part.p, r->part.n);
    if (r->nsaid < SAID) {
        r->said[r->nsaid].kind = kind;
        r->said[r->nsaid].p = exactly(r->part.p, r->part.n);
        r->said[r->nsaid++].n = r->part.n;
    }
    r->part.n = 0;
}

/* Of pings and pongs the latest few are kept: which, depends on how often they are taken. */
static void take_events(struct run *r, bool early)
{
    thrum_event e;
    while (early && r->parts ? thrum_proto_event_part(r->p, &e) : thrum_proto_event(r->p, &e)) {
        if (e.what == THRUM_EVENT_MESSAGE) {
            take_message(r, &e.message);
            continue;
        }
        if (!early || (e.what != THRUM_EVENT_PING && e.what != THRUM_EVENT_PONG))
            note(r, "event", (unsigned long)e.what, e.code, e.message.data, e.message.len);
        thrum_message_release(&e.message);
    }
}

/* Where the core offers a window, as many bytes as go there. */
static size_t feed(thrum_proto *p, const uint8_t *d, size_t n, bool window)
{
    size_t room = 0;
    uint8_t *in = window ? thrum_proto_in(p, &room) : NULL;
    if (in) {
        n = n < room ? n : room;
        memcpy(in, d, n);
        (void)thrum_proto_in_done(p, n, TIME);
        return n;
    }
    uint8_t *copy = exactly(d, n);
    (void)thrum_proto_feed(p, copy, n, TIME);
    free(copy);
    return n;
}

/* The peer must understand all that we say: what is sent back to it, and the Close. */
static void answer(struct run *r)
{
    thrum_event e;
    size_t sent = 0, got = 0;
    for (size_t i = 0; i < r->nsaid; i++) {
        thrum_slice s = {r->said[i].p, r->said[i].n};
        thrum_status st =
            thrum_proto_send_with(r->p, r->said[i].kind, s, true, i % 3 ? THRUM_ON : THRUM_DEFAULT);
        MUST(st == THRUM_OK || st == THRUM_E_CLOSED);
        sent += st == THRUM_OK;
    }
    take_out(r);
    if (r->out.n > 0)
        feed(r->peer, r->out.p, r->out.n, false);
    while (thrum_proto_event(r->peer, &e)) {
        if (e.what == THRUM_EVENT_MESSAGE) {
            MUST(got < sent && e.message.kind == r->said[got].kind && e.message.len == r->said[got].n &&
                 memcmp(e.message.data, r->said[got].p, e.message.len) == 0);
            got++;
        }
        thrum_message_release(&e.message);
    }
    thrum_status st = proto_status(r->peer);
    MUST(got == sent && (st == THRUM_OK || st == THRUM_E_CLOSED));
}

static void finish(struct run *r, bool early)
{
    thrum_error e;
    thrum_closing c = {.size = sizeof c};
    thrum_stats s = {.size = sizeof s};
    take_events(r, early);
    answer(r);
    (void)thrum_proto_in_end(r->p, 0, TIME);
    take_out(r);
    take_events(r, early);
    MUST(thrum_proto_state(r->p) == THRUM_CLOSED);
    thrum_proto_error(r->p, &e);
    MUST(thrum_proto_closing(r->p, &c) == THRUM_OK);
    proto_stats(r->p, &s);
    note(r, "end", (unsigned long)-e.status, e.close_code, (const uint8_t *)e.text, strlen(e.text));
    note(r, "close", c.sent_code, c.recv_code, (const uint8_t *)c.recv_reason, strlen(c.recv_reason));
    note(r, "count", s.messages_in, s.pings_in, NULL, 0);
    for (size_t i = 0; i < r->nsaid; i++)
        free(r->said[i].p);
    free(r->part.p);
    thrum_proto_free(r->p);
    thrum_proto_free(r->peer);
}

/* seed 0: whole. */
static void feed_all(struct run *r, const struct choice *c, const struct text *wire, uint32_t seed)
{
    static const thrum_slice bye = {(const uint8_t *)"bye", 3};
    if (c->closing && !c->early)
        MUST(thrum_proto_close(r->p, 1000, bye, TIME) == THRUM_OK);
    for (size_t at = 0; at < wire->n;) {
        size_t n = seed ? piece(&seed, wire->n - at) : wire->n;
        at += feed(r->p, wire->p + at, n, seed && number(&seed, 0, 1));
        if (seed && c->early) {
            take_out(r);
            take_events(r, true);
        }
    }
    finish(r, c->early);
}

/* What need not be the same goes: answers to pings, of which only the latest is kept while none is taken; and
 * data, which the peer has judged already: what ISA-L makes of a text depends on what its state did before.
 */
static void keep_the_rest(struct text *out, bool early)
{
    size_t to = 0;
    for (size_t at = 0; at < out->n;) {
        struct frame_head h;
        const char *why = NULL;
        int head = frame_decode(&h, out->p + at, out->n - at, &why);
        MUST(head > 0 && h.len <= out->n - at - (size_t)head);
        size_t n = (size_t)head + (size_t)h.len;
        if (frame_is_control(h.opcode) && !(early && h.opcode == FRAME_PONG)) {
            memmove(out->p + to, out->p + at, n);
            to += n;
        }
        at += n;
    }
    out->n = to;
}

static void compare(const struct run *a, struct run *b)
{
    bool same = a->trace.n == b->trace.n && memcmp(a->trace.p, b->trace.p, a->trace.n) == 0;
    if (!same)
        fprintf(stderr, "whole:\n%.*s\nin pieces:\n%.*s\n", (int)a->trace.n, (char *)a->trace.p,
                (int)b->trace.n, (char *)b->trace.p);
    MUST(same);
    MUST(a->out.n == b->out.n && (a->out.n == 0 || memcmp(a->out.p, b->out.p, a->out.n) == 0));
    free(b->trace.p);
    free(b->out.p);
}

static struct choice choose(thrum_slice *in)
{
    static const uint32_t limits[] = {100000, 1000, 70000, 5000};
    uint8_t a = byte_of(in), b = byte_of(in), d = byte_of(in);
    return (struct choice){
        .server = a & 1,
        .described = a & 2,
        .early = a & 4,
        .parts = a & 8,
        .closing = a & 16,
        .takeover = a >> 5,
        .client_bits = 8 + b % 8,
        .server_bits = 8 + b / 8 % 8,
        .max_message = limits[b >> 6],
        .level = 1 + d % 9,
        .memory = d / 9 % 10,
        .seed = word_of(in) | 1,
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    thrum_slice in = {data, size};
    if (size > 1 << 15)
        return 0;
    const struct choice c = choose(&in);
    struct text wire = {0};
    struct run whole = open_pair(&c), cut, plain;
    if (!c.described)
        add(&wire, in.p, in.n);
    while (c.described && in.n > 0 && wire.n < WIRE_MAX)
        describe(&wire, whole.peer, &in, c.server);
    feed_all(&whole, &c, &wire, 0);
    cut = open_pair(&c);
    feed_all(&cut, &c, &wire, c.seed);
    const enum cpu_level best = cpu_level();
    MUST(cpu_use(CPU_PORTABLE));
    plain = open_pair(&c);
    feed_all(&plain, &c, &wire, (c.seed >> 7) | 1);
    MUST(cpu_use(best));
    keep_the_rest(&whole.out, c.early);
    keep_the_rest(&cut.out, c.early);
    keep_the_rest(&plain.out, c.early);
    compare(&whole, &cut);
    compare(&whole, &plain);
    free(whole.trace.p);
    free(whole.out.p);
    free(wire.p);
    return 0;
}
