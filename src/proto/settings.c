/* settings.c: options to settings. A struct of options may be older or newer than this library: what it has
 * in common is read, what is missing is zero, and zero is the default. */
#include "proto/settings.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/text.h"
#include "wire/field.h"
#include "wire/uri.h"
#include <string.h>

#define MIB (UINT64_C(1) << 20)
enum { LIST_MAX = 1024 };

_Static_assert(sizeof(thrum_client_options) % 8 == 0, "option structs have no padding");
_Static_assert(sizeof(thrum_send_options) % 8 == 0, "option structs have no padding");
_Static_assert(sizeof(thrum_server_options) % 8 == 0, "option structs have no padding");

void thrum_client_options_init(thrum_client_options *o, size_t size)
{
    if (!o || size < sizeof o->size)
        return;
    memset(o, 0, size);
    o->size = size;
}

void thrum_server_options_init(thrum_server_options *o, size_t size)
{
    if (!o || size < sizeof o->size)
        return;
    memset(o, 0, size);
    o->size = size;
}

/* ---- lists of strings
 * ---------------------------------------------------------------------------------------------- */

static void list_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        mem_free(v[i]);
    mem_free(v);
}

static char **list_new(size_t n)
{
    return mem_zalloc((n + 1) * sizeof(char *));
}

static thrum_status no_memory(thrum_error *err)
{
    return error_set(err, THRUM_E_MEMORY, "no memory for the options");
}

static thrum_status copy_list(char ***out, const char *const *in, const char *name, thrum_error *err)
{
    size_t n = 0;
    while (in && in[n] && n <= LIST_MAX)
        n++;
    if (!in)
        return THRUM_OK;
    if (n > LIST_MAX)
        return error_set(err, THRUM_E_ARGUMENT, ".%s has over %d entries: is NULL at its end?", name,
                         LIST_MAX);
    char **v = *out = list_new(n);
    if (!v)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        if (!(v[i] = mem_strdup(in[i])))
            return no_memory(err);
    return THRUM_OK;
}

static thrum_status copy_value(char **out, const char *in, const char *none, const char *name,
                               thrum_error *err)
{
    const char *s = in ? in : none;
    if (!s || !*s)
        return THRUM_OK;
    if (!field_is_value(field_text(s)))
        return error_set(err, THRUM_E_ARGUMENT, ".%s has a control character, or a space at an end", name);
    *out = mem_strdup(s);
    return *out ? THRUM_OK : no_memory(err);
}

/* "a, b" -> {"a", "b", NULL}; tokens, each once. */
static thrum_status split_subprotocols(char ***out, const char *text, thrum_error *err)
{
    thrum_slice rest = field_text(text), item;
    size_t n = 0;
    if (!text)
        return THRUM_OK;
    while (field_list_next(&rest, &item))
        n++;
    char **v = list_new(n);
    if (!v)
        return no_memory(err);
    *out = v;
    rest = field_text(text);
    for (size_t i = 0; field_list_next(&rest, &item); i++) {
        if (!field_is_token(item))
            return error_set(err, THRUM_E_ARGUMENT,
                             ".subprotocols must be tokens with commas between: \"%s\"", text);
        for (size_t k = 0; k < i; k++)
            if (field_equal(item, v[k]))
                return error_set(err, THRUM_E_ARGUMENT, ".subprotocols names \"%s\" twice", v[k]);
        if (!(v[i] = mem_copy(item.p, item.n)))
            return no_memory(err);
    }
    return THRUM_OK;
}

/* The handshake's own fields, and those that would change how the message is framed, are not the user's to
 * set. */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {
        "Host", "Upgrade", "Connection", "Content-Length", "Transfer-Encoding", "Origin", "User-Agent"};
    static const char ws[] = "Sec-WebSocket-";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (field_equal_case(field_text(name), names[i]))
            return true;
    return strlen(name) >= sizeof ws - 1 &&
           field_equal_case((thrum_slice){(const uint8_t *)name, sizeof ws - 1}, ws);
}

