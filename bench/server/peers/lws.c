/* bench/server/peers/lws.c: libwebsockets, one thread: `lws PORT MODE [CERT KEY]`. Its own loop, over
 * poll(2): cheaper here than its plug-ins for libev and libuv, at 10,000 connections too, as there is always
 * much to do. */
#include <libwebsockets.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct message {
    struct message *next;
    size_t n;
    unsigned users; /* of a broadcast: connections that have not sent it yet */
    enum lws_write_protocol kind;
    bool text_end;
    unsigned char pad[LWS_PRE], data[];
};

/* What a connection keeps: the message that is coming, and those that wait to be sent. */
struct session {
    struct session *next_session, *previous_session;
    struct lws *wsi;
    struct message *coming;
    size_t room;
    struct queued {
        struct queued *next;
        struct message *message;
    } * first, *last;
};

static bool to_all, deflate;
static struct session everyone = {.next_session = &everyone, .previous_session = &everyone};

static void push(struct session *s, struct message *m)
{
    struct queued *q = calloc(1, sizeof *q);
    if (q == NULL)
        abort();
    q->message = m;
    m->users++;
    if (s->last != NULL)
        s->last->next = q;
    else
        s->first = q;
    s->last = q;
    lws_callback_on_writable(s->wsi);
}

static struct message *pop(struct session *s)
{
    struct queued *q = s->first;
    struct message *m = q->message;
    s->first = q->next;
    if (s->first == NULL)
        s->last = NULL;
    free(q);
    return m;
}

static void release(struct message *m)
{
    if (--m->users == 0)
        free(m);
}

static void take(struct session *s, const void *in, size_t n)
{
    const size_t had = s->coming != NULL ? s->coming->n : 0;
    if (s->coming == NULL || had + n > s->room) {
        s->room = had + n + lws_remaining_packet_payload(s->wsi);
        s->coming = realloc(s->coming, sizeof *s->coming + s->room);
        if (s->coming == NULL)
            abort();
    }
    memcpy(s->coming->data + had, in, n);
    s->coming->n = had + n;
    if (!lws_is_final_fragment(s->wsi))
        return;
    struct message *m = s->coming;
    s->coming = NULL;
    m->users = 0;
    m->kind = lws_frame_is_binary(s->wsi) ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;
    if (!to_all)
        push(s, m);
    for (struct session *o = everyone.next_session; to_all && o != &everyone; o = o->next_session)
        push(o, m);
}

static int send_first(struct session *s)
{
    if (s->first == NULL)
        return 0;
    struct message *m = pop(s);
    const int sent = lws_write(s->wsi, m->data, m->n, m->kind);
    const int failed = sent < (int)m->n ? -1 : 0;
    release(m);
    if (s->first != NULL)
        lws_callback_on_writable(s->wsi);
    return failed;
}

static void leave(struct session *s)
{
    s->next_session->previous_session = s->previous_session;
    s->previous_session->next_session = s->next_session;
    while (s->first != NULL)
        release(pop(s));
    free(s->coming);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n)
{
    struct session *s = user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        memset(s, 0, sizeof *s);
        s->wsi = wsi;
        s->next_session = everyone.next_session;
        s->previous_session = &everyone;
        s->next_session->previous_session = everyone.next_session = s;
        /* Whole messages at once, not in pieces of its 1 KiB. */
        if (deflate)
            lws_set_extension_option(wsi, "permessage-deflate", "rx_buf_size", "16");
        if (deflate)
            lws_set_extension_option(wsi, "permessage-deflate", "tx_buf_size", "16");
        return 0;
    case LWS_CALLBACK_RECEIVE: take(s, in, n); return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE: return send_first(s);
    case LWS_CALLBACK_CLOSED: leave(s); return 0;
    default: return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {"bench", callback, sizeof(struct session), 65536, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
static const struct lws_extension extensions[] = {
    {"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate"}, {NULL, NULL, NULL}};

int main(int argc, char **argv)
{
    struct lws_context_creation_info info = {0};
    struct rlimit files;
    if (argc < 3 || (strcmp(argv[2], "tls") == 0 && argc < 5)) {
        fputs("usage: lws PORT MODE [CERT KEY]\n", stderr);
        return 2;
    }
    lws_set_log_level(LLL_ERR, NULL);
    to_all = strcmp(argv[2], "broadcast") == 0;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    info.port = atoi(argv[1]);
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.pt_serv_buf_size = 65536;
    deflate = strcmp(argv[2], "deflate") == 0;
    if (deflate)
        info.extensions = extensions;
    if (strcmp(argv[2], "tls") == 0) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = argv[3];
        info.ssl_private_key_filepath = argv[4];
    }
    struct lws_context *context = lws_create_context(&info);
    if (context == NULL)
        return 1;
    puts("ready");
    fflush(stdout);
    while (lws_service(context, 0) >= 0) {
    }
    lws_context_destroy(context);
    return 0;
}
