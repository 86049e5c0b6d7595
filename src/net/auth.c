/* auth.c: what a client answers to a challenge. The hashes are OpenSSL's low-level ones, for the reason that
 * base/sha1.c gives. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "net/auth.h"

#include "base/base64.h"
#include "wire/field.h"
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <string.h>

/* ---- writing what must fit ------------------------------------------------------------------------------
 */

struct out {
    char *p;
    size_t n, cap; /* n == cap: it did not fit */
};

static void put(struct out *o, const void *p, size_t n)
{
    if (o->cap - o->n <= n) { /* one byte is the NUL's */
        o->n = o->cap;
        return;
    }
    memcpy(o->p + o->n, p, n);
    o->n += n;
}
static void put_text(struct out *o, const char *s)
{
    put(o, s, strlen(s));
}
static void put_slice(struct out *o, thrum_slice s)
{
    put(o, s.p, s.n);
}
/* As a quoted-string; text of the caller's, so what would end it is escaped. */
static void put_quoted(struct out *o, const char *s)
{
    put_text(o, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            put_text(o, "\\");
        put(o, s, 1);
    }
    put_text(o, "\"");
}
static size_t finish(struct out *o)
{
    if (o->n == o->cap)
        return 0;
    o->p[o->n] = '\0';
    return o->n;
}

