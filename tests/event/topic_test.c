/* topic_test.c: a seeded run of all calls against a plain table of who has which key, also from within
 * publications; failing allocations, one after the other; how much memory subscriptions take. */
#include "event/topic.h"
#include "event_test.h"

enum { PEOPLE = 40, KEYS = 60, STEPS = 60000, MANY = 10000 };

static const uint8_t hash_key[16] = "0123456789abcde";
static uint32_t seed = 12345;

static uint32_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

/* ---- the model ------------------------------------------------------------------------------------------
 */

struct person {
    struct subscriber sub;
    size_t number;
};
static struct topics topics;
static struct person *people[PEOPLE]; /* blocks of their own, so that a freed one is missed */
static char keys[KEYS][8];
static bool has[PEOPLE][KEYS];

static bool covers(const char *key, const char *topic)
{
    size_t n = strlen(key);
    if (n > 0 && key[n - 1] == '*')
        return strncmp(key, topic, n - 1) == 0;
    return strcmp(key, topic) == 0;
}

static bool is_meant(size_t person, const char *topic)
{
    for (size_t k = 0; k < KEYS; k++)
        if (has[person][k] && covers(keys[k], topic))
            return true;
    return false;
}

static struct person *person_new(size_t number)
{
    struct person *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->number = number;
    return p;
}

static void random_text(char text[8])
{
    size_t n = next() % 5;
    for (size_t i = 0; i < n; i++)
        text[i] = "aab*"[next() % 4];
    text[n] = 0;
}

static void start(void)
{
    counter_on();
    topics_init(&topics, hash_key);
    for (size_t i = 0; i < PEOPLE; i++)
        people[i] = person_new(i);
    for (size_t k = 0; k < KEYS; k++) {
        bool is_new;
        do {
            random_text(keys[k]);
            is_new = true;
            for (size_t i = 0; i < k; i++)
                is_new = is_new && strcmp(keys[i], keys[k]) != 0;
        } while (!is_new);
    }
    memset(has, 0, sizeof has);
}

