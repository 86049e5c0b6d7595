/* topic.h: who of one loop has subscribed to what. It knows nothing of connections: a subscriber is a pointer
 * inside of one, and is told of a publication by a callback.
 *
 * A key is any text of up to TOPIC_MAX bytes. With "*" as its last byte it stands for all topics that begin
 * with what is before, itself included; anywhere else "*" is a byte like others. */
#ifndef EVENT_TOPIC_H
#define EVENT_TOPIC_H

#include "base/siphash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thrum/status.h>

enum { TOPIC_MAX = 255 };

struct topic;
struct topic_member;
struct subscriber { /* all zero: no subscriptions, and no memory. Does not move while it has any */
    struct topic_member *member;
};
struct topic_table {
    struct topic **buckets;
    uint32_t n, cap;
};
struct topics {
    struct topic_table exact, prefixes;
    uint32_t lengths[TOPIC_MAX + 1]; /* how many prefixes there are of each length */
    struct siphash fresh;            /* with the key in, nothing else */
    uint64_t number;                 /* of the latest publication */
    struct topic *at;                /* whose subscribers are being told; NULL once it is gone */
    bool publishing;
};

/* key: random bytes, as the texts of topics may come from peers. */
void topics_init(struct topics *t, const uint8_t key[16]);
void topics_free(struct topics *t); /* unsubscribes whoever is left; not from within a publication */

/* Both cost the same however many subscribers and subscriptions there are. n bytes, which may hold NULs.
 * Again: THRUM_OK. E_ARGUMENT: over TOPIC_MAX; E_MEMORY: nothing has changed. */
thrum_status topic_subscribe(struct topics *t, struct subscriber *s, const char *key, size_t n);
bool topic_unsubscribe(struct topics *t, struct subscriber *s, const char *key,
                       size_t n); /* false: was not */
/* Before the subscriber is freed. Costs as much as it has subscriptions. */
void topic_unsubscribe_all(struct topics *t, struct subscriber *s);
size_t topic_count(struct topics *t, const char *key, size_t n); /* subscribers of exactly this key */

/* Calls fn once for each subscriber that has a subscription that the topic matches, and says how often it
 * did. fn may subscribe and unsubscribe anyone and free any subscriber, its own included, but not publish.
 * Who is unsubscribed meanwhile is not told any more; who had no subscription at all before is not told yet,
 * and who subscribes to one more key meanwhile may be told or not. The topic's text has to stay until this
 * returns. Over TOPIC_MAX: nobody. */
size_t topic_publish(struct topics *t, const char *topic, size_t n,
                     void (*fn)(struct subscriber *s, void *arg), void *arg);

#endif
