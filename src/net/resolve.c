/* resolve.c: host names to addresses. The question to the helper thread is one block of memory with two
 * owners, the asker and the helper; under its lock whoever leaves second frees it. So the asker can leave at
 * any time (deadline, signal, cancellation), and nobody ever waits for the helper. */
#include "net/resolve.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/thread.h"
#include "net/address_int.h"
#include "net/wait_int.h"
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

int (*resolve_getaddrinfo)(const char *host, const char *service, const struct addrinfo *hints,
                           struct addrinfo **out) = getaddrinfo;

enum {
    NAME_MAX_BYTES = 253,     /* RFC 1035: 255 on the wire */
    HELPER_STACK = 512 * 1024 /* name service modules are not ours and may be greedy */
};

struct question {
    struct lock lock;
    struct thread *asker; /* NULL once nobody waits */
    bool done;
    bool passive;
    uint16_t port;
    int gai, os_errno; /* the answer: getaddrinfo's result, and errno where that is EAI_SYSTEM */
    size_t n;
    struct address a[RESOLVE_MAX];
    char host[NAME_MAX_BYTES + 1];
};

static void question_free(struct question *q)
{
    lock_destroy(&q->lock);
    mem_free(q);
}

static struct question *question_new(thrum_slice host, uint16_t port, bool passive)
{
    struct question *q = mem_zalloc(sizeof *q);
    if (q == NULL)
        return NULL;
    if (lock_init(&q->lock) != 0) {
        mem_free(q);
        return NULL;
    }
    memcpy(q->host, host.p, host.n); /* shorter than the array: the caller has looked */
    q->port = port;
    q->passive = passive;
    return q;
}

/* The asker's way out; also what a cancellation runs. */
static void question_leave(void *arg)
{
    struct question *q = arg;
    lock_take(&q->lock);
    bool last = q->done;
    q->asker = NULL;
    lock_give(&q->lock);
    if (last)
        question_free(q);
}

static void keep_answer(struct question *q, const struct addrinfo *list)
{
    for (const struct addrinfo *i = list; i != NULL && q->n < RESOLVE_MAX; i = i->ai_next) {
        if ((i->ai_family != AF_INET && i->ai_family != AF_INET6) || i->ai_addrlen > sizeof q->a[0].a)
            continue;
        struct address *a = &q->a[q->n++];
        memcpy(&a->a, i->ai_addr, i->ai_addrlen);
        a->len = i->ai_addrlen;
        address_set_port(a, q->port);
    }
}

/* The helper thread's body. */
static void answer(void *arg)
{
    struct question *q = arg;
    struct addrinfo hints, *list = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG | (q->passive ? AI_PASSIVE : 0);
    q->gai = resolve_getaddrinfo(q->host, NULL, &hints, &list);
    q->os_errno = q->gai == EAI_SYSTEM ? errno : 0;
    if (q->gai == 0) {
        keep_answer(q, list);
        freeaddrinfo(list);
    }
    lock_take(&q->lock);
    bool last = q->asker == NULL;
    q->done = true;
    if (!last)
        thread_wake(q->asker); /* under the lock: it cannot leave, and so not end, meanwhile */
    lock_give(&q->lock);
    if (last)
        question_free(q);
}

static bool question_is_done(struct question *q)
{
    lock_take(&q->lock);
    bool done = q->done;
    lock_give(&q->lock);
    return done;
}

/* E_TIMEOUT, E_INTERRUPTED, E_MEMORY (the poll's), or OK: the answer is there. */
static thrum_status question_wait(struct question *q, const struct limits *l, thrum_error *err)
{
    struct pollfd p[2] = {{.fd = q->asker->wake, .events = POLLIN}, {.fd = l->bell, .events = POLLIN}};
    while (!question_is_done(q)) {
        int64_t now = clock_now();
        if (now >= l->deadline)
            return error_set(err, THRUM_E_TIMEOUT,
                             "the time was up while the name server was asked for \"%s\"; is it reachable?",
                             q->host);
        int r = wait_poll(p, 2, clock_poll_ms(now, l->deadline), question_leave, q);
        if (r > 0 && p[1].revents)
            return error_set(err, THRUM_E_CANCELLED, "the look-up of \"%s\" was cancelled", q->host);
        if (r < 0 && errno == EINTR && l->interruptible)
            return error_os(err, THRUM_E_INTERRUPTED, EINTR, "waiting for the address of \"%s\"", q->host);
        if (r < 0 && errno != EINTR)
            return error_os(err, THRUM_E_SYSTEM, errno, "waiting for the address of \"%s\"", q->host);
        if (r > 0)
            thread_unwake(q->asker);
    }
    thread_unwake(q->asker); /* the helper's wake may have come between the look and the poll */
    return THRUM_OK;
}

