/* thrum/response.h: the peer's answer where it was HTTP and not a WebSocket. Marks as in thrum.h. */
#ifndef THRUM_RESPONSE_H
#define THRUM_RESPONSE_H

#include <thrum/thrum.h>

THRUM_BEGIN

/* [any] What the server said instead of 101 (RFC 9110 section 15): of the option .response of a client, the
 * caller's from then on. Texts end in NUL and hold until thrum_response_free. */
typedef struct thrum_response thrum_response;
THRUM_API int thrum_response_status(const thrum_response *r); /* 0 for NULL */
THRUM_API const char *thrum_response_reason(const thrum_response *r);
/* [any] The n-th (from 0) value of a header field, or NULL. */
THRUM_API const char *thrum_response_header(const thrum_response *r, const char *name, size_t n);
/* [any] The body's first 64 KiB, without transfer coding; data is never NULL, and data[*n] is 0. */
THRUM_API const uint8_t *thrum_response_body(const thrum_response *r, size_t *n);
/* [any] NULL is fine. */
THRUM_API void thrum_response_free(thrum_response *r);

THRUM_END

#endif
