/* proxy_socks.c: SOCKS 4, 4a (both by what the protocol's author wrote down, without an RFC) and 5 (RFC 1928,
 * with the user and password of RFC 1929). Answers are read to the byte, so that nothing of the server's is
 * taken. */
#include "base/text.h"
#include "net/address_int.h"
#include "net/proxy_int.h"
#include <arpa/inet.h>
#include <string.h>

/* The target as an address, where it is one in digits. */
static int target_family(const struct tunnel *t, uint8_t raw[16])
{
    if (inet_pton(AF_INET, t->host, raw) == 1)
        return AF_INET;
    return inet_pton(AF_INET6, t->host, raw) == 1 ? AF_INET6 : AF_UNSPEC;
}

static size_t add(uint8_t *at, const void *p, size_t n)
{
    memcpy(at, p, n);
    return n;
}

/* ---- 4 and 4a -------------------------------------------------------------------------------------------
 */

static thrum_status begin4(struct tunnel *t, thrum_error *err)
{
    uint8_t m[9 + 256 + TUNNEL_TARGET_MAX] = {4, 1, (uint8_t)(t->port >> 8), (uint8_t)t->port}, raw[16];
    int family = target_family(t, raw);
    size_t n = 4;
    if (family == AF_INET6 || (family == AF_UNSPEC && t->proxy.kind == PROXY_SOCKS4))
        return error_set(err, THRUM_E_ARGUMENT, "SOCKS 4 cannot lead to %s: use socks5", t->host);
    n += add(m + n, family == AF_INET ? raw : (const uint8_t[]){0, 0, 0, 1}, 4);
    n += add(m + n, t->proxy.user, strlen(t->proxy.user) + 1);
    if (family == AF_UNSPEC)
        n += add(m + n, t->host, strlen(t->host) + 1);
    t->want = 8;
    return tunnel_say(t, m, n) ? THRUM_OK : error_set(err, THRUM_E_MEMORY, "no memory for SOCKS");
}

static void step4(struct tunnel *t, bool ended)
{
    const uint8_t *p = t->in.p;
    if (ended)
        tunnel_fail(t, 0, "closed the connection before it led anywhere (does it speak SOCKS 4?)");
    else if (p[0] != 0)
        tunnel_fail(t, 0, "does not speak SOCKS 4");
    else if (p[1] == 92 || p[1] == 93)
        tunnel_fail(t, 0, "does not accept the user \"%.60s\" (SOCKS 4 code %d)", t->proxy.user, p[1]);
    else if (p[1] != 90)
        tunnel_fail(t, 0, "does not lead to %s port %u: refused or failed (SOCKS 4 code %d)", t->host,
                    (unsigned)t->port, p[1]);
    else
        t->open = true;
    if (t->open)
        tunnel_taken(t, 8);
}

const struct tunnel_kind tunnel_socks4 = {begin4, step4, NULL};

/* ---- 5 --------------------------------------------------------------------------------------------------
 */

enum { GREETED, SHOWN, ASKED, ANSWERED }; /* what was last said; ANSWERED: the answer's length is known */

static thrum_status begin5(struct tunnel *t, thrum_error *err)
{
    const uint8_t without[] = {5, 1, 0}, with[] = {5, 2, 0, 2};
    if (strlen(t->host) > 255 || strlen(t->proxy.user) > 255 || strlen(t->proxy.password) > 255)
        return error_set(err, THRUM_E_ARGUMENT, "SOCKS 5 takes no name, user or password over 255 bytes");
    t->step = GREETED;
    t->want = 2;
    bool said = t->proxy.has_user ? tunnel_say(t, with, sizeof with) : tunnel_say(t, without, sizeof without);
    return said ? THRUM_OK : error_set(err, THRUM_E_MEMORY, "no memory for SOCKS");
}

