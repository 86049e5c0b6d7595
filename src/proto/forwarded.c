/* forwarded.c: X-Forwarded-For, which each proxy writes its own client's address behind. From the right: as
 * long as it was a proxy of ours that wrote an entry, it is believed; the first address that is none of ours
 * is the client's. */
#include "base/text.h"
#include "proto/proto_int.h"
#include "wire/field.h"
#include <string.h>

enum { ENTRIES = 32, TEXT_MAX = 64 };

/* The last entries of all fields of that name, in order. */
static size_t last_entries(thrum_slice v[ENTRIES], const struct http1_head *h)
{
    size_t n = 0;
    thrum_slice value, entry;
    for (size_t i = 0; (value = http1_get(h, "X-Forwarded-For", i)).p; i++)
        while (field_list_next(&value, &entry))
            v[n++ % ENTRIES] = entry;
    return n;
}

/* An entry as a peer's text; false: it is no address ("unknown", a name). */
static bool entry_text(thrum_slice s, char out[TEXT_MAX])
{
    struct cidr a;
    if (s.n >= TEXT_MAX)
        return false;
    text_format(out, TEXT_MAX, "%.*s", (int)s.n, (const char *)s.p);
    return (cidr_parse(&a, out, s.n) && a.bits == 128) || cidr_parse_peer(&a, out);
}

static bool trusts_entry(const struct settings *s, const char *text)
{
    struct cidr a;
    char bracketed[TEXT_MAX + 2];
    if (!cidr_parse(&a, text, strlen(text)))
        return settings_trusts(s, text); /* it has a port */
    text_format(bracketed, sizeof bracketed, *text == '[' ? "%s:0" : "[%s]:0", text);
    return settings_trusts(s, bracketed);
}

void forwarded_peer(thrum_proto *p)
{
    thrum_slice v[ENTRIES];
    char text[TEXT_MAX], found[TEXT_MAX] = "";
    if (!settings_trusts(p->set, proto_peer(p)))
        return;
    const size_t n = last_entries(v, p->parsed), most = n < ENTRIES ? n : ENTRIES;
    for (size_t i = 0; i < most; i++) {
        if (!entry_text(v[(n - 1 - i) % ENTRIES], text))
            break;
        text_format(found, sizeof found, "%s", text);
        if (!trusts_entry(p->set, text))
            break;
    }
    if (found[0])
        (void)proto_set_peer(p, found); /* no memory: the proxy's own address stands */
}
