/* property_test.c: the cut of the input does not matter (SECURITY.md R8). Streams, right and wrong, handshake
 * included, are made from a seed; each is fed whole, byte by byte, in pieces, through windows and with a
 * deferred decision: events, status, text of the error and the bytes that go out must be the same.
 * THRUM_SEED=n repeats a run. */
#include "proto_test.h"

enum { STREAMS = 3000, STREAM_MAX = 400000, TRACE_MAX = 200000 };

struct stream {
    bool server, ends, closes; /* closes: we send Close between handshake and frames */
    int options;
    size_t n, mid; /* mid: where the handshake ends */
    uint8_t d[STREAM_MAX];
};

enum way { WHOLE, BYTES, PIECES, WINDOWS, DEFERRED, TAKING, PARTS };
static const char *const way_names[] = {"whole",    "byte by byte", "pieces", "windows",
                                        "deferred", "taking",       "parts"};

static struct stream st;
static uint32_t seed, rng;

static uint32_t rnd(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 17;
    rng ^= rng << 5;
    return rng % n;
}

/* ---- making streams ------------------------------------------------------------------------------------ */

static void put(const void *d, size_t n)
{
    assert_true(st.n + n <= STREAM_MAX);
    memcpy(st.d + st.n, d, n);
    st.n += n;
}

static void put_text(const char *s)
{
    put(s, strlen(s));
}

static void put_frame(uint8_t first, const void *payload, size_t n)
{
    static uint8_t f[70000];
    bool masked = rnd(200) ? st.server : !st.server;
    put(f, frame(f, first, payload, n, masked));
}

