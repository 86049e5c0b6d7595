/* extension.c: Sec-WebSocket-Extensions (RFC 6455 section 9.1). One is known: permessage-deflate, whose
 * parameters and their rules are those of RFC 7692 section 7.1. */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include "wire/field.h"
#include <string.h>

static const char pmd[] = "permessage-deflate";
static const char field[] = "Sec-WebSocket-Extensions";

enum { NOT_GIVEN = 0, NO_VALUE = 255 };

struct params { /* bits: NOT_GIVEN, NO_VALUE (client_max_window_bits of an offer only), or 8 to 15 */
    bool server_no_takeover, client_no_takeover;
    bool server_asked; /* server_max_window_bits is answered where it was offered */
    uint8_t server_bits, client_bits;
};

/* ---- parameters -----------------------------------------------------------------------------------------
 */

static bool read_flag(bool *flag, const struct field_param *f)
{
    bool again = *flag;
    *flag = true;
    return !again && !f->has_value;
}

/* "8" to "15", without a zero in front. */
static bool read_bits(uint8_t *bits, const struct field_param *f, bool may_be_bare)
{
    if (*bits != NOT_GIVEN)
        return false;
    if (!f->has_value) {
        *bits = NO_VALUE;
        return may_be_bare;
    }
    thrum_slice v = f->value;
    if (v.n == 1 && v.p[0] >= '8' && v.p[0] <= '9')
        *bits = (uint8_t)(v.p[0] - '0');
    else if (v.n == 2 && v.p[0] == '1' && v.p[1] >= '0' && v.p[1] <= '5')
        *bits = (uint8_t)(v.p[1] - '0' + 10);
    return *bits != NOT_GIVEN;
}

/* False: one is unknown, twice there, or has a value that it may not have. */
static bool read_params(struct params *to, thrum_slice rest, bool offer)
{
    struct field_param f;
    *to = (struct params){0};
    while (field_param_next(&rest, &f) > 0) {
        bool good = false;
        if (field_equal(f.name, "server_no_context_takeover"))
            good = read_flag(&to->server_no_takeover, &f);
        else if (field_equal(f.name, "client_no_context_takeover"))
            good = read_flag(&to->client_no_takeover, &f);
        else if (field_equal(f.name, "server_max_window_bits"))
            good = read_bits(&to->server_bits, &f, false);
        else if (field_equal(f.name, "client_max_window_bits"))
            good = read_bits(&to->client_bits, &f, offer);
        if (!good)
            return false;
    }
    return true;
}

/* Walks one field: `each` sees every extension named and its parameters, and says whether to go on. False
 * where the grammar is broken or `each` says so. */
static bool walk(thrum_slice list, bool (*each)(thrum_slice name, thrum_slice params, void *arg), void *arg)
{
    thrum_slice member;
    while (field_list_next(&list, &member)) {
        struct field_param name, param;
        int r = field_param_next(&member, &name);
        thrum_slice params = member;
        if (r <= 0 || name.has_value)
            return false;
        while ((r = field_param_next(&member, &param)) > 0)
            ;
        if (r < 0 || !each(name.name, params, arg))
            return false;
    }
    return true;
}

static bool walk_all(const struct http1_head *h, bool (*each)(thrum_slice, thrum_slice, void *), void *arg)
{
    for (size_t i = 0; i < http1_count(h, field); i++)
        if (!walk(http1_get(h, field, i), each, arg))
            return false;
    return true;
}

