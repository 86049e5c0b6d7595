/* alarm.c: a timerfd on clock_now's clock. */
#include "loop/alarm_int.h"

#include "base/clock.h"
#include "base/sys.h"
#include <errno.h>
#include <sys/timerfd.h>

void alarm_init(struct alarm *a)
{
    *a = (struct alarm){.fd = -1, .at = CLOCK_NEVER};
}

int alarm_open(struct alarm *a)
{
    if (a->fd >= 0)
        return 0;
    a->fd = sys.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return a->fd < 0 ? errno : 0;
}

void alarm_close(struct alarm *a)
{
    if (a->fd >= 0)
        (void)sys.close(a->fd);
    alarm_init(a);
}

int alarm_set(struct alarm *a, int64_t at)
{
    struct itimerspec t = {0}; /* all zero takes it back */
    if (at == a->at)
        return 0;
    if (at != CLOCK_NEVER) {
        const int64_t ns = at > 0 ? at : 1; /* a time gone by is now */
        t.it_value = (struct timespec){.tv_sec = (time_t)(ns / (1000 * CLOCK_MS)),
                                       .tv_nsec = (long)(ns % (1000 * CLOCK_MS))};
    }
    if (sys.timerfd_settime(a->fd, TFD_TIMER_ABSTIME, &t, NULL) != 0)
        return errno;
    a->at = at;
    return 0;
}

void alarm_take(struct alarm *a)
{
    uint64_t times;
    ssize_t r;
    do
        r = sys.read(a->fd, &times, sizeof times);
    while (r < 0 && errno == EINTR);
    if (r > 0) /* else it has been set anew since it was seen to be readable */
        a->at = CLOCK_NEVER;
}
