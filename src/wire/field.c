/* field.c: walks by moving a slice's beginning forward, each byte once, so that no header of a peer's can
 * cost more than its length. */
#include "wire/field.h"
#include "wire/char_int.h"
#include <string.h>

static bool is_ows(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static void drop(thrum_slice *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

thrum_slice field_text(const char *s)
{
    return (thrum_slice){(const uint8_t *)s, s ? strlen(s) : 0};
}

bool field_equal(thrum_slice a, const char *s)
{
    return a.n == strlen(s) && (a.n == 0 || memcmp(a.p, s, a.n) == 0);
}

bool field_equal_case(thrum_slice a, const char *s)
{
    if (a.n != strlen(s))
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower((uint8_t)s[i]))
            return false;
    return true;
}

bool field_is_token(thrum_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!char_is_token(s.p[i]))
            return false;
    return s.n > 0;
}

bool field_is_value(thrum_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!char_is_text(s.p[i]))
            return false;
    return s.n == 0 || (!is_ows(s.p[0]) && !is_ows(s.p[s.n - 1]));
}

thrum_slice field_trim(thrum_slice s)
{
    while (s.n > 0 && is_ows(s.p[0]))
        drop(&s, 1);
    while (s.n > 0 && is_ows(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* ---- lists -----------------------------------------------------------------------------------------------
 */

/* The length of what is before the first comma that is not inside a quoted-string. */
static size_t member_length(thrum_slice s)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < s.n && (quoted || s.p[i] != ','); i++) {
        if (s.p[i] == '"')
            quoted = !quoted;
        else if (quoted && s.p[i] == '\\' && i + 1 < s.n)
            i++;
    }
    return i;
}

bool field_list_next(thrum_slice *rest, thrum_slice *item)
{
    while (rest->n > 0) {
        size_t n = member_length(*rest);
        *item = field_trim((thrum_slice){rest->p, n});
        drop(rest, n < rest->n ? n + 1 : n);
        if (item->n > 0)
            return true;
    }
    return false;
}

bool field_list_has(thrum_slice list, const char *token)
{
    thrum_slice item;
    while (field_list_next(&list, &item))
        if (field_equal_case(item, token))
            return true;
    return false;
}

/* ---- parameters ------------------------------------------------------------------------------------------
 */

static thrum_slice take_token(thrum_slice *rest)
{
    size_t n = 0;
    while (n < rest->n && char_is_token(rest->p[n]))
        n++;
    thrum_slice t = {rest->p, n};
    drop(rest, n);
    return t;
}

/* What is behind a '='. A value of n 0 means that there is none. */
static thrum_slice take_value(thrum_slice *rest)
{
    const thrum_slice none = {rest->p, 0};
    if (rest->n == 0 || rest->p[0] != '"')
        return take_token(rest);
    drop(rest, 1);
    thrum_slice v = take_token(rest);
    if (rest->n == 0 || rest->p[0] != '"')
        return none;
    drop(rest, 1);
    return v;
}

int field_param_next(thrum_slice *rest, struct field_param *p)
{
    *p = (struct field_param){0};
    *rest = field_trim(*rest);
    if (rest->n == 0)
        return 0;
    p->name = take_token(rest);
    if (p->name.n == 0)
        return -1;
    if (rest->n > 0 && rest->p[0] == '=') {
        drop(rest, 1);
        p->has_value = true;
        p->value = take_value(rest);
        if (p->value.n == 0)
            return -1;
    }
    /* The ';' is taken here and not before the next name, so that a list member can neither begin nor end
     * with it. */
    *rest = field_trim(*rest);
    if (rest->n == 0)
        return 1;
    if (rest->p[0] != ';')
        return -1;
    drop(rest, 1);
    *rest = field_trim(*rest);
    return rest->n > 0 ? 1 : -1;
}
