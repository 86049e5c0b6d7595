/* reconnect_run.c: the thread that connects: waits, connects, greets, delivers what waits, publishes, and
 * ends. Callbacks run with nothing locked; what they may have changed meanwhile (a close) is looked at again
 * behind them. */
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"
#include "base/text.h"
#include "block/block.h"
#include "block/reconnect_int.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* E12: once the program ends, nothing new. */
static void park_at_exit(void)
{
    while (atomic_load(&exit_begun))
        pause();
}

/* ---- waiting --------------------------------------------------------------------------------------------
 */

/* [held] */
static int64_t next_wait(struct thrum_reconnect *r, int64_t now)
{
    uint64_t random = 0;
    if (rand_bytes((uint8_t *)&random, sizeof random) != 0)
        random = (uint64_t)now; /* any number is better than all at once */
    int64_t wait = backoff_next(&r->backoff, random);
    if (wait < r->retry_after)
        wait = r->retry_after;
    if (r->o.give_up >= 0) {
        const int64_t left = r->o.give_up - (now - r->alone_since) / CLOCK_MS;
        wait = left < wait ? (left > 0 ? left : 0) : wait;
    }
    return wait;
}

/* False: it was closed meanwhile. */
static bool back_off(struct thrum_reconnect *r)
{
    struct pollfd bell = {.fd = r->token.bell, .events = POLLIN};
    lock_take(&r->lock);
    const int64_t wait = next_wait(r, clock_now()), until = clock_after(clock_now(), wait);
    const thrum_error why = r->error;
    const bool closed = r->phase == THRUM_PHASE_CLOSED;
    if (!closed)
        reconnect_set_phase(r, THRUM_PHASE_WAITING);
    lock_give(&r->lock);
    if (closed)
        return false;
    LOG(LOG_CONN, LOG_INFO, 0, "connecting to %s again in %lld ms", r->url, (long long)wait);
    reconnect_tell(r, THRUM_PHASE_WAITING, &why, wait);
    for (;;) {
        const int64_t now = clock_now();
        const int n = sys.poll(&bell, 1, clock_poll_ms(now, until));
        park_at_exit();
        if (n > 0)
            return false;
        if (clock_now() >= until)
            return true;
    }
}

/* ---- one attempt ----------------------------------------------------------------------------------------
 */

/* 503 and 429 may say when to come back. */
static int64_t retry_after_of(const struct thrum_reconnect *r, const thrum_response *answer)
{
    const int status = thrum_response_status(answer);
    const char *value =
        status == 503 || status == 429 ? thrum_response_header(answer, "Retry-After", 0) : NULL;
    int64_t ms = value ? backoff_retry_after(value, time(NULL)) : -1;
    if (r->o.retry_after >= 0 && ms > r->o.retry_after)
        ms = r->o.retry_after;
    return ms > 0 ? ms : 0;
}

static thrum_status connect_once(struct thrum_reconnect *r, thrum_conn **c, thrum_error *why)
{
    thrum_response *answer = NULL;
    memset(why, 0, sizeof *why);
    thrum_status s = connect_shared(c, r->url, r->settings, &r->token, &answer, why);
    const int64_t later = s == THRUM_OK ? 0 : retry_after_of(r, answer);
    thrum_response_free(answer);
    lock_take(&r->lock);
    r->attempts++;
    r->retry_after = later;
    r->handed = *c;
    lock_give(&r->lock);
    return s;
}

/* The new connection belongs to the hook alone. */
static thrum_status greet(struct thrum_reconnect *r, thrum_conn *c, thrum_error *why)
{
    struct telling k;
    if (!r->o.on_connected || !reconnect_may_tell(&k, r))
        return THRUM_OK;
    thrum_status s = r->o.on_connected(c, r->o.arg);
    reconnect_have_told(&k, r);
    if (s == THRUM_OK)
        return s;
    thrum_conn_error(c, why);
    if (why->status == THRUM_OK)
        error_set(why, s, "on_connected answered %s", thrum_status_name(s));
    return why->status;
}

/* [held] -> unlocked */
static void publish(struct thrum_reconnect *r, thrum_conn *c)
{
    r->handed = NULL;
    r->conn = c;
    r->running = false;
    r->failures = 0;
    r->connections++;
    r->opened_at = clock_now();
    reconnect_set_phase(r, THRUM_PHASE_OPEN);
    lock_give(&r->lock);
    reconnect_tell(r, THRUM_PHASE_OPEN, NULL, 0);
}

