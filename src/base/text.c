/* text.c: sentences for humans. Everything is bounded and ends in NUL, and a cut never leaves half a
 * character: the texts go to terminals, logs and foreign languages that refuse broken UTF-8. */
#include "base/text.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Size of the UTF-8 character at p, 0 when there is none. Its own small decoder: base may not use
 * wire/utf8.h. */
static size_t char_size(const uint8_t *p, size_t n)
{
    uint8_t lo = 0x80, hi = 0xbf;
    size_t size = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (size < 2 || size > n)
        return size > n ? 0 : size;
    /* The second byte's range shuts out overlong forms, surrogates, and what is over U+10FFFF. */
    if (p[0] == 0xe0)
        lo = 0xa0;
    else if (p[0] == 0xed)
        hi = 0x9f;
    else if (p[0] == 0xf0)
        lo = 0x90;
    else if (p[0] == 0xf4)
        hi = 0x8f;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

/* The length of s[0..n) without a character that was cut at its end. */
static size_t whole_chars(const char *s, size_t n)
{
    size_t start = n;
    for (int back = 0; back < 4 && start > 0; back++) {
        uint8_t b = (uint8_t)s[--start];
        if (b < 0x80)
            return n;
        if (b >= 0xc0)
            return n - start < (b < 0xe0 ? 2u : b < 0xf0 ? 3u : 4u) ? start : n;
    }
    return n; /* stray bytes: there is no character to keep whole */
}

size_t text_vformat(char *out, size_t cap, const char *fmt, va_list ap)
{
    if (cap == 0)
        return 0;
    int r = vsnprintf(out, cap, fmt, ap);
    if (r < 0) {
        out[0] = 0;
        return 0;
    }
    size_t n = (size_t)r;
    if (n >= cap) {
        n = whole_chars(out, cap - 1);
        out[n] = 0;
    }
    return n;
}

size_t text_format(char *out, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t n = text_vformat(out, cap, fmt, ap);
    va_end(ap);
    return n;
}

/* Writes to unit how the character at p is shown; *taken says how many bytes it is made of. Returns the
 * length. */
static size_t show(char unit[5], const uint8_t *p, size_t n, size_t *taken)
{
    static const char digits[] = "0123456789abcdef";
    const char *named = p[0] == '\n' ? "\\n" : p[0] == '\r' ? "\\r" : p[0] == '\t' ? "\\t" : NULL;
    size_t size = char_size(p, n);
    *taken = 1;
    if (named || p[0] == '"' || p[0] == '\\') {
        unit[0] = '\\';
        unit[1] = named ? named[1] : (char)p[0];
        return 2;
    }
    bool plain = size == 1 ? p[0] >= 0x20 && p[0] != 0x7f : size > 0;
    if (size == 2 && p[0] == 0xc2 && p[1] < 0xa0) /* C1: some terminals obey these as they do ESC */
        plain = false;
    if (plain) {
        memcpy(unit, p, size);
        *taken = size;
        return size;
    }
    unit[0] = '\\';
    unit[1] = 'x';
    unit[2] = digits[p[0] >> 4];
    unit[3] = digits[p[0] & 15];
    return 4;
}

size_t text_escape(char *out, size_t cap, const void *p, size_t n)
{
    const uint8_t *in = p;
    size_t len = 0, fits = 0,
           room = cap > 0 ? cap - 1 : 0; /* fits: how far to go back to make room for dots */
    size_t dots = room < 3 ? room : 3;
    if (cap == 0)
        return 0;
    while (n > 0) {
        char unit[5];
        size_t taken, size = show(unit, in, n, &taken);
        if (size > room - len) {
            memcpy(out + fits, "...", dots);
            len = fits + dots;
            break;
        }
        memcpy(out + len, unit, size);
        len += size;
        if (len + dots <= room)
            fits = len;
        in += taken;
        n -= taken;
    }
    out[len] = 0;
    return len;
}

/* The text is made before *e is zeroed: an argument may point into it. */
static void fill(thrum_error *e, thrum_status s, int os_errno, const char *fmt, va_list ap)
{
    char text[sizeof e->text], why[128];
    size_t n = text_vformat(text, sizeof text, fmt, ap);
    if (os_errno != 0)
        n += text_format(text + n, sizeof text - n, ": %s", strerror_r(os_errno, why, sizeof why));
    memset(e, 0, sizeof *e);
    e->status = s;
    e->os_errno = os_errno;
    memcpy(e->text, text, n);
}

thrum_status error_set(thrum_error *e, thrum_status s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (e)
        fill(e, s, 0, fmt, ap);
    va_end(ap);
    return s;
}

thrum_status error_os(thrum_error *e, thrum_status s, int os_errno, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (e)
        fill(e, s, os_errno, fmt, ap);
    va_end(ap);
    return s;
}