static thrum_status check_headers(char **v, thrum_error *err)
{
    for (size_t i = 0; v && v[i]; i += 2) {
        if (!field_is_token(field_text(v[i])))
            return error_set(err, THRUM_E_ARGUMENT,
                             ".headers: a name is not a token (RFC 9110 section 5.6.2)");
        if (is_reserved(v[i]))
            return error_set(err, THRUM_E_ARGUMENT,
                             ".headers: %s is set by the handshake itself or by an option", v[i]);
        if (!v[i + 1])
            return error_set(err, THRUM_E_ARGUMENT, ".headers: %s has no value", v[i]);
        if (!field_is_value(field_text(v[i + 1])))
            return error_set(err, THRUM_E_ARGUMENT, ".headers: the value of %s has a control character",
                             v[i]);
    }
    return THRUM_OK;
}

/* ---- numbers
 * ------------------------------------------------------------------------------------------------------- */

static thrum_status span(int64_t *out, int64_t in, int64_t none, const char *name, thrum_error *err)
{
    if (in < 0 && in != THRUM_FOREVER)
        return error_set(err, THRUM_E_ARGUMENT, ".%s is %lld: milliseconds, or THRUM_FOREVER", name,
                         (long long)in);
    *out = in ? in : none;
    return THRUM_OK;
}

static bool is_switch(thrum_switch s)
{
    return s == THRUM_DEFAULT || s == THRUM_ON || s == THRUM_OFF;
}

struct common { /* what both structs of options have */
    thrum_span open_timeout, close_timeout, send_timeout, ping_interval, ping_timeout;
    uint64_t max_message, max_frame, max_fragments, recv_high, recv_low, send_high, spin_us;
    thrum_switch interruptible, attended;
    uint64_t send_low;
    uint32_t when_full, spare_loop;
    thrum_span compress_idle;
    uint64_t compress_min;
    thrum_switch compression, server_no_context_takeover, client_no_context_takeover;
    uint32_t server_max_window_bits, client_max_window_bits, compress_level, compress_memory, spare;
};
#define COMMON(o)                                                                                            \
    {                                                                                                        \
        (o).open_timeout, (o).close_timeout, (o).send_timeout, (o).ping_interval, (o).ping_timeout,          \
            (o).max_message, (o).max_frame, (o).max_fragments, (o).recv_high, (o).recv_low, (o).send_high,   \
            (o).spin_us, (o).interruptible, (o).attended, (o).send_low, (o).when_full, (o).spare_loop,       \
            (o).compress_idle, (o).compress_min, (o).compression, (o).server_no_context_takeover,            \
            (o).client_no_context_takeover, (o).server_max_window_bits, (o).client_max_window_bits,          \
            (o).compress_level, (o).compress_memory, (o).spare                                               \
    }

static thrum_status number(uint8_t *out, uint32_t in, uint8_t least, uint8_t most, uint8_t none,
                           const char *name, thrum_error *err)
{
    if (in != 0 && (in < least || in > most))
        return error_set(err, THRUM_E_ARGUMENT, ".%s is %lu: it may be %d to %d", name, (unsigned long)in,
                         least, most);
    *out = in ? (uint8_t)in : none;
    return THRUM_OK;
}

static thrum_status compression(struct settings *s, const struct common *o, thrum_error *err)
{
    if (!is_switch(o->compression) || !is_switch(o->server_no_context_takeover) ||
        !is_switch(o->client_no_context_takeover))
        return error_set(err, THRUM_E_ARGUMENT,
                         ".compression, .server_no_context_takeover and .client_no_context_takeover are "
                         "THRUM_DEFAULT, THRUM_ON or THRUM_OFF");
    if (o->spare != 0)
        return error_set(err, THRUM_E_TOO_NEW,
                         "an option is set that thrum " THRUM_VERSION " does not know (.spare)");
    s->compression = o->compression != THRUM_OFF;
    /* A message that is dropped must be one that no later one refers to. */
    bool drops = o->when_full == THRUM_FULL_DROP_OLDEST;
    s->server_takeover = o->server_no_context_takeover != THRUM_ON && !drops;
    s->client_takeover = o->client_no_context_takeover != THRUM_ON && !drops;
    s->compress_min = o->compress_min ? o->compress_min : 64;
    thrum_status st =
        number(&s->server_bits, o->server_max_window_bits, 8, 15, 12, "server_max_window_bits", err);
    st = st ? st
            : number(&s->client_bits, o->client_max_window_bits, 8, 15, 12, "client_max_window_bits", err);
    st = st ? st : number(&s->compress_level, o->compress_level, 1, 9, 1, "compress_level", err);
    st = st ? st : number(&s->compress_memory, o->compress_memory, 1, 9, 0, "compress_memory", err);
    return st ? st : span(&s->compress_idle, o->compress_idle, 60000, "compress_idle", err);
}