/* For the next connection, if there is to be one. */
static void keep_or_drop(struct thrum_reconnect *r, struct letter *l)
{
    lock_take(&r->lock);
    const bool closed = r->phase == THRUM_PHASE_CLOSED;
    if (!closed)
        unsent_push_first(&r->unsent, l);
    lock_give(&r->lock);
    if (closed)
        reconnect_drop(r, l);
}

/* Sends what waits, oldest first; once nothing does, the connection is everybody's. */
static thrum_status deliver(struct thrum_reconnect *r, thrum_conn *c, thrum_error *why)
{
    for (;;) {
        lock_take(&r->lock);
        struct letter *l = unsent_take(&r->unsent);
        if (r->phase == THRUM_PHASE_CLOSED) {
            lock_give(&r->lock);
            if (l) /* none: closing has dropped them all */
                reconnect_drop(r, l);
            return error_set(why, THRUM_E_CLOSED, "closed while it was connecting");
        }
        if (!l) {
            publish(r, c);
            return THRUM_OK;
        }
        lock_give(&r->lock);
        thrum_status s = thrum_send(c, l->kind, l->data, l->n);
        if (s != THRUM_OK &&
            s != THRUM_E_UNFINISHED) { /* the kernel has not taken all of it: nobody got it */
            keep_or_drop(r, l);
            thrum_conn_error(c, why);
            return why->status != THRUM_OK ? why->status : error_set(why, s, "%s", thrum_status_text(s));
        }
        mem_free(l);
    }
}

static thrum_status try_once(struct thrum_reconnect *r, thrum_error *why)
{
    thrum_conn *c = NULL;
    lock_take(&r->lock);
    const bool closed = r->phase == THRUM_PHASE_CLOSED;
    if (!closed)
        reconnect_set_phase(r, THRUM_PHASE_CONNECTING);
    lock_give(&r->lock);
    if (closed)
        return THRUM_E_CLOSED;
    reconnect_tell(r, THRUM_PHASE_CONNECTING, NULL, 0);
    thrum_status s = connect_once(r, &c, why);
    park_at_exit();
    s = s ? s : greet(r, c, why);
    s = s ? s : deliver(r, c, why);
    if (s == THRUM_OK)
        return s;
    lock_take(&r->lock);
    r->handed = NULL;
    lock_give(&r->lock);
    thrum_conn_free(c);
    return s;
}

/* ---- giving up ------------------------------------------------------------------------------------------
 */

static bool is_final(struct thrum_reconnect *r, const thrum_error *why, bool lost)
{
    struct telling k;
    int said = -1;
    if (r->o.is_final && reconnect_may_tell(&k, r)) {
        said = r->o.is_final(why, r->o.arg);
        reconnect_have_told(&k, r);
    }
    if (said >= 0)
        return said > 0;
    return !lost && backoff_is_final(why);
}

/* True: no further attempt. */
static bool has_failed(struct thrum_reconnect *r, const thrum_error *why, bool lost)
{
    lock_take(&r->lock);
    const bool closed = r->phase == THRUM_PHASE_CLOSED;
    if (!closed)
        r->error = *why;
    r->failures += !lost;
    const bool enough = (r->o.attempts > 0 && r->failures >= r->o.attempts) ||
                        (r->o.give_up >= 0 && clock_now() - r->alone_since >= r->o.give_up * CLOCK_MS);
    lock_give(&r->lock);
    if (closed)
        return true;
    LOG(LOG_CONN, LOG_INFO, 0, "%s: %s", r->url, why->text);
    if (!is_final(r, why, lost) && !enough)
        return false;
    thrum_conn *none = NULL;
    (void)reconnect_end(r, why->status, why, &none);
    return true;
}

static bool judge_loss(struct thrum_reconnect *r)
{
    lock_take(&r->lock);
    const bool lost = r->lost;
    const thrum_error why = r->error;
    r->lost = false;
    lock_give(&r->lock);
    return lost && has_failed(r, &why, true);
}

void reconnect_main(void *arg)
{
    struct thrum_reconnect *r = arg;
    thrum_error why = {0};
    bool on = !judge_loss(r);
    while (on) {
        if (r->again && !back_off(r))
            break;
        r->again = true;
        if (try_once(r, &why) == THRUM_OK) {
            on = false;
            continue;
        }
        on = !has_failed(r, &why, false);
    }
    park_at_exit();
    reconnect_unref(r);
}
