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

struct home_topics *topics_of_home(thrum_error *err)
{
    uint8_t key[16];
    struct home_topics *t = mem_alloc(sizeof *t);
    int e = t ? rand_bytes(key, sizeof key) : 0;
    if (e)
        error_os(err, THRUM_E_SYSTEM, e, "no randomness for the table of topics");
    if (!t || e || lock_init(&t->lock)) {
        mem_free(t);
        return NULL;
    }
    topics_init(&t->of, key);
    return t;
}

void topics_of_home_free(struct home_topics *t)
{
    topics_free(&t->of);
    lock_destroy(&t->lock);
    mem_free(t);
}

void topics_leave(struct lconn *c)
{
    if (!c->topics.member)
        return;
    struct home_topics *t = c->home->topics;
    lock_take(&t->lock);
    topic_unsubscribe_all(&t->of, &c->topics);
    lock_give(&t->lock);
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
    struct home_topics *t = c->home->topics;
    gate_in(c->home->loop);
    lock_take(&t->lock);
    s = topic_subscribe(&t->of, &c->topics, topic, strlen(topic));
    lock_give(&t->lock);
    gate_out(c->home->loop);
    return s;
}

thrum_status thrum_unsubscribe(thrum_conn *h, const char *topic)
{
    thrum_status s;
    struct lconn *c = subscribing(h, topic, &s);
    if (!c)
        return s;
    struct home_topics *t = c->home->topics;
    gate_in(c->home->loop);
    lock_take(&t->lock);
    bool was = topic_unsubscribe(&t->of, &c->topics, topic, strlen(topic));
    lock_give(&t->lock);
    gate_out(c->home->loop);
    return was ? THRUM_OK : THRUM_E_ARGUMENT;
}

size_t thrum_subscribers(const thrum_listener *s, const char *topic)
{
    struct thrum_listener *m = (struct thrum_listener *)(uintptr_t)s; /* its lock: asking changes nothing */
    size_t n = 0;
    if (!s || !topic || s->generation != atomic_load(&fork_generation))
        return 0;
    int cancel = cancel_off();
    lock_take(&m->lock); /* a home whose place is not NULL has its topics */
    for (size_t i = 0; i < m->nhomes; i++) {
        struct home_topics *t = m->homes[i] ? m->homes[i]->topics : NULL;
        if (!t)
            continue;
        lock_take(&t->lock);
        n += topic_count(&t->of, topic, strlen(topic));
        lock_give(&t->lock);
    }
    lock_give(&m->lock);
    cancel_back(cancel);
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
    (void)topic_publish(&h->topics->of, topic, n, deliver_one, &d);
}

static void open_publication(struct thrum_loop *l, struct letter *x)
{
    struct publication *p = (struct publication *)(void *)x;
    if (l && !p->home->over && !l->ending)
        deliver(p->home, p->topic, p->n, p->frame, NULL);
    home_unref(p->home);
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
    if (home_post(h, &p->letter) != THRUM_OK) {
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
