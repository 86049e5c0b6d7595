/* call_test.c: the calls on a connection, over a front that only writes down what it is asked. What any front
 * would refuse never gets to it; all else gets to it as it was said, and its answer is the call's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "conn/front.h"

#define assert_status(call, want)                                                                            \
    do {                                                                                                     \
        thrum_status got_ = (call);                                                                          \
        if (got_ != (want))                                                                                  \
            fail_msg("%s: %s, not %s", #call, thrum_status_name(got_), thrum_status_name(want));             \
    } while (0)

/* ---- the front ----------------------------------------------------------------------------------------- */

enum asked {
    NOTHING,
    SEND_ONE,
    SEND,
    RECEIVE,
    PING,
    PONG,
    CLOSE,
    CANCEL,
    FREE,
    REF,
    ERROR,
    CLOSING,
    TLS,
    STATS,
    STATE,
    ID,
    SUBPROTOCOL,
    EXTENSIONS,
    TARGET,
    HEADER,
    PEER,
    LATENCY,
    SET_USER,
    USER
};

static struct {
    enum asked what;
    int times;
    const thrum_conn *c;
    thrum_kind kind;
    const void *p; /* a payload, a place, a text */
    size_t n;
    thrum_slice v[4];
    thrum_switch compress;
    enum front_part part;
    thrum_wait t;
    bool parts;
    uint16_t code;
} seen;
static thrum_status answer; /* of all that answer a status */

static thrum_status note(enum asked what, const thrum_conn *c, const void *p, size_t n)
{
    int times = seen.times + 1;
    memset(&seen, 0, sizeof seen);
    seen.what = what;
    seen.times = times;
    seen.c = c;
    seen.p = p;
    seen.n = n;
    return answer;
}

static thrum_status fake_send_one(thrum_conn *c, thrum_kind k, const void *p, size_t n)
{
    note(SEND_ONE, c, p, n);
    seen.kind = k;
    return answer;
}

static thrum_status fake_send(thrum_conn *c, thrum_kind k, const thrum_slice *v, size_t n,
                              thrum_switch compress, enum front_part part)
{
    note(SEND, c, v, n);
    for (size_t i = 0; i < n && i < 4; i++)
        seen.v[i] = v[i];
    seen.kind = k;
    seen.compress = compress;
    seen.part = part;
    return answer;
}

static thrum_status fake_receive(thrum_conn *c, thrum_message *m, thrum_wait t, bool parts)
{
    note(RECEIVE, c, m, 0);
    seen.t = t;
    seen.parts = parts;
    seen.n = m->len; /* it comes zeroed */
    m->len = 5;
    return answer;
}

static thrum_status fake_ping(thrum_conn *c, const void *p, size_t n, thrum_wait t)
{
    note(PING, c, p, n);
    seen.t = t;
    return answer;
}

static thrum_status fake_pong(thrum_conn *c, const void *p, size_t n)
{
    return note(PONG, c, p, n);
}

static thrum_status fake_close(thrum_conn *c, uint16_t code, const char *why)
{
    note(CLOSE, c, why, 0);
    seen.code = code;
    return answer;
}

static void fake_cancel(thrum_conn *c)
{
    note(CANCEL, c, NULL, 0);
}

static void fake_free(thrum_conn *c)
{
    note(FREE, c, NULL, 0);
}

static thrum_conn *fake_ref(thrum_conn *c)
{
    note(REF, c, NULL, 0);
    return c;
}

static void fake_error(const thrum_conn *c, thrum_error *err)
{
    note(ERROR, c, err, 0);
    *err = (thrum_error){.status = THRUM_E_RESET, .text = "because"};
}

static thrum_status fake_closing(const thrum_conn *c, thrum_closing *out)
{
    return note(CLOSING, c, out, 0);
}

static thrum_status fake_tls(const thrum_conn *c, thrum_tls_info *out)
{
    return note(TLS, c, out, 0);
}

/* Each field is its number. */
static thrum_status fake_stats(const thrum_conn *c, thrum_stats *all)
{
    note(STATS, c, all, all->messages_in);
    for (size_t i = 8; i < sizeof *all; i += 8)
        memcpy((char *)all + i, &(uint64_t){i / 8}, 8);
    return answer;
}

static thrum_state fake_state(const thrum_conn *c)
{
    note(STATE, c, NULL, 0);
    return THRUM_CLOSING;
}

static thrum_id fake_id(const thrum_conn *c)
{
    note(ID, c, NULL, 0);
    return UINT64_MAX - 3;
}

