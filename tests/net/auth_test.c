/* auth_test.c: the examples of RFC 7617, RFC 7616 and RFC 2617, the choice among challenges, and texts that
 * try to get out of their place. */
#include "net/auth.h"
#include "net_test.h"

static const struct auth_user mufasa = {"Mufasa", "Circle of Life"},
                              mufasa_2617 = {"Mufasa", "Circle Of Life"};
static char out[2048];

static enum auth_result answer(const char *const *challenges, const struct auth_user *u, const char *cnonce,
                               bool tried)
{
    struct http1_head h = {.status = 401};
    for (; *challenges; challenges++)
        h.fields[h.n++] = (struct http1_field){slice("WWW-Authenticate"), slice(*challenges)};
    return auth_answer(out, sizeof out, &h, "WWW-Authenticate", u, "GET", "/dir/index.html", cnonce, tried);
}
#define ANSWER(u, cnonce, tried, ...) answer((const char *const[]){__VA_ARGS__, NULL}, u, cnonce, tried)
#define assert_has(part)                                                                                     \
    do {                                                                                                     \
        if (!strstr(out, part))                                                                              \
            fail_msg("no %s in %s", part, out);                                                              \
    } while (0)

static void test_basic(void **state)
{
    char small[10], long_name[3000];
    (void)state;
    assert_int_equal(auth_basic(out, sizeof out, &(struct auth_user){"Aladdin", "open sesame"}), 34);
    assert_string_equal(out, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_true(auth_basic(out, sizeof out, &(struct auth_user){"test", "123\xc2\xa3"}) > 0);
    assert_string_equal(out, "Basic dGVzdDoxMjPCow=="); /* RFC 7617 section 2.1 */
    assert_int_equal(auth_basic(out, sizeof out, &(struct auth_user){"a:b", "c"}), 0);
    assert_int_equal(auth_basic(out, sizeof out, &(struct auth_user){"a", "c\r\nX: y"}), 0);
    assert_int_equal(auth_basic(small, sizeof small, &mufasa), 0);
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(auth_basic(out, sizeof out, &(struct auth_user){long_name, ""}), 0);
}

#define NONCE_7616                                                                                           \
    "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "                                              \
    "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "                                               \
    "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
#define CNONCE_7616 "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"

static void test_rfc_7616(void **state)
{
    (void)state;
    assert_int_equal(ANSWER(&mufasa, CNONCE_7616, false, "Digest " NONCE_7616 ", algorithm=MD5"),
                     AUTH_ANSWER);
    assert_has("response=\"8ca523f5e9506fed4657c9700eebdbec\"");
    assert_has("algorithm=MD5");
    assert_has("opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"");
    /* The example's two challenges: the stronger one is answered. */
    assert_int_equal(ANSWER(&mufasa, CNONCE_7616, false, "Digest " NONCE_7616 ", algorithm=MD5",
                            "Digest " NONCE_7616 ", algorithm=SHA-256"),
                     AUTH_ANSWER);
    assert_has("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"");
    assert_has("algorithm=SHA-256");
    assert_has("qop=auth, nc=00000001, cnonce=\"" CNONCE_7616 "\"");
}

static void test_rfc_2617(void **state)
{
    (void)state;
    assert_int_equal(
        ANSWER(&mufasa_2617, "0a4f113b", false,
               "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", "
               "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""),
        AUTH_ANSWER);
    assert_has("response=\"6629fae49393a05397450978507c4ef1\"");
    assert_null(strstr(out, "algorithm")); /* none was named */
    /* RFC 2069: without qop (computed with Python's hashlib) */
    assert_int_equal(
        ANSWER(&mufasa_2617, "0a4f113b", false,
               "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\""),
        AUTH_ANSWER);
    assert_has("response=\"670fd8c2df070c60b045671b8b24ff02\"");
    assert_null(strstr(out, "cnonce"));
}

/* -sess and userhash, values by Python's hashlib */
static void test_variants(void **state)
{
    (void)state;
    assert_int_equal(
        ANSWER(&mufasa, "abc", false,
               "Digest realm=\"r\", nonce=\"n\", qop=auth, algorithm=SHA-256-sess, userhash=true"),
        AUTH_ANSWER);
    assert_has("response=\"5cf6ebabfb577871eadaf0168a1ee8f16ce386fc8af919cdbf08ab322e49368b\"");
    assert_has(
        "username=\"8ec3e1d647d8bd2ae7115a19b5155727c083dd356e9e6fa526b1188461f18acf\", userhash=true");
}

static void test_choice(void **state)
{
    (void)state;
    assert_int_equal(
        ANSWER(&mufasa, "x", false, "Basic realm=\"a, b\", Digest realm=\"r\", nonce=\"n\", qop=\"auth\""),
        AUTH_ANSWER);
    assert_memory_equal(out, "Digest ", 7);
    assert_int_equal(
        ANSWER(&mufasa, "x", false, "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\", Basic realm=\"q\""),
        AUTH_ANSWER);
    assert_memory_equal(out, "Basic ", 6);
    assert_int_equal(ANSWER(&mufasa, "x", false, "Negotiate YII=, Basic"), AUTH_ANSWER);
    assert_memory_equal(out, "Basic ", 6);
    assert_int_equal(ANSWER(&mufasa, "x", false, "Bearer realm=\"r\""), AUTH_NONE);
    assert_int_equal(ANSWER(&mufasa, "x", false, "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256"),
                     AUTH_NONE);
    assert_int_equal(ANSWER(&mufasa, "x", false, "Digest realm=\"r\""), AUTH_NONE);
    assert_int_equal(ANSWER(&mufasa, "x", false, ""), AUTH_NONE);
    assert_int_equal(ANSWER(&mufasa, "x", false, ",,\"=,,Digest"), AUTH_NONE);
    assert_int_equal(ANSWER(&mufasa, "x", true, "Digest realm=\"r\", nonce=\"n\""), AUTH_REFUSED);
    assert_int_equal(ANSWER(&mufasa, "x", true, "Digest realm=\"r\", nonce=\"n\", stale=TRUE"), AUTH_ANSWER);
}

/* R18: what is quoted stays quoted. */
static void test_R18_escaping(void **state)
{
    (void)state;
    assert_int_equal(
        ANSWER(&((struct auth_user){"a\"b\\c", "p"}), "x", false, "Digest realm=\"r\", nonce=\"n\""),
        AUTH_ANSWER);
    assert_has("username=\"a\\\"b\\\\c\", realm=");
    assert_int_equal(
        ANSWER(&((struct auth_user){"a\r\nX: y", "p"}), "x", false, "Digest realm=\"r\", nonce=\"n\""),
        AUTH_NONE);
    assert_int_equal(ANSWER(&((struct auth_user){"a", "p\n"}), "x", false, "Digest realm=\"r\", nonce=\"n\""),
                     AUTH_NONE);
    assert_int_equal(ANSWER(&mufasa, "x", false, "Digest realm=\"a\\\"b\", nonce=\"n\""), AUTH_ANSWER);
    assert_has("realm=\"a\\\"b\", nonce=\"n\"");
}

static void test_room(void **state)
{
    struct http1_head h = {.status = 401, .n = 1};
    char small[40];
    (void)state;
    h.fields[0] = (struct http1_field){slice("WWW-Authenticate"), slice("Digest realm=\"r\", nonce=\"n\"")};
    assert_int_equal(
        auth_answer(small, sizeof small, &h, "WWW-Authenticate", &mufasa, "GET", "/", "x", false), AUTH_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basic),    cmocka_unit_test(test_rfc_7616), cmocka_unit_test(test_rfc_2617),
        cmocka_unit_test(test_variants), cmocka_unit_test(test_choice),   cmocka_unit_test(test_R18_escaping),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
