/* address.c: socket addresses to and from text. It knows the forms that need no resolver, so that numeric
 * hosts cost neither a thread nor a wait. All copies go through memcpy: a sockaddr_storage is not the struct
 * it holds. */
#include "net/address_int.h"

#include "base/text.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

void address_v4(struct address *out, uint32_t host_order, uint16_t port)
{
    struct sockaddr_in s;
    memset(&s, 0, sizeof s);
    s.sin_family = AF_INET;
    s.sin_port = htons(port);
    s.sin_addr.s_addr = htonl(host_order);
    memset(out, 0, sizeof *out);
    memcpy(&out->a, &s, sizeof s);
    out->len = sizeof s;
}

void address_v6(struct address *out, const struct in6_addr *ip, uint32_t scope, uint16_t port)
{
    struct sockaddr_in6 s;
    memset(&s, 0, sizeof s);
    s.sin6_family = AF_INET6;
    s.sin6_port = htons(port);
    s.sin6_addr = *ip;
    s.sin6_scope_id = scope;
    memset(out, 0, sizeof *out);
    memcpy(&out->a, &s, sizeof s);
    out->len = sizeof s;
}

int address_family(const struct address *a)
{
    return a->a.ss_family;
}

/* The port sits at the same place in both structs, which POSIX does not promise: so ask each. */
uint16_t address_port(const struct address *a)
{
    struct sockaddr_in s4;
    struct sockaddr_in6 s6;
    if (a->a.ss_family == AF_INET) {
        memcpy(&s4, &a->a, sizeof s4);
        return ntohs(s4.sin_port);
    }
    if (a->a.ss_family == AF_INET6) {
        memcpy(&s6, &a->a, sizeof s6);
        return ntohs(s6.sin6_port);
    }
    return 0;
}

void address_set_port(struct address *a, uint16_t port)
{
    struct sockaddr_in s4;
    struct sockaddr_in6 s6;
    if (a->a.ss_family == AF_INET) {
        memcpy(&s4, &a->a, sizeof s4);
        s4.sin_port = htons(port);
        memcpy(&a->a, &s4, sizeof s4);
    } else if (a->a.ss_family == AF_INET6) {
        memcpy(&s6, &a->a, sizeof s6);
        s6.sin6_port = htons(port);
        memcpy(&a->a, &s6, sizeof s6);
    }
}

/* The zone of a link-local address: an interface's name or number. 0: there is none such. */
static uint32_t zone_index(const char *zone)
{
    uint32_t n = 0;
    const char *p = zone;
    for (; *p >= '0' && *p <= '9' && n < 100000000; p++)
        n = n * 10 + (uint32_t)(*p - '0');
    if (*p == '\0')
        return n;
    return if_nametoindex(zone);
}

int address_numeric(struct address *out, thrum_slice host, uint16_t port, const char **why)
{
    char text[INET6_ADDRSTRLEN + 3 + IF_NAMESIZE];
    struct in_addr v4;
    struct in6_addr v6;
    uint32_t scope = 0;
    if (host.n == 0 || host.n >= sizeof text || memchr(host.p, 0, host.n) != NULL)
        return 0;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1) {
        address_v4(out, ntohl(v4.s_addr), port);
        return 1;
    }
    char *zone = strchr(text, '%');
    if (zone != NULL)
        *zone++ = '\0';
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return 0;
    if (zone != NULL) {
        /* RFC 6874 writes "%25" in a URI; the bare "%" is what people paste. */
        if (zone[0] == '2' && zone[1] == '5' && zone[2] != '\0')
            zone += 2;
        scope = zone_index(zone);
        if (scope == 0) {
            *why = "there is no network interface of the name behind '%'";
            return -1;
        }
    }
    address_v6(out, &v6, scope, port);
    return 1;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool address_unix(struct address *out, thrum_slice path, const char **why)
{
    struct sockaddr_un s;
    size_t n = 0;
    memset(&s, 0, sizeof s);
    s.sun_family = AF_UNIX;
    *why = "the path of the Unix socket is empty";
    for (size_t i = 0; i < path.n; i++) {
        int c = path.p[i];
        if (c == '%' && path.n - i > 2 && hex_digit(path.p[i + 1]) >= 0 && hex_digit(path.p[i + 2]) >= 0) {
            c = hex_digit(path.p[i + 1]) * 16 + hex_digit(path.p[i + 2]);
            i += 2;
        }
        *why = "the path of the Unix socket holds a NUL (abstract sockets are not supported)";
        if (c == 0)
            return false;
        *why = "the path of the Unix socket is over 107 bytes; use a shorter one";
        if (n + 1 >= sizeof s.sun_path)
            return false;
        s.sun_path[n++] = (char)c;
    }
    if (n == 0)
        return false;
    memset(out, 0, sizeof *out);
    memcpy(&out->a, &s, sizeof s);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    return true;
}