static const char *fake_subprotocol(const thrum_conn *c)
{
    note(SUBPROTOCOL, c, NULL, 0);
    return "a subprotocol";
}

static const char *fake_extensions(const thrum_conn *c)
{
    note(EXTENSIONS, c, NULL, 0);
    return "an extension";
}

static const char *fake_target(const thrum_conn *c)
{
    note(TARGET, c, NULL, 0);
    return "/target";
}

static const char *fake_header(const thrum_conn *c, const char *name, size_t n)
{
    note(HEADER, c, name, n);
    return "a value";
}

static const char *fake_peer(const thrum_conn *c)
{
    note(PEER, c, NULL, 0);
    return "a peer";
}

static int64_t fake_latency(const thrum_conn *c)
{
    note(LATENCY, c, NULL, 0);
    return INT64_MAX - 9;
}

static void fake_set_user(thrum_conn *c, void *user)
{
    note(SET_USER, c, user, 0);
}

static void *fake_user(const thrum_conn *c)
{
    note(USER, c, NULL, 0);
    return &answer;
}

static const struct front fake = {
    .send_one = fake_send_one,
    .send = fake_send,
    .receive = fake_receive,
    .ping = fake_ping,
    .pong = fake_pong,
    .close = fake_close,
    .cancel = fake_cancel,
    .free = fake_free,
    .ref = fake_ref,
    .error = fake_error,
    .closing = fake_closing,
    .tls = fake_tls,
    .stats = fake_stats,
    .state = fake_state,
    .id = fake_id,
    .subprotocol = fake_subprotocol,
    .extensions = fake_extensions,
    .target = fake_target,
    .header = fake_header,
    .peer = fake_peer,
    .latency = fake_latency,
    .set_user = fake_set_user,
    .user = fake_user,
};

/* A connection is whatever begins with its origin. */
static const struct origin of_fake = {&fake}, *one = &of_fake;
static thrum_conn *c;

static int begin(void **state)
{
    (void)state;
    c = (thrum_conn *)(void *)&one;
    answer = THRUM_E_UNFINISHED; /* not what call.c could answer by itself */
    memset(&seen, 0, sizeof seen);
    return 0;
}

/* The call is refused, and the front has not been asked. */
#define assert_refused(call)                                                                                 \
    do {                                                                                                     \
        assert_status(call, THRUM_E_ARGUMENT);                                                               \
        assert_int_equal(seen.times, 0);                                                                     \
    } while (0)

/* The front has been asked just this, once, and for this connection. */
static void assert_asked(enum asked what)
{
    assert_int_equal(seen.what, what);
    assert_int_equal(seen.times, 1);
    assert_ptr_equal(seen.c, c);
    seen.times = 0;
}

#define assert_passed(call, what)                                                                            \
    do {                                                                                                     \
        assert_status(call, answer);                                                                         \
        assert_asked(what);                                                                                  \
    } while (0)

/* ---- sending ------------------------------------------------------------------------------------------- */

static void test_send(void **state)
{
    (void)state;
    assert_refused(thrum_send(NULL, THRUM_TEXT, "a", 1));
    assert_refused(thrum_send(c, (thrum_kind)0, "a", 1));
    assert_refused(thrum_send(c, (thrum_kind)3, "a", 1));
    assert_refused(thrum_send(c, (thrum_kind)8, "a", 1)); /* control frames have calls of their own */
    assert_refused(thrum_send(c, THRUM_BINARY, NULL, 1));
    for (int i = 0; i < 2; i++) {
        answer = i ? THRUM_OK : THRUM_E_UTF8;
        assert_passed(thrum_send(c, THRUM_TEXT, "abc", 3), SEND_ONE);
        assert_int_equal(seen.kind, THRUM_TEXT);
        assert_int_equal(seen.n, 3);
        assert_string_equal(seen.p, "abc");
    }
    assert_passed(thrum_send(c, THRUM_BINARY, NULL, 0), SEND_ONE);
    assert_int_equal(seen.kind, THRUM_BINARY);
    assert_null(seen.p);
    assert_passed(thrum_send(c, THRUM_BINARY, "", SIZE_MAX), SEND_ONE);
    assert_true(seen.n == SIZE_MAX);
}

