/* secure.h: a listener with TLS and clients of it, on one loop. */
#ifndef TESTS_EVENT_SECURE_H
#define TESTS_EVENT_SECURE_H

#include "driven.h"
#include "lib/certs.h"
#include <thrum/tls.h>

struct secure {
    thrum_loop *l;
    thrum_listener *s;
    struct spy server;
};

static inline void secure_up(struct secure *x)
{
    const struct cert *k = &certs_usual()->server;
    memset(x, 0, sizeof *x);
    x->l = loop_up();
    x->s = listen_at(x->l, "wss://127.0.0.1:0/",
                     THRUM_SERVER(.handlers = &spying, .arg = &x->server,
                                  .tls = THRUM_TLS(.cert = k->cert, .cert_len = strlen(k->cert),
                                                   .key = k->key, .key_len = strlen(k->key))));
}

static inline void secure_down(struct secure *x)
{
    thrum_listener_free(x->s);
    loop_down(x->l);
}

static inline void secure_open(struct secure *x, struct spy *client)
{
    const char *ca = certs_usual()->authority.cert;
    const unsigned had = x->server.opens;
    thrum_error e;
    if (thrum_open(x->l, thrum_listener_url(x->s),
                   THRUM_CLIENT(.tls = THRUM_TLS(.ca = ca, .ca_len = strlen(ca))), &spying, client, NULL,
                   &e) != THRUM_OK)
        fail_msg("%s", e.text);
    turn_until(x->l, client->c && x->server.opens == had + 1);
}

#endif