/* RFC 7617 section 2, RFC 7616 section 3.4: no control characters. */
static bool is_clean(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

size_t auth_basic(char *out, size_t cap, const struct auth_user *u)
{
    enum { PAIR_MAX = 2048 };
    char text[BASE64_SIZE(PAIR_MAX) + 1];
    uint8_t pair[PAIR_MAX];
    struct out o = {(char *)pair, 0, sizeof pair};
    if (strchr(u->user, ':') || !is_clean(u->user) || !is_clean(u->password))
        return 0;
    put_text(&o, u->user);
    put_text(&o, ":");
    put_text(&o, u->password);
    if (finish(&o) == 0)
        return 0;
    base64_encode(text, pair, o.n);
    o = (struct out){out, 0, cap};
    put_text(&o, "Basic ");
    put_text(&o, text);
    explicit_bzero(pair, sizeof pair);
    explicit_bzero(text, sizeof text);
    return finish(&o);
}

/* ---- challenges -----------------------------------------------------------------------------------------
 */

enum strength { UNKNOWN, BASIC, DIGEST_MD5, DIGEST_SHA256 };

struct challenge {
    enum strength strength;
    bool session; /* -sess */
    bool has_qop; /* else RFC 2069 */
    bool no_auth; /* a qop that has no "auth" */
    bool stale, user_hash;
    thrum_slice algorithm;            /* as it was written */
    thrum_slice realm, nonce, opaque; /* p NULL: not there. Between the quotes, escapes as they came */
};

static bool is_token_byte(uint8_t c)
{
    return field_is_token((thrum_slice){&c, 1});
}

static thrum_slice after(thrum_slice s, size_t n)
{
    return (thrum_slice){s.p + n, s.n - n};
}

/* "name = value" or "name = \"value\"": false where it is none. */
static bool split_param(thrum_slice item, thrum_slice *name, thrum_slice *value)
{
    size_t n = 0;
    while (n < item.n && is_token_byte(item.p[n]))
        n++;
    *name = (thrum_slice){item.p, n};
    thrum_slice rest = field_trim(after(item, n));
    if (n == 0 || rest.n == 0 || rest.p[0] != '=')
        return false;
    *value = field_trim(after(rest, 1));
    if (value->n >= 2 && value->p[0] == '"' && value->p[value->n - 1] == '"')
        *value = (thrum_slice){value->p + 1, value->n - 2};
    else if (!field_is_token(*value))
        return false;
    return true;
}

static void take_algorithm(struct challenge *c, thrum_slice value)
{
    c->algorithm = value;
    c->session = field_equal_case(value, "MD5-sess") || field_equal_case(value, "SHA-256-sess");
    if (field_equal_case(value, "MD5") || field_equal_case(value, "MD5-sess"))
        c->strength = DIGEST_MD5;
    else if (field_equal_case(value, "SHA-256") || field_equal_case(value, "SHA-256-sess"))
        c->strength = DIGEST_SHA256;
    else
        c->strength = UNKNOWN;
}

static void take_param(struct challenge *c, thrum_slice name, thrum_slice value)
{
    if (field_equal_case(name, "realm"))
        c->realm = value;
    else if (field_equal_case(name, "nonce"))
        c->nonce = value;
    else if (field_equal_case(name, "opaque"))
        c->opaque = value;
    else if (field_equal_case(name, "stale"))
        c->stale = field_equal_case(value, "true");
    else if (field_equal_case(name, "userhash"))
        c->user_hash = field_equal_case(value, "true");
    else if (field_equal_case(name, "algorithm") && c->strength != BASIC)
        take_algorithm(c, value);
    else if (field_equal_case(name, "qop")) {
        c->has_qop = true;
        c->no_auth = !field_list_has(value, "auth");
    }
}

/* The scheme that an item begins with, moved past; false: the item only goes on with the challenge before. */
static bool take_scheme(struct challenge *c, thrum_slice *item)
{
    size_t n = 0;
    thrum_slice name, value;
    while (n < item->n && is_token_byte(item->p[n]))
        n++;
    if (n == 0 || split_param(*item, &name, &value))
        return false;
    *c = (struct challenge){.strength = UNKNOWN};
    name = (thrum_slice){item->p, n};
    if (field_equal_case(name, "Basic"))
        c->strength = BASIC;
    else if (field_equal_case(name, "Digest"))
        c->strength = DIGEST_MD5; /* what an absent algorithm means */
    *item = field_trim(after(*item, n));
    return true;
}

static bool can_answer(const struct challenge *c)
{
    if (c->strength == BASIC)
        return true;
    return c->strength != UNKNOWN && c->realm.p && c->nonce.p && !c->no_auth;
}

/* Looks through one field value: several challenges may stand in it, told apart only by their form. */
static void look_through(struct challenge *best, thrum_slice value)
{
    struct challenge c = {.strength = UNKNOWN};
    thrum_slice item;
    bool more = true;
    while (more) {
        struct challenge next = c;
        thrum_slice name, text;
        more = field_list_next(&value, &item);
        bool begins = more && take_scheme(&next, &item);
        if ((begins || !more) && can_answer(&c) && c.strength > best->strength)
            *best = c;
        c = next;
        if (more && split_param(item, &name, &text))
            take_param(&c, name, text);
    }
}

/* ---- Digest ---------------------------------------------------------------------------------------------
 */

struct hash {
    bool sha256;
    union {
        MD5_CTX md5;
        SHA256_CTX sha;
    } c;
};
enum { HEX_MAX = 2 * SHA256_DIGEST_LENGTH + 1 };

static void hash_begin(struct hash *h, bool sha256)
{
    h->sha256 = sha256;
    if (sha256)
        SHA256_Init(&h->c.sha);
    else
        MD5_Init(&h->c.md5);
}
static void hash_add(struct hash *h, const void *p, size_t n)
{
    if (h->sha256)
        SHA256_Update(&h->c.sha, p, n);
    else
        MD5_Update(&h->c.md5, p, n);
}
static void hash_text(struct hash *h, const char *s)
{
    hash_add(h, s, strlen(s));
}
/* Without the backslashes of quoted-pairs. */
static void hash_unquoted(struct hash *h, thrum_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && i + 1 < s.n)
            i++;
        hash_add(h, s.p + i, 1);
    }
}
static void hex(char *out, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}
static void hash_end(struct hash *h, char out[HEX_MAX])
{
    uint8_t d[SHA256_DIGEST_LENGTH];
    if (h->sha256)
        SHA256_Final(d, &h->c.sha);
    else
        MD5_Final(d, &h->c.md5);
    hex(out, d, h->sha256 ? SHA256_DIGEST_LENGTH : MD5_DIGEST_LENGTH);
}

struct request {
    const struct auth_user *u;
    const char *method, *uri;
    const char *cnonce;
};