static uint8_t lesser(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* Both ends now know the rules: from here on rsv1 has a meaning. */
static bool agree(thrum_proto *p, const struct params *a)
{
    struct deflate_way server = {a->server_bits ? a->server_bits : 15, !a->server_no_takeover};
    struct deflate_way client = {a->client_bits ? a->client_bits : 15, !a->client_no_takeover};
    if (!p->server) /* what was agreed on is what we may do, even more than we offered (section 7.1.2.2) */
        client = (struct deflate_way){lesser(client.bits, p->set->client_bits),
                                      client.takeover && p->set->client_takeover};
    p->deflate = p->server ? deflate_new(p->set, server, client) : deflate_new(p->set, client, server);
    return p->deflate != NULL;
}

/* ---- client ---------------------------------------------------------------------------------------------
 */

static thrum_status put(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

/* Two alternatives: a server that will not be told its window can take the second one. */
thrum_status extension_offer(const struct settings *s, struct buf *to)
{
    char text[32] = "", common[160];
    if (s->client_bits < 15)
        text_format(text, sizeof text, "=%d", s->client_bits);
    text_format(common, sizeof common, "%s%s%s; client_max_window_bits%s", pmd,
                s->server_takeover ? "" : "; server_no_context_takeover",
                s->client_takeover ? "" : "; client_no_context_takeover", text);
    thrum_status st = put(to, common);
    if (s->server_bits == 15)
        return st;
    text_format(text, sizeof text, "; server_max_window_bits=%d", s->server_bits);
    st = st ? st : put(to, text);
    st = st ? st : put(to, ", ");
    return st ? st : put(to, common);
}

struct answer {
    const char *why;
    struct params params;
    const struct settings *set;
    thrum_slice text;
    bool found;
};

static bool see_answer(thrum_slice name, thrum_slice params, void *arg)
{
    struct answer *a = arg;
    if (!a->set->compression || !field_equal_case(name, pmd))
        a->why = "the server chose an extension that was not offered";
    else if (a->found)
        a->why = "the server's answer has permessage-deflate twice";
    else if (!read_params(&a->params, params, false))
        a->why = "the server's answer has a parameter of permessage-deflate that is unknown, out of range or "
                 "there twice";
    a->found = true;
    a->text = (thrum_slice){name.p, (size_t)(params.p + params.n - name.p)};
    return a->why == NULL;
}

const char *extension_answered(thrum_proto *p)
{
    struct answer a = {.set = p->set};
    if (!walk_all(p->parsed, see_answer, &a))
        return a.why ? a.why : "the server's Sec-WebSocket-Extensions is malformed";
    if (!a.found)
        return NULL;
    if (!p->set->server_takeover && !a.params.server_no_takeover)
        return "the server does not grant server_no_context_takeover, which was asked for";
    if (!agree(p, &a.params) || !(p->extensions = mem_copy(a.text.p, a.text.n)))
        return "there is no memory for permessage-deflate";
    LOG(LOG_HTTP, LOG_DEBUG, p->host.id, "< extensions: %s", p->extensions);
    return NULL;
}

/* ---- server ---------------------------------------------------------------------------------------------
 */

struct choice {
    const struct settings *set;
    struct params params;
    bool found;
};

static bool pass_over(thrum_slice name, thrum_slice params, void *arg)
{
    (void)name;
    (void)params;
    (void)arg;
    return true;
}

/* The first offer that can be kept; one with a parameter that is wrong or unknown is declined, not the
 * handshake (RFC 7692 section 7.1). */
static bool see_offer(thrum_slice name, thrum_slice params, void *arg)
{
    struct choice *c = arg;
    if (!c->found && field_equal_case(name, pmd))
        c->found = read_params(&c->params, params, true);
    return true;
}

bool extension_offers_parse(const thrum_proto *p)
{
    return walk_all(p->parsed, pass_over, NULL);
}

/* From what was offered to what is answered. */
static void settle(struct params *a, const struct settings *s)
{
    bool tight = codec_load() != CODEC_FINE;
    a->server_no_takeover |= !s->server_takeover || tight;
    a->client_no_takeover |= !s->client_takeover || tight;
    a->server_asked = a->server_bits != NOT_GIVEN;
    a->server_bits = lesser(a->server_bits ? a->server_bits : 15, s->server_bits);
    if (a->client_bits != NOT_GIVEN) /* else the client does not let us say */
        a->client_bits = lesser(a->client_bits == NO_VALUE ? 15 : a->client_bits, s->client_bits);
}

static void compose(char *text, size_t n, const struct params *a)
{
    char server[32] = "", client[32] = "";
    if (a->server_bits < 15 || a->server_asked)
        text_format(server, sizeof server, "; server_max_window_bits=%d", a->server_bits);
    if (a->client_bits && a->client_bits < 15)
        text_format(client, sizeof client, "; client_max_window_bits=%d", a->client_bits);
    text_format(text, n, "%s%s%s%s%s", pmd, a->server_no_takeover ? "; server_no_context_takeover" : "",
                a->client_no_takeover ? "; client_no_context_takeover" : "", server, client);
}

thrum_status extension_accept(thrum_proto *p)
{
    struct choice c = {.set = p->set};
    char text[200];
    if (!p->set->compression || codec_load() == CODEC_FULL)
        return THRUM_OK;
    (void)walk_all(p->parsed, see_offer, &c);
    if (!c.found)
        return THRUM_OK;
    settle(&c.params, p->set);
    compose(text, sizeof text, &c.params);
    p->extensions = mem_strdup(text);
    return p->extensions && agree(p, &c.params) ? THRUM_OK : THRUM_E_MEMORY;
}
