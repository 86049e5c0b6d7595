/* board.c: a shared whiteboard with a chat line, as one program: the page and its WebSocket on one port, a
 * topic for each room. `board [URL]` serves, at http://127.0.0.1:8080/ unless told otherwise, until Ctrl-C.
 *
 * It is one loop on one thread, so that rooms need no lock. Page and server say lines of text to each other:
 *   hello TOKEN NAME                  -> you ID COLOUR EPOCH; here ID COLOUR NAME of each; all that was drawn
 *                                        and said; ready. To the others: here ID COLOUR NAME
 *   line STROKE COLOUR WIDTH X Y ...  -> line ID STROKE COLOUR WIDTH X Y ... to the others
 *   say TEXT                          -> say ID COLOUR NAME, a newline, TEXT to all
 *   at X Y                            -> at ID X Y to the others; not remembered
 *   undo; clear                       -> undo ID STROKE; clear ID to all
 * and gone ID when somebody leaves. */
#include "pages.h"
#include "room.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/loop.h>
#include <time.h>
#include <unistd.h>

enum { SEND_HIGH = 4 * HISTORY_BYTES /* a newcomer gets all of it at once */ };

static thrum_loop *loop;
static thrum_listener *server;
static unsigned long long epoch; /* of this run: a page that finds another one tells its strokes again */

/* A connection: it is in a room from the start, and somebody from its hello on. */
struct seat {
    struct room *room;
    struct person *me;
    thrum_conn *conn;
};

/* ---- telling ----------------------------------------------------------------------------------------------
 * Who cannot keep up is closed (.when_full), comes again, and is given all of it anew; so nothing is lost by
 * not looking at what these answer. */

static void tell_all(const struct seat *s, const char *text)
{
    (void)thrum_publish(server, s->room->topic, THRUM_TEXT, text, strlen(text));
}

static void tell_others(const struct seat *s, const char *text)
{
    (void)thrum_publish_from(s->conn, s->room->topic, THRUM_TEXT, text, strlen(text));
}

static bool tell(const struct seat *s, const char *text, size_t n)
{
    return thrum_send(s->conn, THRUM_TEXT, text, n) == THRUM_OK;
}

/* ---- what the page says; false: that is no way to talk ----------------------------------------------------
 */

static bool welcome(const struct seat *s)
{
    char text[TEXT_BYTES];
    int n = snprintf(text, sizeof text, "you %u %u %llu", s->me->id, s->me->colour, epoch);
    bool good = tell(s, text, (size_t)n);
    for (const struct person *p = s->room->people; p && good; p = p->next) {
        n = snprintf(text, sizeof text, "here %u %u %s", p->id, p->colour, p->name);
        good = !p->conn || tell(s, text, (size_t)n);
    }
    for (const struct entry *e = s->room->first; e && good; e = e->next)
        good = tell(s, e->text, e->n);
    return good && tell(s, "ready", strlen("ready"));
}

/* The same page twice, or again before its old connection was known to be lost: the newer one stays. */
static void take_over(struct person *p)
{
    struct seat *old = p->conn ? thrum_conn_user(p->conn) : NULL;
    if (!old)
        return;
    old->me = NULL;
    thrum_close(old->conn, 4001, "opened elsewhere");
}

static bool do_hello(struct seat *s, const char *rest)
{
    char text[TEXT_BYTES], token[TOKEN_LEN + 1] = "";
    if (strcspn(rest, " ") != TOKEN_LEN)
        return false;
    memcpy(token, rest, TOKEN_LEN);
    const bool is_new = s->me == NULL;
    if (is_new && !(s->me = room_enter(s->room, token))) {
        thrum_close(s->conn, 1013, "the room is full");
        return true;
    }
    person_rename(s->me, rest + TOKEN_LEN + (rest[TOKEN_LEN] == ' '));
    if (is_new) {
        take_over(s->me);
        room_seat(s->room, s->me, s->conn);
        if (!welcome(s) || thrum_subscribe(s->conn, s->room->topic) != THRUM_OK)
            return false;
    }
    snprintf(text, sizeof text, "here %u %u %s", s->me->id, s->me->colour, s->me->name);
    tell_others(s, text);
    return true;
}

static bool are_numbers(const char *s)
{
    return s[strspn(s, "0123456789 ")] == '\0';
}

static bool do_line(struct seat *s, const char *rest)
{
    char text[TEXT_BYTES];
    const unsigned long stroke = strtoul(rest, NULL, 10);
    const int n = snprintf(text, sizeof text, "line %u %s", s->me->id, rest);
    if (!are_numbers(rest) || stroke == 0)
        return false;
    tell_others(s, text);
    return room_remember(s->room, s->me->id, stroke, text, (size_t)n);
}

static bool do_say(struct seat *s, const char *rest)
{
    char text[TEXT_BYTES];
    const int n =
        snprintf(text, sizeof text, "say %u %u %s\n%s", s->me->id, s->me->colour, s->me->name, rest);
    tell_all(s, text);
    return room_remember(s->room, s->me->id, 0, text, (size_t)n);
}

static bool do_at(struct seat *s, const char *rest)
{
    char text[64];
    if (!are_numbers(rest) || strlen(rest) > 32)
        return false;
    snprintf(text, sizeof text, "at %u %s", s->me->id, rest);
    tell_others(s, text);
    return true;
}

