/* front.h: what a thrum_conn can do. A handle's first member points to its origin, which says which front
 * made it, so the calls of thrum.h serve a blocking connection and a loop's alike; call.c passes them on. */
#ifndef CONN_FRONT_H
#define CONN_FRONT_H

#include <thrum/stats.h>
#include <thrum/thrum.h>
#include <thrum/tls.h>

enum front_part { FRONT_WHOLE, FRONT_PART, FRONT_LAST_PART, FRONT_LAST_OR_WHOLE };

struct front {
    thrum_status (*send_one)(thrum_conn *c, thrum_kind k, const void *p, size_t n); /* the most usual send */
    thrum_status (*send)(thrum_conn *c, thrum_kind k, const thrum_slice *v, size_t n, thrum_switch compress,
                         enum front_part part);
    thrum_status (*receive)(thrum_conn *c, thrum_message *m, thrum_wait t, bool parts);
    thrum_status (*ping)(thrum_conn *c, const void *p, size_t n, thrum_wait t);
    thrum_status (*pong)(thrum_conn *c, const void *p, size_t n);
    thrum_status (*close)(thrum_conn *c, uint16_t code, const char *why);
    void (*cancel)(thrum_conn *c);
    void (*free)(thrum_conn *c);
    thrum_conn *(*ref)(thrum_conn *c);
    void (*error)(const thrum_conn *c, thrum_error *err);
    thrum_status (*closing)(const thrum_conn *c, thrum_closing *out);
    thrum_status (*tls)(const thrum_conn *c, thrum_tls_info *out);
    thrum_status (*stats)(const thrum_conn *c, thrum_stats *all); /* fills all fields but size */
    thrum_state (*state)(const thrum_conn *c);
    thrum_id (*id)(const thrum_conn *c);
    const char *(*subprotocol)(const thrum_conn *c);
    const char *(*extensions)(const thrum_conn *c);
    const char *(*target)(const thrum_conn *c);
    const char *(*header)(const thrum_conn *c, const char *name, size_t n);
    const char *(*peer)(const thrum_conn *c);
    int64_t (*latency)(const thrum_conn *c);
    void (*set_user)(thrum_conn *c, void *user);
    void *(*user)(const thrum_conn *c);
};

/* Not the front itself: where many handles have something in common anyway, its first member is this, and
 * each of them is spared a pointer. */
struct origin {
    const struct front *front;
};

static inline const struct front *front_of(const thrum_conn *c)
{
    return (*(const struct origin *const *)(const void *)c)->front;
}

extern const struct origin conn_origin; /* ask.c: of a bare connection, which can only be asked */

#endif
