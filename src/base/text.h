/* text.h: bounded formatting of sentences. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/error.h>
#include <thrum/export.h>

/* As snprintf, but always ends in NUL and never inside a UTF-8 character; returns the length written. */
size_t text_format(char *out, size_t cap, const char *fmt, ...) THRUM_PRINTF(3, 4);
size_t text_vformat(char *out, size_t cap, const char *fmt, va_list ap);
/* Writes bytes of a peer's for a human: printable UTF-8 stays, '"' and '\\' get a backslash, control
 * characters (C0, DEL, C1) and bytes that are no UTF-8 become \n \r \t or \xNN, and what does not fit ends in
 * "...". Returns the length written. */
size_t text_escape(char *out, size_t cap, const void *p, size_t n);

/* Fills *e (may be NULL): zeroes it first. Returns s. */
thrum_status error_set(thrum_error *e, thrum_status s, const char *fmt, ...) THRUM_PRINTF(3, 4);
/* The same with an errno, whose sentence (strerror) is put behind the text after ": ". */
thrum_status error_os(thrum_error *e, thrum_status s, int os_errno, const char *fmt, ...) THRUM_PRINTF(4, 5);

#endif