static thrum_status common(struct settings *s, const struct common *o, thrum_error *err)
{
    thrum_status st = span(&s->open_timeout, o->open_timeout, 10000, "open_timeout", err);
    st = st ? st : span(&s->close_timeout, o->close_timeout, 10000, "close_timeout", err);
    st = st ? st : span(&s->send_timeout, o->send_timeout, THRUM_FOREVER, "send_timeout", err);
    st = st ? st : span(&s->ping_interval, o->ping_interval, 20000, "ping_interval", err);
    st = st ? st : span(&s->ping_timeout, o->ping_timeout, 20000, "ping_timeout", err);
    if (st != THRUM_OK)
        return st;
    if (!is_switch(o->interruptible) || !is_switch(o->attended))
        return error_set(err, THRUM_E_ARGUMENT,
                         ".interruptible and .attended are THRUM_DEFAULT, THRUM_ON or THRUM_OFF");
    s->max_message = o->max_message ? o->max_message : MIB;
    s->max_frame = o->max_frame ? o->max_frame : s->max_message;
    s->max_fragments = o->max_fragments ? o->max_fragments : 65536;
    s->recv_high = o->recv_high ? o->recv_high : 4 * MIB;
    s->recv_low = o->recv_low ? o->recv_low : s->recv_high / 4;
    if (s->recv_low > s->recv_high)
        return error_set(err, THRUM_E_ARGUMENT, ".recv_low is over .recv_high");
    s->recv_high_messages = 16;
    s->recv_low_messages = 4;
    s->send_high = o->send_high ? o->send_high : MIB;
    s->spin_us = o->spin_us;
    if (s->spin_us > 1000000)
        return error_set(err, THRUM_E_ARGUMENT,
                         ".spin_us is over 1,000,000: that is a second of a busy processor");
    s->send_low = o->send_low ? o->send_low : s->send_high / 4;
    if (s->send_low >= s->send_high)
        return error_set(err, THRUM_E_ARGUMENT, ".send_low is not below .send_high");
    if (o->when_full > THRUM_FULL_CLOSE)
        return error_set(err, THRUM_E_ARGUMENT, ".when_full is %lu: it is a thrum_full",
                         (unsigned long)o->when_full);
    if (o->spare_loop != 0)
        return error_set(err, THRUM_E_TOO_NEW,
                         "an option is set that thrum " THRUM_VERSION " does not know (.spare_loop)");
    s->when_full = o->when_full;
    s->interruptible = o->interruptible == THRUM_ON;
    s->attended = o->attended;
    return compression(s, o, err);
}

/* A text that may be empty, and holds no control character: what goes into a header, a proxy's handshake or a
 * log. */
static thrum_status copy_text(char **out, const char *in, const char *name, thrum_error *err)
{
    if (!in)
        return THRUM_OK;
    for (const char *p = in; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return error_set(err, THRUM_E_ARGUMENT, ".%s has a control character", name);
    *out = mem_strdup(in);
    return *out ? THRUM_OK : no_memory(err);
}

/* RFC 6750 section 2.1: b64token, and a little more, as what is issued is not always one. */
static bool is_bearer(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s >= 0x7f || strchr("\"\\,;", *s))
            return false;
    return true;
}

static thrum_status copy_bearer(char **out, const char *in, thrum_error *err)
{
    if (in && !is_bearer(in))
        return error_set(err, THRUM_E_ARGUMENT, ".bearer has a character that no token has");
    return copy_text(out, in && *in ? in : NULL, "bearer", err);
}

static thrum_status transport(struct settings *s, const thrum_client_options *o, thrum_error *err)
{
    if (!is_switch(o->tcp_keepalive))
        return error_set(err, THRUM_E_ARGUMENT, ".tcp_keepalive is THRUM_DEFAULT, THRUM_ON or THRUM_OFF");
    if (o->password && !o->user)
        return error_set(err, THRUM_E_ARGUMENT, ".password is set without .user");
    if (o->bearer && o->user)
        return error_set(err, THRUM_E_ARGUMENT,
                         ".bearer and .user are both set: one of them says who we are");
    s->tcp_keepalive = o->tcp_keepalive == THRUM_ON;
    s->max_redirects = o->max_redirects == 0                    ? 10
                       : o->max_redirects == THRUM_NO_REDIRECTS ? 0
                                                                : o->max_redirects;
    thrum_status st = copy_text(&s->proxy, o->proxy, "proxy", err);
    st = st ? st : copy_text(&s->source_address, o->source_address, "source_address", err);
    st = st ? st : copy_text(&s->user, o->user, "user", err);
    st = st ? st : copy_text(&s->password, o->user && !o->password ? "" : o->password, "password", err);
    st = st ? st : copy_bearer(&s->bearer, o->bearer, err);
    return st ? st : copy_value(&s->cookie, o->cookie, NULL, "cookie", err);
}

