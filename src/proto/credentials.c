/* credentials.c: who a client says that it is, and whether that will do (RFC 7617, RFC 6750). All secrets are
 * compared in a time that tells nothing, and all of them: an unknown user takes as long as a known one. */
#include "base/base64.h"
#include "base/secret.h"
#include "base/text.h"
#include "proto/proto_int.h"
#include "proto/reply_int.h"
#include "wire/field.h"
#include <string.h>

/* What stands behind "Basic " or "Bearer ", or NULL. */
static const char *behind_scheme(const char *value, const char *scheme)
{
    const size_t n = strlen(scheme);
    if (strlen(value) < n || !field_equal_case((thrum_slice){(const uint8_t *)value, n}, scheme) ||
        value[n] != ' ')
        return NULL;
    value += n;
    while (*value == ' ')
        value++;
    return value;
}

size_t credentials_size(const struct http1_head *h)
{
    return http1_get(h, "Authorization", 0).n + 1;
}

/* Nothing that could end up as something else in a log or a header. */
static bool is_clean(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
    return true;
}

void credentials_read(struct thrum_request *r, char *at)
{
    const char *value = request_field(r, "Authorization", 0), *basic;
    if (!value || request_field(r, "Authorization", 1)) /* of two, which? */
        return;
    r->bearer = behind_scheme(value, "Bearer");
    basic = behind_scheme(value, "Basic");
    if (!basic)
        return;
    ptrdiff_t n = base64_decode((uint8_t *)at, strlen(basic), basic, strlen(basic));
    char *colon = n > 0 ? memchr(at, ':', (size_t)n) : NULL;
    if (!colon || !is_clean(at, (size_t)n))
        return;
    at[n] = '\0';
    *colon = '\0';
    r->user = at;
    r->password = colon + 1;
}

static bool same(const char *guess, const char *secret)
{
    return secret_equal(guess, strlen(guess), secret, strlen(secret));
}

bool credentials_suffice(const struct thrum_request *r, const struct settings *s)
{
    bool found = !s->users && !s->tokens;
    for (char **v = s->users; v && *v && r->user; v += 2) {
        const bool user = same(r->user, v[0]), password = same(r->password, v[1]);
        found |= user & password;
    }
    for (char **v = s->tokens; v && *v && r->bearer; v++)
        found |= same(r->bearer, *v);
    return found;
}

thrum_status credentials_ask(struct thrum_reply *a, const struct settings *s)
{
    static const char text[] = "This server asks who you are.\n";
    char value[1200];
    thrum_status st = thrum_reply_body(a, "text/plain", text, sizeof text - 1);
    if (s->users) {
        text_format(value, sizeof value, "Basic realm=\"%s\", charset=\"UTF-8\"", s->realm);
        st = st ? st : thrum_reply_header(a, "WWW-Authenticate", value);
    }
    if (s->tokens) {
        text_format(value, sizeof value, "Bearer realm=\"%s\"", s->realm);
        st = st ? st : thrum_reply_header(a, "WWW-Authenticate", value);
    }
    return st;
}

bool thrum_request_basic(const thrum_request *r, const char **user, const char **password)
{
    if (!r || !r->user)
        return false;
    if (user)
        *user = r->user;
    if (password)
        *password = r->password;
    return true;
}

const char *thrum_request_bearer(const thrum_request *r)
{
    return r ? r->bearer : NULL;
}

bool thrum_equal(const char *guess, const char *secret)
{
    return guess && secret && same(guess, secret);
}
