/* field.h: the small grammars of header fields, RFC 9110 section 5.6. Linear, without tables or allocation.
 */
#ifndef WIRE_FIELD_H
#define WIRE_FIELD_H

#include <stdbool.h>
#include <thrum/slice.h>

thrum_slice field_text(const char *s);               /* a C string as a slice; NULL gives an empty one */
bool field_equal(thrum_slice a, const char *s);      /* to the letter */
bool field_equal_case(thrum_slice a, const char *s); /* ASCII case does not matter */
bool field_is_token(thrum_slice s);
/* Field value: visible characters, spaces, tabs, bytes over 0x7f; no CR, LF, NUL or other control; not begun
 * or ended by white space. */
bool field_is_value(thrum_slice s);
thrum_slice field_trim(thrum_slice s); /* OWS off both ends */

/* The next member of a #list: true and *item (trimmed, commas inside quoted-strings kept), *rest moved on;
 * empty members are passed over (RFC 9110 section 5.6.1.2). False at the end. */
bool field_list_next(thrum_slice *rest, thrum_slice *item);
/* Is the token in the list, case ignored? */
bool field_list_has(thrum_slice list, const char *token);

/* One parameter of `token *( OWS ";" OWS token [ "=" ( token / quoted-string ) ] )`, RFC 6455 section 9.1.
 * *rest is the list member; the first call gives the extension's own name (value empty, has_value false).
 * Returns 1 and fills, 0 at the end, -1 where the grammar is broken. A quoted value must be a token once
 * unquoted and without escapes. */
struct field_param {
    thrum_slice name, value;
    bool has_value;
};
int field_param_next(thrum_slice *rest, struct field_param *p);

#endif