thrum_status settings_client(struct settings *s, const thrum_client_options *given, thrum_error *err)
{
    thrum_client_options o;
    memset(s, 0, sizeof *s);
    thrum_status st = options_read(&o, sizeof o, given, err);
    if (st != THRUM_OK)
        return st;
    const struct common c = COMMON(o);
    st = common(s, &c, err);
    st = st ? st : split_subprotocols(&s->subprotocols, o.subprotocols, err);
    st = st ? st : copy_value(&s->origin, o.origin, NULL, "origin", err);
    st = st ? st : copy_value(&s->user_agent, o.user_agent, "thrum/" THRUM_VERSION, "user_agent", err);
    st = st ? st : copy_list(&s->headers, o.headers, "headers", err);
    st = st ? st : check_headers(s->headers, err);
    st = st ? st : transport(s, &o, err);
    if (st != THRUM_OK)
        settings_free(s);
    return st;
}

static thrum_status check_lists(const struct settings *s, thrum_error *err)
{
    for (size_t i = 0; s->origins && s->origins[i]; i++)
        if (strcmp(s->origins[i], "*") != 0 && strcmp(s->origins[i], "null") != 0 &&
            !uri_is_origin(field_text(s->origins[i]), NULL, NULL, NULL))
            return error_set(err, THRUM_E_ARGUMENT,
                             ".origins: \"%s\" is not an origin such as https://example.org", s->origins[i]);
    for (size_t i = 0; s->hosts && s->hosts[i]; i++)
        if (!uri_is_host(field_text(s->hosts[i]), NULL, NULL))
            return error_set(err, THRUM_E_ARGUMENT, ".hosts: \"%s\" is not a host such as example.org",
                             s->hosts[i]);
    return THRUM_OK;
}

static thrum_status server_numbers(struct settings *s, const thrum_server_options *o, thrum_error *err)
{
    s->max_conns = o->max_conns ? o->max_conns : 10000;
    s->backlog = o->backlog ? o->backlog : 511;
    s->stack_size = o->stack_size;
    if (s->backlog > 65535)
        return error_set(err, THRUM_E_ARGUMENT, ".backlog is over 65,535");
    if (s->stack_size && (s->stack_size < 65536 || s->stack_size > (UINT64_C(1) << 32)))
        return error_set(err, THRUM_E_ARGUMENT, ".stack_size is not between 64 KiB and 4 GiB");
    if (!is_switch(o->reuse_port) || !is_switch(o->unlink_socket))
        return error_set(err, THRUM_E_ARGUMENT,
                         ".reuse_port and .unlink_socket are THRUM_DEFAULT, THRUM_ON or THRUM_OFF");
    s->reuse_port = o->reuse_port == THRUM_ON;
    s->unlink_socket = o->unlink_socket != THRUM_OFF;
    return THRUM_OK;
}

/* User and password by turns; tokens as RFC 6750 has them. */
static thrum_status check_credentials(const struct settings *s, thrum_error *err)
{
    for (size_t i = 0; s->users && s->users[i]; i++) {
        if (i % 2 == 0 && (strchr(s->users[i], ':') || !s->users[i + 1]))
            return error_set(err, THRUM_E_ARGUMENT, ".users: \"%s\" has a colon, or no password",
                             s->users[i]);
        for (const char *p = s->users[i]; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f)
                return error_set(err, THRUM_E_ARGUMENT, ".users has a control character");
    }
    for (size_t i = 0; s->tokens && s->tokens[i]; i++)
        if (!*s->tokens[i] || !is_bearer(s->tokens[i]))
            return error_set(err, THRUM_E_ARGUMENT, ".tokens has one with a character that no token has");
    if (strchr(s->realm, '"') || strchr(s->realm, '\\'))
        return error_set(err, THRUM_E_ARGUMENT, ".realm has a quote or a backslash");
    return THRUM_OK;
}

