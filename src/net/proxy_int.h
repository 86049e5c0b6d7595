/* proxy_int.h: what the kinds of proxies share: a stream that shakes hands, and then is what lies below it.
 */
#ifndef NET_PROXY_INT_H
#define NET_PROXY_INT_H

#include "base/buf.h"
#include "net/proxy.h"

enum { TUNNEL_IN_MAX = 64 * 1024, TUNNEL_TARGET_MAX = 300 };

struct tunnel {
    struct stream stream;
    const struct tunnel_kind *kind;
    struct proxy proxy;
    char host[TUNNEL_TARGET_MAX]; /* where to; without brackets */
    uint16_t port;
    struct buf out; /* to be sent to the proxy */
    size_t out_at;  /* so much of it has been */
    struct buf in;  /* come from the proxy and not used up; once open: of the server's, to be read first */
    size_t in_at;
    size_t want; /* bytes in `in` that the next step needs */
    size_t room; /* so much more may be taken in with them; else they are the server's */
    int step;    /* of the kind's own counting */
    int tries;   /* how often credentials were shown */
    bool open, failed;
    thrum_error *error;     /* of a failure; NULL: no memory for it */
    char label[64];         /* "proxy.example:3128", for sentences */
    struct http_talk *http; /* that kind's own */
};
struct tunnel_kind {
    /* Puts the first words into out, and sets want. OK, E_MEMORY, E_ARGUMENT. */
    thrum_status (*begin)(struct tunnel *t, thrum_error *err);
    /* `want` bytes or more have come, or `ended`: the proxy says no more. Takes them, and answers by out and
     * want, by `open`, or by tunnel_fail. */
    void (*step)(struct tunnel *t, bool ended);
    void (*free)(struct tunnel *t); /* NULL: nothing of its own */
};
extern const struct tunnel_kind tunnel_http, tunnel_socks4, tunnel_socks5;

/* For a step: the tunnel is broken, and that is why. http_status: 0 none. */
void tunnel_fail(struct tunnel *t, int http_status, const char *fmt, ...) THRUM_PRINTF(3, 4);
void tunnel_fail_memory(struct tunnel *t);
/* True, or the tunnel has failed for want of memory. */
bool tunnel_say(struct tunnel *t, const void *p, size_t n);
void tunnel_taken(struct tunnel *t, size_t n); /* n bytes of `in` are done with */

#endif
