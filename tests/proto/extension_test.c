/* extension_test.c: what is offered, accepted, declined and refused (RFC 7692 section 7.1; SECURITY R10). */
#include "proto/codec.h"
#include "proto_test.h"

#define PMD "permessage-deflate"
static char out[8192];

static thrum_proto *asked(const thrum_server_options *o, const char *fields)
{
    char request[4096];
    thrum_proto *p = new_server(o);
    snprintf(request, sizeof request, "%.*s%s\r\n", (int)(strlen(good_request) - 2), good_request, fields);
    feed_text(p, request);
    take_out(p, out, sizeof out);
    return p;
}

/* The answer to these offers; NULL: no extension, and the connection is open all the same. */
static void accepts(const thrum_server_options *o, const char *offers, const char *want)
{
    char fields[2048], line[256];
    snprintf(fields, sizeof fields, "Sec-WebSocket-Extensions: %s\r\n", offers);
    thrum_proto *p = asked(o, fields);
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    const char *at = strstr(out, "Sec-WebSocket-Extensions: ");
    snprintf(line, sizeof line, "Sec-WebSocket-Extensions: %s\r\n", want ? want : "");
    if (!want != !at || (at && strncmp(at, line, strlen(line)) != 0))
        fail_msg("\"%s\" is answered by %.80s, not %s", offers, at ? at : "nothing", want ? want : "nothing");
    const char *said = thrum_proto_extensions(p);
    assert_true(want ? said && strcmp(said, want) == 0 : said == NULL);
    thrum_proto_free(p);
}

#define WIDE .server_max_window_bits = 15, .client_max_window_bits = 15

static void test_server_takes(void **state)
{
    (void)state;
    accepts(THRUM_SERVER(WIDE), PMD, PMD);
    accepts(THRUM_SERVER(WIDE), PMD "; client_max_window_bits", PMD);
    accepts(THRUM_SERVER(WIDE), PMD "; client_max_window_bits=10", PMD "; client_max_window_bits=10");
    accepts(THRUM_SERVER(WIDE), PMD "; server_max_window_bits=8", PMD "; server_max_window_bits=8");
    accepts(THRUM_SERVER(WIDE), PMD "; server_max_window_bits=15", PMD "; server_max_window_bits=15");
    accepts(THRUM_SERVER(WIDE), PMD "; server_max_window_bits=\"9\"", PMD "; server_max_window_bits=9");
    accepts(THRUM_SERVER(WIDE), PMD "; server_no_context_takeover", PMD "; server_no_context_takeover");
    accepts(THRUM_SERVER(WIDE), PMD "; client_no_context_takeover", PMD "; client_no_context_takeover");
    accepts(THRUM_SERVER(WIDE), "x-other, " PMD, PMD);
    accepts(NULL, PMD, PMD "; server_max_window_bits=12");
    accepts(NULL, PMD "; client_max_window_bits",
            PMD "; server_max_window_bits=12; client_max_window_bits=12");
    accepts(NULL, PMD "; server_max_window_bits=10; client_max_window_bits=9",
            PMD "; server_max_window_bits=10; client_max_window_bits=9");
    accepts(
        THRUM_SERVER(WIDE, .server_no_context_takeover = THRUM_ON, .client_no_context_takeover = THRUM_ON),
        PMD, PMD "; server_no_context_takeover; client_no_context_takeover");
    accepts(THRUM_SERVER(.compression = THRUM_OFF), PMD, NULL);
    accepts(NULL, "x-other", NULL);
}

/* An offer that is not valid is declined; the next one is looked at (section 7.1: "MUST decline"). */
static void test_R10_server_declines(void **state)
{
    static const char *const bad[] = {
        PMD "; server_max_window_bits",
        PMD "; server_max_window_bits=7",
        PMD "; server_max_window_bits=16",
        PMD "; server_max_window_bits=010",
        PMD "; server_max_window_bits=1",
        PMD "; server_max_window_bits=-9",
        PMD "; server_max_window_bits=99999999999999999999",
        PMD "; client_max_window_bits=7",
        PMD "; client_max_window_bits=16",
        PMD "; client_max_window_bits=08",
        PMD "; client_max_window_bits=1x",
        PMD "; server_no_context_takeover=1",
        PMD "; client_no_context_takeover=true",
        PMD "; server_no_context_takeover; server_no_context_takeover",
        PMD "; client_no_context_takeover; client_no_context_takeover",
        PMD "; client_max_window_bits; client_max_window_bits=9",
        PMD "; server_max_window_bits=9; server_max_window_bits=9",
        PMD "; unknown",
        PMD "; x=1",
    };
    char two[512];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        accepts(THRUM_SERVER(WIDE), bad[i], NULL);
        snprintf(two, sizeof two, "%s, " PMD "; server_max_window_bits=11", bad[i]);
        accepts(THRUM_SERVER(WIDE), two, PMD "; server_max_window_bits=11");
    }
}

static void test_offers_on_two_lines(void **state)
{
    (void)state;
    thrum_proto *p =
        asked(THRUM_SERVER(WIDE), "Sec-WebSocket-Extensions: x\r\nSec-WebSocket-Extensions: " PMD "\r\n");
    assert_string_equal(thrum_proto_extensions(p), PMD);
    thrum_proto_free(p);
    p = asked(NULL, "Sec-WebSocket-Extensions: " PMD ";;\r\n");
    assert_non_null(strstr(out, " 400 "));
    thrum_proto_free(p);
}

