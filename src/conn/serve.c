/* serve.c: see serve.h. */
#include "conn/serve.h"
#include "base/clock.h"
#include "base/options.h"
#include "base/text.h"
#include "net/proxied.h"
#include <string.h>

thrum_status serve_settings(struct shared_settings *ss, const thrum_server_options *given, thrum_error *err)
{
    thrum_server_options o;
    thrum_status s = settings_server(&ss->s, given, err);
    s = s ? s : options_read(&o, sizeof o, given, err);
    if (s == THRUM_OK && (o.tls || o.tls_shared))
        s = tls_settings(&ss->tls, o.tls, o.tls_shared, err);
    return s;
}

thrum_status serve_listen(struct listener *l, const char *url, const struct shared_settings *ss,
                          bool reuse_port, thrum_error *err)
{
    struct uri u;
    const char *why = NULL;
    if (!url || !uri_parse(&u, (thrum_slice){(const uint8_t *)url, strlen(url)}, true, &why)) {
        char shown[96];
        text_escape(shown, sizeof shown, url ? url : "", url ? strlen(url) : 0);
        return error_set(err, THRUM_E_ARGUMENT, "cannot listen at \"%s\": %s", shown,
                         why ? why : "the URL is NULL");
    }
    if (u.tls && !(ss->tls && tls_has_certificate(ss->tls)))
        return error_set(
            err, THRUM_E_CERTIFICATE,
            "wss:// needs a certificate: set .tls = THRUM_TLS(.cert_file = ..., .key_file = ...)");
    if (!u.tls && ss->tls)
        return error_set(err, THRUM_E_ARGUMENT, ".tls is set, but the URL is not one of wss://");
    const struct settings *set = &ss->s;
    return listen_open(l, &u, (int)set->backlog, reuse_port, set->unlink_socket,
                       clock_after(clock_now(), set->open_timeout), err);
}

/* Of a server behind a proxy that speaks the PROXY protocol nobody else may connect: he could be anybody. */
static thrum_status expect_proxy(struct stream **stream, const struct settings *s, thrum_error *err)
{
    struct stream *below = *stream;
    char peer[128];
    below->ops->describe(below, peer, sizeof peer);
    if (settings_trusts(s, peer))
        return stream_proxied(stream, below, err);
    below->ops->free(below);
    *stream = NULL;
    return error_set(err, THRUM_E_HANDSHAKE, "%s is none of .trusted_proxies", peer);
}

/* The stack of streams that the settings ask for. */
thrum_status serve_wrap(struct stream **stream, struct shared_settings *ss, thrum_error *err)
{
    thrum_status s = ss->s.proxy_protocol ? expect_proxy(stream, &ss->s, err) : THRUM_OK;
    if (s != THRUM_OK || !ss->tls)
        return s;
    struct stream *below = *stream;
    return stream_tls_server(stream, below, ss->tls, err);
}