static size_t some_text(uint8_t *d, size_t n)
{
    static const char *const chars[] = {"a", "z", " ", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    size_t at = 0;
    while (at + 4 <= n) {
        const char *c = chars[rnd(6)];
        memcpy(d + at, c, strlen(c));
        at += strlen(c);
    }
    if (at > 0 && rnd(40) == 0)
        d[rnd((uint32_t)at)] = (uint8_t)rnd(256);
    return at;
}

static size_t some_size(void)
{
    switch (rnd(10)) {
    case 0: return 0;
    case 1: return 120 + rnd(12); /* around the first change of form */
    case 2: return 4000 + rnd(20000);
    case 3: return rnd(200) ? 1000 : 65530 + rnd(12);
    default: return rnd(60);
    }
}

static void put_message(void)
{
    static uint8_t d[70000];
    uint8_t first = rnd(2) ? 0x01 : 0x02;
    size_t n = some_size(), at = 0;
    n = first == 1 ? some_text(d, n) : n;
    for (size_t i = 0; first == 2 && i < n; i++)
        d[i] = (uint8_t)(i * 7 + n);
    while (rnd(3) == 0) {
        size_t take = n > at ? rnd((uint32_t)(n - at) + 1) : 0;
        put_frame(first, d + at, take);
        at += take;
        first = 0;
        if (rnd(4) == 0)
            put_frame(0x89, "between", rnd(8));
    }
    put_frame(first | 0x80, d + at, n - at);
}

/* What no peer may send. */
static void put_fault(void)
{
    static const uint8_t lengths[][10] = {
        {0x82, 126, 0, 125},
        {0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
        {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 1},
        {0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0},
    };
    uint8_t h[10];
    switch (rnd(6)) {
    case 0: put_frame((uint8_t)rnd(256), "any", 3); break;
    case 1: put_frame(0x80, "no start", 8); break;
    case 2: put_frame(0x88, "\x03", rnd(2)); break;
    case 3: put_frame(0x88, "\x03\xe8\xff", 3); break;
    case 4: put_frame(0x89, st.d, 126); break;
    default:
        memcpy(h, lengths[rnd(4)], 10);
        h[1] |= st.server ? 0x80 : 0;
        put(h, h[1] % 128 == 126 ? 4 : 10);
        put("keys", 4);
    }
}

static void put_frames(void)
{
    uint32_t n = rnd(12);
    for (uint32_t i = 0; i < n && st.n < STREAM_MAX / 2; i++) {
        uint32_t k = rnd(20);
        if (k == 0)
            put_fault();
        else if (k < 4)
            put_frame(k == 1 ? 0x8a : 0x89, "0123456789", rnd(11));
        else
            put_message();
    }
    if (rnd(3) == 0)
        put_frame(0x88, "\x03\xe8 bye", rnd(2) ? 0 : 2 + rnd(5));
    if (rnd(4) == 0)
        put_message();
}

static void put_request(void)
{
    put_text(rnd(20) ? "GET /t?q HTTP/1.1\r\n" : rnd(2) ? "POST / HTTP/1.1\r\n" : "GET / HTTP/1.0\r\n");
    put_text(rnd(40) ? "Host: h.test\r\n" : "Host: a b\r\n");
    put_text("Upgrade: websocket\r\nConnection: Upgrade\r\n");
    put_text(rnd(40) ? "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" : "Sec-WebSocket-Key: x\r\n");
    put_text(rnd(40) ? "Sec-WebSocket-Version: 13\r\n" : "Sec-WebSocket-Version: 8\r\n");
    if (rnd(4) == 0)
        put_text("Sec-WebSocket-Protocol: x, a\r\nOrigin: http://h.test\r\n");
    put_text(rnd(60) ? "\r\n" : "\n");
}

static void put_answer(const char *accept)
{
    char line[100];
    if (rnd(8) == 0)
        put_text("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n");
    if (rnd(12) == 0)
        put_text(rnd(2) ? "HTTP/1.1 404 N\r\nContent-Length: 8\r\n\r\n" : "HTTP/1.1 500 N\r\n\r\n");
    put_text("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    snprintf(line, sizeof line, "Sec-WebSocket-Accept: %s%s\r\n", rnd(40) ? "" : "x", accept);
    put_text(line);
    put_text(rnd(40) ? "\r\n" : "Sec-WebSocket-Extensions: x\r\n\r\n");
}

static thrum_proto *begin(bool defer, struct settings *s, char *accept);

static void make_stream(uint32_t number)
{
    char accept[29] = "";
    rng = (seed + number * 2654435761u) | 1;
    for (int i = 0; i < 8; i++)
        (void)rnd(2);
    st.n = 0;
    st.server = rnd(2);
    st.options = (int)rnd(4);
    st.ends = rnd(2);
    if (st.server) {
        put_request();
    } else {
        struct settings s;
        thrum_proto_free(begin(false, &s, accept));
        settings_free(&s);
        put_answer(accept);
    }
    st.mid = st.n;
    put_frames();
    st.closes = rnd(6) == 0;
    for (uint32_t i = rnd(6) ? 0 : 1 + rnd(3); i > 0; i--)
        st.d[rnd((uint32_t)st.n)] ^= (uint8_t)(1 << rnd(8));
    if (rnd(4) == 0)
        st.n = rnd((uint32_t)st.n + 1);
    if (st.mid > st.n)
        st.mid = st.n;
}

/* ---- running them -------------------------------------------------------------------------------------- */

struct trace {
    size_t n;
    char s[TRACE_MAX];
};

static void say_line(struct trace *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say_line(struct trace *t, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    t->n += (size_t)vsnprintf(t->s + t->n, TRACE_MAX - t->n, format, ap);
    va_end(ap);
    assert_true(t->n < TRACE_MAX);
}

static uint32_t hash(uint32_t h, const uint8_t *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ d[i]) * 16777619u;
    return h;
}

static uint32_t part_hash;
static size_t part_bytes;

/* A message in parts is written down as if it had come whole. */
static void trace_event(struct trace *t, const thrum_event *e, bool informing)
{
    const thrum_message *m = &e->message;
    assert_int_equal(m->data[m->len], 0);
    if ((e->what == THRUM_EVENT_PING || e->what == THRUM_EVENT_PONG) && !informing)
        return;
    if (e->what != THRUM_EVENT_MESSAGE || (m->part & THRUM_PART_FIRST)) {
        part_hash = 2166136261u;
        part_bytes = 0;
    }
    part_hash = hash(part_hash, m->data, m->len);
    part_bytes += m->len;
    if (m->part & THRUM_PART_LAST)
        say_line(t, "event %d code %d kind %d %zu bytes %08x\n", e->what, e->code, m->kind, part_bytes,
                 part_hash);
}

static void trace_events(thrum_proto *p, struct trace *t, enum way w, bool informing)
{
    thrum_event e;
    while (w == PARTS ? thrum_proto_event_part(p, &e) : thrum_proto_event(p, &e)) {
        trace_event(t, &e, informing);
        thrum_message_release(&e.message);
    }
}

static thrum_proto *begin(bool defer, struct settings *s, char *accept)
{
    static const uint64_t max_message[] = {0, 100, THRUM_NO_LIMIT, 5000};
    thrum_proto *p;
    random_state = 77;
    if (st.server) {
        assert_status(
            settings_server(s,
                            THRUM_SERVER(.max_message = max_message[st.options], .subprotocols = "a",
                                         .max_fragments = st.options == 3 ? 2 : 0),
                            NULL),
            THRUM_OK);
        assert_status(proto_new_server(&p, s, &test_host, defer, now, NULL), THRUM_OK);
        return p;
    }
    char out[4096], value[29];
    assert_status(settings_client(s,
                                  THRUM_CLIENT(.max_message = max_message[st.options],
                                               .max_fragments = st.options == 3 ? 2 : 0),
                                  NULL),
                  THRUM_OK);
    assert_status(proto_new_client(&p, "ws://h.test/", s, &test_host, now, NULL), THRUM_OK);
    take_out(p, out, sizeof out);
    accept_value(value, out);
    if (accept)
        strcpy(accept, value);
    return p;
}

static void answer(thrum_proto *p)
{
    struct decision d;
    if (!proto_asks(p))
        return;
    assert_status(proto_decide(proto_asks(p), proto_settings(p), &d), THRUM_OK);
    assert_status(proto_answer(p, &d, now), THRUM_OK);
    decision_free(&d);
}

static void feed_range(thrum_proto *p, size_t from, size_t to, enum way w, struct trace *t)
{
    while (from < to) {
        size_t rest = to - from, take = rest, room;
        uint8_t *in = NULL;
        if (w == BYTES)
            take = 1;
        else if (w != WHOLE)
            take = rnd(3) ? 1 + rnd(20) : 1 + rnd(9000);
        take = take < rest ? take : rest;
        if (w == WINDOWS && rnd(4))
            in = thrum_proto_in(p, &room);
        if (in) {
            take = take < room ? take : room;
            memcpy(in, st.d + from, take);
            (void)thrum_proto_in_done(p, take, now);
        } else {
            feed(p, st.d + from, take);
        }
        from += take;
        if (w == DEFERRED && rnd(3) == 0)
            answer(p);
        if (w == TAKING || w == PARTS)
            trace_events(p, t, w, false);
    }
}

static void trace_end(thrum_proto *p, struct trace *t, bool informing)
{
    static char out[300000];
    char sent[200];
    thrum_error e;
    thrum_closing c = {.size = sizeof c};
    thrum_stats s = {.size = sizeof s};
    thrum_proto_tick(p, now + 1000 * MS); /* a failure waits no longer for messages to be taken */
    size_t n = take_out(p, out, sizeof out);
    proto_stats(p, &s);
    if (proto_status(p) == THRUM_E_UTF8)
        s.bytes_in = 0; /* the bytes behind the bad one count where they came with it */
    snprintf(sent, sizeof sent, "out %zu %08x; %llu messages, %llu bytes, %llu pings in, wire %llu %llu", n,
             hash(0, (const uint8_t *)out, n), (unsigned long long)s.messages_in,
             (unsigned long long)s.bytes_in, (unsigned long long)s.pings_in, (unsigned long long)s.wire_in,
             (unsigned long long)s.wire_out);
    if (st.ends)
        (void)thrum_proto_in_end(p, 0, now);
    trace_events(p, t, WHOLE, informing);
    thrum_proto_error(p, &e);
    assert_status(thrum_proto_closing(p, &c), THRUM_OK);
    say_line(t, "%s\n", sent);
    say_line(t, "state %d flags %u status %d code %d http %d by %d \"%s\" sent %d recv %d \"%s\" \"%s\"\n",
             thrum_proto_state(p), thrum_proto_flags(p), e.status, e.close_code, e.http_status, e.by_peer,
             e.text, c.sent_code, c.recv_code, c.sent_reason, c.recv_reason);
    say_line(t, "target %s subprotocol %s\n", thrum_proto_target(p) ? thrum_proto_target(p) : "-",
             thrum_proto_subprotocol(p) ? thrum_proto_subprotocol(p) : "-");
}

static void run(enum way w, struct trace *t, bool informing)
{
    struct settings s;
    thrum_proto *p = begin(w == DEFERRED, &s, NULL);
    t->n = 0;
    if (st.closes) {
        feed_range(p, 0, st.mid, w, t);
        if (w == DEFERRED)
            answer(p);
        if (thrum_proto_state(p) == THRUM_OPEN)
            assert_status(thrum_proto_close(p, 1000, (thrum_slice){NULL, 0}, now), THRUM_OK);
    }
    feed_range(p, st.closes ? st.mid : 0, st.n, w, t);
    if (w == DEFERRED)
        answer(p);
    trace_end(p, t, informing);
    thrum_proto_free(p);
    settings_free(&s);
}

static void compare(uint32_t number, enum way w, const struct trace *want)
{
    static struct trace got;
    run(w, &got, w < TAKING);
    size_t at = 0;
    while (got.s[at] && got.s[at] == want->s[at])
        at++;
    if (got.s[at] == want->s[at])
        return;
    while (at > 0 && want->s[at - 1] != '\n')
        at--;
    fail_msg("THRUM_SEED=%u, stream %u, a %s, %zu bytes, whole:\n%.400s\n%s:\n%.400s", seed, number,
             st.server ? "server" : "client", st.n, want->s + at, way_names[w], got.s + at);
}

static void test_R8_any_cut_gives_the_same(void **state)
{
    static struct trace want;
    const char *given = getenv("THRUM_SEED");
    unsigned told = 0, faults = 0, refused = 0, closed = 0;
    (void)state;
    seed = given ? (uint32_t)strtoul(given, NULL, 0) : 20261123u;
    print_message("THRUM_SEED=%u\n", seed);
    for (uint32_t i = 0; i < STREAMS; i++) {
        make_stream(i);
        run(WHOLE, &want, true);
        told += strstr(want.s, "event 2 ") != NULL;
        faults += strstr(want.s, "sent 1002") || strstr(want.s, "sent 1007") || strstr(want.s, "sent 1009");
        refused += strstr(want.s, "event 1 ") == NULL;
        closed += strstr(want.s, "event 5 ") != NULL;
        for (enum way w = BYTES; w <= DEFERRED; w++)
            if (w != DEFERRED || (st.server && st.n < 60000))
                compare(i, w, &want);
        /* Who takes events while they come is told of every ping, and while it closes of every message. */
        run(WHOLE, &want, false);
        for (enum way w = TAKING; w <= PARTS && !st.closes; w++)
            compare(i, w, &want);
    }
    /* The streams are worth their time only if every end of the road is among them. */
    print_message("%u with messages, %u with faults, %u with a Close, %u never open\n", told, faults, closed,
                  refused);
    assert_true(told > STREAMS / 2 && faults > STREAMS / 8 && closed > STREAMS / 10 &&
                refused > STREAMS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_R8_any_cut_gives_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
