/* wait_int.h: the net room's only place that waits. */
#ifndef NET_WAIT_INT_H
#define NET_WAIT_INT_H

#include <poll.h>

/* poll(2) through the table, as a cancellation point: cancellation is allowed for the time of the poll only,
 * and undo(arg) runs when the thread is cancelled there. Result and errno as poll's. */
int wait_poll(struct pollfd *p, nfds_t n, int ms, void (*undo)(void *arg), void *arg);

#endif