static void offers(const thrum_client_options *o, const char *want)
{
    thrum_proto *p;
    thrum_error e;
    assert_status(thrum_proto_client(&p, "ws://h/", o, &test_host, now, &e), THRUM_OK);
    take_out(p, out, sizeof out);
    const char *at = strstr(out, "Sec-WebSocket-Extensions: ");
    assert_int_equal(at != NULL, want != NULL);
    if (want) {
        at += strlen("Sec-WebSocket-Extensions: ");
        if (strncmp(at, want, strlen(want)) != 0 || at[strlen(want)] != '\r')
            fail_msg("offered %.200s, not %s", at, want);
    }
    thrum_proto_free(p);
}

static void test_client_offers(void **state)
{
    (void)state;
    offers(NULL,
           PMD "; client_max_window_bits=12; server_max_window_bits=12, " PMD "; client_max_window_bits=12");
    offers(THRUM_CLIENT(WIDE), PMD "; client_max_window_bits");
    offers(THRUM_CLIENT(WIDE, .server_no_context_takeover = THRUM_ON, .client_no_context_takeover = THRUM_ON),
           PMD "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits");
    offers(THRUM_CLIENT(.compression = THRUM_OFF), NULL);
}

static thrum_proto *answered(const thrum_client_options *o, const char *extensions)
{
    char accept[29], answer[1024];
    thrum_proto *p = new_client(o, accept);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
             "Sec-WebSocket-Extensions: %s\r\n\r\n",
             accept, extensions);
    feed_text(p, answer);
    return p;
}

static void test_client_takes(void **state)
{
    static const char *const good[] = {
        PMD,
        PMD
        "; server_max_window_bits=8; client_max_window_bits=15", /* more than is offered: section 7.1.2.2 */
        PMD "; server_no_context_takeover; client_no_context_takeover",
        "Permessage-Deflate; client_max_window_bits=\"8\"",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        thrum_proto *p = answered(NULL, good[i]);
        assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
        assert_string_equal(thrum_proto_extensions(p), good[i]);
        thrum_proto_free(p);
    }
}

static void test_answer_in_the_second_field(void **state)
{
    (void)state;
    thrum_proto *p = answered(NULL, ",\r\nSec-WebSocket-Extensions: , " PMD " ; server_max_window_bits=9 ,");
    assert_int_equal(thrum_proto_state(p), THRUM_OPEN);
    assert_string_equal(thrum_proto_extensions(p), PMD " ; server_max_window_bits=9");
    thrum_proto_free(p);
}

static void test_R10_client_refuses(void **state)
{
    static const char *const bad[] = {
        "x-other",
        PMD ", x-other",
        PMD ", " PMD,
        PMD "; client_max_window_bits",
        PMD "; client_max_window_bits=7",
        PMD "; client_max_window_bits=16",
        PMD "; server_max_window_bits",
        PMD "; server_max_window_bits=08",
        PMD "; server_max_window_bits=4294967304",
        PMD "; server_no_context_takeover=0",
        PMD "; client_no_context_takeover; client_no_context_takeover",
        PMD "; unknown",
        ";",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        thrum_proto *p = answered(NULL, bad[i]);
        expect_error(p, THRUM_E_HANDSHAKE, 0);
        thrum_proto_free(p);
    }
    thrum_proto *p = answered(THRUM_CLIENT(.compression = THRUM_OFF), PMD);
    expect_error(p, THRUM_E_HANDSHAKE, 0);
    thrum_proto_free(p);
    p = answered(THRUM_CLIENT(.server_no_context_takeover = THRUM_ON), PMD);
    expect_error(p, THRUM_E_HANDSHAKE, 0);
    thrum_proto_free(p);
}

/* Over the budget a connection holds nothing between messages; over twice as much there is no compression. */
static void test_budget(void **state)
{
    (void)state;
    codec_trim();
    uint64_t before = thrum_compression_budget(1000);
    void *p = codec_alloc(1500);
    accepts(THRUM_SERVER(WIDE), PMD, PMD "; server_no_context_takeover; client_no_context_takeover");
    void *q = codec_alloc(1500);
    accepts(THRUM_SERVER(WIDE), PMD, NULL);
    codec_free(p, 1500);
    codec_free(q, 1500);
    assert_int_equal(thrum_compression_budget(before), 1000);
}

static void wrong(const thrum_client_options *o, thrum_status want, const char *name)
{
    thrum_proto *p;
    thrum_error e;
    assert_status(thrum_proto_client(&p, "ws://h/", o, &test_host, now, &e), want);
    assert_non_null(strstr(e.text, name));
}

static void test_options(void **state)
{
    (void)state;
    wrong(THRUM_CLIENT(.server_max_window_bits = 7), THRUM_E_ARGUMENT, "server_max_window_bits");
    wrong(THRUM_CLIENT(.client_max_window_bits = 16), THRUM_E_ARGUMENT, "client_max_window_bits");
    wrong(THRUM_CLIENT(.compress_level = 10), THRUM_E_ARGUMENT, "compress_level");
    wrong(THRUM_CLIENT(.compress_memory = 10), THRUM_E_ARGUMENT, "compress_memory");
    wrong(THRUM_CLIENT(.compress_idle = -5), THRUM_E_ARGUMENT, "compress_idle");
    wrong(THRUM_CLIENT(.compression = 9), THRUM_E_ARGUMENT, "compression");
    wrong(THRUM_CLIENT(.spare = 1), THRUM_E_TOO_NEW, "spare");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_takes),
        cmocka_unit_test(test_R10_server_declines),
        cmocka_unit_test(test_offers_on_two_lines),
        cmocka_unit_test(test_client_offers),
        cmocka_unit_test(test_client_takes),
        cmocka_unit_test(test_R10_client_refuses),
        cmocka_unit_test(test_answer_in_the_second_field),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
