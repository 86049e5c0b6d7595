/* proxy_env.c: which proxy the environment names, by the rules that curl has made usual. HTTP_PROXY in
 * capitals does not count: in a CGI program it is the Proxy field of whoever sent the request. */
#include "base/cidr.h"
#include "base/text.h"
#include "net/proxy.h"
#include "wire/field.h"
#include <stdlib.h>
#include <string.h>

/* An empty variable is as good as none. */
static const char *look(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* ---- no_proxy -------------------------------------------------------------------------------------------
 */

struct host {
    thrum_slice name; /* without brackets and without a dot at the end */
    uint16_t port;
    bool is_address;
    struct cidr address;
};

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* "example.org" and ".example.org" are the domain and all below it. */
static bool is_below(const struct host *h, thrum_slice domain)
{
    if (domain.n > 0 && domain.p[0] == '.')
        domain = (thrum_slice){domain.p + 1, domain.n - 1};
    if (domain.n > 0 && domain.p[domain.n - 1] == '.')
        domain.n--;
    if (domain.n == 0 || domain.n > h->name.n)
        return false;
    const uint8_t *end = h->name.p + (h->name.n - domain.n);
    for (size_t i = 0; i < domain.n; i++)
        if (lower(end[i]) != lower(domain.p[i]))
            return false;
    return domain.n == h->name.n || end[-1] == '.';
}

static bool parse_port(thrum_slice s, unsigned *port)
{
    *port = 0;
    for (size_t i = 0; i < s.n && i < 6; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *port = *port * 10 + (unsigned)(s.p[i] - '0');
    }
    return s.n > 0 && s.n < 6;
}

/* Takes ":port" off the entry's end; false: it is for another port. An IPv6 address must stand in brackets
 * for that. */
static bool is_for_port(const struct host *h, thrum_slice *entry)
{
    const uint8_t *colon = memrchr(entry->p, ':', entry->n);
    unsigned port;
    if (!colon || (entry->p[0] != '[' && memchr(entry->p, ':', (size_t)(colon - entry->p))))
        return true;
    if (!parse_port((thrum_slice){colon + 1, entry->n - (size_t)(colon + 1 - entry->p)}, &port))
        return true; /* inside of brackets */
    entry->n = (size_t)(colon - entry->p);
    return port == h->port;
}

static bool matches(const struct host *h, thrum_slice entry)
{
    struct cidr block;
    if (entry.n == 1 && entry.p[0] == '*')
        return true;
    if (h->is_address && cidr_parse(&block, (const char *)entry.p, entry.n))
        return cidr_has(&block, &h->address); /* bare, its colons are not a port's */
    if (!is_for_port(h, &entry))
        return false;
    if (!h->is_address)
        return is_below(h, entry);
    return cidr_parse(&block, (const char *)entry.p, entry.n) && cidr_has(&block, &h->address);
}

static bool is_excepted(const struct uri *u)
{
    const char *list = look("no_proxy");
    struct host h = {.name = u->host, .port = u->port};
    list = list ? list : look("NO_PROXY");
    if (h.name.n > 1 && h.name.p[h.name.n - 1] == '.')
        h.name.n--;
    h.is_address = cidr_parse(&h.address, (const char *)h.name.p, h.name.n) && h.address.bits == 128;
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t n = strcspn(list, ", \t");
        if (n > 0 && matches(&h, (thrum_slice){(const uint8_t *)list, n}))
            return true;
        list += n;
    }
    return false;
}

/* ---- the variables --------------------------------------------------------------------------------------
 */

thrum_status proxy_from_environment(struct proxy *p, const struct uri *u, thrum_error *err)
{
    static const char *const plain[] = {"ws_proxy",    "WS_PROXY",  "http_proxy", "socks_proxy",
                                        "SOCKS_PROXY", "all_proxy", "ALL_PROXY",  NULL},
                             *const tls[] = {"wss_proxy",   "WSS_PROXY",   "https_proxy",
                                             "HTTPS_PROXY", "socks_proxy", "SOCKS_PROXY",
                                             "all_proxy",   "ALL_PROXY",   NULL};
    const char *why = NULL;
    memset(p, 0, sizeof *p);
    for (const char *const *name = u->tls ? tls : plain; *name; name++) {
        const char *value = look(*name);
        if (!value)
            continue;
        if (is_excepted(u))
            return THRUM_OK;
        if (proxy_parse(p, value, &why))
            return THRUM_OK;
        memset(p, 0, sizeof *p);
        return error_set(err, THRUM_E_ARGUMENT,
                         "the proxy that the environment variable %s names cannot be used: %s", *name, why);
    }
    return THRUM_OK;
}
