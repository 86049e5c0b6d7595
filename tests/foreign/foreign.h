/* foreign.h: somebody else's loop, as the tests see it. drive_libuv.c, drive_libevent.c and drive_glib.c each
 * make one of it; foreign_test.c is linked with each. */
#ifndef FOREIGN_H
#define FOREIGN_H

#include <stdbool.h>

struct foreign {
    int fd;
    bool (*ready)(void *arg); /* the descriptor is readable; false: it is over */
    bool (*tick)(void *arg);  /* NULL: no timer of the foreign loop's at all */
    unsigned tick_ms;
    void *arg;
};

extern const char *const foreign_name;

/* Runs the foreign loop on this thread until one of the two answers false. */
void foreign_run(const struct foreign *f);

#endif
