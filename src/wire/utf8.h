/* utf8.h: RFC 3629, incremental: fails at the first bad byte, keeps state across pieces. */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct utf8 {
    uint32_t state; /* 0: between characters */
};

/* Takes the next n bytes; false: not UTF-8 (overlong, surrogate, over U+10FFFF, stray byte), for good. */
bool utf8_feed(struct utf8 *u, const uint8_t *p, size_t n);
/* May the text end here? */
bool utf8_done(const struct utf8 *u);
bool utf8_valid(const uint8_t *p, size_t n);

#endif
