/* connect_test.c: from a URL to a connection when the server sends us elsewhere, asks who we are, or never
 * answers. The servers are scripts: what each connection is told, one after the other. */
#include "block/connect.h"

#include "block_test.h"
#include "block/client.h"

enum { MAX = 16, HEAD = 4096 };

struct script {
    struct peer peer;
    const char *answers[MAX]; /* of one connection each; NULL: 101 */
    char heads[MAX][HEAD];    /* what was asked */
    bool refuses;             /* the last answer stands; else a 101 comes behind it */
    size_t n, served;
    pthread_t thread;
};

static void *script_main(void *arg)
{
    struct script *s = arg;
    for (; s->served < s->n; s->served++) {
        const size_t i = s->served;
        if (!peer_accept(&s->peer) || peer_read_until(&s->peer, s->heads[i], HEAD, "\r\n\r\n") < 0)
            return NULL;
        if (s->answers[i]) {
            peer_puts(&s->peer, s->answers[i]);
            continue;
        }
        char value[29], text[256];
        const char *key = strstr(s->heads[i], "Sec-WebSocket-Key: ") + strlen("Sec-WebSocket-Key: ");
        accept_value(value, key, strcspn(key, "\r"));
        snprintf(text, sizeof text,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                 "Upgrade\r\nSec-WebSocket-Accept: "
                 "%s\r\n\r\n",
                 value);
        peer_puts(&s->peer, text);
    }
    return NULL;
}

static void script_begin(struct script *s)
{
    if (s->peer.port == 0)
        assert_true(peer_listen(&s->peer, AF_INET, 16));
    s->served = 0;
    for (s->n = MAX; s->n > 0 && !s->answers[s->n - 1];)
        s->n--;
    s->n += !s->refuses;
    assert_int_equal(pthread_create(&s->thread, NULL, script_main, s), 0);
}
/* As many connections came as were written down. */
static void script_end(struct script *s)
{
    pthread_join(s->thread, NULL);
    peer_close(&s->peer);
    assert_int_equal(s->served, s->n);
}

static bool asked(const struct script *s, size_t i, const char *what)
{
    return strstr(s->heads[i], what) != NULL;
}

static thrum_error err;
static thrum_status try(struct script *s, const char *url, const thrum_client_options *o)
{
    thrum_conn *c;
    thrum_status st = thrum_connect(&c, url ? url : s->peer.url, o, &err);
    thrum_conn_free(c);
    return st;
}

#define MOVED(to) "HTTP/1.1 302 Found\r\nLocation: " to "\r\nContent-Length: 0\r\n\r\n"

/* ---- redirects ------------------------------------------------------------------------------------------
 */

static void test_R21_redirects(void **state)
{
    static const char *const all[] = {"301 Moved", "302 Found", "303 See Other", "307 Temporary",
                                      "308 Permanent"};
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        char answer[128];
        struct script s = {.answers = {answer}};
        snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\nLocation: /next?x=%zu\r\nContent-Length: 0\r\n\r\n",
                 all[i], i);
        script_begin(&s);
        assert_status(try(&s, NULL, THRUM_CLIENT(.bearer = "t0k", .cookie = "a=1")), THRUM_OK);
        script_end(&s);
        assert_true(asked(&s, 1, "GET /next?x="));
        assert_true(asked(&s, 1, "Authorization: Bearer t0k\r\n")); /* the same origin */
        assert_true(asked(&s, 1, "Cookie: a=1\r\n"));
    }
    struct script s = {.answers = {"HTTP/1.1 304 Not Modified\r\nLocation: /\r\n\r\n"}, .refuses = true};
    script_begin(&s);
    assert_status(try(&s, NULL, NULL), THRUM_E_REFUSED);
    script_end(&s);
    assert_int_equal(err.http_status, 304);
}

