/* crossing_test.c: contract E5. The thread that made a connection ends, and so does every one that used it;
 * the connection works on in others, and the last of them closes and frees it. */
#include "exit_test.h"

enum { THREADS = 20 };
static struct joined pair;

static void *make(void *arg)
{
    join_up(&pair, NULL);
    return arg;
}

static void *make_and_exit(void *arg)
{
    join_up(&pair, NULL);
    check_status(thrum_send(pair.client, THRUM_TEXT, "first", 5), THRUM_OK);
    (void)arg;
    pthread_exit(NULL);
}

static void *say(void *arg)
{
    check_status(thrum_send(arg, THRUM_TEXT, "word", 4), THRUM_OK);
    return NULL;
}

static void *hear(void *arg)
{
    thrum_message m;
    check_status(thrum_recv(arg, &m, HANG_MS), THRUM_OK);
    check(m.len == 4 && memcmp(m.data, "word", 4) == 0);
    thrum_message_release(&m);
    return NULL;
}

static void *close_and_free(void *arg)
{
    check_status(thrum_close(arg, 1000, NULL), THRUM_OK);
    thrum_conn_free(arg);
    return NULL;
}

static void run_alone(void *(*fn)(void *), void *arg)
{
    check(pthread_join(start(fn, arg), NULL) == 0);
}

static void hear_the_end(thrum_conn *c)
{
    thrum_message m;
    check_status(thrum_recv(c, &m, HANG_MS), THRUM_E_CLOSED);
    thrum_conn_free(c);
}

static void test_one_thread_after_another(void)
{
    run_alone(make, NULL);
    for (int i = 0; i < THREADS; i++) { /* each end is used by threads that are gone at the next word */
        run_alone(say, i % 2 ? pair.client : pair.server);
        run_alone(hear, i % 2 ? pair.server : pair.client);
    }
    pthread_t t = start(close_and_free, pair.client);
    hear_the_end(pair.server);
    check(pthread_join(t, NULL) == 0);
}

static void test_made_by_a_thread_that_called_pthread_exit(void)
{
    thrum_message m;
    run_alone(make_and_exit, NULL);
    check_status(thrum_recv(pair.server, &m, HANG_MS), THRUM_OK);
    check(m.len == 5);
    thrum_message_release(&m);
    pthread_t t = start(hear, pair.client); /* inside, while another thread uses it and ends */
    run_alone(say, pair.client);
    run_alone(say, pair.server);
    check(pthread_join(t, NULL) == 0);
    run_alone(hear, pair.server);
    t = start(close_and_free, pair.client);
    hear_the_end(pair.server);
    check(pthread_join(t, NULL) == 0);
}

int main(void)
{
    test_one_thread_after_another();
    test_made_by_a_thread_that_called_pthread_exit();
    return 0;
}