static void finish(void)
{
    for (size_t i = 0; i < PEOPLE; i++)
        free(people[i]);
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

static size_t change(void) /* one at random; whom */
{
    size_t i = next() % PEOPLE, k = next() % KEYS, n = strlen(keys[k]);
    switch (next() % 16) {
    case 0:
        topic_unsubscribe_all(&topics, &people[i]->sub);
        memset(has[i], 0, sizeof has[i]);
        assert_null(people[i]->sub.member);
        break;
    case 1:
        topic_unsubscribe_all(&topics, &people[i]->sub);
        memset(has[i], 0, sizeof has[i]);
        free(people[i]);
        people[i] = person_new(i);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
        assert_int_equal(topic_unsubscribe(&topics, &people[i]->sub, keys[k], n), has[i][k]);
        has[i][k] = false;
        break;
    default:
        assert_int_equal(topic_subscribe(&topics, &people[i]->sub, keys[k], n), THRUM_OK);
        has[i][k] = true;
    }
    return i;
}

static void check_counts(void)
{
    for (size_t k = 0; k < KEYS; k++) {
        size_t n = 0;
        for (size_t i = 0; i < PEOPLE; i++)
            n += has[i][k];
        assert_int_equal(topic_count(&topics, keys[k], strlen(keys[k])), n);
    }
}

/* ---- the runs -------------------------------------------------------------------------------------------
 */

struct publication {
    char topic[8];
    bool stirs; /* fn changes things */
    bool meant[PEOPLE], touched[PEOPLE];
    int told[PEOPLE];
};

static void on_publication(struct subscriber *s, void *arg)
{
    struct publication *p = arg;
    size_t i = ((struct person *)(void *)s)->number;
    assert_true(s == &people[i]->sub && is_meant(i, p->topic));
    p->told[i]++;
    for (uint32_t n = p->stirs ? next() % 6 : 0; n > 0; n--)
        p->touched[change()] = true;
}

static void publish(bool stirs)
{
    struct publication p = {.stirs = stirs};
    size_t told = 0;
    random_text(p.topic);
    for (size_t i = 0; i < PEOPLE; i++)
        p.meant[i] = is_meant(i, p.topic);
    size_t n = topic_publish(&topics, p.topic, strlen(p.topic), on_publication, &p);
    for (size_t i = 0; i < PEOPLE; i++) {
        assert_in_range(p.told[i], 0, 1);
        if (!p.touched[i])
            assert_int_equal(p.told[i], p.meant[i]);
        told += (size_t)p.told[i];
    }
    assert_int_equal(n, told);
}

static void test_against_a_table(void **state)
{
    (void)state;
    start();
    for (int i = 0; i < STEPS; i++) {
        change();
        if (i % 4 == 0)
            publish(i % 8 == 0);
        if (i % 64 == 0)
            check_counts();
        if (i % 10000 == 9999) { /* nothing is left of what is gone */
            for (size_t k = 0; k < PEOPLE; k++)
                topic_unsubscribe_all(&topics, &people[k]->sub);
            memset(has, 0, sizeof has);
            assert_int_equal(counter.live, 0);
        }
    }
    topics_free(&topics);
    for (size_t i = 0; i < PEOPLE; i++)
        assert_null(people[i]->sub.member);
    memset(has, 0, sizeof has);
    check_counts();
    finish();
}

static void count_call(struct subscriber *s, void *arg)
{
    (void)s;
    ++*(size_t *)arg;
}

static size_t told(const char *topic, size_t n)
{
    size_t calls = 0;
    size_t answer = topic_publish(&topics, topic, n, count_call, &calls);
    assert_int_equal(answer, calls);
    return calls;
}

static thrum_status subscribe(struct subscriber *s, const char *key)
{
    return topic_subscribe(&topics, s, key, strlen(key));
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t key_n;
        const char *topic;
        size_t topic_n;
        bool match;
    } v[] = {
        {"a", 1, "a", 1, true},
        {"a", 1, "A", 1, false},
        {"a", 1, "ab", 2, false},
        {"ab", 2, "a", 1, false},
        {"", 0, "", 0, true},
        {"", 0, "a", 1, false},
        {"a*", 2, "a", 1, true},
        {"a*", 2, "ab", 2, true},
        {"a*", 2, "", 0, false},
        {"a*", 2, "ba", 2, false},
        {"*", 1, "", 0, true},
        {"*", 1, "x", 1, true},
        {"*", 1, "*", 1, true},
        {"a*", 2, "a*", 2, true},
        {"**", 2, "*", 1, true},
        {"**", 2, "a", 1, false},
        {"a*b", 3, "a*b", 3, true},
        {"a*b", 3, "axb", 3, false},
        {"a\0b", 3, "a\0b", 3, true},
        {"a\0b", 3, "a\0c", 3, false},
        {"a\0*", 3, "a\0b", 3, true},
        {"a\0*", 3, "a", 1, false},
        {"\xff*", 2, "\xff\xfe", 2, true},
    };
    topics_init(&topics, hash_key);
    for (size_t i = 0; i < COUNT(v); i++) {
        struct subscriber s = {0};
        assert_int_equal(topic_subscribe(&topics, &s, v[i].key, v[i].key_n), THRUM_OK);
        assert_int_equal(topic_count(&topics, v[i].key, v[i].key_n), 1);
        if (told(v[i].topic, v[i].topic_n) != v[i].match)
            fail_msg("%s and %s", v[i].key, v[i].topic);
        assert_true(topic_unsubscribe(&topics, &s, v[i].key, v[i].key_n));
        assert_false(topic_unsubscribe(&topics, &s, v[i].key, v[i].key_n));
        assert_int_equal(told(v[i].topic, v[i].topic_n), 0);
    }
    topics_free(&topics);
}

/* "a" and "a*" are two keys, counted and left each for itself; one message comes once. */
static void test_several_keys_of_one(void **state)
{
    (void)state;
    struct subscriber s = {0}, other = {0};
    topics_init(&topics, hash_key);
    const char *const all[] = {"a", "a*", "*", "ab*", "ab", "ab*"};
    for (size_t i = 0; i < COUNT(all); i++)
        assert_int_equal(subscribe(&s, all[i]), THRUM_OK);
    assert_int_equal(subscribe(&other, "ab"), THRUM_OK);
    assert_int_equal(topic_count(&topics, "ab*", 3), 1);
    assert_int_equal(topic_count(&topics, "ab", 2), 2);
    assert_int_equal(told("ab", 2), 2);
    assert_int_equal(told("abc", 3), 1);
    assert_true(topic_unsubscribe(&topics, &s, "ab", 2));
    assert_int_equal(topic_count(&topics, "ab", 2), 1);
    assert_int_equal(topic_count(&topics, "ab*", 3), 1);
    assert_false(topic_unsubscribe(&topics, &other, "a", 1));
    assert_int_equal(told("ab", 2), 2);
    topic_unsubscribe_all(&topics, &s);
    topic_unsubscribe_all(&topics, &s);
    assert_int_equal(told("ab", 2), 1);
    topic_unsubscribe_all(&topics, &other);
    topics_free(&topics);
}