static bool do_undo(struct seat *s, const char *rest)
{
    char text[64];
    (void)rest;
    const unsigned long stroke = room_undo(s->room, s->me->id);
    snprintf(text, sizeof text, "undo %u %lu", s->me->id, stroke);
    if (stroke != 0)
        tell_all(s, text);
    return true;
}

static bool do_clear(struct seat *s, const char *rest)
{
    char text[64];
    (void)rest;
    room_clear(s->room);
    snprintf(text, sizeof text, "clear %u", s->me->id);
    tell_all(s, text);
    return true;
}

/* ---- connections ------------------------------------------------------------------------------------------
 */

static void on_open(thrum_conn *c, void *arg)
{
    struct seat *s = calloc(1, sizeof *s);
    struct room *r = s ? room_find(thrum_conn_param(c, "room")) : NULL;
    (void)arg;
    if (!r) {
        free(s);
        thrum_close(c, 1013, "no room is left");
        return;
    }
    *s = (struct seat){.room = r, .conn = c};
    thrum_conn_set_user(c, s);
}

static void on_message(thrum_conn *c, const thrum_message *m, void *arg)
{
    static const struct {
        const char *word;
        bool (*fn)(struct seat *s, const char *rest);
    } verbs[] = {{"hello", do_hello}, {"line", do_line}, {"at", do_at},
                 {"say", do_say},     {"undo", do_undo}, {"clear", do_clear}};
    struct seat *s = thrum_conn_user(c);
    const char *text = (const char *)m->data;
    const size_t n = strcspn(text, " ");
    (void)arg;
    for (size_t i = 0; m->kind == THRUM_TEXT && s && i < sizeof verbs / sizeof *verbs; i++) {
        if (strlen(verbs[i].word) != n || memcmp(verbs[i].word, text, n) != 0 || (i > 0 && !s->me))
            continue;
        if (verbs[i].fn(s, text + n + (text[n] == ' ')))
            return;
        break;
    }
    thrum_close(c, 1008, "that is not how a page of ours talks");
}

static void on_close(thrum_conn *c, const thrum_error *why, void *arg)
{
    struct seat *s = thrum_conn_user(c);
    char text[32];
    (void)why;
    (void)arg;
    if (s && s->me) {
        room_seat(s->room, s->me, NULL);
        snprintf(text, sizeof text, "gone %u", s->me->id);
        tell_all(s, text);
    }
    free(s);
}

/* ---- HTTP -------------------------------------------------------------------------------------------------
 */

static bool is_get(const thrum_request *r)
{
    const char *method = thrum_request_method(r);
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static int serve_file(const thrum_request *r, thrum_reply *a, void *arg)
{
    const struct page *p = arg;
    const char *room = thrum_request_param(r, "room");
    if (!is_get(r))
        return thrum_reply_header(a, "Allow", "GET, HEAD") == THRUM_OK ? 405 : 500;
    if (room && !room_name_is_good(room))
        return 404;
    const bool good =
        thrum_reply_header(a, "Cache-Control", "no-cache") == THRUM_OK &&
        thrum_reply_header(a, "X-Content-Type-Options", "nosniff") == THRUM_OK &&
        thrum_reply_header(a, "Referrer-Policy", "no-referrer") == THRUM_OK &&
        thrum_reply_header(a, "Content-Security-Policy",
                           "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                           "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'") ==
            THRUM_OK &&
        thrum_reply_body(a, p->type, p->data, p->n) == THRUM_OK;
    return good ? 200 : 500;
}

static int may_enter(const thrum_request *r, thrum_reply *a, void *arg)
{
    const char *room = thrum_request_param(r, "room");
    (void)a;
    (void)arg;
    return !room_name_is_good(room) ? 404 : room_is_full(room) ? 503 : 0;
}

/* ---- the program ------------------------------------------------------------------------------------------
 */

static void stop(int sig)
{
    (void)sig;
    thrum_loop_stop(loop);
}

static void listen_at(const char *url)
{
    const thrum_handlers *talk =
        THRUM_HANDLERS(.on_open = on_open, .on_message = on_message, .on_close = on_close);
    const thrum_route routes[] = {
        {.path = "/", .on_request = serve_file, .arg = &page_html},
        {.path = "/b/:room", .on_request = serve_file, .arg = &page_html},
        {.path = "/board.css", .on_request = serve_file, .arg = &page_css},
        {.path = "/board.js", .on_request = serve_file, .arg = &page_js},
        {.path = "/board/:room", .on_request = may_enter, .handlers = talk},
        {.path = NULL},
    };
    thrum_error err;
    if (thrum_loop_new(&loop, &err) != THRUM_OK ||
        thrum_listen(&server, loop, url,
                     THRUM_SERVER(.routes = routes, .max_message = MESSAGE_BYTES, .send_high = SEND_HIGH,
                                  .when_full = THRUM_FULL_CLOSE),
                     &err) != THRUM_OK) {
        fprintf(stderr, "board: %s\n", err.text);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    epoch = (unsigned long long)time(NULL) << 20 | (unsigned)getpid();
    listen_at(argc > 1 ? argv[1] : "ws://127.0.0.1:8080/");
    printf("http%s\n", thrum_listener_url(server) + strlen("ws")); /* wss is https */
    fflush(stdout);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    const thrum_status s = thrum_loop_run(loop, THRUM_FOREVER);
    thrum_listener_free(server); /* pages are told 1001, and come again once somebody is there */
    thrum_loop_free(loop);
    rooms_free();
    return s == THRUM_OK ? 0 : 1;
}
