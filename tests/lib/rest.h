/* rest.h: fork for tests whose other threads run on. The allocators of AddressSanitizer and of
 * ThreadSanitizer stay locked for ever in a child when another thread was inside at the fork. So in those
 * builds alone the fork waits until every other thread has slept for longer than the warden lets a connection
 * alone; every other build forks at once, which is the harder case. */
#ifndef THRUM_TEST_REST_H
#define THRUM_TEST_REST_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define AT_REST 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#        define AT_REST 1
#    endif
#endif
#ifndef AT_REST
#    define AT_REST 0
#endif

static inline bool rest_is_asleep(const char *thread)
{
    char path[64], state = 'R';
    snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", thread);
    FILE *f = fopen(path, "re");
    if (!f)
        return true; /* it has ended */
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = 'R';
    fclose(f);
    return state == 'S' || atoi(thread) == gettid();
}

static inline bool rest_all_asleep(void)
{
    DIR *d = opendir("/proc/self/task");
    bool asleep = d != NULL;
    for (struct dirent *e; asleep && (e = readdir(d)) != NULL;)
        asleep = e->d_name[0] == '.' || rest_is_asleep(e->d_name);
    if (d)
        closedir(d);
    return asleep;
}

static inline pid_t fork_at_rest(void)
{
    for (int looks = 0; AT_REST && looks < 50;) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* 100 ms of rest */
        looks = rest_all_asleep() ? looks + 1 : 0;
    }
    return fork();
}

#endif
