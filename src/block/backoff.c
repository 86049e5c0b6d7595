/* backoff.c: see backoff.h. */
#include "block/backoff.h"
#include <string.h>

int64_t backoff_ceiling(const struct backoff *b)
{
    return b->n < 62 && b->first <= b->most >> b->n ? b->first << b->n : b->most;
}

int64_t backoff_next(struct backoff *b, uint64_t random)
{
    const int64_t ceiling = backoff_ceiling(b);
    b->n++;
    return (int64_t)(random % ((uint64_t)ceiling + 1));
}

/* n digits at s, or -1. */
static int digits(const char *s, size_t n)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

static int month_of(const char *s)
{
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    for (int i = 0; i < 12; i++)
        if (memcmp(s, months[i], 3) == 0)
            return i;
    return -1;
}

/* IMF-fixdate, the only form that may be sent (RFC 9110 section 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". */
static bool parse_date(const char *s, time_t *at)
{
    static const char form[] = "aaa, dd aaa dddd dd:dd:dd GMT";
    if (strlen(s) != sizeof form - 1 || memcmp(s + 25, " GMT", 4) != 0)
        return false;
    for (size_t i = 0; i < 25; i++)
        if (form[i] != 'a' && form[i] != 'd' && form[i] != s[i])
            return false;
    struct tm tm = {.tm_mday = digits(s + 5, 2),
                    .tm_mon = month_of(s + 8),
                    .tm_year = digits(s + 12, 4) - 1900,
                    .tm_hour = digits(s + 17, 2),
                    .tm_min = digits(s + 20, 2),
                    .tm_sec = digits(s + 23, 2)};
    if (tm.tm_mday < 1 || tm.tm_mon < 0 || tm.tm_year < 0 || tm.tm_hour < 0 || tm.tm_min < 0 || tm.tm_sec < 0)
        return false;
    *at = timegm(&tm);
    return true;
}

int64_t backoff_retry_after(const char *value, time_t now)
{
    enum { DIGITS = 12 };
    const size_t n = strspn(value, "0123456789");
    int64_t seconds = 0;
    time_t at;
    if (n > 0 && value[n] == '\0') {
        for (size_t i = 0; i < n; i++)
            seconds = i < DIGITS ? seconds * 10 + (value[i] - '0') : INT64_C(1) << 40;
        return seconds * 1000;
    }
    if (!parse_date(value, &at))
        return -1;
    return at > now ? (int64_t)(at - now) * 1000 : 0;
}

bool backoff_is_final(const thrum_error *why)
{
    const int http = why->http_status;
    if (http >= 400 && http < 500)
        return http != 408 && http != 425 && http != 429;
    return why->status == THRUM_E_CERTIFICATE || why->status == THRUM_E_ARGUMENT ||
           why->status == THRUM_E_TOO_NEW;
}
