/* target.c: the rules of credentials. They go to the origin that they were given for and to no other; Basic
 * goes out unasked only where nobody can listen on the way (TLS, this machine), else the server must ask, and
 * may ask for Digest instead. */
#include "conn/target.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "net/auth.h"
#include "net/iri.h"
#include "wire/field.h"
#include "wire/http1.h"
#include "wire/refer.h"
#include <string.h>

static thrum_status no_memory(thrum_error *err)
{
    return error_set(err, THRUM_E_MEMORY, "no memory to connect with");
}

static thrum_status refuse_url(const char *url, const char *why, thrum_error *err)
{
    char shown[96];
    text_escape(shown, sizeof shown, url, strlen(url));
    return error_set(err, THRUM_E_ARGUMENT, "the URL \"%s\" cannot be used: %s", shown, why);
}

/* ---- credentials ----------------------------------------------------------------------------------------
 */

static thrum_status decode(char **out, thrum_slice s, const char *what, thrum_error *err)
{
    char *text = mem_alloc(s.n + 1);
    if (!text)
        return no_memory(err);
    ptrdiff_t n = uri_unescape(text, s.n + 1, s);
    for (ptrdiff_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            n = -1;
    if (n < 0) {
        mem_free(text);
        return error_set(err, THRUM_E_ARGUMENT, "the %s in the URL has a control character", what);
    }
    *out = text;
    return THRUM_OK;
}

static thrum_status find_credentials(struct target *t, const struct uri *given, const struct settings *s,
                                     thrum_error *err)
{
    if (given->user.p) {
        thrum_slice none = {(const uint8_t *)"", 0};
        thrum_status st = decode(&t->user, given->user, "user", err);
        return st ? st : decode(&t->password, given->password.p ? given->password : none, "password", err);
    }
    if (!s->user)
        return THRUM_OK;
    t->user = mem_strdup(s->user);
    t->password = mem_strdup(s->password);
    return t->user && t->password ? THRUM_OK : no_memory(err);
}

/* Nobody but the peer and this machine's administrator can read what goes there. */
static bool is_safe(const struct uri *u)
{
    static const char *const here[] = {"localhost", "127.0.0.1", "::1"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++)
        if (field_equal_case(u->host, here[i]))
            return true;
    return u->tls || u->local;
}

static thrum_status show_basic(struct target *t, thrum_error *err)
{
    char value[AUTHORIZATION_MAX];
    const struct auth_user who = {t->user, t->password};
    if (auth_basic(value, sizeof value, &who) == 0)
        return error_set(err, THRUM_E_ARGUMENT, "the user has a colon, or user and password are too long");
    mem_free(t->authorization);
    t->authorization = mem_strdup(value);
    t->tried = true;
    return t->authorization ? THRUM_OK : no_memory(err);
}

static thrum_status show_bearer(struct target *t, const char *token, thrum_error *err)
{
    size_t n = strlen(token) + sizeof "Bearer ";
    t->authorization = mem_alloc(n);
    if (!t->authorization)
        return no_memory(err);
    text_format(t->authorization, n, "Bearer %s", token);
    t->tried = true;
    return THRUM_OK;
}

/* ---- the first target -----------------------------------------------------------------------------------
 */

/* The URL without "user:password@": it goes into logs and errors. */
static char *without_credentials(const char *url)
{
    const char *slashes = strstr(url, "://"), *host = slashes ? slashes + 3 : url;
    size_t authority = slashes ? strcspn(host, "/?") : 0;
    const char *at = memrchr(host, '@', authority);
    if (!at)
        return mem_strdup(url);
    size_t before = (size_t)(host - url), rest = strlen(at + 1);
    char *out = mem_alloc(before + rest + 1);
    if (!out)
        return NULL;
    memcpy(out, url, before);
    memcpy(out + before, at + 1, rest + 1);
    return out;
}

static thrum_status set_url(struct target *t, char *url, thrum_error *err)
{
    const char *why = NULL;
    if (!url)
        return no_memory(err);
    mem_free(t->url);
    t->url = url;
    return uri_parse(&t->uri, field_text(url), false, &why) ? THRUM_OK : refuse_url(url, why, err);
}

static thrum_status parse_first(struct target *t, const char *ascii, const struct settings *s,
                                thrum_error *err)
{
    struct uri given;
    const char *why = NULL;
    if (!uri_parse(&given, field_text(ascii), false, &why))
        return refuse_url(ascii, why, err);
    thrum_status st = find_credentials(t, &given, s, err);
    return st ? st : set_url(t, without_credentials(ascii), err);
}

thrum_status target_first(struct target *t, const char *url, const struct shared_settings *ss,
                          thrum_error *err)
{
    char *ascii = NULL;
    if (!url)
        return error_set(err, THRUM_E_ARGUMENT, "the URL is NULL: pass e.g. \"ws://localhost:8080/\"");
    thrum_status s = iri_to_url(&ascii, url, err);
    s = s ? s : parse_first(t, ascii, &ss->s, err);
    mem_free(ascii);
    if (s != THRUM_OK)
        return s;
    if (ss->s.bearer)
        return show_bearer(t, ss->s.bearer, err);
    return t->user && is_safe(&t->uri) ? show_basic(t, err) : THRUM_OK;
}

void target_free(struct target *t)
{
    mem_free(t->url);
    mem_free(t->user);
    mem_free(t->password);
    mem_free(t->authorization);
    *t = (struct target){0};
}

const char *const *target_fields(const struct target *t, const struct shared_settings *ss,
                                 const char *v[TARGET_FIELDS])
{
    size_t n = 0;
    if (t->authorization) {
        v[n++] = "Authorization";
        v[n++] = t->authorization;
    }
    if (ss->s.cookie && !t->foreign) {
        v[n++] = "Cookie";
        v[n++] = ss->s.cookie;
    }
    v[n] = NULL;
    return v;
}

/* ---- redirects ------------------------------------------------------------------------------------------
 */

static thrum_status refuse_redirect(const char *location, int status, const char *why, thrum_error *err)
{
    char shown[100];
    text_escape(shown, sizeof shown, location, strlen(location));
    error_set(err, THRUM_E_REFUSED, "the server redirects (%d) to \"%s\": %s", status, shown, why);
    err->http_status = (uint16_t)status;
    err->by_peer = 1;
    return THRUM_E_REFUSED;
}

/* Of another origin: nothing that tells who we are goes there. */
static void become_foreign(struct target *t)
{
    t->foreign = true;
    mem_free(t->authorization);
    mem_free(t->user);
    mem_free(t->password);
    t->authorization = t->user = t->password = NULL;
}

thrum_status target_redirect(struct target *t, const char *location, int status, thrum_error *err)
{
    enum { LOCATION_MAX = 8192 };
    char url[LOCATION_MAX + 512];
    const char *why = NULL;
    struct uri next;
    if (!refer_resolve(url, sizeof url, &t->uri, field_text(location), &why))
        return refuse_redirect(location, status, why, err);
    char *bare = without_credentials(url); /* those of a Location are not ours to send */
    if (!bare)
        return no_memory(err);
    if (!uri_parse(&next, field_text(bare), false, &why) || (t->uri.tls && !next.tls)) {
        mem_free(bare);
        return refuse_redirect(location, status,
                               why ? why : "that would lead from wss to ws, where anybody could listen", err);
    }
    if (!refer_same_origin(&t->uri, &next))
        become_foreign(t);
    LOG(LOG_HTTP, LOG_INFO, 0, "redirected (%d) to %s", status, bare);
    return set_url(t, bare, err);
}

/* ---- 401 ------------------------------------------------------------------------------------------------
 */

static void challenges(struct http1_head *h, const thrum_response *r)
{
    const char *value;
    memset(h, 0, sizeof *h);
    h->status = (uint16_t)thrum_response_status(r);
    while (h->n < 8 && (value = thrum_response_header(r, "WWW-Authenticate", h->n))) {
        h->fields[h->n].name = field_text("WWW-Authenticate");
        h->fields[h->n++].value = field_text(value);
    }
}

static thrum_status wrong(const struct target *t, const thrum_response *r, thrum_error *err)
{
    char user[64] = "";
    if (!t->authorization)
        return THRUM_E_REFUSED; /* what is said already says it */
    if (t->user)
        text_escape(user, sizeof user, t->user, strlen(t->user));
    error_set(err, THRUM_E_REFUSED, "the server does not accept the credentials%s%s%s (401)",
              user[0] ? " of \"" : "", user, user[0] ? "\"" : "");
    err->http_status = (uint16_t)thrum_response_status(r);
    err->by_peer = 1;
    return THRUM_E_REFUSED;
}

thrum_status target_authorize(struct target *t, const thrum_response *r, thrum_error *err)
{
    struct http1_head h;
    char value[AUTHORIZATION_MAX];
    char cnonce[33];
    uint8_t raw[16];
    const struct auth_user who = {t->user, t->password};
    bool answered = t->tried && t->authorization && strncmp(t->authorization, "Digest", 6) == 0;
    if (!t->user || t->answers == ANSWERS_MAX || rand_bytes(raw, sizeof raw) != 0)
        return wrong(t, r, err);
    auth_cnonce(cnonce, raw);
    t->answers++;
    challenges(&h, r);
    const char *target =
        t->uri.target.n ? (const char *)t->uri.target.p : "/"; /* the URL's end is the text's */
    char slashed[2048];
    if (target[0] == '?') {
        text_format(slashed, sizeof slashed, "/%s", target);
        target = slashed;
    }
    enum auth_result a =
        auth_answer(value, sizeof value, &h, "WWW-Authenticate", &who, "GET", target, cnonce, answered);
    bool again = t->tried && strncmp(value, "Basic", 5) == 0; /* that is what was refused */
    if (a != AUTH_ANSWER || again)
        return wrong(t, r, err);
    mem_free(t->authorization);
    t->authorization = mem_strdup(value);
    t->tried = true;
    return t->authorization ? THRUM_OK : no_memory(err);
}