/* RFC 7616 section 3.4.2 */
static void hash_a1(char out[HEX_MAX], const struct challenge *c, const struct request *r)
{
    struct hash h;
    hash_begin(&h, c->strength == DIGEST_SHA256);
    hash_text(&h, r->u->user);
    hash_text(&h, ":");
    hash_unquoted(&h, c->realm);
    hash_text(&h, ":");
    hash_text(&h, r->u->password);
    hash_end(&h, out);
    if (!c->session)
        return;
    hash_begin(&h, c->strength == DIGEST_SHA256);
    hash_text(&h, out);
    hash_text(&h, ":");
    hash_unquoted(&h, c->nonce);
    hash_text(&h, ":");
    hash_text(&h, r->cnonce);
    hash_end(&h, out);
}

/* RFC 7616 section 3.4.1; the nonce count is always 1, as a nonce is used for one request. */
static void hash_response(char out[HEX_MAX], const struct challenge *c, const struct request *r)
{
    char a1[HEX_MAX], a2[HEX_MAX];
    struct hash h;
    hash_a1(a1, c, r);
    hash_begin(&h, c->strength == DIGEST_SHA256);
    hash_text(&h, r->method);
    hash_text(&h, ":");
    hash_text(&h, r->uri);
    hash_end(&h, a2);
    hash_begin(&h, c->strength == DIGEST_SHA256);
    hash_text(&h, a1);
    hash_text(&h, ":");
    hash_unquoted(&h, c->nonce);
    if (c->has_qop) {
        hash_text(&h, ":00000001:");
        hash_text(&h, r->cnonce);
        hash_text(&h, ":auth");
    }
    hash_text(&h, ":");
    hash_text(&h, a2);
    hash_end(&h, out);
    explicit_bzero(a1, sizeof a1);
}

static void put_user(struct out *o, const struct challenge *c, const struct request *r)
{
    char name[HEX_MAX];
    struct hash h;
    put_text(o, "username=");
    if (!c->user_hash) {
        put_quoted(o, r->u->user);
        return;
    }
    hash_begin(&h, c->strength == DIGEST_SHA256);
    hash_text(&h, r->u->user);
    hash_text(&h, ":");
    hash_unquoted(&h, c->realm);
    hash_end(&h, name);
    put_quoted(o, name);
    put_text(o, ", userhash=true");
}

static void put_echoed(struct out *o, const char *name, thrum_slice value)
{
    put_text(o, name);
    put_text(o, "=\"");
    put_slice(o, value); /* as it came, so its escapes are whole */
    put_text(o, "\"");
}

static size_t digest(char *out, size_t cap, const struct challenge *c, const struct request *r)
{
    char response[HEX_MAX];
    struct out o = {out, 0, cap};
    hash_response(response, c, r);
    put_text(&o, "Digest ");
    put_user(&o, c, r);
    put_echoed(&o, ", realm", c->realm);
    put_echoed(&o, ", nonce", c->nonce);
    put_text(&o, ", uri=");
    put_quoted(&o, r->uri);
    put_text(&o, ", response=");
    put_quoted(&o, response);
    if (c->algorithm.p) {
        put_text(&o, ", algorithm=");
        put_slice(&o, c->algorithm);
    }
    if (c->opaque.p)
        put_echoed(&o, ", opaque", c->opaque);
    if (c->has_qop) {
        put_text(&o, ", qop=auth, nc=00000001, cnonce=");
        put_quoted(&o, r->cnonce);
    }
    return finish(&o);
}

/* ---- the choice -----------------------------------------------------------------------------------------
 */

enum auth_result auth_answer(char *out, size_t cap, const struct http1_head *h, const char *field,
                             const struct auth_user *u, const char *method, const char *uri,
                             const char *cnonce, bool tried)
{
    struct challenge best = {.strength = UNKNOWN};
    const struct request r = {u, method, uri, cnonce};
    thrum_slice value;
    for (size_t i = 0; (value = http1_get(h, field, i)).p; i++)
        look_through(&best, value);
    if (best.strength == UNKNOWN || !is_clean(u->user) || !is_clean(u->password))
        return AUTH_NONE;
    if (best.strength == BASIC)
        return auth_basic(out, cap, u) > 0 ? AUTH_ANSWER : AUTH_NONE;
    if (tried && !best.stale)
        return AUTH_REFUSED;
    return digest(out, cap, &best, &r) > 0 ? AUTH_ANSWER : AUTH_NONE;
}

void auth_cnonce(char out[33], const uint8_t raw[16])
{
    hex(out, raw, 16);
}
