/* cli/term.c: everything that is printed. What a peer sends is shown, never obeyed: a message may hold escape
 * sequences that retitle the terminal, or characters that make a line read backwards. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Length of the UTF-8 character at p, and the character; 0 where there is none (RFC 3629 section 4). */
static size_t decode(const uint8_t *p, size_t n, uint32_t *out)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    *out = c;
    return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

/* Characters that steer, reorder, or are not to be seen: controls, line separators, bidirectional marks and
 * overrides, zero-width ones, byte order mark, language tags. */
static bool is_unsafe(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

static void show(FILE *to, uint32_t c)
{
    switch (c) {
    case '\n': fputs("\\n", to); break;
    case '\r': fputs("\\r", to); break;
    case '\t': fputs("\\t", to); break;
    default: fprintf(to, c < 0x100 ? "\\x%02x" : "\\u{%x}", (unsigned)c);
    }
}

void term_escape(FILE *to, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        const size_t len = decode(p + i, n - i, &c);
        if (len == 0)
            fprintf(to, "\\x%02x", p[i]);
        else if (is_unsafe(c))
            show(to, c);
        else
            fwrite(p + i, 1, len, to);
        i += len > 0 ? len : 1;
    }
}

static void show_binary(const thrum_message *m)
{
    enum { SHOWN = 32 };
    const size_t n = m->len < SHOWN ? m->len : SHOWN;
    printf("[binary, %zu byte%s]", m->len, m->len == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++)
        printf(" %02x", m->data[i]);
    if (n < m->len)
        fputs(" ...", stdout);
}

bool term_message(const thrum_message *m)
{
    line_hide();
    if (line_is_typed())
        fputs("< ", stdout);
    if (m->kind == THRUM_TEXT)
        term_escape(stdout, m->data, m->len);
    else
        show_binary(m);
    putchar('\n');
    fflush(stdout);
    const bool good = !ferror(stdout);
    line_show();
    return good;
}

void term_note(const char *format, ...)
{
    char text[1024], line[8 * sizeof text] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    FILE *f = fmemopen(line, sizeof line - 1, "w"); /* stderr has no buffer: one write, not one a character */
    if (f) {
        term_escape(f, (const uint8_t *)text, strlen(text)); /* an error may quote the peer */
        fclose(f);
    }
    line_hide();
    fprintf(stderr, "thrum: %s\n", line);
    line_show();
}

static void print_record(const thrum_log_record *r, void *arg)
{
    static int64_t first;
    int64_t none = 0;
    (void)arg;
    /* Times count from the first line, whichever thread writes it. */
    __atomic_compare_exchange_n(&first, &none, r->ns, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    const double seconds = (double)(r->ns - __atomic_load_n(&first, __ATOMIC_RELAXED)) / 1e9;
    line_hide();
    if (r->conn != 0)
        fprintf(stderr, "%9.6f %-6s #%llu %s\n", seconds, r->area, (unsigned long long)r->conn, r->text);
    else
        fprintf(stderr, "%9.6f %-6s %s\n", seconds, r->area, r->text);
    line_show();
}

bool term_trace(void)
{
    const thrum_status s = thrum_set_log(print_record, NULL, "trace");
    if (s != THRUM_OK)
        term_note("no trace: %s", thrum_status_text(s));
    return s == THRUM_OK;
}