static void test_limits(void **state)
{
    (void)state;
    char text[TOPIC_MAX + 2];
    struct subscriber s = {0}, prefix = {0};
    memset(text, 'x', sizeof text);
    topics_init(&topics, hash_key);
    assert_int_equal(topic_subscribe(&topics, &s, text, TOPIC_MAX + 1), THRUM_E_ARGUMENT);
    assert_null(s.member);
    assert_int_equal(topic_subscribe(&topics, &s, text, TOPIC_MAX), THRUM_OK);
    assert_int_equal(told(text, TOPIC_MAX), 1);
    assert_int_equal(topic_count(&topics, text, TOPIC_MAX), 1);
    assert_int_equal(topic_count(&topics, text, TOPIC_MAX + 1), 0);
    text[TOPIC_MAX - 1] = '*';
    assert_int_equal(topic_subscribe(&topics, &prefix, text, TOPIC_MAX), THRUM_OK);
    text[TOPIC_MAX] = '*';
    assert_int_equal(topic_subscribe(&topics, &prefix, text, TOPIC_MAX + 1), THRUM_E_ARGUMENT);
    text[TOPIC_MAX] = text[TOPIC_MAX - 1] = 'x';
    assert_int_equal(told(text, TOPIC_MAX), 2);
    assert_int_equal(told(text, TOPIC_MAX - 1), 1);
    assert_int_equal(told(text, TOPIC_MAX - 2), 0);
    assert_int_equal(told(text, TOPIC_MAX + 1), 0);
    assert_false(topic_unsubscribe(&topics, &s, text, TOPIC_MAX + 1));
    topics_free(&topics);
    assert_true(!s.member && !prefix.member);
}

/* ---- changes from within --------------------------------------------------------------------------------
 */

struct crowd {
    struct subscriber *v;
    size_t n, told;
};

/* The first who is told ends all others and frees them. */
static void end_all_others(struct subscriber *s, void *arg)
{
    struct crowd *c = arg;
    c->told++;
    for (size_t i = 0; i < c->n; i++)
        if (&c->v[i] != s)
            topic_unsubscribe_all(&topics, &c->v[i]);
    topic_unsubscribe_all(&topics, s);
    free(c->v);
}

/* Each one who is told brings in another, who is not to be told yet, and comes back himself. */
static void bring_another(struct subscriber *s, void *arg)
{
    struct crowd *c = arg;
    c->told++;
    topic_unsubscribe_all(&topics, s);
    assert_int_equal(subscribe(s, "t"), THRUM_OK);
    assert_int_equal(subscribe(s, "t*"), THRUM_OK);
    assert_int_equal(subscribe(&c->v[c->n++], "t"), THRUM_OK);
}

static void test_from_within(void **state)
{
    (void)state;
    for (size_t n = 1; n < 100; n++) {
        struct crowd c = {calloc(2 * n, sizeof *c.v), n, 0};
        assert_non_null(c.v);
        counter_on();
        topics_init(&topics, hash_key);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(subscribe(&c.v[i], i % 3 ? "t" : "t*"), THRUM_OK);
        assert_int_equal(topic_publish(&topics, "t", 1, bring_another, &c), n);
        assert_int_equal(c.n, 2 * n);
        c.told = 0;
        assert_int_equal(topic_publish(&topics, "t", 1, end_all_others, &c), 1);
        assert_int_equal(c.told, 1);
        assert_int_equal(counter.live, 0);
        mem_force_hook(NULL);
    }
}

/* ---- memory ---------------------------------------------------------------------------------------------
 */

