/* iri.c: only what is not ASCII is changed; whether the result is a URL at all is the parser's to say. */
#include "net/iri.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include <idn2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { URL_MAX = 64 * 1024, HOST_MAX = 1024 };

static bool is_ascii(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] >= 0x80)
            return false;
    return true;
}

static thrum_status put_encoded(struct buf *b, const char *p, size_t n)
{
    static const char hex[] = "0123456789ABCDEF";
    thrum_status s = THRUM_OK;
    for (size_t i = 0; i < n && s == THRUM_OK; i++) {
        unsigned char c = (unsigned char)p[i];
        char code[3] = {'%', hex[c >> 4], hex[c & 15]};
        s = c < 0x80 ? buf_append(b, p + i, 1) : buf_append(b, code, 3);
    }
    return s;
}

static thrum_status put_host(struct buf *b, const char *p, size_t n, thrum_error *err)
{
    char text[HOST_MAX], *ascii = NULL, shown[120];
    if (is_ascii(p, n))
        return buf_append(b, p, n);
    int e = IDN2_TOO_BIG_DOMAIN;
    if (n < sizeof text) {
        memcpy(text, p, n);
        text[n] = '\0';
        e = idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    }
    if (e == IDN2_MALLOC)
        return THRUM_E_MEMORY;
    if (e != IDN2_OK) {
        text_escape(shown, sizeof shown, p, n);
        return error_set(err, THRUM_E_ARGUMENT, "\"%s\" cannot be a host's name: %s", shown,
                         idn2_strerror(e));
    }
    thrum_status s = buf_append(b, ascii, strlen(ascii));
    idn2_free(ascii);
    return s;
}

/* scheme://[user@]host[:port]rest; where there is no "//" there is no host. */
static thrum_status put_url(struct buf *b, const char *iri, thrum_error *err)
{
    const char *slashes = strstr(iri, "://"), *host = slashes ? slashes + 3 : iri;
    if (!slashes)
        return put_encoded(b, iri, strlen(iri));
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority), *rest = host + authority;
    thrum_status s = put_encoded(b, iri, (size_t)((at ? at + 1 : host) - iri));
    host = at ? at + 1 : host;
    const char *colon = *host == '[' ? NULL : memchr(host, ':', (size_t)(rest - host));
    const char *end = colon ? colon : rest;
    s = s ? s : put_host(b, host, (size_t)(end - host), err);
    return s ? s : put_encoded(b, end, strlen(end));
}

thrum_status iri_to_url(char **out, const char *iri, thrum_error *err)
{
    struct buf b;
    *out = NULL;
    if (is_ascii(iri, strlen(iri))) {
        *out = mem_strdup(iri);
        return *out ? THRUM_OK : error_set(err, THRUM_E_MEMORY, "no memory for the URL");
    }
    buf_init(&b, URL_MAX);
    thrum_status s = put_url(&b, iri, err);
    s = s ? s : buf_append(&b, "", 1);
    if (s == THRUM_OK) {
        *out = (char *)b.p;
        return s;
    }
    buf_free(&b);
    if (s == THRUM_E_TOO_BIG)
        return error_set(err, THRUM_E_ARGUMENT, "the URL is over 64 KiB");
    return s == THRUM_E_MEMORY ? error_set(err, s, "no memory for the URL") : s;
}