static void ask(struct tunnel *t)
{
    uint8_t m[4 + 256 + 2] = {5, 1, 0}, raw[16];
    int family = target_family(t, raw);
    size_t n = 4, len = strlen(t->host);
    m[3] = family == AF_INET ? 1 : family == AF_INET6 ? 4 : 3;
    if (family == AF_UNSPEC)
        m[n++] = (uint8_t)len;
    n += family == AF_UNSPEC ? add(m + n, t->host, len) : add(m + n, raw, family == AF_INET ? 4 : 16);
    m[n++] = (uint8_t)(t->port >> 8);
    m[n++] = (uint8_t)t->port;
    t->step = ASKED;
    t->want = 5; /* the fifth byte tells the length of the rest */
    (void)tunnel_say(t, m, n);
}

static void show_user(struct tunnel *t)
{
    uint8_t m[3 + 255 + 255] = {1};
    size_t n = 1, user = strlen(t->proxy.user), password = strlen(t->proxy.password);
    m[n++] = (uint8_t)user;
    n += add(m + n, t->proxy.user, user);
    m[n++] = (uint8_t)password;
    n += add(m + n, t->proxy.password, password);
    t->step = SHOWN;
    t->want = 2;
    (void)tunnel_say(t, m, n);
    explicit_bzero(m, sizeof m);
}

static void greeted(struct tunnel *t)
{
    const uint8_t version = t->in.p[0], method = t->in.p[1];
    tunnel_taken(t, 2);
    if (version != 5)
        tunnel_fail(t, 0, "does not speak SOCKS 5");
    else if (method == 0)
        ask(t);
    else if (method == 2 && t->proxy.has_user)
        show_user(t);
    else if (t->proxy.has_user)
        tunnel_fail(t, 0, "takes neither a password nor goes without one (SOCKS 5 method %d)", method);
    else
        tunnel_fail(t, 0, "asks for a user and password: give them as socks5://user:password@host");
}

static void shown(struct tunnel *t)
{
    const uint8_t status = t->in.p[1];
    tunnel_taken(t, 2);
    if (status == 0)
        ask(t);
    else
        tunnel_fail(t, 0, "does not accept the password of \"%.60s\"", t->proxy.user);
}

/* RFC 1928 section 6 */
static const char *reply_text(int code)
{
    static const char *const texts[] = {"",
                                        "the proxy failed",
                                        "its rules forbid it",
                                        "the network cannot be reached",
                                        "the host cannot be reached or has no address",
                                        "the connection was refused",
                                        "the time was up",
                                        "it does not know CONNECT",
                                        "it does not know that type of address"};
    return code > 0 && code < (int)(sizeof texts / sizeof texts[0]) ? texts[code]
                                                                    : "for a reason without a name";
}

static void asked(struct tunnel *t)
{
    const uint8_t *p = t->in.p;
    if (p[0] != 5) {
        tunnel_fail(t, 0, "answers what is no SOCKS 5");
    } else if (p[1] != 0) {
        tunnel_fail(t, 0, "does not lead to %s port %u: %s (SOCKS 5 code %d)", t->host, (unsigned)t->port,
                    reply_text(p[1]), p[1]);
    } else if (p[3] != 1 && p[3] != 3 && p[3] != 4) {
        tunnel_fail(t, 0, "answers with a type of address that SOCKS 5 does not have");
    } else {
        t->want = 4 + (p[3] == 1 ? 4u : p[3] == 4 ? 16u : 1u + p[4]) + 2;
        t->step = ANSWERED;
    }
}

static void step5(struct tunnel *t, bool ended)
{
    if (ended) {
        tunnel_fail(t, 0, "closed the connection before it led anywhere (does it speak SOCKS 5?)");
        return;
    }
    switch (t->step) {
    case GREETED: greeted(t); break;
    case SHOWN: shown(t); break;
    case ASKED: asked(t); break;
    default:
        tunnel_taken(t, t->want);
        t->open = true;
        break;
    }
}

const struct tunnel_kind tunnel_socks5 = {begin5, step5, NULL};