static void test_many(void **state)
{
    (void)state;
    struct subscriber *v = calloc(MANY, sizeof *v);
    char key[16];
    assert_non_null(v);
    assert_int_equal(sizeof *v, sizeof(void *));
    counter_on();
    topics_init(&topics, hash_key);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(subscribe(&v[i], "all"), THRUM_OK);
    assert_in_range(counter.bytes, 0, 64 * MANY); /* the first subscription of each */
    long before = counter.bytes;
    for (size_t i = 0; i < MANY; i++)
        for (unsigned k = 0; k < 8; k++) {
            snprintf(key, sizeof key, "room-%u%s", k, k % 2 ? "*" : "");
            assert_int_equal(subscribe(&v[i], key), THRUM_OK);
        }
    assert_in_range(counter.bytes - before, 0, 48 * 8 * MANY); /* and eight more */
    assert_int_equal(told("room-3x", 7), MANY);
    assert_int_equal(topic_count(&topics, "room-3*", 7), MANY);
    for (size_t i = 0; i < MANY; i += 2)
        topic_unsubscribe_all(&topics, &v[i]);
    assert_int_equal(told("all", 3), MANY / 2);
    topics_free(&topics);
    for (size_t i = 0; i < MANY; i++) { /* one with many */
        snprintf(key, sizeof key, "%zu", i);
        assert_int_equal(subscribe(&v[0], key), THRUM_OK);
        assert_null(v[1].member);
    }
    for (size_t i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "%zu", i);
        assert_int_equal(told(key, strlen(key)), 1);
        if (i % 64)
            assert_true(topic_unsubscribe(&topics, &v[0], key, strlen(key)));
    }
    assert_true(topics.exact.cap <= 8 * topics.exact.n); /* the table has become smaller, too */
    topic_unsubscribe_all(&topics, &v[0]);
    assert_int_equal(counter.live, 0);
    topics_free(&topics);
    mem_force_hook(NULL);
    free(v);
}

/* The first subscription of all, which needs a member, a topic and a table; the second one, which lets two
 * sets grow. What was made for one that failed is gone. */
static void test_nothing_is_left_of_a_failure(void **state)
{
    (void)state;
    struct subscriber s = {0}, other = {0};
    counter_on();
    topics_init(&topics, hash_key);
    for (long refuse = 0; refuse < 3; refuse++) {
        counter.refuse_from = refuse;
        assert_int_equal(subscribe(&s, "a*"), THRUM_E_MEMORY);
        assert_int_equal(counter.live, 0);
        assert_true(!s.member && topics.prefixes.n == 0 && topics.lengths[1] == 0);
    }
    counter.refuse_from = -1;
    assert_int_equal(subscribe(&s, "a*"), THRUM_OK);
    assert_int_equal(subscribe(&other, "b"), THRUM_OK);
    counter.refuse_from = 1; /* there is a topic c, but */
    assert_int_equal(subscribe(&other, "c"), THRUM_E_MEMORY);
    assert_int_equal(topics.exact.n, 1);
    counter.refuse_from = 1; /* of a* there is a second member, but of the member no second topic */
    assert_int_equal(subscribe(&other, "a*"), THRUM_E_MEMORY);
    assert_int_equal(topic_count(&topics, "a*", 2), 1);
    assert_int_equal(told("a", 1), 1);
    counter.refuse_from = -1;
    topic_unsubscribe_all(&topics, &s);
    topic_unsubscribe_all(&topics, &other);
    assert_int_equal(topics.lengths[1], 0);
    assert_int_equal(counter.live, 0);
    mem_force_hook(NULL);
}

/* A subscription that fails for want of memory changes nothing; what does not need memory goes on. */
static void test_no_memory(void **state)
{
    (void)state;
    start();
    for (size_t i = 0; i < PEOPLE; i++)
        for (size_t k = i % 7; k < KEYS; k += 1 + i % 5) {
            size_t n = strlen(keys[k]);
            for (long refuse = 0;; refuse++) {
                counter.refuse_from = refuse;
                thrum_status s = topic_subscribe(&topics, &people[i]->sub, keys[k], n);
                counter.refuse_from = -1;
                if (s == THRUM_OK)
                    break;
                assert_int_equal(s, THRUM_E_MEMORY);
                check_counts();
                assert_in_range(refuse, 0, 5);
            }
            has[i][k] = true;
        }
    check_counts();
    counter.refuse_from = 0;
    for (int i = 0; i < 100; i++)
        publish(false);
    for (size_t i = 0; i < PEOPLE; i++) {
        for (size_t k = 0; k < KEYS; k += 2) {
            assert_int_equal(topic_unsubscribe(&topics, &people[i]->sub, keys[k], strlen(keys[k])),
                             has[i][k]);
            has[i][k] = false;
        }
        check_counts();
    }
    topics_free(&topics);
    counter.refuse_from = -1;
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_table),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_several_keys_of_one),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_from_within),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_nothing_is_left_of_a_failure),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
