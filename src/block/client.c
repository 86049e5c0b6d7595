/* client.c: thrum_connect and thrum_connect_fd: options in, a connection out. */
#include "block/client.h"

#include "base/options.h"
#include "base/sys.h"
#include "base/text.h"
#include "block/block.h"
#include "block/connect.h"
#include <string.h>

static thrum_status fill(struct shared_settings *ss, const thrum_client_options *given,
                         thrum_response ***answer, thrum_error *err)
{
    thrum_client_options o;
    thrum_status s = settings_client(&ss->s, given, err);
    s = s ? s : options_read(&o, sizeof o, given, err);
    if (s != THRUM_OK)
        return s;
    *answer = o.response;
    if (o.response)
        *o.response = NULL;
    if (o.tls || o.tls_shared)
        s = tls_settings(&ss->tls, o.tls, o.tls_shared, err);
    if (s == THRUM_OK && o.proxy_tls)
        s = tls_settings(&ss->proxy_tls, o.proxy_tls, NULL, err);
    return s;
}

thrum_status client_settings(struct shared_settings **out, const thrum_client_options *o,
                             thrum_response ***answer, thrum_error *err)
{
    thrum_response **place = NULL;
    *out = NULL;
    struct shared_settings *ss = settings_share();
    if (!ss)
        return error_set(err, THRUM_E_MEMORY, "no memory for the options");
    thrum_status s = fill(ss, o, &place, err);
    if (s == THRUM_OK)
        *out = ss;
    else
        settings_unshare(ss);
    if (answer)
        *answer = place;
    return s;
}

struct request {
    thrum_conn **out;
    int fd; /* -1: to be opened */
    const char *url;
    struct shared_settings *ss;
    thrum_response **answer;
    thrum_error *err;
};

static thrum_status run(void *arg)
{
    struct request *r = arg;
    volatile thrum_status s = THRUM_E_CANCELLED;
    pthread_cleanup_push((void (*)(void *))settings_unshare, r->ss);
    s = r->fd < 0 ? connect_shared(r->out, r->url, r->ss, NULL, r->answer, r->err)
                  : connect_stream(r->out, r->fd, r->url, r->ss, r->answer, r->err);
    pthread_cleanup_pop(1);
    return s;
}

static thrum_status connect_either(thrum_conn **out, int fd, const char *url, const thrum_client_options *o,
                                   thrum_error *err)
{
    thrum_error mine;
    struct request r = {.out = out, .fd = fd, .url = url, .err = err ? err : &mine};
    memset(r.err, 0, sizeof *r.err);
    thrum_status s = THRUM_OK;
    if (!out)
        s = error_set(r.err, THRUM_E_ARGUMENT, "there is no place for the connection: out is NULL");
    else
        *out = NULL;
    s = s ? s : block_start(r.err);
    s = s ? s : client_settings(&r.ss, o, &r.answer, r.err);
    if (s == THRUM_OK)
        return connect_long_call(run, &r);
    if (fd >= 0)
        (void)sys.close(fd);
    return s;
}

thrum_status thrum_connect(thrum_conn **out, const char *url, const thrum_client_options *o, thrum_error *err)
{
    return connect_either(out, -1, url, o, err);
}

thrum_status thrum_connect_fd(thrum_conn **out, int fd, const char *url, const thrum_client_options *o,
                              thrum_error *err)
{
    if (fd >= 0)
        return connect_either(out, fd, url, o, err);
    if (out)
        *out = NULL;
    return error_set(err, THRUM_E_ARGUMENT, "%d is no descriptor", fd);
}
