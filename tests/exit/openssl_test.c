/* openssl_test.c: contract E12: threads busy inside TLS when the program ends, OpenSSL's own exit handler,
 * and programs that use OpenSSL or libcurl themselves, before, beside and after thrum. Each program is a
 * child that is judged by its exit status, what it prints (a sanitizer's finding) and that it ends at all. */
#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <thrum/tls.h>
#include "exit_test.h"
#include "lib/certs.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { BUSY = 3, ROUNDS = 2 };
#else
enum { BUSY = 3, ROUNDS = 12 };
#endif

#if defined(__SANITIZE_ADDRESS__)
/* What OpenSSL keeps for a thread that ends after its exit handler is freed by nobody, in every program. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:RAND_get0_private\nleak:RAND_get0_public\nleak:ERR_clear_error\nleak:ERR_set_error\n"
           "leak:clear_errors\n"; /* its ERR_peek_error, which has no name in the stack */
}
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "fast_unwind_on_malloc=0:malloc_context_size=16";
}
#endif

static _Atomic long echoed;

static void echo(thrum_conn *c, void *arg)
{
    thrum_message m;
    (void)arg;
    while (thrum_recv(c, &m, THRUM_FOREVER) == THRUM_OK) {
        thrum_status s = thrum_send(c, m.kind, m.data, m.len);
        thrum_message_release(&m);
        if (s != THRUM_OK)
            return;
        echoed++;
    }
}

static thrum_server *serve(void)
{
    const struct cert *k = &certs_usual()->server;
    thrum_server *s;
    thrum_error e;
    const thrum_tls_options *tls =
        THRUM_TLS(.cert = k->cert, .cert_len = strlen(k->cert), .key = k->key, .key_len = strlen(k->key));
    if (thrum_serve(&s, "wss://127.0.0.1:0/", THRUM_SERVER(.serve = echo, .tls = tls), &e) != THRUM_OK)
        check_failed(__FILE__, __LINE__, e.text);
    return s;
}

static thrum_conn *dial(const thrum_server *s)
{
    const char *ca = certs_usual()->authority.cert;
    thrum_conn *c;
    thrum_error e;
    if (thrum_connect(&c, thrum_server_url(s), THRUM_CLIENT(.tls = THRUM_TLS(.ca = ca, .ca_len = strlen(ca))),
                      &e) != THRUM_OK)
        check_failed(__FILE__, __LINE__, e.text);
    return c;
}

/* Never comes back: until the end of the process it sends and receives, or is told that all is over. */
static void *be_busy(void *arg)
{
    static const char page[20000];
    thrum_message m;
    while (thrum_send(arg, THRUM_BINARY, page, sizeof page) == THRUM_OK &&
           thrum_recv(arg, &m, 1000) == THRUM_OK)
        thrum_message_release(&m);
    return NULL;
}

static void go_to_work(const thrum_server *s)
{
    for (int i = 0; i < BUSY; i++)
        pthread_detach(start(be_busy, dial(s)));
    await(echoed > 10 * BUSY);
}

static void use_openssl(void)
{
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned n;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    check(ctx && EVP_Digest("abc", 3, out, &n, EVP_sha256(), NULL) == 1 && n == 32 && out[0] == 0xba);
    SSL_CTX_free(ctx);
}

/* ---- the programs ---------------------------------------------------------------------------------------
 */

static void plain(void)
{
    go_to_work(serve());
}

static void openssl_first(void)
{
    use_openssl();
    go_to_work(serve());
    use_openssl();
}

/* Registered last, so it runs first, while thrum and OpenSSL still are whole. */
static void late_handler(void)
{
    use_openssl();
}
static void openssl_in_a_handler(void)
{
    go_to_work(serve());
    check(atexit(late_handler) == 0);
}

/* The program has its own idea of OpenSSL's end, and of its beginning: no exit handler at all. */
static void openssl_without_its_handler(void)
{
    check(OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) == 1);
    go_to_work(serve());
}

static size_t swallow(char *p, size_t size, size_t n, void *arg)
{
    (void)p;
    (void)arg;
    return size * n;
}

static void fetch(const thrum_server *s)
{
    char url[80];
    long status = 0;
    const char *ca = certs_usual()->authority.cert;
    struct curl_blob trusted = {(void *)(uintptr_t)ca, strlen(ca), CURL_BLOB_NOCOPY};
    CURL *c = curl_easy_init();
    snprintf(url, sizeof url, "https%s", thrum_server_url(s) + strlen("wss"));
    check(c && curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
          curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &trusted) == CURLE_OK &&
          curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK &&
          curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow) == CURLE_OK);
    CURLcode r = curl_easy_perform(c);
    if (r != CURLE_OK)
        check_failed(__FILE__, __LINE__, curl_easy_strerror(r));
    check(curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 400 && status < 500);
    curl_easy_cleanup(c);
}

static void curl_beside(void)
{
    check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    thrum_server *s = serve();
    fetch(s);
    go_to_work(s);
    fetch(s);
    check(atexit(curl_global_cleanup) == 0);
}

static void curl_ended_first(void)
{
    thrum_server *s = serve();
    go_to_work(s);
    check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    fetch(s);
    curl_global_cleanup();
}

/* ---- judging --------------------------------------------------------------------------------------------
 */

enum way { BY_RETURN, BY_THREAD };

static void *exit_from_a_thread(void *arg)
{
    (void)arg;
    exit(42);
}

static void judge(const char *name, void (*program)(void), enum way way)
{
    int status;
    pid_t pid = fork(); /* this process never used thrum, OpenSSL or a thread: the child is a whole program */
    check(pid >= 0);
    if (pid == 0) {
        program();
        if (way == BY_THREAD)
            for (pthread_detach(start(exit_from_a_thread, NULL));;)
                pause();
        exit(42);
    }
    int fd = pidfd_open(pid, 0);
    struct pollfd v = {.fd = fd, .events = POLLIN};
    if (poll(&v, 1, 6 * HANG_MS) != 1) {
        kill(pid, SIGKILL);
        fprintf(stderr, "%s: ", name);
        check_failed(__FILE__, __LINE__, "the program ends");
    }
    close(fd);
    check(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 42) {
        fprintf(stderr, "%s: wait status %#x\n", name, (unsigned)status);
        check_failed(__FILE__, __LINE__, "the program ends well");
    }
}

int main(void)
{
    static const struct {
        const char *name;
        void (*program)(void);
    } programs[] = {
        {"plain", plain},
        {"OpenSSL first", openssl_first},
        {"OpenSSL in a handler", openssl_in_a_handler},
        {"OpenSSL without its handler", openssl_without_its_handler},
        {"curl beside", curl_beside},
        {"curl ended first", curl_ended_first},
    };
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
            judge(programs[i].name, programs[i].program, round % 2 ? BY_THREAD : BY_RETURN);
    printf("%d programs ended well\n", ROUNDS * (int)(sizeof programs / sizeof programs[0]));
    return 0;
}
