/* auth.h: HTTP authentication as a client: RFC 7617 (Basic) and RFC 7616 (Digest: MD5, SHA-256 and their
 * -sess forms, qop auth; RFC 2069 where the challenge has no qop). Pure: text in, text out. */
#ifndef NET_AUTH_H
#define NET_AUTH_H

#include "wire/http1.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/status.h>

struct auth_user {
    const char *user, *password; /* UTF-8, as they are meant (no percent-encoding) */
};
enum auth_result {
    AUTH_ANSWER, /* out is the value of Authorization (or Proxy-Authorization) */
    AUTH_NONE,   /* no challenge that we can answer */
    AUTH_REFUSED /* the challenge says that the credentials were tried and are wrong (Digest without
                    stale=true) */
};
/* The value for Basic without a challenge, "Basic dXNlcjpwYXNz". 0: does not fit, or the user has a colon. */
size_t auth_basic(char *out, size_t cap, const struct auth_user *u);
/* Chooses the strongest challenge of `field` ("WWW-Authenticate", "Proxy-Authenticate") in h, Digest SHA-256
 * before Digest MD5 before Basic, and answers it for one request. `tried`: a Digest was sent already with the
 * request that h answers. cnonce: fresh randomness of the caller's, as auth_cnonce writes it. */
enum auth_result auth_answer(char *out, size_t cap, const struct http1_head *h, const char *field,
                             const struct auth_user *u, const char *method, const char *uri,
                             const char *cnonce, bool tried);
void auth_cnonce(char out[33], const uint8_t raw[16]);

#endif
