/* bench/server/load/drive.c: the phases and the event loop. All connections open; messages are checked byte
 * for byte (warm-up); the clock runs; the server's processor is sampled; what is under way comes back. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* OPENING at once: few enough for the shortest backlog of a peer, since a SYN too many waits a second. */
enum { OPENING = 64, EVENTS = 512, ROOM = 256 * 1024 };
static const int64_t patience = 20 * (int64_t)1000000000;
enum phase { PHASE_OPEN, PHASE_WARM, PHASE_RUN, PHASE_SHARE, PHASE_DRAIN, PHASE_OVER };

static struct conn *conns;
static size_t conn_count, begun, opened, unchecked;
static enum phase phase;
static int64_t phase_began, last_news;
static uint64_t sent;
static int64_t broadcast_at;
static uint64_t broadcast_left; /* deliveries of the message under way */
static struct agreement agreement;
static uint8_t room[ROOM];

/* ---- messages -------------------------------------------------------------------------------------------
 */

static void burst(struct conn *c)
{
    const size_t end = c->next + opt.depth, begin = reel.messages[c->next].begin[c->turn];
    const size_t n = (end < reel.count ? reel.messages[end].begin[c->turn] : reel.end[c->turn]) - begin;
    const uint8_t *p = reel.frames[c->turn] + begin;
    c->next = end < reel.count ? end : 0;
    if (c->next == 0)
        c->turn = (uint8_t)(reel.turns - 1);
    c->in_flight = (unsigned)opt.depth;
    c->sent_at = now_ns();
    sent += opt.depth;
    if (opt.broadcast) {
        broadcast_at = c->sent_at;
        broadcast_left = conn_count;
    }
    conn_send(c, p, n);
}

static void take(struct conn *c, unsigned ended)
{
    const int64_t now = now_ns();
    last_news = now;
    if (phase == PHASE_RUN)
        histogram_add(now - (opt.broadcast ? broadcast_at : c->sent_at), ended);
    if (checking && c->checked >= opt.depth && c->checked - ended < opt.depth)
        unchecked--;
    if (opt.broadcast) {
        if (ended > broadcast_left)
            die("a message was delivered more than once");
        broadcast_left -= ended;
        if (broadcast_left == 0 && phase != PHASE_DRAIN)
            burst(&conns[0]);
        return;
    }
    if (ended > c->in_flight)
        die("more messages came back than were sent");
    c->in_flight -= ended;
    if (c->in_flight == 0 && phase != PHASE_DRAIN)
        burst(c);
}

static void serve(struct conn *c)
{
    if (c->out_left > 0)
        conn_flush(c);
    for (bool more = true; more;) {
        more = false;
        const size_t n = conn_read(c, room, ROOM, &more);
        const unsigned ended = n > 0 ? scan(c, room, n) : 0;
        if (ended > 0)
            take(c, ended);
    }
}

/* ---- phases ---------------------------------------------------------------------------------------------
 */

static void open_some(void)
{
    while (begun < conn_count && begun - opened < (opened == 0 ? 1 : OPENING)) {
        conn_begin(&conns[begun], begun);
        begun++;
    }
}

static void open_on(struct conn *c)
{
    conn_open(c, &agreement);
    if (c->stage != STAGE_OPEN)
        return;
    last_news = now_ns();
    if (opened++ == 0)
        reel_make(&agreement); /* from here on what the server agrees to is known; it is one for all */
    scan_begin(c, &agreement);
    open_some();
}

static void start_messages(void)
{
    checking = true;
    unchecked = conn_count;
    if (opt.broadcast)
        burst(&conns[0]);
    for (size_t i = 0; i < conn_count && !opt.broadcast; i++)
        burst(&conns[i]);
}

static bool all_back(void)
{
    uint64_t left = broadcast_left;
    for (size_t i = 0; i < conn_count && !opt.broadcast; i++)
        left += conns[i].in_flight;
    return left == 0;
}

static void end_checks(void)
{
    checking = false;
    for (size_t i = 0; i < conn_count; i++)
        scan_end(&conns[i]);
}

static void after_run(struct outcome *o)
{
    meter_read(&o->end);
    o->run = seen;
    o->rss = meter_memory("VmRSS:");
    o->peak = meter_memory("VmHWM:");
}

static void enter(enum phase next, int64_t now)
{
    phase = next;
    phase_began = now;
}

static double spent(int64_t now)
{
    return (double)(now - phase_began) / 1e9;
}

/* One step further where it is time; called between two turns of the loop. */
static void advance(struct outcome *o, int64_t now)
{
    switch (phase) {
    case PHASE_OPEN:
        if (opened < conn_count)
            break;
        o->open_seconds = spent(now);
        enter(PHASE_WARM, now);
        start_messages();
        break;
    case PHASE_WARM:
        if (spent(now) < opt.warm || unchecked > 0)
            break;
        end_checks();
        seen = (struct counts){0};
        meter_read(&o->begin);
        enter(PHASE_RUN, o->begin.at);
        break;
    case PHASE_RUN:
        if (spent(now) < opt.run || seen.messages < conn_count)
            break; /* one that answers all together takes a turn of all for anything to be back */
        after_run(o);
        o->sampled = meter_sample_begin();
        enter(o->sampled ? PHASE_SHARE : PHASE_DRAIN, now_ns());
        break;
    case PHASE_SHARE:
        if (spent(now) < opt.share)
            break;
        meter_sample_end(&o->sampled_user, &o->sampled_kernel);
        enter(PHASE_DRAIN, now);
        break;
    case PHASE_DRAIN:
        if (all_back())
            enter(PHASE_OVER, now);
        break;
    case PHASE_OVER: break;
    }
}

/* It does not sleep while messages are under way: whoever sends to a sleeper wakes up its processor, which in
 * a virtual machine costs the server several times what it takes for a message, and on no two occasions the
 * same. */
void drive(struct outcome *o)
{
    struct epoll_event events[EVENTS];
    conn_count = opt.conns + opt.broadcast;
    conns = must(calloc(conn_count, sizeof *conns));
    poller = epoll_create1(EPOLL_CLOEXEC);
    last_news = now_ns();
    enter(PHASE_OPEN, last_news);
    open_some();
    while (phase != PHASE_OVER) {
        const int n = epoll_wait(poller, events, EVENTS, phase == PHASE_OPEN ? 10 : 0);
        if (n < 0 && errno != EINTR)
            die("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->stage != STAGE_OPEN)
                open_on(c);
            else
                serve(c);
        }
        const int64_t now = now_ns();
        if (now - last_news > patience)
            die("nothing came from the server for %lld seconds (%zu of %zu connections are open)",
                (long long)(patience / 1000000000), opened, conn_count);
        advance(o, now);
    }
    o->sent = sent;
    o->agreement = agreement;
    for (size_t i = 0; i < conn_count; i++)
        conn_end(&conns[i]);
    free(conns);
    reel_free();
}
