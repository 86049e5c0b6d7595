/* subscribe.c: topics as users see them. Subscriptions are the loop's that the connection is on; a message is
 * encoded once, and goes to the other loops as a letter with a reference to it. */
#include "event/subscribe.h"

#include "base/fork.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"
#include "base/thread.h"
#include "event/gate.h"
#include "event/listener.h"
#include "event/topic.h"
#include "wire/utf8.h"
#include <string.h>

struct topics *topics_of_home(thrum_error *err)
{
    uint8_t key[16];
    struct topics *t = mem_alloc(sizeof *t);
    int e = t ? rand_bytes(key, sizeof key) : 0;
    if (!t || e) {
        mem_free(t);
        if (e)
            error_os(err, THRUM_E_SYSTEM, e, "no randomness for the table of topics");
        return NULL;
    }
    topics_init(t, key);
    return t;
}

void topics_of_home_free(struct topics *t)
{
    topics_free(t);
    mem_free(t);
}

void topics_leave(struct lconn *c)
{
    if (c->home->topics)
        topic_unsubscribe_all(c->home->topics, &c->topics);
}

static struct lconn *subscribing(thrum_conn *h, const char *topic, thrum_status *s)
{
    *s = THRUM_E_ARGUMENT;
    if (!h || !topic || strlen(topic) > TOPIC_MAX)
        return NULL;
    *s = THRUM_E_STATE;
    struct lconn *c = (struct lconn *)(void *)h;
    if (front_of(h) != &loop_front || !c->home->topics)
        return NULL;
    *s = loop_mine(c->home->loop);
    if (*s == THRUM_OK && !loop_is_here(c->home->loop))
        *s = THRUM_E_THREAD;
    return *s == THRUM_OK ? c : NULL;
}

thrum_status thrum_subscribe(thrum_conn *h, const char *topic)
{
    thrum_status s;
    struct lconn *c = subscribing(h, topic, &s);
    if (!c)
        return s;
    if (!c->opened || c->ended || c->deaf)
        return THRUM_E_STATE;
    gate_in(c->home->loop);
    s = topic_subscribe(c->home->topics, &c->topics, topic, strlen(topic));
    gate_out(c->home->loop);
    return s;
}

thrum_status thrum_unsubscribe(thrum_conn *h, const char *topic)
{
    thrum_status s;
    struct lconn *c = subscribing(h, topic, &s);
    if (!c)
        return s;
    gate_in(c->home->loop);
    bool was = topic_unsubscribe(c->home->topics, &c->topics, topic, strlen(topic));
    gate_out(c->home->loop);
    return was ? THRUM_OK : THRUM_E_ARGUMENT;
}

size_t thrum_subscribers(const thrum_listener *s, const char *topic)
{
    size_t n = 0;
    for (size_t i = 0; s && topic && i < s->nhomes; i++) {
        struct home *h = s->homes[i];
        if (h && loop_mine(h->loop) == THRUM_OK && loop_is_here(h->loop))
            n += topic_count(h->topics, topic, strlen(topic));
    }
    return n;
}

/* ---- publishing
 * ----------------------------------------------------------------------------------------------------- */

struct publication {
    struct letter letter; /* first */
    struct home *home;
    struct shared *frame;
    size_t n;
    char topic[];
};

struct delivery {
    struct shared *frame;
    const struct lconn *except; /* NULL: nobody */
};

static void deliver_one(struct subscriber *s, void *arg)
{
    const struct delivery *d = arg;
    struct lconn *c = list_of(s, struct lconn, topics);
    if (c != d->except)
        (void)lconn_send_shared(c,
                                d->frame); /* who is full is passed over, or dealt with as the options say */
}

static void deliver(struct home *h, const char *topic, size_t n, struct shared *frame,
                    const struct lconn *except)
{
    struct delivery d = {frame, except};
    (void)topic_publish(h->topics, topic, n, deliver_one, &d);
}

static void open_publication(struct thrum_loop *l, struct letter *x)
{
    struct publication *p = (struct publication *)(void *)x;
    lock_take(&p->home->listener->lock);
    bool there = !p->home->over && !l->ending;
    lock_give(&p->home->listener->lock);
    if (there)
        deliver(p->home, p->topic, p->n, p->frame, NULL);
    shared_drop(p->frame);
    mem_free(p);
}

static thrum_status post_publication(struct home *h, const char *topic, size_t n, struct shared *frame)
{
    struct publication *p = mem_alloc(sizeof *p + n);
    if (!p)
        return THRUM_E_MEMORY;
    *p = (struct publication){.letter.open = open_publication, .home = h, .frame = frame, .n = n};
    memcpy(p->topic, topic, n);
    atomic_fetch_add(&frame->refs, 1);
    if (post_letter(h->loop, &p->letter) != THRUM_OK) { /* its loop has ended */
        shared_drop(frame);
        mem_free(p);
    }
    return THRUM_OK;
}

static thrum_status publish(struct thrum_listener *s, const char *topic, struct shared *frame,
                            const struct lconn *from)
{
    size_t n = strlen(topic);
    struct home *here = NULL;
    thrum_status st = THRUM_OK;
    lock_take(&s->lock);
    for (size_t i = 0; i < s->nhomes && st == THRUM_OK; i++) {
        if (s->homes[i] && loop_is_here(s->homes[i]->loop))
            here = s->homes[i];
        else if (s->homes[i])
            st = post_publication(s->homes[i], topic, n, frame);
    }
    lock_give(&s->lock);
    if (here) {
        gate_in(here->loop);
        deliver(here, topic, n, frame, from);
        loop_after_call(here->loop);
        gate_out(here->loop);
    }
    return st;
}

static thrum_status publish_checked(struct thrum_listener *s, const char *topic, thrum_kind k, const void *p,
                                    size_t n, const struct lconn *from)
{
    if (!topic || strlen(topic) > TOPIC_MAX || (k != THRUM_TEXT && k != THRUM_BINARY) || (!p && n > 0))
        return THRUM_E_ARGUMENT;
    if (k == THRUM_TEXT && !utf8_valid(p, n))
        return THRUM_E_UTF8;
    struct shared *frame = shared_new(k, (thrum_slice){p, n});
    if (!frame)
        return THRUM_E_MEMORY;
    int cancel = cancel_off();
    thrum_status st = publish(s, topic, frame, from);
    shared_drop(frame);
    cancel_back(cancel);
    return st;
}

thrum_status thrum_publish(thrum_listener *s, const char *topic, thrum_kind k, const void *p, size_t n)
{
    if (!s)
        return THRUM_E_ARGUMENT;
    if (s->generation != atomic_load(&fork_generation))
        return THRUM_E_FORKED;
    return publish_checked(s, topic, k, p, n, NULL);
}

thrum_status thrum_publish_from(thrum_conn *h, const char *topic, thrum_kind k, const void *p, size_t n)
{
    thrum_status s = THRUM_E_ARGUMENT;
    struct lconn *c = topic ? subscribing(h, topic, &s) : NULL;
    return c ? publish_checked(c->home->listener, topic, k, p, n, c) : s;
}