static void text_v4(const void *ip, uint16_t port, char *out, size_t cap)
{
    char t[INET_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET, ip, t, sizeof t);
    text_format(out, cap, "%s:%u", t, (unsigned)port);
}

static void text_v6(const struct sockaddr_in6 *s, char *out, size_t cap)
{
    char t[INET6_ADDRSTRLEN] = "?", zone[IF_NAMESIZE + 1] = "";
    uint16_t port = ntohs(s->sin6_port);
    /* A dual-stack listener's IPv4 peers: their own notation, or the same peer would have two names. */
    if (IN6_IS_ADDR_V4MAPPED(&s->sin6_addr)) {
        text_v4(&s->sin6_addr.s6_addr[12], port, out, cap);
        return;
    }
    inet_ntop(AF_INET6, &s->sin6_addr, t, sizeof t);
    if (s->sin6_scope_id != 0 && if_indextoname(s->sin6_scope_id, zone) == NULL)
        text_format(zone, sizeof zone, "%u", (unsigned)s->sin6_scope_id);
    text_format(out, cap, "[%s%s%s]:%u", t, zone[0] ? "%" : "", zone, (unsigned)port);
}

void address_text(const struct address *a, char *out, size_t cap)
{
    struct sockaddr_in s4;
    struct sockaddr_in6 s6;
    struct sockaddr_un un;
    char path[sizeof un.sun_path * 4 + 1]; /* each byte may become \xNN */
    switch (a->a.ss_family) {
    case AF_INET:
        memcpy(&s4, &a->a, sizeof s4);
        text_v4(&s4.sin_addr, ntohs(s4.sin_port), out, cap);
        return;
    case AF_INET6:
        memcpy(&s6, &a->a, sizeof s6);
        text_v6(&s6, out, cap);
        return;
    case AF_UNIX: break;
    default: text_format(out, cap, "?"); return;
    }
    memcpy(&un, &a->a, sizeof un);
    size_t n =
        a->len > offsetof(struct sockaddr_un, sun_path) ? a->len - offsetof(struct sockaddr_un, sun_path) : 0;
    n = strnlen(un.sun_path, n < sizeof un.sun_path ? n : sizeof un.sun_path);
    if (n == 0) { /* a client's end has no name */
        text_format(out, cap, "unix");
        return;
    }
    text_escape(path, sizeof path, un.sun_path, n);
    text_format(out, cap, "unix:%s", path);
}

void address_host_text(const struct address *a, char *out, size_t cap)
{
    struct sockaddr_in s4;
    struct sockaddr_in6 s6;
    char t[INET6_ADDRSTRLEN] = "?";
    if (a->a.ss_family == AF_INET) {
        memcpy(&s4, &a->a, sizeof s4);
        inet_ntop(AF_INET, &s4.sin_addr, t, sizeof t);
    } else if (a->a.ss_family == AF_INET6) {
        memcpy(&s6, &a->a, sizeof s6);
        inet_ntop(AF_INET6, &s6.sin6_addr, t, sizeof t);
    }
    text_format(out, cap, "%s", t);
}

bool address_errno_is_local(int e)
{
    return e == EMFILE || e == ENFILE || e == ENOMEM || e == ENOBUFS;
}
