/* tls_resume.c: sessions that servers gave us, to be resumed by the next connection to the same host and
 * port. A session is used once (RFC 8446 appendix C.4): two connections that show the same ticket could be
 * told to be one client's. */
#include "base/mem.h"
#include "net/tls_int.h"
#include <string.h>

enum { SESSIONS = 32 };

struct resumable {
    struct list link;
    SSL_SESSION *session;
    char server[]; /* "host:port" */
};

static void forget(struct thrum_tls *t, struct resumable *r)
{
    list_remove(&r->link);
    t->nsessions--;
    SSL_SESSION_free(r->session);
    mem_free(r);
}

static struct resumable *find(struct thrum_tls *t, const char *server)
{
    list_each (l, &t->sessions) {
        struct resumable *r = list_of(l, struct resumable, link);
        if (strcmp(r->server, server) == 0)
            return r;
    }
    return NULL;
}

bool tls_resume_keep(struct thrum_tls *t, const char *server, SSL_SESSION *s)
{
    size_t n = strlen(server) + 1;
    struct resumable *old = find(t, server), *r = mem_alloc(sizeof *r + n);
    if (!r)
        return false;
    if (old)
        forget(t, old);
    else if (t->nsessions == SESSIONS)
        forget(t, list_of(t->sessions.next, struct resumable, link));
    r->session = s;
    memcpy(r->server, server, n);
    list_push(&t->sessions, &r->link);
    t->nsessions++;
    return true;
}

SSL_SESSION *tls_resume_take(struct thrum_tls *t, const char *server)
{
    struct resumable *r = find(t, server);
    if (!r)
        return NULL;
    SSL_SESSION *s = r->session;
    SSL_SESSION_up_ref(s);
    forget(t, r);
    return s;
}

void tls_resume_forget(struct thrum_tls *t)
{
    while (!list_empty(&t->sessions))
        forget(t, list_of(t->sessions.next, struct resumable, link));
}
