/* cell_dl.c: a program that opens libthrum.so by dlopen, connects, and unloads it with the connection open
 * (contract E9: the library stays mapped, and says goodbye at the end). `cell_dl LIBRARY URL FD`. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thrum/thrum.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    thrum_status (*open_it)(thrum_conn **, const char *, const thrum_client_options *, thrum_error *);
    int (*threads)(void);
    thrum_conn *c;
    thrum_error e;
    char line[80];
    struct timespec t;
    if (argc != 4)
        return 2;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "cell_dl: %s\n", dlerror());
        return 99;
    }
    *(void **)&open_it = dlsym(library, "thrum_connect");
    *(void **)&threads = dlsym(library, "thrum_library_threads");
    if (!open_it || !threads || open_it(&c, argv[2], NULL, &e) != THRUM_OK)
        return 99;
    nanosleep(&(struct timespec){.tv_nsec = 80 * 1000000}, NULL); /* the warden has it now */
    int n = threads();
    if (dlclose(library) != 0)
        return 98;
    nanosleep(&(struct timespec){.tv_nsec = 30 * 1000000},
              NULL); /* its thread goes on in code that must be there */
    clock_gettime(CLOCK_MONOTONIC, &t);
    n = snprintf(line, sizeof line, "ready %d %lld\n", n, (long long)t.tv_sec * 1000000000 + t.tv_nsec);
    if (write(atoi(argv[3]), line, (size_t)n) != n)
        return 97;
    return 11;
}
