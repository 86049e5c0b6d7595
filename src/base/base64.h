/* base64.h: RFC 4648 section 4, strict: padding demanded, no white space, unused bits zero. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4) /* without the NUL */

/* Writes BASE64_SIZE(n) characters and a NUL. */
void base64_encode(char *out, const uint8_t *p, size_t n);
/* Returns the number of bytes, or -1 where the text is not base64 or does not fit. */
ptrdiff_t base64_decode(uint8_t *out, size_t cap, const char *s, size_t n);

#endif
