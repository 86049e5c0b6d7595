/* topic.c: two hash tables of topics, one of exact keys, one of prefixes. A topic has a set of members, which
 * are subscribers with at least one subscription, and a member a set of its topics: so a subscription is two
 * places in two sets, and is found from either side. Topics and members are there as long as their sets have
 * anything in them. */
#include "event/topic.h"

#include "base/mem.h"
#include "base/prefetch.h"
#include "base/set.h"
#include <assert.h>
#include <string.h>

enum { BUCKETS = 16 };

struct topic {
    struct topic *next; /* of the same bucket */
    struct set members;
    uint32_t hash;
    uint8_t n;
    bool is_prefix;
    char text[]; /* of a prefix without the "*" */
};
struct topic_member {
    struct subscriber *owner;
    struct set topics;
    uint64_t told; /* the latest publication that it need not be told of any more */
};
struct key {
    struct topic_table *in;
    const char *text;
    size_t n;
    uint32_t hash;
};

/* ---- tables ---------------------------------------------------------------------------------------------
 */

static void rehash(struct topic_table *in, uint32_t cap)
{
    struct topic **buckets = cap > 0 ? mem_zalloc(cap * sizeof *buckets) : NULL;
    if (!buckets) /* the old ones go on to do, with longer chains or more room than is needed */
        return;
    for (uint32_t i = 0; i < in->cap; i++)
        for (struct topic *t = in->buckets[i], *next; t; t = next) {
            next = t->next;
            t->next = buckets[t->hash & (cap - 1)];
            buckets[t->hash & (cap - 1)] = t;
        }
    mem_free(in->buckets);
    in->buckets = buckets;
    in->cap = cap;
}

static struct topic **place_of(const struct key *k)
{
    struct topic **at = &k->in->buckets[k->hash & (k->in->cap - 1)];
    while (*at && !((*at)->hash == k->hash && (*at)->n == k->n && memcmp((*at)->text, k->text, k->n) == 0))
        at = &(*at)->next;
    return at;
}

static struct topic *find(const struct key *k)
{
    return k->in->cap > 0 ? *place_of(k) : NULL;
}

static struct key key_of(struct topics *t, const char *text, size_t n)
{
    struct siphash h = t->fresh;
    bool is_prefix = n > 0 && text[n - 1] == '*';
    n -= is_prefix;
    siphash_add(&h, text, n);
    return (struct key){is_prefix ? &t->prefixes : &t->exact, text, n, (uint32_t)siphash_value(&h)};
}

/* ---- topics and members ---------------------------------------------------------------------------------
 */

static struct topic *topic_new(struct topics *t, const struct key *k)
{
    struct topic *topic = mem_alloc(sizeof *topic + k->n);
    if (topic && k->in->n >= k->in->cap)
        rehash(k->in, k->in->cap > 0 ? k->in->cap * 2 : BUCKETS);
    if (!topic || k->in->cap == 0) {
        mem_free(topic);
        return NULL;
    }
    *topic = (struct topic){.hash = k->hash, .n = (uint8_t)k->n, .is_prefix = k->in == &t->prefixes};
    memcpy(topic->text, k->text, k->n);
    *place_of(k) = topic;
    k->in->n++;
    t->lengths[k->n] += topic->is_prefix;
    return topic;
}

static void topic_end(struct topics *t, struct topic *topic)
{
    struct topic_table *in = topic->is_prefix ? &t->prefixes : &t->exact;
    struct topic **at = &in->buckets[topic->hash & (in->cap - 1)];
    while (*at != topic)
        at = &(*at)->next;
    *at = topic->next;
    in->n--;
    t->lengths[topic->n] -= topic->is_prefix;
    if (t->at == topic)
        t->at = NULL;
    mem_free(topic);
    if (in->n == 0) {
        mem_free(in->buckets);
        *in = (struct topic_table){0};
    } else if (in->cap > BUCKETS && in->n < in->cap / 8) {
        rehash(in, in->cap / 4);
    }
}

static struct topic_member *member_new(const struct topics *t, struct subscriber *s)
{
    struct topic_member *m = mem_alloc(sizeof *m);
    if (m)
        *m = (struct topic_member){.owner = s, .told = t->number};
    s->member = m;
    return m;
}

static void member_end(struct topic_member *m)
{
    set_free(&m->topics);
    m->owner->member = NULL;
    mem_free(m);
}

static void leave(struct topics *t, struct topic *topic, struct topic_member *m)
{
    (void)set_remove(&topic->members, m);
    if (topic->members.live == 0)
        topic_end(t, topic);
}

/* ---- calls ----------------------------------------------------------------------------------------------
 */

void topics_init(struct topics *t, const uint8_t key[16])
{
    *t = (struct topics){0};
    siphash_init(&t->fresh, key);
}

static void table_free(struct topic_table *in)
{
    for (uint32_t b = 0; b < in->cap; b++)
        for (struct topic *topic = in->buckets[b], *next; topic; topic = next) {
            next = topic->next;
            for (uint32_t i = 0; i < set_places(&topic->members); i++) {
                struct topic_member *m = set_at(&topic->members, i);
                if (m && set_remove(&m->topics, topic) && m->topics.live == 0)
                    member_end(m);
            }
            set_free(&topic->members);
            mem_free(topic);
        }
    mem_free(in->buckets);
    *in = (struct topic_table){0};
}