static thrum_status credentials(struct settings *s, const thrum_server_options *o, thrum_error *err)
{
    thrum_status st = copy_list(&s->users, o->users, "users", err);
    st = st ? st : copy_list(&s->tokens, o->tokens, "tokens", err);
    st = st ? st : copy_value(&s->realm, o->realm, "WebSocket", "realm", err);
    return st ? st : check_credentials(s, err);
}

static thrum_status trust(struct settings *s, const thrum_server_options *o, thrum_error *err)
{
    size_t n = 0;
    while (o->trusted_proxies && o->trusted_proxies[n] && n <= LIST_MAX)
        n++;
    if (n > LIST_MAX)
        return error_set(err, THRUM_E_ARGUMENT, ".trusted_proxies has over %d entries: is NULL at its end?",
                         LIST_MAX);
    if (!is_switch(o->proxy_protocol) || !is_switch(o->forwarded_for))
        return error_set(err, THRUM_E_ARGUMENT,
                         ".proxy_protocol and .forwarded_for are THRUM_DEFAULT, THRUM_ON or THRUM_OFF");
    s->proxy_protocol = o->proxy_protocol == THRUM_ON;
    s->forwarded_for = o->forwarded_for == THRUM_ON;
    if ((s->proxy_protocol || s->forwarded_for) && n == 0)
        return error_set(
            err, THRUM_E_ARGUMENT,
            ".proxy_protocol and .forwarded_for need .trusted_proxies: anybody could say anything");
    if (n > 0 && !(s->trusted = mem_alloc(n * sizeof *s->trusted)))
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const char *text = o->trusted_proxies[i];
        if (strcmp(text, "unix") == 0)
            s->trusts_unix = true;
        else if (!cidr_parse(&s->trusted[s->ntrusted++], text, strlen(text)))
            return error_set(
                err, THRUM_E_ARGUMENT,
                ".trusted_proxies: \"%.60s\" is no address, no block such as 10.0.0.0/8, and not \"unix\"",
                text);
    }
    return THRUM_OK;
}

bool settings_trusts(const struct settings *s, const char *peer)
{
    struct cidr a;
    if (!cidr_parse_peer(&a, peer))
        return s->trusts_unix && strncmp(peer, "unix", 4) == 0;
    for (size_t i = 0; i < s->ntrusted; i++)
        if (cidr_has(&s->trusted[i], &a))
            return true;
    return false;
}

thrum_status settings_server(struct settings *s, const thrum_server_options *given, thrum_error *err)
{
    thrum_server_options o;
    memset(s, 0, sizeof *s);
    thrum_status st = options_read(&o, sizeof o, given, err);
    if (st != THRUM_OK)
        return st;
    const struct common c = COMMON(o);
    s->serve = o.serve;
    s->arg = o.arg;
    s->on_request = o.on_request;
    s->on_subprotocol = o.on_subprotocol;
    st = common(s, &c, err);
    st = st ? st : server_numbers(s, &o, err);
    st = st ? st : split_subprotocols(&s->subprotocols, o.subprotocols, err);
    st = st ? st : copy_list(&s->origins, o.origins, "origins", err);
    st = st ? st : copy_list(&s->hosts, o.hosts, "hosts", err);
    st = st ? st : copy_value(&s->server_name, o.server_name, "thrum/" THRUM_VERSION, "server_name", err);
    st = st ? st : check_lists(s, err);
    st = st ? st : credentials(s, &o, err);
    st = st ? st : trust(s, &o, err);
    if (st != THRUM_OK)
        settings_free(s);
    return st;
}

thrum_status settings_send(thrum_send_options *to, const thrum_send_options *o)
{
    thrum_status s = options_read(to, sizeof *to, o, NULL);
    return s == THRUM_OK && (!is_switch(to->compress) || !is_switch(to->more)) ? THRUM_E_ARGUMENT : s;
}

void settings_free(struct settings *s)
{
    mem_free(s->origin);
    mem_free(s->user_agent);
    mem_free(s->server_name);
    mem_free(s->proxy);
    mem_free(s->source_address);
    mem_free(s->user);
    mem_free(s->password);
    mem_free(s->bearer);
    mem_free(s->cookie);
    list_free(s->headers);
    list_free(s->subprotocols);
    list_free(s->origins);
    list_free(s->hosts);
    list_free(s->users);
    list_free(s->tokens);
    mem_free(s->realm);
    mem_free(s->trusted);
    memset(s, 0, sizeof *s);
}