static void test_sendv(void **state)
{
    static const uint8_t d[] = "abcd";
    const thrum_slice good[] = {{d, 2}, {NULL, 0}, {d + 2, 0}, {d + 3, 1}},
                      bad[] = {{d, 2}, {d, 1}, {d, 1}, {NULL, 1}};
    (void)state;
    assert_refused(thrum_sendv(NULL, THRUM_TEXT, good, 4));
    assert_refused(thrum_sendv(c, (thrum_kind)0, good, 4));
    assert_refused(thrum_sendv(c, (thrum_kind)9, good, 4));
    assert_refused(thrum_sendv(c, THRUM_TEXT, NULL, 1));
    assert_refused(thrum_sendv(c, THRUM_TEXT, bad, 4)); /* also the last one is looked at */
    assert_passed(thrum_sendv(c, THRUM_TEXT, bad, 3), SEND);
    assert_passed(thrum_sendv(c, THRUM_BINARY, good, 4), SEND);
    assert_int_equal(seen.kind, THRUM_BINARY);
    assert_ptr_equal(seen.p, good);
    assert_int_equal(seen.n, 4);
    assert_int_equal(seen.part, FRONT_WHOLE);
    assert_int_equal(seen.compress, THRUM_DEFAULT);
    assert_passed(thrum_sendv(c, THRUM_TEXT, NULL, 0), SEND);
    assert_int_equal(seen.kind, THRUM_TEXT);
    assert_int_equal(seen.n, 0);
}

static void test_send_part(void **state)
{
    (void)state;
    assert_refused(thrum_send_part(NULL, THRUM_TEXT, "a", 1, true));
    assert_refused(thrum_send_part(c, (thrum_kind)0, "a", 1, true));
    assert_refused(thrum_send_part(c, THRUM_TEXT, NULL, 1, false));
    for (int last = 0; last < 2; last++) {
        const char *p = last ? NULL : "abc";
        assert_passed(thrum_send_part(c, THRUM_TEXT, p, last ? 0 : 3, last), SEND);
        assert_int_equal(seen.kind, THRUM_TEXT);
        assert_int_equal(seen.n, 1);
        assert_ptr_equal(seen.v[0].p, p);
        assert_int_equal(seen.v[0].n, last ? 0 : 3);
        assert_int_equal(seen.part, last ? FRONT_LAST_PART : FRONT_PART);
        assert_int_equal(seen.compress, THRUM_DEFAULT);
    }
}

static void test_send_with(void **state)
{
    struct {
        thrum_send_options known;
        uint64_t more;
    } newer = {.known = {.size = sizeof newer, .compress = THRUM_ON}};
    const thrum_slice v = {(const uint8_t *)"x", 1}, bad = {NULL, 1};
    (void)state;
    assert_refused(thrum_send_with(NULL, THRUM_TEXT, &v, 1, NULL));
    assert_refused(thrum_send_with(c, (thrum_kind)5, &v, 1, NULL));
    assert_refused(thrum_send_with(c, THRUM_TEXT, NULL, 1, THRUM_SEND(.compress = THRUM_ON)));
    assert_refused(thrum_send_with(c, THRUM_TEXT, &bad, 1, NULL));
    assert_refused(thrum_send_with(c, THRUM_TEXT, &v, 1, THRUM_SEND(.compress = (thrum_switch)3)));
    assert_refused(thrum_send_with(c, THRUM_TEXT, &v, 1, THRUM_SEND(.more = (thrum_switch)3)));
    assert_refused(thrum_send_with(c, THRUM_TEXT, &v, 1, &(const thrum_send_options){.size = 7}));
    newer.more = 1;
    assert_status(thrum_send_with(c, THRUM_TEXT, &v, 1, &newer.known), THRUM_E_TOO_NEW);
    assert_int_equal(seen.times, 0);
    newer.more = 0;
    assert_passed(thrum_send_with(c, THRUM_TEXT, &v, 1, &newer.known), SEND);
    assert_int_equal(seen.compress, THRUM_ON);
    assert_passed(thrum_send_with(c, THRUM_BINARY, &v, 1, NULL), SEND);
    assert_int_equal(seen.kind, THRUM_BINARY);
    assert_ptr_equal(seen.p, &v);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.compress, THRUM_DEFAULT);
    assert_int_equal(seen.part, FRONT_LAST_OR_WHOLE);
    assert_passed(thrum_send_with(c, THRUM_TEXT, &v, 1, THRUM_SEND(.compress = THRUM_OFF, .more = THRUM_ON)),
                  SEND);
    assert_int_equal(seen.compress, THRUM_OFF);
    assert_int_equal(seen.part, FRONT_PART);
    assert_passed(thrum_send_with(c, THRUM_TEXT, &v, 1, THRUM_SEND(.more = THRUM_OFF)), SEND);
    assert_int_equal(seen.part, FRONT_LAST_OR_WHOLE);
}