void topics_free(struct topics *t)
{
    assert(!t->publishing);
    table_free(&t->exact);
    table_free(&t->prefixes);
    memset(t->lengths, 0, sizeof t->lengths);
}

static thrum_status join(struct topic *topic, struct topic_member *m)
{
    if (set_add(&topic->members, m) != THRUM_OK)
        return THRUM_E_MEMORY;
    if (set_add(&m->topics, topic) == THRUM_OK)
        return THRUM_OK;
    (void)set_remove(&topic->members, m);
    return THRUM_E_MEMORY;
}

thrum_status topic_subscribe(struct topics *t, struct subscriber *s, const char *key, size_t n)
{
    if (n > TOPIC_MAX)
        return THRUM_E_ARGUMENT;
    struct key k = key_of(t, key, n);
    struct topic *topic = find(&k);
    if (topic && s->member && set_has(&s->member->topics, topic))
        return THRUM_OK;
    struct topic_member *m = s->member ? s->member : member_new(t, s);
    if (!topic)
        topic = topic_new(t, &k);
    if (m && topic && join(topic, m) == THRUM_OK)
        return THRUM_OK;
    if (topic && topic->members.live == 0)
        topic_end(t, topic);
    if (m && m->topics.live == 0)
        member_end(m);
    return THRUM_E_MEMORY;
}

bool topic_unsubscribe(struct topics *t, struct subscriber *s, const char *key, size_t n)
{
    if (n > TOPIC_MAX || !s->member)
        return false;
    struct key k = key_of(t, key, n);
    struct topic *topic = find(&k);
    if (!topic || !set_remove(&s->member->topics, topic))
        return false;
    leave(t, topic, s->member);
    if (s->member->topics.live == 0)
        member_end(s->member);
    return true;
}

void topic_unsubscribe_all(struct topics *t, struct subscriber *s)
{
    struct topic_member *m = s->member;
    if (!m)
        return;
    for (uint32_t i = 0; i < set_places(&m->topics); i++) {
        struct topic *topic = set_at(&m->topics, i);
        if (topic)
            leave(t, topic, m);
    }
    member_end(m);
}

size_t topic_count(struct topics *t, const char *key, size_t n)
{
    if (n > TOPIC_MAX)
        return 0;
    struct key k = key_of(t, key, n);
    const struct topic *topic = find(&k);
    return topic ? topic->members.live : 0;
}

/* ---- publication ----------------------------------------------------------------------------------------
 */

struct teller {
    void (*fn)(struct subscriber *s, void *arg);
    void *arg;
    size_t told;
};

/* With many subscribers, what is to be read of each is not in the cache: it is fetched while those before it
 * are told. */
static void foresee(const struct topic *topic, uint32_t i)
{
    enum { AROUND = 256 /* bytes of what a subscriber is part of */ };
    uint32_t places = set_places(&topic->members);
    struct topic_member *far = i + 2 < places ? set_at(&topic->members, i + 2) : NULL;
    struct topic_member *near = i + 1 < places ? set_at(&topic->members, i + 1) : NULL;
    if (far)
        prefetch(far, sizeof *far);
    if (near)
        prefetch(near->owner, AROUND);
}

/* The set may change at each call, and be gone with its topic after it. Where its elements have moved, the
 * walk begins anew: whom it meets again has been told. */
static void tell(struct topics *t, struct topic *topic, struct teller *by)
{
    uint32_t moves = topic->members.moves;
    t->at = topic;
    for (uint32_t i = 0; t->at == topic && i < set_places(&topic->members); i++) {
        struct topic_member *m = set_at(&topic->members, i);
        if (!m || m->told == t->number)
            continue;
        foresee(topic, i);
        m->told = t->number;
        by->told++;
        by->fn(m->owner, by->arg);
        if (t->at == topic && topic->members.moves != moves) {
            moves = topic->members.moves;
            i = UINT32_MAX; /* 0 is next */
        }
    }
    t->at = NULL;
}

static void tell_prefixes(struct topics *t, const char *text, size_t n, struct teller *by)
{
    struct siphash h = t->fresh;
    for (size_t i = 0; i <= n && t->prefixes.n > 0; i++) {
        if (i > 0)
            siphash_add(&h, text + i - 1, 1);
        if (t->lengths[i] == 0)
            continue;
        struct topic *topic = find(&(struct key){&t->prefixes, text, i, (uint32_t)siphash_value(&h)});
        if (topic)
            tell(t, topic, by);
    }
}

size_t topic_publish(struct topics *t, const char *topic, size_t n,
                     void (*fn)(struct subscriber *s, void *arg), void *arg)
{
    assert(!t->publishing);
    if (n > TOPIC_MAX)
        return 0;
    struct siphash h = t->fresh;
    struct teller by = {fn, arg, 0};
    t->publishing = true;
    t->number++;
    siphash_add(&h, topic, n);
    struct topic *exact = find(&(struct key){&t->exact, topic, n, (uint32_t)siphash_value(&h)});
    if (exact)
        tell(t, exact, &by);
    tell_prefixes(t, topic, n, &by);
    t->publishing = false;
    return by.told;
}
