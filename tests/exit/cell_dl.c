/* cell_dl.c: a program that opens libthrum.so by dlopen, makes a connection, and unloads it with that open
 * (contract E9: the library stays mapped, and says goodbye at the end). `cell_dl LIBRARY ROLE URL FD`; ROLE
 * client: a blocking one; open: a client on a loop, between two steps; loops: threads of the library accept
 * one. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/loop.h>
#include <thrum/tls.h>
#include <time.h>
#include <unistd.h>

static void *library;
static int report;
static _Atomic int opened;

static void *entry(const char *name)
{
    void *p = dlsym(library, name);
    if (!p) {
        fprintf(stderr, "cell_dl: %s\n", dlerror());
        _exit(99);
    }
    return p;
}

#define CALL(name) (*(__typeof__(&(name)) *)&(void *){entry(#name)})

static void nap(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static int say(const char *line, int n)
{
    return write(report, line, (size_t)n) == n;
}

static void on_open(thrum_conn *c, void *arg)
{
    (void)c;
    (void)arg;
    opened = 1;
}

static int connect_to(const char *url)
{
    thrum_conn *c;
    if (CALL(thrum_connect)(&c, url, NULL, NULL) != THRUM_OK)
        return 0;
    nap(80); /* the warden has it now */
    return 1;
}

static int open_on_a_loop(const char *url, const thrum_handlers *on)
{
    thrum_loop *l;
    if (CALL(thrum_loop_new)(&l, NULL) != THRUM_OK ||
        CALL(thrum_open)(l, url, NULL, on, NULL, NULL, NULL) != THRUM_OK)
        return 0;
    while (!opened)
        if (CALL(thrum_loop_step)(l, THRUM_FOREVER) != THRUM_OK)
            return 0;
    return 1;
}

static int serve(const char *url, const thrum_handlers *on)
{
    thrum_listener *s;
    char line[160];
    const thrum_tls_options *tls = strncmp(url, "wss:", 4) == 0 ? THRUM_TLS(.cert_file = getenv("CELL_CHAIN"),
                                                                            .key_file = getenv("CELL_KEY"))
                                                                : NULL;
    if (CALL(thrum_serve_loops)(&s, 2, url, THRUM_SERVER(.handlers = on, .tls = tls), NULL) != THRUM_OK)
        return 0;
    if (!say(line, snprintf(line, sizeof line, "url %s\n", CALL(thrum_listener_url)(s))))
        return 0;
    while (!opened)
        nap(1);
    return 1;
}

int main(int argc, char **argv)
{
    const thrum_handlers *on = THRUM_HANDLERS(.on_open = on_open);
    char line[80];
    struct timespec t;
    if (argc != 5)
        return 2;
    report = atoi(argv[4]);
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "cell_dl: %s\n", dlerror());
        return 99;
    }
    if (!(strcmp(argv[2], "client") == 0 ? connect_to(argv[3])
          : strcmp(argv[2], "open") == 0 ? open_on_a_loop(argv[3], on)
                                         : serve(argv[3], on)))
        return 99;
    int n = CALL(thrum_library_threads)();
    if (dlclose(library) != 0)
        return 98;
    nap(30); /* its threads go on in code that must be there */
    clock_gettime(CLOCK_MONOTONIC, &t);
    n = snprintf(line, sizeof line, "ready %d %lld\n", n, (long long)t.tv_sec * 1000000000 + t.tv_nsec);
    return say(line, n) ? 11 : 97;
}
