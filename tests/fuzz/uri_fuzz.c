/* uri_fuzz.c: any text as a URL, a Host, an Origin, a target. What parses must be made of pieces of the text,
 * and its Host must be a Host again. */
#include "wire/uri.h"
#include <stdlib.h>
#include <string.h>

static void is_inside(thrum_slice all, thrum_slice s)
{
    if (s.n > 0 && (s.p < all.p || s.p + s.n > all.p + all.n))
        abort();
}

static void parse(thrum_slice text, bool listening)
{
    struct uri u;
    const char *why = NULL;
    char host[600];
    if (!uri_parse(&u, text, listening, &why)) {
        if (!why || !*why)
            abort();
        return;
    }
    is_inside(text, u.host);
    is_inside(text, u.target);
    is_inside(text, u.path);
    is_inside(text, u.user);
    is_inside(text, u.password);
    size_t n = uri_host(&u, host, sizeof host);
    if (n > 0 && !listening && !uri_is_host((thrum_slice){(const uint8_t *)host, n}, NULL, NULL))
        abort();
    if (u.target.n > 0 && u.target.p[0] == '/' && !uri_is_target(u.target))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    thrum_slice text = {data, size}, scheme, host;
    uint16_t port;
    parse(text, false);
    parse(text, true);
    (void)uri_is_origin(text, &scheme, &host, &port);
    (void)uri_is_host(text, &host, &port);
    (void)uri_is_target(text);
    return 0;
}