/* ---- receiving ----------------------------------------------------------------------------------------- */

static void test_recv(void **state)
{
    static const thrum_wait good[] = {0, 1, INT64_MAX, THRUM_FOREVER}, bad[] = {-2, INT64_MIN};
    thrum_status (*const calls[])(thrum_conn *, thrum_message *, thrum_wait) = {thrum_recv, thrum_recv_part};
    (void)state;
    for (int parts = 0; parts < 2; parts++) {
        assert_refused(calls[parts](c, NULL, 0));
        for (size_t i = 0; i < 3; i++) { /* a message that was not received is none */
            thrum_message m = {.kind = THRUM_TEXT, .len = 9, .data = (const uint8_t *)"old", .hold = &m};
            const thrum_message nothing = {0};
            assert_refused(calls[parts](i < 2 ? c : NULL, &m, i < 2 ? bad[i] : 0));
            assert_memory_equal(&m, &nothing, sizeof m);
        }
        for (size_t i = 0; i < 4; i++) {
            thrum_message m = {.len = 9};
            assert_passed(calls[parts](c, &m, good[i]), RECEIVE);
            assert_ptr_equal(seen.p, &m);
            assert_int_equal(seen.n, 0);
            assert_true(seen.t == good[i]);
            assert_int_equal(seen.parts, parts);
            assert_int_equal(m.len, 5); /* whatever the answer */
        }
    }
}

/* ---- control ------------------------------------------------------------------------------------------- */

static void test_ping_and_pong(void **state)
{
    (void)state;
    assert_refused(thrum_ping(NULL, "p", 1, 0));
    assert_refused(thrum_ping(c, NULL, 1, 0));
    assert_refused(thrum_ping(c, "p", 1, -2));
    assert_passed(thrum_ping(c, NULL, 0, 0), PING);
    assert_passed(thrum_ping(c, "p", 1, THRUM_FOREVER), PING);
    assert_string_equal(seen.p, "p");
    assert_int_equal(seen.n, 1);
    assert_true(seen.t == THRUM_FOREVER);
    assert_passed(thrum_ping(c, "p", 126, 70), PING); /* how much may be in one is the front's to know */
    assert_int_equal(seen.n, 126);
    assert_int_equal(seen.t, 70);
    assert_refused(thrum_pong(NULL, "p", 1));
    assert_refused(thrum_pong(c, NULL, 1));
    assert_passed(thrum_pong(c, NULL, 0), PONG);
    assert_passed(thrum_pong(c, "q", 1), PONG);
    assert_string_equal(seen.p, "q");
    assert_int_equal(seen.n, 1);
}

