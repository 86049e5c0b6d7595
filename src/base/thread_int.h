/* thread_int.h: between thread.c and census.c. */
#ifndef BASE_THREAD_INT_H
#define BASE_THREAD_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct thread_record {
    pid_t tid; /* 0: of a library thread that has not begun to run yet */
    bool library, background;
};
/* Copies all records where cap is enough for them. Returns how many there are. */
size_t thread_records(struct thread_record *out, size_t cap);

#endif
