/* extension_fuzz.c: any text as a Sec-WebSocket-Extensions: in a request, whose answer then goes to one of
 * our own clients, and in an answer. Bytes 0 to 2 choose what both ends wish. What is agreed on must carry
 * messages. */
#include "base/base64.h"
#include "base/sha1.h"
#include "fuzz/fuzz_bytes.h"
#include "proto/proto.h"

enum { HEAD_MAX = 8192, TIME = 1 };
static const char field[] = "Sec-WebSocket-Extensions: ";

static int fixed_random(void *ctx, uint8_t *p, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(0x37 + 11 * i);
    return 0;
}

static const thrum_host host = {.size = sizeof host, .random = fixed_random};

static thrum_switch on(unsigned bit)
{
    return bit ? THRUM_ON : THRUM_OFF;
}

static thrum_proto *client_of(const uint8_t how[3])
{
    thrum_proto *p;
    MUST(thrum_proto_client(&p, "ws://fuzz.test/",
                            THRUM_CLIENT(.server_no_context_takeover = on(how[0] & 1),
                                         .client_no_context_takeover = on(how[0] & 2), .compress_min = 1,
                                         .compression = on(~how[0] & 4),
                                         .server_max_window_bits = 8 + how[1] % 8u,
                                         .client_max_window_bits = 8 + how[2] % 8u),
                            &host, TIME, NULL) == THRUM_OK);
    return p;
}

static thrum_proto *server_of(const uint8_t how[3])
{
    thrum_proto *p;
    MUST(thrum_proto_server(&p,
                            THRUM_SERVER(.server_no_context_takeover = on(how[0] & 16),
                                         .client_no_context_takeover = on(how[0] & 32), .compress_min = 1,
                                         .compression = on(~how[0] & 64),
                                         .server_max_window_bits = 8 + how[1] / 16u % 8,
                                         .client_max_window_bits = 8 + how[2] / 16u % 8),
                            &host, TIME, NULL) == THRUM_OK);
    return p;
}

static void feed(thrum_proto *p, const void *d, size_t n)
{
    uint8_t *copy = exactly(d, n);
    (void)thrum_proto_feed(p, copy, n, TIME);
    free(copy);
}

static size_t take_out(thrum_proto *p, char *to)
{
    thrum_slice v;
    size_t n = 0;
    while (thrum_proto_out(p, &v, 1) == 1) {
        MUST(n + v.n < HEAD_MAX);
        memcpy(to + n, v.p, v.n);
        n += v.n;
        thrum_proto_out_done(p, v.n, TIME);
    }
    to[n] = '\0';
    return n;
}

/* The same words again and again, too far back for the smaller windows: one end that takes its own for larger
 * than the other does is found out. */
static void carry(thrum_proto *from, thrum_proto *to)
{
    char words[700], wire[HEAD_MAX];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof words; i++)
        words[i] = (char)number(&seed, 'a', 'z');
    for (int i = 0; i < 4; i++) {
        thrum_event e = {.what = THRUM_EVENT_NONE};
        thrum_slice s = {(const uint8_t *)words, sizeof words};
        MUST(thrum_proto_send_with(from, THRUM_TEXT, s, true, i == 1 ? THRUM_OFF : THRUM_ON) == THRUM_OK);
        feed(to, wire, take_out(from, wire));
        while (thrum_proto_event(to, &e) && e.what != THRUM_EVENT_MESSAGE)
            thrum_message_release(&e.message);
        MUST(e.what == THRUM_EVENT_MESSAGE && e.message.len == s.n && memcmp(e.message.data, s.p, s.n) == 0);
        thrum_message_release(&e.message);
    }
}

/* Open, or failed with a sentence; never in between. */
static bool is_open(thrum_proto *p)
{
    thrum_error e;
    thrum_proto_error(p, &e);
    bool open = thrum_proto_state(p) == THRUM_OPEN;
    MUST(open == (e.status == THRUM_OK) && open == (e.text[0] == '\0'));
    MUST(open || e.status == THRUM_E_HANDSHAKE || e.status == THRUM_E_REFUSED);
    return open;
}

/* A client's own request, with this text in place of what it offers. */
static size_t request_with(char *to, const char *own, thrum_slice value)
{
    const char *end = strstr(own, "\r\n\r\n");
    size_t n = 0;
    MUST(end);
    for (const char *line = own, *next; line < end + 2; line = next) {
        next = strstr(line, "\r\n") + 2;
        if (strncmp(line, field, sizeof field - 1) == 0)
            continue;
        memcpy(to + n, line, (size_t)(next - line));
        n += (size_t)(next - line);
    }
    n += (size_t)snprintf(to + n, HEAD_MAX - n, "%s", field);
    memcpy(to + n, value.p, value.n);
    n += value.n;
    memcpy(to + n, "\r\n\r\n", 4);
    return n + 4;
}

static void as_request(const uint8_t how[3], thrum_slice value)
{
    char own[HEAD_MAX], text[HEAD_MAX];
    thrum_proto *c = client_of(how), *s = server_of(how);
    take_out(c, own);
    feed(s, text, request_with(text, own, value));
    bool accepted = is_open(s);
    size_t n = take_out(s, text);
    MUST(strncmp(text, accepted ? "HTTP/1.1 101 " : "HTTP/1.1 400 ", 13) == 0);
    const char *agreed = accepted ? thrum_proto_extensions(s) : NULL;
    MUST(!agreed == !strstr(text, field));
    feed(c, text, n);
    if (is_open(c)) {
        const char *seen = thrum_proto_extensions(c);
        MUST(accepted && (agreed ? seen && strcmp(agreed, seen) == 0 : !seen));
        carry(c, s);
        carry(s, c);
    } else {
        MUST(!accepted || agreed);
    }
    thrum_proto_free(c);
    thrum_proto_free(s);
}

static void as_answer(const uint8_t how[3], thrum_slice value)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char own[HEAD_MAX], text[HEAD_MAX], accept[BASE64_SIZE(20) + 1];
    uint8_t digest[20];
    thrum_proto *c = client_of(how);
    take_out(c, own);
    int n = snprintf(text, sizeof text, "%.24s%s", strstr(own, "Sec-WebSocket-Key: ") + 19, guid);
    sha1(digest, text, (size_t)n);
    base64_encode(accept, digest, sizeof digest);
    n = snprintf(
        text, sizeof text,
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s",
        accept, field);
    memcpy(text + n, value.p, value.n);
    memcpy(text + n + value.n, "\r\n\r\n", 4);
    feed(c, text, (size_t)n + value.n + 4);
    if (is_open(c)) {
        thrum_slice s = {(const uint8_t *)own, 100};
        MUST(thrum_proto_send_with(c, THRUM_TEXT, s, true, THRUM_ON) == THRUM_OK);
        MUST(take_out(c, text) > 0);
        MUST(((uint8_t)text[0] & 0x40) == 0 || thrum_proto_extensions(c));
    }
    thrum_proto_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    thrum_slice in = {data, size};
    uint8_t how[3];
    for (size_t i = 0; i < sizeof how; i++)
        how[i] = byte_of(&in);
    if (in.n == 0 || in.n > 2000)
        return 0;
    for (size_t i = 0; i < in.n; i++)
        if (in.p[i] == '\r' || in.p[i] == '\n') /* other fields are handshake_fuzz's */
            return 0;
    as_request(how, in);
    as_answer(how, in);
    return 0;
}