static const char *gai_sentence(int gai)
{
    switch (gai) {
    case EAI_NONAME: return "no such host; check the spelling";
    case EAI_NODATA:
    case EAI_ADDRFAMILY: return "the name exists, but has no address of a kind that this machine uses";
    case EAI_AGAIN: return "the name server did not answer; check the network, or try again later";
    case EAI_FAIL: return "the name server says that it cannot answer";
    default: return gai_strerror(gai);
    }
}

static thrum_status question_failed(const struct question *q, thrum_error *err)
{
    if (q->gai == EAI_MEMORY || q->os_errno == ENOMEM)
        return error_os(err, THRUM_E_MEMORY, ENOMEM, "looking up the host \"%s\"", q->host);
    if (q->gai == EAI_SYSTEM)
        return error_os(err, address_errno_is_local(q->os_errno) ? THRUM_E_SYSTEM : THRUM_E_RESOLVE,
                        q->os_errno, "looking up the host \"%s\"", q->host);
    return error_set(err, THRUM_E_RESOLVE, "the host \"%s\" has no address: %s", q->host,
                     q->gai == 0 ? "the answer was empty" : gai_sentence(q->gai));
}

static thrum_status ask(struct question *q, struct address *out, size_t *n, const struct limits *l,
                        thrum_error *err)
{
    thrum_status s = question_wait(q, l, err);
    if (s != THRUM_OK)
        return s;
    if (q->gai != 0 || q->n == 0)
        return question_failed(q, err);
    memcpy(out, q->a, q->n * sizeof q->a[0]);
    *n = q->n;
    return THRUM_OK;
}

static thrum_status resolve_name(struct address *out, size_t *n, thrum_slice host, uint16_t port,
                                 bool passive, const struct limits *l, thrum_error *err)
{
    struct thread *self = thread_self();
    struct question *q = self == NULL ? NULL : question_new(host, port, passive);
    if (q == NULL)
        return error_set(err, THRUM_E_MEMORY, "no memory to look up a host name");
    q->asker = self;
    if (thread_wake_fd(self) < 0) {
        int e = errno;
        question_free(q);
        return error_os(err, THRUM_E_SYSTEM, e, "no descriptor to wait for a host name's address with");
    }
    LOG(LOG_NET, LOG_DEBUG, 0, "asking for the address of \"%s\"", q->host);
    int e = thread_start(answer, q, "resolve", HELPER_STACK);
    if (e != 0) {
        thrum_status s =
            error_os(err, THRUM_E_SYSTEM, e,
                     "no thread to look up the host \"%s\" (a numeric address needs none)", q->host);
        question_free(q);
        return s;
    }
    thrum_status s = ask(q, out, n, l, err);
    question_leave(q);
    return s;
}

static bool slice_is(thrum_slice s, const char *text)
{
    return s.n == strlen(text) && strncasecmp((const char *)s.p, text, s.n) == 0;
}

/* True: *n addresses without asking anybody. RFC 6761 section 6.3 says that localhost is not a matter of the
 * DNS. */
static bool well_known(struct address *out, size_t *n, thrum_slice host, uint16_t port, bool passive)
{
    if (passive && slice_is(host, "*")) {
        address_v6(&out[0], &in6addr_any, 0, port);
        address_v4(&out[1], INADDR_ANY, port);
    } else if (slice_is(host, "localhost") || slice_is(host, "localhost.")) {
        address_v4(&out[0], INADDR_LOOPBACK, port);
        address_v6(&out[1], &in6addr_loopback, 0, port);
    } else {
        return false;
    }
    *n = 2;
    return true;
}

thrum_status resolve(struct address *out, size_t *n, thrum_slice host, uint16_t port, bool passive,
                     const struct limits *l, thrum_error *err)
{
    const char *why = NULL;
    char shown[128];
    *n = 0;
    if (well_known(out, n, host, port, passive))
        return THRUM_OK;
    int numeric = address_numeric(out, host, port, &why);
    if (numeric > 0) {
        *n = 1;
        return THRUM_OK;
    }
    if (numeric == 0 && host.n == 0)
        why = "it is empty";
    else if (numeric == 0 && host.n > NAME_MAX_BYTES)
        why = "it is over 253 bytes long";
    else if (numeric == 0 && memchr(host.p, 0, host.n) != NULL)
        why = "it holds a NUL";
    if (why != NULL) {
        text_escape(shown, sizeof shown, host.p, host.n);
        return error_set(err, THRUM_E_RESOLVE, "\"%s\" cannot be a host: %s", shown, why);
    }
    return resolve_name(out, n, host, port, passive, l, err);
}