static void test_the_end(void **state)
{
    (void)state;
    assert_refused(thrum_close(NULL, 1000, NULL));
    assert_passed(thrum_close(c, 4999, "why"), CLOSE);
    assert_int_equal(seen.code, 4999);
    assert_string_equal(seen.p, "why");
    assert_passed(thrum_close(c, 0, NULL), CLOSE);
    assert_int_equal(seen.code, 0);
    assert_null(seen.p);
    thrum_cancel(NULL);
    thrum_conn_free(NULL);
    assert_null(thrum_conn_ref(NULL));
    assert_int_equal(seen.times, 0);
    thrum_cancel(c);
    assert_asked(CANCEL);
    assert_ptr_equal(thrum_conn_ref(c), c);
    assert_asked(REF);
    thrum_conn_free(c);
    assert_asked(FREE);
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static void test_error(void **state)
{
    thrum_error e;
    (void)state;
    memset(&e, 0xee, sizeof e);
    thrum_conn_error(NULL, &e);
    assert_status(e.status, THRUM_E_ARGUMENT);
    assert_string_equal(e.text, thrum_status_text(THRUM_E_ARGUMENT));
    thrum_conn_error(NULL, NULL);
    thrum_conn_error(c, NULL);
    assert_int_equal(seen.times, 0);
    thrum_conn_error(c, &e);
    assert_asked(ERROR);
    assert_status(e.status, THRUM_E_RESET);
    assert_string_equal(e.text, "because");
}

static void test_closing_and_tls(void **state)
{
    thrum_closing closing = {.size = sizeof closing};
    thrum_tls_info info = {.size = sizeof info};
    (void)state;
    assert_refused(thrum_conn_closing(NULL, &closing));
    assert_refused(thrum_conn_closing(c, NULL));
    assert_passed(thrum_conn_closing(c, &closing), CLOSING);
    assert_ptr_equal(seen.p, &closing);
    assert_refused(thrum_conn_tls(NULL, &info));
    assert_refused(thrum_conn_tls(c, NULL));
    for (int by = -8; by <= 8; by += 8) {
        info.size = sizeof info + (size_t)by;
        if (by == 0)
            assert_passed(thrum_conn_tls(c, &info), TLS);
        else
            assert_refused(thrum_conn_tls(c, &info));
    }
}

/* A caller of another version gets what both know, and zeroes behind it; and not one byte more. */
static void test_stats(void **state)
{
    enum { KNOWN = sizeof(thrum_stats) / 8, MORE = KNOWN + 3 };
    uint64_t mine[MORE];
    thrum_stats *out = (thrum_stats *)(void *)mine;
    (void)state;
    memset(mine, 0, sizeof mine);
    assert_refused(thrum_conn_stats(NULL, out));
    assert_refused(thrum_conn_stats(c, NULL));
    for (size_t size = 0; size <= sizeof mine; size++) {
        memset(mine, 0xee, sizeof mine);
        out->size = size;
        if (size <= 8 || size % 8 != 0) {
            assert_refused(thrum_conn_stats(c, out));
            assert_true(mine[1] == UINT64_C(0xeeeeeeeeeeeeeeee));
            continue;
        }
        answer = THRUM_OK;
        assert_passed(thrum_conn_stats(c, out), STATS);
        assert_int_equal(seen.n, 0); /* the front's are zero before it fills them */
        assert_int_equal(out->size, size);
        for (size_t i = 1; i < MORE; i++)
            assert_true(mine[i] == (i >= size / 8 ? UINT64_C(0xeeeeeeeeeeeeeeee) : i < KNOWN ? i : 0));
        answer = THRUM_E_FORKED; /* then nothing of it is there */
        memset(mine, 0xee, sizeof mine);
        out->size = size;
        assert_passed(thrum_conn_stats(c, out), STATS);
        assert_int_equal(out->size, size);
        assert_true(mine[1] == UINT64_C(0xeeeeeeeeeeeeeeee));
    }
}

static void test_what_it_is(void **state)
{
    (void)state;
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSING);
    assert_asked(STATE);
    assert_true(thrum_conn_id(c) == UINT64_MAX - 3);
    assert_asked(ID);
    assert_string_equal(thrum_conn_subprotocol(c), "a subprotocol");
    assert_asked(SUBPROTOCOL);
    assert_string_equal(thrum_conn_extensions(c), "an extension");
    assert_asked(EXTENSIONS);
    assert_string_equal(thrum_conn_target(c), "/target");
    assert_asked(TARGET);
    assert_string_equal(thrum_conn_peer(c), "a peer");
    assert_asked(PEER);
    assert_true(thrum_latency(c) == INT64_MAX - 9);
    assert_asked(LATENCY);
    assert_string_equal(thrum_conn_header(c, "X-Name", 7), "a value");
    assert_asked(HEADER);
    assert_string_equal(seen.p, "X-Name");
    assert_int_equal(seen.n, 7);
    assert_null(thrum_conn_header(c, NULL, 0));
    assert_int_equal(seen.times, 0);
    thrum_conn_set_user(c, &one);
    assert_asked(SET_USER);
    assert_ptr_equal(seen.p, &one);
    assert_ptr_equal(thrum_conn_user(c), &answer);
    assert_asked(USER);
}

static void test_of_none(void **state)
{
    (void)state;
    assert_int_equal(thrum_conn_state(NULL), THRUM_CLOSED);
    assert_true(thrum_conn_id(NULL) == 0);
    assert_null(thrum_conn_subprotocol(NULL));
    assert_null(thrum_conn_extensions(NULL));
    assert_null(thrum_conn_target(NULL));
    assert_null(thrum_conn_header(NULL, "Host", 0));
    assert_string_equal(thrum_conn_peer(NULL), "");
    assert_true(thrum_latency(NULL) == -1);
    assert_null(thrum_conn_user(NULL));
    thrum_conn_set_user(NULL, &one);
    assert_int_equal(seen.times, 0);
}

#define EACH(test) cmocka_unit_test_setup(test, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_send),      EACH(test_sendv),         EACH(test_send_part),
        EACH(test_send_with), EACH(test_recv),          EACH(test_error),
        EACH(test_the_end),   EACH(test_ping_and_pong), EACH(test_closing_and_tls),
        EACH(test_stats),     EACH(test_what_it_is),    EACH(test_of_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