static void test_R21_another_origin(void **state)
{
    const char *const headers[] = {"Authorization", "Basic c2VjcmV0", "Cookie", "b=2",
                                   "X-Plain",       "stays",          NULL};
    struct script there = {.answers = {NULL}}, here = {.refuses = true};
    char url[120], answer[200];
    (void)state;
    script_begin(&there);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 307 x\r\nLocation: http://user:pass@127.0.0.1:%u/there\r\nContent-Length: 0\r\n\r\n",
             there.peer.port);
    here.answers[0] = answer;
    assert_true(peer_listen(&here.peer, AF_INET, 8));
    snprintf(url, sizeof url, "ws://me:pw@127.0.0.1:%u/", here.peer.port);
    script_begin(&here);
    assert_status(try(&here, url, THRUM_CLIENT(.cookie = "a=1", .headers = headers)), THRUM_OK);
    script_end(&here);
    script_end(&there);
    assert_true(asked(&here, 0, "Cookie: "));
    assert_true(asked(&there, 0, "GET /there HTTP/1.1"));
    assert_true(asked(&there, 0, "X-Plain: stays"));
    assert_false(asked(&there, 0, "Authorization"));
    assert_false(asked(&there, 0, "Cookie"));
}

static void refuses(const char *answer, size_t times, const thrum_client_options *o, const char *says)
{
    struct script s = {.answers = {answer}, .refuses = true};
    char url[64];
    assert_true(peer_listen(&s.peer, AF_INET, 8));
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", s.peer.port);
    while (times-- > 1)
        s.answers[times] = answer;
    script_begin(&s);
    if (try(&s, url, o) != THRUM_E_REFUSED || !strstr(err.text, says))
        fail_msg("%s: %s", thrum_status_name(err.status), err.text);
    assert_int_equal(err.http_status, 302);
    script_end(&s);
}

static void test_R21_refused_redirects(void **state)
{
    (void)state;
    refuses(MOVED("/"), 3, THRUM_CLIENT(.max_redirects = 2), "over 2 times");
    refuses(MOVED("/"), 1, THRUM_CLIENT(.max_redirects = THRUM_NO_REDIRECTS), "302");
    refuses(MOVED("ftp://h/"), 1, NULL, "ftp://h/");
    refuses(MOVED("ws+unix:/tmp/x.sock"), 1, NULL, "ws+unix");
    refuses(MOVED("http://h:99999/"), 1, NULL, "port");
    refuses("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", 1, NULL, "302"); /* nowhere to go */
}

/* ---- who we are -----------------------------------------------------------------------------------------
 */

#define ASKS(how) "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: " how "\r\nContent-Length: 0\r\n\r\n"
#define DIGEST    ASKS("Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256")

