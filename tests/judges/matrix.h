/* matrix.h: what is said: matrix.c, loop_matrix.c. */
#ifndef JUDGES_MATRIX_H
#define JUDGES_MATRIX_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/thrum.h>

enum { MIB = 1 << 20, LIMIT = 4 * MIB, PART = 10000, PARTS = 3, PATIENCE_MS = 20000 };
static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, MIB};
enum { SIZES = sizeof sizes / sizeof *sizes };
static uint8_t message[MIB];

static inline void give_up(const char *what)
{
    fprintf(stderr, "matrix: %s\n", what);
    exit(1);
}

static inline void check(thrum_status s, const char *what)
{
    if (s == THRUM_OK)
        return;
    fprintf(stderr, "matrix: %s: %s\n", what, thrum_status_text(s));
    exit(1);
}

/* judges.py, peer.js and page.html write the same. */
static inline void fill(thrum_kind k, size_t n)
{
    for (size_t i = 0; i < n; i++)
        message[i] = k == THRUM_TEXT ? (uint8_t)('a' + (i * i + i / 7) % 23) : (uint8_t)(i * 7 + i / 251);
}

static inline void compare(const thrum_message *m, thrum_kind k, size_t n)
{
    if (m->kind == k && m->len == n && memcmp(m->data, message, n) == 0)
        return;
    fprintf(stderr, "matrix: of %zu bytes came back %zu, or others\n", n, m->len);
    exit(1);
}

static inline void say_parts(thrum_conn *c, thrum_kind k)
{
    fill(k, PARTS * PART);
    for (size_t i = 0; i < PARTS; i++)
        check(thrum_send_part(c, k, message + i * PART, PART, i == PARTS - 1), "send_part");
}

static inline bool is_close_me(const thrum_message *m)
{
    return m->len == 8 && memcmp(m->data, "close me", 8) == 0;
}

static inline void print_agreed(const thrum_conn *c)
{
    const char *with = thrum_conn_extensions(c);
    printf("agreed %s\n", with ? with : "");
}

static inline bool has_ended(const thrum_conn *c, thrum_closing *end)
{
    *end = (thrum_closing){.size = sizeof *end};
    return thrum_conn_closing(c, end) == THRUM_OK;
}

/* MODE: on, off, no-takeover. */
static inline thrum_switch wants_compression(const char *mode)
{
    return strcmp(mode, "off") == 0 ? THRUM_OFF : THRUM_ON;
}

static inline thrum_switch wants_no_takeover(const char *mode)
{
    return strcmp(mode, "no-takeover") == 0 ? THRUM_ON : THRUM_OFF;
}

#endif
