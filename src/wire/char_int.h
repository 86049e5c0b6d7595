/* char_int.h: the sets of characters that the grammars are made of, of RFC 9110 section 5.6.2 and RFC 3986
 * section 2. Not <ctype.h>, which asks the locale. */
#ifndef WIRE_CHAR_INT_H
#define WIRE_CHAR_INT_H

#include <stdbool.h>
#include <stdint.h>

static inline bool char_is_alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static inline bool char_is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static inline bool char_is_hex(uint8_t c)
{
    return char_is_digit(c) || (uint8_t)((c | 0x20) - 'a') < 6;
}

static inline bool char_is_visible(uint8_t c)
{
    return c > 0x20 && c < 0x7f;
}

/* What a field value or a reason phrase is made of. */
static inline bool char_is_text(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static inline bool char_is_token(uint8_t c)
{
    switch (c) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~': return true;
    default: return char_is_alpha(c) || char_is_digit(c);
    }
}

static inline bool char_is_unreserved(uint8_t c)
{
    return char_is_alpha(c) || char_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static inline bool char_is_scheme(uint8_t c)
{
    return char_is_alpha(c) || char_is_digit(c) || c == '+' || c == '-' || c == '.';
}

static inline bool char_is_sub_delim(uint8_t c)
{
    switch (c) {
    case '!':
    case '$':
    case '&':
    case '\'':
    case '(':
    case ')':
    case '*':
    case '+':
    case ',':
    case ';':
    case '=': return true;
    default: return false;
    }
}

#endif