static void test_basic_and_bearer(void **state)
{
    struct script s = {.answers = {NULL}};
    char url[80];
    (void)state;
    assert_true(peer_listen(&s.peer, AF_INET, 8));
    snprintf(url, sizeof url, "ws://Aladdin:open%%20sesame@127.0.0.1:%u/", s.peer.port);
    script_begin(&s);
    assert_status(try(&s, url, NULL), THRUM_OK);
    script_end(&s);
    assert_true(asked(
        &s, 0, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")); /* within this machine: unasked */
    assert_false(asked(&s, 0, "Aladdin"));
    s = (struct script){.answers = {NULL}};
    script_begin(&s);
    assert_status(try(&s, NULL, THRUM_CLIENT(.bearer = "abc.def")), THRUM_OK);
    script_end(&s);
    assert_true(asked(&s, 0, "Authorization: Bearer abc.def\r\n"));
}

static void test_digest(void **state)
{
    struct script s = {.answers = {DIGEST}};
    (void)state;
    script_begin(&s);
    assert_status(try(&s, NULL, THRUM_CLIENT(.user = "me", .password = "pw")), THRUM_OK);
    script_end(&s);
    assert_true(asked(
        &s, 1, "Authorization: Digest username=\"me\", realm=\"r\", nonce=\"n\", uri=\"/\", response=\""));
    s = (struct script){.answers = {DIGEST, DIGEST}, .refuses = true};
    script_begin(&s);
    assert_status(try(&s, NULL, THRUM_CLIENT(.user = "me", .password = "wrong")), THRUM_E_REFUSED);
    script_end(&s);
    assert_int_equal(err.http_status, 401);
    assert_non_null(strstr(err.text, "credentials of \"me\""));
#define STALE ASKS("Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", stale=true")
    s = (struct script){.answers = {DIGEST, STALE}};
    script_begin(&s);
    assert_status(try(&s, NULL, THRUM_CLIENT(.user = "me", .password = "pw")), THRUM_OK);
    script_end(&s);
    assert_true(asked(&s, 2, "nonce=\"n2\""));
    s = (struct script){.answers = {STALE, STALE, STALE, STALE},
                        .refuses = true}; /* a server that never has enough */
    script_begin(&s);
    assert_status(try(&s, NULL, THRUM_CLIENT(.user = "me", .password = "pw")), THRUM_E_REFUSED);
    script_end(&s);
}

static void test_without_credentials(void **state)
{
    struct script s = {.answers = {ASKS("Basic realm=\"r\"")}, .refuses = true};
    (void)state;
    script_begin(&s);
    assert_status(try(&s, NULL, NULL), THRUM_E_REFUSED);
    script_end(&s);
    assert_int_equal(err.http_status, 401);
    s = (struct script){.answers = {ASKS("Basic realm=\"r\"")}, .refuses = true};
    script_begin(&s);
    assert_status(try(&s, NULL, THRUM_CLIENT(.user = "me", .password = "pw")),
                  THRUM_E_REFUSED); /* it had them already */
    script_end(&s);
}

static void test_response(void **state)
{
    struct script s = {
        .answers = {"HTTP/1.1 418 I'm a teapot\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nshort"}};
    thrum_response *r;
    size_t n;
    (void)state;
    script_begin(&s);
    assert_status(try(&s, NULL, THRUM_CLIENT(.response = &r)), THRUM_E_REFUSED);
    assert_int_equal(thrum_response_status(r), 418);
    assert_string_equal(thrum_response_reason(r), "I'm a teapot");
    assert_string_equal(thrum_response_header(r, "retry-after", 0), "7");
    assert_memory_equal(thrum_response_body(r, &n), "short", 6);
    assert_int_equal(n, 5);
    thrum_response_free(r);
    assert_status(try(&s, NULL, THRUM_CLIENT(.response = &r)), THRUM_OK);
    assert_null(r);
    script_end(&s);
}

/* ---- the way there --------------------------------------------------------------------------------------
 */

static void test_source_address(void **state)
{
    struct script s = {.answers = {NULL}};
    (void)state;
    script_begin(&s);
    assert_status(try(&s, NULL, THRUM_CLIENT(.source_address = "127.0.0.9", .tcp_keepalive = THRUM_ON)),
                  THRUM_OK);
    script_end(&s);
    assert_status(try(NULL, "ws://127.0.0.1:1/", THRUM_CLIENT(.source_address = "name.test")),
                  THRUM_E_ARGUMENT);
    assert_status(try(NULL, "ws://127.0.0.1:1/", THRUM_CLIENT(.source_address = "192.0.2.1")),
                  THRUM_E_CONNECT);
}

static void *socks_main(void *arg)
{
    struct peer *p = arg;
    uint8_t m[64];
    if (!peer_accept(p) || !peer_read(p, m, 3) || !peer_write(p, "\5\0", 2) ||
        !peer_read(p, m, 4 + 1 + 6 + 2) || !peer_write(p, "\5\0\0\1\0\0\0\0\0\0", 10))
        return NULL;
    raw_answer(p);
    return memcmp(m, "\5\1\0\3\6h.test\0\120", 13) == 0 ? arg : NULL;
}

static void test_by_a_proxy(void **state)
{
    struct peer p;
    pthread_t t;
    void *right;
    char url[64];
    (void)state;
    assert_true(peer_listen(&p, AF_INET, 8));
    snprintf(url, sizeof url, "socks5h://127.0.0.1:%u", p.port);
    pthread_create(&t, NULL, socks_main, &p);
    assert_status(try(NULL, "ws://h.test/", THRUM_CLIENT(.proxy = url)), THRUM_OK);
    pthread_join(t, &right);
    assert_non_null(right);
    peer_close(&p);
    assert_status(try(NULL, "ws://h.test/", THRUM_CLIENT(.proxy = "gopher://x")), THRUM_E_ARGUMENT);
    assert_status(try(NULL, "ws://h.test/", THRUM_CLIENT(.proxy = "http://127.0.0.1:1")), THRUM_E_CONNECT);
    assert_non_null(strstr(err.text, "the proxy"));
    assert_true(peer_listen(&p, AF_INET, 8)); /* says nothing */
    snprintf(url, sizeof url, "http://127.0.0.1:%u", p.port);
    assert_status(try(NULL, "ws://h.test/", THRUM_CLIENT(.proxy = url, .open_timeout = 100)),
                  THRUM_E_TIMEOUT);
    peer_close(&p);
}

/* ---- being told to stop ---------------------------------------------------------------------------------
 */

struct job {
    const char *url;
    struct connect_token token;
    thrum_status status;
};

static void *job_main(void *arg)
{
    struct job *j = arg;
    struct shared_settings *ss;
    thrum_error e;
    thrum_conn *c;
    if (client_settings(&ss, THRUM_CLIENT(.open_timeout = THRUM_FOREVER), NULL, &e) != THRUM_OK)
        return NULL;
    j->status = connect_shared(&c, j->url, ss, &j->token, NULL, &e);
    settings_unshare(ss);
    return NULL;
}

static void cancelled(const char *url)
{
    struct job j = {.url = url};
    pthread_t t;
    int before = fault_open_descriptors();
    assert_int_equal(connect_token_init(&j.token), 0);
    assert_int_equal(pthread_create(&t, NULL, job_main, &j), 0);
    nanosleep(&(struct timespec){0, 20 * 1000 * 1000},
              NULL); /* in the midst of it, or before it: both must do */
    connect_token_cancel(&j.token);
    pthread_join(t, NULL);
    assert_status(j.status, THRUM_E_CANCELLED);
    connect_token_free(&j.token);
    assert_int_equal(fault_open_descriptors(), before);
}

static thrum_conn *shown_by(struct connect_token *t)
{
    lock_take(&t->lock);
    thrum_conn *c = t->conn ? thrum_conn_ref(t->conn) : NULL;
    lock_give(&t->lock);
    return c;
}

/* Who cancels may be slow: the connection is there until he has let go of it, though who connected is gone.
 */
static void test_R31_cancelled_slowly(void **state)
{
    struct peer silent;
    struct job j = {.url = silent.url};
    thrum_conn *c;
    pthread_t t;
    (void)state;
    assert_true(peer_listen(&silent, AF_INET, 8));
    assert_int_equal(connect_token_init(&j.token), 0);
    assert_int_equal(pthread_create(&t, NULL, job_main, &j), 0);
    await((c = shown_by(&j.token)) != NULL);
    await(is_waiting(c, WANT_OPEN));
    thrum_cancel(c);
    pthread_join(t, NULL);
    assert_status(j.status, THRUM_E_CANCELLED);
    assert_null(j.token.conn);
    assert_int_equal(thrum_conn_state(c), THRUM_CLOSED);
    thrum_conn_free(c);
    connect_token_free(&j.token);
    peer_close(&silent);
}

static void test_cancelled(void **state)
{
    struct peer silent, hole;
    char url[64];
    (void)state;
    assert_true(peer_listen(&silent, AF_INET, 64));
    assert_true(peer_blackhole(&hole, AF_INET));
    cancelled(silent.url); /* the opening handshake */
    snprintf(url, sizeof url, "wss://127.0.0.1:%u/", silent.port);
    cancelled(url);      /* TLS's */
    cancelled(hole.url); /* TCP's */
    peer_close(&silent);
    peer_close(&hole);
}

int main(void)
{
    (void)unsetenv("http_proxy");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R21_redirects),
        cmocka_unit_test(test_R21_another_origin),
        cmocka_unit_test(test_R21_refused_redirects),
        cmocka_unit_test(test_basic_and_bearer),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_without_credentials),
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_source_address),
        cmocka_unit_test(test_by_a_proxy),
        cmocka_unit_test(test_R31_cancelled_slowly),
        cmocka_unit_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, all_threads_end);
}
