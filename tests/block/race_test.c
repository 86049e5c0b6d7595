/* race_test.c: who sends, closes and frees at the same time (R31, R32). */
#include "block_test.h"

enum { SENDERS = 3, ROUNDS = 60 };

struct sender {
    thrum_conn *c;
    size_t sent;
    thrum_status last;
};

static void *send_main(void *arg)
{
    struct sender *s = arg;
    uint32_t n = 0;
    while ((s->last = thrum_send(s->c, THRUM_BINARY, &n, sizeof n)) == THRUM_OK) {
        s->sent++;
        n++;
    }
    return NULL;
}

struct receiver {
    thrum_conn *c;
    size_t received;
    bool odd; /* a message of another length: torn, or another's */
    thrum_status last;
};
static void *recv_main(void *arg)
{
    struct receiver *r = arg;
    thrum_message m;
    while ((r->last = thrum_recv(r->c, &m, PEER_MS)) == THRUM_OK) {
        r->odd |= m.len != 4 || m.kind != THRUM_BINARY;
        r->received++;
        thrum_message_release(&m);
    }
    return NULL;
}

/* What a send said to be sent has come, the Close behind it, and nothing else. */
static void test_R32_send_races_with_close(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct pair p;
        pair_open(&p, AF_UNIX, false, THRUM_CLIENT(.compression = THRUM_OFF),
                  THRUM_SERVER(.compression = THRUM_OFF));
        struct sender s[SENDERS];
        struct receiver r = {.c = p.server};
        thrum_closing how = {.size = sizeof how};
        pthread_t t[SENDERS + 1];
        size_t sent = 0;
        for (int i = 0; i < SENDERS; i++) {
            s[i] = (struct sender){.c = p.client};
            assert_int_equal(pthread_create(&t[i], NULL, send_main, &s[i]), 0);
        }
        assert_int_equal(pthread_create(&t[SENDERS], NULL, recv_main, &r), 0);
        for (int i = 0; i < round * 20; i++)
            sched_yield();
        assert_status(thrum_close(p.client, 1000, "enough"), THRUM_OK);
        for (int i = 0; i <= SENDERS; i++)
            pthread_join(t[i], NULL);
        for (int i = 0; i < SENDERS; i++) {
            assert_status(s[i].last, THRUM_E_CLOSED);
            sent += s[i].sent;
        }
        assert_status(r.last, THRUM_E_CLOSED);
        assert_false(r.odd);
        assert_int_equal(r.received, sent);
        assert_status(thrum_conn_closing(p.server, &how), THRUM_OK);
        assert_int_equal(how.recv_code, 1000);
        assert_int_equal(how.clean, 1);
        pair_free(&p);
    }
}

/* The last handle goes while others are inside: they are told, and nothing is touched afterwards. */
static void test_R31_freed_while_pending(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct pair p;
        struct receiver r[2];
        pthread_t t[2];
        pair_open(&p, AF_UNIX, false, NULL, NULL);
        for (int i = 0; i < 2; i++) {
            r[i] = (struct receiver){.c = p.client};
            assert_int_equal(pthread_create(&t[i], NULL, recv_main, &r[i]), 0);
        }
        await(waiting(p.client, 0) == 2); /* who came later would come to a freed connection */
        thrum_conn_free(p.client);
        for (int i = 0; i < 2; i++) {
            pthread_join(t[i], NULL);
            assert_int_equal(r[i].received, 0);
        }
        thrum_conn_free(p.server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R32_send_races_with_close),
        cmocka_unit_test(test_R31_freed_while_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
