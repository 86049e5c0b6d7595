/* credentials_test.c: who may come in (R22). */
#include "proto_test.h"

#define REQUEST(fields)                                                                                      \
    "GET / HTTP/1.1\r\nHost: h.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                        \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" fields "\r\n"

static const char *const users[] = {"Aladdin",     "open sesame",    "eve", "",
                                    "ren\xc3\xa9", "pw:with:colons", NULL};
static const char *const tokens[] = {"abc.def", "second", NULL};
static char out[4096];

static void answered(const thrum_server_options *o, const char *request, const char *want)
{
    thrum_proto *p = new_server(o);
    feed_text(p, request);
    take_out(p, out, sizeof out);
    if (strncmp(out, want, strlen(want)) != 0)
        fail_msg("%s\n-> %s", request, out);
    thrum_proto_free(p);
}
#define OPENS   "HTTP/1.1 101 "
#define REFUSED "HTTP/1.1 401 "

static void test_R22_basic(void **state)
{
    const thrum_server_options *o = THRUM_SERVER(.users = users);
    (void)state;
    answered(o, REQUEST("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), OPENS);
    answered(o, REQUEST("Authorization: basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), OPENS);
    answered(o, REQUEST("Authorization: Basic ZXZlOg==\r\n"), OPENS); /* an empty password, as it was set */
    answered(o, REQUEST("Authorization: Basic cmVuw6k6cHc6d2l0aDpjb2xvbnM=\r\n"), OPENS);
    answered(o, REQUEST(""), REFUSED);
    assert_non_null(strstr(out, "\r\nWWW-Authenticate: Basic realm=\"WebSocket\", charset=\"UTF-8\"\r\n"));
    assert_null(strstr(out, "Bearer"));
    answered(o, REQUEST("Authorization: Basic QWxhZGRpbjp3cm9uZw==\r\n"), REFUSED); /* wrong */
    answered(o, REQUEST("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2Ft\r\n"),
             REFUSED); /* a beginning of it */
    answered(o, REQUEST("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZSE=\r\n"), REFUSED); /* and more */
    answered(o, REQUEST("Authorization: Basic bm9ib2R5Om9wZW4gc2VzYW1l\r\n"),
             REFUSED);                                                      /* nobody has that name */
    answered(o, REQUEST("Authorization: Basic QWxhZGRpbjo=\r\n"), REFUSED); /* another's password */
    answered(o, REQUEST("Authorization: Basic QWxhZGRpbg==\r\n"), REFUSED); /* no colon */
    answered(o, REQUEST("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ\r\n"), REFUSED); /* no base64 */
    answered(o, REQUEST("Authorization: Basic ZXZlOgA=\r\n"), REFUSED); /* a NUL behind the password */
    answered(o, REQUEST("Authorization: Basic\r\n"), REFUSED);
    answered(o, REQUEST("Authorization: Bearer abc.def\r\n"), REFUSED);
    answered(o, REQUEST("Authorization: Basic ZXZlOg==\r\nAuthorization: Basic ZXZlOg==\r\n"),
             REFUSED); /* which? */
}

static void test_R22_bearer(void **state)
{
    const thrum_server_options *o = THRUM_SERVER(.tokens = tokens, .realm = "feed"),
                               *both = THRUM_SERVER(.tokens = tokens, .users = users);
    (void)state;
    answered(o, REQUEST("Authorization: Bearer second\r\n"), OPENS);
    answered(o, REQUEST("Authorization: BEARER abc.def\r\n"), OPENS);
    answered(o, REQUEST("Authorization: Bearer abc.de\r\n"), REFUSED);
    assert_non_null(strstr(out, "WWW-Authenticate: Bearer realm=\"feed\"\r\n"));
    answered(o, REQUEST("Authorization: Bearer abc.deff\r\n"), REFUSED);
    answered(o, REQUEST("Authorization: Bearer \r\n"), REFUSED);
    answered(both, REQUEST("Authorization: Bearer second\r\n"), OPENS);
    answered(both, REQUEST("Authorization: Basic ZXZlOg==\r\n"), OPENS);
    answered(both, REQUEST(""), REFUSED);
    assert_non_null(strstr(out, "Basic realm="));
    assert_non_null(strstr(out, "Bearer realm="));
}

static char seen[200];
static int look(const thrum_request *r, thrum_reply *a, void *arg)
{
    const char *user = "-", *password = "-", *token = thrum_request_bearer(r);
    const bool basic = thrum_request_basic(r, &user, &password);
    (void)a;
    (void)arg;
    assert_true(!basic || thrum_request_basic(r, NULL, NULL));
    snprintf(seen, sizeof seen, "%d %s %s %s", basic, user, password, token ? token : "-");
    return strcmp(thrum_request_target(r), "/healthz") == 0 ? 204 : 0;
}

static void test_callback(void **state)
{
    const thrum_server_options *o = THRUM_SERVER(.on_request = look),
                               *users_too = THRUM_SERVER(.on_request = look, .users = users);
    (void)state;
    answered(o, REQUEST("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), OPENS);
    assert_string_equal(seen, "1 Aladdin open sesame -");
    answered(o, REQUEST("Authorization: Bearer t\r\n"), OPENS);
    assert_string_equal(seen, "0 - - t");
    answered(o, REQUEST(""), OPENS);
    assert_string_equal(seen, "0 - - -");
    answered(users_too, "GET /healthz HTTP/1.1\r\nHost: h.test\r\n\r\n",
             "HTTP/1.1 204 "); /* no user needed for that */
    answered(users_too, REQUEST(""), REFUSED);
    assert_false(thrum_request_basic(NULL, NULL, NULL));
    assert_null(thrum_request_bearer(NULL));
    assert_true(thrum_equal("abc", "abc"));
    assert_false(thrum_equal("abc", "abcd") || thrum_equal(NULL, "x") || thrum_equal("x", NULL) ||
                 thrum_equal(NULL, NULL));
}

static void refused(const thrum_server_options *o, const char *says)
{
    thrum_proto *p;
    thrum_error e;
    assert_status(thrum_proto_server(&p, o, &test_host, now, &e), THRUM_E_ARGUMENT);
    if (!strstr(e.text, says))
        fail_msg("%s", e.text);
}

static void test_options(void **state)
{
    static const char *const odd[] = {"a", NULL}, *const colon[] = {"a:b", "c", NULL},
                             *const control[] = {"a", "b\n", NULL}, *const token[] = {"a b", NULL},
                             *const empty[] = {"", NULL};
    (void)state;
    refused(THRUM_SERVER(.users = odd), "no password");
    refused(THRUM_SERVER(.users = colon), "colon");
    refused(THRUM_SERVER(.users = control), "control");
    refused(THRUM_SERVER(.tokens = token), "token");
    refused(THRUM_SERVER(.tokens = empty), "token");
    refused(THRUM_SERVER(.realm = "a\"b"), "quote");
    refused(THRUM_SERVER(.realm = "a\r\nb"), "realm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R22_basic),
        cmocka_unit_test(test_R22_bearer),
        cmocka_unit_test(test_callback),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
